//! Combining the decisions of two evaluators that each speak for a tier.
//!
//! Both must allow, and the strictest answer counts: hard deny, deny, escalate, allow. An evaluator that returns
//! only flags cannot be silent, so nothing abstains here; within one policy set, the policy crate combines tiers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Decision, Identity, RiskTier, Tier, TraceStep, Verdict};

use crate::refusal::new_id;

/// Combines the global tier's decision with the project tier's; `None` when that was not asked.
#[must_use]
pub fn combine(global: &Decision, project: Option<&Decision>) -> Decision {
    let carries = match project {
        Some(project) if strength(&project.verdict) > strength(&global.verdict) => (Tier::Project, project),
        _ => (Tier::Global, global),
    };
    let (tier, carrier) = carries;
    let mut decision = carrier.clone();
    decision.decision_id = new_id();
    decision.reason = format!("[{}] {}", tier.name(), carrier.reason).into();
    decision.risk_tier = project.map_or(global.risk_tier, |project| project.risk_tier.max(global.risk_tier));
    decision.trace = vec![step(Tier::Global, Some(global)), step(Tier::Project, project)];
    let Some(project) = project else { return decision };
    decision.policy_version = format!("{}+{}", global.policy_version, project.policy_version).into();
    if project.identity != Identity::Verified || global.identity != Identity::Verified {
        decision.identity = Identity::Asserted;
    }
    if let (Verdict::Escalate { reviewers: one }, Verdict::Escalate { reviewers: other }) =
        (&global.verdict, &project.verdict)
    {
        let mut reviewers = [one.as_slice(), other.as_slice()].concat();
        reviewers.sort();
        reviewers.dedup();
        decision.verdict = Verdict::Escalate { reviewers };
    }
    decision
}

fn strength(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Escalate { .. } => 1,
        Verdict::Deny { hard: false, .. } => 2,
        Verdict::Deny { hard: true, .. } => 3,
    }
}

fn step(tier: Tier, decision: Option<&Decision>) -> TraceStep {
    let Some(decision) = decision else {
        let reason: Arc<str> = "not asked: the global tier denied".into();
        let risk_tier = RiskTier::Operational;
        return TraceStep { tier, outcome: "skipped", hard: false, risk_tier, reason, rule_matched: None };
    };
    TraceStep {
        tier,
        outcome: decision.verdict.word(),
        hard: decision.verdict.is_hard(),
        risk_tier: decision.risk_tier,
        reason: decision.reason.clone(),
        rule_matched: decision.rule_matched().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use placet_types::{DenyCause, ReviewerGroup};

    use super::*;
    use crate::refusal::failure;

    fn decision(verdict: &Verdict) -> Decision {
        let base = failure(DenyCause::Rule, "r", "v".into());
        Decision { verdict: verdict.clone(), risk_tier: RiskTier::Operational, ..base }
    }

    fn all() -> Vec<Verdict> {
        let deny = |hard| Verdict::Deny { hard, cause: DenyCause::Rule };
        vec![Verdict::Allow, Verdict::Escalate { reviewers: Vec::new() }, deny(false), deny(true)]
    }

    #[test]
    fn f05_kite_r20_the_strictest_of_both_counts_in_either_order() {
        for (one, global) in all().iter().enumerate() {
            for (other, project) in all().iter().enumerate() {
                let combined = combine(&decision(global), Some(&decision(project)));
                assert_eq!(combined.verdict, all()[one.max(other)], "{global:?} and {project:?}");
                let tier = if other > one { "[project] r" } else { "[global] r" };
                assert_eq!(&*combined.reason, tier);
                assert_eq!(combined.trace.len(), 2);
            }
        }
    }

    #[test]
    fn f05_a_tier_that_was_not_asked_is_in_the_trace() {
        let combined = combine(&decision(&all()[3]), None);
        assert!(combined.verdict.is_hard());
        assert_eq!(combined.trace[1].outcome, "skipped");
    }

    #[test]
    fn f05_the_more_severe_tier_and_all_reviewers_count() {
        let ask = |group: &str| Verdict::Escalate { reviewers: vec![ReviewerGroup(group.into())] };
        let severe = Decision { risk_tier: RiskTier::Destructive, ..decision(&ask("a")) };
        let combined = combine(&decision(&ask("b")), Some(&severe));
        assert_eq!(combined.risk_tier, RiskTier::Destructive);
        let names: Vec<_> = combined.reviewers().iter().map(|group| &*group.0).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
