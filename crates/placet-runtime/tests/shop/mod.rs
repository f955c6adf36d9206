//! A deployment over a ledger in a file, as one process has it.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet_runtime::{Config, FixedClock, Gate, GateOptions, Registrar};
use placet_store::backend::Backend;
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite};
use placet_trust::credentials::broker::BrokerLimits;
use placet_trust::{Freshness, Ledger, Proposal};
use placet_types::ledger::{Vote, VoteStrength};
use placet_types::record::ChangeFact;
use placet_types::{Ack, ApprovalId, ApproverId, Event, Fact, LedgerOp, Record, RecordId};

const POLICY: &str = "version: 1\nrules:\n\
    - { name: read, when: { action: read }, then: allow }\n\
    - { name: small, when: { action: pay, args.amount: { gte: 0, lte: 100 } }, then: allow }\n\
    - { name: large, when: { action: pay, args.amount: { gt: 100, lte: 1000 } }, then: hitl, reason: a person }\n";

pub struct Shop<B: Backend = Sqlite> {
    pub ledger: Arc<LogLedger<B>>,
    pub pipeline: Arc<Pipeline>,
    pub registrar: Arc<Registrar>,
}

/// The words of `placet.yaml` that the shop needs.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub credentials: bool,
    pub quorum: u32,
}

impl Shop {
    /// The deployment of which the ledger lies in one folder and the keys in another.
    pub fn open(folder: &Path, keys: &Path, options: Options) -> Self {
        Self::over(Sqlite::new(folder.join("audit.db")), keys, options)
    }
}

impl<B: Backend> Shop<B> {
    /// The deployment with this ledger.
    pub fn over(place: B, keys: &Path, options: Options) -> Self {
        let settings = Settings::new(KeyFolder::new(keys.join("keys")));
        let ledger = Arc::new(LogLedger::new(place, settings));
        let text = "budgets: [{ scope: session, api_calls: 5 }]\n";
        std::fs::write(keys.join("placet.yaml"), text).unwrap();
        let config = Config::read(&keys.join("placet.yaml")).unwrap();
        let dynamic: Arc<dyn Ledger> = ledger.clone();
        let clock = Arc::new(FixedClock(jiff::Timestamp::now()));
        let registrar =
            Registrar::new(dynamic.clone(), clock.clone(), BrokerLimits::default(), "test".into());
        let registrar = Arc::new(registrar);
        let mut with = PipelineOptions::of_config(&config, Some(dynamic)).unwrap();
        with.approvals.quorum = options.quorum.max(1);
        with.credentials = options.credentials.then(|| registrar.clone());
        let texts = vec![placet_policy::SourceFile::new("policy.yaml", POLICY)];
        let gate = Gate::open(GateOptions { config, texts, clock, reload: false, ..GateOptions::default() });
        Self { ledger, pipeline: Arc::new(Pipeline::new(gate.unwrap(), with)), registrar }
    }

    /// Runs a call to its end, or gives the code of its refusal. What it does is counted in `effects`.
    pub fn run(&self, event: Event, effects: &mut u32) -> Result<(), &'static str> {
        match self.pipeline.begin(event) {
            Begun::Refused(refused) => Err(refused.decision.verdict.code()),
            Begun::Started(started) => {
                let call = started.permit.call().expect("its digest");
                let effect = started.permit.spend(&call).map_err(|refused| refused.cause.code())?;
                *effects += 1;
                effect.finish(Outcome::succeeded(None)).map_err(|_| "withheld")
            }
        }
    }

    /// Asks a person about a call, and gives the request.
    pub fn asked(&self, event: Event) -> ApprovalId {
        match self.pipeline.begin(event) {
            Begun::Refused(refused) => refused.approval.expect("somebody is asked"),
            Begun::Started(_) => panic!("it started"),
        }
    }

    /// Somebody answers, through the ledger as any channel does.
    pub fn vote(&self, approval: &ApprovalId, approver: &str) -> Option<&'static str> {
        let mut entry = None;
        let mut look = |state: &placet_trust::State| {
            entry = state.approvals.get(approval).map(|asked| asked.entry.clone());
        };
        self.ledger.read(Freshness::Now, &mut look).unwrap();
        let entry = entry.expect("the request is in the ledger");
        let id = RecordId::from(format!("vote-{approver}-{approval}"));
        let mut record = Record::new(id.clone(), Fact::Change(ChangeFact { by: approver.into() }));
        record.ops.push(LedgerOp::Vote(Box::new(Vote {
            approval: approval.clone(),
            digest: entry.digest,
            approver: ApproverId::from(approver),
            groups: Vec::new(),
            approve: true,
            strength: VoteStrength::Asserted,
            channel: "cli".into(),
            at_us: entry.asked_us,
            record: id,
            signature: None,
            key: None,
        })));
        let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
        self.ledger.commit(proposal, Ack::Durable).unwrap().refused.map(|refusal| refusal.cause.code())
    }
}

pub fn event(json: &str) -> Event {
    Event::from_json(json.as_bytes()).expect(json)
}

pub fn pay(amount: u32) -> Event {
    event(&pay_text(amount))
}

pub fn pay_text(amount: u32) -> String {
    format!(
        r#"{{"action":"pay","args":{{"amount":{amount}}},"context":{{"session_id":"s1","delegation_depth":0}}}}"#
    )
}

pub fn read_with(token: &str, scopes: &str) -> Event {
    event(&read_text(token, scopes))
}

pub fn read_text(token: &str, scopes: &str) -> String {
    format!(
        r#"{{"action":"read","context":{{"session_id":"s1","session_scopes":{scopes},"delegation_depth":0,"token_id":"{token}"}}}}"#
    )
}

/// SQL in the database, from another process, as an operator with a shell runs it.
pub fn sqlite3(database: &Path, sql: &str) {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=20); c.executescript(sys.argv[2]); c.commit()";
    let done = Command::new("python3").args(["-c", script]).arg(database).arg(sql).status();
    assert!(done.expect("python3").success(), "{sql}");
}
