//! Reading foreign JSON strictly.
//!
//! Refused: duplicate keys, NaN and infinity, lone surrogates, depth past [`MAX_DEPTH`], size past
//! [`MAX_BYTES`]. Grammar and numbers are serde_json's; what is added here is the shape of the result.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use smol_str::SmolStr;

use crate::value::{Object, Value};

/// Deepest nesting of lists and objects that is read.
pub const MAX_DEPTH: usize = 64;

/// Largest JSON text that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// Why a JSON text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is longer than the limit.
    #[error(
        "the JSON text is {actual_bytes} bytes; the limit is {MAX_BYTES} bytes; send less or pass a reference"
    )]
    TooLarge {
        /// Its length in bytes.
        actual_bytes: usize,
    },
    /// The text is not JSON, or not JSON that can be trusted.
    #[error("{message}")]
    Refused {
        /// What is wrong, with line and column.
        message: String,
    },
}

/// Reads one JSON value and nothing after it.
///
/// # Errors
/// [`JsonError`] says what was refused and where.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    read(text, ValueSeed { depth: 0 })
}

/// Reads a JSON text through a seed, with the size limit and nothing allowed after the value.
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(text: &'de [u8], seed: S) -> Result<S::Value, JsonError> {
    if text.len() > MAX_BYTES {
        return Err(JsonError::TooLarge { actual_bytes: text.len() });
    }
    // Checking the whole text once is cheaper than checking every string in it.
    let text = std::str::from_utf8(text).map_err(|error| JsonError::Refused {
        message: format!("the JSON text is not UTF-8: {error}; send UTF-8"),
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let refused = |error: serde_json::Error| JsonError::Refused { message: error.to_string() };
    let value = seed.deserialize(&mut deserializer).map_err(refused)?;
    deserializer.end().map_err(refused)?;
    Ok(value)
}

/// Reads one value at a known depth.
#[derive(Clone, Copy)]
pub(crate) struct ValueSeed {
    pub(crate) depth: usize,
}

impl ValueSeed {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels; flatten the value")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from_i128(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from_i128(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from_f64(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut pairs: Vec<(SmolStr, Value)> = Vec::new();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            pairs.push((key, entries.next_value_seed(below)?));
        }
        Object::from_pairs(pairs).map(Value::Object).map_err(|key| {
            A::Error::custom(format_args!("the key `{key}` occurs twice in one object; remove one"))
        })
    }
}

/// Reads an object key without allocating for short ones.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = SmolStr;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SmolStr, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = SmolStr;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SmolStr, E> {
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_json_that_cannot_be_trusted_is_refused() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for (text, word) in [
            (r#"{"a":1,"a":2}"#, "occurs twice"),
            ("NaN", "expected"),
            ("[-Infinity]", "number"),
            (r#""\ud800x""#, "hex escape"),
            ("1 2", "trailing"),
            ("1e999", "out of range"),
            (deep.as_str(), "64 levels"),
        ] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(parse(("[".repeat(64) + &"]".repeat(64)).as_bytes()).is_ok());
    }

    #[test]
    fn numbers_past_two_to_the_53_are_unknown_however_they_are_written() {
        for text in ["9007199254740993", "-9007199254740993", "1e16", "100000000000000000000"] {
            assert!(matches!(parse(text.as_bytes()), Ok(Value::Unknown(_))), "{text}");
        }
        assert_eq!(parse(b"9007199254740992"), Ok(Value::Int(9_007_199_254_740_992)));
        assert_eq!(parse(b"42.0"), Ok(Value::Float(42.0)));
    }

    #[test]
    fn large_objects_find_duplicates_too() {
        let many: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!("{{{},\"k7\":0}}", many.join(","));
        assert!(parse(text.as_bytes()).is_err());
    }
}
