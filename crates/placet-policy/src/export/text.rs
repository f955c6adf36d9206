//! Literals as Rego reads them: JSON in ASCII, so that no value can break out of its place.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use crate::ir::Literal;

/// A text as a quoted literal in ASCII.
pub(super) fn encoded(text: &str) -> String {
    ascii(&serde_json::to_string(text).unwrap_or_default())
}

/// JSON with everything past ASCII escaped. Outside of strings JSON is ASCII already.
pub(super) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\x7f' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// A number: an integer where it is one.
#[allow(clippy::cast_possible_truncation, reason = "the loader refuses numbers past 2^53")]
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        (value as i64).to_string()
    } else {
        serde_json::to_string(&value).unwrap_or_default()
    }
}

/// A scalar that is no text.
pub(super) fn plain(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Number(value) => Some(number(*value)),
        Literal::Bool(flag) => Some(flag.to_string()),
        Literal::Text(_) => None,
    }
}

/// Several texts as a set.
pub(super) fn set<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut texts: Vec<String> = texts.map(encoded).collect();
    texts.sort();
    texts.dedup();
    format!("{{{}}}", texts.join(", "))
}
