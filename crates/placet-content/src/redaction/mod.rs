//! Redaction: takes secrets and personal data out of what is stored.
//!
//! It works on copies that go to the log; what a tool receives or returns is untouched. It is best effort: a secret
//! in a form that no pattern knows stays. Patterns and key names are data (`patterns/redaction.yaml`), and a
//! deployment may add its own.
//!
//! ```
//! use placet_content::Redactor;
//!
//! let redactor = Redactor::builtin();
//! assert_eq!(redactor.text("password=hunter2, total 5 €"), "password=[REDACTED:assigned_secret], total 5 €");
//! assert_eq!(redactor.text("max_tokens=100"), "max_tokens=100");
//! ```
// SPDX-License-Identifier: MIT OR Apache-2.0

mod checks;
mod keys;
mod needs;
mod pack;
mod recall;
#[cfg(test)]
mod redaction_tests;
mod shown;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use placet_types::{Object, UnknownLeaf, Value};
use regex_automata::util::captures::Captures;
use serde_json::Value as Json;

use pack::Pack;
pub use pack::{REDACTION_YAML, RedactionError};
pub use shown::Shown;

/// How deep a value is shown; deeper parts are left out.
const MAX_DEPTH: usize = 64;

/// What stands for what is deeper.
const TOO_DEEP: &str = "[too deep to be shown]";

/// The most bytes of one text that are stored; the rest is left out and its length said.
pub const MAX_TEXT_BYTES: usize = 65_536;

/// Why something was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactionKind {
    /// It opens something: a password, a key, a token.
    Secret,
    /// It is about a person.
    Personal,
}

/// Takes secrets and personal data out of copies of values. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Redactor(Arc<Pack>);

impl Redactor {
    /// The patterns that come with Placet.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the text is part of the crate and a test compiles it")]
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<Redactor> =
            LazyLock::new(|| Redactor::with(&[]).expect("the built-in redaction pack compiles"));
        BUILTIN.clone()
    }

    /// The patterns that come with Placet, and those of further packs in YAML.
    ///
    /// # Errors
    /// [`RedactionError`] lists everything that is wrong with them, examples that fail included.
    pub fn with(packs: &[&str]) -> Result<Self, RedactionError> {
        Ok(Self(Arc::new(Pack::compile(packs)?)))
    }

    /// A text without secrets and personal data; borrowed when there is none.
    #[must_use]
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let (shown, left_out) = shorten(text);
        // Most texts hold nothing of the kind, and that is soon known.
        if left_out == 0 && (!self.0.needs.may_match(shown) || self.is_clean(shown)) {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        let mut end = 0;
        let mut captures: Captures = self.0.regex.create_captures();
        let mut from = 0;
        while from <= shown.len() {
            let input = regex_automata::Input::new(shown).range(from..);
            self.0.regex.search_captures(&input, &mut captures);
            let (Some(whole), Some(pattern)) = (captures.get_match(), captures.pattern()) else { break };
            let hidden = captures.get_group_by_name("hide").unwrap_or_else(|| whole.span());
            let Some(pattern) = self.0.patterns.get(pattern.as_usize()) else { break };
            let found = shown.get(hidden.range()).unwrap_or_default();
            if pattern.check.is_none_or(|check| check.holds(found)) {
                out.push_str(shown.get(end..hidden.start).unwrap_or_default());
                out.push_str(&pattern.mark);
                end = hidden.end;
                from = whole.end().max(from + 1);
            } else {
                // What failed its check may hide another match that begins inside of it.
                from = next_boundary(shown, whole.start());
            }
        }
        if end == 0 && left_out == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(shown.get(end..).unwrap_or_default());
        if left_out > 0 {
            out.push_str(&format!("… [{left_out} bytes left out]"));
        }
        Cow::Owned(out)
    }

    fn is_clean(&self, shown: &str) -> bool {
        recall::is_clean(self.0.id, shown, || !self.0.regex.is_match(shown))
    }

    /// A value as it may be stored: JSON without secrets and personal data. Values that JSON lacks are named by
    /// their type.
    #[must_use]
    pub fn value(&self, value: &Value) -> Json {
        serde_json::to_value(self.at(value, MAX_DEPTH)).unwrap_or_else(|_| "[cannot be shown]".into())
    }

    /// What stands for a value at a dotted path if one of its keys hides it; the first word is a field, whose name says
    /// nothing.
    #[must_use]
    pub fn hidden_at(&self, path: &str) -> Option<String> {
        // A list of one sign is looked for sign by sign, which is sooner done in so short a text.
        path.split(['.']).skip(1).find(|key| self.kind_of(key).is_some()).map(hidden)
    }

    /// Whether every mark in a text that was shown stands where something about a person was, and there is one. What is
    /// not known for sure may be a secret.
    #[must_use]
    pub fn is_personal_only(&self, shown: &str) -> bool {
        let mut labels =
            shown.split("[REDACTED:").skip(1).map(|rest| rest.split(']').next().unwrap_or_default());
        let is_personal = |label: &str| {
            let mark = format!("[REDACTED:{label}]");
            let patterns =
                self.0.patterns.iter().filter(|pattern| pattern.mark == mark).map(|pattern| pattern.kind);
            let mut kinds = patterns.chain(self.kind_of(label)).peekable();
            kinds.peek().is_some() && kinds.all(|kind| kind == RedactionKind::Personal)
        };
        let first = labels.next();
        first.is_some_and(is_personal) && labels.all(is_personal)
    }

    /// Why the value under a key is hidden; `None` when it is not.
    fn kind_of(&self, key: &str) -> Option<RedactionKind> {
        recall::kind(self.0.id, key, || self.0.keys.kind(key))
    }

    /// As [`Redactor::value`], written as it is serialised instead of copied first.
    #[must_use]
    pub fn shown<'v>(&'v self, value: &'v Value) -> Shown<'v> {
        Shown { redactor: self, value, depth: MAX_DEPTH }
    }

    /// An object as it may be shown.
    #[must_use]
    pub fn object(&self, object: &Object) -> Object {
        self.entries(object, MAX_DEPTH)
    }

    fn at(&self, value: &Value, depth: usize) -> Value {
        match value {
            Value::Null | Value::Bool(_) | Value::Float(_) => value.clone(),
            Value::Int(number) => self.number(*number),
            Value::String(text) => self.text(text).as_ref().into(),
            Value::Unknown(leaf) => unknown(leaf).as_str().into(),
            Value::Array(_) | Value::Object(_) if depth == 0 => TOO_DEEP.into(),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.at(item, depth - 1)).collect()),
            Value::Object(object) => Value::Object(self.entries(object, depth - 1)),
        }
    }

    fn entries(&self, object: &Object, depth: usize) -> Object {
        let mut shown = Object::new();
        for (key, value) in object.iter() {
            let value = match self.kind_of(key) {
                Some(_) if !value.is_null() => hidden(key).as_str().into(),
                _ => self.at(value, depth),
            };
            shown.insert(self.text(key).as_ref(), value);
        }
        shown
    }

    /// A card number may come as a number.
    fn number(&self, number: i64) -> Value {
        match self.text(itoa::Buffer::new().format(number)) {
            Cow::Borrowed(_) => Value::Int(number),
            Cow::Owned(hidden) => hidden.as_str().into(),
        }
    }
}

/// What stands for the value of a key that names a secret. A key is no secret; but one that was made of a secret is.
fn hidden(key: &str) -> String {
    format!("[REDACTED:{}]", keys::words(key).join("_"))
}

fn unknown(leaf: &UnknownLeaf) -> String {
    let size = leaf.content.as_ref().map(|content| format!(", {} bytes", content.len())).unwrap_or_default();
    format!("<{}{size}>", leaf.type_name)
}

fn shorten(text: &str) -> (&str, usize) {
    if text.len() <= MAX_TEXT_BYTES {
        return (text, 0);
    }
    let mut end = MAX_TEXT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (text.get(..end).unwrap_or_default(), text.len() - end)
}

fn next_boundary(text: &str, at: usize) -> usize {
    let mut next = at + 1;
    while next < text.len() && !text.is_char_boundary(next) {
        next += 1;
    }
    next
}
