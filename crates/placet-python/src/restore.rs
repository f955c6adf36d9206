//! Decisions that travelled as JSON, for instance to another process.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet::{
    Decision, DecisionId, DenyCause, Identity, ReviewerGroup, RiskTier, RuleRef, Tier, TraceStep, Value,
    Verdict, json,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::decision::PolicyDecision;

/// A decision from its wire form. It is data about a decision that was made; the values looked at are not in it.
#[pyfunction]
pub(crate) fn restore_decision(text: &str) -> PyResult<PolicyDecision> {
    let value = json::parse(text.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let decision = decision(&value).ok_or_else(|| PyValueError::new_err("the text is no decision"))?;
    Ok(PolicyDecision::new(decision))
}

fn decision(value: &Value) -> Option<Decision> {
    Some(Decision {
        decision_id: DecisionId(text(value, "decision_id")?),
        verdict: verdict(value)?,
        reason: text(value, "reason")?,
        risk_tier: tier(value)?,
        rules: each(value, "rules", |rule| rule_of(rule).map(Arc::new))?,
        policy_version: text(value, "policy_version")?,
        identity: match &*text(value, "identity")? {
            "verified" => Identity::Verified,
            _ => Identity::Asserted,
        },
        trace: each(value, "trace", step)?,
        inputs: Vec::new(),
    })
}

fn text(value: &Value, key: &str) -> Option<Arc<str>> {
    Some(value.get(key)?.as_str()?.into())
}

fn each<T>(value: &Value, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.get(key)?.as_array()?.iter().map(read).collect()
}

fn tier(value: &Value) -> Option<RiskTier> {
    value.get("risk_tier")?.as_str()?.parse().ok()
}

fn verdict(value: &Value) -> Option<Verdict> {
    match value.get("verdict")?.as_str()? {
        "allow" => Some(Verdict::Allow),
        "escalate" => {
            let group = |group: &Value| Some(ReviewerGroup(group.as_str()?.into()));
            Some(Verdict::Escalate { reviewers: each(value, "reviewers", group)? })
        }
        "deny" => {
            let code = text(value, "code")?;
            let cause = DenyCause::ALL.into_iter().find(|cause| cause.code() == &*code)?;
            Some(Verdict::Deny { hard: value.get("hard")?.as_bool()?, cause })
        }
        _ => None,
    }
}

fn rule_of(value: &Value) -> Option<RuleRef> {
    let Value::Int(line) = value.get("line")? else { return None };
    Some(RuleRef { name: text(value, "name")?, file: text(value, "file")?, line: u32::try_from(*line).ok()? })
}

fn step(value: &Value) -> Option<TraceStep> {
    let outcomes = ["allow", "deny", "escalate", "abstain", "skipped"];
    let outcome = text(value, "outcome")?;
    let name = text(value, "tier")?;
    Some(TraceStep {
        tier: [Tier::Core, Tier::Global, Tier::Project].into_iter().find(|tier| tier.name() == &*name)?,
        outcome: outcomes.into_iter().find(|known| *known == &*outcome)?,
        hard: value.get("hard")?.as_bool()?,
        risk_tier: tier(value)?,
        reason: text(value, "reason")?,
        rule_matched: text(value, "rule_matched"),
    })
}
