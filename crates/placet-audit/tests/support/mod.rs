//! A log of every kind of record, in memory, to be verified whole or edited.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod edits;

use std::sync::Arc;

use placet_audit::checkpoint::{self, Checkpoint, Earlier};
use placet_audit::keys::{SigningKey, VerifierKey};
use placet_audit::seal::Head;
use placet_audit::verify::{
    EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredField, StoredHead,
};
use placet_audit::{leaf, mirror, tree, view};
use placet_types::ledger::{
    Amount, ApprovalEntry, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, Consumption, LedgerOp, Quorum,
    Reservation, Settlement, Vote, VoteStrength,
};
use placet_types::record::{ChangeFact, DecisionFact, ErasureFact, OutcomeFact, OutcomeStatus};
use placet_types::{Digest, Fact, Identity, Micros, Record, RiskTier};
use serde_json::{Value, json};

pub const ORIGIN: &str = "log.example/test";

pub fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [9; 32]).unwrap()
}

/// Another key of the same name, as someone can make who has not the real one.
pub fn other_key(name: &str) -> SigningKey {
    SigningKey::from_seed(name, [10; 32]).unwrap()
}

pub fn keys() -> Vec<VerifierKey> {
    vec![key().verifier().clone()]
}

/// A log as a store has it.
#[derive(Clone)]
pub struct Log {
    pub entries: Vec<StoredEntry>,
    pub checkpoints: Vec<StoredCheckpoint>,
    pub head: Option<StoredHead>,
    /// The key that signs it.
    pub key: SigningKey,
}

impl Log {
    /// A log as it is read from where it is kept.
    pub fn read(source: &mut dyn EntrySource, key: SigningKey) -> Self {
        let mut log = Self { entries: Vec::new(), checkpoints: Vec::new(), head: None, key };
        while let Some(entry) = source.next_entry().unwrap() {
            log.entries.push(entry);
        }
        while let Some(mark) = source.next_checkpoint().unwrap() {
            log.checkpoints.push(mark);
        }
        log.head = source.head().unwrap();
        log
    }

    pub fn keys(&self) -> Vec<VerifierKey> {
        vec![self.key.verifier().clone()]
    }

    /// How many entries are covered by checkpoints that its key signed and that stand where they belong.
    pub fn signed(&self) -> u64 {
        self.checkpoints.iter().filter(|mark| self.holds(mark)).map(|mark| mark.size).max().unwrap_or(0)
    }

    /// Whether its key signed every checkpoint, and each stands where it belongs.
    pub fn all_hold(&self) -> bool {
        self.checkpoints.iter().all(|mark| self.holds(mark))
    }

    fn holds(&self, mark: &StoredCheckpoint) -> bool {
        checkpoint::verify(&mark.note, &self.keys()).is_ok_and(|checkpoint| checkpoint.size == mark.size)
    }

    pub fn source(&self) -> Source {
        Source {
            entries: self.entries.clone().into_iter(),
            checkpoints: self.checkpoints.clone().into_iter(),
            head: self.head.clone(),
        }
    }

    /// Numbers made to fit, and nothing else.
    pub fn renumber(&mut self) {
        for (seq, entry) in self.entries.iter_mut().enumerate() {
            entry.seq = seq as u64;
        }
    }

    /// Numbers and hashes made to fit, as someone without the key would.
    pub fn refit(&mut self) {
        let mut head = Head::empty(self.key.verifier().name());
        for (seq, entry) in self.entries.iter_mut().enumerate() {
            entry.seq = seq as u64;
            let hash = tree::leaf_hash(&entry.leaf);
            entry.hash = Some(hash);
            head.push(hash, Micros(0));
        }
        if self.head.is_some() {
            self.head = Some(StoredHead { size: head.size(), chain: head.chain });
        }
    }

    /// One more record, and everything signed, as someone with the keys could.
    pub fn append(&mut self, (fact, ops): (Fact, Vec<LedgerOp>), id: &str) {
        let mut record = Record::new(id.into(), fact);
        record.time_us = Micros(1_800_000_000_000_000);
        record.ops = ops;
        let leaf = leaf::encode(&record).unwrap().into_bytes();
        let seq = self.entries.len() as u64;
        self.entries.push(StoredEntry { seq, leaf, personal: Some(Vec::new()), ..StoredEntry::default() });
        self.sign_all();
    }

    /// Hashes, head and a checkpoint over everything, as someone with the keys could make them.
    pub fn sign_all(&mut self) {
        self.refit();
        let size = self.entries.len() as u64;
        let mut sizes: Vec<u64> =
            self.checkpoints.iter().map(|mark| mark.size).filter(|old| *old < size).collect();
        sizes.push(size);
        self.checkpoints = sign(&self.entries, &sizes, &key());
    }

    /// All checkpoints signed anew, as someone with the key could.
    pub fn sign_again(&mut self, key: &SigningKey) {
        let sizes: Vec<u64> = self.checkpoints.iter().map(|checkpoint| checkpoint.size).collect();
        self.checkpoints = sign(&self.entries, &sizes, key);
    }
}

pub struct Source {
    entries: std::vec::IntoIter<StoredEntry>,
    checkpoints: std::vec::IntoIter<StoredCheckpoint>,
    head: Option<StoredHead>,
}

impl EntrySource for Source {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        Ok(self.entries.next())
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        Ok(self.checkpoints.next())
    }

    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        Ok(self.head.clone())
    }
}

/// Checkpoints at the sizes.
pub fn sign(entries: &[StoredEntry], sizes: &[u64], key: &SigningKey) -> Vec<StoredCheckpoint> {
    let mut tree = tree::Frontier::new();
    let mut signed: Vec<StoredCheckpoint> = Vec::new();
    for entry in entries {
        tree.push(tree::leaf_hash(&entry.leaf));
        if sizes.contains(&tree.size()) {
            let origin = key.verifier().name().into();
            let next = Checkpoint { origin, size: tree.size(), root: tree.root() };
            let note = checkpoint::sign(&next, Earlier::None, &[key]).unwrap();
            let time_us = leaf::decode(&entry.leaf).ok().map(|record| record.time_us);
            signed.push(StoredCheckpoint { size: tree.size(), note, time_us });
        }
    }
    signed
}

/// How many records one round of [`log`] has.
pub const ROUND: u64 = 10;

/// A log of so many rounds, signed every 7 entries, the last ones not.
pub fn log(rounds: u64) -> Log {
    let mut maker = Maker::default();
    for round in 0..rounds {
        maker.round(round);
    }
    let size = maker.head.size();
    let sizes: Vec<u64> = (1..size.saturating_sub(3)).filter(|size| size % 7 == 0).collect();
    let head = Some(StoredHead { size, chain: maker.head.chain });
    Log { checkpoints: sign(&maker.entries, &sizes, &key()), entries: maker.entries, head, key: key() }
}

/// The lines of a log's mirror; a checkpoint stands some lines after the last entry that it covers.
pub fn lines(log: &Log) -> Vec<String> {
    let mut lines = Vec::new();
    let mut marks = log.checkpoints.iter().peekable();
    for entry in &log.entries {
        lines.push(mirror::entry_line(entry.seq, &entry.leaf, entry.view.as_deref(), None).unwrap());
        while let Some(mark) = marks.next_if(|mark| mark.size + 2 <= entry.seq + 1) {
            lines.push(mirror::checkpoint_line(mark.size, &mark.note, mark.time_us.unwrap()).unwrap());
        }
    }
    lines
}

struct Maker {
    entries: Vec<StoredEntry>,
    head: Head,
}

impl Default for Maker {
    fn default() -> Self {
        Self { entries: Vec::new(), head: Head::empty(ORIGIN) }
    }
}

impl Maker {
    fn round(&mut self, round: u64) {
        let budget = BudgetKey {
            scope: BudgetScope::Agent,
            owner: "a".into(),
            unit: BudgetUnit::ApiCalls,
            window: None,
        };
        let (approval, digest) = (format!("ask-{round}"), Digest([7; 32]));
        let id = |name: &str| format!("{name}-{round}");
        self.add(
            change("operator", vec![LedgerOp::SetBudget(BudgetLimit { key: budget.clone(), limit: 10 })]),
            &id("limit"),
            None,
            &[],
        );
        let amount = Amount { key: budget, amount: 1, limit: None };
        let reserve = Reservation {
            id: id("hold").into(),
            amounts: vec![amount.clone()],
            in_flight: true,
            expires_us: None,
        };
        let call = json!({"args": {"to": "é\u{1f600}\n\"x\""}, "reason": "rule says so", "cost": 1.5});
        let email = json!({"mail": "a@example.com", "rate": 1e-7});
        self.add(
            (decision("allow", None), vec![LedgerOp::Reserve(reserve)]),
            &id("call"),
            Some(call.clone()),
            &[("args.email", email), ("args.name", json!("Ann"))],
        );
        let settle = Settlement { id: id("hold").into(), actual: vec![amount] };
        self.add(
            (outcome(&id("call")), vec![LedgerOp::Settle(settle)]),
            &id("end"),
            Some(json!({"result": [1]})),
            &[],
        );
        self.add(
            (decision("deny", None), vec![]),
            &id("no"),
            Some(call.clone()),
            &[("args.email", json!("b@example.com"))],
        );
        let ask = LedgerOp::Ask(Box::new(asked(&approval, digest, &id("wait"))));
        self.add((decision("escalate", Some(&approval)), vec![ask]), &id("wait"), Some(call.clone()), &[]);
        let vote = LedgerOp::Vote(Box::new(voted(&approval, digest)));
        self.add(change("bob", vec![vote]), &id("vote"), None, &[]);
        let consume = LedgerOp::Consume(Consumption { approval: approval.as_str().into(), digest });
        self.add((decision("allow", Some(&approval)), vec![consume]), &id("go"), Some(call.clone()), &[]);
        self.add((outcome(&id("go")), vec![]), &id("gone"), None, &[]);
        self.erase(&id("erase"), round);
        self.add((decision("allow", None), vec![]), &id("open"), Some(call), &[]);
    }

    /// Erases the view of the denied call, and one personal field of the allowed one.
    fn erase(&mut self, id: &str, round: u64) {
        let at = usize::try_from(round * ROUND).unwrap();
        let erasure = |at: usize, fields: &[&str]| {
            let fields = fields.iter().map(|field| Arc::from(*field)).collect();
            Fact::Erasure(ErasureFact {
                records: vec![at as u64],
                fields,
                by: "dpo".into(),
                basis: "gdpr-17".into(),
            })
        };
        if round.is_multiple_of(2) {
            self.add((erasure(at + 3, &[]), vec![]), id, None, &[]);
            self.entries[at + 3].view = None;
            self.entries[at + 3].personal = Some(Vec::new());
        } else {
            self.add((erasure(at + 1, &["args.email"]), vec![]), id, None, &[]);
            self.entries[at + 1].personal.as_mut().unwrap().retain(|field| field.field != "args.email");
        }
    }

    fn add(
        &mut self,
        (fact, ops): (Fact, Vec<LedgerOp>),
        id: &str,
        view: Option<Value>,
        personal: &[(&str, Value)],
    ) {
        let mut record = Record::new(id.into(), fact);
        record.time_us = Micros(1_700_000_000_000_000 + (self.head.size() as i64) * 250_001);
        record.session = Some("s1".into());
        record.agent = Some("agent-ü".into());
        record.ops = ops;
        let view = view.map(|view| view::text(view.as_object().unwrap().clone()).unwrap());
        record.view = view.as_deref().map(view::digest);
        let mut fields = Vec::new();
        for (field, value) in personal {
            let salted = view::SaltedValue::new(value).unwrap();
            record.commitments.insert((*field).into(), salted.commitment());
            fields.push(StoredField {
                field: (*field).into(),
                salt: salted.salt.to_vec(),
                value: salted.text,
            });
        }
        let leaf = leaf::encode(&record).unwrap().into_bytes();
        let hash = tree::leaf_hash(&leaf);
        let seq = self.head.size();
        self.head.push(hash, record.time_us);
        self.entries.push(StoredEntry {
            seq,
            leaf,
            hash: Some(hash),
            view,
            personal: Some(fields),
            ..StoredEntry::default()
        });
    }
}

pub fn change(by: &str, ops: Vec<LedgerOp>) -> (Fact, Vec<LedgerOp>) {
    (Fact::Change(ChangeFact { by: by.into() }), ops)
}

pub fn decision(verdict: &str, approval: Option<&str>) -> Fact {
    Fact::Decision(DecisionFact {
        event_type: "tool_call".into(),
        action: "fs.write".into(),
        tool: Some("fs.write".into()),
        verdict: verdict.into(),
        hard: false,
        code: "policy".into(),
        risk_tier: RiskTier::Operational,
        rules: vec!["r1".into()],
        reviewers: vec![],
        policy_version: "v1".into(),
        identity: Identity::Asserted,
        args: None,
        credential: None,
        depth: Some(0),
        permit: verdict == "allow",
        approval: approval.map(Into::into),
        plan: Vec::new(),
    })
}

pub fn outcome(decision: &str) -> Fact {
    Fact::Outcome(OutcomeFact {
        decision: decision.into(),
        status: OutcomeStatus::Succeeded,
        error: None,
        elapsed_us: 17,
        injections: 0,
    })
}

pub fn asked(id: &str, digest: Digest, decision: &str) -> ApprovalEntry {
    ApprovalEntry {
        id: id.into(),
        digest,
        request_key: digest,
        decision: decision.into(),
        rules: vec!["r1".into()],
        policy_version: "v1".into(),
        displayed: digest,
        tenant: None,
        session: None,
        agent: None,
        action: "fs.write".into(),
        tool: None,
        risk_tier: RiskTier::Operational,
        quorums: vec![Quorum { any_of: vec![], count: 1 }],
        strength: VoteStrength::Session,
        requesters: vec![],
        asked_us: Micros(1),
        expires_us: Micros(i64::from(u32::MAX)),
        remind_us: None,
        escalate: None,
        due_us: None,
    }
}

pub fn voted(approval: &str, digest: Digest) -> Vote {
    Vote {
        approval: approval.into(),
        digest,
        approver: "bob".into(),
        groups: vec![],
        record: "vote".into(),
        approve: true,
        strength: VoteStrength::Session,
        channel: "cli".into(),
        at_us: Micros(2),
        signature: None,
        key: None,
    }
}
