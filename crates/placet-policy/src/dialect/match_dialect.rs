//! The Match dialect: `match` / `approval`. First match wins; `defaults` say what happens without one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use placet_types::{Field, RiskTier};
use smol_str::SmolStr;

use super::conditions::{self, conjunction, glob, test};
use super::fields;
use super::reader::Reader;
use super::vocabulary::{self, APPROVAL, Names, RISK_LEVEL};
use crate::clock::TimeWindow;
use crate::ir::{DefaultVerdict, Expr, Op, Path, Rule, Subject, Unit, UnitKind};
use crate::source::Position;
use crate::voice::Effect;
use crate::yaml::{Key, Kind, Node};

pub(super) const TOP_KEYS: &[&str] = &["version", "defaults", "rules", "scope", "scope_id", "description"];
pub(super) const DEFAULT_KEYS: &[&str] = &["risk_level", "approval"];
pub(super) const RULE_KEYS: &[&str] =
    &["name", "match", "risk_level", "approval", "conditions", "description", "reason"];
/// Keys of a rule that only this dialect has.
pub(super) const TELLING_KEYS: &[&str] = &["match", "approval", "risk_level", "conditions"];
pub(super) const MATCH_KEYS: &[(&str, Field)] =
    &[("type", Field::Action), ("target", Field::Target), ("agent", Field::AgentId)];
pub(super) const CONDITION_KEYS: &[&str] = &[
    "time_after",
    "time_before",
    "weekdays",
    "timezone",
    "param_eq",
    "param_ne",
    "param_gt",
    "param_gte",
    "param_lt",
    "param_lte",
    "param_in",
    "param_not_in",
    "param_contains",
    "param_not_contains",
    "param_starts_with",
    "param_ends_with",
    "param_glob",
    "param_matches",
    "param_exists",
    HISTORY,
    "any",
    "all",
    "not",
];

/// The condition on the tools called before.
pub(super) const HISTORY: &str = "session.tool_history";

/// What a rule or a file says when it does not say itself.
#[derive(Clone, Copy)]
struct Defaults {
    approval: Effect,
    risk_tier: RiskTier,
    position: Position,
}

/// Reads a whole file.
pub(super) fn read(root: &Node, reader: &mut Reader<'_>) -> Option<Unit> {
    let entries = reader.map(root, "a policy file")?;
    let mut defaults =
        Defaults { approval: Effect::Deny, risk_tier: RiskTier::Operational, position: root.position };
    let mut version = false;
    for (key, node) in entries {
        match key.text.as_str() {
            "version" => {
                version = true;
                reader.version(node);
            }
            "defaults" => read_defaults(reader, key, node, &mut defaults),
            "rules" => {}
            "scope" | "scope_id" | "description" => drop(reader.text(node, &format!("`{}`", key.text))),
            "plan_rules" => {
                reader
                    .error("policy/plan-rules", key.position, "`plan_rules` is not supported in a policy file")
                    .help("restrict plans with a rule on `event_type: agent.plan`, for instance `steps: { count: { gt: 20 } }`");
            }
            _ => reader.unknown_key(key, "at the top of a policy", TOP_KEYS),
        }
    }
    if !version {
        reader
            .error("policy/version", root.position, "`version` is missing")
            .help("write `version: \"1\"` at the top");
    }
    let rules = entries.iter().find(|(key, _)| key.text == "rules");
    let rules = rules.map(|(_, node)| read_rules(reader, node, defaults)).unwrap_or_default();
    let default = DefaultVerdict {
        effect: if defaults.approval == Effect::HardDeny { Effect::Deny } else { defaults.approval },
        risk_tier: defaults.risk_tier,
        reference: vocabulary::reference(reader, "<default>", defaults.position),
    };
    Some(Unit { kind: UnitKind::Match { default }, rules })
}

fn read_defaults(reader: &mut Reader<'_>, key: &Key, node: &Node, defaults: &mut Defaults) {
    defaults.position = key.position;
    let Some(entries) = reader.map(node, "`defaults`") else { return };
    for (key, node) in entries {
        match key.text.as_str() {
            "risk_level" => {
                defaults.risk_tier =
                    vocabulary::word(reader, node, "`risk_level`", RISK_LEVEL).unwrap_or(defaults.risk_tier);
            }
            "approval" => {
                defaults.approval =
                    vocabulary::word(reader, node, "`approval`", APPROVAL).unwrap_or(defaults.approval);
            }
            _ => reader.unknown_key(key, "in `defaults`", DEFAULT_KEYS),
        }
    }
}

fn read_rules(reader: &mut Reader<'_>, node: &Node, defaults: Defaults) -> Vec<Rule> {
    if node.kind == Kind::Null {
        return Vec::new();
    }
    let Some(items) = reader.list(node, "`rules`") else { return Vec::new() };
    let mut names = Names::default();
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| read_rule(reader, item, index, defaults, &mut names))
        .collect()
}

fn read_rule(
    reader: &mut Reader<'_>,
    node: &Node,
    index: usize,
    defaults: Defaults,
    names: &mut Names,
) -> Option<Rule> {
    let entries = reader.map(node, "a rule")?;
    let mut name = SmolStr::from(format!("rule_{index}"));
    let mut parts = Vec::new();
    let mut whole = true;
    let mut effect =
        Some(if defaults.approval == Effect::Deny { Effect::HardDeny } else { defaults.approval });
    let mut risk_tier = defaults.risk_tier;
    let mut reason = SmolStr::default();
    for (key, node) in entries {
        match key.text.as_str() {
            "name" => {
                if let Some(text) = reader.text(node, "`name`").filter(|text| !text.is_empty()) {
                    names.note(reader, text, node.position);
                    name = text.clone();
                }
            }
            "match" => whole &= push(&mut parts, read_match(reader, node)),
            "conditions" => whole &= push(&mut parts, read_conditions(reader, node)),
            "risk_level" => {
                risk_tier = vocabulary::word(reader, node, "`risk_level`", RISK_LEVEL).unwrap_or(risk_tier)
            }
            "approval" => effect = vocabulary::word(reader, node, "`approval`", APPROVAL),
            "reason" => reason = reader.text(node, "`reason`").cloned().unwrap_or_default(),
            "description" => drop(reader.text(node, "`description`")),
            _ => reader.unknown_key(key, "in a rule", RULE_KEYS),
        }
    }
    if !whole {
        return None;
    }
    let when = conjunction(parts);
    let looks_at = vocabulary::looks_at(&when);
    Some(Rule {
        reference: vocabulary::reference(reader, &name, node.position),
        when,
        effect: effect?,
        reason: reason.as_str().into(),
        risk_tier: Some(risk_tier),
        reviewers: Vec::new(),
        looks_at,
    })
}

fn push(parts: &mut Vec<Expr>, read: Option<Vec<Expr>>) -> bool {
    let whole = read.is_some();
    parts.extend(read.unwrap_or_default());
    whole
}

fn read_match(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Expr>> {
    let entries = reader.map(node, "`match`")?;
    let mut parts = Vec::new();
    let mut whole = true;
    for (key, node) in entries {
        let Some((_, field)) = MATCH_KEYS.iter().find(|(name, _)| *name == key.text) else {
            let known: Vec<&str> = MATCH_KEYS.iter().map(|(name, _)| *name).collect();
            reader.unknown_key(key, "in `match`", &known);
            whole = false;
            continue;
        };
        whole &= push(&mut parts, globs(reader, *field, node));
    }
    whole.then_some(parts)
}

/// One glob or a list of alternatives; `*` asks for nothing, not even presence.
fn globs(reader: &mut Reader<'_>, field: Field, node: &Node) -> Option<Vec<Expr>> {
    let nodes: Vec<&Node> = match &node.kind {
        Kind::List(items) if items.is_empty() => {
            reader
                .error("policy/empty-list", node.position, "an empty list matches nothing")
                .help("name at least one glob");
            return None;
        }
        Kind::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let globs: Vec<_> = nodes.into_iter().map(|node| glob(reader, node)).collect();
    let globs: Vec<_> = globs.into_iter().collect::<Option<_>>()?;
    if globs.iter().any(|glob| glob.is_everything()) {
        return Some(Vec::new());
    }
    let subject = Subject::Path(Path::of(field));
    let mut tests: Vec<Expr> = globs.into_iter().map(|glob| test(&subject, Op::Glob(glob))).collect();
    Some(if tests.len() == 1 { tests.split_off(0) } else { vec![Expr::Any(tests)] })
}

fn read_conditions(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Expr>> {
    if node.kind == Kind::Null {
        return Some(Vec::new());
    }
    let entries = reader.map(node, "`conditions`")?;
    let mut parts = Vec::new();
    let mut whole = read_window(reader, entries, &mut parts);
    for (key, node) in entries {
        let part = match key.text.as_str() {
            "time_after" | "time_before" | "weekdays" | "timezone" => continue,
            "any" | "all" => conditions::combinator(reader, key, node, nested),
            "not" => nested(reader, node).map(|inner| Expr::Not(Box::new(inner))),
            HISTORY => {
                conditions::value_condition(reader, &Subject::Path(Path::of(Field::ToolHistory)), node)
            }
            "semantic" => {
                reader
                    .error(
                        "policy/semantic",
                        key.position,
                        "`semantic` guesses from word lists, so it is not supported",
                    )
                    .help("write `param_matches` with the words you mean, or a rule of the Rules dialect");
                None
            }
            _ => parameters(reader, key, node),
        };
        match part {
            Some(part) => parts.push(part),
            None => whole = false,
        }
    }
    whole.then_some(parts)
}

fn nested(reader: &mut Reader<'_>, node: &Node) -> Option<Expr> {
    let parts = read_conditions(reader, node)?;
    if parts.is_empty() {
        reader
            .error("policy/empty-condition", node.position, "an empty condition says nothing")
            .help("name a condition, or remove it");
        return None;
    }
    Some(conjunction(parts))
}

/// `param_gt: { amount: 100 }`: the operator for each named parameter.
fn parameters(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Expr> {
    let Some(operator) =
        key.text.strip_prefix("param_").filter(|_| CONDITION_KEYS.contains(&key.text.as_str()))
    else {
        reader.unknown_key(key, "in `conditions`", CONDITION_KEYS);
        return None;
    };
    let entries = reader.map(node, &format!("`{}`", key.text))?;
    if entries.is_empty() {
        let message = format!("`{}` names no parameter", key.text);
        reader.error("policy/empty-condition", node.position, message).help("write `{ parameter: value }`");
        return None;
    }
    let parts: Vec<Option<Expr>> =
        entries.iter().map(|(name, value)| parameter(reader, operator, key, name, value)).collect();
    parts.into_iter().collect::<Option<Vec<_>>>().map(conjunction)
}

fn parameter(reader: &mut Reader<'_>, operator: &str, key: &Key, name: &Key, value: &Node) -> Option<Expr> {
    let Some(keys) = fields::split(&name.text) else {
        reader.error(
            "policy/unknown-field",
            name.position,
            format!("`{}` has an empty key between dots", name.text),
        );
        return None;
    };
    let subject = Subject::Path(Path { field: Field::Args, keys });
    let operator = Key { text: operator.into(), position: key.position };
    // `param_contains` and `param_eq` take a bare literal, as do all others: the same operators as in Rules.
    conditions::operator_map(reader, &subject, &[(operator, value.clone())], value.position)
}

/// `time_after`, `time_before`, `weekdays` and `timezone` make one window.
fn read_window(reader: &mut Reader<'_>, entries: &[(Key, Node)], parts: &mut Vec<Expr>) -> bool {
    let mut window = TimeWindow { after: None, before: None, weekdays: Vec::new(), zone: TimeZone::UTC };
    let (mut used, mut whole, mut zone_at) = (false, true, None);
    for (key, node) in entries {
        let read = match key.text.as_str() {
            "time_after" => time(reader, key, node).map(|time| window.after = Some(time)),
            "time_before" => time(reader, key, node).map(|time| window.before = Some(time)),
            "weekdays" => weekdays(reader, node).map(|days| window.weekdays = days),
            "timezone" => {
                zone_at = Some(key.position);
                zone(reader, node).map(|zone| window.zone = zone)
            }
            _ => continue,
        };
        used |= key.text != "timezone";
        whole &= read.is_some();
    }
    if let (Some(position), false) = (zone_at, used) {
        reader
            .error("policy/timezone", position, "`timezone` has a meaning only beside a time or weekdays")
            .help("add `time_after`, `time_before` or `weekdays`");
        whole = false;
    }
    if used {
        let subject = Subject::Path(Path::of(Field::Now));
        parts.push(test(&subject, Op::Time(Arc::new(window))));
    }
    whole
}

fn time(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Time> {
    let text = reader.text(node, &format!("`{}`", key.text))?;
    let shape = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
    let time = text.parse::<Time>().ok().filter(|_| shape);
    if time.is_none() {
        let message = format!("`{text}` is no time of day");
        reader
            .error("policy/bad-time", node.position, message)
            .help("write hours and minutes, for instance `\"18:00\"`");
    }
    time
}

fn weekdays(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<i8>> {
    let items = reader.list(node, "`weekdays`")?;
    let mut days = Vec::new();
    for item in items {
        match item.kind {
            #[allow(clippy::cast_possible_truncation, reason = "the guard keeps it within 1 to 7")]
            Kind::Number { value, integral: true } if (1.0..=7.0).contains(&value) => days.push(value as i8),
            _ => {
                let message = format!(
                    "a weekday is a number from 1 (Monday) to 7 (Sunday), but this is {}",
                    item.describe()
                );
                reader.error("policy/bad-weekday", item.position, message);
                return None;
            }
        }
    }
    if days.is_empty() {
        reader
            .error("policy/empty-list", node.position, "`weekdays` is empty, so no day is meant")
            .help("name at least one day");
        return None;
    }
    Some(days)
}

fn zone(reader: &mut Reader<'_>, node: &Node) -> Option<TimeZone> {
    let name = reader.text(node, "`timezone`")?;
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let message = format!("`{name}` is no time zone of the IANA database");
        reader
            .error("policy/bad-timezone", node.position, message)
            .help("write a name such as `Asia/Seoul` or `UTC`");
    }
    zone
}
