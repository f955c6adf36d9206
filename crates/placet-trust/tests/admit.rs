//! One record, several operations: all or none, and each thing once.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use common::*;
use placet_trust::State;
use placet_types::ledger::{Revocation, RevocationTarget};
use placet_types::{DenyCause, LedgerOp};

/// Two operations of one record on one budget would each be checked against the state before both.
#[test]
fn f11_one_record_changes_a_thing_once() {
    let calls = calls("s");
    let one = |id: &str| permit(id, vec![of(&calls, 1)]);
    for ops in [
        vec![one("a"), one("b")],
        vec![set(&calls, 5), one("a")],
        vec![set(&calls, 5), set(&calls, 6)],
        vec![one("a"), settle("a", vec![])],
        vec![release("a"), release("a")],
    ] {
        let mut state = State::default();
        admit(&mut state, 1, change(), set(&calls, 1)).unwrap();
        let before = state.budgets.clone();
        let refusal = state.admit(&record(1, allow(), ops)).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::InvalidRequest);
        assert!(refusal.reason.contains("twice"), "{refusal}");
        assert_eq!(state.budgets, before);
    }
}

/// A refused operation takes the others with it, also those before it.
#[test]
fn f11_a_record_is_admitted_whole_or_not_at_all() {
    let mut state = State::default();
    let (one, other) = (calls("one"), calls("other"));
    admit(&mut state, 1, change(), set(&other, 0)).unwrap();
    let before = state.budgets.clone();
    let ops = vec![permit("a", vec![of(&one, 1)]), permit("b", vec![of(&other, 1)])];
    assert_eq!(state.admit(&record(1, allow(), ops)).unwrap_err().cause, DenyCause::BudgetExhausted);
    assert_eq!(state.budgets, before);
    let ops = vec![permit("a", vec![of(&one, 1)]), permit("b", vec![of(&calls("third"), 1)])];
    state.admit(&record(1, allow(), ops)).unwrap();
    assert_eq!(state.budgets.in_flight().count(), 2);
}

/// A child issued in one record with the revocation of its parent does not outlive it.
#[test]
fn promise_9_a_revocation_comes_last_in_its_record() {
    let revoke = || {
        let target = RevocationTarget::Credential("root".into());
        LedgerOp::Revoke(Revocation { target, by: "system".into() })
    };
    let issue = || credential("child", Some("root"));
    let present = || LedgerOp::Present(vec!["root".into()]);
    for late in [issue(), present()] {
        let mut state = State::default();
        admit(&mut state, 1, change(), credential("root", None)).unwrap();
        let refusal = state.admit(&record(2, change(), vec![revoke(), late])).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::InvalidRequest);
        state.admit(&record(2, change(), vec![present(), issue(), revoke()])).unwrap();
        let child = LedgerOp::Present(vec!["child".into()]);
        assert_eq!(admit(&mut state, 3, change(), child).unwrap_err().cause, DenyCause::CredentialValidation);
    }
}

/// A record whose commit was in doubt is tried again: it stands there once, and what it does is done once.
#[test]
fn a_record_id_stands_in_the_log_once() {
    let mut state = State::default();
    let calls = calls("s");
    let once = record(1, change(), vec![set(&calls, 5)]);
    state.admit(&once).unwrap();
    let mut again = record(2, change(), vec![set(&calls, 9)]);
    again.id = once.id.clone();
    let refusal = state.admit(&again).unwrap_err();
    assert_eq!(refusal.cause, DenyCause::InvalidRequest);
    assert!(refusal.reason.contains(&*once.id.0), "{refusal}");
    assert!(
        state.admit(&record(2, allow(), vec![permit("a", vec![of(&calls, 6)])])).is_err(),
        "the limit is 5"
    );
    // A copy knows the same ids, and a refused record takes none.
    let mut copy = state.clone();
    assert!(copy.admit(&again).is_err());
    let mut refused = record(3, allow(), vec![permit("b", vec![of(&calls, 6)])]);
    assert!(state.admit(&refused).is_err());
    refused.ops.clear();
    state.admit(&refused).unwrap();
    // A log that has it twice, by an older release, is read.
    state.replay(&again);
}

/// Who writes a log keeps its ids; the state that readers have follows without them.
#[test]
fn what_was_not_committed_is_given_up_with_its_ids() {
    let mut state = State::default();
    let calls = calls("s");
    let [first, second, third] = [5, 6, 7].map(|limit| record(1, change(), vec![set(&calls, limit)]));
    let limit =
        |state: &State| state.budgets.standing(&calls, first.time_us).and_then(|standing| standing.limit);
    state.replay(&first);
    let mut shown = state.share();
    assert_eq!((limit(&state), limit(&shown)), (Some(5), Some(5)));

    state.admit(&second).unwrap();
    state.exchange(&mut shown);
    assert_eq!((limit(&state), limit(&shown)), (Some(5), Some(6)));
    state.repeat(&second);
    assert_eq!(limit(&state), Some(6));

    state.admit(&third).unwrap();
    // A record that stands there twice, by an older release, leaves its id behind.
    state.replay(&first);
    state.go_back(shown.clone());
    assert_eq!(limit(&state), Some(6));
    for known in [&first, &second] {
        assert!(state.admit(known).is_err());
    }
    state.admit(&third).unwrap();
    assert!(state.admit(&third).is_err());
}
