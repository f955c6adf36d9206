//! Somebody holds the keys and writes what does not fit: hashes, head and checkpoints hold, and both verifiers say so.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/judges.rs"]
mod judges;
mod support;

use std::path::PathBuf;

use judges::{answers, write_sqlite};
use placet_audit::leaf;
use placet_audit::verify::{Code, verify};
use placet_types::ledger::*;
use placet_types::record::{
    LostCheckpoint, OutcomeFact, OutcomeStatus, ROLLBACK_ACCEPTED, RecoveryFact, RollbackFact,
};
use placet_types::{Digest, Fact, LedgerOp, Micros, Record};
use serde_json::Value;
use support::*;

type Parts = (Fact, Vec<LedgerOp>);

const D: Digest = Digest([7; 32]);

fn ask(id: &str) -> LedgerOp {
    LedgerOp::Ask(Box::new(asked(id, D, "open-0")))
}

fn vote(id: &str, approve: bool, digest: Digest) -> LedgerOp {
    LedgerOp::Vote(Box::new(Vote { approve, ..voted(id, digest) }))
}

fn close(id: &str) -> LedgerOp {
    LedgerOp::Close(ApprovalClosing {
        approval: id.into(),
        from: ApprovalState::Pending,
        state: ApprovalState::Cancelled,
        code: "withdrawn".into(),
    })
}

fn claim(id: &str) -> LedgerOp {
    LedgerOp::Claim(ApprovalClaim { approval: id.into(), by: "bob".into(), until_us: Micros(9) })
}

fn mark(id: &str, event: ApprovalEvent) -> LedgerOp {
    LedgerOp::Mark(ApprovalMark { approval: id.into(), event, at_us: Micros(9) })
}

fn told(id: &str) -> LedgerOp {
    LedgerOp::Told(ApprovalTold {
        approval: id.into(),
        event: ApprovalEvent::Asked,
        channel: "web".into(),
        until_us: None,
    })
}

fn consume(id: &str) -> LedgerOp {
    LedgerOp::Consume(Consumption { approval: id.into(), digest: D })
}

fn reserve(id: &str, amount: u64, in_flight: bool) -> LedgerOp {
    let key =
        BudgetKey { scope: BudgetScope::Agent, owner: "a".into(), unit: BudgetUnit::ApiCalls, window: None };
    let expires_us = (!in_flight).then_some(Micros(i64::from(u32::MAX)));
    LedgerOp::Reserve(Reservation {
        id: id.into(),
        amounts: vec![Amount { key, amount, limit: None }],
        in_flight,
        expires_us,
    })
}

fn settle(id: &str) -> LedgerOp {
    LedgerOp::Settle(Settlement { id: id.into(), actual: Vec::new() })
}

fn issue(id: &str, parent: Option<&str>) -> LedgerOp {
    LedgerOp::Issue(CredentialEntry {
        id: id.into(),
        parent: parent.map(Into::into),
        session: "s1".into(),
        tenant: None,
        agent: None,
        role: None,
        scopes: vec!["read".into()],
        depth: 0,
        max_depth: 3,
        issued_us: Micros(1),
        not_before_us: None,
        expires_us: Micros(2),
        authority: D,
    })
}

fn by_credential(id: &str) -> Fact {
    let Fact::Decision(fact) = decision("allow", None) else { unreachable!() };
    Fact::Decision(placet_types::record::DecisionFact { credential: Some(id.into()), ..fact })
}

fn not_started(id: &str) -> Fact {
    let Fact::Outcome(fact) = outcome(id) else { unreachable!() };
    Fact::Outcome(OutcomeFact { status: OutcomeStatus::NotStarted, ..fact })
}

fn recovery(log: &Log) -> Fact {
    let report = verify(&mut log.source(), &keys(), None).unwrap();
    let (size, root) = (report.entries, report.root);
    let lost = vec![LostCheckpoint { kept: "anchor".into(), size: size + 5, root: D }];
    let rollback = Some(Box::new(RollbackFact { size, root, lost, by: "ann".into() }));
    Fact::Recovery(RecoveryFact { code: ROLLBACK_ACCEPTED.into(), count: 5, rollback })
}

fn accept() -> LedgerOp {
    LedgerOp::AcceptRollback(RollbackTerms { burn_budgets: false })
}

fn ops(ops: Vec<LedgerOp>) -> Parts {
    change("operator", ops)
}

/// What fits: every operation once, in its order.
fn fitting(log: &mut Log) {
    let records: Vec<Parts> = vec![
        ops(vec![ask("a1")]),
        ops(vec![told("a1"), claim("a1"), mark("a1", ApprovalEvent::Reminded)]),
        ops(vec![vote("a1", true, D)]),
        (decision("allow", Some("a1")), vec![consume("a1"), reserve("r1", 1, true)]),
        (outcome("good-3"), vec![settle("r1"), mark("a1", ApprovalEvent::Breached)]),
        ops(vec![ask("a2"), reserve("r2", 1, false)]),
        ops(vec![close("a2"), told("a2")]),
        ops(vec![reserve("r2", 2, false)]),
        ops(vec![reserve("r2", 2, true), reserve("r3", 1, false), ask("a3")]),
        (decision("allow", None), vec![issue("c1", None)]),
        (not_started("good-9"), vec![LedgerOp::Release("r2".into()), issue("c2", Some("c1"))]),
        (by_credential("c2"), vec![LedgerOp::Present(vec!["c1".into(), "c2".into()])]),
        // Of a broker that keeps its credentials elsewhere.
        (by_credential("elsewhere"), vec![]),
        ops(vec![vote("a3", false, D), LedgerOp::Release("r3".into()), reserve("r4", 1, true)]),
        ops(vec![ask("a4"), ask("a5")]),
    ];
    for (number, parts) in records.into_iter().enumerate() {
        log.append(parts, &format!("good-{number}"));
    }
}

/// What does not fit after [`fitting`], and how it is called.
fn misfits(log: &Log) -> Vec<(&'static str, Parts, Code)> {
    let (approval, budget, credential) = (Code::Approval, Code::Budget, Code::Credential);
    let other = Fact::Recovery(RecoveryFact { code: "x".into(), count: 0, rollback: None });
    let Fact::Recovery(mut lies) = recovery(log) else { unreachable!() };
    lies.rollback.as_mut().unwrap().root = D;
    vec![
        ("a vote on nothing", ops(vec![vote("none", true, D)]), approval),
        ("a vote on a used one", ops(vec![vote("a1", true, D)]), approval),
        ("a vote on a closed one", ops(vec![vote("a2", true, D)]), approval),
        ("a vote after a no", ops(vec![vote("a3", true, D)]), approval),
        ("a vote on another digest", ops(vec![vote("a4", true, Digest([8; 32]))]), approval),
        ("an end of nothing", ops(vec![close("none")]), approval),
        ("a second end", ops(vec![close("a2")]), approval),
        ("a claim on nothing", ops(vec![claim("none")]), approval),
        ("a claim on a closed one", ops(vec![claim("a2")]), approval),
        ("a mark on nothing", ops(vec![mark("none", ApprovalEvent::Reminded)]), approval),
        ("a notice of nothing", ops(vec![told("none")]), approval),
        ("asked twice", ops(vec![ask("a4")]), approval),
        ("used without votes", (decision("allow", Some("a4")), vec![consume("a4")]), approval),
        ("used twice", (decision("allow", Some("a1")), vec![consume("a1")]), approval),
        (
            "used by a deny",
            (decision("deny", Some("a4")), vec![vote("a4", true, D), consume("a4")]),
            approval,
        ),
        ("allowed without use", (decision("allow", Some("a4")), vec![]), approval),
        ("waits for nothing", (decision("escalate", Some("none")), vec![]), approval),
        ("a settlement of nothing", ops(vec![settle("none")]), budget),
        ("a second settlement", ops(vec![settle("r1")]), budget),
        ("a release of nothing", ops(vec![LedgerOp::Release("none".into())]), budget),
        ("a release in flight", ops(vec![LedgerOp::Release("r4".into())]), budget),
        ("reserved twice", ops(vec![reserve("r4", 2, true)]), budget),
        ("issued twice", ops(vec![issue("c1", None)]), credential),
        ("a child of nothing", ops(vec![issue("c3", Some("none"))]), credential),
        (
            "shown and never issued",
            ops(vec![LedgerOp::Present(vec!["c1".into(), "none".into()])]),
            credential,
        ),
        ("allowed to another", (by_credential("c2"), vec![LedgerOp::Present(vec!["c1".into()])]), credential),
        ("an outcome of nothing", (outcome("none"), vec![]), Code::Outcome),
        ("an outcome of a deny", (outcome("no-0"), vec![]), Code::Outcome),
        ("a second outcome", (outcome("call-0"), vec![]), Code::Outcome),
        ("a rollback in passing", ops(vec![accept()]), Code::Rollback),
        ("a rollback of nothing", (other, vec![accept()]), Code::Rollback),
        ("a rollback to another log", (Fact::Recovery(lies), vec![accept()]), Code::Rollback),
        ("a rollback that ends nothing", (recovery(log), vec![]), Code::Rollback),
    ]
}

#[test]
fn promise_8_what_does_not_fit_is_found_though_the_keys_were_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut clean = log(1);
    fitting(&mut clean);
    let mut logs = vec![("what fits", clean.clone(), None)];
    for (what, parts, code) in misfits(&clean) {
        let mut edited = clean.clone();
        edited.append(parts, "rogue");
        logs.push((what, edited, Some(code)));
    }
    // What an accepted rollback ended is used no more.
    let mut ended = clean.clone();
    ended.append((recovery(&clean), vec![accept()]), "accepted");
    logs.push(("an accepted rollback", ended.clone(), None));
    ended.append(ops(vec![vote("a4", true, D)]), "rogue");
    logs.push(("a vote after a rollback", ended, Some(Code::Approval)));

    let paths: Vec<(PathBuf, Option<String>)> =
        (0..logs.len()).map(|number| (folder.path().join(format!("{number}.db")), None)).collect();
    logs.iter().zip(&paths).for_each(|((_, log, _), (path, _))| write_sqlite(path, log));
    for ((what, log, code), python) in logs.iter().zip(answers(&paths)) {
        let report = verify(&mut log.source(), &keys(), None).unwrap();
        let found: Vec<_> = report.findings.iter().map(|finding| (finding.code, finding.at.from)).collect();
        let last = log.entries.len() as u64 - 1;
        match code {
            None => assert!(report.ok && python.ok, "{what}: {found:?} {python:?}"),
            Some(code) => {
                assert!(found.contains(&(*code, last)), "{what}: {found:?}");
                assert!(found.iter().all(|(_, at)| *at == last), "{what}: {found:?}");
                assert!(!python.ok, "{what} (Python)");
                assert_eq!(python.first_bad.map(|place| place.from), Some(last), "{what} (Python)");
            }
        }
    }
}

/// Renames what an operation refers to.
fn rename(op: &mut Value) -> bool {
    let Some((name, body)) = op.as_object_mut().and_then(|op| op.iter_mut().next()) else { return false };
    let place = match (name.as_str(), body) {
        ("release", id) => Some(id),
        ("vote" | "consume" | "close" | "claim" | "mark" | "told", body) => body.get_mut("approval"),
        ("ask" | "reserve" | "settle" | "issue", body) => body.get_mut("id"),
        ("present", chain) => chain.get_mut(0),
        _ => None,
    };
    place.map(|id| *id = "another".into()).is_some()
}

#[test]
fn promise_8_an_operation_on_another_thing_is_found_though_the_keys_were_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut clean = log(2);
    fitting(&mut clean);
    let (mut logs, mut paths) = (Vec::new(), Vec::new());
    for at in 0..clean.entries.len() {
        let record: Value = serde_json::from_slice(&clean.entries[at].leaf).unwrap();
        for number in 0..record["ops"].as_array().map_or(0, Vec::len) {
            let mut record = record.clone();
            // Nothing follows some beginnings: whether those were others nobody can tell.
            let text = record["ops"][number].to_string();
            let unused =
                ["\"id\":\"a4\"", "\"id\":\"r2\"", "\"id\":\"a5\"", "\"id\":\"r4\"", "\"in_flight\":false"];
            let unused = unused.iter().any(|part| text.contains(part));
            if unused || !rename(&mut record["ops"][number]) {
                continue;
            }
            let record: Record = serde_json::from_value(record).unwrap();
            let mut edited = clean.clone();
            edited.entries[at].leaf = leaf::encode(&record).unwrap().into_bytes();
            edited.sign_all();
            let path = folder.path().join(format!("{at}-{number}.db"));
            write_sqlite(&path, &edited);
            paths.push((path, None));
            logs.push((at, number, edited));
        }
    }
    for ((at, number, edited), python) in logs.iter().zip(answers(&paths)) {
        let report = verify(&mut edited.source(), &keys(), None).unwrap();
        assert!(!report.ok && !python.ok, "operation {number} of record {at}: {report:?} {python:?}");
    }
    assert!(logs.len() > 25, "{}", logs.len());
}
