//! The event document: one superset for every path, serving both vocabularies of the ancestors.
//!
//! An [`Event`] holds one slot per field, so that a policy program reads a field without searching. A field
//! that is absent holds [`Value::Null`]. Types are not forced here: a wrong type is the policy's *unknown*.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serialize, Serializer};

use crate::json::{self, JsonError, ValueSeed};
use crate::value::{Object, Value};

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $variant:ident = $path:literal,)+) => {
        /// A field of the event document.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Field { $($(#[doc = $doc])+ $variant,)+ }

        impl Field {
            /// Every field, in document order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The dotted path of the field in the document.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)+ }
            }

            /// What the field means, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The field at a dotted path.
            #[must_use]
            pub fn at(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$variant),)+ _ => None }
            }
        }

        /// How many fields there are.
        const FIELDS: usize = [$(Field::$variant,)+].len();
    };
}

fields! {
    /// `tool_call`, `agent.spawn`, `agent.delegate`, `agent.plan`, `agent.budget` or `data.access`.
    EventType = "event_type",
    /// What is done.
    Action = "action",
    /// Which tool does it; `tool` is the same field.
    ToolName = "tool_name",
    /// Labels of the tool from its registration.
    ToolTags = "tool_tags",
    /// `local`, `mcp` or `http`.
    Transport = "transport",
    /// The system acted on.
    Target = "target",
    /// The bound arguments of the call.
    Args = "args",
    /// The one resource that the caller named.
    ResourcePath = "resource_path",
    /// Every declared or path-like value, nested and in plan steps too.
    Resources = "resources",
    /// What a spawned or delegated agent asks for.
    RequestedCapabilities = "requested_capabilities",
    /// To whom work is delegated.
    DelegationTarget = "delegation_target",
    /// The steps of a plan; `plan.steps` is the same field.
    Steps = "steps",
    /// The label of the data touched.
    DataClassification = "data_classification",
    /// When the event happens: RFC 3339, from an injected clock.
    Now = "now",
    /// The session.
    SessionId = "context.session_id",
    /// The role of the caller.
    UserRole = "context.user_role",
    /// The scopes the session holds.
    SessionScopes = "context.session_scopes",
    /// Whether code runs in a verified sandbox.
    SandboxVerified = "context.sandbox_verified",
    /// The id of the credential.
    TokenId = "context.token_id",
    /// How many delegations lie between the first agent and this one; 0 is the first.
    DelegationDepth = "context.delegation_depth",
    /// The credential this one was delegated from.
    ParentTokenId = "context.parent_token_id",
    /// The session this one was delegated from.
    ParentSessionId = "context.parent_session_id",
    /// The tenant.
    TenantId = "context.tenant_id",
    /// Token budget of the session.
    BudgetTotalTokens = "context.budget_total_tokens",
    /// Tokens used.
    BudgetUsedTokens = "context.budget_used_tokens",
    /// API call budget of the session.
    BudgetTotalApiCalls = "context.budget_total_api_calls",
    /// API calls used.
    BudgetUsedApiCalls = "context.budget_used_api_calls",
    /// Cost budget of the session in cents.
    BudgetTotalCostCents = "context.budget_total_cost_cents",
    /// Cost used, in cents.
    BudgetUsedCostCents = "context.budget_used_cost_cents",
    /// Compute budget of the session in seconds.
    BudgetTotalComputeSeconds = "context.budget_total_compute_seconds",
    /// Compute seconds used.
    BudgetUsedComputeSeconds = "context.budget_used_compute_seconds",
    /// Attributes that the deployment adds; an open object.
    Attributes = "context.attributes",
    /// The session again, in the other vocabulary.
    SessionSelfId = "session.id",
    /// The agent.
    AgentId = "session.agent_id",
    /// The role of the agent.
    AgentRole = "session.agent_role",
    /// The person behind the session.
    User = "session.user",
    /// The tenant again, in the other vocabulary.
    Tenant = "session.tenant",
    /// The scopes again, in the other vocabulary.
    Scopes = "session.scopes",
    /// Tokens spent by the session.
    TokensSpent = "session.tokens_spent",
    /// API calls made by the session.
    ApiCalls = "session.api_calls",
    /// Cost of the session so far, in cents.
    Cost = "session.cost",
    /// Compute seconds of the session so far.
    ComputeSeconds = "session.compute_seconds",
    /// The tools called before, oldest first.
    ToolHistory = "session.tool_history",
    /// Depth of the agent that spawns or delegates.
    ParentDepth = "parent.depth",
    /// Session of the agent that spawns or delegates.
    ParentSelfSessionId = "parent.session_id",
}

/// How many fields stand at the top of the document; they come first.
const TOP_FIELDS: usize = Field::SessionId as usize;

/// The name of each field within its group.
const NAMES: [&str; FIELDS] = names();

const fn names() -> [&'static str; FIELDS] {
    let mut names = [""; FIELDS];
    let mut index = 0;
    while index < FIELDS {
        names[index] = after_dot(Field::ALL[index].path());
        index += 1;
    }
    names
}

const fn after_dot(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'.' {
            return path.split_at(index + 1).1;
        }
        index += 1;
    }
    path
}

/// An object that groups fields, and which fields those are.
struct Group {
    prefix: &'static str,
    first: Field,
    last: Field,
}

/// The objects that group fields.
const GROUPS: [Group; 3] = [
    Group { prefix: "context", first: Field::SessionId, last: Field::Attributes },
    Group { prefix: "session", first: Field::SessionSelfId, last: Field::ToolHistory },
    Group { prefix: "parent", first: Field::ParentDepth, last: Field::ParentSelfSessionId },
];

impl Group {
    /// The fields of the group.
    fn fields(&self) -> &'static [Field] {
        Field::ALL.get(self.first as usize..=self.last as usize).unwrap_or_default()
    }
}

/// Finds a key among fields; keys mostly come in document order, so the search begins at `expected`.
fn find(fields: &'static [Field], expected: usize, key: &str) -> Option<Field> {
    let named = |field: &&Field| NAMES.get(**field as usize) == Some(&key);
    let (before, after) = fields.split_at(expected.min(fields.len()));
    after.iter().find(named).or_else(|| before.iter().find(named)).copied()
}

/// Pairs of fields that say the same in the two vocabularies: the second is filled from the first and back.
const TWINS: [(Field, Field); 5] = [
    (Field::SessionId, Field::SessionSelfId),
    (Field::UserRole, Field::AgentRole),
    (Field::SessionScopes, Field::Scopes),
    (Field::TenantId, Field::Tenant),
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
            self.fill_twins(&TWINS[..4]);
        }
        for list in LISTS {
            self.default_to(list, || Value::Array(Vec::new()));
        }
        self.default_to(Field::Scopes, || Value::Array(Vec::new()));
        self.complete_steps();
        self.complete_parent();
    }

    /// A step names its tool as `tool_name` or `tool`; policies may read either.
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

/// The whole document, every field present.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for field in Field::ALL.iter().take(TOP_FIELDS) {
            out.serialize_entry(field.path(), self.get(*field))?;
        }
        out.serialize_entry("tool", self.get(Field::ToolName))?;
        out.serialize_entry("plan", &Plan { steps: self.get(Field::Steps) })?;
        for group in &GROUPS {
            out.serialize_entry(group.prefix, &GroupOf { event: self, group })?;
        }
        out.end()
    }
}

#[derive(Serialize)]
struct Plan<'a> {
    steps: &'a Value,
}

struct GroupOf<'a> {
    event: &'a Event,
    group: &'static Group,
}

impl Serialize for GroupOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for field in self.group.fields() {
            out.serialize_entry(NAMES.get(*field as usize).unwrap_or(&""), self.event.get(*field))?;
        }
        out.end()
    }
}

struct EventSeed;

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Event, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = Event;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event: a JSON object with fields such as `action`, `args` and `context`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Event, A::Error> {
        let mut event = Event::default();
        let mut seen = Seen::default();
        let mut expected = 0;
        while let Some(key) = entries.next_key_seed(TopSeed { expected })? {
            match key {
                Top::Field(field) => {
                    expected = field as usize + 1;
                    seen.once(field)?;
                    let value = entries.next_value_seed(ValueSeed { depth: 1 })?;
                    fill(&mut event, field, value, field.path())?;
                }
                Top::Group(number, group) => {
                    seen.once_other(number)?;
                    entries.next_value_seed(GroupSeed { event: &mut event, group })?;
                }
                Top::Tool => {
                    seen.once_other(3)?;
                    let tool = entries.next_value_seed(ValueSeed { depth: 1 })?;
                    fill(&mut event, Field::ToolName, tool, "tool")?;
                }
                Top::Plan => {
                    seen.once_other(4)?;
                    let plan = entries.next_value_seed(ValueSeed { depth: 1 })?;
                    set_plan(&mut event, &plan)?;
                }
                // Recomputed from the fields it mirrors, so what a caller says of it has no weight.
                Top::Norm => drop(entries.next_value_seed(ValueSeed { depth: 1 })?),
            }
        }
        Ok(event)
    }
}

/// A key at the top of the document.
enum Top {
    Field(Field),
    /// One of [`GROUPS`], with its number.
    Group(usize, &'static Group),
    Tool,
    Plan,
    Norm,
}

/// Reads a top key; keys mostly come in document order, so the search begins behind the last one.
struct TopSeed {
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for TopSeed {
    type Value = Top;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Top, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for TopSeed {
    type Value = Top;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field of the event document")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Top, E> {
        if let Some(field) = find(Field::ALL.get(..TOP_FIELDS).unwrap_or_default(), self.expected, key) {
            return Ok(Top::Field(field));
        }
        if let Some((number, group)) = GROUPS.iter().enumerate().find(|(_, group)| group.prefix == key) {
            return Ok(Top::Group(number, group));
        }
        match key {
            "tool" => Ok(Top::Tool),
            "plan" => Ok(Top::Plan),
            "norm" => Ok(Top::Norm),
            _ => Err(unknown_key("", key)),
        }
    }
}

/// A key of one of the groups; the search begins behind the last one, as for top keys.
struct GroupKeySeed {
    group: &'static Group,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for GroupKeySeed {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for GroupKeySeed {
    type Value = Field;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a field of `{}`", self.group.prefix)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Field, E> {
        find(self.group.fields(), self.expected, key).ok_or_else(|| unknown_key(self.group.prefix, key))
    }
}

/// `steps` and `plan.steps` are one field, as are `tool` and `tool_name`: given twice, they must agree.
fn fill<E: Error>(event: &mut Event, field: Field, value: Value, name: &str) -> Result<(), E> {
    let held = event.get(field);
    if held.is_null() {
        event.set(field, value);
    } else if !value.is_null() && *held != value {
        let path = field.path();
        return Err(E::custom(format_args!(
            "`{name}` and `{path}` are one field but differ; give one of them"
        )));
    }
    Ok(())
}

fn set_plan<E: Error>(event: &mut Event, plan: &Value) -> Result<(), E> {
    match plan {
        Value::Null => Ok(()),
        Value::Object(object) => {
            if let Some((key, _)) = object.iter().find(|(key, _)| *key != "steps") {
                return Err(unknown_key("plan.", key));
            }
            object.get("steps").map_or(Ok(()), |steps| fill(event, Field::Steps, steps.clone(), "plan.steps"))
        }
        _ => Err(E::custom("`plan` must be an object with `steps`")),
    }
}

struct GroupSeed<'a> {
    event: &'a mut Event,
    group: &'static Group,
}

impl<'de> DeserializeSeed<'de> for GroupSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for GroupSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` to be an object or null", self.group.prefix)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        let mut expected = 0;
        while let Some(field) = entries.next_key_seed(GroupKeySeed { group: self.group, expected })? {
            expected = field as usize + 1 - self.group.first as usize;
            seen.once(field)?;
            let value = entries.next_value_seed(ValueSeed { depth: 2 })?;
            self.event.set(field, value);
        }
        Ok(())
    }
}

/// Which keys of one object were read: a bit for each field, then one for each other key.
#[derive(Default)]
struct Seen(u64);

/// The keys that are no field of their own, in the order of their bits.
const OTHER_KEYS: [&str; 5] = ["context", "session", "parent", "tool", "plan"];

impl Seen {
    fn once<E: Error>(&mut self, field: Field) -> Result<(), E> {
        self.note(field as usize, field.path())
    }

    fn once_other<E: Error>(&mut self, other: usize) -> Result<(), E> {
        self.note(FIELDS + other, OTHER_KEYS.get(other).copied().unwrap_or_default())
    }

    fn note<E: Error>(&mut self, bit: usize, key: &str) -> Result<(), E> {
        let bit = 1_u64 << bit;
        if self.0 & bit != 0 {
            return Err(E::custom(format_args!("the key `{key}` occurs twice in one object; remove one")));
        }
        self.0 |= bit;
        Ok(())
    }
}

const _: () = assert!(FIELDS + OTHER_KEYS.len() <= 64, "Seen keeps one bit per key");

fn unknown_key<E: Error>(prefix: &str, key: &str) -> E {
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    E::custom(format_args!(
        "the event document has no field `{prefix}{dot}{key}`; put values of your own under `context.attributes`"
    ))
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
            (r#"{"plan":{"stepz":[]}}"#, "plan.stepz"),
            ("[]", "invalid type"),
        ] {
            let error = Event::from_json(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
