//! Conditions of both dialects, walked as they are written.
// SPDX-License-Identifier: MIT OR Apache-2.0

use jiff::Timestamp;
use jiff::tz::TimeZone;
use placet_types::{Event, Field, Value};
use yaml_serde::Value as Yaml;

use super::operators::{OPERATORS, operator};
use super::{Truth, Unreadable, missing};

/// The value at a dotted name of the document, or below an argument; `None` when missing or null.
pub(super) fn look_up<'e>(event: &'e Event, name: &str) -> Option<&'e Value> {
    let name = match name {
        "role" => "context.user_role",
        "scope" => "context.session_scopes",
        "tool" => "tool_name",
        "tags" => "tool_tags",
        "agent" => "session.agent_id",
        "tenant" => "context.tenant_id",
        "plan.steps" => "steps",
        other => other,
    };
    for open in ["args", "context.attributes"] {
        if let Some(rest) = name.strip_prefix(open).and_then(|rest| rest.strip_prefix('.')) {
            return below(event.get(Field::at(open)?), &rest.split('.').collect::<Vec<_>>());
        }
    }
    present(event.get(Field::at(name)?))
}

pub(super) fn below<'e>(value: &'e Value, keys: &[&str]) -> Option<&'e Value> {
    match keys.split_first() {
        None => present(value),
        Some((key, rest)) => below(value.get(key)?, rest),
    }
}

fn present(value: &Value) -> Option<&Value> {
    if value.is_null() { None } else { Some(value) }
}

fn entries(node: &Yaml) -> Result<Vec<(&str, &Yaml)>, Unreadable> {
    let map = node.as_mapping().ok_or_else(|| missing("a mapping"))?;
    map.iter()
        .map(|(key, node)| key.as_str().map(|key| (key, node)).ok_or_else(|| missing("a key")))
        .collect()
}

fn items(node: &Yaml) -> Result<&[Yaml], Unreadable> {
    node.as_sequence().map(Vec::as_slice).ok_or_else(|| missing("a list"))
}

/// The least of some truths; true when there are none.
fn least(truths: impl IntoIterator<Item = Result<Truth, Unreadable>>) -> Result<Truth, Unreadable> {
    truths.into_iter().try_fold(Truth::Yes, |least, truth| Ok(least.min(truth?)))
}

/// The greatest of some truths; false when there are none.
fn greatest(truths: impl IntoIterator<Item = Result<Truth, Unreadable>>) -> Result<Truth, Unreadable> {
    truths.into_iter().try_fold(Truth::No, |greatest, truth| Ok(greatest.max(truth?)))
}

/// The `when` of a rule.
pub(super) fn when(node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    least(entries(node)?.into_iter().map(|(key, node)| match key {
        "any" => greatest(items(node)?.iter().map(|item| when(item, event))),
        "all" => least(items(node)?.iter().map(|item| when(item, event))),
        "not" => Ok(when(node, event)?.not()),
        "args" | "context.attributes" => arguments(key, node, event),
        name => value_is(look_up(event, name), name, node, event),
    }))
}

fn arguments(above: &str, node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    least(entries(node)?.into_iter().map(|(key, node)| {
        let name = format!("{above}.{key}");
        let nested = match node.as_mapping() {
            Some(map) => !map.keys().any(|key| key.as_str().is_some_and(|key| OPERATORS.contains(&key))),
            None => false,
        };
        if nested {
            arguments(&name, node, event)
        } else {
            value_is(look_up(event, &name), &name, node, event)
        }
    }))
}

/// What stands right of a field name: operators, a value, or a list of values.
fn value_is(value: Option<&Value>, name: &str, node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    match node {
        Yaml::Mapping(_) => operators(value, node, event),
        // A scope says which scopes the session must hold, every other list names alternatives.
        Yaml::Sequence(list) if matches!(name, "scope" | "context.session_scopes") => {
            least(list.iter().map(|scope| operator(value, "contains", scope, event)))
        }
        Yaml::Sequence(_) => operator(value, "in", node, event),
        _ if matches!(name, "scope" | "context.session_scopes") => operator(value, "contains", node, event),
        _ => operator(value, "eq", node, event),
    }
}

/// An operator map: all of them must hold.
pub(super) fn operators(value: Option<&Value>, node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    least(entries(node)?.into_iter().map(|(name, operand)| operator(value, name, operand, event)))
}

/// `some` or `every`: a condition on each element of a list.
pub(super) fn quantifier(
    value: Option<&Value>,
    name: &str,
    node: &Yaml,
    event: &Event,
) -> Result<Truth, Unreadable> {
    let Some(list) = value.and_then(Value::as_array) else { return Ok(Truth::Unknown) };
    let truths = list.iter().map(|item| element(item, node, event));
    match (name, list.is_empty()) {
        ("some", _) => greatest(truths),
        (_, true) => Ok(Truth::Unknown),
        (_, false) => least(truths),
    }
}

pub(super) fn element(value: &Value, node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let entries = entries(node)?;
    if entries.iter().any(|(key, _)| OPERATORS.contains(key)) {
        return operators(present(value), node, event);
    }
    least(entries.into_iter().map(|(key, node)| match key {
        "any" => greatest(items(node)?.iter().map(|item| element(value, item, event))),
        "all" => least(items(node)?.iter().map(|item| element(value, item, event))),
        "not" => Ok(element(value, node, event)?.not()),
        name => value_is(below(value, &name.split('.').collect::<Vec<_>>()), name, node, event),
    }))
}

/// The `match` and `conditions` of a rule of the Match dialect.
pub(super) fn matching(rule: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let mut truths = Vec::new();
    for (key, node) in rule.get("match").map(entries).transpose()?.unwrap_or_default() {
        let name = match key {
            "type" => "action",
            "agent" => "session.agent_id",
            other => other,
        };
        let one = std::slice::from_ref(node);
        let globs = node.as_sequence().map_or(one, Vec::as_slice);
        // A `*` asks for nothing, not even presence.
        if !globs.iter().any(|glob| {
            glob.as_str().is_some_and(|glob| glob.trim_matches('*').is_empty() && !glob.is_empty())
        }) {
            let value = look_up(event, name);
            truths.push(greatest(globs.iter().map(|glob| operator(value, "glob", glob, event)))?);
        }
    }
    if let Some(node) = rule.get("conditions") {
        truths.push(conditions(node, event)?);
    }
    least(truths.into_iter().map(Ok))
}

fn conditions(node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let mut truths = vec![window(node, event)?];
    for (key, node) in entries(node)? {
        truths.push(match key {
            "time_after" | "time_before" | "weekdays" | "timezone" => continue,
            "any" => greatest(items(node)?.iter().map(|item| conditions(item, event)))?,
            "all" => least(items(node)?.iter().map(|item| conditions(item, event)))?,
            "not" => conditions(node, event)?.not(),
            parameter => {
                let name = parameter.strip_prefix("param_").ok_or_else(|| missing(parameter))?;
                least(entries(node)?.into_iter().map(|(argument, operand)| {
                    operator(look_up(event, &format!("args.{argument}")), name, operand, event)
                }))?
            }
        });
    }
    least(truths.into_iter().map(Ok))
}

fn window(node: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let minutes = |key: &str| -> Option<i32> {
        let (hour, minute) = node.get(key)?.as_str()?.split_once(':')?;
        Some(hour.parse::<i32>().ok()? * 60 + minute.parse::<i32>().ok()?)
    };
    let (after, before, days) = (minutes("time_after"), minutes("time_before"), node.get("weekdays"));
    if after.is_none() && before.is_none() && days.is_none() {
        return Ok(Truth::Yes);
    }
    let zone = node.get("timezone").and_then(Yaml::as_str).unwrap_or("UTC");
    let zone = TimeZone::get(zone).map_err(|_| missing("timezone"))?;
    // A time further from 1970 than 64-bit nanoseconds reach is unknown.
    let now = look_up(event, "now").and_then(Value::as_str).and_then(|now| now.parse::<Timestamp>().ok());
    let Some(now) = now.filter(|now| i64::try_from(now.as_nanosecond()).is_ok()) else {
        return Ok(Truth::Unknown);
    };
    let now = now.to_zoned(zone);
    let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
    let in_hours = match (after, before) {
        (Some(after), Some(before)) if after > before => minute >= after || minute < before,
        (after, before) => {
            after.is_none_or(|after| minute >= after) && before.is_none_or(|before| minute < before)
        }
    };
    let day = i64::from(now.weekday().to_monday_one_offset());
    let in_days = match days {
        None => true,
        Some(days) => items(days)?.iter().any(|wanted| wanted.as_i64() == Some(day)),
    };
    Ok(Truth::of(in_hours && in_days))
}
