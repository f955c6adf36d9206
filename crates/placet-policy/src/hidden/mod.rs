//! Judging events of which some values are hidden, by what was kept of them: their types, and the truths of the
//! conditions that were asked of them while they could be seen.
//!
//! Nothing is guessed: a condition whose truth cannot be told may have any, and the answer is every verdict that may
//! come of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod atom;
mod possible;

use placet_types::{Field, Value};

use crate::ir::Truth;
use crate::voice::Effect;

pub use atom::AtomId;
pub(crate) use atom::Atoms;
pub(crate) use possible::{Possible, Search};

/// The type of the leaf that stands for a hidden value.
const HIDDEN: &str = "redacted";

/// What is known of a hidden value: its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HiddenType {
    /// A text.
    String,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
    /// Not even that.
    Any,
}

impl HiddenType {
    /// The types of JSON, and [`Self::Any`].
    const ALL: [Self; 6] = [Self::String, Self::Number, Self::Boolean, Self::Array, Self::Object, Self::Any];

    /// The type of a value; [`Self::Any`] for what JSON does not have.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::String,
            Value::Int(_) | Value::Float(_) => Self::Number,
            Value::Bool(_) => Self::Boolean,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
            Value::Null | Value::Unknown(_) => Self::Any,
        }
    }

    /// The word for it, as records hold it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Any => "any",
        }
    }

    /// The type of a word; [`Self::Any`] for a word that is none.
    #[must_use]
    pub fn at(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Any)
    }

    /// The leaf that stands for a hidden value of this type.
    #[must_use]
    pub fn leaf(self) -> Value {
        Value::unknown(HIDDEN, self.word().into())
    }
}

/// The type of a hidden value; `None` for one that can be seen.
fn hidden(value: &Value) -> Option<HiddenType> {
    match value {
        Value::Unknown(leaf) if leaf.type_name == HIDDEN => {
            let word = leaf.content.as_deref().and_then(|word| std::str::from_utf8(word).ok());
            Some(HiddenType::at(word.unwrap_or_default()))
        }
        _ => None,
    }
}

/// Whether something in a value is hidden.
#[must_use]
pub fn holds_hidden(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_hidden),
        Value::Object(object) => object.iter().any(|(_, value)| holds_hidden(value)),
        other => hidden(other).is_some(),
    }
}

/// What is known of an event besides its values.
pub struct Known<'k> {
    /// The truth of a condition, where it was asked.
    pub truth: &'k dyn Fn(&AtomId) -> Option<Truth>,
    /// Fields whose values are not those of which the truths were told.
    pub moved: Vec<Field>,
}

/// A decision on an event of which something is hidden.
#[derive(Debug, Clone)]
pub struct Knowing {
    /// The decision as far as it can be told; the decision, if only one outcome is possible.
    pub decision: placet_types::Decision,
    /// Every outcome that hidden values may lead to, the weakest first; never empty.
    pub outcomes: Vec<Effect>,
}
