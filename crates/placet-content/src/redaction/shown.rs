//! Redaction while a value is serialised, without a copy.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;

use placet_types::{Object, Value};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Redactor, TOO_DEEP, hidden, unknown};

/// A value as it may be stored; see [`Redactor::shown`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<'v> {
    pub(super) redactor: &'v Redactor,
    pub(super) value: &'v Value,
    pub(super) depth: usize,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let depth = self.depth.saturating_sub(1);
        match self.value {
            Value::Null | Value::Bool(_) | Value::Float(_) => self.value.serialize(serializer),
            Value::Int(number) => self.redactor.number(*number).serialize(serializer),
            Value::String(text) => serializer.serialize_str(&self.redactor.text(text)),
            Value::Unknown(leaf) => serializer.serialize_str(&unknown(leaf)),
            Value::Array(_) | Value::Object(_) if self.depth == 0 => serializer.serialize_str(TOO_DEEP),
            Value::Array(items) => {
                let mut out = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|value| {
                    out.serialize_element(&Shown { redactor: self.redactor, value, depth })
                })?;
                out.end()
            }
            Value::Object(object) => self.object(object, depth, serializer),
        }
    }
}

impl Shown<'_> {
    fn object<S: Serializer>(&self, object: &Object, depth: usize, serializer: S) -> Result<S::Ok, S::Error> {
        let redactor = self.redactor;
        // Keys that become equal when they are redacted make one entry.
        if object.iter().any(|(key, _)| matches!(redactor.text(key), Cow::Owned(_))) {
            return Value::Object(redactor.entries(object, depth)).serialize(serializer);
        }
        let mut out = serializer.serialize_map(Some(object.len()))?;
        for (key, value) in object.iter() {
            match redactor.kind_of(key) {
                Some(_) if !value.is_null() => out.serialize_entry(key.as_str(), &hidden(key))?,
                _ => out.serialize_entry(key.as_str(), &Shown { redactor, value, depth })?,
            }
        }
        out.end()
    }
}
