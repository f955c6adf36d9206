//! JSON Schemas of the documents on the wire, made from the types they describe.
//!
//! The event's schema describes a well-formed event. The reader is laxer about types on purpose: there a wrong type
//! is a value that rules cannot know, and a rule that restricts fires on it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde_json::{Map, Value, json};

use crate::event::Field;
use crate::{DenyCause, RiskTier, Tier};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of an event document; every field may be absent or null.
#[must_use]
pub fn event() -> Value {
    let mut properties = Map::new();
    for field in Field::ALL {
        match field.path().split_once('.') {
            None => drop(properties.insert(field.path().to_owned(), field_schema(*field))),
            Some((group, name)) => {
                let group = properties.entry(group.to_owned()).or_insert_with(
                    || json!({ "type": ["object", "null"], "properties": {}, "additionalProperties": false }),
                );
                if let Some(Value::Object(fields)) = group.get_mut("properties") {
                    fields.insert(name.to_owned(), field_schema(*field));
                }
            }
        }
    }
    properties.insert("tool".to_owned(), field_schema(Field::ToolName));
    properties.insert("session_id".to_owned(), field_schema(Field::SessionId));
    properties.insert(
        "plan".to_owned(),
        json!({
            "type": ["object", "null"],
            "properties": { "steps": field_schema(Field::Steps) },
            "additionalProperties": false,
        }),
    );
    properties.insert(
        "norm".to_owned(),
        json!({ "description": "Recomputed when read; what it holds is ignored." }),
    );
    json!({
        "$schema": DRAFT,
        "$id": "urn:placet:schema:event:1",
        "title": "Placet event",
        "description": "What an enforcement point saw.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn field_schema(field: Field) -> Value {
    let text = || json!({ "type": ["string", "null"] });
    let number = || json!({ "type": ["number", "null"], "minimum": 0 });
    let texts = || json!({ "type": ["array", "null"], "items": { "type": "string" } });
    let mut schema = match field {
        Field::EventType => json!({ "enum": [
            "tool_call", "agent.spawn", "agent.delegate", "agent.plan", "agent.budget", "data.access", null,
        ] }),
        Field::Transport => json!({ "enum": ["local", "mcp", "http", null] }),
        Field::Args | Field::Attributes => json!({ "type": ["object", "null"] }),
        Field::Steps => json!({ "type": ["array", "null"], "items": { "type": "object" } }),
        Field::Now => json!({ "type": ["string", "null"], "format": "date-time" }),
        Field::SandboxVerified => json!({ "type": ["boolean", "null"] }),
        Field::DelegationDepth | Field::ParentDepth => json!({ "type": ["integer", "null"], "minimum": 0 }),
        Field::ToolTags
        | Field::RequestedCapabilities
        | Field::SessionScopes
        | Field::Scopes
        | Field::ToolHistory
        | Field::Resources => texts(),
        Field::BudgetTotalTokens
        | Field::BudgetUsedTokens
        | Field::BudgetTotalApiCalls
        | Field::BudgetUsedApiCalls
        | Field::BudgetTotalCostCents
        | Field::BudgetUsedCostCents
        | Field::BudgetTotalComputeSeconds
        | Field::BudgetUsedComputeSeconds
        | Field::TokensSpent
        | Field::ApiCalls
        | Field::Cost
        | Field::ComputeSeconds => number(),
        Field::Action
        | Field::ToolName
        | Field::Target
        | Field::ResourcePath
        | Field::DelegationTarget
        | Field::DataClassification
        | Field::SessionId
        | Field::UserRole
        | Field::TokenId
        | Field::ParentTokenId
        | Field::ParentSessionId
        | Field::TenantId
        | Field::SessionSelfId
        | Field::AgentId
        | Field::AgentRole
        | Field::User
        | Field::Tenant
        | Field::ParentSelfSessionId => text(),
    };
    if let Value::Object(keywords) = &mut schema {
        keywords.insert("description".to_owned(), field.description().into());
    }
    schema
}

/// The schema of a decision.
#[must_use]
pub fn decision() -> Value {
    let text = json!({ "type": "string" });
    let risk_tier = json!({ "enum": RiskTier::ALL.map(RiskTier::name) });
    let tiers = [Tier::Core, Tier::Global, Tier::Project].map(Tier::name);
    let rule_name = json!({ "type": ["string", "null"] });
    let codes: Vec<&str> =
        ["allowed", "approval_required"].into_iter().chain(DenyCause::ALL.map(DenyCause::code)).collect();
    let properties = json!({
        "decision_id": { "type": "string", "format": "uuid" },
        "verdict": { "enum": ["allow", "deny", "escalate"] },
        "hard": { "description": "Whether a deny ends the matter.", "type": "boolean" },
        "reason": { "description": "The author's reason; may be shown to the agent.", "type": "string" },
        "code": { "enum": codes },
        "risk_tier": risk_tier,
        "rule_matched": rule_name,
        "rules": { "type": "array", "items": closed(&json!({
            "name": text, "file": text, "line": { "type": "integer", "minimum": 0 },
        })) },
        "reviewers": { "type": "array", "items": text },
        "policy_version": { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" },
        "identity": { "enum": ["asserted", "verified"] },
        "trace": { "type": "array", "items": closed(&json!({
            "tier": { "enum": tiers },
            "outcome": { "enum": ["allow", "deny", "escalate", "abstain", "skipped"] },
            "hard": { "type": "boolean" },
            "risk_tier": risk_tier,
            "reason": text,
            "rule_matched": rule_name,
        })) },
    });
    let mut schema = closed(&properties);
    if let Value::Object(keywords) = &mut schema {
        keywords.insert("$schema".to_owned(), DRAFT.into());
        keywords.insert("$id".to_owned(), "urn:placet:schema:decision:1".into());
        keywords.insert("title".to_owned(), "Placet decision".into());
        keywords.insert(
            "allOf".to_owned(),
            json!([{
                "if": { "properties": { "verdict": { "const": "deny" } } },
                "else": { "properties": { "hard": { "const": false } } },
            }]),
        );
    }
    schema
}

/// An object with all of these properties and no others.
fn closed(properties: &Value) -> Value {
    let names: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}
