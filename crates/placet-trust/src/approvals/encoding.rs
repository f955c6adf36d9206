//! Two deterministic encodings: length-prefixed fields for what is hashed or signed, canonical JSON for rows.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Digest, Micros};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Fields one after another, each with its length before it, so that no two lists of fields give the same bytes.
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// Starts with the purpose, so that bytes made for one purpose never serve another.
    pub(super) fn of(domain: &str) -> Self {
        let mut fields = Self(Vec::with_capacity(512));
        fields.bytes(domain.as_bytes());
        fields
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn moment(&mut self, moment: Micros) {
        self.0.extend_from_slice(&moment.0.to_be_bytes());
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        self.bytes(&digest.0);
    }

    /// A field that may be absent; absent differs from empty.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A list with its length.
    pub(super) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn sha256(&self) -> Digest {
        Digest(Sha256::digest(&self.0).into())
    }
}

/// Canonical JSON (RFC 8785) of a value without floats.
pub(super) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            // Sorted here, since serde_json keeps another order when some crate turns on `preserve_order`.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (position, (name, field)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write(&Value::String(name.clone()), out);
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |parts: &[&str]| {
            let mut fields = Fields::of("test");
            parts.iter().for_each(|part| fields.text(part));
            fields.sha256()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }

    #[test]
    fn canonical_json_is_sorted_and_dense() {
        let value = serde_json::json!({"b": [1, null, true], "a": {"z": "\u{1}\n\"", "y": -5}});
        assert_eq!(canonical(&value), r#"{"a":{"y":-5,"z":"\u0001\n\""},"b":[1,null,true]}"#);
    }
}
