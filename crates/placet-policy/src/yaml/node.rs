//! A YAML value with its place in the file.
// SPDX-License-Identifier: MIT OR Apache-2.0

use smol_str::SmolStr;

use crate::source::Position;

/// A YAML value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) position: Position,
    pub(crate) kind: Kind,
}

/// What a YAML value is, typed by the YAML 1.2 core schema (so `18:00`, `yes` and `on` are text).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// A number that a rule may hold; `integral` tells whether it was written as an integer.
    Number {
        value: f64,
        integral: bool,
    },
    Text(SmolStr),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A mapping key and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: SmolStr,
    pub(crate) position: Position,
}

impl Node {
    /// What the value is, for messages: `a list`, `the text \`x\``.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(flag) => format!("the boolean `{flag}`"),
            Kind::Number { value, .. } => format!("the number `{value}`"),
            Kind::Text(text) => format!("the text `{}`", text.chars().take(60).collect::<String>()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    pub(crate) fn as_text(&self) -> Option<&SmolStr> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }
}
