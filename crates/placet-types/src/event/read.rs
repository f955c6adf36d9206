//! The event from JSON: unknown keys, keys given twice and fields that contradict each other are refused.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};

use super::Event;
use super::field::{FIELDS, Field, GROUPS, Group, TOP_FIELDS, find};
use crate::json::ValueSeed;
use crate::value::Value;

/// Reads a whole event.
pub(super) struct EventSeed;

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
                Top::Session => {
                    seen.once_other(5)?;
                    let session = entries.next_value_seed(ValueSeed { depth: 1 })?;
                    fill(&mut event, Field::SessionId, session, "session_id")?;
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
    Session,
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
            "session_id" => Ok(Top::Session),
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

/// `steps` and `plan.steps` are one field, as are `tool` and `tool_name`, `session_id` and `context.session_id`:
/// given twice, they must agree.
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
            if field == Field::SessionId {
                fill(self.event, field, value, "session_id")?;
            } else {
                self.event.set(field, value);
            }
        }
        Ok(())
    }
}

/// Which keys of one object were read: a bit for each field, then one for each other key.
#[derive(Default)]
struct Seen(u64);

/// The keys that are no field of their own, in the order of their bits.
const OTHER_KEYS: [&str; 6] = ["context", "session", "parent", "tool", "plan", "session_id"];

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
