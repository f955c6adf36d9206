//! JSON in one form only: RFC 8785 (JCS).
//!
//! Keys are sorted here, whatever order the map has. One deviation, which no leaf can reach: an integer past 2^53
//! keeps its digits, where RFC 8785 would round it to a double.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc8785.html>.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The canonical text of a value.
#[must_use]
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// The canonical text of an object.
#[must_use]
pub fn object(map: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(map, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    let mut members: Vec<(&String, &Value)> = map.iter().collect();
    members.sort_by(|(left, _), (right, _)| utf16_order(left, right));
    out.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

/// RFC 8785 sorts by UTF-16 code units, which differs from UTF-8 order past the basic plane.
pub(crate) fn utf16_order(left: &str, right: &str) -> Ordering {
    match left.bytes().zip(right.bytes()).find(|(left, right)| left != right) {
        None => left.len().cmp(&right.len()),
        Some((left, right)) if left.is_ascii() && right.is_ascii() => left.cmp(&right),
        Some(_) => left.encode_utf16().cmp(right.encode_utf16()),
    }
}

pub(crate) fn write_string(text: &str, out: &mut String) {
    out.reserve(text.len().saturating_add(3));
    out.push('"');
    match has_escapes(text.as_bytes()) {
        true => write_escaped(text, out),
        false => out.push_str(text),
    }
    out.push('"');
}

/// Whether a text is ASCII in which nothing has to be escaped.
#[inline]
pub(crate) fn is_plain(text: &str) -> bool {
    !has(text.as_bytes(), |byte| !byte.is_ascii() || needs_escape(byte), |word| word & HIGH | escapes(word))
}

/// Whether anything has to be escaped, which is so in nearly no text.
fn has_escapes(bytes: &[u8]) -> bool {
    has(bytes, needs_escape, escapes)
}

/// Whether any byte is of a kind, eight bytes at a time: `in_word` is not 0 where one of eight is.
#[inline]
fn has(bytes: &[u8], is: impl Fn(u8) -> bool, in_word: impl Fn(u64) -> u64) -> bool {
    let Some(tail) = tail(bytes) else { return bytes.iter().any(|byte| is(*byte)) };
    let (words, _) = bytes.as_chunks();
    words.iter().fold(in_word(tail), |found, word| found | in_word(u64::from_le_bytes(*word))) != 0
}

/// What stands past the last whole word, with some of what stands before it; None for fewer than four bytes.
fn tail(bytes: &[u8]) -> Option<u64> {
    if let Some(last) = bytes.last_chunk() {
        return Some(u64::from_le_bytes(*last));
    }
    let (first, last) = (bytes.first_chunk()?, bytes.last_chunk()?);
    Some(u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32)
}

const EACH: u64 = u64::from_le_bytes([1; 8]);

/// The bit that no ASCII byte has.
const HIGH: u64 = EACH << 7;

/// Not 0 where one of the bytes has to be escaped.
fn escapes(word: u64) -> u64 {
    // A byte below `limit` leaves its high bit set; what it borrows from those above is of no matter, for then one was
    // found. See "Bit Twiddling Hacks", `hasless`.
    let less = |word: u64, limit: u64| word.wrapping_sub(EACH.wrapping_mul(limit)) & !word & HIGH;
    let is = |word: u64, byte: u8| less(word ^ EACH.wrapping_mul(u64::from(byte)), 1);
    less(word, u64::from(b' ')) | is(word, b'"') | is(word, b'\\')
}

fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn write_escaped(text: &str, out: &mut String) {
    let mut plain = text;
    while let Some(at) = plain.bytes().position(needs_escape) {
        let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, ""));
        out.push_str(before);
        let mut chars = rest.chars();
        if let Some(c) = chars.next() {
            write_escape(c, out);
        }
        plain = chars.as_str();
    }
    out.push_str(plain);
}

fn write_escape(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\u{c}' => out.push_str("\\f"),
        '\r' => out.push_str("\\r"),
        other => out.push_str(&format!("\\u{:04x}", u32::from(other))),
    }
}

fn write_number(number: &Number, out: &mut String) {
    match number.as_f64() {
        Some(float) if number.is_f64() => write_float(float, out),
        _ => out.push_str(&number.to_string()),
    }
}

/// As ECMAScript's `Number::toString`; JSON has neither NaN nor infinity.
pub(crate) fn write_float(float: f64, out: &mut String) {
    if float == 0.0 {
        out.push('0');
        return;
    }
    if write_plain(float, out) {
        return;
    }
    let scientific = shortest(float.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if float < 0.0 {
        out.push('-');
    }
    if (count..=21).contains(&point) {
        out.push_str(&digits);
        push_zeros(point - count, out);
    } else if (1..=21).contains(&point) {
        push_split(&digits, point, out);
    } else if (-5..=0).contains(&point) {
        out.push_str("0.");
        push_zeros(-point, out);
        out.push_str(&digits);
    } else {
        if count == 1 {
            out.push_str(&digits)
        } else {
            push_split(&digits, 1, out)
        }
        out.push_str(&format!("e{:+}", point - 1));
    }
}

/// Writes a double of few digits and no exponent; says whether it did. No other text of that few digits reads back as
/// the same double, so that the shortest one is the nearest too.
fn write_plain(float: f64, out: &mut String) -> bool {
    if !(1e-6..1e21).contains(&float.abs()) {
        return false;
    }
    let start = out.len();
    let written = write!(out, "{float}").is_ok();
    let digits = out.get(start..).unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    let is_plain = written && digits <= f64::DIGITS as usize;
    if !is_plain {
        out.truncate(start);
    }
    is_plain
}

/// The shortest digits that read back as the same double, and of those the nearest, even at a tie: `d.ddde±x`.
fn shortest(float: f64) -> String {
    let shortest = format!("{float:e}");
    let digits = shortest.chars().take_while(|c| *c != 'e').filter(char::is_ascii_digit).count();
    let nearest = format!("{float:.*e}", digits.saturating_sub(1));
    if nearest.parse() == Ok(float) { nearest } else { shortest }
}

fn push_zeros(count: i32, out: &mut String) {
    (0..count).for_each(|_| out.push('0'));
}

fn push_split(digits: &str, at: i32, out: &mut String) {
    let (whole, fraction) = digits.split_at_checked(usize::try_from(at).unwrap_or(0)).unwrap_or((digits, ""));
    out.push_str(whole);
    out.push('.');
    out.push_str(fraction);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_to_be_escaped_is_found_wherever_it_stands() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    assert_eq!(has_escapes(&bytes), needs_escape(byte), "{byte} at {place} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn decimals_are_written_as_by_another_program(digits in -(10_i64.pow(17))..10_i64.pow(17), cut in 0..17_u32, point in -25..25) {
            let digits = digits / 10_i64.pow(cut);
            let float: f64 = format!("{digits}e{point}").parse().unwrap();
            let mut out = String::new();
            write_float(float, &mut out);
            prop_assert_eq!(out, serde_jcs::to_string(&float).unwrap());
        }
    }
}
