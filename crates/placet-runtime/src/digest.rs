//! The digest of frozen arguments: SHA-256 over deterministic CBOR, preserving types.
//!
//! Source: RFC 8949 §4.2.1 (core deterministic encoding): shortest heads, map keys in bytewise order of their
//! encodings, definite lengths. Values that JSON lacks are tagged with their type name, so that `1`, `1.0`, `"1"`
//! and a date that prints as `1` have four digests.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Object, UnknownLeaf, Value};
use sha2::{Digest, Sha256};

/// The tag of values that JSON lacks: a pair of type name and content. First-come-first-served range; see
/// RFC 8949 §9.2.
const UNKNOWN_TAG: u64 = 80_108;

/// The digest of a value.
#[must_use]
pub fn digest(value: &Value) -> [u8; 32] {
    Sha256::digest(encode(value)).into()
}

/// The deterministic CBOR encoding of a value.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(flag) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        Value::Int(number) if *number >= 0 => head(0, number.unsigned_abs(), out),
        Value::Int(number) => head(1, number.unsigned_abs() - 1, out),
        Value::Float(number) => {
            out.push(0xfb);
            out.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| write(item, out));
        }
        Value::Object(object) => write_object(object, out),
        Value::Unknown(leaf) => write_unknown(leaf, out),
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    head(3, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_object(object: &Object, out: &mut Vec<u8>) {
    head(5, object.len() as u64, out);
    let mut entries: Vec<(&str, &Value)> = object.iter().map(|(key, value)| (key.as_str(), value)).collect();
    // The head of a longer text is the greater one, so that encodings are ordered by length first.
    entries.sort_by_key(|(key, _)| (key.len(), key.as_bytes()));
    for (key, value) in entries {
        write_text(key, out);
        write(value, out);
    }
}

fn write_unknown(leaf: &UnknownLeaf, out: &mut Vec<u8>) {
    head(6, UNKNOWN_TAG, out);
    head(4, 2, out);
    write_text(&leaf.type_name, out);
    match &leaf.content {
        Some(content) => {
            head(2, content.len() as u64, out);
            out.extend_from_slice(content);
        }
        None => out.push(0xf6),
    }
}

/// The shortest head of a major type and its argument.
#[allow(clippy::cast_possible_truncation, reason = "each arm's range fits its type")]
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cbor(json: &str) -> String {
        hex::encode(encode(&placet_types::json::parse(json.as_bytes()).expect(json)))
    }

    /// Source: RFC 8949, Appendix A.
    #[test]
    fn the_examples_of_the_standard_encode_as_printed() {
        for (json, wanted) in [
            ("0", "00"),
            ("23", "17"),
            ("24", "1818"),
            ("1000", "1903e8"),
            ("1000000", "1a000f4240"),
            ("-1", "20"),
            ("-1000", "3903e7"),
            ("1.1", "fb3ff199999999999a"),
            ("false", "f4"),
            ("null", "f6"),
            ("\"IETF\"", "6449455446"),
            ("[1,[2,3],[4,5]]", "8301820203820405"),
            (r#"{"b":[2,3],"a":1}"#, "a26161016162820203"),
        ] {
            assert_eq!(cbor(json), wanted, "{json}");
        }
    }

    #[test]
    fn types_are_preserved_and_key_order_is_not() {
        let values = ["1", "1.0", "\"1\"", "true", "[1]"]
            .map(|json| digest(&placet_types::json::parse(json.as_bytes()).unwrap()));
        let distinct: std::collections::HashSet<_> = values.iter().collect();
        assert_eq!(distinct.len(), values.len());
        assert_eq!(cbor(r#"{"a":1,"b":2}"#), cbor(r#"{"b":2,"a":1}"#));
    }
}
