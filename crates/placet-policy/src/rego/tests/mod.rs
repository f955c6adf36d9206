//! Tests of the Rego half: loading, voices, failures, builtins.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod bounds;
mod lints;
mod loading;
mod rewriting;
mod running;
mod saying;
mod seeds;

use serde_json::{Value, json};

use super::*;
use crate::{Diagnostic, Effect, Severity, SourceFile, Statement, Voice};

/// 2026-01-02T03:04:05Z in nanoseconds.
const NOW_NS: i128 = 1_767_323_045_000_000_000;

fn sources(files: &[(&str, &str)]) -> Vec<SourceFile> {
    files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect()
}

fn load(files: &[(&str, &str)]) -> RegoSet {
    load_with(files, &RegoOptions::default())
}

fn load_with(files: &[(&str, &str)], options: &RegoOptions) -> RegoSet {
    let (set, found) = RegoSet::load(&sources(files), options);
    set.unwrap_or_else(|| panic!("does not load:\n{}", printed(&found)))
}

/// The errors of a load that must fail.
fn errors(files: &[(&str, &str)]) -> Vec<Diagnostic> {
    let (set, found) = RegoSet::load(&sources(files), &RegoOptions::default());
    assert!(set.is_none(), "loads");
    found.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}

fn printed(found: &[Diagnostic]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn text<'a>(event: &'a Value, key: &str) -> Option<&'a str> {
    event.get(key).and_then(Value::as_str)
}

fn voices(set: &RegoSet, event: &Value) -> Vec<Voice> {
    let meets = RegoEvent { event_type: text(event, "event_type"), transport: text(event, "transport") };
    set.voices(&RegoInput::new(event), &meets, NOW_NS)
}

/// Everything said about an event, strongest first.
fn said(set: &RegoSet, event: &Value) -> Vec<Statement> {
    let mut all: Vec<Statement> = voices(set, event).into_iter().flat_map(|voice| voice.statements).collect();
    all.sort_by_key(|said| std::cmp::Reverse(said.effect));
    all
}

/// The combined effect as the combiner takes it: the strongest thing said, else the most restrictive default.
fn effect(set: &RegoSet, event: &Value) -> Option<Effect> {
    let voices = voices(set, event);
    let strongest = voices.iter().flat_map(|voice| &voice.statements).map(|said| said.effect).max();
    strongest
        .or_else(|| voices.iter().filter_map(|voice| voice.default.as_ref()).map(|said| said.effect).max())
}

/// A complete tool-call document with these fields changed.
fn call(changes: &Value) -> Value {
    let mut event = json!({
        "event_type": "tool_call", "action": null, "tool_name": null, "tool": null, "tool_tags": [],
        "transport": "local", "target": null, "args": {}, "resource_path": null, "resources": [],
        "requested_capabilities": [], "delegation_target": null, "steps": [], "plan": {"steps": []},
        "data_classification": null,
        "context": {"session_id": "s", "user_role": null, "session_scopes": [], "delegation_depth": 0},
        "session": {"id": "s", "agent_role": null, "tokens_spent": 0, "tool_history": []},
        "parent": {"depth": 0, "session_id": null}
    });
    for (key, value) in changes.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}
