//! The queue, as people and waiting calls use it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Barrier;
use std::time::{Duration, Instant};

use placet_trust::approvals::queue::{Proof, Queue, QueueError, Voter};
use placet_trust::approvals::{ApprovalError, Reviewers};
use placet_trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, State, TenantKey};
use placet_types::ledger::{ApprovalState, VoteStrength};
use placet_types::{Ack, LedgerOp};

use super::common::*;

/// A ledger in which these requests wait, asked one second after another.
fn waiting(names: &[&str]) -> TestLedger {
    let ledger = TestLedger::new(Reviewers::new());
    for (number, name) in names.iter().enumerate() {
        let mut subject = subject();
        subject.args = args(u8::try_from(number).unwrap());
        ledger.queue().ask(request(name, &subject), None, Vec::new()).unwrap();
        ledger.host.advance(1);
    }
    ledger
}

fn soon(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

#[test]
fn f67_of_50_deciders_exactly_one_wins() {
    for round in 0..20 {
        let ledger = waiting(&["a"]);
        let barrier = Barrier::new(50);
        let outcomes: Vec<(usize, Result<_, QueueError>)> = std::thread::scope(|scope| {
            let deciders: Vec<_> = (0..50)
                .map(|number| {
                    let (ledger, barrier) = (&ledger, &barrier);
                    scope.spawn(move || {
                        let approver = person(&format!("decider-{number}"));
                        barrier.wait();
                        let queue = ledger.queue();
                        let outcome = if number % 2 == round % 2 {
                            queue.approve(&id("a"), &says(&approver), None)
                        } else {
                            queue.deny(&id("a"), &says(&approver), None)
                        };
                        (number, outcome)
                    })
                })
                .collect();
            deciders.into_iter().map(|decider| decider.join().unwrap()).collect()
        });
        let row = ledger.queue().get(&id("a")).unwrap().unwrap();
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!(winners.len(), 1);
        let winner = winners[0].0;
        assert_eq!(row.decided.as_ref().unwrap().by, person(&format!("decider-{winner}")));
        let wanted = if winner % 2 == round % 2 { ApprovalState::Approved } else { ApprovalState::Denied };
        assert_eq!((row.state, row.votes.len()), (wanted, 1));
        for (_, outcome) in outcomes {
            if let Err(QueueError::Approval(error)) = outcome {
                assert!(error.is_conflict(), "{error}");
            }
        }
    }
}

#[test]
fn f67_pending_requests_come_oldest_first() {
    let ledger = waiting(&["c", "a", "d", "b"]);
    ledger.queue().deny(&id("d"), &says(&person("alice")), None).unwrap();
    let names: Vec<_> =
        ledger.queue().pending().unwrap().iter().map(|approval| approval.entry.id.to_string()).collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[test]
fn kite_r16_a_waiter_wakes_when_another_queue_decides() {
    let ledger = waiting(&["a"]);
    std::thread::scope(|scope| {
        let waiter = scope.spawn({
            let ledger = &ledger;
            move || {
                let row = ledger.queue().wait_for_decision(&id("a"), soon(10_000)).unwrap();
                (row.state, Instant::now())
            }
        });
        ledger.until_waits(1);
        // Wakes for other news, and goes on waiting.
        let mut other = subject();
        other.args = args(9);
        ledger.queue().ask(request("other", &other), None, Vec::new()).unwrap();
        ledger.until_waits(2);
        let decided = Instant::now();
        ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
        let (state, woke) = waiter.join().unwrap();
        assert_eq!(state, ApprovalState::Approved);
        assert!(woke.saturating_duration_since(decided) < Duration::from_millis(200));
    });
}

#[test]
fn f67_a_decision_made_before_the_wait_returns_at_once() {
    let ledger = waiting(&["a"]);
    ledger.queue().deny(&id("a"), &says(&person("alice")), Some("too much")).unwrap();
    let begun = Instant::now();
    let row = ledger.queue().wait_for_decision(&id("a"), soon(10_000)).unwrap();
    assert_eq!(row.state, ApprovalState::Denied);
    assert!(begun.elapsed() < Duration::from_millis(200));
}

#[test]
fn f67_a_wait_without_a_decision_times_out_and_a_late_yes_is_refused() {
    let ledger = waiting(&["a", "b"]);
    let row = ledger.queue().wait_for_decision(&id("a"), soon(20)).unwrap();
    assert_eq!((row.state, row.closed.unwrap().code.as_ref()), (ApprovalState::Expired, "timeout"));
    assert_eq!(row.decided, None);
    let late = ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap_err();
    assert!(matches!(late, QueueError::Approval(ApprovalError::State { state: ApprovalState::Expired, .. })));
    // Who only looks leaves the request to others.
    assert_eq!(ledger.queue().wait(&id("b"), soon(20)).unwrap().state, ApprovalState::Pending);
    ledger.queue().approve(&id("b"), &says(&person("alice")), None).unwrap();
}

#[test]
fn f67_a_wait_ends_with_the_expiry_of_the_request() {
    let ledger = waiting(&["a"]);
    ledger.host.advance(3600);
    let begun = Instant::now();
    let row = ledger.queue().wait_for_decision(&id("a"), soon(10_000)).unwrap();
    assert_eq!((row.state, row.closed.unwrap().code.as_ref()), (ApprovalState::Expired, "expired"));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn f67_a_waiter_wakes_when_the_request_expires_without_any_news() {
    let ledger = waiting(&["a"]);
    ledger.host.advance(3598);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let row = ledger.queue().wait(&id("a"), soon(30_000)).unwrap();
            (row.state_at(START.plus_seconds(3600)), Instant::now())
        });
        ledger.until_waits(1);
        let begun = Instant::now();
        ledger.host.advance(1);
        let (state, woke) = waiter.join().unwrap();
        assert_eq!(state, ApprovalState::Expired);
        assert!(woke.saturating_duration_since(begun) < Duration::from_secs(10));
    });
}

/// A ledger in which somebody approves just before an end is written down.
struct Overtaken<'a>(&'a TestLedger);

impl Ledger for Overtaken<'_> {
    fn commit(&self, proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError> {
        if matches!(proposal.record.ops.first(), Some(LedgerOp::Close(_))) {
            // The second time it is approved already.
            let _ = self.0.queue().approve(&id("a"), &says(&person("alice")), None);
        }
        self.0.commit(proposal, ack)
    }

    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        self.0.read(freshness, look)
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        self.0.wait(seen, until)
    }

    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        self.0.tenant_key(tenant)
    }
}

#[test]
fn f67_a_decision_in_the_last_moment_wins_over_the_timeout() {
    let ledger = waiting(&["a"]);
    let overtaken = Overtaken(&ledger);
    let row = Queue::new(&overtaken, ledger.host.as_ref()).wait_for_decision(&id("a"), soon(0)).unwrap();
    assert_eq!(row.state, ApprovalState::Approved);
    let ledger = waiting(&["a"]);
    let overtaken = Overtaken(&ledger);
    let row = Queue::new(&overtaken, ledger.host.as_ref()).cancel(&id("a"), "test", "withdrawn").unwrap();
    assert_eq!(row.state, ApprovalState::Cancelled, "taking back also ends what was just approved");
}

#[test]
fn f67_an_unknown_request_is_an_error_everywhere() {
    let ledger = waiting(&[]);
    let alice = person("alice");
    let queue = ledger.queue();
    assert_eq!(queue.get(&id("x")).unwrap(), None);
    for outcome in [
        queue.approve(&id("x"), &says(&alice), None),
        queue.deny(&id("x"), &says(&alice), None),
        queue.wait_for_decision(&id("x"), soon(10)),
        queue.cancel(&id("x"), "test", "withdrawn"),
    ] {
        assert!(matches!(outcome, Err(QueueError::Approval(ApprovalError::Unknown(_)))));
    }
}

#[test]
fn f67_old_requests_expire_in_one_sweep() {
    let ledger = waiting(&["a", "b"]);
    ledger.host.advance(299);
    // `a` has waited 301 seconds, `b` 300.
    assert_eq!(ledger.queue().expire_older_than(Duration::from_secs(301)).unwrap(), 1);
    assert_eq!(ledger.queue().get(&id("a")).unwrap().unwrap().state, ApprovalState::Expired);
    assert_eq!(ledger.queue().expire_older_than(Duration::from_secs(301)).unwrap(), 0);
    assert_eq!(ledger.queue().expire().unwrap(), 0);
    assert_eq!(ledger.queue().pending().unwrap().len(), 1);
}

#[test]
fn aegis_65_the_record_says_who_when_how_and_why_and_survives_a_restart() {
    let ledger = waiting(&["a"]);
    let alice = person("alice");
    let voter = Voter { approver: &alice, proof: Proof::Asserted, channel: "terminal" };
    ledger.queue().approve(&id("a"), &voter, Some("the invoice is real")).unwrap();
    let again = ledger.reopened(Reviewers::new());
    let row = again.queue().get(&id("a")).unwrap().unwrap();
    let mut asked = subject();
    asked.args = args(0);
    let wanted = request("a", &asked);
    assert_eq!(row.entry, wanted, "id, digest, rules, policy, expiry and the rest");
    let decided = row.decided.unwrap();
    assert_eq!((decided.by, decided.at_us), (alice, START.plus_seconds(1)));
    assert_eq!(again.view(&decided.record)["reason"], "the invoice is real");
    let vote = &row.votes[0].vote;
    assert_eq!(
        (vote.channel.as_ref(), vote.strength, vote.approve),
        ("terminal", VoteStrength::Asserted, true)
    );
    // The reason is personal, so it is not in the log itself.
    assert!(!again.log().iter().any(|line| line.contains("invoice")));
    again.consume(&id("a"), wanted.digest).unwrap();
}

#[test]
fn aegis_d42_a_request_that_waits_survives_a_restart() {
    let ledger = waiting(&["a"]).reopened(Reviewers::new());
    assert_eq!(ledger.queue().pending().unwrap().len(), 1);
    ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
}

#[test]
fn f67_cancelling_ends_an_approved_request_too() {
    let ledger = waiting(&["a"]);
    ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
    let row = ledger.queue().cancel(&id("a"), "agent-7", "withdrawn").unwrap();
    assert_eq!((row.state, row.closed.unwrap().code.as_ref()), (ApprovalState::Cancelled, "withdrawn"));
    assert!(ledger.consume(&id("a"), row.entry.digest).is_err());
    let twice = ledger.queue().cancel(&id("a"), "agent-7", "withdrawn").unwrap_err();
    assert!(matches!(twice, QueueError::Approval(error) if error.is_conflict()));
}
