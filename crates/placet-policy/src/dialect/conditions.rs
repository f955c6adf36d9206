//! Conditions: operator maps, combinators and quantifiers, shared by both dialects.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use regex::RegexBuilder;

use super::literal::{members, operand, scalar};
use super::reader::Reader;
use crate::glob::Glob;
use crate::ir::{Contained, Expr, Literal, Op, Operand, Order, Subject, Test, Text};
use crate::source::Position;
use crate::yaml::{Key, Kind, Node};

/// Every operator.
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

/// What stands in `count`: one comparison, and perhaps which elements count.
pub(super) const COUNT_KEYS: &[&str] = &["gt", "gte", "lt", "lte", "where"];

/// What other languages call an operator, and its name here; no word that arguments are often called.
const SYNONYMS: &[(&str, &str)] = &[
    ("equals", "eq"),
    ("equal", "eq"),
    ("==", "eq"),
    ("=", "eq"),
    ("not_equals", "ne"),
    ("not_equal", "ne"),
    ("!=", "ne"),
    (">", "gt"),
    ("greater_than", "gt"),
    (">=", "gte"),
    ("at_least", "gte"),
    ("<", "lt"),
    ("less_than", "lt"),
    ("<=", "lte"),
    ("at_most", "lte"),
    ("one_of", "in"),
    ("any_of", "in"),
    ("none_of", "not_in"),
];

/// The operator that a word of another language means.
pub(super) fn synonym(word: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(known, _)| *known == word).map(|(_, operator)| *operator)
}

/// Longest regular expression of a policy, in characters.
pub(super) const MAX_REGEX_CHARS: usize = 4_000;

/// Memory that one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 4 << 20;

/// Whether a mapping is an operator map: then every key is an operator.
pub(super) fn is_operator_map(entries: &[(Key, Node)]) -> bool {
    entries.iter().any(|(key, _)| OPERATORS.contains(&key.text.as_str()))
}

/// An operator map over one subject: all its operators must hold.
pub(super) fn operator_map(
    reader: &mut Reader<'_>,
    subject: &Subject,
    entries: &[(Key, Node)],
    position: Position,
) -> Option<Expr> {
    if entries.is_empty() {
        reader
            .error("policy/empty-condition", position, "an empty condition says nothing")
            .help(format!("use an operator: {}", OPERATORS.join(", ")));
        return None;
    }
    let tests: Vec<Option<Expr>> =
        entries.iter().map(|(key, node)| operator(reader, subject, key, node)).collect();
    let tests: Option<Vec<Expr>> = tests.into_iter().collect();
    tests.map(conjunction)
}

/// The conjunction of some conditions, without a wrapper round a single one.
pub(super) fn conjunction(mut parts: Vec<Expr>) -> Expr {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            Expr::All(parts)
        }
        (_, None) => Expr::All(parts),
    }
}

/// A test of a subject.
pub(super) fn test(subject: &Subject, op: Op) -> Expr {
    Expr::Test(Test { subject: subject.clone(), op })
}

fn operator(reader: &mut Reader<'_>, subject: &Subject, key: &Key, node: &Node) -> Option<Expr> {
    let name = key.text.as_str();
    let positive = match name {
        "ne" => "eq",
        "not_in" => "in",
        "not_contains" => "contains",
        other => other,
    };
    let expr = match positive {
        "some" | "every" => return quantifier(reader, subject, key, node),
        "count" => return count(reader, subject, node),
        _ => test(subject, op(reader, positive, key, node)?),
    };
    Some(if positive == name { expr } else { Expr::Not(Box::new(expr)) })
}

fn op(reader: &mut Reader<'_>, name: &str, key: &Key, node: &Node) -> Option<Op> {
    match name {
        "eq" => operand(reader, node, &key.text).map(Op::Eq),
        "in" => members(reader, node, &key.text).map(Op::In),
        "subset_of" => members(reader, node, "subset_of").map(Op::SubsetOf),
        "contains" => scalar(reader, node, &key.text).map(|literal| Op::Contains(Contained::new(literal))),
        "starts_with" => fragment(reader, node, name).map(Op::StartsWith),
        "ends_with" => fragment(reader, node, name).map(Op::EndsWith),
        "glob" => glob(reader, node).map(Op::Glob),
        "matches" => matches(reader, node).map(Op::Matches),
        "exists" => exists(reader, node),
        _ => match order(name) {
            Some(order) => ordered(reader, order, node),
            None => {
                unknown_operator(reader, key);
                None
            }
        },
    }
}

/// The key may also be the name of a nested argument, which only the dotted form says clearly.
fn unknown_operator(reader: &mut Reader<'_>, key: &Key) {
    let meant = synonym(&key.text).or_else(|| super::reader::nearest(&key.text, OPERATORS));
    let help = match meant {
        Some(operator) => {
            format!("did you mean `{operator}`? write a nested value in dotted form, `outer.{}`", key.text)
        }
        None => format!("known keys here: {}", OPERATORS.join(", ")),
    };
    let message = format!("unknown key `{}` where an operator is expected", key.text);
    reader.error("policy/unknown-key", key.position, message).help(help);
}

fn order(name: &str) -> Option<Order> {
    [Order::Gt, Order::Gte, Order::Lt, Order::Lte].into_iter().find(|order| order.word() == name)
}

fn ordered(reader: &mut Reader<'_>, order: Order, node: &Node) -> Option<Op> {
    let operand = operand(reader, node, order.word())?;
    if matches!(operand, Operand::Literal(Literal::Bool(_))) {
        let message = format!("`{}` compares numbers or texts, and a boolean has no order", order.word());
        reader.error("policy/type", node.position, message).help("write `eq: true` or `eq: false`");
        return None;
    }
    Some(Op::Order(order, operand))
}

fn fragment(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<Text> {
    reader.text(node, &format!("`{operator}`")).map(|text| Text::fragment(text))
}

/// Compiles a glob, or says why not.
pub(super) fn glob(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<Glob>> {
    let pattern = reader.text(node, "a glob")?;
    match Glob::new(pattern) {
        Ok(glob) => Some(Arc::new(glob)),
        Err(error) => {
            reader.error("policy/bad-glob", node.position, error.to_string());
            None
        }
    }
}

/// Compiles a linear-time regular expression with ASCII classes, or says why not.
pub(super) fn matches(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<regex::Regex>> {
    let pattern = reader.text(node, "`matches`")?;
    let actual = pattern.chars().count();
    if actual > MAX_REGEX_CHARS {
        let message =
            format!("the regular expression has {actual} characters; the limit is {MAX_REGEX_CHARS}");
        reader
            .error("policy/bad-regex", node.position, message)
            .help("split it into several conditions under `any`");
        return None;
    }
    match RegexBuilder::new(&ascii_classes(pattern)).size_limit(MAX_REGEX_BYTES).build() {
        Ok(regex) => Some(Arc::new(regex)),
        Err(error) => {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            reader
                .error(
                    "policy/bad-regex",
                    node.position,
                    format!("`{pattern}` is no regular expression: {why}"),
                )
                .help("patterns are RE2 syntax: no look-around, no back-references");
            None
        }
    }
}

/// Perl classes and word boundaries mean ASCII, as in RE2; everything else keeps Unicode.
/// Source: RE2 syntax, "Perl character classes (all ASCII-only)".
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    let mut in_class = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars.next(), in_class > 0, &mut out),
            '[' => {
                in_class += 1;
                out.push('[');
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

fn escape(escaped: Option<char>, in_class: bool, out: &mut String) {
    let replacement = match (escaped, in_class) {
        (Some('d'), true) => "0-9",
        (Some('d'), false) => "[0-9]",
        (Some('D'), _) => "[^0-9]",
        (Some('w'), true) => "0-9A-Za-z_",
        (Some('w'), false) => "[0-9A-Za-z_]",
        (Some('W'), _) => "[^0-9A-Za-z_]",
        (Some('s'), true) => "\\t\\n\\f\\r\\x20",
        (Some('s'), false) => "[\\t\\n\\f\\r\\x20]",
        (Some('S'), _) => "[^\\t\\n\\f\\r\\x20]",
        (Some('b'), false) => "(?-u:\\b)",
        (Some('B'), false) => "(?-u:\\B)",
        (Some(other), _) => {
            out.push('\\');
            out.push(other);
            return;
        }
        (None, _) => "\\",
    };
    out.push_str(replacement);
}

fn exists(reader: &mut Reader<'_>, node: &Node) -> Option<Op> {
    match node.kind {
        Kind::Bool(wanted) => Some(Op::Exists(wanted)),
        _ => {
            let message = format!("`exists` takes true or false, but this is {}", node.describe());
            reader.error("policy/type", node.position, message);
            None
        }
    }
}

/// `count: { gt: 3 }`, or `count: { where: …, gt: 3 }` for the elements that meet a condition.
fn count(reader: &mut Reader<'_>, subject: &Subject, node: &Node) -> Option<Expr> {
    let entries = reader.map(node, "`count`")?;
    let (filters, limits): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| key.text == "where");
    let [(key, limit)] = limits.as_slice() else {
        reader
            .error("policy/type", node.position, "`count` takes one comparison")
            .help("for instance `count: { lte: 20 }`, or `count: { where: { type: write }, lte: 3 }`");
        return None;
    };
    let Some(order) = order(&key.text) else {
        reader.unknown_key(key, "in `count`", COUNT_KEYS);
        return None;
    };
    let Kind::Number { value: limit, .. } = limit.kind else {
        let message = format!("`count` compares with a number, but this is {}", limit.describe());
        reader.error("policy/type", limit.position, message);
        return None;
    };
    let Some((_, filter)) = filters.first() else { return Some(test(subject, Op::Count(order, limit))) };
    let filter = element(reader, filter, "`where`")?;
    Some(Expr::CountOf(subject.clone(), Box::new(filter), order, limit))
}

fn quantifier(reader: &mut Reader<'_>, subject: &Subject, key: &Key, node: &Node) -> Option<Expr> {
    let inner = element(reader, node, &format!("`{}`", key.text))?;
    let inner = Box::new(inner);
    Some(if key.text == "some" {
        Expr::Some(subject.clone(), inner)
    } else {
        Expr::Every(subject.clone(), inner)
    })
}

/// A condition on one element: an operator map on the element itself, or a mapping of its keys.
fn element(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Expr> {
    let entries = reader.map(node, what)?;
    if entries.is_empty() || is_operator_map(entries) {
        return operator_map(reader, &Subject::Element(Box::default()), entries, node.position);
    }
    let parts: Vec<Option<Expr>> = entries.iter().map(|(key, node)| element_key(reader, key, node)).collect();
    parts.into_iter().collect::<Option<Vec<_>>>().map(conjunction)
}

fn element_key(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Expr> {
    match key.text.as_str() {
        "any" | "all" => combinator(reader, key, node, |reader, node| element(reader, node, "a condition")),
        "not" => element(reader, node, "`not`").map(|inner| Expr::Not(Box::new(inner))),
        name => {
            let Some(keys) = super::fields::split(name) else {
                reader.error(
                    "policy/unknown-field",
                    key.position,
                    format!("`{name}` has an empty key between dots"),
                );
                return None;
            };
            value_condition(reader, &Subject::Element(keys), node)
        }
    }
}

/// What may stand right of a field name: an operator map, or a scalar meaning `eq`.
pub(super) fn value_condition(reader: &mut Reader<'_>, subject: &Subject, node: &Node) -> Option<Expr> {
    match &node.kind {
        Kind::Map(entries) => operator_map(reader, subject, entries, node.position),
        Kind::List(_) => {
            reader
                .error("policy/type", node.position, "a list here could mean any or all of its values")
                .help("write `in: [...]`, or one `contains` for each");
            None
        }
        _ => scalar(reader, node, "eq").map(|literal| test(subject, Op::Eq(Operand::Literal(literal)))),
    }
}

/// `any: [...]` or `all: [...]`.
pub(super) fn combinator(
    reader: &mut Reader<'_>,
    key: &Key,
    node: &Node,
    mut part: impl FnMut(&mut Reader<'_>, &Node) -> Option<Expr>,
) -> Option<Expr> {
    let items = reader.list(node, &format!("`{}`", key.text))?;
    if items.is_empty() {
        let message = format!("`{}` has no conditions", key.text);
        reader
            .error("policy/empty-condition", node.position, message)
            .help("list at least one, or remove it");
        return None;
    }
    let parts: Vec<Option<Expr>> = items.iter().map(|item| part(reader, item)).collect();
    let parts: Vec<Expr> = parts.into_iter().collect::<Option<_>>()?;
    Some(if key.text == "any" { Expr::Any(parts) } else { Expr::All(parts) })
}
