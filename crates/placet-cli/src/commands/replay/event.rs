//! A recorded decision as the event that was decided, with what was redacted made unknown.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::audit::seal::LogKey;
use placet::features::{Features, Truths};
use placet::hidden::HiddenType;
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
    /// Whether something in it is unknown because it was redacted.
    pub(super) is_redacted: bool,
    /// What was asked of that while it could be seen.
    pub(super) truths: Truths,
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
    // Ids stand in the record as they are.
    context.insert("session_id".to_owned(), json!(record.session));
    context.insert("tenant_id".to_owned(), json!(record.tenant));
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
    if let Some(features) = Features::read(view) {
        let is_redacted = features.hide(&mut event) > 0;
        return Some(Rebuilt { event, is_redacted, truths: features.truths() });
    }
    let is_redacted = hide_marked(&mut event, record, decision, key);
    Some(Rebuilt { event, is_redacted, truths: Truths::default() })
}

/// Where the view does not say what was redacted, because an older release wrote it or nothing was: goes by the marks.
fn hide_marked(event: &mut Event, record: &Record, decision: &DecisionFact, key: Option<&LogKey>) -> bool {
    let mut count = hide_arguments(event, record, decision, key);
    for field in [
        Field::Target,
        Field::ResourcePath,
        Field::Resources,
        Field::Steps,
        Field::DelegationTarget,
        Field::User,
        Field::Attributes,
    ] {
        let value = hidden(event.get(field), &mut count);
        event.set(field, value);
    }
    count > 0
}

/// The key of the digests of a record's tenant.
pub(super) fn tenant_key(key: &LogKey, record: &Record) -> TenantKey {
    TenantKey::new(key.tenant_key(record.tenant.as_deref()))
}

/// The digest in the record tells whether the arguments are those that were decided; marks tell which are not. Says how
/// many were hidden.
fn hide_arguments(
    event: &mut Event,
    record: &Record,
    decision: &DecisionFact,
    key: Option<&LogKey>,
) -> usize {
    let args = event.get(Field::Args);
    if let (Some(key), Some(recorded)) = (key, &decision.args)
        && tenant_key(key, record).mac(&Digest(digest::digest(args))) == *recorded
    {
        return 0;
    }
    let mut count = 0;
    let value = hidden(args, &mut count);
    let differs = key.is_some() && decision.args.is_some();
    if count == 0 && differs {
        event.set(Field::Args, HiddenType::Object.leaf());
        return 1;
    }
    event.set(Field::Args, value);
    count
}

/// The value with everything that bears a mark made unknown; counts what was.
fn hidden(value: &Value, count: &mut usize) -> Value {
    match value {
        Value::String(text) if text.contains(MARK) => {
            *count += 1;
            HiddenType::Any.leaf()
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| hidden(item, count)).collect()),
        Value::Object(object) if object.iter().any(|(key, _)| key.contains(MARK)) => {
            *count += 1;
            HiddenType::Object.leaf()
        }
        Value::Object(object) => {
            let mut out = Object::new();
            for (key, value) in object.iter() {
                out.insert(key.clone(), hidden(value, count));
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}
