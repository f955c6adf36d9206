//! What a call takes from budgets before it runs, and what it turns out to have cost.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use placet_trust::budgets::{BudgetRule, CredentialLimits, Spender, applicable};
use placet_types::ids::{RecordId, ReservationId};
use placet_types::ledger::{Amount, BudgetUnit, LedgerOp, Reservation, Settlement};
use placet_types::record::OutcomeStatus;
use placet_types::{Event, Field};

use super::recording::Outcome;
use super::{Case, Pipeline, count_of, text_of};
use crate::gate::Gate;

/// A unit, the field that states a limit in it, and how many of the unit one of the field's are.
const STATED: [(BudgetUnit, Field, u64); 4] = [
    (BudgetUnit::Tokens, Field::BudgetTotalTokens, 1),
    (BudgetUnit::ApiCalls, Field::BudgetTotalApiCalls, 1),
    (BudgetUnit::CostMicros, Field::BudgetTotalCostCents, 10_000),
    (BudgetUnit::ComputeMillis, Field::BudgetTotalComputeSeconds, 1_000),
];

impl Pipeline {
    /// What an allowed call takes, under the id of its decision, in flight from the start: a permit counts as spent until
    /// an outcome says otherwise.
    pub(super) fn reservation(&self, case: &Case) -> Option<Reservation> {
        let lineage = case.holder.as_ref().map_or(&[][..], |holder| &holder.limits);
        let amounts = amounts(&self.gate, &self.options.budgets, case.request.event(), lineage);
        (!amounts.is_empty()).then(|| Reservation {
            id: ReservationId(case.decision.decision_id.0.clone()),
            amounts,
            in_flight: true,
            expires_us: None,
        })
    }
}

/// What a call takes from budgets under these rules, whether it is about to run or is looked at again later.
#[must_use]
pub fn amounts(
    gate: &Gate,
    rules: &[BudgetRule],
    event: &Event,
    lineage: &[CredentialLimits],
) -> Vec<Amount> {
    let stated: Vec<(BudgetUnit, u64)> = STATED
        .iter()
        .filter_map(|(unit, field, times)| {
            count_of(event, *field).map(|limit| (*unit, limit.saturating_mul(*times)))
        })
        .collect();
    let spender = Spender {
        tenant: text_of(event, Field::TenantId),
        session: text_of(event, Field::SessionId),
        agent: text_of(event, Field::AgentId),
        tool: text_of(event, Field::ToolName),
        lineage,
        stated: &stated,
    };
    applicable(&spender, rules, &gate.estimate_of(event))
}

/// What a call cost of the amounts that it took: as much as is known of each, or as measured.
#[must_use]
pub fn charged(taken: &[Amount], used: &[(BudgetUnit, u64)], elapsed: Duration) -> Vec<Amount> {
    let cost = |reserved: &Amount| {
        let known = used.iter().find(|(unit, _)| *unit == reserved.key.unit).map(|(_, used)| *used);
        let measured = (reserved.key.unit == BudgetUnit::ComputeMillis)
            .then(|| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let amount = known.or(measured)?;
        Some(Amount { key: reserved.key.clone(), amount, limit: None })
    };
    taken.iter().filter_map(cost).collect()
}

/// The operation that ends a decision's reservation: given back where nothing began, else what was spent.
pub(super) fn settlement(
    decision: &RecordId,
    reserved: &[Amount],
    outcome: &Outcome,
    elapsed: Duration,
) -> Option<LedgerOp> {
    if reserved.is_empty() {
        return None;
    }
    let id = ReservationId(decision.0.clone());
    if outcome.status == OutcomeStatus::NotStarted {
        return Some(LedgerOp::Release(id));
    }
    Some(LedgerOp::Settle(Settlement { id, actual: charged(reserved, &outcome.used, elapsed) }))
}
