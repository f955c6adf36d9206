//! Budgets and histories as they would have become.
//!
//! Each call that would have run takes from the budgets of today what it was estimated to take, at the time of its
//! record, and is settled with what its recorded outcome says that it used. A call that never ran has no outcome: it
//! keeps its estimate.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use placet::pipeline::spending::{amounts, charged};
use placet::record::ids::{ApprovalId, CredentialId, RecordId, ReservationId};
use placet::record::ledger::{Amount, BudgetUnit, LedgerOp, Reservation, Settlement};
use placet::record::{DecisionFact, Fact, OutcomeFact, OutcomeStatus, Record};
use placet::trust::budgets::{BudgetRule, CredentialLimits};
use placet::trust::sessions::{SessionFacts, SessionKey};
use placet::trust::{Refusal, State};
use placet::{Event, Gate};
use placet_store::query::Stored;
use serde_json::Value as Json;

/// What a call that would have run has taken; nothing where no budget concerns it.
#[derive(Debug, Clone, Default)]
struct Run {
    amounts: Vec<Amount>,
}

/// The state that a log would have led to.
pub(super) struct Simulation<'a> {
    gate: &'a Gate,
    rules: Vec<BudgetRule>,
    state: State,
    /// The limits that credentials state, from the records of their issue.
    limits: HashMap<CredentialId, BTreeMap<BudgetUnit, u64>>,
    /// The calls that would be running, by their decisions, with the ids of what they took.
    running: HashMap<RecordId, (ReservationId, Run)>,
    /// Calls that had to ask people, and would have run at once: by what they asked.
    at_once: HashMap<ApprovalId, (ReservationId, Run)>,
    /// Decisions that repeat such a call.
    repeated: HashSet<RecordId>,
    /// Calls that never ran in the record, so that their cost is a guess.
    pub(super) estimated: u64,
}

impl<'a> Simulation<'a> {
    pub(super) fn new(gate: &'a Gate, rules: Vec<BudgetRule>) -> Self {
        Self {
            gate,
            rules,
            state: State::default(),
            limits: HashMap::new(),
            running: HashMap::new(),
            at_once: HashMap::new(),
            repeated: HashSet::new(),
            estimated: 0,
        }
    }

    pub(super) fn facts(&self, key: &SessionKey) -> SessionFacts {
        self.state.facts(key)
    }

    /// Takes note of the limits of a new credential.
    pub(super) fn issued(&mut self, stored: &Stored) {
        let Some(LedgerOp::Issue(entry)) = stored.record.ops.first() else { return };
        let Some(view) = stored.view() else { return };
        let Some(details) = view.get("authority").and_then(Json::as_array) else { return };
        let stated = details.iter().find_map(|details| details.get("budgets"));
        let of = |unit: BudgetUnit| Some((unit, stated?.get(unit.to_string())?.as_u64()?));
        self.limits.insert(entry.id.clone(), BudgetUnit::ALL.into_iter().filter_map(of).collect());
    }

    /// Lets a call run, unless a budget is used up; `recorded` is the state of the log.
    pub(super) fn run(
        &mut self,
        record: &Record,
        before: &DecisionFact,
        event: Option<&Event>,
        recorded: &State,
    ) -> Result<(), Refusal> {
        let asked = before.approval.as_ref();
        if let Some(run) = asked.and_then(|id| self.at_once.get(id)) {
            self.running.insert(record.id.clone(), run.clone());
            self.repeated.insert(record.id.clone());
            return Ok(());
        }
        let ran = &*before.verdict == "allow";
        if ran && !before.permit {
            // It was only asked for.
            return Ok(());
        }
        let taken = record.ops.iter().find_map(|op| match op {
            LedgerOp::Reserve(reservation) => Some(&reservation.amounts[..]),
            _ => None,
        });
        let taken = taken.unwrap_or_default();
        let amounts = match event {
            Some(event) => {
                let lineage = self.lineage(before, taken, recorded);
                amounts(self.gate, &self.rules, event, &lineage)
            }
            None => taken.to_vec(),
        };
        let id = ReservationId(record.id.0.clone());
        self.reserve(record, before, &id, &amounts)?;
        let run = (id, Run { amounts });
        if let Some(asked) = asked.filter(|_| &*before.verdict == "escalate") {
            self.at_once.insert(asked.clone(), run.clone());
        }
        self.running.insert(record.id.clone(), run);
        self.estimated += u64::from(!ran);
        Ok(())
    }

    /// In a record of its own that belongs to no session, so that only budgets see it.
    fn reserve(
        &mut self,
        record: &Record,
        before: &DecisionFact,
        id: &ReservationId,
        amounts: &[Amount],
    ) -> Result<(), Refusal> {
        if amounts.is_empty() {
            return Ok(());
        }
        let fact = DecisionFact { verdict: "allow".into(), permit: true, credential: None, ..before.clone() };
        let mut taking = Record::new(record.id.clone(), Fact::Decision(fact));
        taking.time_us = record.time_us;
        taking.ops.push(LedgerOp::Reserve(Reservation {
            id: id.clone(),
            amounts: amounts.to_vec(),
            in_flight: true,
            expires_us: None,
        }));
        self.state.admit(&taking)
    }

    /// The credentials of a call with their limits. Where the record of an issue says none any more, what the call took
    /// tells them.
    fn lineage(&self, before: &DecisionFact, taken: &[Amount], recorded: &State) -> Vec<CredentialLimits> {
        let Some(holder) = &before.credential else { return Vec::new() };
        let known = |id: CredentialId| {
            let limits = self.limits.get(&id).cloned().unwrap_or_else(|| {
                let SessionKey(owner) = SessionKey::lineage(&id);
                let own = taken.iter().filter(|amount| amount.key.owner == owner);
                own.filter_map(|amount| Some((amount.key.unit, amount.limit?))).collect()
            });
            CredentialLimits { id, limits }
        };
        let line = recorded.credentials.lineage(holder);
        let line = if line.is_empty() { vec![holder.clone()] } else { line };
        line.into_iter().map(known).collect()
    }

    /// Takes a decision in, with the verdict that it would have had.
    pub(super) fn decided(&mut self, record: &Record, before: &DecisionFact, verdict: &str) {
        let repeated = self.repeated.contains(&record.id);
        let mut would_be = record.clone();
        // The second half of a call that ran is no second call.
        let verdict = if repeated { "escalate" } else { verdict };
        would_be.fact = Fact::Decision(DecisionFact { verdict: verdict.into(), ..before.clone() });
        if verdict == "allow" || &*before.verdict != "allow" {
            would_be.ops.retain(|op| !matches!(op, LedgerOp::Reserve(_)));
        } else {
            would_be.ops.retain(|op| matches!(op, LedgerOp::Present(_)));
        }
        self.state.replay(&would_be);
    }

    /// Takes an outcome in, of a call that would have run.
    pub(super) fn ended(&mut self, record: &Record, outcome: &OutcomeFact) {
        let mut would_be = record.clone();
        let mut used = Vec::new();
        would_be.ops.retain(|op| match op {
            LedgerOp::Settle(settlement) => {
                used.extend(settlement.actual.iter().map(|amount| (amount.key.unit, amount.amount)));
                false
            }
            LedgerOp::Release(_) => false,
            _ => true,
        });
        if let Some((id, run)) = self.running.remove(&outcome.decision)
            && !run.amounts.is_empty()
        {
            would_be.ops.push(if outcome.status == OutcomeStatus::NotStarted {
                LedgerOp::Release(id)
            } else {
                let elapsed = Duration::from_micros(outcome.elapsed_us);
                LedgerOp::Settle(Settlement { id, actual: charged(&run.amounts, &used, elapsed) })
            });
        }
        self.state.replay(&would_be);
    }

    /// Takes in a record that no policy decides.
    pub(super) fn other(&mut self, record: &Record) {
        self.state.replay(record);
    }
}
