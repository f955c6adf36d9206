//! Functions that OPA keeps for v0 modules only.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use regorus::Value;

use super::net::cidr_contains;
use super::{Added, Failure, Outcome, string};

pub(super) const ADDED: &[Added] = &[
    Added::old("all", 1, all),
    Added::old("any", 1, any),
    Added::old("cast_array", 1, cast_array),
    Added::old("cast_boolean", 1, |arguments| same(arguments, |value| matches!(value, Value::Bool(_)))),
    Added::old("cast_null", 1, |arguments| same(arguments, |value| matches!(value, Value::Null))),
    Added::old("cast_object", 1, |arguments| same(arguments, |value| matches!(value, Value::Object(_)))),
    Added::old("cast_set", 1, cast_set),
    Added::old("cast_string", 1, |arguments| same(arguments, |value| matches!(value, Value::String(_)))),
    Added::old("net.cidr_overlap", 2, cidr_contains),
    Added::old("re_match", 2, re_match),
    Added::old("set_diff", 2, set_diff),
];

fn items(arguments: &[Value]) -> Result<Vec<Value>, Failure> {
    match arguments.first() {
        Some(Value::Array(items)) => Ok(items.iter().cloned().collect()),
        Some(Value::Set(items)) => Ok(items.iter().cloned().collect()),
        _ => Err(Failure::Undefined),
    }
}

fn all(arguments: &[Value]) -> Outcome {
    Ok(Value::from(items(arguments)?.iter().all(|item| *item == Value::from(true))))
}

fn any(arguments: &[Value]) -> Outcome {
    Ok(Value::from(items(arguments)?.iter().any(|item| *item == Value::from(true))))
}

fn cast_array(arguments: &[Value]) -> Outcome {
    Ok(Value::from(items(arguments)?))
}

fn cast_set(arguments: &[Value]) -> Outcome {
    Ok(Value::from(items(arguments)?.into_iter().collect::<BTreeSet<_>>()))
}

fn same(arguments: &[Value], wanted: fn(&Value) -> bool) -> Outcome {
    arguments.first().filter(|value| wanted(value)).cloned().ok_or(Failure::Undefined)
}

/// The interpreter's `regex.match` under its old name.
fn re_match(arguments: &[Value]) -> Outcome {
    let (pattern, text) = (string(arguments.first())?, string(arguments.get(1))?);
    let regex = regex::Regex::new(pattern).map_err(|_| Failure::Undefined)?;
    Ok(Value::from(regex.is_match(text)))
}

fn set_diff(arguments: &[Value]) -> Outcome {
    let [Value::Set(left), Value::Set(right)] = arguments else { return Err(Failure::Undefined) };
    Ok(Value::from(left.iter().filter(|item| !right.contains(item)).cloned().collect::<BTreeSet<_>>()))
}
