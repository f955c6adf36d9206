//! Claims, what time does to requests as the log keeps it, and the outbox.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{Arc, Barrier};
use std::time::Duration;

use placet_trust::approvals::queue::QueueError;
use placet_trust::approvals::{ApprovalError, Reviewers};
use placet_types::ledger::{ApprovalEvent, ApprovalMark, ApprovalState, ApprovalTold, Escalation};
use placet_types::{ApproverId, LedgerOp};

use super::common::*;

/// A ledger with requests of the group `finance` that remind after 1 minute, escalate to `board` after 2, are overdue
/// after 3 and dead after 60.
fn asked(names: &[&str]) -> TestLedger {
    let ledger = TestLedger::new(staff());
    for (number, name) in names.iter().enumerate() {
        let mut subject = subject();
        subject.args = args(u8::try_from(number).unwrap());
        subject.quorums = vec![quorum(&["finance"], 1)];
        let mut entry = request(name, &subject);
        entry.remind_us = Some(START.plus_seconds(60));
        entry.escalate = Some(Escalation { at_us: START.plus_seconds(120), group: group("board") });
        entry.due_us = Some(START.plus_seconds(180));
        ledger.queue().ask(entry, None, Vec::new()).unwrap();
    }
    ledger
}

fn staff() -> Reviewers {
    reviewers(&[("finance", &["alice", "bob"]), ("board", &["carol"])])
}

fn mark(name: &str, event: ApprovalEvent, seconds: u32) -> LedgerOp {
    LedgerOp::Mark(ApprovalMark { approval: id(name), event, at_us: START.plus_seconds(seconds) })
}

fn marked(ledger: &TestLedger) -> Vec<ApprovalEvent> {
    ledger.queue().keep_time().unwrap().into_iter().map(|mark| mark.event).collect()
}

fn owed(ledger: &TestLedger, channel: &str) -> Vec<String> {
    ledger.queue().owed(channel).unwrap().iter().map(|owed| owed.id()).collect()
}

/// Tells a channel all that it is owed.
fn tell(ledger: &TestLedger, channel: &str) -> Vec<String> {
    let owed = ledger.queue().owed(channel).unwrap();
    owed.iter().for_each(|owed| assert!(ledger.queue().told(owed, &channel.into()).unwrap()));
    owed.iter().map(|owed| owed.id()).collect()
}

#[test]
fn f70_what_time_did_is_recorded_once_at_its_time_and_survives_a_restart() {
    let ledger = asked(&["a"]);
    let mut seen = Vec::new();
    for _ in 0..181 {
        seen.extend(marked(&ledger));
        ledger.host.advance(1);
    }
    assert_eq!(seen, [ApprovalEvent::Reminded, ApprovalEvent::Escalated, ApprovalEvent::Breached]);
    let approval = ledger.queue().get(&id("a")).unwrap().unwrap();
    let at: Vec<_> = approval.marks.values().map(|at| (at.0 - START.0) / SECOND).collect();
    assert_eq!(at, [60, 120, 180], "at T, not before");
    let again = ledger.reopened(staff());
    assert_eq!(marked(&again), []);
    assert_eq!(again.queue().get(&id("a")).unwrap().unwrap(), approval);
}

#[test]
fn f70_nothing_is_recorded_before_its_time_twice_or_with_another_time() {
    let ledger = asked(&["a"]);
    ledger.host.advance(59);
    assert!(ledger.put(mark("a", ApprovalEvent::Reminded, 60)).is_err(), "too early");
    ledger.host.advance(1);
    assert!(ledger.put(mark("a", ApprovalEvent::Reminded, 59)).is_err(), "not its time");
    assert!(ledger.put(mark("a", ApprovalEvent::Breached, 60)).is_err(), "not this");
    assert!(ledger.put(mark("a", ApprovalEvent::Asked, 60)).is_err(), "time asks nobody");
    ledger.put(mark("a", ApprovalEvent::Reminded, 60)).unwrap();
    assert!(ledger.put(mark("a", ApprovalEvent::Reminded, 60)).is_err(), "twice");
}

#[test]
fn f70_an_answer_in_time_is_no_breach_and_a_late_one_is_also_when_nobody_looked() {
    let early = asked(&["a"]);
    early.host.advance(30);
    early.queue().deny(&id("a"), &says(&person("alice")), None).unwrap();
    early.host.advance(600);
    assert_eq!(marked(&early), []);
    let late = asked(&["a"]);
    late.host.advance(181);
    late.queue().deny(&id("a"), &says(&person("alice")), None).unwrap();
    late.host.advance(600);
    assert_eq!(marked(&late), [ApprovalEvent::Breached], "nobody is reminded of what was decided");
}

#[test]
fn f70_from_its_time_on_the_next_group_may_answer_and_is_told() {
    let ledger = asked(&["a"]);
    let refused = ledger.queue().approve(&id("a"), &says(&person("carol")), None).unwrap_err();
    assert!(matches!(&refused, QueueError::Approval(error) if error.is_forbidden()), "{refused}");
    tell(&ledger, "hook");
    ledger.host.advance(120);
    ledger.queue().keep_time().unwrap();
    let owed = ledger.queue().owed("hook").unwrap();
    let groups: Vec<_> = owed.iter().map(|owed| (owed.event, owed.groups(), owed.at_us())).collect();
    let finance_and_board = vec![group("board"), group("finance")];
    assert_eq!(
        groups,
        [
            (ApprovalEvent::Reminded, finance_and_board, START.plus_seconds(60)),
            (ApprovalEvent::Escalated, vec![group("board")], START.plus_seconds(120)),
        ]
    );
    let approval = ledger.queue().approve(&id("a"), &says(&person("carol")), None).unwrap();
    assert_eq!(approval.state, ApprovalState::Approved);
}

#[test]
fn f69_the_outbox_is_the_log_and_owes_until_a_channel_was_told() {
    let ledger = asked(&["a", "b"]);
    assert_eq!(owed(&ledger, "hook"), ["a:asked", "b:asked"]);
    // A process that dies here has told nobody; the next one owes the same.
    let ledger = ledger.reopened(staff());
    assert_eq!(tell(&ledger, "hook"), ["a:asked", "b:asked"]);
    assert_eq!(owed(&ledger, "hook"), [""; 0]);
    assert_eq!(owed(&ledger, "other"), ["a:asked", "b:asked"], "each channel for itself");
    ledger.queue().deny(&id("a"), &says(&person("alice")), None).unwrap();
    let ledger = ledger.reopened(staff());
    assert_eq!(owed(&ledger, "hook"), ["a:decided"]);
    assert_eq!(owed(&ledger, "other"), ["b:asked"], "what ended before it was told is no news");
    ledger.host.advance(3600);
    ledger.queue().keep_time().unwrap();
    assert_eq!(tell(&ledger, "hook"), ["a:decided", "b:reminded", "b:escalated", "b:breached", "b:ended"]);
    assert_eq!(owed(&ledger, "hook"), [""; 0]);
    assert_eq!(owed(&ledger, "other"), [""; 0]);
}

#[test]
fn f69_nothing_is_told_that_did_not_happen_and_telling_twice_changes_nothing() {
    let ledger = asked(&["a"]);
    let told = |event| {
        let (channel, until_us) = ("hook".into(), None);
        ledger.put(LedgerOp::Told(ApprovalTold { approval: id("a"), event, channel, until_us }))
    };
    assert!(told(ApprovalEvent::Decided).is_err());
    let first = ledger.queue().owed("hook").unwrap().remove(0);
    assert!(ledger.queue().told(&first, &"hook".into()).unwrap());
    assert!(told(ApprovalEvent::Asked).is_err());
    let length = ledger.log().len();
    assert!(!ledger.queue().told(&first, &"hook".into()).unwrap());
    assert_eq!(ledger.log().len(), length);
}

#[test]
fn f69_of_several_processes_one_tells_and_another_takes_over_when_it_dies() {
    let ledger = asked(&["a"]);
    let (hook, ten) = ("hook".into(), Duration::from_secs(10));
    let notice = ledger.queue().owed("hook").unwrap().remove(0);
    assert!(ledger.queue().tell(&notice, &hook, ten).unwrap());
    let other = ledger.reopened(staff());
    assert!(!other.queue().tell(&notice, &hook, ten).unwrap());
    assert_eq!(owed(&other, "hook"), [""; 0]);
    // The first one died on its way: nobody said that it was told.
    other.host.advance(10);
    assert_eq!(owed(&other, "hook"), ["a:asked"]);
    assert!(other.queue().tell(&notice, &hook, ten).unwrap());
    assert!(other.queue().untold(&notice, &hook).unwrap());
    assert_eq!(owed(&other, "hook"), ["a:asked"], "it failed, and is owed at once");
    assert!(other.queue().tell(&notice, &hook, ten).unwrap());
    assert!(other.queue().told(&notice, &hook).unwrap());
    let after = other.reopened(staff());
    assert_eq!(owed(&after, "hook"), [""; 0]);
    assert!(after.queue().get(&id("a")).unwrap().unwrap().telling.is_empty());
}

#[test]
fn f69_of_50_reviewers_one_claims_and_only_that_one_can_say_yes() {
    let names: Vec<String> = (0..50).map(|number| format!("reviewer-{number}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let ledger = asked(&["a"]).reopened(reviewers(&[("finance", &members)]));
    let barrier = Barrier::new(50);
    let claimed: Vec<bool> = std::thread::scope(|scope| {
        let claim =
            |name: &String| {
                let (ledger, barrier, name) = (&ledger, &barrier, person(name));
                scope.spawn(move || {
                    barrier.wait();
                    let claim = ledger.queue().claim(&id("a"), &name, Duration::from_secs(600));
                    assert!(claim.as_ref().err().is_none_or(
                        |error| matches!(error, QueueError::Approval(error) if error.is_conflict())
                    ));
                    claim.is_ok()
                })
            };
        let claims: Vec<_> = names.iter().map(claim).collect();
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    assert_eq!(claimed.iter().filter(|claimed| **claimed).count(), 1);
    let winner = claimed.iter().position(|claimed| *claimed).unwrap();
    let other = person(&names[(winner + 1) % 50]);
    let refused = ledger.queue().approve(&id("a"), &says(&other), None).unwrap_err();
    assert!(
        matches!(&refused, QueueError::Approval(ApprovalError::Claimed { by, .. }) if by.0.as_ref() == names[winner]),
        "{refused}"
    );
    let approval = ledger.queue().approve(&id("a"), &says(&person(&names[winner])), None).unwrap();
    assert_eq!((approval.state, approval.claim), (ApprovalState::Approved, None));
}

#[test]
fn f69_a_claim_lapses_is_given_back_and_never_stops_a_no() {
    let ledger = asked(&["a", "b", "c"]);
    let (alice, bob) = (person("alice"), person("bob"));
    let claim = |name: &str, who: &ApproverId| ledger.queue().claim(&id(name), who, Duration::from_secs(60));
    claim("a", &alice).unwrap();
    claim("a", &alice).unwrap();
    assert!(claim("a", &bob).is_err());
    ledger.host.advance(60);
    claim("a", &bob).unwrap();
    assert!(ledger.queue().release(&id("a"), &alice).is_err());
    ledger.queue().release(&id("a"), &bob).unwrap();
    ledger.queue().approve(&id("a"), &says(&alice), None).unwrap();
    assert!(claim("a", &alice).is_err(), "what is decided is not claimed");
    claim("b", &alice).unwrap();
    ledger.queue().deny(&id("b"), &says(&bob), None).unwrap();
    for stranger in ["eve", "carol", ""] {
        let refused = claim("c", &person(stranger)).unwrap_err();
        assert!(matches!(&refused, QueueError::Approval(error) if error.is_forbidden()), "{refused}");
    }
    assert!(ledger.queue().claim(&id("c"), &alice, Duration::from_secs(86_401)).is_err());
    let kept = ledger.reopened(staff());
    assert_eq!(kept.queue().get(&id("b")).unwrap(), ledger.queue().get(&id("b")).unwrap());
}

#[test]
fn f69_of_50_that_record_the_same_each_ends_well_and_it_stands_once() {
    let ledger = Arc::new(asked(&["a"]));
    ledger.host.advance(200);
    let marks: usize = std::thread::scope(|scope| {
        let keepers: Vec<_> =
            (0..50).map(|_| scope.spawn(|| ledger.queue().keep_time().unwrap().len())).collect();
        keepers.into_iter().map(|keeper| keeper.join().unwrap()).sum()
    });
    assert_eq!(marks, 3);
}
