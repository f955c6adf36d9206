//! The event document: one superset for every path, serving both vocabularies of the ancestors.
//!
//! An [`Event`] holds one slot per field, so that a policy program reads a field without searching. A field
//! that is absent holds [`Value::Null`]. Types are not forced here: a wrong type is the policy's *unknown*.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod field;
mod read;
mod write;

use std::fmt;

use crate::json::{self, JsonError};
use crate::value::{Object, Value};

use field::FIELDS;
pub use field::Field;
use read::EventSeed;

/// Pairs of fields that say the same in the two vocabularies: the second is filled from the first and back.
const TWINS: [(Field, Field); 9] = [
    (Field::SessionId, Field::SessionSelfId),
    (Field::UserRole, Field::AgentRole),
    (Field::SessionScopes, Field::Scopes),
    (Field::TenantId, Field::Tenant),
    (Field::BudgetUsedTokens, Field::TokensSpent),
    (Field::BudgetUsedApiCalls, Field::ApiCalls),
    (Field::BudgetUsedCostCents, Field::Cost),
    (Field::BudgetUsedComputeSeconds, Field::ComputeSeconds),
    (Field::Action, Field::ToolName),
];

/// Fields that are empty lists when absent: nothing was asked for, tagged or done.
const LISTS: [Field; 6] = [
    Field::ToolTags,
    Field::RequestedCapabilities,
    Field::Steps,
    Field::ToolHistory,
    Field::SessionScopes,
    Field::Resources,
];

/// One event, complete: every field of the document has a slot.
#[derive(Clone, PartialEq)]
pub struct Event {
    slots: Box<[Value; FIELDS]>,
}

impl Default for Event {
    fn default() -> Self {
        Self { slots: Box::new([const { Value::Null }; FIELDS]) }
    }
}

impl Event {
    /// Reads an event from JSON and completes it.
    ///
    /// # Errors
    /// [`JsonError`] for a text that is no trustworthy JSON, is no object, or has a key that the document lacks.
    pub fn from_json(text: &[u8]) -> Result<Self, JsonError> {
        let mut event = json::read(text, EventSeed)?;
        event.complete();
        Ok(event)
    }

    /// The value of a field.
    #[must_use]
    #[allow(clippy::indexing_slicing, reason = "a Field is smaller than FIELDS by construction")]
    pub fn get(&self, field: Field) -> &Value {
        &self.slots[field as usize]
    }

    /// Sets a field.
    #[allow(clippy::indexing_slicing, reason = "a Field is smaller than FIELDS by construction")]
    pub fn set(&mut self, field: Field, value: impl Into<Value>) {
        self.slots[field as usize] = value.into();
    }

    /// Fills what follows from other fields: the twin in the other vocabulary, empty lists, `event_type`
    /// (`tool_call`), `transport` (`local`), `args` (`{}`) and the parent. Nothing present is changed.
    pub fn complete(&mut self) {
        self.default_to(Field::EventType, || "tool_call".into());
        self.default_to(Field::Transport, || "local".into());
        self.default_to(Field::Args, || Object::new().into());
        if self.get(Field::EventType).as_str() == Some("tool_call") {
            self.fill_twins(&TWINS);
        } else {
            let event_type = self.get(Field::EventType).clone();
            self.default_to(Field::Action, || event_type);
            self.fill_twins(&TWINS[..8]);
        }
        for list in LISTS {
            self.default_to(list, || Value::Array(Vec::new()));
        }
        self.default_to(Field::Scopes, || Value::Array(Vec::new()));
        self.complete_steps();
        self.complete_parent();
    }

    /// A step names its tool as `tool_name` or `tool`; policies may read either. Its tags are an empty list when
    /// absent, as those of a call are.
    #[allow(clippy::indexing_slicing, reason = "a Field is smaller than FIELDS by construction")]
    fn complete_steps(&mut self) {
        let Value::Array(steps) = &mut self.slots[Field::Steps as usize] else { return };
        for step in steps {
            let Value::Object(step) = step else { continue };
            for (one, other) in [("tool_name", "tool"), ("tool", "tool_name")] {
                let held = step.get(one).filter(|held| !held.is_null()).cloned();
                if let (Some(held), None | Some(Value::Null)) = (held, step.get(other)) {
                    step.insert(other, held);
                }
            }
            if step.get("tool_tags").is_none_or(Value::is_null) {
                step.insert("tool_tags", Value::Array(Vec::new()));
            }
        }
    }

    fn fill_twins(&mut self, twins: &[(Field, Field)]) {
        for &(one, other) in twins {
            if self.get(one).is_null() {
                self.set(one, self.get(other).clone());
            } else if self.get(other).is_null() {
                self.set(other, self.get(one).clone());
            }
        }
    }

    /// The parent of what is spawned or delegated is the session that asks.
    fn complete_parent(&mut self) {
        let asks = matches!(self.get(Field::EventType).as_str(), Some("agent.spawn" | "agent.delegate"));
        if asks {
            let depth = self.get(Field::DelegationDepth).clone();
            let session = self.get(Field::SessionId).clone();
            self.default_to(Field::ParentDepth, || depth);
            self.default_to(Field::ParentSelfSessionId, || session);
        } else {
            let session = self.get(Field::ParentSessionId).clone();
            self.default_to(Field::ParentSelfSessionId, || session);
        }
    }

    fn default_to(&mut self, field: Field, value: impl FnOnce() -> Value) {
        if self.get(field).is_null() {
            self.set(field, value());
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = Field::ALL.iter().filter(|field| !self.get(**field).is_null());
        formatter.debug_map().entries(present.map(|field| (field.path(), self.get(*field)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event::from_json(text.as_bytes()).expect(text)
    }

    #[test]
    fn either_vocabulary_fills_the_other() {
        let kite =
            event(r#"{"action":"pay","context":{"session_id":"s","user_role":"clerk","tenant_id":"t"}}"#);
        assert_eq!(kite.get(Field::ToolName).as_str(), Some("pay"));
        assert_eq!(kite.get(Field::AgentRole).as_str(), Some("clerk"));
        assert_eq!(kite.get(Field::Tenant).as_str(), Some("t"));
        let other = event(r#"{"tool":"pay","session":{"id":"s","agent_role":"clerk"},"plan":{"steps":[]}}"#);
        assert_eq!(other.get(Field::Action).as_str(), Some("pay"));
        assert_eq!(other.get(Field::UserRole).as_str(), Some("clerk"));
        let spent = event(r#"{"action":"pay","context":{"budget_used_tokens":7},"session":{"cost":3}}"#);
        assert_eq!(spent.get(Field::TokensSpent), &Value::Int(7));
        assert_eq!(spent.get(Field::BudgetUsedCostCents), &Value::Int(3));
    }

    /// The two documents of Kite Logik: a tool call, and an event, which names its session at the top too.
    #[test]
    fn the_documents_of_the_ancestor_are_read_as_they_are() {
        let context = r#"{"session_id":"s1","user_role":"support_agent","session_scopes":["x"],
            "sandbox_verified":false,"token_id":"","delegation_depth":0,"parent_token_id":"","parent_session_id":"",
            "tenant_id":null,"budget_total_tokens":null,"budget_used_tokens":null,"budget_total_api_calls":null,
            "budget_used_api_calls":null,"budget_total_cost_cents":null,"budget_used_cost_cents":null}"#;
        let call = event(&format!(
            r#"{{"action":"approve_refund","tool_name":"approve_refund","args":{{"amount":50}},"resource_path":null,
            "context":{context}}}"#
        ));
        assert_eq!(call.get(Field::SessionId).as_str(), Some("s1"));
        let spawn = event(&format!(
            r#"{{"event_type":"agent.spawn","session_id":"s1","action":"agent.spawn","tool_name":null,"args":{{}},
            "resource_path":null,"context":{context},"requested_capabilities":[],"delegation_target":null,
            "steps":[],"data_classification":null}}"#
        ));
        assert_eq!(spawn.get(Field::ParentSelfSessionId).as_str(), Some("s1"));
    }

    #[test]
    fn the_session_may_stand_at_the_top() {
        for text in [
            r#"{"session_id":"s"}"#,
            r#"{"session_id":"s","context":{"session_id":"s"}}"#,
            r#"{"session_id":"s","context":{"session_id":null}}"#,
            r#"{"context":{"session_id":"s"},"session_id":null}"#,
        ] {
            let event = event(text);
            assert_eq!(event.get(Field::SessionId).as_str(), Some("s"), "{text}");
            assert_eq!(event.get(Field::SessionSelfId).as_str(), Some("s"), "{text}");
            let document = serde_json::to_value(&event).expect("serialises");
            assert_eq!(document["session_id"], "s", "{text}");
        }
    }

    #[test]
    fn a_spawn_has_the_asking_session_as_parent() {
        let spawn =
            event(r#"{"event_type":"agent.spawn","context":{"session_id":"s","delegation_depth":2}}"#);
        assert_eq!(spawn.get(Field::ParentDepth), &Value::Int(2));
        assert_eq!(spawn.get(Field::Action).as_str(), Some("agent.spawn"));
        assert!(spawn.get(Field::ToolName).is_null());
    }

    #[test]
    fn a_step_has_its_tool_under_both_names_and_a_list_of_tags() {
        let plan = event(r#"{"event_type":"agent.plan","steps":[{"tool":"a"},{"tool_tags":"x"},5]}"#);
        let steps = plan.get(Field::Steps).as_array().expect("a list");
        assert_eq!(steps[0].get("tool_name").and_then(Value::as_str), Some("a"));
        assert_eq!(steps[0].get("tool_tags"), Some(&Value::Array(Vec::new())));
        assert_eq!(steps[1].get("tool_tags").and_then(Value::as_str), Some("x"), "what is there stays");
        assert_eq!(steps[2], Value::Int(5));
    }

    #[test]
    fn the_document_round_trips() {
        let text = r#"{"action":"pay","args":{"amount":42.5,"to":["a"]},"tool_tags":["finance.write"],"session":{"cost":3}}"#;
        let first = event(text);
        let again = event(&serde_json::to_string(&first).expect("serialises"));
        assert_eq!(first, again);
    }

    #[test]
    fn keys_outside_the_document_or_twice_are_refused() {
        for (text, word) in [
            (r#"{"acton":"pay"}"#, "acton"),
            (r#"{"context":{"user_rol":"x"}}"#, "context.user_rol"),
            (r#"{"action":"a","action":"b"}"#, "twice"),
            (r#"{"context":{"user_role":"x","user_role":"y"}}"#, "twice"),
            (r#"{"tool":"a","tool_name":"b"}"#, "one field"),
            (r#"{"session_id":"a","context":{"session_id":"b"}}"#, "one field"),
            (r#"{"context":{"session_id":"b"},"session_id":"a"}"#, "one field"),
            (r#"{"session_id":"1","context":{"session_id":1}}"#, "one field"),
            (r#"{"session_id":"a","session_id":"a"}"#, "twice"),
            (r#"{"user_role":"clerk"}"#, "user_role"),
            (r#"{"plan":{"stepz":[]}}"#, "plan.stepz"),
            ("[]", "invalid type"),
        ] {
            let error = Event::from_json(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
