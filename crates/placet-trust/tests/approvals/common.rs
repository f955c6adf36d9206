//! A ledger in memory, a host with a fake clock, and requests to ask.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use placet_trust::approvals::queue::{Host, Proof, Queue, Voter};
use placet_trust::approvals::{ApprovalSubject, Reviewers, Terms};
use placet_trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, Refusal, State, StateKey, TenantKey};
use placet_types::decision::{ReviewerGroup, RiskTier};
use placet_types::ledger::{ApprovalEntry, Consumption, Quorum, VoteStrength};
use placet_types::record::ChangeFact;
use placet_types::{
    Ack, ApprovalId, ApproverId, DenyCause, Digest, Fact, LedgerOp, Micros, Record, RecordId,
};

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const START: Micros = Micros(1_764_000_000 * SECOND);

pub(crate) struct TestHost {
    now: AtomicI64,
    ids: AtomicU64,
}

impl TestHost {
    pub(crate) fn advance(&self, seconds: i64) {
        self.now.fetch_add(seconds * SECOND, Ordering::SeqCst);
    }
}

impl Host for TestHost {
    fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        format!("id-{}", self.ids.fetch_add(1, Ordering::SeqCst))
    }
}

/// A ledger whose log is text, whose rows are a cache, and which admits what the state admits.
pub(crate) struct TestLedger {
    pub(crate) host: Arc<TestHost>,
    inner: Mutex<Inner>,
    changed: Condvar,
    /// How often somebody began to wait for news.
    pub(crate) waits: AtomicU64,
}

#[derive(Default)]
struct Inner {
    state: State,
    log: Vec<String>,
    rows: BTreeMap<StateKey, String>,
    views: BTreeMap<RecordId, serde_json::Map<String, serde_json::Value>>,
}

impl TestLedger {
    pub(crate) fn new(reviewers: Reviewers) -> Self {
        let host = Arc::new(TestHost { now: AtomicI64::new(START.0), ids: AtomicU64::new(0) });
        let mut inner = Inner::default();
        inner.state.approvals.set_reviewers(Arc::new(reviewers));
        Self { host, inner: Mutex::new(inner), changed: Condvar::new(), waits: AtomicU64::new(0) }
    }

    pub(crate) fn queue(&self) -> Queue<'_> {
        Queue::new(self, self.host.as_ref())
    }

    /// The same log in a process that starts now, perhaps configured otherwise.
    pub(crate) fn reopened(&self, reviewers: Reviewers) -> Self {
        let old = self.inner.lock().unwrap();
        let mut inner = Inner { rows: old.rows.clone(), views: old.views.clone(), ..Inner::default() };
        inner.state.approvals.set_reviewers(Arc::new(reviewers));
        for line in &old.log {
            inner.state.replay(&serde_json::from_str(line).unwrap());
            inner.log.push(line.clone());
        }
        // What is replayed is what the rows say, whoever is configured as reviewer.
        for (key, body) in &inner.rows {
            assert_eq!(inner.state.row(key).body.as_ref(), Some(body));
        }
        Self {
            host: self.host.clone(),
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            waits: AtomicU64::new(0),
        }
    }

    /// Returns once somebody has begun to wait for news so often.
    pub(crate) fn until_waits(&self, count: u64) {
        while self.waits.load(Ordering::SeqCst) < count {
            std::thread::yield_now();
        }
    }

    /// What somebody with `sqlite3` does.
    pub(crate) fn edit_row(&self, id: &ApprovalId, edit: impl FnOnce(&str) -> String) {
        let mut inner = self.inner.lock().unwrap();
        let row = inner.rows.get_mut(&StateKey::Approval(id.clone())).unwrap();
        *row = edit(row);
    }

    pub(crate) fn row(&self, id: &ApprovalId) -> String {
        self.inner.lock().unwrap().rows[&StateKey::Approval(id.clone())].clone()
    }

    pub(crate) fn view(&self, record: &RecordId) -> serde_json::Value {
        self.inner.lock().unwrap().views[record].clone().into()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.inner.lock().unwrap().log.clone()
    }

    /// Commits one operation.
    pub(crate) fn put(&self, op: LedgerOp) -> Result<(), Refusal> {
        let fact = Fact::Change(ChangeFact { by: "test".into() });
        let mut record = Record::new(RecordId::from(self.host.new_id()), fact);
        record.ops.push(op);
        let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
        self.commit(proposal, Ack::Durable).unwrap().refused.map_or(Ok(()), Err)
    }

    pub(crate) fn consume(&self, id: &ApprovalId, digest: Digest) -> Result<(), Refusal> {
        self.put(LedgerOp::Consume(Consumption { approval: id.clone(), digest }))
    }
}

impl Ledger for TestLedger {
    fn commit(&self, proposal: Proposal, _ack: Ack) -> Result<Receipt, LedgerError> {
        let mut inner = self.inner.lock().unwrap();
        let mut record = proposal.record;
        record.time_us = self.host.now();
        let seq = inner.log.len() as u64;
        let refused = inner.admit(&record).err();
        if refused.is_none() {
            inner.log.push(serde_json::to_string(&record).unwrap());
            if let Some(view) = proposal.view {
                inner.views.insert(record.id.clone(), view.members().unwrap());
            }
            self.changed.notify_all();
        }
        Ok(Receipt { seq, time_us: record.time_us, leaf: Digest([0; 32]), refused })
    }

    fn read(&self, _freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        look(&self.inner.lock().unwrap().state);
        Ok(())
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        let mut inner = self.inner.lock().unwrap();
        while inner.log.len() as u64 <= seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.waits.fetch_add(1, Ordering::SeqCst);
            inner = self.changed.wait_timeout(inner, left).unwrap().0;
        }
        Ok(inner.log.len() as u64)
    }

    fn tenant_key(&self, _tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        Ok(TenantKey::new(KEY))
    }
}

impl Inner {
    fn admit(&mut self, record: &Record) -> Result<(), Refusal> {
        let keys = self.state.keys(record);
        if keys.iter().any(|key| self.state.row(key).body.as_ref() != self.rows.get(key)) {
            return Err(Refusal::new(DenyCause::StateTampered, "the row was edited"));
        }
        self.state.admit(record)?;
        for key in keys {
            if let Some(body) = self.state.row(&key).body {
                self.rows.insert(key, body);
            }
        }
        Ok(())
    }
}

pub(crate) fn id(text: &str) -> ApprovalId {
    text.into()
}

pub(crate) fn person(name: &str) -> ApproverId {
    name.into()
}

pub(crate) fn group(name: &str) -> ReviewerGroup {
    ReviewerGroup(name.into())
}

/// Groups as `finance: alice bob`.
pub(crate) fn reviewers(groups: &[(&str, &[&str])]) -> Reviewers {
    let mut reviewers = Reviewers::new();
    for (name, members) in groups {
        members.iter().for_each(|member| reviewers.add_member(group(name), person(member)));
    }
    reviewers
}

pub(crate) fn quorum(groups: &[&str], count: u32) -> Quorum {
    Quorum { any_of: groups.iter().map(|name| group(name)).collect(), count }
}

/// A payment of 150 that one asserted yes approves.
pub(crate) fn subject() -> ApprovalSubject {
    ApprovalSubject {
        tenant: Some("acme".into()),
        session: Some("session-1".into()),
        agent: Some("agent-7".into()),
        lineage: vec!["cred-root".into(), "cred-leaf".into()],
        authority: Some(Digest([1; 32])),
        kind: "tool_call".into(),
        action: "pay".into(),
        tool: Some("bank/pay".into()),
        tool_definition: Some(Digest([2; 32])),
        server_identity: Some(Digest([3; 32])),
        target: Some("bank".into()),
        args: args(150),
        resources: ["/accounts/1".into()].into(),
        attributes: [("args.amount".into(), args(150))].into(),
        policy_version: "policy-1".into(),
        rules: ["big_payment".into()].into(),
        quorums: vec![quorum(&[], 1)],
        strength: VoteStrength::Asserted,
        escalates_to: None,
        requesters: ["agent-7".into(), "mallory".into()].into(),
        max_cost: BTreeMap::new(),
        displayed: Digest([4; 32]),
    }
}

/// The digest of arguments whose amount is this.
pub(crate) fn args(amount: u8) -> Digest {
    Digest([amount; 32])
}

/// The request for a subject under this id, dead after an hour.
pub(crate) fn request(name: &str, subject: &ApprovalSubject) -> ApprovalEntry {
    let terms = Terms {
        id: id(name),
        decision: RecordId::from(format!("decision-{name}")),
        risk_tier: RiskTier::TransactionalHigh,
        asked_us: START,
        expires_us: START.plus_seconds(3600),
        remind_us: None,
        escalate_us: None,
        due_us: None,
    };
    subject.request(terms, &KEY)
}

/// Somebody who says who they are.
pub(crate) fn says(approver: &ApproverId) -> Voter<'_> {
    Voter { approver, proof: Proof::Asserted, channel: "terminal" }
}
