//! Cleaning values with structure: JSON results and tool schemas.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::finding::{Finding, labels};
use crate::sanitizer::Sanitizer;

/// A finding inside a value, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PathFinding {
    /// A JSON pointer (RFC 6901) into the original value: to the string, or to the member whose key it is.
    pub path: String,
    /// True when the key itself holds the match, not the value.
    pub in_key: bool,
    /// What was found; the span is one of the string's or the key's bytes.
    #[serde(flatten)]
    pub finding: Finding,
}

/// A value after cleaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CleanedValue {
    /// The value to use.
    pub value: Value,
    /// The findings, in the order of the value.
    pub findings: Vec<PathFinding>,
    /// True when something was replaced.
    pub was_modified: bool,
    /// True when the mode is [`crate::Mode::Block`] and something was found.
    pub blocked: bool,
}

impl Sanitizer {
    /// Cleans every string of a value, keys too, at any depth.
    ///
    /// No member is lost: where two keys become equal, later ones get a number, as in `[REDACTED]#2`.
    #[must_use]
    pub fn clean_json(&self, value: &Value) -> CleanedValue {
        let mut walk =
            Walk { sanitizer: self, path: String::new(), findings: Vec::new(), was_modified: false };
        let value = walk.value(value);
        let blocked = self.mode() == crate::Mode::Block && !walk.findings.is_empty();
        CleanedValue { value, was_modified: walk.was_modified, blocked, findings: walk.findings }
    }

    /// Cleans a tool's schema as models see it: names, titles, descriptions, enum values, defaults, examples
    /// and parameter names, at any depth, under `input_schema`, `parameters` or any other key.
    ///
    /// Returns the schema to use and the labels found, each once.
    #[must_use]
    pub fn clean_tool_schema(&self, schema: &Value) -> (Value, Vec<Arc<str>>) {
        let cleaned = self.clean_json(schema);
        let labels = labels(cleaned.findings.iter().map(|found| &found.finding));
        (cleaned.value, labels)
    }
}

/// Chooses keys for replaced ones so that no member of an object is lost.
#[derive(Debug, Default)]
pub struct DistinctKeys {
    /// For each wanted key, the number to try next.
    next: HashMap<String, u64>,
}

impl DistinctKeys {
    /// The wanted key, or the first of `wanted#2`, `wanted#3` and so on that is not taken.
    #[must_use]
    pub fn choose(&mut self, wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
        let number = self.next.entry(wanted.to_owned()).or_insert(1);
        loop {
            let key = if *number == 1 { wanted.to_owned() } else { format!("{wanted}#{number}") };
            *number += 1;
            if !is_taken(&key) {
                return key;
            }
        }
    }
}

struct Walk<'s> {
    sanitizer: &'s Sanitizer,
    path: String,
    findings: Vec<PathFinding>,
    was_modified: bool,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text, false)),
            Value::Array(items) => {
                let walked = items.iter().enumerate();
                Value::Array(walked.map(|(index, item)| self.member(&index.to_string(), item)).collect())
            }
            Value::Object(members) => Value::Object(self.object(members)),
            other => other.clone(),
        }
    }

    fn member(&mut self, key: &str, value: &Value) -> Value {
        let len = self.path.len();
        self.path.push('/');
        self.path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let cleaned = self.value(value);
        self.path.truncate(len);
        cleaned
    }

    fn object(&mut self, members: &Map<String, Value>) -> Map<String, Value> {
        // Keys that stay as they are keep their names; only replaced ones make way.
        let mut keys = Vec::with_capacity(members.len());
        for key in members.keys() {
            let len = self.path.len();
            self.path.push('/');
            self.path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            keys.push(self.text(key, true));
            self.path.truncate(len);
        }
        let mut out: Map<String, Value> = Map::new();
        let mut distinct = DistinctKeys::default();
        for ((key, value), wanted) in members.iter().zip(keys) {
            let cleaned = self.member(key, value);
            let key = if wanted == *key {
                wanted
            } else {
                distinct.choose(&wanted, |key| out.contains_key(key) || members.contains_key(key))
            };
            out.insert(key, cleaned);
        }
        out
    }

    fn text(&mut self, text: &str, in_key: bool) -> String {
        let cleaned = self.sanitizer.clean_text(text);
        self.was_modified |= cleaned.was_modified;
        let path = &self.path;
        self.findings.extend(cleaned.findings.into_iter().map(|finding| PathFinding {
            path: path.clone(),
            in_key,
            finding,
        }));
        cleaned.text.into_owned()
    }
}

#[cfg(test)]
#[path = "structured_tests.rs"]
mod tests;
