//! A pipeline over a ledger in memory that remembers the codes it recorded.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use placet_policy::SourceFile;
use placet_runtime::channels::{Channel, Stop, Waiting};
use placet_runtime::pipeline::{Begun, Pipeline, PipelineOptions};
use placet_runtime::{Gate, GateOptions, SystemClock};
use placet_store::{LogLedger, Memory, Settings};
use placet_trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet_trust::approvals::{Approval, Reviewers};
use placet_trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, State, TenantKey};
use placet_types::{Ack, ApprovalId, ApproverId, Event, Fact, Micros};

pub(crate) const POLICY: &str = "version: 1\nrules:\n\
    - { name: large, when: { action: pay, args.amount: { gt: 100 } }, then: hitl, reason: a person }\n\
    - { name: wire, when: { action: wire }, then: hitl, reviewers: [finance] }\n";

/// Remembers the code of every decision that was recorded.
pub(crate) struct Spy {
    pub(crate) inner: Box<dyn Ledger>,
    codes: Mutex<Vec<String>>,
}

impl Spy {
    pub(crate) fn new(inner: impl Ledger + 'static) -> Arc<Self> {
        Arc::new(Self { inner: Box::new(inner), codes: Mutex::default() })
    }

    pub(crate) fn memory(reviewers: Reviewers) -> Arc<Self> {
        let settings = Settings::with_passing_keys().unwrap().reviewers(Arc::new(reviewers));
        Self::new(LogLedger::new(Memory::default(), settings))
    }

    /// In memory, with another clock than the machine's.
    pub(crate) fn at(clock: impl Fn() -> Micros + Send + Sync + 'static) -> Arc<Self> {
        let settings = Settings::with_passing_keys().unwrap().clock(Arc::new(clock));
        Self::new(LogLedger::new(Memory::default(), settings))
    }

    pub(crate) fn last_code(&self) -> String {
        self.codes.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Ledger for Spy {
    fn commit(&self, proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError> {
        let code = match &proposal.record.fact {
            Fact::Decision(decision) => Some(decision.code.to_string()),
            _ => None,
        };
        let receipt = self.inner.commit(proposal, ack)?;
        let code = code.map(|code| receipt.refused.as_ref().map_or(code, |why| why.cause.code().to_owned()));
        self.codes.lock().unwrap().extend(code);
        Ok(receipt)
    }

    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        self.inner.read(freshness, look)
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        self.inner.wait(seen, until)
    }

    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        self.inner.tenant_key(tenant)
    }
}

pub(crate) struct Bench {
    pub(crate) ledger: Arc<Spy>,
    pub(crate) pipeline: Arc<Pipeline>,
}

pub(crate) fn gate(policy: &str) -> Gate {
    let texts = vec![SourceFile::new("test.yaml", policy)];
    let clock = Arc::new(SystemClock::default());
    Gate::open(GateOptions { texts, clock, reload: false, ..GateOptions::default() }).unwrap()
}

pub(crate) fn bench() -> Bench {
    bench_over(Spy::memory(Reviewers::new()), |_| {})
}

pub(crate) fn bench_over(ledger: Arc<Spy>, change: impl FnOnce(&mut PipelineOptions)) -> Bench {
    let mut options = PipelineOptions { ledger: Some(ledger.clone()), ..PipelineOptions::default() };
    change(&mut options);
    Bench { pipeline: Arc::new(Pipeline::new(gate(POLICY), options)), ledger }
}

pub(crate) fn event(json: &str) -> Event {
    Event::from_json(json.as_bytes()).expect(json)
}

pub(crate) fn pay(amount: u32) -> Event {
    let context = r#"{"session_id":"s1","delegation_depth":0}"#;
    event(&format!(r#"{{"action":"pay","args":{{"amount":{amount}}},"context":{context}}}"#))
}

pub(crate) fn asking(channel: impl Channel + 'static) -> Waiting {
    Waiting { channel: Some(Arc::new(channel)), ..within(20_000) }
}

pub(crate) fn within(milliseconds: u64) -> Waiting {
    let until = Instant::now() + Duration::from_millis(milliseconds);
    Waiting { until, channel: None, stop: Stop::default() }
}

/// The code of what became of an event: `allowed` when it may run.
pub(crate) fn code(begun: Begun) -> &'static str {
    match begun {
        Begun::Started(started) => started.decision.verdict.code(),
        Begun::Refused(refused) => refused.decision.verdict.code(),
    }
}

pub(crate) struct TestHost;

impl Host for TestHost {
    fn now(&self) -> Micros {
        Micros(jiff::Timestamp::now().as_microsecond())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}

/// The only request that waits, as soon as there is one.
pub(crate) fn pending(ledger: &dyn Ledger) -> Approval {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let seen = ledger.wait(0, Instant::now()).unwrap();
        if let Some(approval) = Queue::new(ledger, &TestHost).pending().unwrap().into_iter().next() {
            return approval;
        }
        assert!(Instant::now() < until, "nobody was asked");
        ledger.wait(seen, until).unwrap();
    }
}

pub(crate) fn vote(
    ledger: &dyn Ledger,
    id: &ApprovalId,
    approver: &str,
    proof: Proof<'_>,
    approve: bool,
) -> Result<Approval, QueueError> {
    let voter = Voter { approver: &ApproverId::from(approver), proof, channel: "cli" };
    let queue = Queue::new(ledger, &TestHost);
    if approve { queue.approve(id, &voter, None) } else { queue.deny(id, &voter, Some("not today")) }
}
