//! What a caller is told when an event may not happen, and the decisions that no policy made.
//!
//! The sentences are the same on every face, so that a model and a log read the same words everywhere.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Decision, DecisionId, DenyCause, Identity, RiskTier, RuleRef, Verdict};

/// A new decision id: a UUIDv7.
///
/// A forked child inherits the state of the generator; its process id keeps its ids apart from those of its parent.
#[must_use]
pub fn new_id() -> DecisionId {
    let apart = uuid::Uuid::now_v7().as_u128() ^ u128::from(placet_types::process::id());
    let id = uuid::Uuid::from_u128(apart).hyphenated();
    DecisionId((&*id.encode_lower(&mut uuid::Uuid::encode_buffer())).into())
}

/// What is said about a tool call that may not run; `None` when it may.
#[must_use]
pub fn of_tool(tool: &str, decision: &Decision) -> Option<String> {
    let Decision { reason, risk_tier, .. } = decision;
    match &decision.verdict {
        Verdict::Allow => None,
        Verdict::Deny { hard: true, .. } => {
            Some(format!("Tool '{tool}' hard blocked by security policy: {reason}"))
        }
        Verdict::Deny { hard: false, .. } => Some(format!("Tool '{tool}' denied by policy: {reason}")),
        Verdict::Escalate { .. } => {
            Some(format!("Tool '{tool}' requires human approval (risk tier: {risk_tier})"))
        }
    }
}

/// What is said about a plan that may not be carried out; `None` when it may.
#[must_use]
pub fn of_plan(decision: &Decision) -> Option<String> {
    let Decision { reason, risk_tier, .. } = decision;
    match &decision.verdict {
        Verdict::Allow => None,
        Verdict::Deny { .. } => Some(format!("Plan denied by policy: {reason}")),
        Verdict::Escalate { .. } => Some(format!("Plan requires human approval (risk tier: {risk_tier})")),
    }
}

/// The decision for an event that could not be put to any policy, for instance because its arguments are cyclic.
/// It is soft: another request may be fine.
#[must_use]
pub fn invalid(reason: impl Into<Arc<str>>, policy_version: Arc<str>) -> Decision {
    deny(DenyCause::InvalidRequest, false, RiskTier::Operational, reason.into(), policy_version)
}

/// The decision for an event that is refused before any policy is asked. It is hard, except for a call that the
/// session's plan does not name: a new plan may name it.
#[must_use]
pub fn precondition(cause: DenyCause, reason: impl Into<Arc<str>>, policy_version: Arc<str>) -> Decision {
    match cause {
        DenyCause::OffPlan => deny(cause, false, RiskTier::Operational, reason.into(), policy_version),
        _ => failure(cause, reason, policy_version),
    }
}

/// The decision when what should have decided failed. It is hard: no other request would fare better.
#[must_use]
pub fn failure(cause: DenyCause, reason: impl Into<Arc<str>>, policy_version: Arc<str>) -> Decision {
    deny(cause, true, RiskTier::SecurityCritical, reason.into(), policy_version)
}

fn deny(
    cause: DenyCause,
    hard: bool,
    risk_tier: RiskTier,
    reason: Arc<str>,
    policy_version: Arc<str>,
) -> Decision {
    let rule = RuleRef { name: cause.code().into(), file: "placet".into(), line: 0 };
    Decision {
        decision_id: new_id(),
        verdict: Verdict::Deny { hard, cause },
        reason,
        risk_tier,
        rules: vec![Arc::new(rule)],
        policy_version,
        identity: Identity::Asserted,
        trace: Vec::new(),
        inputs: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(verdict: Verdict) -> Decision {
        Decision { verdict, ..failure(DenyCause::Rule, "too much", "v".into()) }
    }

    #[test]
    fn f52_each_outcome_has_its_sentence() {
        let deny = |hard| Verdict::Deny { hard, cause: DenyCause::Rule };
        let of = |verdict| of_tool("pay", &decision(verdict));
        assert_eq!(of(Verdict::Allow), None);
        assert_eq!(of(deny(true)).as_deref(), Some("Tool 'pay' hard blocked by security policy: too much"));
        assert_eq!(of(deny(false)).as_deref(), Some("Tool 'pay' denied by policy: too much"));
        assert_eq!(
            of(Verdict::Escalate { reviewers: Vec::new() }).as_deref(),
            Some("Tool 'pay' requires human approval (risk tier: SECURITY_CRITICAL)")
        );
        assert_eq!(of_plan(&decision(deny(true))).as_deref(), Some("Plan denied by policy: too much"));
        assert_eq!(of_plan(&decision(Verdict::Allow)), None);
    }
}
