//! Canonical JSON as RFC 8785 has it, for digests and rows.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde::Serialize;
use serde_json::Value;

/// The canonical text of data. Keys are sorted here and not left to the map of `serde_json`.
///
/// Data that cannot be written as JSON gives an error and never an empty text, which two things could share.
pub(crate) fn text(data: &impl Serialize) -> Result<String, serde_json::Error> {
    let value = serde_json::to_value(data)?;
    let mut out = String::new();
    write(&value, &mut out)?;
    Ok(out)
}

/// The body of a row. What cannot be written has a body that no database holds, so that it is refused.
pub(crate) fn row(data: Option<impl Serialize>) -> Option<String> {
    data.map(|data| text(&data).unwrap_or_else(unwritable))
}

/// A part of a row, its members in the order in which they are declared.
pub(crate) fn written(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_else(unwritable)
}

fn unwritable(error: serde_json::Error) -> String {
    format!("unwritable: {error}")
}

fn write(value: &Value, out: &mut String) -> Result<(), serde_json::Error> {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(item, out)?;
            }
            out.push('}');
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => write_float(float, out),
            _ => out.push_str(&number.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&serde_json::to_string(value)?),
    }
    Ok(())
}

/// A double as ECMAScript prints it; values of events stay below 2^53, so the only exponents are negative.
fn write_float(float: f64, out: &mut String) {
    let text = match float.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-6 => format!("{float:e}"),
        large if large >= 1e21 => format!("{float:e}").replace('e', "e+"),
        _ => float.to_string(),
    };
    out.push_str(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_numbers_are_written_as_rfc_8785_has_them() {
        let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        for (given, wanted) in [
            (r#"{"b":1,"a":[true,null]}"#, r#"{"a":[true,null],"b":1}"#),
            ("[1.0,-0.0,0.000001,1e-7,4.5,1e21]", "[1,0,0.000001,1e-7,4.5,1e+21]"),
            ("{\"\u{e000}\":1,\"\u{10000}\":2}", "{\"\u{10000}\":2,\"\u{e000}\":1}"),
            (r#""a\u0001\u20ac\"""#, "\"a\\u0001€\\\"\""),
        ] {
            assert_eq!(text(&read(given)).unwrap(), wanted);
        }
    }
}
