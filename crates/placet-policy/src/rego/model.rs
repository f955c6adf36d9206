//! The types that the rest of the crate sees.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::parse::Dialect;

/// How Rego is loaded and evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegoOptions {
    /// Turns every lint into an error.
    pub strict: bool,
    /// Builtins with effects or without a fixed answer that may be called, by name: `http.send`,
    /// `net.lookup_ip_addr`, `opa.runtime`, `rand.intn`, `uuid.rfc4122`.
    ///
    /// `http.send`, `net.lookup_ip_addr` and `opa.runtime` then load and can be mocked in tests, but a real call is
    /// a failure: deciding has no network.
    pub allowed_builtins: BTreeSet<String>,
    /// Bounds on one evaluation.
    pub limits: RegoLimits,
}

/// Bounds on one evaluation of one unit; past any of them the unit denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegoLimits {
    /// Longest evaluation.
    pub time: Duration,
    /// Deepest nesting of rules, functions and expressions that may wait for each other; checked at load.
    pub depth: usize,
    /// Largest event document, in bytes of JSON.
    pub input_bytes: usize,
    /// Deepest event document, in levels.
    pub input_depth: usize,
    /// Largest policy file, in bytes; checked at load.
    pub file_bytes: usize,
}

impl Default for RegoLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(1),
            depth: 128,
            input_bytes: 32 * 1024 * 1024,
            input_depth: 80,
            file_bytes: 16 * 1024 * 1024,
        }
    }
}

/// What kind of unit a Rego file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// A package with `allow`, `deny` or `requires_hitl`, read for every event.
    Aggregate,
    /// A file whose `decision` is read for events of one type.
    PerEvent,
    /// Read only where another file refers to it.
    Library,
}

impl UnitKind {
    /// The word used in listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::PerEvent => "per-event",
            Self::Library => "library",
        }
    }
}

/// What became of one Rego file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegoFile {
    /// The path as the user gave it.
    pub path: Arc<str>,
    /// The dialect it was read in.
    pub dialect: Dialect,
    /// Its package, without `data`.
    pub package: Arc<str>,
    /// The unit it belongs to.
    pub kind: UnitKind,
}

/// What decides which units an event meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegoEvent<'a> {
    /// `event_type` of the document; unknown when absent: then every per-event unit may restrict and none may allow.
    pub event_type: Option<&'a str>,
    /// `transport` of the document; unknown when absent: then a permitting default for one transport does not apply
    /// and a restricting one does.
    pub transport: Option<&'a str>,
}

/// An event document prepared for the interpreter, built once per event and shared by all units.
#[derive(Debug, Clone)]
pub struct RegoInput {
    /// Absent when the document is none that the interpreter can hold.
    pub(super) value: Option<regorus::Value>,
    pub(super) bytes: usize,
    pub(super) depth: usize,
}

impl RegoInput {
    /// Converts a document.
    #[must_use]
    pub fn new(document: &serde_json::Value) -> Self {
        let (bytes, depth) = measure(document);
        Self { value: convert(document), bytes, depth }
    }
}

/// Size in bytes of JSON (a lower bound, escapes not counted) and depth in levels.
fn measure(document: &serde_json::Value) -> (usize, usize) {
    let mut pending = vec![(document, 1_usize)];
    let (mut bytes, mut deepest) = (0_usize, 0_usize);
    while let Some((value, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        bytes += match value {
            serde_json::Value::Null | serde_json::Value::Bool(_) => 4,
            serde_json::Value::Number(_) => 8,
            serde_json::Value::String(text) => text.len() + 2,
            serde_json::Value::Array(items) => {
                pending.extend(items.iter().map(|item| (item, depth + 1)));
                items.len() + 2
            }
            serde_json::Value::Object(fields) => {
                pending.extend(fields.values().map(|item| (item, depth + 1)));
                fields.keys().map(|key| key.len() + 4).sum::<usize>() + 2
            }
        };
    }
    (bytes, deepest)
}

fn convert(document: &serde_json::Value) -> Option<regorus::Value> {
    serde_json::from_value(document.clone()).ok()
}
