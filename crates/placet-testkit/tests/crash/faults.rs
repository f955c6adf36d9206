//! Faults that are planted to see whether the suite finds them: what a ledger, or a pipeline over it, must never do.
//! They live here only, between the pipeline and a ledger that is as it should be.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use placet_runtime::refusal;
use placet_store::query::each;
use placet_store::{Place, PlaceSettings};
use placet_trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, State, TenantKey};
use placet_types::record::{OutcomeFact, OutcomeStatus};
use placet_types::{Ack, Digest, Fact, LedgerOp, Micros, Record, RecordId};

/// How long the way between two steps is made, so that a kill falls there.
const WINDOW: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The effect comes before its decision is committed.
    EffectFirst,
    /// A commit is acknowledged, and nothing is written.
    Unwritten,
    /// What a crashed call reserved is given back: it never said that it began.
    Refunded,
    /// An approval stays approved after its use.
    Reusable,
    /// It is written down that people were told, and then they are told.
    ToldFirst,
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::EffectFirst, Self::Unwritten, Self::Refunded, Self::Reusable, Self::ToldFirst];

    pub(crate) fn word(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|fault| fault.word() == word).unwrap()
    }
}

/// A ledger with a fault.
pub(crate) struct Faulty {
    inner: Arc<dyn Ledger>,
    fault: Fault,
    effects: File,
    /// The decisions that were acknowledged and not written.
    unwritten: Mutex<BTreeSet<RecordId>>,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Ledger>, fault: Fault, effects: File) -> Self {
        Self { inner, fault, effects, unwritten: Mutex::default() }
    }

    /// Acknowledges every decision that allows without writing it, and the outcome too.
    fn keeps_back(&self, record: &Record) -> bool {
        let mut unwritten = self.unwritten.lock().unwrap();
        match &record.fact {
            Fact::Decision(decision) if decision.permit => unwritten.insert(record.id.clone()),
            Fact::Outcome(outcome) => unwritten.contains(&outcome.decision),
            _ => false,
        }
    }
}

impl Ledger for Faulty {
    fn commit(&self, mut proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError> {
        let record = &mut proposal.record;
        match self.fault {
            Fault::EffectFirst if matches!(&record.fact, Fact::Decision(decision) if decision.permit) => {
                (&self.effects).write_all(format!("{}\n", record.id).as_bytes()).unwrap();
                std::thread::sleep(WINDOW);
            }
            Fault::Unwritten if self.keeps_back(record) => {
                return Ok(Receipt { seq: 0, time_us: Micros(0), leaf: Digest([0; 32]), refused: None });
            }
            Fault::Reusable => record.ops.retain(|op| !matches!(op, LedgerOp::Consume(_))),
            _ => {}
        }
        self.inner.commit(proposal, ack)
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

/// Writes down, of every call without an outcome, that its effect never began, and gives back what it reserved.
pub(crate) fn refund(ledger: &dyn Ledger, settings: &PlaceSettings, folder: &Path) {
    let place: Place = settings.place(folder).unwrap();
    let Ok(mut source) = place.read() else { return };
    let mut open = std::collections::BTreeMap::new();
    let read = each(source.as_mut(), |stored| {
        let record = &stored.record;
        match &record.fact {
            Fact::Decision(decision) if decision.permit => {
                let reserved = record.ops.iter().find_map(|op| match op {
                    LedgerOp::Reserve(reservation) => Some(reservation.id.clone()),
                    _ => None,
                });
                open.extend(reserved.map(|id| (record.id.clone(), id)));
            }
            Fact::Outcome(outcome) => drop(open.remove(&outcome.decision)),
            _ => {}
        }
        true
    });
    if read.is_err() {
        return;
    }
    for (decision, reservation) in open {
        let outcome = OutcomeFact {
            decision,
            status: OutcomeStatus::NotStarted,
            error: None,
            elapsed_us: 0,
            injections: 0,
        };
        let mut record = Record::new(RecordId(refusal::new_id().0), Fact::Outcome(outcome));
        record.ops.push(LedgerOp::Release(reservation));
        let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
        let receipt = ledger.commit(proposal, Ack::Durable).unwrap();
        assert_eq!(receipt.refused, None, "the fault is not planted");
    }
}

/// Widens the way between the two steps of telling.
pub(crate) fn linger() {
    std::thread::sleep(WINDOW);
}
