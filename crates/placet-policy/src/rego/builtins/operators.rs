//! Operators on values of a wrong type: undefined, as in OPA, where the interpreter would stop.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use regorus::Value;

use super::{Added, Failure, Outcome, undefined};

/// Functions that only rewritten modules call; the prefix cannot be written as a builtin's name.
pub(super) const ADDED: &[Added] = &[
    Added::new("__placet.plus", 2, plus),
    Added::new("__placet.minus", 2, minus),
    Added::new("__placet.times", 2, times),
    Added::new("__placet.divided", 2, divided),
    Added::new("__placet.modulo", 2, modulo),
    Added::new("__placet.and", 2, and),
    Added::new("__placet.or", 2, or),
    Added::new("__placet.collection", 1, collection),
    Added::new("__placet.member", 2, member),
    Added::new("__placet.member_key", 3, member_key),
];

macro_rules! numbers {
    ($arguments:expr) => {
        match $arguments {
            [Value::Number(left), Value::Number(right)] => (left, right),
            _ => return Err(Failure::Undefined),
        }
    };
}

fn plus(arguments: &[Value]) -> Outcome {
    let (left, right) = numbers!(arguments);
    Ok(Value::from(undefined(left.add(right))?))
}

/// Of numbers, and of sets.
fn minus(arguments: &[Value]) -> Outcome {
    if let [Value::Set(left), Value::Set(right)] = arguments {
        let rest = left.iter().filter(|item| !right.contains(item)).cloned();
        return Ok(Value::from(rest.collect::<BTreeSet<_>>()));
    }
    let (left, right) = numbers!(arguments);
    Ok(Value::from(undefined(left.sub(right))?))
}

fn times(arguments: &[Value]) -> Outcome {
    let (left, right) = numbers!(arguments);
    Ok(Value::from(undefined(left.mul(right))?))
}

fn is_zero(value: Option<&Value>) -> bool {
    value.is_some_and(|value| *value == Value::from(0_u64))
}

fn divided(arguments: &[Value]) -> Outcome {
    let (left, right) = numbers!(arguments);
    if is_zero(arguments.get(1)) {
        return Err(Failure::Undefined);
    }
    Ok(Value::from(undefined(left.clone().divide(right))?))
}

fn modulo(arguments: &[Value]) -> Outcome {
    let (left, right) = numbers!(arguments);
    if is_zero(arguments.get(1)) || !left.is_integer() || !right.is_integer() {
        return Err(Failure::Undefined);
    }
    Ok(Value::from(undefined(left.clone().modulo(right))?))
}

fn and(arguments: &[Value]) -> Outcome {
    let [Value::Set(left), Value::Set(right)] = arguments else { return Err(Failure::Undefined) };
    Ok(Value::from(left.iter().filter(|item| right.contains(item)).cloned().collect::<BTreeSet<_>>()))
}

fn or(arguments: &[Value]) -> Outcome {
    let [Value::Set(left), Value::Set(right)] = arguments else { return Err(Failure::Undefined) };
    Ok(Value::from(left.iter().chain(right.iter()).cloned().collect::<BTreeSet<_>>()))
}

/// What `some … in` may go through; anything else has no members.
fn collection(arguments: &[Value]) -> Outcome {
    match arguments {
        [collection @ (Value::Array(_) | Value::Set(_) | Value::Object(_))] => Ok(collection.clone()),
        _ => Err(Failure::Undefined),
    }
}

fn member(arguments: &[Value]) -> Outcome {
    let [value, collection] = arguments else { return Err(Failure::Undefined) };
    Ok(Value::from(match collection {
        Value::Array(items) => items.iter().any(|item| item == value),
        Value::Set(items) => items.contains(value),
        Value::Object(fields) => fields.iter().any(|(_, item)| item == value),
        _ => false,
    }))
}

fn member_key(arguments: &[Value]) -> Outcome {
    let [key, value, collection] = arguments else { return Err(Failure::Undefined) };
    Ok(Value::from(match collection {
        Value::Set(items) => key == value && items.contains(value),
        Value::Array(_) | Value::Object(_) => collection[key] == *value,
        _ => false,
    }))
}
