//! What a test expects of a decision.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Decision, RiskTier};

/// What is expected of a decision; absent members expect nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// `allow`, `deny` or `escalate`.
    pub verdict: Option<&'static str>,
    /// Whether the deny is hard.
    pub hard: Option<bool>,
    /// A rule that is among those that carried the outcome.
    pub rule: Option<Arc<str>>,
    /// All rules that carried the outcome, in any order.
    pub rules: Option<Vec<Arc<str>>>,
    /// The code of the verdict.
    pub code: Option<Arc<str>>,
    /// The whole reason.
    pub reason: Option<Arc<str>>,
    /// The risk tier.
    pub risk_tier: Option<RiskTier>,
    /// The groups who may decide an escalation, in any order.
    pub reviewers: Option<Vec<Arc<str>>>,
}

impl Expected {
    /// Whether nothing at all is expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a decision has that is not as expected, each as `what: expected x, got y`.
    #[must_use]
    pub fn differences(&self, decision: &Decision) -> Vec<String> {
        let rules: Vec<&str> = decision.rules.iter().map(|rule| &*rule.name).collect();
        let reviewers: Vec<&str> = decision.reviewers().iter().map(|group| &*group.0).collect();
        let mut found = Differences(Vec::new());
        found.scalar("verdict", self.verdict, decision.verdict.word());
        found.scalar("hard", self.hard, decision.verdict.is_hard());
        found.scalar("code", self.code.as_deref(), decision.verdict.code());
        found.scalar("risk_tier", self.risk_tier, decision.risk_tier);
        found.scalar("reason", self.reason.as_deref(), &*decision.reason);
        if let Some(wanted) = self.rule.as_deref().filter(|wanted| !rules.contains(wanted)) {
            found.0.push(format!("rule: expected {wanted}, got {}", listed(&rules)));
        }
        found.names("rules", self.rules.as_deref(), &rules);
        found.names("reviewers", self.reviewers.as_deref(), &reviewers);
        found.0
    }
}

struct Differences(Vec<String>);

impl Differences {
    fn scalar<T: PartialEq + std::fmt::Display>(&mut self, what: &str, wanted: Option<T>, got: T) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
            self.0.push(format!("{what}: expected {wanted}, got {got}"));
        }
    }

    fn names(&mut self, what: &str, wanted: Option<&[Arc<str>]>, got: &[&str]) {
        let Some(wanted) = wanted else { return };
        let wanted = sorted(wanted.iter().map(|name| &**name));
        let got = sorted(got.iter().copied());
        if wanted != got {
            self.0.push(format!("{what}: expected {}, got {}", listed(&wanted), listed(&got)));
        }
    }
}

fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
