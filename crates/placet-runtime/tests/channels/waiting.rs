//! Waiting for votes made elsewhere.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use placet_runtime::config::Config;
use placet_runtime::pipeline::{Begun, Pipeline, PipelineOptions};
use placet_runtime::{Gate, GateOptions, SystemClock};
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite};
use placet_trust::approvals::queue::{Proof, Queue, QueueError};
use placet_trust::approvals::{ApprovalError, Reviewers};
use placet_types::ledger::{ApprovalState, VoteStrength};
use placet_types::{ApproverId, ReviewerGroup};

use crate::common::{
    Bench, POLICY, Spy, TestHost, bench, bench_over, code, event, gate, pay, pending, vote, within,
};

#[test]
fn f16_a_call_waits_for_a_vote_made_elsewhere_and_runs_once() {
    for (approve, wanted) in [(true, "allowed"), (false, "approval_denied")] {
        let bench = bench();
        let got = std::thread::scope(|scope| {
            let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(500), &within(20_000))));
            let id = pending(bench.ledger.as_ref()).entry.id;
            vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, approve).unwrap();
            call.join().unwrap()
        });
        assert_eq!((got, &*bench.ledger.last_code()), (wanted, wanted));
        let again = if approve { "approval_required" } else { "approval_denied" };
        assert_eq!(code(bench.pipeline.begin(pay(500))), again, "an approval is used once, a no holds");
    }
}

#[test]
fn f67_a_vote_through_another_connection_wakes_the_wait_within_200_ms() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let settings = Settings::new(KeyFolder::new(folder.path().join("keys")));
        LogLedger::new(Sqlite::new(folder.path().join("audit.db")), settings)
    };
    let bench = bench_over(Spy::new(open()), |_| {});
    let other = open();
    let mut late: Vec<Duration> = (500..507)
        .map(|amount| {
            std::thread::scope(|scope| {
                let call = scope.spawn(|| {
                    let got = code(bench.pipeline.begin_waiting(&pay(amount), &within(20_000)));
                    (got, Instant::now())
                });
                let id = pending(&other).entry.id;
                vote(&other, &id, "ann", Proof::Asserted, true).unwrap();
                let voted = Instant::now();
                let (got, woken) = call.join().unwrap();
                assert_eq!(got, "allowed");
                woken.saturating_duration_since(voted)
            })
        })
        .collect();
    late.sort_unstable();
    // A machine with other work to do may hold up some of them; `placet-testkit/examples/wake.rs` measures.
    assert!(late[late.len() / 2] < Duration::from_millis(200), "{late:?}");
}

#[test]
fn f67_a_wait_survives_the_restart_of_the_waiting_side() {
    let bench = bench();
    let first = code(bench.pipeline.begin_waiting(&pay(500), &within(50)));
    assert_eq!((first, &*bench.ledger.last_code()), ("approval_timeout", "approval_timeout"));
    let options = PipelineOptions { ledger: Some(bench.ledger.clone()), ..PipelineOptions::default() };
    let restarted = Arc::new(Pipeline::new(gate(POLICY), options));
    let got = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(restarted.begin_waiting(&pay(500), &within(20_000))));
        let id = pending(bench.ledger.as_ref()).entry.id;
        vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
        call.join().unwrap()
    });
    assert_eq!(got, "allowed", "the same request was joined");
}

#[test]
fn kite_20_15_a_request_past_its_expiry_is_dead() {
    let bench = bench_over(Spy::memory(Reviewers::new()), |options| options.approvals.lifetime_seconds = 1);
    let got = code(bench.pipeline.begin_waiting(&pay(500), &within(20_000)));
    assert_eq!((got, &*bench.ledger.last_code()), ("approval_expired", "approval_expired"));
    let ledger = bench.ledger.as_ref();
    assert!(Queue::new(ledger, &TestHost).pending().unwrap().is_empty());
}

#[test]
fn kite_20_15_a_wait_that_is_ended_returns_at_once_and_leaves_the_request() {
    let bench = bench();
    let waiting = within(20_000);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(500), &waiting)));
        let id = pending(bench.ledger.as_ref()).entry.id;
        let stopped = Instant::now();
        waiting.stop.stop();
        assert_eq!(call.join().unwrap(), "approval_required");
        assert!(stopped.elapsed() < Duration::from_secs(2));
        assert_eq!(pending(bench.ledger.as_ref()).entry.id, id);
    });
}

#[test]
fn kite_20_15_a_vote_after_the_end_of_a_wait_is_left_for_another_call() {
    for amount in 500..520 {
        let bench = bench();
        let waiting = within(20_000);
        let got = std::thread::scope(|scope| {
            let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(amount), &waiting)));
            let id = pending(bench.ledger.as_ref()).entry.id;
            waiting.stop.stop();
            vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
            call.join().unwrap()
        });
        assert_eq!(got, "approval_required");
        assert_eq!(code(bench.pipeline.begin(pay(amount))), "allowed");
    }
}

#[test]
fn kite_20_15_who_asks_cannot_answer() {
    let bench = bench();
    let call = event(
        r#"{"action":"pay","args":{"amount":500},"context":{"session_id":"s1","delegation_depth":0},
            "session":{"id":"s1","agent_id":"payer","user":"mallory"}}"#,
    );
    assert_eq!(code(bench.pipeline.begin(call)), "approval_required");
    let id = pending(bench.ledger.as_ref()).entry.id;
    for asker in ["payer", "Mallory "] {
        let refused = vote(bench.ledger.as_ref(), &id, asker, Proof::Asserted, true).unwrap_err();
        assert!(matches!(refused, QueueError::Approval(ApprovalError::Requester { .. })), "{refused}");
    }
    vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
}

#[test]
fn kite_20_15_what_was_taken_back_is_refused_and_not_asked_again() {
    let bench = bench();
    let got = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(500), &within(20_000))));
        let id = pending(bench.ledger.as_ref()).entry.id;
        let ledger = bench.ledger.as_ref();
        Queue::new(ledger, &TestHost).cancel(&id, "ann", "withdrawn").unwrap();
        call.join().unwrap()
    });
    assert_eq!((got, &*bench.ledger.last_code()), ("approval_invalid", "approval_invalid"));
}

#[test]
fn f68_the_policy_of_the_moment_decides_after_a_yes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let clock = Arc::new(SystemClock::default());
    let options = GateOptions { policies: vec![file.clone()], clock, ..GateOptions::default() };
    let gate = Gate::open(options).unwrap();
    let ledger = Spy::memory(Reviewers::new());
    let options = PipelineOptions { ledger: Some(ledger.clone()), ..PipelineOptions::default() };
    let bench = Bench { pipeline: Arc::new(Pipeline::new(gate, options)), ledger };
    let got = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(500), &within(20_000))));
        let id = pending(bench.ledger.as_ref()).entry.id;
        let stricter = "version: 1\nrules:\n- { name: never, when: { action: pay }, then: deny }\n";
        std::fs::write(&file, stricter).unwrap();
        // The gate looks at its files at most once a second.
        std::thread::sleep(Duration::from_millis(1_100));
        vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
        call.join().unwrap()
    });
    assert_eq!(got, "denied_by_rule");
    assert_eq!(bench.ledger.last_code(), "denied_by_rule");
}

fn wire() -> placet_types::Event {
    event(r#"{"action":"wire","args":{},"context":{"session_id":"s1","delegation_depth":0}}"#)
}

/// A deployment whose configuration names a group and a key.
fn configured(strength: VoteStrength, key: &SigningKey) -> Bench {
    let public = BASE64.encode(key.verifying_key().as_bytes());
    let text = format!(
        "approvals:\n  groups: {{ finance: [alice], ops: [bob] }}\n  keys: {{ alice: ['{public}'] }}\n"
    );
    let config = Config::parse(&text, "placet.yaml", std::path::Path::new("")).unwrap();
    let ledger = Spy::memory(config.approvals.reviewers().unwrap());
    bench_over(ledger, |options| options.approvals.strength = strength)
}

#[test]
fn f71_only_the_group_that_the_rule_names_may_answer() {
    let bench = configured(VoteStrength::Asserted, &SigningKey::from_bytes(&[7; 32]));
    let ledger = bench.ledger.as_ref();
    assert_eq!(code(bench.pipeline.begin(wire())), "approval_required");
    let approval = pending(ledger);
    assert_eq!(approval.entry.quorums[0].any_of, [ReviewerGroup("finance".into())]);
    for stranger in ["bob", "eve"] {
        let refused = vote(ledger, &approval.entry.id, stranger, Proof::Asserted, true).unwrap_err();
        assert!(matches!(&refused, QueueError::Approval(error) if error.is_forbidden()), "{refused}");
    }
    let approved = vote(ledger, &approval.entry.id, "alice", Proof::Asserted, true).unwrap();
    assert_eq!(approved.state, ApprovalState::Approved);
    assert_eq!(code(bench.pipeline.begin(wire())), "allowed");
}

#[test]
fn f71_where_signatures_are_asked_for_a_word_is_not_enough() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let bench = configured(VoteStrength::Signed, &key);
    let ledger = bench.ledger.as_ref();
    assert_eq!(code(bench.pipeline.begin(wire())), "approval_required");
    let id = pending(ledger).entry.id;
    let other = SigningKey::from_bytes(&[8; 32]);
    for weak in [Proof::Asserted, Proof::Session, Proof::Key(&other)] {
        let refused = vote(ledger, &id, "alice", weak, true).unwrap_err();
        assert!(matches!(&refused, QueueError::Approval(error) if error.is_forbidden()), "{refused}");
    }
    vote(ledger, &id, "alice", Proof::Key(&key), true).unwrap();
    assert_eq!(code(bench.pipeline.begin(wire())), "allowed");
}

#[test]
fn f71_a_channel_whose_word_is_too_weak_refuses() {
    use placet_runtime::channels::Callback;
    let bench = configured(VoteStrength::Signed, &SigningKey::from_bytes(&[7; 32]));
    let yes = Callback::new(ApproverId::from("alice"), |_, _| Ok(placet_types::Value::Bool(true)));
    let got = code(bench.pipeline.begin_waiting(&wire(), &crate::common::asking(yes)));
    assert_eq!((got, &*bench.ledger.last_code()), ("approval_failed", "approval_failed"));
}

#[test]
fn f68_two_calls_that_wait_for_one_approval_run_once() {
    let bench = bench();
    let ran = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| match bench.pipeline.begin_waiting(&pay(500), &within(700)) {
                    Begun::Started(_) => 1,
                    Begun::Refused(_) => 0,
                })
            })
            .collect();
        let id = pending(bench.ledger.as_ref()).entry.id;
        vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
        calls.into_iter().map(|call| call.join().unwrap()).sum::<u32>()
    });
    assert_eq!(ran, 1);
}
