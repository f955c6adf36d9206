//! Reading mappings strictly: unknown keys get a suggestion, wrong types say what was found.
// SPDX-License-Identifier: MIT OR Apache-2.0

use smol_str::SmolStr;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Position, SourceFile};
use crate::yaml::{Key, Kind, Node};

/// A file being read, and what was found wrong with it.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a SourceFile,
    found: &'a mut Vec<Diagnostic>,
}

/// The finding just added, to which help can be attached.
pub(crate) struct Added<'a>(Option<&'a mut Diagnostic>);

impl Added<'_> {
    pub(crate) fn help(self, help: impl Into<String>) {
        if let Some(found) = self.0 {
            found.help = Some(help.into());
        }
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a SourceFile, found: &'a mut Vec<Diagnostic>) -> Self {
        Self { file, found }
    }

    pub(crate) fn found_any_error(&self, before: usize) -> bool {
        crate::dialect::errors(self.found) > before
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        position: Position,
        message: impl Into<String>,
    ) -> Added<'_> {
        self.add(Severity::Error, code, position, message)
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        position: Position,
        message: impl Into<String>,
    ) -> Added<'_> {
        self.found.push(Diagnostic::new(severity, code, self.file, position, message));
        Added(self.found.last_mut())
    }

    /// The entries of a mapping; anything else is an error.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                let message = format!("{what} must be a mapping, but this is {}", node.describe());
                self.error("policy/type", node.position, message);
                None
            }
        }
    }

    /// The items of a list; anything else is an error.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                let message = format!("{what} must be a list, but this is {}", node.describe());
                self.error("policy/type", node.position, message);
                None
            }
        }
    }

    /// A text; numbers and booleans must be quoted to be one.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n SmolStr> {
        let text = node.as_text();
        if text.is_none() {
            let message = format!("{what} must be text, but this is {}", node.describe());
            self.error("policy/type", node.position, message)
                .help("put quotes around it if it is meant as text");
        }
        text
    }

    /// A text or a list of texts.
    pub(crate) fn texts<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<&'n SmolStr>> {
        match &node.kind {
            Kind::List(items) if items.is_empty() => {
                let message = format!("{what} is an empty list, which no event can meet");
                self.error("policy/empty-list", node.position, message)
                    .help("name at least one, or remove the key");
                None
            }
            Kind::List(items) => items.iter().map(|item| self.text(item, what)).collect(),
            _ => self.text(node, what).map(|text| vec![text]),
        }
    }

    /// Reports a key that has no meaning here, with the nearest that has.
    pub(crate) fn unknown_key(&mut self, key: &Key, place: &str, known: &[&str]) {
        let help = match nearest(&key.text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys here: {}", known.join(", ")),
        };
        self.error("policy/unknown-key", key.position, format!("unknown key `{}` {place}", key.text))
            .help(help);
    }

    /// `version: 1` or `version: "1"`.
    pub(crate) fn version(&mut self, node: &Node) {
        let known = match &node.kind {
            Kind::Number { value, integral } => *integral && (*value - 1.0).abs() < f64::EPSILON,
            Kind::Text(text) => text == "1",
            _ => false,
        };
        if !known {
            let message = format!("`version` must be 1, but this is {}", node.describe());
            self.error("policy/version", node.position, message).help("write `version: 1`");
        }
    }
}

/// The known word nearest to a misspelt one, if one is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = (word.chars().count() / 2).clamp(1, 3);
    let distances = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, known)| known)
}
