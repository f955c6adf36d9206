//! What policies may see of a session.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use std::sync::Arc;

use common::*;
use placet_trust::State;
use placet_trust::sessions::{HISTORY_LIMIT, SessionKey};
use placet_types::ledger::{BudgetKey, BudgetScope, BudgetUnit};
use placet_types::{CredentialId, Fact, LedgerOp, Record};

fn call(session: &str, verdict: &str, tool: &str) -> Record {
    let mut record = record(1, Fact::Decision(decision(verdict, Some(tool))), vec![]);
    record.session = Some(session.into());
    record
}

fn history(state: &State, key: &SessionKey) -> Vec<Arc<str>> {
    state.facts(key).tool_history.iter().cloned().collect()
}

/// Row F82: what was allowed is the history, oldest first; what was not is only counted.
#[test]
fn f82_history_holds_allowed_tools_oldest_first() {
    let mut state = State::default();
    for (verdict, tool) in [("allow", "lookup"), ("deny", "wipe"), ("escalate", "pay"), ("allow", "refund")] {
        state.admit(&call("s", verdict, tool)).unwrap();
    }
    let key = SessionKey::stated(None, "s");
    assert_eq!(history(&state, &key), [Arc::from("lookup"), Arc::from("refund")]);
    assert_eq!(state.facts(&key).decisions, 4);
    assert!(
        state.facts(&SessionKey::stated(Some("t"), "s")).tool_history.is_empty(),
        "another tenant's session"
    );
}

/// Row F82: a session id of the caller's choice gives no fresh history when a credential is shown, and a chain that
/// begins further down than its root does not either.
#[test]
fn f82_promise_6_history_follows_the_lineage() {
    let mut state = State::default();
    admit(&mut state, 1, change(), credential("root", None)).unwrap();
    admit(&mut state, 1, change(), credential("child", Some("root"))).unwrap();
    for (session, chain) in [("a", vec!["root"]), ("b", vec!["root", "child"]), ("c", vec!["child"])] {
        let mut record = call(session, "allow", session);
        record.ops = vec![LedgerOp::Present(chain.into_iter().map(CredentialId::from).collect())];
        state.admit(&record).unwrap();
    }
    let mut denied = call("d", "deny", "d");
    if let Fact::Decision(decision) = &mut denied.fact {
        decision.credential = Some("child".into());
    }
    state.admit(&denied).unwrap();
    let lineage = SessionKey::lineage(&"root".into());
    assert_eq!(history(&state, &lineage), ["a", "b", "c"].map(Arc::from));
    assert_eq!(state.facts(&lineage).decisions, 4);
    assert!(state.facts(&SessionKey::stated(None, "b")).tool_history.is_empty());
    assert_ne!(lineage, SessionKey::stated(None, "credential:root"), "a stated id cannot pose as a lineage");
    assert_ne!(SessionKey::stated(Some("t"), "s"), SessionKey::stated(None, "t/s"));
}

#[test]
fn f82_history_is_bounded_and_keeps_the_latest() {
    let mut state = State::default();
    let calls = HISTORY_LIMIT * 3 + 7;
    for number in 0..calls {
        state.admit(&call("s", "allow", &format!("tool{number}"))).unwrap();
    }
    let names = history(&state, &SessionKey::stated(None, "s"));
    assert!((HISTORY_LIMIT..HISTORY_LIMIT + 64).contains(&names.len()), "{}", names.len());
    assert_eq!(state.facts(&SessionKey::stated(None, "s")).tool_history.len(), names.len());
    let latest: Vec<Arc<str>> =
        (calls - names.len()..calls).map(|number| format!("tool{number}").into()).collect();
    assert_eq!(names, latest);
}

/// A snapshot is not changed by what comes after it.
#[test]
fn f82_snapshots_stay_as_they_are() {
    let mut state = State::default();
    let key = SessionKey::stated(None, "s");
    state.admit(&call("s", "allow", "one")).unwrap();
    let before = state.facts(&key);
    let mut later = Vec::new();
    for _ in 0..200 {
        state.admit(&call("s", "allow", "two")).unwrap();
        later.push(state.facts(&key).tool_history);
    }
    assert_eq!(before.tool_history.iter().map(|name| &**name).collect::<Vec<_>>(), ["one"]);
    for (more, snapshot) in later.iter().enumerate() {
        assert_eq!(snapshot.len(), more + 2);
        assert!(snapshot.iter().skip(1).all(|name| &**name == "two"));
    }
}

/// Row F82: the counters come from the budgets, with what is in flight and without what is only held.
#[test]
fn f82_counters_come_from_the_budgets() {
    let mut state = State::default();
    let key = SessionKey::stated(Some("t"), "s");
    let of = |unit, amount| {
        let key = BudgetKey { scope: BudgetScope::Session, owner: key.0.clone(), unit, window: None };
        common::of(&key, amount)
    };
    let spend = vec![
        of(BudgetUnit::Tokens, 5),
        of(BudgetUnit::ApiCalls, 1),
        of(BudgetUnit::CostMicros, 20_001),
        of(BudgetUnit::ComputeMillis, 1_500),
    ];
    admit(&mut state, 1, allow(), permit("a", spend.clone())).unwrap();
    admit(&mut state, 2, succeeded(), settle("a", vec![of(BudgetUnit::Tokens, 7)])).unwrap();
    admit(&mut state, 3, allow(), permit("b", spend.clone())).unwrap();
    admit(&mut state, 3, change(), hold("c", spend, 9)).unwrap();
    let facts = state.facts(&key);
    assert_eq!((facts.tokens_spent, facts.api_calls, facts.cost_micros), (12, 2, 40_002));
    assert_eq!((facts.cost_cents(), facts.compute_seconds()), (5, 3));
}
