//! Strings, arrays, numbers and addresses of resources.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regorus::Value;

use super::{Added, Failure, Outcome, string, undefined};

pub(super) const ADDED: &[Added] = &[
    Added::new("array.flatten", 1, flatten),
    Added::new("numbers.range", 2, range),
    Added::new("numbers.range_step", 3, range_step),
    Added::new("strings.split_n", 3, split_n),
];

/// Longest list of numbers made by one call.
const MAX_RANGE: i128 = 1_000_000;

fn flatten(arguments: &[Value]) -> Outcome {
    let [Value::Array(items)] = arguments else { return Err(Failure::Undefined) };
    let mut flat = Vec::new();
    for item in items.iter() {
        match item {
            Value::Array(inner) => flat.extend(inner.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::from(flat))
}

fn integer(value: Option<&Value>) -> Result<i128, Failure> {
    undefined(value.ok_or(Failure::Undefined)?.as_i128())
}

fn range(arguments: &[Value]) -> Outcome {
    numbers(integer(arguments.first())?, integer(arguments.get(1))?, 1)
}

fn range_step(arguments: &[Value]) -> Outcome {
    let step = integer(arguments.get(2))?;
    if step <= 0 {
        return Err(Failure::Undefined);
    }
    numbers(integer(arguments.first())?, integer(arguments.get(1))?, step)
}

fn numbers(from: i128, to: i128, step: i128) -> Outcome {
    let distance = to.checked_sub(from).and_then(i128::checked_abs).unwrap_or(i128::MAX);
    if distance / step >= MAX_RANGE {
        let message = format!("a range from {from} to {to} has more than {MAX_RANGE} numbers");
        return Err(Failure::Stop(message));
    }
    let count = distance / step;
    let sign = if to < from { -step } else { step };
    Ok(Value::from((0..=count).map(|index| Value::from(from + index * sign)).collect::<Vec<_>>()))
}

/// A positive count selects from the left, a negative one from the right.
fn split_n(arguments: &[Value]) -> Outcome {
    let (text, separator) = (string(arguments.first())?, string(arguments.get(1))?);
    let count = integer(arguments.get(2))?;
    let parts: Vec<String> = if separator.is_empty() {
        text.chars().map(String::from).collect()
    } else {
        text.split(separator).map(String::from).collect()
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(parts.len());
    let skipped = if count < 0 { parts.len() - wanted } else { 0 };
    Ok(Value::from(parts.into_iter().skip(skipped).take(wanted).map(Value::from).collect::<Vec<_>>()))
}
