//! Who may vote, and what a vote proves.
// SPDX-License-Identifier: MIT OR Apache-2.0

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use placet_trust::approvals::queue::{Host, Proof, QueueError, Voter};
use placet_trust::approvals::{ApprovalError, Ballot, Reviewers};
use placet_types::ledger::{ApprovalState, Vote, VoteStrength};
use placet_types::{ApproverId, DenyCause, RecordId};

use super::common::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(key: &SigningKey) -> String {
    BASE64.encode(key.verifying_key().as_bytes())
}

/// Alice and Bob of finance and Sam of security, each with a key.
fn team() -> Reviewers {
    let mut team = reviewers(&[("finance", &["alice", "bob"]), ("security", &["sam"])]);
    for (name, seed) in [("alice", 1), ("bob", 2), ("sam", 3)] {
        team.add_key(person(name), &public(&key(seed))).unwrap();
    }
    team
}

/// A ledger in which the request `a` waits.
fn waiting(reviewers: Reviewers, strength: VoteStrength, quorums: &[(&[&str], u32)]) -> TestLedger {
    let ledger = TestLedger::new(reviewers);
    let mut subject = subject();
    subject.strength = strength;
    subject.quorums = quorums.iter().map(|(groups, count)| quorum(groups, *count)).collect();
    ledger.queue().ask(request("a", &subject), None, Vec::new()).unwrap();
    ledger
}

fn vote(
    ledger: &TestLedger,
    name: &str,
    proof: Proof<'_>,
    approve: bool,
) -> Result<ApprovalState, ApprovalError> {
    let approver = person(name);
    let voter = Voter { approver: &approver, proof, channel: "cli" };
    let queue = ledger.queue();
    let outcome =
        if approve { queue.approve(&id("a"), &voter, None) } else { queue.deny(&id("a"), &voter, None) };
    match outcome {
        Ok(approval) => Ok(approval.state),
        Err(QueueError::Approval(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn digest_of(ledger: &TestLedger) -> placet_types::Digest {
    ledger.queue().get(&id("a")).unwrap().unwrap().entry.digest
}

#[test]
fn f71_only_members_of_the_group_answer() {
    let ledger = waiting(
        reviewers(&[("finance-oncall", &["alice"]), ("it", &["ivan"])]),
        VoteStrength::Asserted,
        &[(&["finance-oncall"], 1)],
    );
    for stranger in ["ivan", "nobody", "", "\u{200b}", "finance-oncall"] {
        let refused = vote(&ledger, stranger, Proof::Asserted, true).unwrap_err();
        assert!(refused.is_forbidden() && !refused.is_conflict(), "{stranger}: {refused}");
        assert!(vote(&ledger, stranger, Proof::Asserted, false).unwrap_err().is_forbidden());
    }
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, true), Ok(ApprovalState::Approved));
    ledger.consume(&id("a"), digest_of(&ledger)).unwrap();
}

#[test]
fn f71_a_claimed_group_counts_only_when_it_is_configured() {
    let ledger = waiting(
        reviewers(&[("finance", &["alice"]), ("it", &["ivan"])]),
        VoteStrength::Asserted,
        &[(&["finance"], 1)],
    );
    let forged = Vote {
        approval: id("a"),
        digest: digest_of(&ledger),
        approver: person("ivan"),
        groups: vec![group("finance")],
        approve: true,
        strength: VoteStrength::Asserted,
        channel: "api".into(),
        at_us: START,
        record: RecordId::from("forged"),
        signature: None,
        key: None,
    };
    let refused = ledger.queue().vote(forged, None).unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::NotReviewer { .. })), "{refused}");
}

#[test]
fn f71_nobody_configured_means_that_a_named_group_cannot_answer() {
    let ledger = waiting(Reviewers::new(), VoteStrength::Asserted, &[(&["finance"], 1)]);
    assert!(vote(&ledger, "alice", Proof::Asserted, true).unwrap_err().is_forbidden());
    let open = waiting(Reviewers::new(), VoteStrength::Asserted, &[(&[], 1)]);
    assert!(vote(&open, "alice", Proof::Session, true).unwrap_err().is_forbidden());
    assert!(vote(&open, "alice", Proof::Key(&key(1)), true).unwrap_err().is_forbidden());
    assert_eq!(vote(&open, "alice", Proof::Asserted, true), Ok(ApprovalState::Approved));
}

#[test]
fn kite_20_15_who_asked_cannot_answer_under_any_spelling_of_the_name() {
    let ledger = waiting(Reviewers::new(), VoteStrength::Asserted, &[(&[], 1)]);
    for name in ["mallory", "Mallory", " mallory ", "mal\u{200b}lory", "\u{ff4d}allory", "agent-7", "AGENT-7"]
    {
        let refused = vote(&ledger, name, Proof::Asserted, true).unwrap_err();
        assert!(matches!(refused, ApprovalError::Requester { .. }), "{name:?}: {refused}");
    }
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, true), Ok(ApprovalState::Approved));
}

#[test]
fn every_quorum_needs_its_own_number_of_different_people() {
    let ledger = waiting(team(), VoteStrength::Asserted, &[(&["finance"], 2), (&["security"], 1)]);
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, true), Ok(ApprovalState::Pending));
    let twice = vote(&ledger, "alice", Proof::Session, true).unwrap_err();
    assert!(matches!(twice, ApprovalError::Repeated { .. }) && twice.is_conflict(), "{twice}");
    assert_eq!(vote(&ledger, "sam", Proof::Asserted, true), Ok(ApprovalState::Pending));
    let early = ledger.consume(&id("a"), digest_of(&ledger)).unwrap_err();
    assert_eq!(early.cause, DenyCause::ApprovalInvalid);
    assert_eq!(vote(&ledger, "bob", Proof::Asserted, true), Ok(ApprovalState::Approved));
    ledger.consume(&id("a"), digest_of(&ledger)).unwrap();
}

#[test]
fn one_person_under_two_spellings_counts_once() {
    let ledger = waiting(Reviewers::new(), VoteStrength::Asserted, &[(&[], 2)]);
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, true), Ok(ApprovalState::Pending));
    for again in ["Alice", "alice ", "al\u{ad}ice"] {
        assert!(matches!(vote(&ledger, again, Proof::Asserted, true), Err(ApprovalError::Repeated { .. })));
    }
    assert_eq!(vote(&ledger, "bob", Proof::Asserted, true), Ok(ApprovalState::Approved));
}

#[test]
fn one_no_is_final_even_after_a_yes_and_of_the_same_person() {
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 2)]);
    assert_eq!(vote(&ledger, "alice", Proof::Key(&key(1)), true), Ok(ApprovalState::Pending));
    // A no needs less proof than a yes.
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, false), Ok(ApprovalState::Denied));
    let late = vote(&ledger, "bob", Proof::Key(&key(2)), true).unwrap_err();
    assert!(matches!(late, ApprovalError::State { state: ApprovalState::Denied, .. }), "{late}");
    let refused = ledger.consume(&id("a"), digest_of(&ledger)).unwrap_err();
    assert_eq!(refused.cause, DenyCause::ApprovalDenied);
}

#[test]
fn a_weaker_yes_than_asked_for_does_not_count() {
    use VoteStrength::{Asserted, Session, Signed};
    let alice = key(1);
    let proofs = [(Asserted, Proof::Asserted), (Session, Proof::Session), (Signed, Proof::Key(&alice))];
    for needed in [Asserted, Session, Signed] {
        for (given, proof) in proofs {
            let ledger = waiting(team(), needed, &[(&["finance"], 1)]);
            let done = vote(&ledger, "alice", proof, true);
            assert_eq!(done.is_ok(), given >= needed, "{given} for {needed}");
            if let Err(refused) = done {
                assert!(matches!(refused, ApprovalError::TooWeak { .. }));
            }
        }
    }
}

/// A vote signed by hand, so that every part of it can be wrong.
fn signed(ledger: &TestLedger, key: &SigningKey, change: impl Fn(&mut Vote)) -> Vote {
    let entry = ledger.queue().get(&id("a")).unwrap().unwrap().entry;
    let mut vote = Vote {
        approval: id("a"),
        digest: entry.digest,
        approver: person("alice"),
        groups: vec![group("finance")],
        approve: true,
        strength: VoteStrength::Signed,
        channel: "api".into(),
        at_us: ledger.host.now(),
        record: RecordId::from(ledger.host.new_id()),
        signature: None,
        key: None,
    };
    let (signature, key_id) = Ballot::of(&entry, &vote).sign(key);
    (vote.signature, vote.key) = (Some(signature), Some(key_id));
    change(&mut vote);
    vote
}

#[test]
fn a_signature_covers_everything_that_a_vote_means() {
    type Change = fn(&mut Vote);
    let changes: [(&str, Change); 8] = [
        ("nothing", |_| {}),
        ("verdict", |vote| vote.approve = false),
        ("approver", |vote| (vote.approver, vote.groups) = (person("bob"), vec![group("finance")])),
        ("time", |vote| vote.at_us.0 += 1),
        ("no signature", |vote| vote.signature = None),
        ("other text", |vote| vote.signature = Some("AAAA".into())),
        ("other key id", |vote| vote.key = Some("0000000000000000".into())),
        ("weaker claim", |vote| vote.strength = VoteStrength::Session),
    ];
    for (what, change) in changes {
        let ledger = waiting(team(), VoteStrength::Asserted, &[(&["finance"], 1)]);
        let outcome = ledger.queue().vote(signed(&ledger, &key(1), change), None);
        assert_eq!(outcome.is_ok(), what == "nothing", "{what}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(
                matches!(error, QueueError::Approval(ApprovalError::Signature { .. })),
                "{what}: {error}"
            );
        }
    }
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 1)]);
    assert!(
        ledger.queue().vote(signed(&ledger, &key(2), |_| {}), None).is_err(),
        "the key of another reviewer"
    );
    assert!(ledger.queue().vote(signed(&ledger, &key(9), |_| {}), None).is_err(), "a key that nobody knows");
}

#[test]
fn every_field_of_a_ballot_is_signed() {
    let (approval, other) = (id("a"), id("b"));
    let (alice, bob) = (person("alice"), person("bob"));
    let (digest, another) = (args(1), args(2));
    let ballot = Ballot {
        approval: &approval,
        digest: &digest,
        approve: true,
        approver: &alice,
        issued_us: START,
        expires_us: START.plus_seconds(1),
    };
    let changed = [
        Ballot { approval: &other, ..ballot },
        Ballot { digest: &another, ..ballot },
        Ballot { approve: false, ..ballot },
        Ballot { approver: &bob, ..ballot },
        Ballot { issued_us: START.plus_seconds(2), ..ballot },
        Ballot { expires_us: START.plus_seconds(2), ..ballot },
    ];
    let all: std::collections::BTreeSet<_> = changed.iter().chain([&ballot]).map(Ballot::to_bytes).collect();
    assert_eq!(all.len(), 7);
}

#[test]
fn a_signed_vote_serves_no_other_request() {
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 1)]);
    let vote = signed(&ledger, &key(1), |_| {});
    let mut other = subject();
    (other.strength, other.quorums) = (VoteStrength::Signed, vec![quorum(&["finance"], 1)]);
    other.args = args(250);
    let entry = request("b", &other);
    ledger.queue().ask(entry.clone(), None, Vec::new()).unwrap();
    let moved = Vote { approval: id("b"), ..vote.clone() };
    let refused = ledger.queue().vote(moved, None).unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::OtherCall(_))), "{refused}");
    let moved = Vote { approval: id("b"), digest: entry.digest, ..vote };
    let refused = ledger.queue().vote(moved, None).unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::Signature { .. })), "{refused}");
}

#[test]
fn consuming_recounts_under_the_reviewers_of_that_moment() {
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 2)]);
    vote(&ledger, "alice", Proof::Key(&key(1)), true).unwrap();
    assert_eq!(vote(&ledger, "bob", Proof::Key(&key(2)), true), Ok(ApprovalState::Approved));
    let digest = digest_of(&ledger);
    let mut bob_left = reviewers(&[("finance", &["alice"])]);
    bob_left.add_key(person("alice"), &public(&key(1))).unwrap();
    let mut key_replaced = team_without_keys();
    key_replaced.add_key(person("alice"), &public(&key(1))).unwrap();
    key_replaced.add_key(person("bob"), &public(&key(5))).unwrap();
    for (what, reviewers) in [
        ("bob left", bob_left),
        ("bob's key was replaced", key_replaced),
        ("no keys", team_without_keys()),
        ("nobody is known", Reviewers::new()),
    ] {
        let refused = ledger.reopened(reviewers).consume(&id("a"), digest).unwrap_err();
        assert_eq!(refused.cause, DenyCause::ApprovalInvalid, "{what}");
    }
    let mut rotated = team();
    rotated.add_key(person("bob"), &public(&key(5))).unwrap();
    ledger.reopened(rotated).consume(&id("a"), digest).unwrap();
}

#[test]
fn consuming_counts_the_groups_of_that_moment_not_those_of_the_vote() {
    let both = reviewers(&[("finance", &["alice"]), ("security", &["alice", "sam"])]);
    let ledger = waiting(both, VoteStrength::Asserted, &[(&["finance"], 1), (&["security"], 1)]);
    assert_eq!(vote(&ledger, "alice", Proof::Asserted, true), Ok(ApprovalState::Approved));
    let left_security = reviewers(&[("finance", &["alice"]), ("security", &["sam"])]);
    let refused = ledger.reopened(left_security).consume(&id("a"), digest_of(&ledger)).unwrap_err();
    assert!(refused.reason.contains("0 of 1 valid votes of `security`"), "{}", refused.reason);
    ledger.consume(&id("a"), digest_of(&ledger)).unwrap();
}

#[test]
fn a_vote_that_claims_to_be_given_after_the_expiry_is_refused() {
    let ledger = waiting(team(), VoteStrength::Asserted, &[(&["finance"], 1)]);
    let late = signed(&ledger, &key(1), |vote| {
        vote.at_us = START.plus_seconds(3600);
        (vote.strength, vote.signature, vote.key) = (VoteStrength::Asserted, None, None);
    });
    let refused = ledger.queue().vote(late, None).unwrap_err();
    assert!(matches!(refused, QueueError::Approval(ApprovalError::Expired { .. })), "{refused}");
}

fn team_without_keys() -> Reviewers {
    reviewers(&[("finance", &["alice", "bob"]), ("security", &["sam"])])
}

/// The state of a log that goes on with votes which nobody checked: a process that does not check, or a forged leaf.
fn with_unchecked(ledger: &TestLedger, votes: Vec<Vote>) -> placet_trust::State {
    let mut state = placet_trust::State::default();
    state.approvals.set_reviewers(std::sync::Arc::new(team()));
    for line in ledger.log() {
        state.replay(&serde_json::from_str(&line).unwrap());
    }
    let fact = placet_types::Fact::Change(placet_types::record::ChangeFact { by: "forger".into() });
    let mut record = placet_types::Record::new(RecordId::from("forged"), fact);
    record.time_us = START;
    record.ops.extend(votes.into_iter().map(|vote| placet_types::LedgerOp::Vote(Box::new(vote))));
    state.replay(&record);
    state
}

fn consumed(state: &placet_trust::State, ledger: &TestLedger) -> Result<(), ApprovalError> {
    let consumption = placet_types::ledger::Consumption { approval: id("a"), digest: digest_of(ledger) };
    state.approvals.check_consume(&consumption, START)
}

#[test]
fn a_forged_signature_in_the_log_does_not_add_up() {
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 1)]);
    let forged = signed(&ledger, &key(9), |vote| vote.key = None);
    let state = with_unchecked(&ledger, vec![forged]);
    assert_eq!(state.approvals.get(&id("a")).unwrap().state, ApprovalState::Approved);
    let refused = consumed(&state, &ledger).unwrap_err();
    assert!(matches!(refused, ApprovalError::Signature { .. }), "{refused}");
}

#[test]
fn votes_of_one_person_in_the_log_count_once() {
    let ledger = waiting(team(), VoteStrength::Signed, &[(&["finance"], 2)]);
    let of_alice = || signed(&ledger, &key(1), |_| {});
    let state = with_unchecked(&ledger, vec![of_alice(), of_alice(), of_alice()]);
    assert_eq!(state.approvals.get(&id("a")).unwrap().state, ApprovalState::Pending);
    assert!(consumed(&state, &ledger).is_err());
}

#[test]
fn f70_the_next_group_may_answer_from_its_time_on() {
    let ledger = TestLedger::new(reviewers(&[("finance", &["alice"]), ("board", &["chair"])]));
    let mut subject = subject();
    subject.quorums = vec![quorum(&["finance"], 1)];
    subject.escalates_to = Some(group("board"));
    let mut entry = request("a", &subject);
    entry.escalate =
        Some(placet_types::ledger::Escalation { at_us: START.plus_seconds(600), group: group("board") });
    ledger.queue().ask(entry, None, Vec::new()).unwrap();
    ledger.host.advance(599);
    assert!(vote(&ledger, "chair", Proof::Asserted, true).unwrap_err().is_forbidden());
    ledger.host.advance(1);
    assert_eq!(vote(&ledger, "chair", Proof::Asserted, true), Ok(ApprovalState::Approved));
    ledger.consume(&id("a"), digest_of(&ledger)).unwrap();
}

#[test]
fn a_text_that_is_no_strong_key_is_refused() {
    let mut reviewers = Reviewers::new();
    let alice: ApproverId = person("alice");
    let weak = BASE64.encode(&{
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        identity
    });
    for text in ["", "not base64!", "AAAA", weak.as_str()] {
        let refused = reviewers.add_key(alice.clone(), text).unwrap_err();
        assert!(refused.to_string().contains("`alice`"), "{refused}");
    }
    assert!(!reviewers.knows(&alice));
}
