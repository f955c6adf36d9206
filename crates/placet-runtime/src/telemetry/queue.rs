//! What is told of the requests that wait for people in the ledgers of a process.
//!
//! Figures of the queue are read from a ledger; what happened is counted once for each request, from the time on at
//! which the first gate of the process took the ledger.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use placet_trust::approvals::Approvals;
use placet_trust::approvals::sla::{SlaFigures, figures, waited_us};
use placet_trust::{Freshness, Ledger};
use placet_types::{ApprovalId, Micros};

/// The ledgers of a process.
#[derive(Default)]
pub(super) struct Queues(Mutex<Vec<Queue>>);

/// One ledger, and whether it is in use.
struct Queue {
    ledger: Weak<dyn Ledger>,
    used: Arc<AtomicBool>,
    counted: Arc<Mutex<Counted>>,
}

type InUse = (Arc<dyn Ledger>, Arc<Mutex<Counted>>);

/// Which requests were counted.
struct Counted {
    since: Micros,
    breached: HashSet<ApprovalId>,
    decided: HashSet<ApprovalId>,
}

/// What there is to tell at a moment.
#[derive(Default)]
pub(super) struct Told {
    /// Sums over the ledgers; the oldest is the oldest of all.
    pub(super) figures: SlaFigures,
    /// How many requests became overdue and were not counted yet.
    pub(super) breached: u64,
    /// How long those waited that were decided and not counted yet.
    pub(super) decided: Vec<Duration>,
}

impl Queues {
    /// Takes note of a ledger; whoever commits to it says so by the flag.
    pub(super) fn add(&self, ledger: &Arc<dyn Ledger>, since: Micros) -> Arc<AtomicBool> {
        let mut queues = self.0.lock();
        queues.retain(|known| known.ledger.strong_count() > 0);
        let same = |known: &&Queue| Weak::ptr_eq(&known.ledger, &Arc::downgrade(ledger));
        if let Some(known) = queues.iter().find(same) {
            return known.used.clone();
        }
        let used = Arc::new(AtomicBool::new(false));
        let counted = Counted { since, breached: HashSet::new(), decided: HashSet::new() };
        let counted = Arc::new(Mutex::new(counted));
        queues.push(Queue { ledger: Arc::downgrade(ledger), used: used.clone(), counted });
        used
    }

    /// Reads the ledgers in use. Only others who tell wait for it.
    pub(super) fn tell(&self, at: Micros) -> Told {
        let mut told = Told::default();
        for (ledger, counted) in self.in_use() {
            let mut counted = counted.lock();
            let read = ledger.read(Freshness::Seen, &mut |state| {
                told.add(&figures(&state.approvals, at));
                counted.take(&state.approvals, at, &mut told);
            });
            if let Err(error) = read {
                tracing::warn!(target: "placet::telemetry", %error, "open approvals are not told");
            }
        }
        told
    }

    fn in_use(&self) -> Vec<InUse> {
        let queues = self.0.lock();
        let used = queues.iter().filter(|queue| queue.used.load(Ordering::Relaxed));
        used.filter_map(|queue| Some((queue.ledger.upgrade()?, queue.counted.clone()))).collect()
    }
}

impl Counted {
    fn take(&mut self, approvals: &Approvals, at: Micros, told: &mut Told) {
        for approval in approvals.iter() {
            let id = &approval.entry.id;
            // What is due at once is overdue once it is on record.
            let is_due_here =
                approval.entry.due_us.is_some_and(|due| due.max(approval.recorded_us) >= self.since);
            if is_due_here && approval.is_breached(at) && self.breached.insert(id.clone()) {
                told.breached += 1;
            }
            let is_decided_here =
                approval.decided.as_ref().is_some_and(|decided| decided.at_us >= self.since);
            if is_decided_here && self.decided.insert(id.clone()) {
                let waited = waited_us(approval).and_then(|waited| u64::try_from(waited).ok());
                told.decided.push(Duration::from_micros(waited.unwrap_or(0)));
            }
        }
        // What the ledger has forgotten does not come back.
        self.breached.retain(|id| approvals.get(id).is_some());
        self.decided.retain(|id| approvals.get(id).is_some());
    }
}

impl Told {
    fn add(&mut self, one: &SlaFigures) {
        let sum = &mut self.figures;
        sum.pending += one.pending;
        sum.overdue += one.overdue;
        sum.breached += one.breached;
        sum.oldest_us = sum.oldest_us.max(one.oldest_us);
    }
}
