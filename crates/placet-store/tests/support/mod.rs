//! Records as the pipeline makes them, and ledgers to put them in.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unreachable_pub, reason = "shared by several test files")]
#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use placet_audit::verify::{Report, verify};
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite, SqliteSource};
use placet_trust::{Freshness, Ledger, Personal, Proposal, Refusal};
use placet_types::ledger::{
    Amount, ApprovalEntry, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, CredentialEntry, Quorum,
    Reservation, Revocation, RevocationTarget, VoteStrength,
};
use placet_types::record::{ChangeFact, DecisionFact};
use placet_types::{Digest, Fact, Identity, LedgerOp, Micros, Record, RecordId, RiskTier};
use serde_json::{Map, Value, json};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An id that no other record of this test run has.
pub fn fresh(kind: &str) -> String {
    format!("{kind}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn sqlite(folder: &Path) -> LogLedger<Sqlite> {
    LogLedger::new(Sqlite::new(folder.join("placet_audit.db")), settings(folder))
}

pub fn settings(folder: &Path) -> Settings {
    Settings::new(KeyFolder::new(folder.join("keys")))
}

pub fn decision(verdict: &str, code: &str) -> Record {
    let fact = DecisionFact {
        event_type: "tool_call".into(),
        action: "payments.refund".into(),
        tool: Some("refund".into()),
        verdict: verdict.into(),
        hard: false,
        code: code.into(),
        risk_tier: RiskTier::TransactionalLow,
        rules: vec!["small-refunds".into()],
        reviewers: Vec::new(),
        policy_version: "6f1c0c6f7a0d4f5e".into(),
        identity: Identity::Verified,
        args: Some(Digest([7; 32])),
        credential: None,
        depth: None,
        approval: None,
        plan: Vec::new(),
        permit: verdict == "allow",
    };
    let mut record = Record::new(RecordId(fresh("record").into()), Fact::Decision(fact));
    record.session = Some("session-1".into());
    record.agent = Some("agent-1".into());
    record
}

pub fn view() -> Map<String, Value> {
    let view = json!({
        "args": {"amount": 120, "currency": "EUR", "order": "A-1001", "note": "customer asked twice"},
        "target": "payments", "reason": "refunds up to 500 are allowed",
        "context": {"session_id": "session-1", "user_role": "support"},
    });
    view.as_object().cloned().unwrap()
}

/// An allowed call without operations.
pub fn call() -> Proposal {
    with(Vec::new())
}

/// An allowed call with operations; when one is refused, a deny is recorded.
pub fn with(ops: Vec<LedgerOp>) -> Proposal {
    let mut record = decision("allow", "allowed");
    record.ops = ops;
    let fallback = |refusal: &Refusal| {
        let view = json!({"reason": refusal.reason}).as_object().cloned().map(Into::into);
        (decision("deny", refusal.cause.code()), view)
    };
    Proposal { record, view: Some(view().into()), personal: Vec::new(), fallback: Some(Box::new(fallback)) }
}

pub fn personal(mut proposal: Proposal) -> Proposal {
    proposal.personal = vec![Personal { field: "args.email".into(), value: json!("eve@example.org") }];
    proposal
}

pub fn change(ops: Vec<LedgerOp>) -> Proposal {
    let fact = Fact::Change(ChangeFact { by: "system".into() });
    let mut record = Record::new(RecordId(fresh("change").into()), fact);
    record.ops = ops;
    Proposal { record, view: None, personal: Vec::new(), fallback: None }
}

pub fn budget() -> BudgetKey {
    BudgetKey {
        scope: BudgetScope::Session,
        owner: "session-1".into(),
        unit: BudgetUnit::ApiCalls,
        window: None,
    }
}

pub fn limit(limit: u64) -> LedgerOp {
    LedgerOp::SetBudget(BudgetLimit { key: budget(), limit })
}

pub fn reserve(amount: u64) -> LedgerOp {
    LedgerOp::Reserve(Reservation {
        id: fresh("reservation").into(),
        amounts: vec![Amount { key: budget(), amount, limit: None }],
        in_flight: true,
        expires_us: None,
    })
}

pub fn spent(ledger: &dyn Ledger) -> u64 {
    let mut spent = 0;
    ledger
        .read(Freshness::Now, &mut |state| {
            spent = state.budgets.in_flight().count() as u64;
        })
        .unwrap();
    spent
}

/// What the verifier says of the SQLite ledger in a folder.
pub fn report(folder: &Path) -> Report {
    let file = folder.join("placet_audit.db");
    let shell = rusqlite::Connection::open(&file).unwrap();
    let origin: String = shell.query_row("SELECT origin FROM head", [], |row| row.get(0)).unwrap();
    let key = KeyFolder::new(folder.join("keys")).verifier(&origin).unwrap();
    verify(&mut SqliteSource::open(&file).unwrap(), &[key], None).unwrap()
}

/// How many records there are.
pub fn size(ledger: &dyn Ledger) -> u64 {
    ledger.wait(0, std::time::Instant::now()).unwrap()
}

pub fn credential(id: &str, now: Micros) -> CredentialEntry {
    CredentialEntry {
        id: id.into(),
        parent: None,
        session: "session-1".into(),
        tenant: None,
        agent: Some("agent-1".into()),
        role: Some("support".into()),
        scopes: vec!["refund".into()],
        depth: 0,
        max_depth: 3,
        issued_us: now,
        not_before_us: None,
        expires_us: Micros(now.0 + 600_000_000),
        authority: Digest([1; 32]),
    }
}

pub fn revoke_session() -> LedgerOp {
    LedgerOp::Revoke(Revocation { target: RevocationTarget::Session("session-1".into()), by: "admin".into() })
}

pub fn ask(id: &str, digest: Digest) -> LedgerOp {
    LedgerOp::Ask(Box::new(ApprovalEntry {
        id: id.into(),
        digest,
        request_key: digest,
        displayed: digest,
        tenant: None,
        session: Some("session-1".into()),
        agent: Some("agent-1".into()),
        action: "payments.refund".into(),
        tool: Some("refund".into()),
        risk_tier: RiskTier::TransactionalHigh,
        decision: "record-1".into(),
        rules: vec!["large-refunds".into()],
        policy_version: "6f1c0c6f7a0d4f5e".into(),
        quorums: vec![Quorum { any_of: Vec::new(), count: 1 }],
        strength: VoteStrength::Asserted,
        requesters: vec!["agent-1".into()],
        asked_us: Micros(0),
        expires_us: Micros(i64::MAX >> 11),
        remind_us: None,
        escalate: None,
        due_us: None,
    }))
}

/// A file system of its own; needs the right to mount, which tests in a container have.
pub struct Volume(tempfile::TempDir);

impl Volume {
    pub fn new(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
