//! A recorded decision as the event that was decided, with what was redacted made unknown.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::audit::seal::LogKey;
use placet::record::ids::Digest;
use placet::record::{DecisionFact, Record};
use placet::trust::TenantKey;
use placet::{Event, Field, Object, Value, digest};
use serde_json::{Map, Value as Json, json};

use crate::moment;

/// How the marks begin that stand where something was redacted.
const MARK: &str = "[REDACTED:";

/// The event of a decision.
pub(super) struct Rebuilt {
    pub(super) event: Event,
    /// Dotted paths of what is unknown because it was redacted.
    pub(super) redacted: Vec<String>,
}

/// Rebuilds the event from its record and view; `None` when the view says too little.
pub(super) fn rebuild(
    record: &Record,
    decision: &DecisionFact,
    view: &Map<String, Json>,
    key: Option<&LogKey>,
) -> Option<Rebuilt> {
    let of = |member: &str| view.get(member).cloned().unwrap_or_default();
    let mut context = view.get("context")?.as_object()?.clone();
    context.insert("parent_session_id".to_owned(), of("parent_session"));
    let now = match of("now") {
        Json::Null => json!(moment::exact(record.time_us)),
        now => now,
    };
    let mut document = json!({
        "event_type": decision.event_type, "action": decision.action, "tool_name": decision.tool,
        "transport": of("transport"), "target": of("target"), "resource_path": of("resource_path"),
        "delegation_target": of("delegation_target"), "data_classification": of("data_classification"),
        "now": now, "args": of("args"), "context": context,
        "session": {
            "id": record.session, "agent_id": record.agent, "agent_role": of("agent_role"), "user": of("user"),
            "tenant": record.tenant,
        },
    });
    let map = document.as_object_mut()?;
    for list in ["tool_tags", "resources", "steps", "requested_capabilities"] {
        if let Some(value) = view.get(list) {
            map.insert(list.to_owned(), value.clone());
        }
    }
    let mut event = Event::from_json(document.to_string().as_bytes()).ok()?;
    let mut redacted = Vec::new();
    hide_arguments(&mut event, record, decision, key, &mut redacted);
    for (field, path) in [
        (Field::Target, "target"),
        (Field::ResourcePath, "resource_path"),
        (Field::Resources, "resources"),
        (Field::Steps, "steps"),
        (Field::DelegationTarget, "delegation_target"),
        (Field::User, "session.user"),
        (Field::Attributes, "context.attributes"),
    ] {
        let value = hidden(event.get(field), path, &mut redacted);
        event.set(field, value);
    }
    Some(Rebuilt { event, redacted })
}

/// The digest in the record tells whether the arguments are those that were decided; marks tell which are not.
fn hide_arguments(
    event: &mut Event,
    record: &Record,
    decision: &DecisionFact,
    key: Option<&LogKey>,
    redacted: &mut Vec<String>,
) {
    let args = event.get(Field::Args);
    if let (Some(key), Some(recorded)) = (key, &decision.args) {
        let key = TenantKey::new(key.tenant_key(record.tenant.as_deref()));
        if key.mac(&Digest(digest::digest(args))) == *recorded {
            return;
        }
    }
    let before = redacted.len();
    let value = hidden(args, "args", redacted);
    let differs = key.is_some() && decision.args.is_some();
    if redacted.len() == before && differs {
        redacted.push("args".to_owned());
        event.set(Field::Args, unknown());
    } else {
        event.set(Field::Args, value);
    }
}

fn unknown() -> Value {
    Value::unknown("redacted", Vec::new())
}

/// The value with everything that bears a mark made unknown.
fn hidden(value: &Value, path: &str, redacted: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) if text.contains(MARK) => {
            redacted.push(path.to_owned());
            unknown()
        }
        Value::Array(items) => {
            // Rules look at lists as a whole.
            let mut inside = Vec::new();
            let items = items.iter().map(|item| hidden(item, path, &mut inside)).collect();
            redacted.extend(inside);
            Value::Array(items)
        }
        Value::Object(object) if object.iter().any(|(key, _)| key.contains(MARK)) => {
            redacted.push(path.to_owned());
            unknown()
        }
        Value::Object(object) => {
            let mut out = Object::new();
            for (key, value) in object.iter() {
                out.insert(key.clone(), hidden(value, &format!("{path}.{key}"), redacted));
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}
