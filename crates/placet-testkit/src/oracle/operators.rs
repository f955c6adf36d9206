//! Operators, one after the other, with the two readings of every text.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cmp::Ordering;

use placet_policy::reading;
use placet_types::{Event, Value};
use yaml_serde::Value as Yaml;

use super::conditions::{element, look_up, quantifier};
use super::{Truth, Unreadable, missing};

pub(super) const OPERATORS: &[&str] = &[
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "not_in",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "glob",
    "matches",
    "exists",
    "subset_of",
    "count",
    "some",
    "every",
];

/// One operator on one value, which may be missing.
pub(super) fn operator(
    value: Option<&Value>,
    name: &str,
    operand: &Yaml,
    event: &Event,
) -> Result<Truth, Unreadable> {
    if name == "exists" {
        let wanted = operand.as_bool().ok_or_else(|| missing("exists"))?;
        return Ok(Truth::of(value.is_some() == wanted));
    }
    for (negated, plain) in [("ne", "eq"), ("not_in", "in"), ("not_contains", "contains")] {
        if name == negated {
            return Ok(operator(value, plain, operand, event)?.not());
        }
    }
    if matches!(name, "some" | "every") {
        return quantifier(value, name, operand, event);
    }
    let Some(value) = value else { return Ok(Truth::Unknown) };
    match name {
        "eq" | "gt" | "gte" | "lt" | "lte" => compared(value, name, operand, event),
        "in" => member(value, operand, event),
        "subset_of" => subset(value, operand, event),
        "contains" => contains(value, operand),
        "starts_with" => part(value, operand, |text, part| text.starts_with(part)),
        "ends_with" => part(value, operand, |text, part| text.ends_with(part)),
        "glob" => glob(value, operand),
        "matches" => matches(value, operand),
        "count" => count(value, operand, event),
        other => Err(missing(other)),
    }
}

fn holds(name: &str, ordering: Ordering) -> bool {
    match name {
        "eq" => ordering.is_eq(),
        "gt" => ordering.is_gt(),
        "gte" => ordering.is_ge(),
        "lt" => ordering.is_lt(),
        _ => ordering.is_le(),
    }
}

/// Both readings hold, neither does, or they disagree.
fn readings(raw: bool, normal: bool) -> Truth {
    match (raw, normal) {
        (true, true) => Truth::Yes,
        (false, false) => Truth::No,
        _ => Truth::Unknown,
    }
}

/// The literal as a value of the event, so that one comparison serves both.
fn literal(node: &Yaml) -> Result<Value, Unreadable> {
    match node {
        Yaml::String(text) => Ok(Value::String(text.as_str().into())),
        Yaml::Bool(flag) => Ok(Value::Bool(*flag)),
        Yaml::Number(number) => number.as_f64().map(Value::Float).ok_or_else(|| missing("a number")),
        _ => Err(missing("a literal")),
    }
}

/// Another field of the event, where an operand says `{ field: name }`.
fn field(node: &Yaml) -> Option<&str> {
    node.as_mapping().and_then(|map| map.get("field")).and_then(Yaml::as_str)
}

fn compared(value: &Value, name: &str, operand: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    match field(operand) {
        Some(other) => Ok(look_up(event, other).map_or(Truth::Unknown, |other| scalars(value, name, other))),
        None => Ok(scalars(value, name, &literal(operand)?)),
    }
}

/// Two scalars of one type; anything else, and an order of booleans, is unknown.
fn scalars(one: &Value, name: &str, two: &Value) -> Truth {
    if let (Some(one), Some(two)) = (one.as_number(), two.as_number()) {
        return one.partial_cmp(&two).map_or(Truth::Unknown, |ordering| Truth::of(holds(name, ordering)));
    }
    if let (Some(one), Some(two)) = (one.as_bool(), two.as_bool()) {
        return if name == "eq" { Truth::of(one == two) } else { Truth::Unknown };
    }
    if let (Some(one), Some(two)) = (one.as_str(), two.as_str()) {
        let normal = reading::normal_form(one).cmp(&reading::normal_form(two));
        return readings(holds(name, one.cmp(two)), holds(name, normal));
    }
    Truth::Unknown
}

/// The operand's list: the literals, or the elements of another field.
fn listed(operand: &Yaml, event: &Event) -> Result<Option<(Vec<Value>, bool)>, Unreadable> {
    match field(operand) {
        Some(name) => Ok(look_up(event, name).and_then(Value::as_array).map(|list| (list.to_vec(), false))),
        None => {
            let list = operand.as_sequence().ok_or_else(|| missing("a list"))?;
            Ok(Some((list.iter().map(literal).collect::<Result<_, _>>()?, true)))
        }
    }
}

/// A value among others. Literals of another type say nothing, as long as one of the value's type is listed.
fn member(value: &Value, operand: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let Some((mut list, literals)) = listed(operand, event)? else { return Ok(Truth::Unknown) };
    if literals {
        list.retain(|item| same_type(item, value));
        if list.is_empty() {
            return Ok(Truth::Unknown);
        }
    }
    Ok(list.iter().map(|item| scalars(value, "eq", item)).max().unwrap_or(Truth::No))
}

fn same_type(one: &Value, two: &Value) -> bool {
    (one.as_number().is_some() && two.as_number().is_some())
        || (one.as_bool().is_some() && two.as_bool().is_some())
        || (one.as_str().is_some() && two.as_str().is_some())
}

fn subset(value: &Value, operand: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let Some(list) = value.as_array() else { return Ok(Truth::Unknown) };
    let mut least = Truth::Yes;
    for item in list {
        let truth = if item.is_null() { Truth::Unknown } else { member(item, operand, event)? };
        least = least.min(truth);
    }
    Ok(least)
}

fn contains(value: &Value, operand: &Yaml) -> Result<Truth, Unreadable> {
    let wanted = literal(operand)?;
    match (value, &wanted) {
        (Value::String(_), Value::String(_)) => part(value, operand, |text, part| text.contains(part)),
        (Value::Array(list), _) => {
            Ok(list.iter().map(|item| scalars(item, "eq", &wanted)).max().unwrap_or(Truth::No))
        }
        _ => Ok(Truth::Unknown),
    }
}

fn part(value: &Value, operand: &Yaml, holds: impl Fn(&str, &str) -> bool) -> Result<Truth, Unreadable> {
    let part = operand.as_str().ok_or_else(|| missing("a text"))?;
    Ok(value.as_str().map_or(Truth::Unknown, |text| {
        readings(holds(text, part), holds(&reading::normal_form(text), &reading::normal_fragment(part)))
    }))
}

fn glob(value: &Value, operand: &Yaml) -> Result<Truth, Unreadable> {
    let pattern = operand.as_str().ok_or_else(|| missing("a glob"))?;
    let fits = |pattern: &str, text: &str| {
        globbed(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
    };
    Ok(value.as_str().map_or(Truth::Unknown, |text| {
        readings(fits(pattern, text), fits(&reading::normal_pattern(pattern), &reading::normal_form(text)))
    }))
}

/// Globs by trying everything: `*` any run, `?` one character, `[seq]` and `[!seq]`.
fn globbed(pattern: &[char], text: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        '*' => (0..=text.len()).any(|skip| globbed(rest, text.get(skip..).unwrap_or_default())),
        '?' => text.split_first().is_some_and(|(_, after)| globbed(rest, after)),
        '[' => {
            let (negated, set) = match rest.split_first() {
                Some(('!', set)) => (true, set),
                _ => (false, rest),
            };
            // A `]` right after the opening is a member.
            let end = set.iter().skip(1).position(|c| *c == ']').map_or(set.len(), |end| end + 1);
            let (members, after) =
                (set.get(..end).unwrap_or_default(), set.get(end + 1..).unwrap_or_default());
            text.split_first()
                .is_some_and(|(c, left)| listed_in(members, *c) != negated && globbed(after, left))
        }
        literal => text.split_first().is_some_and(|(c, left)| c == literal && globbed(rest, left)),
    }
}

fn listed_in(members: &[char], c: char) -> bool {
    match members {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || listed_in(rest, c),
        [one, rest @ ..] => *one == c || listed_in(rest, c),
        [] => false,
    }
}

/// Regular expressions see the raw text and the text before folding; Perl classes are ASCII.
fn matches(value: &Value, operand: &Yaml) -> Result<Truth, Unreadable> {
    let pattern = operand.as_str().ok_or_else(|| missing("a pattern"))?;
    let ascii = pattern.replace("\\d", "[0-9]").replace("\\w", "[0-9A-Za-z_]").replace("\\b", "(?-u:\\b)");
    let regex = regex::Regex::new(&ascii).map_err(|error| Unreadable(error.to_string()))?;
    Ok(value.as_str().map_or(Truth::Unknown, |text| {
        readings(regex.is_match(text), regex.is_match(&reading::unfolded_form(text)))
    }))
}

/// Every number of elements that may be meant is compared.
#[allow(clippy::cast_precision_loss, reason = "no list of a test has 2^53 elements")]
fn count(value: &Value, operand: &Yaml, event: &Event) -> Result<Truth, Unreadable> {
    let map = operand.as_mapping().ok_or_else(|| missing("count"))?;
    let named = |(key, node): (&'_ Yaml, &'_ Yaml)| Some((key.as_str()?.to_owned(), literal(node).ok()?));
    let (name, limit) = map.iter().find_map(named).ok_or_else(|| missing("count"))?;
    let sizes = match (value, map.get("where")) {
        (Value::Array(list), None) => list.len()..=list.len(),
        (Value::Object(object), None) => object.len()..=object.len(),
        (Value::Array(list), Some(filter)) => {
            let truths: Vec<Truth> =
                list.iter().map(|item| element(item, filter, event)).collect::<Result<_, _>>()?;
            let (sure, unsure) =
                (truths.iter().filter(|truth| **truth == Truth::Yes).count(), Truth::Unknown);
            sure..=sure + truths.iter().filter(|truth| **truth == unsure).count()
        }
        _ => return Ok(Truth::Unknown),
    };
    let mut answers = sizes.map(|size| scalars(&Value::Float(size as f64), &name, &limit));
    let first = answers.next().unwrap_or(Truth::Unknown);
    Ok(if answers.all(|answer| answer == first) { first } else { Truth::Unknown })
}
