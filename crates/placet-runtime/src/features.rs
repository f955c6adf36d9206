//! What the view of a decision keeps of values that redaction changed, so that later policies can be judged by it.
//!
//! Of each such value its place and its type; of what is about a person also the truth of each condition that the
//! policies in force ask of it. Of a secret no truth is kept. No length, no digest of a value, no part of it: a condition
//! is named by an HMAC of what it asks, under the key of the tenant, so that nobody without the key can try out
//! what was asked.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use placet_content::{MAX_TEXT_BYTES, Redactor};
use placet_policy::hidden::{AtomId, HiddenType};
use placet_policy::ir::{Path, Truth};
use placet_trust::TenantKey;
use placet_types::ids::Digest;
use placet_types::{Event, Field, Object, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::gate::Gate;

/// The member of the view that holds them.
pub const MEMBER: &str = "features";

/// The most truths that one decision keeps; what else was asked is not known later.
const MAX_TRUTHS: usize = 256;

/// How many hexadecimal digits name a condition.
const NAME_DIGITS: usize = 32;

/// The type of what JSON does not have: no rule looks into it, hidden or not.
const FOREIGN: &str = "foreign";

/// What is kept of the values that redaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Features {
    /// The values.
    hidden: Vec<Hidden>,
    /// The names of conditions that were true.
    #[serde(default, rename = "true", skip_serializing_if = "Vec::is_empty")]
    holds: Vec<String>,
    /// Of those that were false.
    #[serde(default, rename = "false", skip_serializing_if = "Vec::is_empty")]
    fails: Vec<String>,
    /// Of those that were neither.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

/// One value that redaction changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hidden {
    /// Where it stands: the path of a field, then keys and positions.
    at: Vec<Step>,
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
}

/// A step of a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    Item(usize),
    Key(String),
}

/// What redaction changed in an event.
struct Changes<'r> {
    redact: &'r Redactor,
    hidden: Vec<Hidden>,
    /// The places that rules can look at.
    places: Vec<Path>,
    /// Those of secrets.
    secrets: Vec<Path>,
}

impl Features {
    /// What is to be kept of an event beside its view; `None` where redaction changed nothing.
    pub(crate) fn of<'s>(
        event: &Event,
        shown: impl Iterator<Item = (Field, &'s Json)>,
        redact: &Redactor,
        gate: &Gate,
        key: impl FnOnce() -> Option<TenantKey>,
    ) -> Option<Self> {
        let mut changes = Changes { redact, hidden: Vec::new(), places: Vec::new(), secrets: Vec::new() };
        let mut at = Vec::new();
        for (field, shown) in shown {
            changes.compare(field, event.get(field), shown, &mut at);
        }
        let Changes { hidden, places, secrets, .. } = changes;
        let mut features = Self { hidden, ..Self::default() };
        if features.hidden.is_empty() {
            return None;
        }
        if let (false, Some(key)) = (places.is_empty(), key()) {
            for (atom, truth) in gate.asked(event, &places, &secrets, MAX_TRUTHS) {
                let names = match truth {
                    Truth::True => &mut features.holds,
                    Truth::False => &mut features.fails,
                    Truth::Unknown => &mut features.unknown,
                };
                names.push(name(&key, &atom));
            }
        }
        // Their order would tell the order of the rules.
        for names in [&mut features.holds, &mut features.fails, &mut features.unknown] {
            names.sort_unstable();
        }
        Some(features)
    }

    /// The features in a view; `None` where it holds none.
    #[must_use]
    pub fn read(view: &Map<String, Json>) -> Option<Self> {
        Self::deserialize(view.get(MEMBER)?).ok()
    }

    /// Makes the values that are not known unknown in an event that was read from the view. Says how many they are.
    pub fn hide(&self, event: &mut Event) -> usize {
        let mut count = 0;
        for hidden in &self.hidden {
            let Some((Step::Key(first), below)) = hidden.at.split_first() else { continue };
            let Some(field) = Field::at(first) else { continue };
            let leaf = if hidden.kind == FOREIGN {
                Value::by_reference(FOREIGN)
            } else {
                count += 1;
                HiddenType::at(&hidden.kind).leaf()
            };
            let twin = match field {
                Field::SessionScopes => Some(Field::Scopes),
                Field::ParentSessionId => Some(Field::ParentSelfSessionId),
                _ => None,
            };
            // The parent of what is spawned is the session that asks, and no twin of the one that the context names.
            let twin = twin.filter(|twin| event.get(*twin) == event.get(field));
            for field in std::iter::once(field).chain(twin) {
                let value = put(event.get(field), below, &leaf);
                event.set(field, value);
            }
        }
        count
    }

    /// The truths by the names of their conditions.
    #[must_use]
    pub fn truths(&self) -> Truths {
        let lists =
            [(&self.holds, Truth::True), (&self.fails, Truth::False), (&self.unknown, Truth::Unknown)];
        let all =
            lists.into_iter().flat_map(|(names, truth)| names.iter().map(move |name| (name.clone(), truth)));
        Truths(all.collect())
    }
}

/// Truths of conditions, by their names.
#[derive(Debug, Clone, Default)]
pub struct Truths(HashMap<String, Truth>);

impl Truths {
    /// The truth of a condition, where it was asked.
    #[must_use]
    pub fn of(&self, key: &TenantKey, atom: &AtomId) -> Option<Truth> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&name(key, atom)).copied()
    }
}

fn name(key: &TenantKey, atom: &AtomId) -> String {
    let mut name = key.mac(&Digest(atom.0)).to_string();
    name.truncate(NAME_DIGITS);
    name
}

/// A step on the way to a value.
#[derive(Debug, Clone, Copy)]
enum At<'v> {
    Item(usize),
    Key(&'v str),
}

impl Changes<'_> {
    fn compare<'v>(&mut self, field: Field, value: &'v Value, shown: &Json, at: &mut Vec<At<'v>>) {
        let is_same = match (value, shown) {
            (Value::Null, Json::Null) => true,
            (Value::Bool(one), Json::Bool(other)) => one == other,
            (Value::Int(one), Json::Number(other)) => other.as_i64() == Some(*one),
            (Value::Float(_), Json::Number(_)) => true,
            (Value::String(one), Json::String(other)) => one.as_str() == other,
            (Value::Array(items), Json::Array(shown)) if items.len() == shown.len() => {
                for (place, (item, shown)) in items.iter().zip(shown).enumerate() {
                    self.below(field, At::Item(place), item, shown, at);
                }
                true
            }
            (Value::Object(object), Json::Object(shown)) if keys_are_shown(object, shown) => {
                for (key, value) in object.iter() {
                    if let Some(shown) = shown.get(key.as_str()) {
                        self.below(field, At::Key(key), value, shown, at);
                    }
                }
                true
            }
            _ => false,
        };
        if !is_same {
            self.note(field, value, shown, at);
        }
    }

    fn below<'v>(
        &mut self,
        field: Field,
        step: At<'v>,
        value: &'v Value,
        shown: &Json,
        at: &mut Vec<At<'v>>,
    ) {
        at.push(step);
        self.compare(field, value, shown, at);
        at.pop();
    }

    fn note(&mut self, field: Field, value: &Value, shown: &Json, at: &[At<'_>]) {
        let kind = match value {
            Value::Unknown(_) => FOREIGN,
            value => HiddenType::of(value).word(),
        };
        let steps = at.iter().map(|step| match step {
            At::Item(place) => Step::Item(*place),
            At::Key(key) => Step::Key((*key).to_owned()),
        });
        let at_field = std::iter::once(Step::Key(field.path().to_owned()));
        self.hidden.push(Hidden { at: at_field.chain(steps).collect(), kind: kind.to_owned() });
        if kind == FOREIGN {
            return;
        }
        // Rules look at lists as a whole.
        let keys = at.iter().map_while(|step| match step {
            At::Item(_) => None,
            At::Key(key) => Some((*key).into()),
        });
        let place = Path { field, keys: keys.collect() };
        let is_cut = value.as_str().is_some_and(|text| text.len() > MAX_TEXT_BYTES);
        if is_cut || !shown.as_str().is_some_and(|shown| self.redact.is_personal_only(shown)) {
            self.secrets.push(place.clone());
        }
        self.places.push(place);
    }
}

/// Whether each key of an object is shown as it is.
fn keys_are_shown(object: &Object, shown: &Map<String, Json>) -> bool {
    object.len() == shown.len() && object.iter().all(|(key, _)| shown.contains_key(key.as_str()))
}

/// The value with another at a place; unchanged where there is no such place.
fn put(value: &Value, place: &[Step], other: &Value) -> Value {
    let Some((step, rest)) = place.split_first() else { return other.clone() };
    match (value, step) {
        (Value::Array(items), Step::Item(at)) => {
            let item = |(number, item): (usize, &Value)| {
                if number == *at { put(item, rest, other) } else { item.clone() }
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        (Value::Object(object), Step::Key(key)) => {
            let mut out = Object::new();
            for (name, item) in object.iter() {
                let is_there = name.as_str() == key.as_str();
                out.insert(name.clone(), if is_there { put(item, rest, other) } else { item.clone() });
            }
            Value::Object(out)
        }
        (seen, _) => seen.clone(),
    }
}
