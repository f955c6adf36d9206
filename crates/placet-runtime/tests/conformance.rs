//! The cases of `conformance/cases`, put to a gate over files as users have them.
//!
//! The format is described in `conformance/README.md`; other faces run the same files.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where its own files are missing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet_policy::expect::Expected;
use placet_runtime::{Config, FixedClock, Gate, GateOptions};
use placet_types::{Decision, Event};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The time of every event that has no `now`: a Saturday, noon, UTC.
const NOW: &str = "2026-11-21T12:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    note: String,
    #[serde(default)]
    policies: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    event: Map<String, Value>,
    #[serde(default)]
    cases: Vec<Case>,
    #[serde(default)]
    truths: Vec<Truths>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    note: String,
    #[serde(default)]
    event: Map<String, Value>,
    expect: Expect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    verdict: Option<String>,
    hard: Option<bool>,
    rule: Option<String>,
    rules: Option<Vec<String>>,
    code: Option<String>,
    reason: Option<String>,
    risk_tier: Option<String>,
    reviewers: Option<Vec<String>>,
    trace: Option<Vec<String>>,
}

/// One condition and the values for which it is true, false and unknown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truths {
    /// A condition of the Rules dialect …
    when: Option<Value>,
    /// … or members of a rule of the Match dialect: `match`, `conditions`.
    rule: Option<Map<String, Value>>,
    /// Where the value stands in the event.
    #[serde(default = "args_x")]
    at: String,
    #[serde(default)]
    r#true: Vec<Value>,
    #[serde(default)]
    r#false: Vec<Value>,
    #[serde(default)]
    unknown: Vec<Value>,
    /// The truth when the value is not there at all; `skip` asks for nothing.
    #[serde(default = "unknown")]
    missing: String,
}

fn args_x() -> String {
    "args.x".to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// What came of everything: ids of all cases, and the failures among them.
#[derive(Default)]
struct Report {
    seen: BTreeSet<String>,
    failures: BTreeMap<String, String>,
}

impl Report {
    fn note(&mut self, id: String, differences: &[String]) {
        assert!(self.seen.insert(id.clone()), "two cases are called `{id}`");
        if !differences.is_empty() {
            self.failures.insert(id, differences.join("; "));
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance")
}

fn gate(policies: &BTreeMap<String, BTreeMap<String, String>>, config: &Map<String, Value>) -> Gate {
    let home = tempfile::tempdir().unwrap();
    let mut config = config.clone();
    for (tier, files) in policies {
        fs::create_dir(home.path().join(tier)).unwrap();
        for (name, text) in files {
            fs::write(home.path().join(tier).join(name), text).unwrap();
        }
        match tier.as_str() {
            "project" => drop(config.insert("policies".to_owned(), json!(["project"]))),
            "global" => {
                let global = config.entry("global").or_insert_with(|| json!({}));
                global.as_object_mut().unwrap().insert("policies".to_owned(), json!(["global"]));
            }
            other => panic!("`{other}` is no tier that a case can fill"),
        }
    }
    let config = Config::parse(&Value::Object(config).to_string(), "placet.yaml", home.path());
    let clock = Arc::new(FixedClock(NOW.parse().unwrap()));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    let options = GateOptions { config, clock, reload: false, ..GateOptions::default() };
    Gate::open(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Lays a case's event over the group's: whole fields, but `context`, `session` and `parent` key by key.
fn event(below: &Map<String, Value>, own: &Map<String, Value>) -> Event {
    let mut document = below.clone();
    for (key, value) in own {
        match (document.get_mut(key), value) {
            (Some(Value::Object(held)), Value::Object(value))
                if ["context", "session", "parent"].contains(&key.as_str()) =>
            {
                held.extend(value.clone());
            }
            _ => drop(document.insert(key.clone(), value.clone())),
        }
    }
    Event::from_json(Value::Object(document).to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

impl Expect {
    fn differences(&self, decision: &Decision) -> Vec<String> {
        let texts = |names: &Option<Vec<String>>| -> Option<Vec<Arc<str>>> {
            names.as_ref().map(|names| names.iter().map(|name| name.as_str().into()).collect())
        };
        let verdict = |word: &String| {
            let known = ["allow", "deny", "escalate"];
            known.into_iter().find(|known| known == word).unwrap_or_else(|| panic!("`{word}` is no verdict"))
        };
        let expected = Expected {
            verdict: self.verdict.as_ref().map(verdict),
            hard: self.hard,
            rule: self.rule.as_deref().map(Into::into),
            rules: texts(&self.rules),
            code: self.code.as_deref().map(Into::into),
            reason: self.reason.as_deref().map(Into::into),
            risk_tier: self.risk_tier.as_ref().map(|tier| tier.parse().unwrap()),
            reviewers: texts(&self.reviewers),
        };
        assert!(!expected.is_empty() || self.trace.is_some(), "a case expects nothing");
        let mut found = expected.differences(decision);
        let trace: Vec<&str> = decision.trace.iter().map(|step| step.outcome).collect();
        if let Some(wanted) = self.trace.as_ref().filter(|wanted| **wanted != trace) {
            found.push(format!("trace: expected {wanted:?}, got {trace:?}"));
        }
        found
    }
}

/// A policy set in which only the truth of one condition decides.
fn probe(truths: &Truths, permits: bool) -> Gate {
    let mut rule = truths.rule.clone().unwrap_or_default();
    rule.insert("name".to_owned(), json!("probe"));
    let unit = match &truths.when {
        Some(when) => {
            rule.insert("when".to_owned(), when.clone());
            rule.insert("then".to_owned(), json!(if permits { "allow" } else { "deny" }));
            json!({ "version": 1, "rules": [rule] })
        }
        None => {
            let (says, default) = if permits { ("auto", "block") } else { ("block", "auto") };
            rule.insert("approval".to_owned(), json!(says));
            json!({ "version": 1, "defaults": { "approval": default }, "rules": [rule] })
        }
    };
    let mut files = BTreeMap::from([("probe.yaml".to_owned(), unit.to_string())]);
    if !permits && truths.when.is_some() {
        let open = json!({ "version": 1, "defaults": { "approval": "auto" } });
        files.insert("open.yaml".to_owned(), open.to_string());
    }
    gate(&BTreeMap::from([("project".to_owned(), files)]), &Map::new())
}

/// The event with a value at one place; `None` leaves the place out.
fn placed(below: &Map<String, Value>, at: &str, value: Option<&Value>) -> Event {
    let mut document = below.clone();
    if let Some(value) = value {
        match at.split_once('.') {
            None => drop(document.insert(at.to_owned(), value.clone())),
            Some((group, key)) => {
                let group = document.entry(group).or_insert_with(|| json!({}));
                group.as_object_mut().unwrap().insert(key.to_owned(), value.clone());
            }
        }
    }
    event(&document, &Map::new())
}

fn run_truths(file: &str, group: &Group, truths: &Truths, report: &mut Report) {
    let subject = match (&truths.when, &truths.rule) {
        (Some(when), None) => when.clone(),
        (None, Some(rule)) => Value::Object(rule.clone()),
        _ => panic!("{file}: a truth table has either `when` or `rule`"),
    };
    let columns = [("true", &truths.r#true), ("false", &truths.r#false), ("unknown", &truths.unknown)];
    let mut rows: Vec<(&str, Option<&Value>)> = Vec::new();
    for (truth, values) in columns {
        rows.extend(values.iter().map(|value| (truth, Some(value))));
    }
    if truths.missing != "skip" {
        rows.push((&truths.missing, None));
    }
    for permits in [true, false] {
        let gate = probe(truths, permits);
        for (truth, value) in &rows {
            let decision = gate.decide(placed(&group.event, &truths.at, *value));
            let allows = *truth == if permits { "true" } else { "false" };
            let wanted = if allows { "allow" } else { "deny" };
            let shown = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let role = if permits { "permits" } else { "restricts" };
            let id = format!("{file}: {}: {subject} {role} at {} = {shown}", group.note, truths.at);
            let got = decision.verdict.word();
            let difference = format!("{truth}: expected {wanted}, got {got} ({})", decision.reason);
            report.note(id, if got == wanted { &[] } else { std::slice::from_ref(&difference) });
        }
    }
}

fn run_file(path: &Path, report: &mut Report) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let file: File = yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    for group in &file.groups {
        for truths in &group.truths {
            run_truths(&name, group, truths, report);
        }
        if group.cases.is_empty() {
            continue;
        }
        let gate = gate(&group.policies, &group.config);
        for case in &group.cases {
            let decision = gate.decide(event(&group.event, &case.event));
            let id = format!("{name}: {}: {}", group.note, case.note);
            report.note(id, &case.expect.differences(&decision));
        }
    }
}

#[test]
fn every_case_comes_out_as_stated() {
    let mut report = Report::default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().for_each(|file| run_file(file, &mut report));

    let text = fs::read_to_string(folder().join("known_failures.yaml")).unwrap();
    let known: BTreeMap<String, BTreeSet<String>> = yaml_serde::from_str(&text).unwrap();
    let known = known.get("rust").cloned().unwrap_or_default();
    let unlisted: Vec<String> = report
        .failures
        .iter()
        .filter(|(id, _)| !known.contains(*id))
        .map(|(id, why)| format!("{id}\n    {why}"))
        .collect();
    let stale: Vec<&String> = known.iter().filter(|id| !report.failures.contains_key(*id)).collect();
    println!("{} cases", report.seen.len());
    assert!(unlisted.is_empty(), "{} cases fail:\n{}", unlisted.len(), unlisted.join("\n"));
    assert!(stale.is_empty(), "these pass or are gone; take them off the list: {stale:#?}");
    assert!(report.seen.len() >= 300, "only {} cases were found", report.seen.len());
}
