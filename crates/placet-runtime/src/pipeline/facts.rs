//! What the ledger knows of a session: history and spending. Callers may state more than it knows, never less.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::sessions::{SessionFacts, SessionKey};
use placet_trust::{Freshness, Refusal};
use placet_types::{DenyCause, Event, Field, Value};

use super::identity::Holder;
use super::{Pipeline, text_of};

impl Pipeline {
    /// Writes the facts of the session into its event.
    pub(super) fn add_facts(&self, event: &mut Event, holder: Option<&Holder>) -> Result<(), Refusal> {
        let Some(ledger) = &self.options.ledger else { return Ok(()) };
        let Some(key) = session_key(event, holder) else { return Ok(()) };
        let mut facts = SessionFacts::default();
        ledger
            .read(Freshness::Seen, &mut |state| facts = state.facts(&key))
            .map_err(|error| Refusal::new(DenyCause::AuditUnavailable, error.to_string()))?;
        let history = facts.tool_history.iter().map(|name| Value::from(&**name)).collect();
        event.set(Field::ToolHistory, Value::Array(history));
        for (fields, known) in [
            ([Field::BudgetUsedTokens, Field::TokensSpent], facts.tokens_spent),
            ([Field::BudgetUsedApiCalls, Field::ApiCalls], facts.api_calls),
            ([Field::BudgetUsedCostCents, Field::Cost], facts.cost_cents()),
            ([Field::BudgetUsedComputeSeconds, Field::ComputeSeconds], facts.compute_seconds()),
        ] {
            for field in fields {
                let stated = event.get(field).as_number();
                let known = Value::from_i128(i128::from(known));
                if known.as_number() >= stated {
                    event.set(field, known);
                }
            }
        }
        Ok(())
    }
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
