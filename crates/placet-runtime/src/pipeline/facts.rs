//! What the ledger knows of a session: history and spending. Callers may state more than it knows, never less.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::sessions::{SessionFacts, SessionKey, ToolHistory};
use placet_trust::{Freshness, Refusal};
use placet_types::{DenyCause, Event, Field, Value};

use super::Pipeline;
use super::identity::Holder;

/// What a session spent, each under both of its names: tokens, API calls, cost, compute seconds.
const SPENT: [[Field; 2]; 4] = [
    [Field::BudgetUsedTokens, Field::TokensSpent],
    [Field::BudgetUsedApiCalls, Field::ApiCalls],
    [Field::BudgetUsedCostCents, Field::Cost],
    [Field::BudgetUsedComputeSeconds, Field::ComputeSeconds],
];

/// The fields of an event that the ledger fills in with what it knows of the session.
pub const SESSION_FACTS: [Field; 9] = {
    let [[tokens, spent], [used, calls], [cents, cost], [seconds, compute]] = SPENT;
    [Field::ToolHistory, tokens, spent, used, calls, cents, cost, seconds, compute]
};

/// What a session spent, with the two fields of each amount.
pub fn spent(facts: &SessionFacts) -> impl Iterator<Item = ([Field; 2], u64)> {
    let amounts = [facts.tokens_spent, facts.api_calls, facts.cost_cents(), facts.compute_seconds()];
    SPENT.into_iter().zip(amounts)
}

/// Writes the history of its session into an event.
pub(super) fn add_history(event: &mut Event, history: Option<&ToolHistory>) {
    if let Some(history) = history {
        event
            .set(Field::ToolHistory, Value::Array(history.iter().map(|name| Value::from(&**name)).collect()));
    }
}

impl Pipeline {
    /// Writes the facts of the session into its event, but for its tool history, which can be long. None where no
    /// ledger knows the session; what the caller stated stays then.
    pub(super) fn add_facts(
        &self,
        event: &mut Event,
        holder: Option<&Holder>,
    ) -> Result<Option<SessionFacts>, Refusal> {
        let Some(ledger) = &self.options.ledger else { return Ok(None) };
        let Some(key) = session_key(event, holder) else { return Ok(None) };
        let mut facts = SessionFacts::default();
        ledger
            .read(Freshness::Seen, &mut |state| facts = state.facts(&key))
            .map_err(|error| Refusal::new(DenyCause::AuditUnavailable, error.to_string()))?;
        for (fields, known) in spent(&facts) {
            for field in fields {
                let stated = event.get(field).as_number();
                let known = Value::from_i128(i128::from(known));
                if known.as_number() >= stated {
                    event.set(field, known);
                }
            }
        }
        event.set(Field::ToolHistory, Value::Array(Vec::new()));
        Ok(Some(facts))
    }
}

/// A session whose plan was approved calls the tools that the plan names, and no others.
pub(super) fn on_plan(event: &Event, facts: &SessionFacts) -> Result<(), Refusal> {
    let Some(plan) = facts.plan.as_ref().filter(|_| text_of(event, Field::EventType) == Some("tool_call"))
    else {
        return Ok(());
    };
    let tool = text_of(event, Field::ToolName).unwrap_or_default();
    if plan.iter().any(|planned| **planned == *tool) {
        return Ok(());
    }
    let planned = plan.iter().map(|planned| format!("`{planned}`")).collect::<Vec<_>>().join(", ");
    Err(Refusal::new(
        DenyCause::OffPlan,
        format!(
            "`{tool}` is not in the approved plan of this session, which names {planned}; submit a new plan"
        ),
    ))
}

/// Under which name the ledger keeps the session.
pub(super) fn session_key(event: &Event, holder: Option<&Holder>) -> Option<SessionKey> {
    match holder.and_then(|holder| holder.lineage.first()) {
        Some(root) => Some(SessionKey::lineage(root)),
        None => {
            let session = text_of(event, Field::SessionId)?;
            Some(SessionKey::stated(text_of(event, Field::TenantId), session))
        }
    }
}

/// The text of a field, where it is one.
pub(super) fn text_of(event: &Event, field: Field) -> Option<&str> {
    event.get(field).as_str()
}

/// A count of a field, where it is one. Of a fraction the whole part counts: a limit of 1.5 calls is one call.
pub(super) fn count_of(event: &Event, field: Field) -> Option<u64> {
    match event.get(field) {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Float(number) if *number >= 0.0 => format!("{}", number.floor()).parse().ok(),
        _ => None,
    }
}
