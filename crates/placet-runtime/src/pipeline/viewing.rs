//! The readable views of decisions and outcomes: what a person needs to understand them, redacted.
//!
//! They are written straight to the text that is stored. The members of each object stand here in the order of that
//! text, so that nothing has to be sorted.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::sync::Arc;

use placet_audit::view;
use placet_content::{Redactor, Shown};
use placet_trust::View;
use placet_types::{Decision, Event, Field, InputSeen, RiskTier, RuleRef, Tier, TraceStep};
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use serde_json::{Value as Json, json};

use super::recording::Outcome;

/// The view of a decision, with what an approver was shown if people were asked, and what the tool is for.
pub(super) fn decision_view(
    event: &Event,
    decision: &Decision,
    redact: &Redactor,
    question: Option<&Json>,
    description: Option<&str>,
) -> View {
    written(&DecisionView { event, decision, redact, question, description })
}

/// The view of an outcome.
pub(super) fn outcome_view(outcome: &Outcome, redact: &Redactor) -> View {
    written(&OutcomeView {
        error: outcome.error.as_deref().map(|error| redact.text(error)),
        result: outcome.result.as_ref().map(|result| redact.shown(result)),
    })
}

fn written(view: &impl Serialize) -> View {
    match view::unsalted(view) {
        Ok(text) => View::Text(text),
        Err(error) => {
            tracing::error!(target: "placet::pipeline", %error, "a record has no readable view");
            View::Members(serde_json::Map::from_iter([("fault".to_owned(), json!(error.to_string()))]))
        }
    }
}

#[derive(Serialize)]
struct OutcomeView<'v> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'v, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Shown<'v>>,
}

struct DecisionView<'v> {
    event: &'v Event,
    decision: &'v Decision,
    redact: &'v Redactor,
    question: Option<&'v Json>,
    description: Option<&'v str>,
}

/// What a member of the view is made of.
enum Member {
    /// A field of the event, unless it is empty.
    Field(Field),
    Args,
    Context,
    Description,
    Inputs,
    Question,
    Reason,
    Rules,
    Trace,
}

const MEMBERS: [(&str, Member); 23] = [
    ("agent_role", Member::Field(Field::AgentRole)),
    ("approval", Member::Question),
    ("args", Member::Args),
    ("context", Member::Context),
    ("data_classification", Member::Field(Field::DataClassification)),
    ("delegation_target", Member::Field(Field::DelegationTarget)),
    ("description", Member::Description),
    ("inputs", Member::Inputs),
    ("now", Member::Field(Field::Now)),
    ("parent_session", Member::Field(Field::ParentSessionId)),
    ("reason", Member::Reason),
    ("requested_capabilities", Member::Field(Field::RequestedCapabilities)),
    ("resource_path", Member::Field(Field::ResourcePath)),
    ("resources", Member::Field(Field::Resources)),
    ("role", Member::Field(Field::UserRole)),
    ("rules", Member::Rules),
    ("scopes", Member::Field(Field::SessionScopes)),
    ("steps", Member::Field(Field::Steps)),
    ("target", Member::Field(Field::Target)),
    ("tool_tags", Member::Field(Field::ToolTags)),
    ("trace", Member::Trace),
    ("transport", Member::Field(Field::Transport)),
    ("user", Member::Field(Field::User)),
];

impl Serialize for DecisionView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { event, decision, redact, question, description } = self;
        let mut out = serializer.serialize_struct("DecisionView", MEMBERS.len())?;
        for (key, member) in MEMBERS {
            match member {
                Member::Field(field) => {
                    let value = event.get(field);
                    if !value.is_null() && value.as_array() != Some(&[]) {
                        out.serialize_field(key, &redact.shown(value))?;
                    }
                }
                Member::Args => out.serialize_field(key, &redact.shown(event.get(Field::Args)))?,
                Member::Context => out.serialize_field(key, &Context { event, redact })?,
                Member::Inputs => out.serialize_field(key, &Inputs { inputs: &decision.inputs, redact })?,
                Member::Description => {
                    if let Some(description) = description {
                        out.serialize_field(key, description)?;
                    }
                }
                Member::Question => {
                    if let Some(question) = question {
                        out.serialize_field(key, question)?;
                    }
                }
                Member::Reason => out.serialize_field(key, &redact.text(&decision.full_reason()))?,
                Member::Rules => out.serialize_field(key, &Rules(&decision.rules))?,
                Member::Trace => out.serialize_field(key, &Trace { steps: &decision.trace, redact })?,
            }
        }
        out.end()
    }
}

/// The context as policies saw it, without ids of tokens: what replay decides anew with.
struct Context<'v> {
    event: &'v Event,
    redact: &'v Redactor,
}

const CONTEXT: [(&str, Field); 15] = [
    ("attributes", Field::Attributes),
    ("budget_total_api_calls", Field::BudgetTotalApiCalls),
    ("budget_total_compute_seconds", Field::BudgetTotalComputeSeconds),
    ("budget_total_cost_cents", Field::BudgetTotalCostCents),
    ("budget_total_tokens", Field::BudgetTotalTokens),
    ("budget_used_api_calls", Field::BudgetUsedApiCalls),
    ("budget_used_compute_seconds", Field::BudgetUsedComputeSeconds),
    ("budget_used_cost_cents", Field::BudgetUsedCostCents),
    ("budget_used_tokens", Field::BudgetUsedTokens),
    ("delegation_depth", Field::DelegationDepth),
    ("sandbox_verified", Field::SandboxVerified),
    ("session_id", Field::SessionId),
    ("session_scopes", Field::SessionScopes),
    ("tenant_id", Field::TenantId),
    ("user_role", Field::UserRole),
];

impl Serialize for Context<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Context", CONTEXT.len())?;
        for (key, field) in CONTEXT {
            let value = self.event.get(field);
            if !value.is_null() {
                out.serialize_field(key, &self.redact.shown(value))?;
            }
        }
        out.end()
    }
}

/// The rules that carried the outcome.
struct Rules<'v>(&'v [Arc<RuleRef>]);

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Rule<'v> {
            file: &'v str,
            line: u32,
            name: &'v str,
        }
        let rules = self.0.iter().map(|rule| Rule { file: &rule.file, line: rule.line, name: &rule.name });
        serializer.collect_seq(rules)
    }
}

/// What each tier said. A reason may quote arguments: Rego puts it together.
struct Trace<'v> {
    steps: &'v [TraceStep],
    redact: &'v Redactor,
}

impl Serialize for Trace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Step<'v> {
            hard: bool,
            outcome: &'static str,
            reason: Cow<'v, str>,
            risk_tier: RiskTier,
            rule_matched: Option<&'v str>,
            tier: Tier,
        }
        serializer.collect_seq(self.steps.iter().map(|step| Step {
            hard: step.hard,
            outcome: step.outcome,
            reason: self.redact.text(&step.reason),
            risk_tier: step.risk_tier,
            rule_matched: step.rule_matched.as_deref(),
            tier: step.tier,
        }))
    }
}

/// The values that rules looked at.
struct Inputs<'v> {
    inputs: &'v [InputSeen],
    redact: &'v Redactor,
}

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Input<'v> {
            field: &'v str,
            #[serde(skip_serializing_if = "Option::is_none")]
            unknown: Option<&'v str>,
            value: Seen<'v>,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Seen<'v> {
            Shown(Shown<'v>),
            /// A key on the way to it hides it.
            Hidden(String),
        }
        serializer.collect_seq(self.inputs.iter().map(|seen| Input {
            field: &seen.field,
            unknown: seen.unknown.as_deref(),
            value: match self.redact.hidden_at(&seen.field) {
                Some(mark) if !seen.value.is_null() => Seen::Hidden(mark),
                _ => Seen::Shown(self.redact.shown(&seen.value)),
            },
        }))
    }
}

/// Each field of the event that a view shows. Ids of sessions and tenants stand in the record as they are.
pub(super) fn fields() -> impl Iterator<Item = Field> {
    let of_context = CONTEXT.iter().map(|(_, field)| *field);
    let of_view = MEMBERS.iter().filter_map(|(_, member)| match member {
        Member::Field(field) if !CONTEXT.iter().any(|(_, other)| other == field) => Some(*field),
        Member::Args => Some(Field::Args),
        _ => None,
    });
    of_context.chain(of_view).filter(|field| !matches!(field, Field::SessionId | Field::TenantId))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_the_text() {
        assert!(MEMBERS.iter().is_sorted_by_key(|(key, _)| *key));
        assert!(CONTEXT.iter().is_sorted_by_key(|(key, _)| *key));
    }
}
