//! The readable views of decisions and outcomes: what a person needs to understand them, redacted.
//!
//! They are written straight to the text that is stored. The members of each object stand here in the order of that
//! text, so that nothing has to be sorted.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;

use placet_audit::view::{self, Sorted, ViewError};
use placet_content::{Redactor, Shown};
use placet_trust::View;
use placet_types::{Decision, Event, Field, InputSeen, RuleRef, TraceStep, Value};
use serde::Serialize;
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
    written(DecisionView { event, decision, redact, question, description }.text())
}

/// The view of an outcome.
pub(super) fn outcome_view(outcome: &Outcome, redact: &Redactor) -> View {
    written(view::unsalted(&OutcomeView {
        error: outcome.error.as_deref().map(|error| redact.text(error)),
        result: outcome.result.as_ref().map(|result| redact.shown(result)),
    }))
}

fn written(text: Result<String, ViewError>) -> View {
    match text {
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

static MEMBERS: [(&str, Member); 23] = [
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

impl DecisionView<'_> {
    fn text(&self) -> Result<String, ViewError> {
        let mut out = Sorted::default();
        MEMBERS.iter().try_for_each(|(key, member)| self.member(&mut out, key, member))?;
        Ok(out.end())
    }

    fn member(&self, out: &mut Sorted, key: &'static str, member: &Member) -> Result<(), ViewError> {
        let Self { event, decision, redact, question, description } = self;
        match member {
            Member::Field(field) => {
                let value = event.get(*field);
                if !value.is_null() && value.as_array() != Some(&[]) {
                    self.shown(out.key(key), value)?;
                }
            }
            Member::Args => self.shown(out.key(key), event.get(Field::Args))?,
            Member::Context => out.key(key).object(|out| self.context(out))?,
            Member::Inputs => out.key(key).list(&decision.inputs, |out, seen| self.input(out, seen))?,
            Member::Description => {
                if let Some(description) = description {
                    out.key(key).text(description);
                }
            }
            Member::Question => {
                if let Some(question) = question {
                    out.key(key).value(question)?;
                }
            }
            Member::Reason => out.key(key).text(&redact.text(&decision.full_reason())),
            Member::Rules => {
                out.key(key).list(&decision.rules, |out, rule| out.object(|out| rule_of(out, rule)))?
            }
            Member::Trace => {
                out.key(key).list(&decision.trace, |out, step| out.object(|out| self.step(out, step)))?;
            }
        }
        Ok(())
    }

    fn shown(&self, out: &mut Sorted, value: &Value) -> Result<(), ViewError> {
        match value {
            Value::String(text) => out.text(&self.redact.text(text)),
            _ => out.value(&self.redact.shown(value))?,
        }
        Ok(())
    }

    /// The context as policies saw it, without ids of tokens: what replay decides anew with.
    fn context(&self, out: &mut Sorted) -> Result<(), ViewError> {
        for (key, field) in &CONTEXT {
            let value = self.event.get(*field);
            if !value.is_null() {
                self.shown(out.key(key), value)?;
            }
        }
        Ok(())
    }

    /// What a tier said. A reason may quote arguments: Rego puts it together.
    fn step(&self, out: &mut Sorted, step: &TraceStep) -> Result<(), ViewError> {
        out.key("hard").flag(step.hard);
        out.key("outcome").text(step.outcome);
        out.key("reason").text(&self.redact.text(&step.reason));
        out.key("risk_tier").text(step.risk_tier.name());
        match &step.rule_matched {
            Some(rule) => out.key("rule_matched").text(rule),
            None => out.key("rule_matched").null(),
        }
        out.key("tier").text(step.tier.name());
        Ok(())
    }

    /// A value that rules looked at.
    fn input(&self, out: &mut Sorted, seen: &InputSeen) -> Result<(), ViewError> {
        out.object(|out| {
            out.key("field").text(&seen.field);
            if let Some(unknown) = &seen.unknown {
                out.key("unknown").text(unknown);
            }
            match self.redact.hidden_at(&seen.field) {
                // A key on the way to it hides it.
                Some(mark) if !seen.value.is_null() => out.key("value").text(&mark),
                _ => self.shown(out.key("value"), &seen.value)?,
            }
            Ok(())
        })
    }
}

/// A rule that carried the outcome.
fn rule_of(out: &mut Sorted, rule: &RuleRef) -> Result<(), ViewError> {
    out.key("file").text(&rule.file);
    out.key("line").number(rule.line);
    out.key("name").text(&rule.name);
    Ok(())
}

/// Fields of the context, in the order of the text.
static CONTEXT: [(&str, Field); 15] = [
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

    #[test]
    fn a_view_is_written_in_canonical_form() {
        let event = r#"{"event_type":"tool_call","action":"pay","args":{"b":[1,{"z":null,"a":1.5}],"a":"pwd=hunter2"},
            "steps":[],"context":{"session_id":"s\n1","user_role":"r","session_scopes":["x","y"],"delegation_depth":3}}"#;
        let mut event = Event::from_json(event.as_bytes()).unwrap();
        event.complete();
        let seen = |field: &str, value, unknown: Option<&str>| InputSeen {
            field: field.into(),
            value,
            unknown: unknown.map(Into::into),
        };
        let mut decision = crate::refusal::failure(placet_types::DenyCause::Rule, "a \"reason\"", "v".into());
        decision.inputs = vec![
            seen("args.api_key", "k".into(), None),
            seen("args.x", Value::Null, Some("is missing")),
            seen("args.list", Value::Array(vec![Value::Int(7), "a@b.org".into()]), None),
        ];
        decision.trace = vec![TraceStep {
            tier: placet_types::Tier::Core,
            outcome: "deny",
            hard: true,
            risk_tier: placet_types::RiskTier::Operational,
            reason: "write to a@b.org".into(),
            rule_matched: None,
        }];
        let question = json!({"z": 1, "a": ["\u{1f600}"]});
        let view = decision_view(&event, &decision, &Redactor::builtin(), Some(&question), Some("pays"));
        let View::Text(text) = view else { panic!("it has a view") };
        let read: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
        assert_eq!(placet_audit::canonical::object(&read), text);
        assert_eq!(read["inputs"][0]["value"], "[REDACTED:api_key]");
        assert_eq!(read["context"]["user_role"], read["role"]);
        assert_eq!(read["trace"][0]["rule_matched"], Json::Null);
        let plain = decision_view(&event, &decision, &Redactor::builtin(), None, None);
        assert!(matches!(plain, View::Text(plain) if plain.len() < text.len()));
    }
}
