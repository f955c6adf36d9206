//! What policy units say about one event, before anything is combined.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{ReviewerGroup, RiskTier, RuleRef, Verdict};

/// What a rule says when it matches. Ordered by strength: a stronger effect beats a weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// The event may happen.
    Allow,
    /// A person decides.
    Escalate,
    /// The event may not happen; the agent may adapt and retry.
    Deny,
    /// The event may not happen, and there is nothing to adapt.
    HardDeny,
}

impl Effect {
    /// The effect that a verdict has.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Escalate { .. } => Self::Escalate,
            Verdict::Deny { hard, .. } => {
                if *hard {
                    Self::HardDeny
                } else {
                    Self::Deny
                }
            }
        }
    }
}

/// One thing a unit said: a rule that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it says.
    pub effect: Effect,
    /// The author's reason; empty when none was given.
    pub reason: Arc<str>,
    /// Which rule.
    pub rule: Arc<RuleRef>,
    /// The tier the rule states, if it states one.
    pub risk_tier: Option<RiskTier>,
    /// Who may decide; only for [`Effect::Escalate`].
    pub reviewers: Vec<ReviewerGroup>,
    /// Whether this reports a failure of the policy itself (always a hard deny).
    pub is_failure: bool,
}

/// What one unit says about one event: the rules that fired, or else its default in scope, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Voice {
    /// The rules that fired; empty means the unit is silent.
    pub statements: Vec<Statement>,
    /// The default, used only when no unit of the tier said anything. Never a hard deny.
    pub default: Option<Statement>,
}
