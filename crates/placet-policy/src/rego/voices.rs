//! From what a unit's rules evaluated to, to what the unit says.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_types::{ReviewerGroup, RiskTier, RuleRef};
use regorus::Value;

use crate::{Effect, Statement};

/// The keys that a `decision` may have.
pub(super) const DECISION_KEYS: [&str; 6] = ["allow", "deny", "escalate", "reason", "reviewers", "risk_tier"];

/// The rules of an aggregate package that are read.
pub(super) const AGGREGATE_RULES: [&str; 7] =
    ["allow", "deny", "requires_hitl", "risk_tier", "deny_reason", "rule_matched", "reviewers"];

/// The reason of a hard deny whose author gave none.
pub(super) const NO_REASON: &str = "hard blocked by policy";

/// Builds the statements of one unit.
pub(super) struct Speaker<'a> {
    pub(super) rule: &'a Arc<RuleRef>,
    pub(super) risk_tier: Option<RiskTier>,
}

impl Speaker<'_> {
    fn say(&self, effect: Effect, reason: &str, reviewers: Vec<ReviewerGroup>) -> Statement {
        Statement {
            effect,
            reason: Arc::from(reason),
            rule: self.rule.clone(),
            risk_tier: self.risk_tier,
            reviewers,
            is_failure: false,
        }
    }
}

/// What `decision` says.
///
/// # Errors
///
/// Why it makes no sense; the unit then fails.
pub(super) fn decision(value: &Value, rule: &Arc<RuleRef>) -> Result<Option<Statement>, String> {
    let Value::Object(fields) = value else {
        return Err(format!("`decision` must be an object, not {}", kind(value)));
    };
    let mut by_name = BTreeMap::new();
    for (key, value) in fields.iter() {
        match key {
            Value::String(name) if DECISION_KEYS.contains(&name.as_ref()) => {
                by_name.insert(name.as_ref(), value)
            }
            other => return Err(format!("`decision` has the unknown key `{}`", plain(other))),
        };
    }
    if by_name.is_empty() {
        return Err("`decision` is an empty object".to_owned());
    }
    let speaker =
        Speaker { rule, risk_tier: by_name.get("risk_tier").map(|value| risk_tier(value)).transpose()? };
    let flag = |name: &str| match by_name.get(name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(format!("`decision.{name}` must be true or false, not {}", kind(other))),
    };
    let (allow, escalate) = (flag("allow")?, flag("escalate")?);
    let reason = match by_name.get("reason") {
        None => "",
        Some(Value::String(text)) => text.as_ref(),
        Some(other) => return Err(format!("`decision.reason` must be a string, not {}", kind(other))),
    };
    let reviewers = by_name.get("reviewers").map_or(Ok(Vec::new()), |value| reviewers(value))?;
    let denied = match by_name.get("deny") {
        None => None,
        // A deny whose reason came out empty is still a deny.
        Some(Value::String(text)) => Some(text.to_string()),
        Some(value) => denial(value, "decision.deny")?,
    };
    if let Some(reasons) = denied {
        let text = [reasons.as_str(), reason, NO_REASON].into_iter().find(|text| !text.is_empty());
        return Ok(Some(speaker.say(Effect::HardDeny, text.unwrap_or(NO_REASON), Vec::new())));
    }
    Ok(match (escalate, allow) {
        (Some(true), _) => Some(speaker.say(Effect::Escalate, reason, reviewers)),
        (_, Some(false)) => Some(speaker.say(Effect::Deny, reason, Vec::new())),
        (_, Some(true)) => Some(speaker.say(Effect::Allow, reason, Vec::new())),
        (_, None) => None,
    })
}

/// What the rules of an aggregate package say; `values` holds those that were defined.
///
/// # Errors
///
/// Why they make no sense; the unit then fails.
pub(super) fn aggregate(
    values: &BTreeMap<String, Value>,
    rules: &BTreeMap<String, Arc<RuleRef>>,
    fallback: &Arc<RuleRef>,
) -> Result<Vec<Statement>, String> {
    let risk_tier = values.get("risk_tier").map(risk_tier).transpose()?;
    let matched = match values.get("rule_matched") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(other) => return Err(format!("`rule_matched` must be a string, not {}", kind(other))),
    };
    let named = |name: &str| {
        let rule = rules.get(name).unwrap_or(fallback);
        match &matched {
            Some(matched) => Arc::new(RuleRef {
                name: Arc::from(matched.as_ref()),
                file: rule.file.clone(),
                line: rule.line,
            }),
            None => rule.clone(),
        }
    };
    let flag = |name: &str| match values.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("`{name}` must be true or false, not {}", kind(other))),
    };
    let mut said = Vec::new();
    if let Some(own) = values.get("deny").map_or(Ok(None), |value| denial(value, "deny"))? {
        let stated = values.get("deny_reason").map_or(Ok(None), |value| denial(value, "deny_reason"))?;
        let reason = [stated.unwrap_or_default(), own].into_iter().find(|reason| !reason.is_empty());
        let rule = named("deny");
        let speaker = Speaker { rule: &rule, risk_tier };
        said.push(speaker.say(Effect::HardDeny, reason.as_deref().unwrap_or(NO_REASON), Vec::new()));
    }
    if flag("requires_hitl")? {
        let reviewers = values.get("reviewers").map_or(Ok(Vec::new()), reviewers)?;
        let rule = named("requires_hitl");
        said.push(Speaker { rule: &rule, risk_tier }.say(Effect::Escalate, "", reviewers));
    }
    if flag("allow")? {
        let rule = named("allow");
        said.push(Speaker { rule: &rule, risk_tier }.say(Effect::Allow, "", Vec::new()));
    }
    Ok(said)
}

/// Reads a denial: nothing when it does not deny, else its reasons, sorted and joined.
fn denial(value: &Value, name: &str) -> Result<Option<String>, String> {
    let mut reasons: Vec<String> = match value {
        Value::Bool(false) => return Ok(None),
        Value::Bool(true) => Vec::new(),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => vec![text.to_string()],
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Set(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields.iter().map(|(key, _)| plain(key)).collect(),
        other => {
            return Err(format!(
                "`{name}` must be a boolean, a string, an object or a set, not {}",
                kind(other)
            ));
        }
    };
    let collection = matches!(value, Value::Array(_) | Value::Set(_) | Value::Object(_));
    if collection && reasons.is_empty() {
        return Ok(None);
    }
    reasons.sort();
    reasons.dedup();
    Ok(Some(reasons.join("; ")))
}

fn risk_tier(value: &Value) -> Result<RiskTier, String> {
    match value {
        Value::String(name) => {
            name.parse().map_err(|error: placet_types::ParseRiskTierError| error.to_string())
        }
        other => Err(format!("`risk_tier` must be a string, not {}", kind(other))),
    }
}

fn reviewers(value: &Value) -> Result<Vec<ReviewerGroup>, String> {
    let group = |value: &Value| match value {
        Value::String(name) if !name.is_empty() => Ok(ReviewerGroup(Arc::from(name.as_ref()))),
        other => Err(format!("`reviewers` must name groups, and {} is no name", plain(other))),
    };
    match value {
        Value::Array(items) => items.iter().map(group).collect(),
        Value::Set(items) => items.iter().map(group).collect(),
        single @ Value::String(_) => Ok(vec![group(single)?]),
        other => Err(format!("`reviewers` must be a list of names, not {}", kind(other))),
    }
}

/// A value for people: strings bare, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => serde_json::to_string(other).unwrap_or_else(|_| kind(other).to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}
