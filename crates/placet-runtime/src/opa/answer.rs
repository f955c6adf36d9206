//! Reading what an OPA server answered, strictly: what is odd is an error, and never a yes.
//!
//! Three shapes are understood: the `decision` object of our export, the flags of the aggregate model, and the
//! `decision` object of the per-event model.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{
    Decision, DenyCause, Identity, Object, ReviewerGroup, RiskTier, RuleRef, Value, Verdict, json,
};

use crate::refusal::new_id;

/// A usable answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    verdict: Verdict,
    reason: String,
    risk_tier: RiskTier,
    rules: Vec<RuleRef>,
}

impl Answer {
    /// As a decision made now.
    pub(crate) fn into_decision(self, policy_version: Arc<str>) -> Decision {
        Decision {
            decision_id: new_id(),
            verdict: self.verdict,
            reason: self.reason.into(),
            risk_tier: self.risk_tier,
            rules: self.rules.into_iter().map(Arc::new).collect(),
            policy_version,
            identity: Identity::Asserted,
            trace: Vec::new(),
            inputs: Vec::new(),
        }
    }
}

/// Reads the body of a response.
pub(crate) fn read(body: &[u8]) -> Result<Answer, String> {
    let body = json::parse(body).map_err(|error| error.to_string())?;
    let Some(body) = body.as_object() else { return Err("the body is no JSON object".to_owned()) };
    let result =
        body.get("result").ok_or("the package is undefined there; load the policies into the server")?;
    let Some(result) = result.as_object() else { return Err("`result` is no object".to_owned()) };
    match result.get("decision") {
        None => flags(result),
        Some(Value::Object(decision)) if decision.get("outcome").is_some() => outcome(decision, result),
        Some(Value::Object(decision)) => per_event(decision),
        Some(_) => Err("`decision` is no object".to_owned()),
    }
}

/// Our export: `{outcome, hard, reasons, rules, risk_tier, reviewers}`.
fn outcome(decision: &Object, result: &Object) -> Result<Answer, String> {
    let hard = flag(decision, "hard")?;
    let verdict = match decision.get("outcome").and_then(Value::as_str) {
        Some("allow") if hard => return Err("`decision` allows and is hard".to_owned()),
        Some("allow") => Verdict::Allow,
        Some("escalate") => Verdict::Escalate { reviewers: reviewers(decision)? },
        Some("deny") => deny(hard),
        _ => return Err("`decision.outcome` is not allow, deny or escalate".to_owned()),
    };
    if verdict == Verdict::Allow && (is_said(result, "deny")? || flag(result, "requires_hitl")?) {
        return Err("`decision` allows while the flags do not".to_owned());
    }
    let reason = texts(decision, "reasons")?.join("; ");
    Ok(Answer { reason, risk_tier: risk_tier(decision)?, rules: rules(decision)?, verdict })
}

/// The aggregate model: `allow`, `deny`, `requires_hitl`, `risk_tier`, `deny_reason`. An allow that is false is a
/// soft deny.
fn flags(result: &Object) -> Result<Answer, String> {
    let said = ["allow", "deny", "requires_hitl"].iter().any(|name| result.get(name).is_some());
    if !said {
        return Err("`result` holds neither `decision` nor `allow`, `deny` or `requires_hitl`".to_owned());
    }
    let (allow, ask) = (flag(result, "allow")?, flag(result, "requires_hitl")?);
    let risk_tier = risk_tier(result)?;
    let verdict = match (is_said(result, "deny")?, ask, allow) {
        (true, _, _) => deny(true),
        (_, true, _) => Verdict::Escalate { reviewers: reviewers(result)? },
        (_, _, true) => Verdict::Allow,
        _ => deny(false),
    };
    let mut reasons =
        texts(result, if result.get("deny_reason").is_some() { "deny_reason" } else { "deny" })?;
    reasons.sort();
    let reason = match (&verdict, reasons.as_slice()) {
        (Verdict::Deny { hard: true, .. }, []) => "hard blocked by the policy".to_owned(),
        (Verdict::Deny { hard: true, .. }, _) => reasons.join("; "),
        (Verdict::Allow, _) => format!("allowed, risk tier {risk_tier}"),
        (Verdict::Escalate { .. }, _) => format!("a person must approve, risk tier {risk_tier}"),
        (Verdict::Deny { hard: false, .. }, _) => format!("nothing allows it, risk tier {risk_tier}"),
    };
    let rule = match result.get("rule_matched") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(rule_named(name)),
        Some(_) => return Err("`rule_matched` is no string".to_owned()),
    };
    Ok(Answer { verdict, reason, risk_tier, rules: rule.into_iter().collect() })
}

/// The per-event model: `{allow}` or `{allow, deny, reason}` or `{escalate, reviewers, reason}`; a `deny` is hard.
fn per_event(decision: &Object) -> Result<Answer, String> {
    let said = ["allow", "deny", "escalate"].iter().any(|name| decision.get(name).is_some());
    if !said {
        return Err("`decision` holds neither `outcome` nor `allow`, `deny` or `escalate`".to_owned());
    }
    let (allow, ask) = (flag(decision, "allow")?, flag(decision, "escalate")?);
    let verdict = match (is_said(decision, "deny")?, ask, allow) {
        (true, _, _) => deny(true),
        (_, true, _) => Verdict::Escalate { reviewers: reviewers(decision)? },
        (_, _, true) => Verdict::Allow,
        _ => deny(false),
    };
    let mut reasons = texts(decision, "reason")?;
    if reasons.is_empty() {
        reasons = texts(decision, "deny")?;
    }
    Ok(Answer { verdict, reason: reasons.join("; "), risk_tier: risk_tier(decision)?, rules: Vec::new() })
}

fn deny(hard: bool) -> Verdict {
    Verdict::Deny { hard, cause: DenyCause::Rule }
}

/// A boolean; absent is false.
fn flag(object: &Object, name: &str) -> Result<bool, String> {
    match object.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("`{name}` is no boolean")),
    }
}

/// A deny may be a boolean, a reason, or a collection of reasons.
fn is_said(object: &Object, name: &str) -> Result<bool, String> {
    match object.get(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::String(_)) => Ok(true),
        Some(Value::Array(items)) => Ok(!items.is_empty()),
        Some(Value::Object(members)) => Ok(!members.is_empty()),
        Some(_) => Err(format!("`{name}` is neither a boolean nor reasons")),
    }
}

/// Reasons: a text, a list of texts, or the keys of an object; a boolean holds none.
fn texts(object: &Object, name: &str) -> Result<Vec<String>, String> {
    let strange = || format!("`{name}` holds something that is no text");
    match object.get(name) {
        None | Some(Value::Bool(_)) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.to_string()]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(strange)).collect()
        }
        Some(Value::Object(members)) => Ok(members.iter().map(|(key, _)| key.to_string()).collect()),
        Some(_) => Err(strange()),
    }
}

fn reviewers(object: &Object) -> Result<Vec<ReviewerGroup>, String> {
    Ok(texts(object, "reviewers")?.into_iter().map(|group| ReviewerGroup(group.into())).collect())
}

fn risk_tier(object: &Object) -> Result<RiskTier, String> {
    match object.get("risk_tier") {
        None => Ok(RiskTier::Operational),
        Some(Value::String(word)) => {
            word.parse().map_err(|error: placet_types::ParseRiskTierError| error.to_string())
        }
        Some(_) => Err("`risk_tier` is no string".to_owned()),
    }
}

/// Rules: names, or objects with name, file and line.
fn rules(object: &Object) -> Result<Vec<RuleRef>, String> {
    let Some(rules) = object.get("rules") else { return Ok(Vec::new()) };
    let strange = || "`rules` is no list of rules".to_owned();
    rules.as_array().ok_or_else(strange)?.iter().map(|rule| rule_from(rule).ok_or_else(strange)).collect()
}

fn rule_from(rule: &Value) -> Option<RuleRef> {
    if let Some(name) = rule.as_str() {
        return Some(rule_named(name));
    }
    let name = rule.get("name")?.as_str()?;
    let file = rule.get("file").and_then(Value::as_str).unwrap_or_default();
    let line = match rule.get("line") {
        Some(Value::Int(line)) => u32::try_from(*line).ok()?,
        _ => 0,
    };
    Some(RuleRef { name: name.into(), file: file.into(), line })
}

fn rule_named(name: &str) -> RuleRef {
    RuleRef { name: name.into(), file: "".into(), line: 0 }
}
