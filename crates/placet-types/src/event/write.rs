//! The event as JSON.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Event;
use super::field::{Field, GROUPS, Group, NAMES, TOP_FIELDS};
use crate::value::Value;

/// The whole document, every field present.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for field in Field::ALL.iter().take(TOP_FIELDS) {
            out.serialize_entry(field.path(), self.get(*field))?;
        }
        out.serialize_entry("session_id", self.get(Field::SessionId))?;
        out.serialize_entry("tool", self.get(Field::ToolName))?;
        out.serialize_entry("plan", &Plan { steps: self.get(Field::Steps) })?;
        for group in &GROUPS {
            out.serialize_entry(group.prefix, &GroupOf { event: self, group })?;
        }
        out.end()
    }
}

#[derive(Serialize)]
struct Plan<'a> {
    steps: &'a Value,
}

struct GroupOf<'a> {
    event: &'a Event,
    group: &'static Group,
}

impl Serialize for GroupOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for field in self.group.fields() {
            out.serialize_entry(NAMES.get(*field as usize).unwrap_or(&""), self.event.get(*field))?;
        }
        out.end()
    }
}
