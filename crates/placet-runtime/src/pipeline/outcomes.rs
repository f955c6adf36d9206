//! Outcomes: what became of an effect is recorded with what it cost, and nothing new begins while one is owed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use placet_content::Redactor;
use placet_trust::{Ledger, LedgerError, Proposal};
use placet_types::ids::RecordId;
use placet_types::ledger::Amount;
use placet_types::{Ack, Record};

use super::Pipeline;
use super::recording::{Outcome, outcome_fact};
use super::spending::settlement;
use super::viewing::outcome_view;
use crate::refusal;

/// The decision that an outcome belongs to: what both records say, and what was taken for it.
pub(super) struct Origin {
    pub(super) decision: RecordId,
    session: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    agent: Option<Arc<str>>,
    /// Reserved under the id of the decision.
    reserved: Vec<Amount>,
    ack: Ack,
}

impl Origin {
    pub(super) fn of(record: &Record, reserved: Vec<Amount>, ack: Ack) -> Self {
        Self {
            decision: record.id.clone(),
            session: record.session.clone(),
            tenant: record.tenant.clone(),
            agent: record.agent.clone(),
            reserved,
            ack,
        }
    }

    /// Where nothing is recorded.
    pub(super) fn unrecorded(ack: Ack) -> Self {
        Self { decision: "".into(), session: None, tenant: None, agent: None, reserved: Vec::new(), ack }
    }
}

/// An outcome on its way to the ledger. It is kept whole until it is there, and has one id, so that it is never
/// recorded twice.
pub(super) struct Owed {
    id: RecordId,
    origin: Origin,
    outcome: Outcome,
    elapsed: Duration,
}

impl Owed {
    fn proposal(&self, redactor: &Redactor) -> Proposal {
        let Self { id, origin, outcome, elapsed } = self;
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX >> 11);
        let mut record = Record::new(id.clone(), outcome_fact(&origin.decision, outcome, elapsed_us));
        record.session.clone_from(&origin.session);
        record.tenant.clone_from(&origin.tenant);
        record.agent.clone_from(&origin.agent);
        record.ops.extend(settlement(&origin.decision, &origin.reserved, outcome, *elapsed));
        let view = Some(outcome_view(outcome, redactor));
        Proposal { record, view, personal: Vec::new(), fallback: None }
    }
}

impl Pipeline {
    /// Records an outcome with what it cost. One that cannot be recorded is owed: nothing new begins before it is.
    pub(super) fn settle(
        &self,
        origin: Origin,
        outcome: Outcome,
        elapsed: Duration,
    ) -> Result<(), LedgerError> {
        let Some(ledger) = &self.options.ledger else { return Ok(()) };
        let owed = Owed { id: RecordId(refusal::new_id().0), origin, outcome, elapsed };
        let paid = self.pay(ledger.as_ref(), &owed).inspect_err(|_| self.owed.lock().push(owed));
        self.troubles.look(ledger.as_ref());
        paid
    }

    fn pay(&self, ledger: &dyn Ledger, owed: &Owed) -> Result<(), LedgerError> {
        let receipt = ledger.commit(owed.proposal(&self.redactor), owed.origin.ack)?;
        let Some(refusal) = receipt.refused else { return Ok(()) };
        // The effect has happened: its outcome is recorded even when its costs can no longer be settled.
        tracing::error!(target: "placet::pipeline", %refusal, "the cost of an effect was not settled");
        let mut bare = owed.proposal(&self.redactor);
        bare.record.ops = Vec::new();
        ledger.commit(bare, owed.origin.ack).map(|_| ())
    }

    /// Records the outcomes that are owed; nothing new begins while one remains.
    pub(super) fn pay_debts(&self, ledger: &dyn Ledger) -> Result<(), LedgerError> {
        let mut debts = self.owed.lock();
        while let Some(owed) = debts.first() {
            self.pay(ledger, owed)?;
            debts.remove(0);
        }
        Ok(())
    }
}
