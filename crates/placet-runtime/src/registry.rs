//! What the configuration knows of tools, and how it completes their events.
//!
//! Callers may tighten what is known here, never loosen it. An unknown tool is left as it is: what may be called is
//! the policies' matter.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashMap};

use placet_policy::reading::normal_form;
use placet_types::{Event, Field, Object, Value};

use crate::config::{ConfigError, Tool};

/// Labels from the least to the most sensitive.
const LABELS: &[&str] = &["public", "internal", "confidential", "restricted"];

/// The tools of a configuration, by the normal form of their names: a respelt name is the same tool.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tools: HashMap<String, (String, Tool)>,
}

impl Registry {
    pub(crate) fn new(tools: &BTreeMap<String, Tool>) -> Result<Self, ConfigError> {
        let mut registry = Self::default();
        for (name, tool) in tools {
            let entry = (name.clone(), tool.clone());
            if let Some((one, _)) = registry.tools.insert(normal_form(name).into_owned(), entry) {
                return Err(ConfigError::SameTool { one, other: name.clone() });
            }
        }
        Ok(registry)
    }

    /// What is known of the event's tool.
    pub(crate) fn tool(&self, event: &Event) -> Option<&Tool> {
        if self.tools.is_empty() {
            return None;
        }
        let name = event.get(Field::ToolName).as_str()?;
        self.tools.get(&*normal_form(name)).map(|(_, tool)| tool)
    }

    /// Completes an event with what is known of its tool.
    pub(crate) fn complete(&self, event: &mut Event) {
        if self.tools.is_empty() {
            return;
        }
        // The name may stand in the other vocabulary.
        event.complete();
        self.complete_steps(event);
        let Some(tool) = self.tool(event) else { return };
        add(event, Field::ToolTags, tool.tags.iter().map(|tag| Value::from(tag.as_str())).collect());
        add(
            event,
            Field::Resources,
            tool.paths.iter().flat_map(|name| path(event.get(Field::Args), name)).collect(),
        );
        if let (Some(transport), Some("local")) = (&tool.transport, event.get(Field::Transport).as_str()) {
            event.set(Field::Transport, transport.as_str());
        }
        if let (Some(target), Value::Null) = (&tool.target, event.get(Field::Target)) {
            event.set(Field::Target, target.as_str());
        }
        if let Some(floor) = &tool.classification {
            raise(event, floor);
        }
    }

    /// The steps of a plan carry the tags and the declared paths of their tools.
    fn complete_steps(&self, event: &mut Event) {
        let Value::Array(steps) = event.get(Field::Steps) else { return };
        let mut steps = steps.clone();
        let mut paths = Vec::new();
        for step in &mut steps {
            // Two names may stand in one step: it gets what is known of both.
            for key in ["tool_name", "tool"] {
                let name = step.get(key).and_then(Value::as_str).map(|name| normal_form(name).into_owned());
                let Some((_, tool)) = name.and_then(|name| self.tools.get(&name)) else { continue };
                if let Some(args) = step.get("args") {
                    paths.extend(tool.paths.iter().flat_map(|name| path(args, name)));
                }
                if let Value::Object(step) = step {
                    tag(step, &tool.tags);
                }
            }
        }
        event.set(Field::Steps, Value::Array(steps));
        add(event, Field::Resources, paths);
    }
}

/// Adds tags to a step. What is no list stays, unknown to every rule.
fn tag(step: &mut Object, tags: &[String]) {
    let Some(Value::Array(held)) = step.get("tool_tags") else { return };
    let held = with(held, tags.iter().map(|tag| Value::from(tag.as_str())).collect());
    step.insert("tool_tags", Value::Array(held));
}

/// Adds to a list what it does not hold yet. What is no list stays, unknown to every rule.
fn add(event: &mut Event, field: Field, values: Vec<Value>) {
    let Value::Array(held) = event.get(field) else { return };
    let all = with(held, values);
    event.set(field, Value::Array(all));
}

fn with(held: &[Value], values: Vec<Value>) -> Vec<Value> {
    let mut all = held.to_vec();
    for value in values {
        if !all.contains(&value) {
            all.push(value);
        }
    }
    all
}

/// The value of an argument that holds a path or several. Another type is a resource too: the guards then cannot
/// tell, and deny.
fn path(args: &Value, name: &str) -> Vec<Value> {
    match args.get(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(value) => vec![value.clone()],
    }
}

/// Raises a label to the floor. A label that is not known stays: the guard denies it.
fn raise(event: &mut Event, floor: &str) {
    let rank = |label: &str| LABELS.iter().position(|known| *known == label);
    let stays = match event.get(Field::DataClassification) {
        Value::Null => false,
        Value::String(label) => {
            rank(label).is_none_or(|given| rank(floor).is_some_and(|floor| given >= floor))
        }
        _ => true,
    };
    if !stays {
        event.set(Field::DataClassification, floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let pay = Tool {
            tags: vec!["finance.write".to_owned()],
            transport: Some("mcp".to_owned()),
            target: Some("bank".to_owned()),
            paths: vec!["receipt".to_owned()],
            classification: Some("confidential".to_owned()),
            ..Tool::default()
        };
        Registry::new(&BTreeMap::from([("pay".to_owned(), pay)])).unwrap()
    }

    fn completed(json: &str) -> Event {
        let mut event = Event::from_json(json.as_bytes()).expect(json);
        registry().complete(&mut event);
        event
    }

    fn texts(event: &Event, field: Field) -> Vec<&str> {
        event.get(field).as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
    }

    #[test]
    fn a_tool_is_known_under_every_spelling_and_in_both_vocabularies() {
        for name in ["pay", "Pay", " pay", "p\u{200b}ay", "\u{ff50}ay"] {
            for key in ["action", "tool_name", "tool"] {
                let event = completed(&format!("{{\"{key}\":\"{name}\"}}"));
                assert_eq!(texts(&event, Field::ToolTags), ["finance.write"], "{key}: {name:?}");
                assert_eq!(event.get(Field::Transport).as_str(), Some("mcp"));
                assert_eq!(event.get(Field::Target).as_str(), Some("bank"));
            }
        }
        let mut bare = Event::default();
        bare.set(Field::Action, "pay");
        registry().complete(&mut bare);
        assert_eq!(texts(&bare, Field::ToolTags), ["finance.write"]);
        assert_eq!(texts(&completed(r#"{"action":"read"}"#), Field::ToolTags), [""; 0]);
    }

    #[test]
    fn callers_tighten_and_never_loosen() {
        for (given, wanted) in [
            ("null", Some("confidential")),
            ("\"public\"", Some("confidential")),
            ("\"internal\"", Some("confidential")),
            ("\"confidential\"", Some("confidential")),
            ("\"restricted\"", Some("restricted")),
            ("\"secret\"", Some("secret")),
            ("5", None),
        ] {
            let event = completed(&format!("{{\"action\":\"pay\",\"data_classification\":{given}}}"));
            assert_eq!(event.get(Field::DataClassification).as_str(), wanted, "{given}");
        }
        let event = completed(r#"{"action":"pay","tool_tags":["mine"],"transport":"http","target":"other"}"#);
        assert_eq!(texts(&event, Field::ToolTags), ["mine", "finance.write"]);
        assert_eq!(event.get(Field::Transport).as_str(), Some("http"));
        assert_eq!(event.get(Field::Target).as_str(), Some("other"));
        let odd = completed(r#"{"action":"pay","tool_tags":"mine"}"#);
        assert_eq!(odd.get(Field::ToolTags).as_str(), Some("mine"), "no list, so unknown to every rule");
    }

    #[test]
    fn declared_paths_are_resources() {
        let event = completed(r#"{"action":"pay","args":{"receipt":"etc/passwd","note":"etc/shadow"}}"#);
        assert_eq!(texts(&event, Field::Resources), ["etc/passwd"]);
        let event = completed(r#"{"action":"pay","args":{"receipt":["a","b"]}}"#);
        assert_eq!(texts(&event, Field::Resources), ["a", "b"]);
        let event = completed(r#"{"action":"pay","args":{"receipt":5}}"#);
        assert_eq!(event.get(Field::Resources).as_array(), Some(&[Value::Int(5)][..]));
    }

    #[test]
    fn steps_carry_the_tags_and_paths_of_their_tools() {
        let event = completed(
            r#"{"event_type":"agent.plan","steps":[
                {"tool":"P\u200bay","tool_tags":[],"args":{"receipt":"etc/passwd"}},
                {"tool":"read","tool_name":"pay","tool_tags":["mine","finance.write"]},
                {"tool":"read"}, {"tool":"pay","tool_tags":"mine"}, 5]}"#,
        );
        let steps = event.get(Field::Steps).as_array().unwrap();
        let tags: Vec<String> = steps
            .iter()
            .map(|step| serde_json::to_string(step.get("tool_tags").unwrap_or(&Value::Null)).unwrap())
            .collect();
        assert_eq!(tags, [r#"["finance.write"]"#, r#"["mine","finance.write"]"#, "[]", r#""mine""#, "null"]);
        assert_eq!(texts(&event, Field::Resources), ["etc/passwd"]);
    }

    #[test]
    fn two_spellings_of_one_name_are_refused() {
        let tools = ["pay", "Pay"].map(|name| (name.to_owned(), Tool::default()));
        let error = Registry::new(&BTreeMap::from(tools)).expect_err("refused");
        assert!(error.to_string().contains("`Pay` and `pay`"), "{error}");
    }
}
