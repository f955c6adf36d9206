//! The state machine.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::approvals::queue::QueueError;
use placet_trust::approvals::{ApprovalError, MAX_PENDING_PER_SESSION, Reviewers};
use placet_types::DenyCause;
use placet_types::ledger::{ApprovalClosing, ApprovalState, LedgerOp};
use proptest::prelude::*;

use super::common::*;

fn close(from: ApprovalState, state: ApprovalState) -> LedgerOp {
    LedgerOp::Close(ApprovalClosing { approval: id("a"), from, state, code: "withdrawn".into() })
}

/// A ledger with the request `a` in a state.
fn in_state(state: ApprovalState) -> TestLedger {
    let ledger = TestLedger::new(Reviewers::new());
    let entry = request("a", &subject());
    let digest = entry.digest;
    ledger.queue().ask(entry, None, Vec::new()).unwrap();
    let alice = person("alice");
    match state {
        ApprovalState::Pending => {}
        ApprovalState::Denied => drop(ledger.queue().deny(&id("a"), &says(&alice), None).unwrap()),
        ApprovalState::Cancelled => drop(ledger.queue().cancel(&id("a"), "test", "withdrawn").unwrap()),
        ApprovalState::Expired => {
            ledger.host.advance(3600);
            assert_eq!(ledger.queue().expire().unwrap(), 1);
        }
        ApprovalState::Approved | ApprovalState::Consumed => {
            ledger.queue().approve(&id("a"), &says(&alice), None).unwrap();
            if state == ApprovalState::Consumed {
                ledger.consume(&id("a"), digest).unwrap();
            }
        }
    }
    assert_eq!(ledger.queue().get(&id("a")).unwrap().unwrap().state, state);
    ledger
}

#[test]
fn f67_each_state_allows_exactly_its_steps() {
    use ApprovalState::{Approved, Cancelled, Consumed, Denied, Expired, Pending};
    let bob = person("bob");
    let digest = request("a", &subject()).digest;
    for state in [Pending, Approved, Denied, Expired, Cancelled, Consumed] {
        let steps = [
            ("yes", in_state(state).queue().approve(&id("a"), &says(&bob), None).is_ok()),
            ("no", in_state(state).queue().deny(&id("a"), &says(&bob), None).is_ok()),
            ("use", in_state(state).consume(&id("a"), digest).is_ok()),
            ("cancel", in_state(state).queue().cancel(&id("a"), "test", "withdrawn").is_ok()),
            ("expire pending", in_state(state).put(close(Pending, Expired)).is_ok()),
            ("expire approved", in_state(state).put(close(Approved, Expired)).is_ok()),
            ("close as approved", in_state(state).put(close(Pending, Approved)).is_ok()),
            ("close as consumed", in_state(state).put(close(Approved, Consumed)).is_ok()),
            ("reopen", in_state(state).put(close(state, Pending)).is_ok()),
        ];
        let done: Vec<_> = steps.into_iter().filter(|(_, done)| *done).map(|(step, _)| step).collect();
        let wanted: &[&str] = match state {
            Pending => &["yes", "no", "cancel", "expire pending"],
            Approved => &["use", "cancel", "expire approved"],
            Denied | Expired | Cancelled | Consumed => &[],
        };
        assert_eq!(done, wanted, "from {state}");
    }
}

#[test]
fn f67_expiry_is_enforced_when_deciding_and_using_without_any_sweeper() {
    let alice = person("alice");
    for (seconds, alive) in [(3599, true), (3600, false), (9999, false)] {
        let ledger = in_state(ApprovalState::Pending);
        ledger.host.advance(seconds);
        let decided = ledger.queue().approve(&id("a"), &says(&alice), None);
        assert_eq!(decided.is_ok(), alive, "deciding after {seconds} s");
        let ledger = in_state(ApprovalState::Approved);
        ledger.host.advance(seconds);
        let used = ledger.consume(&id("a"), request("a", &subject()).digest);
        assert_eq!(used.is_ok(), alive, "using after {seconds} s");
        if let Err(refusal) = used {
            assert_eq!(refusal.cause, DenyCause::ApprovalInvalid);
        }
    }
}

#[test]
fn kite_20_15_a_pending_request_of_999_seconds_cannot_be_approved_past_its_expiry() {
    let ledger = TestLedger::new(Reviewers::new());
    let mut entry = request("a", &subject());
    entry.expires_us = START.plus_seconds(300);
    ledger.queue().ask(entry, None, Vec::new()).unwrap();
    ledger.host.advance(999);
    let refused = ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::Expired { .. })), "{refused}");
    assert_eq!(ledger.queue().pending().unwrap(), []);
}

#[test]
fn a_retry_joins_the_open_request_and_asks_anew_after_its_end() {
    let ledger = TestLedger::new(Reviewers::new());
    let queue = ledger.queue();
    assert!(!queue.ask(request("a", &subject()), None, Vec::new()).unwrap().joined);
    let again = queue.ask(request("b", &subject()), None, Vec::new()).unwrap();
    assert_eq!((again.id, again.joined), (id("a"), true));
    queue.approve(&id("a"), &says(&person("alice")), None).unwrap();
    assert!(queue.ask(request("b", &subject()), None, Vec::new()).unwrap().joined);
    ledger.consume(&id("a"), request("a", &subject()).digest).unwrap();
    let next = queue.ask(request("b", &subject()), None, Vec::new()).unwrap();
    assert_eq!((next.id, next.joined), (id("b"), false));
    // One that expired unswept does not hold up the next, and sweeping it later leaves the next alone.
    ledger.host.advance(3600);
    let mut late = request("c", &subject());
    late.expires_us = START.plus_seconds(7200);
    assert!(!queue.ask(late, None, Vec::new()).unwrap().joined);
    assert_eq!(queue.expire().unwrap(), 1);
    assert!(queue.ask(request("d", &subject()), None, Vec::new()).unwrap().joined);
}

#[test]
fn one_session_cannot_drown_the_reviewers() {
    let ledger = TestLedger::new(Reviewers::new());
    let ask = |number: usize, session: &str| {
        let mut subject = subject();
        subject.session = Some(session.into());
        subject.args = args(u8::try_from(number).unwrap());
        ledger.queue().ask(request(&format!("{session}-{number}"), &subject), None, Vec::new())
    };
    for number in 0..MAX_PENDING_PER_SESSION {
        ask(number, "one").unwrap();
    }
    let refused = ask(MAX_PENDING_PER_SESSION, "one").unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::TooMany { open: 100, .. })), "{refused}");
    ask(0, "two").unwrap();
}

#[test]
fn requests_that_nobody_could_be_asked_are_refused() {
    let ledger = TestLedger::new(Reviewers::new());
    let refused = |change: fn(&mut placet_types::ledger::ApprovalEntry)| {
        let mut entry = request("a", &subject());
        change(&mut entry);
        ledger.queue().ask(entry, None, Vec::new()).unwrap_err().to_string()
    };
    assert!(refused(|entry| entry.quorums.clear()).contains("names no quorum"));
    assert!(refused(|entry| entry.quorums[0].count = 0).contains("a quorum of 0"));
    assert!(refused(|entry| entry.expires_us = START).contains("expired"));
    ledger.queue().ask(request("a", &subject()), None, Vec::new()).unwrap();
    let mut other = subject();
    other.args = args(1);
    let taken = ledger.queue().ask(request("a", &other), None, Vec::new()).unwrap_err();
    assert!(matches!(taken, QueueError::Approval(ApprovalError::Taken(_))), "{taken}");
}

#[test]
fn kite_20_15_an_edited_row_neither_approves_nor_shows_other_content() {
    let ledger = in_state(ApprovalState::Pending);
    ledger.edit_row(&id("a"), |row| row.replace(r#""state":"pending""#, r#""state":"approved""#));
    let refused = ledger.consume(&id("a"), request("a", &subject()).digest).unwrap_err();
    assert_eq!(refused.cause, DenyCause::StateTampered);
    // Every field of the request is in the row, so an edit of what a reviewer would read shows too.
    for field in ["pay", "bank/pay", "session-1", "big_payment", "policy-1", "mallory"] {
        let ledger = in_state(ApprovalState::Pending);
        assert!(ledger.row(&id("a")).contains(field));
        ledger.edit_row(&id("a"), |row| row.replace(field, "harmless"));
        let refused = ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap_err();
        assert!(
            matches!(&refused, QueueError::Refused(refusal) if refusal.cause == DenyCause::StateTampered)
        );
    }
}

#[test]
fn kite_20_15_an_edited_row_does_not_make_way_for_a_second_request() {
    let ledger = in_state(ApprovalState::Pending);
    ledger.edit_row(&id("a"), |row| row.replace(r#""state":"pending""#, r#""state":"cancelled""#));
    let refused = ledger.put(LedgerOp::Ask(Box::new(request("b", &subject())))).unwrap_err();
    assert_eq!(refused.cause, DenyCause::StateTampered);
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Yes(u8, u8),
    No(u8, u8),
    Cancel(u8),
    Use(u8, bool),
    Expire,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8).prop_map(Step::Ask),
        (0..4_u8, 0..3_u8).prop_map(|(request, who)| Step::Yes(request, who)),
        (0..4_u8, 0..3_u8).prop_map(|(request, who)| Step::No(request, who)),
        (0..4_u8).prop_map(Step::Cancel),
        (0..4_u8, any::<bool>()).prop_map(|(request, right)| Step::Use(request, right)),
        Just(Step::Expire),
        (0..2000_u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A plain model beside the real state: who said yes, who said no, how often it was used, whether it was alive.
    #[test]
    fn f67_an_approval_is_used_once_and_only_after_two_people_said_yes(steps in prop::collection::vec(step(), 1..60)) {
        let ledger = TestLedger::new(Reviewers::new());
        let queue = ledger.queue();
        let mut subject = subject();
        subject.quorums = vec![quorum(&[], 2)];
        let entry = |number: u8| {
            let mut subject = subject.clone();
            subject.args = args(number);
            request(&format!("r{number}"), &subject)
        };
        let mut yes = vec![std::collections::BTreeSet::new(); 4];
        let (mut asked, mut ended, mut used) = ([false; 4], [false; 4], [0; 4]);
        for step in steps {
            let alive = placet_trust::approvals::queue::Host::now(ledger.host.as_ref()) < START.plus_seconds(3600);
            let name = |number: u8| id(&format!("r{number}"));
            match step {
                Step::Ask(number) => {
                    let done = queue.ask(entry(number), None, Vec::new()).is_ok_and(|asked| !asked.joined);
                    let n = usize::from(number);
                    prop_assert_eq!(done, alive && !asked[n]);
                    asked[n] |= done;
                }
                Step::Yes(number, who) => {
                    let n = usize::from(number);
                    let done = queue.approve(&name(number), &says(&person(&format!("p{who}"))), None).is_ok();
                    let wanted = alive && asked[n] && !ended[n] && yes[n].len() < 2 && !yes[n].contains(&who);
                    prop_assert_eq!(done, wanted);
                    if done {
                        yes[n].insert(who);
                    }
                }
                Step::No(number, who) => {
                    let n = usize::from(number);
                    let done = queue.deny(&name(number), &says(&person(&format!("p{who}"))), None).is_ok();
                    prop_assert_eq!(done, alive && asked[n] && !ended[n] && yes[n].len() < 2);
                    ended[n] |= done;
                }
                Step::Cancel(number) => {
                    let n = usize::from(number);
                    let done = queue.cancel(&name(number), "test", "withdrawn").is_ok();
                    prop_assert_eq!(done, alive && asked[n] && !ended[n]);
                    ended[n] |= done;
                }
                Step::Use(number, right) => {
                    let n = usize::from(number);
                    let digest = if right { entry(number).digest } else { args(200) };
                    let done = ledger.consume(&name(number), digest).is_ok();
                    prop_assert_eq!(done, right && alive && asked[n] && !ended[n] && yes[n].len() == 2);
                    ended[n] |= done;
                    used[n] += u32::from(done);
                }
                Step::Expire => {
                    let count = queue.expire().unwrap();
                    prop_assert!(!alive || count == 0);
                    if !alive {
                        ended = [true; 4];
                    }
                }
                Step::Pass(seconds) => ledger.host.advance(i64::from(seconds)),
            }
        }
        prop_assert!(used.iter().all(|count| *count <= 1));
        // The log alone gives the same state.
        ledger.reopened(Reviewers::new());
    }
}
