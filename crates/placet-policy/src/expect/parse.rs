//! From the text of a suite to its tests. Strict: an unknown key is an error with a suggestion.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Event, RiskTier};
use serde_json::{Map, Value, json};

use super::{Expected, Suite, Test};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dialect;
use crate::dialect::reader::Reader;
use crate::dialect::vocabulary::{RISK_LEVEL, word};
use crate::source::{Position, SourceFile};
use crate::yaml::{self, Key, Kind, Node};

const TOP_KEYS: &[&str] =
    &["version", "name", "description", "policies", "library", "event", "context", "tests"];
const TEST_KEYS: &[&str] =
    &["name", "description", "event", "action", "expect", "expected_decision", "expected_risk_level"];
const ACTION_KEYS: &[&str] = &["type", "target", "params", "agent_id", "description"];
const EXPECT_KEYS: &[&str] = &[
    "verdict",
    "hard",
    "rule",
    "rules",
    "code",
    "reason",
    "risk_tier",
    "reviewers",
    "approval",
    "risk_level",
];

/// Objects of the event document whose keys are filled one by one.
const GROUPS: &[&str] = &["context", "session", "parent"];

/// Verdicts, and the approvals of the Match dialect with the verdicts they stand for.
const VERDICTS: &[(&str, &str)] = &[
    ("allow", "allow"),
    ("deny", "deny"),
    ("escalate", "escalate"),
    ("auto", "allow"),
    ("approve", "escalate"),
    ("block", "deny"),
    ("hitl", "escalate"),
];

pub(super) fn suite(file: &SourceFile) -> Result<Suite, Diagnostics> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let root = yaml::parse(file, &mut found);
    let mut reader = Reader::new(file, &mut found);
    let suite = match root {
        Some(root) => read(&root, &mut reader),
        None => {
            if !reader.found_any_error(0) {
                no_tests(&mut reader, Position::new(1, 1));
            }
            None
        }
    };
    match suite {
        Some(suite) if dialect::errors(&found) == 0 => Ok(suite),
        _ => Err(Diagnostics(found)),
    }
}

fn no_tests(reader: &mut Reader<'_>, position: Position) {
    reader
        .error("suite/tests", position, "the suite has no tests")
        .help("write `tests:` with a list of `{ name, event, expect }`");
}

fn read(root: &Node, reader: &mut Reader<'_>) -> Option<Suite> {
    let entries = reader.map(root, "a suite")?;
    let file = reader.file.path.clone();
    let mut suite =
        Suite { name: stem(&file), file, policies: Vec::new(), library: Vec::new(), tests: Vec::new() };
    let mut defaults = Map::new();
    for (key, node) in entries {
        match key.text.as_str() {
            "version" => reader.version(node),
            "name" => suite.name = text(reader, node, "`name`").unwrap_or(suite.name),
            "description" => drop(reader.text(node, "`description`")),
            "policies" => suite.policies = names(reader, node, "`policies`"),
            "library" => suite.library = names(reader, node, "`library`"),
            "event" => lay_over(&mut defaults, object(reader, node, "`event`")),
            "context" => {
                let context = Value::Object(object(reader, node, "`context`"));
                lay_over(&mut defaults, Map::from_iter([("context".to_owned(), context)]));
            }
            "tests" => {}
            _ => reader.unknown_key(key, "in a suite", TOP_KEYS),
        }
    }
    let tests = entries.iter().find(|(key, _)| key.text == "tests").map(|(_, node)| node);
    match tests.map(|node| (node, &node.kind)) {
        None | Some((_, Kind::Null)) => no_tests(reader, root.position),
        Some((node, Kind::List(items))) if items.is_empty() => no_tests(reader, node.position),
        Some((node, _)) => {
            let items = reader.list(node, "`tests`").unwrap_or_default();
            let tests = (1..).zip(items).filter_map(|(number, item)| test(reader, item, number, &defaults));
            suite.tests = tests.collect();
        }
    }
    Some(suite)
}

fn stem(path: &str) -> Arc<str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.split('.').next().unwrap_or(name);
    name.strip_suffix("_test").unwrap_or(name).into()
}

fn text(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Arc<str>> {
    reader.text(node, what).map(|text| text.as_str().into())
}

/// One text or a list of them.
fn names(reader: &mut Reader<'_>, node: &Node, what: &str) -> Vec<Arc<str>> {
    let names = reader.texts(node, what).unwrap_or_default();
    names.into_iter().map(|name| name.as_str().into()).collect()
}

/// A list of texts, which may be empty: then none is expected.
fn expected_names(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Vec<Arc<str>>> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => Some(Vec::new()),
        _ => Some(reader.texts(node, what)?.into_iter().map(|name| name.as_str().into()).collect()),
    }
}

fn object(reader: &mut Reader<'_>, node: &Node, what: &str) -> Map<String, Value> {
    let entries = reader.map(node, what).unwrap_or_default();
    entries.iter().map(|(key, node)| (key.text.to_string(), json_of(node))).collect()
}

fn json_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(flag) => json!(flag),
        #[allow(clippy::cast_possible_truncation, reason = "the YAML reader refuses numbers past 2^53")]
        Kind::Number { value, integral: true } => json!(*value as i64),
        Kind::Number { value, integral: false } => json!(value),
        Kind::Text(text) => json!(text.as_str()),
        Kind::List(items) => items.iter().map(json_of).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.text.to_string(), json_of(node))).collect())
        }
    }
}

/// Lays one event document over another: whole fields, but the groups key by key.
fn lay_over(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(held)), Value::Object(value)) if GROUPS.contains(&key.as_str()) => {
                held.extend(value);
            }
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

fn test(reader: &mut Reader<'_>, node: &Node, number: usize, defaults: &Map<String, Value>) -> Option<Test> {
    let entries = reader.map(node, "a test")?;
    let mut name: Arc<str> = format!("test {number}").into();
    let mut described = None;
    let mut own: Option<Map<String, Value>> = None;
    let mut doubled = false;
    let mut expected = Expected::default();
    for (key, node) in entries {
        match key.text.as_str() {
            "name" => name = text(reader, node, "`name`").unwrap_or(name),
            "description" => described = text(reader, node, "`description`"),
            "event" => doubled |= own.replace(object(reader, node, "`event`")).is_some(),
            "action" => doubled |= own.replace(action(reader, node)).is_some(),
            "expect" => expect(reader, node, &mut expected),
            "expected_decision" => expected.verdict = word(reader, node, "`expected_decision`", VERDICTS),
            "expected_risk_level" => {
                expected.risk_tier = word(reader, node, "`expected_risk_level`", RISK_LEVEL);
            }
            _ => reader.unknown_key(key, "in a test", TEST_KEYS),
        }
    }
    if !entries.iter().any(|(key, _)| key.text == "name") {
        name = described.unwrap_or(name);
    }
    if own.is_none() || doubled {
        reader
            .error("suite/event", node.position, format!("the test `{name}` needs one event"))
            .help("give either `event` or `action`");
    }
    if expected.is_empty() && !reader.found_any_error(0) {
        reader
            .error("suite/expect", node.position, format!("the test `{name}` expects nothing"))
            .help("write for instance `expect: { verdict: deny }`");
    }
    let event = event(reader, node.position, &name, defaults, own.unwrap_or_default())?;
    Some(Test { name, line: node.position.line, event, expected })
}

fn event(
    reader: &mut Reader<'_>,
    position: Position,
    name: &str,
    defaults: &Map<String, Value>,
    own: Map<String, Value>,
) -> Option<Event> {
    let mut document = defaults.clone();
    lay_over(&mut document, own);
    let read = serde_json::to_vec(&document).map_err(|error| error.to_string());
    match read.and_then(|text| Event::from_json(&text).map_err(|error| error.to_string())) {
        Ok(event) => Some(event),
        Err(error) => {
            reader.error(
                "suite/event",
                position,
                format!("the event of the test `{name}` is no event: {error}"),
            );
            None
        }
    }
}

/// An event in the words of the Match dialect. A first agent acts, so its depth is 0.
fn action(reader: &mut Reader<'_>, node: &Node) -> Map<String, Value> {
    let mut event = Map::new();
    let mut set = |field: &str, value: Value| drop(event.insert(field.to_owned(), value));
    set("context", json!({ "delegation_depth": 0 }));
    let entries = reader.map(node, "`action`").unwrap_or_default();
    for (key, node) in entries {
        match key.text.as_str() {
            "type" => set("action", json_of(node)),
            "target" => set("target", json_of(node)),
            "params" => set("args", json_of(node)),
            "agent_id" => set("session", json!({ "agent_id": json_of(node) })),
            "description" => drop(reader.text(node, "`description`")),
            _ => reader.unknown_key(key, "in an action", ACTION_KEYS),
        }
    }
    event
}

/// One word for the verdict, or a mapping.
fn expect(reader: &mut Reader<'_>, node: &Node, expected: &mut Expected) {
    if node.as_text().is_some() {
        expected.verdict = word(reader, node, "`expect`", VERDICTS);
        return;
    }
    for (key, node) in reader.map(node, "`expect`").unwrap_or_default() {
        expect_key(reader, key, node, expected);
    }
}

fn expect_key(reader: &mut Reader<'_>, key: &Key, node: &Node, expected: &mut Expected) {
    match key.text.as_str() {
        "verdict" | "approval" => expected.verdict = word(reader, node, "a verdict", VERDICTS),
        "hard" => match node.kind {
            Kind::Bool(hard) => expected.hard = Some(hard),
            _ => {
                let message = format!("`hard` takes true or false, but this is {}", node.describe());
                reader.error("policy/type", node.position, message);
            }
        },
        "rule" => expected.rule = text(reader, node, "`rule`"),
        "rules" => expected.rules = expected_names(reader, node, "`rules`"),
        "code" => expected.code = text(reader, node, "`code`"),
        "reason" => expected.reason = text(reader, node, "`reason`"),
        "risk_tier" => {
            let tiers: Vec<(&str, RiskTier)> =
                RiskTier::ALL.iter().map(|tier| (tier.name(), *tier)).collect();
            expected.risk_tier = word(reader, node, "`risk_tier`", &tiers);
        }
        "risk_level" => expected.risk_tier = word(reader, node, "`risk_level`", RISK_LEVEL),
        "reviewers" => expected.reviewers = expected_names(reader, node, "`reviewers`"),
        _ => reader.unknown_key(key, "in `expect`", EXPECT_KEYS),
    }
}
