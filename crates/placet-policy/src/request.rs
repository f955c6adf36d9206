//! The closed question: one complete event, with every resource it names.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashSet;

use placet_types::{Event, Field, Value};

use crate::kind::Kind;
use crate::reading;

/// Argument names that hold paths whatever their value looks like.
const PATH_NAMES: &[&str] = &[
    "path",
    "paths",
    "file",
    "files",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "dir",
    "directory",
    "folder",
    "resource_path",
    "src",
    "dst",
    "source_path",
    "target_path",
    "destination_path",
    "output_path",
    "input_path",
    "cwd",
    "workdir",
    "working_directory",
    "root",
];

/// Most resources collected from one event; an event that names more is refused by the guards as unknown.
const MAX_RESOURCES: usize = 10_000;

/// An event ready to be decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    event: Event,
}

impl Request {
    /// Closes an event: completes it and collects its resources from `resource_path`, the arguments and the
    /// steps of a plan. Resources that the event names itself are kept.
    #[must_use]
    pub fn new(mut event: Event) -> Self {
        event.complete();
        // Before it counts as a resource: else closing the event again would find another one.
        refuse_wrong_type(&mut event, Field::ResourcePath);
        let resources = match event.get(Field::Resources) {
            Value::Array(named) => collect(&event, named),
            // A list of resources that is no list stays: every guard over it is then unknown, and denies.
            _ => None,
        };
        if let Some(resources) = resources {
            event.set(Field::Resources, resources);
        }
        refuse_wrong_types(&mut event);
        Self { event }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }
}

/// Scopes given as one text would else be searched as a text, and `pay` found in `repay`: a field of another type
/// than its own is unknown to every rule.
fn refuse_wrong_types(event: &mut Event) {
    Field::ALL.iter().for_each(|field| refuse_wrong_type(event, *field));
    refuse_wrong_tags(event);
}

fn refuse_wrong_type(event: &mut Event, field: Field) {
    let value = event.get(field);
    let found = match value {
        Value::Null | Value::Unknown(_) => return,
        Value::String(_) => Kind::Text,
        Value::Int(_) | Value::Float(_) => Kind::Number,
        Value::Bool(_) => Kind::Flag,
        Value::Array(_) => Kind::List,
        Value::Object(_) => Kind::Object,
    };
    if found != Kind::of(field) {
        let content = serde_json::to_vec(value).unwrap_or_default();
        event.set(field, Value::unknown("wrong_type", content));
    }
}

/// The same for the tags of steps: a text would hide the tags of the step's tool.
fn refuse_wrong_tags(event: &mut Event) {
    let is_wrong = |step: &Value| {
        step.get("tool_tags").is_some_and(|tags| !matches!(tags, Value::Array(_) | Value::Unknown(_)))
    };
    let Some(steps) = event.get(Field::Steps).as_array().filter(|steps| steps.iter().any(is_wrong)) else {
        return;
    };
    let mut steps = steps.to_vec();
    for step in &mut steps {
        let (true, Value::Object(step)) = (is_wrong(step), step) else { continue };
        let content = serde_json::to_vec(&step.get("tool_tags")).unwrap_or_default();
        step.insert("tool_tags", Value::unknown("wrong_type", content));
    }
    event.set(Field::Steps, Value::Array(steps));
}

/// The resources, or a value that is no list when there are too many to look at.
fn collect(event: &Event, named: &[Value]) -> Option<Value> {
    let mut found = Found { values: named.to_vec(), seen: HashSet::new(), foreign: HashSet::new() };
    // What is named already is not found again: closing an event twice changes nothing.
    named.iter().for_each(|value| {
        found.is_fresh(value);
    });
    match event.get(Field::ResourcePath) {
        Value::Null => {}
        // Whatever it is, it was declared as a resource: a wrong type makes the guards unknown.
        declared => found.add(declared),
    }
    found.walk(event.get(Field::Args), false);
    found.walk(event.get(Field::Steps), false);
    if found.values.len() > MAX_RESOURCES {
        return Some(Value::unknown("too_many_resources", Vec::new()));
    }
    (found.values.len() > named.len()).then_some(Value::Array(found.values))
}

struct Found {
    values: Vec<Value>,
    seen: HashSet<smol_str::SmolStr>,
    /// Values of foreign types: name and content.
    foreign: HashSet<(smol_str::SmolStr, Option<Vec<u8>>)>,
}

impl Found {
    fn is_fresh(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.seen.insert(text.clone()),
            Value::Unknown(leaf) => self.foreign.insert((leaf.type_name.clone(), leaf.content.clone())),
            _ => true,
        }
    }

    fn add(&mut self, value: &Value) {
        if self.is_fresh(value) && self.values.len() <= MAX_RESOURCES {
            self.values.push(value.clone());
        }
    }

    fn walk(&mut self, value: &Value, is_path: bool) {
        match value {
            Value::String(text) if is_path || is_path_shaped(text) => self.add(value),
            // A path object of a foreign type may name anything: every guard over the resources is then unknown.
            Value::Unknown(_) if is_path => self.add(value),
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, is_path)),
            Value::Object(object) => {
                for (key, value) in object.iter() {
                    self.walk(value, has_path_name(key));
                    if is_path_shaped(key) {
                        self.add(&Value::String(key.clone()));
                    }
                }
            }
            _ => {}
        }
    }
}

/// `config_path`, `logFile`: names that end in a word for a path.
fn has_path_name(key: &str) -> bool {
    let ends_with = |end: &&str| {
        let tail = key.len().checked_sub(end.len()).and_then(|at| key.as_bytes().get(at..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    };
    PATH_NAMES.iter().any(|name| name.eq_ignore_ascii_case(key))
        || ["_path", "_file", "_dir", "_directory", "_folder"].iter().any(ends_with)
        || ["Path", "File", "Dir"].iter().any(|end| key.ends_with(end))
}

/// Longest text that is taken for a path by its shape, in bytes; longer ones are documents.
const MAX_SHAPED_BYTES: usize = 8_192;

/// Whether a text is shaped like a path of a file system: rooted, relative with `..`, of a drive, a share or a
/// home folder, a `file:` URL, or any of these with percent forms or in look-alike characters.
fn is_path_shaped(text: &str) -> bool {
    if text.len() > MAX_SHAPED_BYTES {
        return false;
    }
    has_path_shape(text) || (!text.is_ascii() && has_path_shape(&reading::compatible(text)))
}

fn has_path_shape(text: &str) -> bool {
    // Nearly every text has none of the signs that make a path.
    if !text.bytes().any(|byte| matches!(byte, b'/' | b'\\' | b'~' | b':' | b'%')) {
        return false;
    }
    let trimmed = text.trim_start();
    if reading::scheme_end(trimmed).is_some() {
        return false;
    }
    let bytes = trimmed.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    drive
        || trimmed.starts_with(['/', '\\', '~'])
        || trimmed.starts_with("./")
        || trimmed.starts_with(".\\")
        || trimmed.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"))
        || text.contains("../")
        || text.contains("..\\")
        || text.contains("/..")
        || (text.contains('%') && has_percent_separator(text))
}

fn has_percent_separator(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        rest.get(..2).is_some_and(|hex| {
            ["2e", "2f", "5c", "00", "25"].iter().any(|sign| hex.eq_ignore_ascii_case(sign))
        })
    })
}

#[cfg(test)]
mod tests {
    use placet_types::Object;

    use super::*;

    fn resources(json: &str) -> Vec<String> {
        let request = Request::new(Event::from_json(json.as_bytes()).expect(json));
        let found = request.event().get(Field::Resources).as_array().expect("a list").to_vec();
        found.iter().map(|value| value.as_str().expect("a text").to_owned()).collect()
    }

    #[test]
    fn an_unknown_value_under_a_name_for_paths_is_a_resource() {
        let mut event = Event::from_json(br#"{"action":"read","args":{"path":"x"}}"#).expect("an event");
        let mut args = placet_types::Object::new();
        args.insert("path", Value::by_reference("PosixPath"));
        args.insert("data", Value::by_reference("bytes"));
        event.set(Field::Args, args);
        let request = Request::new(event);
        assert_eq!(
            request.event().get(Field::Resources),
            &Value::Array(vec![Value::by_reference("PosixPath")])
        );
    }

    #[test]
    fn a_path_that_cannot_be_read_is_a_resource_that_nothing_is_known_of() {
        let bytes = Value::unknown("bytes", b"/etc/shadow".to_vec());
        let args = Object::from_pairs(vec![("path".into(), bytes.clone()), ("other".into(), bytes.clone())]);
        let mut event = Event::default();
        event.set(Field::Args, args.expect("distinct"));
        assert_eq!(Request::new(event).event().get(Field::Resources), &Value::Array(vec![bytes]));
    }

    #[test]
    fn closing_an_event_twice_changes_nothing() {
        let text =
            r#"{"action":"copy","resource_path":"/a","args":{"path":"/b","files":["/a","c",7],"x":"/a"}}"#;
        let mut event = Event::from_json(text.as_bytes()).expect(text);
        let mut args = event.get(Field::Args).as_object().expect("an object").clone();
        args.insert("log_file", Value::by_reference("PosixPath"));
        event.set(Field::Args, args);
        let once = Request::new(event);
        assert_eq!(once.event().get(Field::Resources).as_array().map(<[Value]>::len), Some(4));
        assert_eq!(Request::new(once.event().clone()), once);
    }

    #[test]
    fn a_field_of_another_type_than_its_own_is_unknown() {
        let text = r#"{"action":["a"],"args":[1],"tool_tags":"t","steps":{},"now":5,
            "context":{"session_scopes":"repay","delegation_depth":"0","sandbox_verified":"true","attributes":[]},
            "session":{"tool_history":{"lookup":1}}}"#;
        let request = Request::new(Event::from_json(text.as_bytes()).expect(text));
        for &field in Field::ALL {
            let value = request.event().get(field);
            let known = matches!(value, Value::Null) || value == &Value::Array(Vec::new());
            let given = matches!(value, Value::Unknown(_));
            assert!(
                known || given || matches!(field, Field::EventType | Field::Transport),
                "{field:?}: {value:?}"
            );
        }
        assert_eq!(
            request.event().get(Field::SessionScopes),
            &Value::unknown("wrong_type", b"\"repay\"".to_vec())
        );
    }

    #[test]
    fn tags_of_a_step_that_are_no_list_are_unknown() {
        let text = r#"{"event_type":"agent.plan","steps":[{"tool_tags":"x"},{"tool_tags":["x"]},{"tool_tags":null},5]}"#;
        let request = Request::new(Event::from_json(text.as_bytes()).expect(text));
        let steps = request.event().get(Field::Steps).as_array().expect("a list");
        let tags: Vec<Option<&Value>> = steps.iter().map(|step| step.get("tool_tags")).collect();
        let wrong = Value::unknown("wrong_type", b"\"x\"".to_vec());
        let (listed, empty) = (Value::Array(vec!["x".into()]), Value::Array(Vec::new()));
        assert_eq!(tags, [Some(&wrong), Some(&listed), Some(&empty), None]);
    }

    #[test]
    fn resources_are_found_wherever_they_hide() {
        assert_eq!(resources(r#"{"action":"a","resource_path":"/x","args":{"q":"/x"}}"#), ["/x"]);
        assert_eq!(resources(r#"{"action":"a","args":{"deep":[{"path":"a.txt"}]}}"#), ["a.txt"]);
        assert_eq!(resources(r#"{"action":"a","args":{"x":{"/etc/shadow":1}}}"#), ["/etc/shadow"]);
        let plan = r#"{"event_type":"agent.plan","steps":[{"tool":"t","args":{"config_path":"c"}}]}"#;
        assert_eq!(resources(plan), ["c"]);
        for shaped in
            ["~/.ssh/id_rsa", "C:\\x", "a/../b", "%2e%2e%2fetc", "file:///etc/passwd", "\\\\host\\share"]
        {
            let json = serde_json::json!({"action": "a", "args": {"q": shaped}}).to_string();
            assert_eq!(resources(&json), [shaped]);
        }
        for text in ["either/or", "https://x.org/a/../b", "hello", "50% off", "2026-11-21"] {
            let json = serde_json::json!({"action": "a", "args": {"q": text}}).to_string();
            assert_eq!(resources(&json), [""; 0], "{text}");
        }
    }
}
