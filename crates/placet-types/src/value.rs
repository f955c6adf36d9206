//! Values as policies see them: JSON, plus typed leaves for what JSON cannot hold.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use smol_str::SmolStr;

/// Largest magnitude of a number that rules may look at: 2^53, past which a double skips integers.
pub const MAX_NUMBER: f64 = 9_007_199_254_740_992.0;

/// One value of an event.
///
/// Strings and booleans never compare as numbers. [`Value::Unknown`] has a type that no rule can look into.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// JSON null; also what an absent field of the event document holds.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 2^53 in magnitude.
    Int(i64),
    /// A finite number of at most 2^53 in magnitude, written with a fraction or an exponent.
    Float(f64),
    /// A string without lone surrogates.
    String(SmolStr),
    /// A list.
    Array(Vec<Value>),
    /// An object; keys are unique and keep the order in which they came.
    Object(Object),
    /// A value that is not JSON.
    Unknown(Box<UnknownLeaf>),
}

/// An object: unique keys in the order in which they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(SmolStr, Value)>);

/// A value that JSON cannot hold. Rules see it as unknown; the digest covers its type and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLeaf {
    /// What it is: `bytes`, `date`, `nan`, `big_number`, `set`, or the name of a foreign type.
    pub type_name: SmolStr,
    /// Its content in a stable encoding of that type; `None` when it was passed by reference, so that neither
    /// a copy nor an approval of it is possible.
    pub content: Option<Vec<u8>>,
}

impl Value {
    /// A number from a double: integers become [`Value::Int`] only when `integral` says that they were written
    /// so; what is not finite or past 2^53 becomes an unknown leaf.
    #[must_use]
    pub fn from_f64(number: f64) -> Self {
        if number.is_nan() {
            return Self::unknown("nan", Vec::new());
        }
        if number.abs() > MAX_NUMBER {
            return Self::unknown("big_number", number.to_string().into_bytes());
        }
        Self::Float(number)
    }

    /// A number from an integer; past 2^53 it becomes an unknown leaf.
    #[must_use]
    pub fn from_i128(number: i128) -> Self {
        match i64::try_from(number) {
            Ok(small) if small.unsigned_abs() <= 1 << 53 => Self::Int(small),
            _ => Self::unknown("big_number", number.to_string().into_bytes()),
        }
    }

    /// A leaf of a type that JSON does not have, with its content.
    #[must_use]
    pub fn unknown(type_name: &str, content: Vec<u8>) -> Self {
        Self::Unknown(Box::new(UnknownLeaf { type_name: type_name.into(), content: Some(content) }))
    }

    /// A leaf that could not be copied and is passed on as it is.
    #[must_use]
    pub fn by_reference(type_name: &str) -> Self {
        Self::Unknown(Box::new(UnknownLeaf { type_name: type_name.into(), content: None }))
    }

    /// The number, if this is one.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an Int is at most 2^53, so the conversion is exact")]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if this is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value below one key; `None` when this is no object or has no such key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Whether some leaf was passed by reference: such a call can never be approved.
    #[must_use]
    pub fn has_by_reference(&self) -> bool {
        match self {
            Self::Unknown(leaf) => leaf.content.is_none(),
            Self::Array(items) => items.iter().any(Self::has_by_reference),
            Self::Object(object) => object.iter().any(|(_, value)| value.has_by_reference()),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::String(_) => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// Objects past this size find duplicate keys by hashing.
const LINEAR_KEYS: usize = 16;

impl Object {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds an object from pairs.
    ///
    /// # Errors
    /// Returns the first key that occurs twice.
    pub fn from_pairs(pairs: Vec<(SmolStr, Value)>) -> Result<Self, SmolStr> {
        if pairs.len() > LINEAR_KEYS {
            let mut seen = std::collections::HashSet::with_capacity(pairs.len());
            if let Some((key, _)) = pairs.iter().find(|(key, _)| !seen.insert(key.as_str())) {
                return Err(key.clone());
            }
        } else {
            let twice = |(index, (key, _)): &(usize, &(SmolStr, Value))| {
                pairs.iter().take(*index).any(|(earlier, _)| earlier == key)
            };
            if let Some((_, (key, _))) = pairs.iter().enumerate().find(twice) {
                return Err(key.clone());
            }
        }
        Ok(Self(pairs))
    }

    /// The value below a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets a key, replacing what it held.
    pub fn insert(&mut self, key: impl Into<SmolStr>, value: Value) {
        let key = key.into();
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, held)) => *held = value,
            None => self.0.push((key, value)),
        }
    }

    /// Removes a key and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(index).1)
    }

    /// The entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SmolStr, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As JSON; an unknown leaf becomes `{"$unknown": type}`, which compares with nothing a policy can write.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| out.serialize_element(item))?;
                out.end()
            }
            Self::Object(object) => {
                let mut out = serializer.serialize_map(Some(object.len()))?;
                object.iter().try_for_each(|(key, value)| out.serialize_entry(key.as_str(), value))?;
                out.end()
            }
            Self::Unknown(leaf) => {
                let mut out = serializer.serialize_map(Some(1))?;
                out.serialize_entry("$unknown", leaf.type_name.as_str())?;
                out.end()
            }
        }
    }
}
