//! What the row tests share: policies as text, events as JSON, decisions.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(dead_code, reason = "each test file uses a part of it")]

use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::{Diagnostics, GlobalMode, LoadOptions, PolicySet, Request, SourceFile};
use placet_types::{Decision, DecisionId, Event, Tier};
use serde_json::{Value, json};

/// Loads the core bundle and policies of the given tiers.
pub(crate) fn load_tiers(files: &[(Tier, &str)], mode: GlobalMode) -> Result<PolicySet, Diagnostics> {
    let mut sources = core_bundle::guards(&CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    for (number, (tier, text)) in files.iter().enumerate() {
        let name = if number == 0 { "p.yaml".to_owned() } else { format!("p{number}.yaml") };
        sources.push((*tier, SourceFile::new(name, *text)));
    }
    let options = LoadOptions { global_mode: mode, ..LoadOptions::default() };
    PolicySet::load(&sources, &options).map(|(set, _)| set)
}

/// Loads the core bundle and project policies.
pub(crate) fn load(texts: &[&str]) -> Result<PolicySet, Diagnostics> {
    let files: Vec<(Tier, &str)> = texts.iter().map(|text| (Tier::Project, *text)).collect();
    load_tiers(&files, GlobalMode::Guard)
}

/// Loads one project policy alone, with what the lints say of it.
pub(crate) fn load_with_findings(text: &str) -> (PolicySet, Diagnostics) {
    let sources = [(Tier::Project, SourceFile::new("p.yaml", text))];
    PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"))
}

/// Loads what must load.
pub(crate) fn policies(texts: &[&str]) -> PolicySet {
    load(texts).unwrap_or_else(|found| panic!("{found}"))
}

/// Every finding of what must not load, as `file:line:column code`.
pub(crate) fn refusals(text: &str) -> Vec<String> {
    let found = load(&[text]).expect_err(text);
    let errors = found.of(placet_policy::Severity::Error);
    let shown = errors.map(|found| {
        format!("{}:{}:{} {}", found.file, found.position.line, found.position.column, found.code)
    });
    shown.collect()
}

/// Decides an event; a first agent at the depth 0 unless it says otherwise.
pub(crate) fn decide(set: &PolicySet, mut event: Value) -> Decision {
    let context = event.as_object_mut().unwrap().entry("context").or_insert_with(|| json!({}));
    context.as_object_mut().unwrap().entry("delegation_depth").or_insert_with(|| json!(0));
    decide_as_is(set, &event)
}

/// Decides an event exactly as it is given.
pub(crate) fn decide_as_is(set: &PolicySet, event: &Value) -> Decision {
    let event = Event::from_json(event.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    set.decide(&Request::new(event), DecisionId("d".into()))
}

/// The verdict as a word, with `hard` before a hard deny.
pub(crate) fn verdict(decision: &Decision) -> String {
    let word = decision.verdict.word();
    if decision.verdict.is_hard() { format!("hard {word}") } else { word.to_owned() }
}

/// The verdict on an event.
pub(crate) fn judge(set: &PolicySet, event: Value) -> String {
    verdict(&decide(set, event))
}

/// The names of the rules that carried a decision.
pub(crate) fn rules(decision: &Decision) -> Vec<&str> {
    decision.rules.iter().map(|rule| &*rule.name).collect()
}

/// An action with arguments.
pub(crate) fn call(action: &str, args: Value) -> Value {
    json!({ "action": action, "args": args })
}

/// An action with context.
pub(crate) fn within(action: &str, context: Value) -> Value {
    json!({ "action": action, "context": context })
}
