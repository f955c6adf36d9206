//! The PDP's answer. It lives here and nowhere else.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::value::Value;

/// The PDP's answer. Exhaustive on purpose: a new outcome must break every enforcement point.
///
/// It has no default and is never a `bool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The event may happen.
    Allow,
    /// The event may not happen.
    Deny {
        /// A hard deny ends the matter; a soft one tells the agent that it may adapt and retry.
        /// Nobody overrides either.
        hard: bool,
        /// Why.
        cause: DenyCause,
    },
    /// A person decides.
    Escalate {
        /// Who may decide; empty means any reviewer.
        reviewers: Vec<ReviewerGroup>,
    },
}

impl Verdict {
    /// The verdict as the one word used on every wire and screen: `allow`, `deny` or `escalate`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny { .. } => "deny",
            Self::Escalate { .. } => "escalate",
        }
    }

    /// The stable code of the verdict: `allowed`, `approval_required`, or the deny cause's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Allow => "allowed",
            Self::Deny { cause, .. } => cause.code(),
            Self::Escalate { .. } => "approval_required",
        }
    }

    /// Whether this is a hard deny.
    #[must_use]
    pub fn is_hard(&self) -> bool {
        matches!(self, Self::Deny { hard: true, .. })
    }
}

/// Why an event was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenyCause {
    /// A rule said deny.
    Rule,
    /// No rule matched and the most restrictive default in scope denies.
    Default,
    /// No rule matched and nothing has a default.
    NoRuleMatched,
    /// A policy failed while it was evaluated: an error, a conflict, a result of the wrong shape.
    PolicyError,
    /// The policy could not be loaded, or there is none.
    PolicyUnavailable,
    /// The policy in force is older than `max_policy_age`.
    PolicyTooOld,
    /// The remote OPA server could not be reached or did not give a usable answer.
    OpaConnectionFailure,
    /// An evaluator supplied by the user raised or answered something unusable.
    EvaluatorFailure,
    /// The request could not be frozen: arguments that do not bind, cycles, sizes past a limit.
    InvalidRequest,
    /// The credential is missing, unknown, expired, revoked or of another session.
    CredentialValidation,
    /// A budget would be overdrawn.
    BudgetExhausted,
    /// A rate limit is used up.
    RateLimited,
    /// The session's approved plan does not name this tool.
    OffPlan,
    /// The approval is not for this call, is used, expired or superseded.
    ApprovalInvalid,
    /// A person said no.
    ApprovalDenied,
    /// The request for approval ran out before anybody decided it.
    ApprovalExpired,
    /// Nobody decided as long as the call waited; the request may still be open.
    ApprovalTimeout,
    /// The channel through which people were asked failed, or gave no answer that counts.
    ApprovalFailed,
    /// The database disagrees with the log: someone edited it.
    StateTampered,
    /// The record could not be committed, so nothing may happen.
    AuditUnavailable,
    /// The permit is spent, too old, or for another call, policy or process.
    PermitInvalid,
}

impl DenyCause {
    /// Every cause.
    pub const ALL: [Self; 21] = [
        Self::Rule,
        Self::Default,
        Self::NoRuleMatched,
        Self::PolicyError,
        Self::PolicyUnavailable,
        Self::PolicyTooOld,
        Self::OpaConnectionFailure,
        Self::EvaluatorFailure,
        Self::InvalidRequest,
        Self::CredentialValidation,
        Self::BudgetExhausted,
        Self::RateLimited,
        Self::OffPlan,
        Self::ApprovalInvalid,
        Self::ApprovalDenied,
        Self::ApprovalExpired,
        Self::ApprovalTimeout,
        Self::ApprovalFailed,
        Self::StateTampered,
        Self::AuditUnavailable,
        Self::PermitInvalid,
    ];

    /// The stable code, as written in records and on wires.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Rule => "denied_by_rule",
            Self::Default => "denied_by_default",
            Self::NoRuleMatched => "no_rule_matched",
            Self::PolicyError => "policy_error",
            Self::PolicyUnavailable => "policy_unavailable",
            Self::PolicyTooOld => "policy_too_old",
            Self::OpaConnectionFailure => "opa_connection_failure",
            Self::EvaluatorFailure => "evaluator_failure",
            Self::InvalidRequest => "invalid_request",
            Self::CredentialValidation => "credential_validation",
            Self::BudgetExhausted => "budget_exhausted",
            Self::RateLimited => "rate_limited",
            Self::OffPlan => "off_plan",
            Self::ApprovalInvalid => "approval_invalid",
            Self::ApprovalDenied => "approval_denied",
            Self::ApprovalExpired => "approval_expired",
            Self::ApprovalTimeout => "approval_timeout",
            Self::ApprovalFailed => "approval_failed",
            Self::StateTampered => "state_tampered",
            Self::AuditUnavailable => "audit_unavailable",
            Self::PermitInvalid => "permit_invalid",
        }
    }
}

/// The name of a group of people who may decide an escalation, for instance `finance-oncall`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReviewerGroup(pub Arc<str>);

impl fmt::Display for ReviewerGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How much an event can hurt. Ordered: the most severe tier of all rules that fired wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RiskTier {
    /// Read-only lookups.
    Informational,
    /// Ordinary writes and updates; the tier when no rule states one.
    Operational,
    /// Money or obligations in small amounts.
    TransactionalLow,
    /// Money or obligations in large amounts.
    TransactionalHigh,
    /// Deletions and bulk changes.
    Destructive,
    /// Shells, credentials, path traversal.
    SecurityCritical,
}

impl RiskTier {
    /// Every tier, from the least to the most severe.
    pub const ALL: [Self; 6] = [
        Self::Informational,
        Self::Operational,
        Self::TransactionalLow,
        Self::TransactionalHigh,
        Self::Destructive,
        Self::SecurityCritical,
    ];

    /// The upper-case name used in policies and on wires.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "INFORMATIONAL",
            Self::Operational => "OPERATIONAL",
            Self::TransactionalLow => "TRANSACTIONAL_LOW",
            Self::TransactionalHigh => "TRANSACTIONAL_HIGH",
            Self::Destructive => "DESTRUCTIVE",
            Self::SecurityCritical => "SECURITY_CRITICAL",
        }
    }
}

impl fmt::Display for RiskTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no risk tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no risk tier; use INFORMATIONAL, OPERATIONAL, TRANSACTIONAL_LOW, TRANSACTIONAL_HIGH, DESTRUCTIVE or SECURITY_CRITICAL"
)]
pub struct ParseRiskTierError(pub String);

impl FromStr for RiskTier {
    type Err = ParseRiskTierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| ParseRiskTierError(text.to_owned()))
    }
}

/// Which rule: its name and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleRef {
    /// The author's name for it, or a generated one.
    pub name: Arc<str>,
    /// The policy file, as it was given to the loader.
    pub file: Arc<str>,
    /// The line, from 1; 0 when the engine does not tell.
    pub line: u32,
}

/// The tier of a policy unit. Core and global restrict, project grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Guards that ship with Placet.
    Core,
    /// Guards of the organisation.
    Global,
    /// The project's own policies.
    Project,
}

impl Tier {
    /// The word used in traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Global => "global",
            Self::Project => "project",
        }
    }
}

/// What one tier contributed to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceStep {
    /// Which tier.
    pub tier: Tier,
    /// What it said: `allow`, `deny`, `escalate`, `abstain` (said nothing) or `skipped`.
    pub outcome: &'static str,
    /// Whether it said a hard deny.
    pub hard: bool,
    /// The most severe tier its rules stated.
    pub risk_tier: RiskTier,
    /// Why, in the author's words.
    pub reason: Arc<str>,
    /// The first rule that decided it.
    pub rule_matched: Option<Arc<str>>,
}

/// One value that a rule looked at, for operators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputSeen {
    /// The field, as the policy names it.
    pub field: Arc<str>,
    /// The value; null when absent.
    pub value: Value,
    /// Why a rule that restricts fired without knowing, as in `is missing` or `is not a number`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Arc<str>>,
}

/// Who vouches for the identity in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The caller said so; nothing was verified.
    Asserted,
    /// A credential was verified.
    Verified,
}

/// The id of one decision: a UUIDv7 in its usual text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(pub Arc<str>);

/// A decision with its reasons, complete: nothing is evaluated again to explain it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its id.
    pub decision_id: DecisionId,
    /// The outcome.
    pub verdict: Verdict,
    /// The author's reason, or a sentence of ours; may be shown to the agent.
    pub reason: Arc<str>,
    /// The most severe tier of the rules that fired.
    pub risk_tier: RiskTier,
    /// The rules that carried the outcome.
    pub rules: Vec<Arc<RuleRef>>,
    /// The digest of exactly the policies that decided.
    pub policy_version: Arc<str>,
    /// Who vouches for the identity.
    pub identity: Identity,
    /// What each tier said, in order.
    pub trace: Vec<TraceStep>,
    /// The values that the deciding rules looked at; for operators, so not in the public JSON form.
    pub inputs: Vec<InputSeen>,
}

impl Decision {
    /// The name of the first rule that carried the outcome.
    #[must_use]
    pub fn rule_matched(&self) -> Option<&Arc<str>> {
        self.rules.first().map(|rule| &rule.name)
    }

    /// The reason, and which values the deciding rules could not judge: `too much (args.amount is missing)`. For
    /// records and operators.
    #[must_use]
    pub fn full_reason(&self) -> Cow<'_, str> {
        match self.unknown() {
            None => Cow::Borrowed(&self.reason),
            Some(unknown) => Cow::Owned(format!("{} ({unknown})", self.reason)),
        }
    }

    /// Which values the deciding rules could not judge, and why: `args.amount is missing, args.to is not a text`.
    #[must_use]
    pub fn unknown(&self) -> Option<String> {
        let of = |input: &InputSeen| Some(format!("{} {}", input.field, input.unknown.as_ref()?));
        let unknown: Vec<String> = self.inputs.iter().filter_map(of).collect();
        (!unknown.is_empty()).then(|| unknown.join(", "))
    }

    /// Who may decide the escalation; empty for other outcomes and for "any reviewer".
    #[must_use]
    pub fn reviewers(&self) -> &[ReviewerGroup] {
        match &self.verdict {
            Verdict::Escalate { reviewers } => reviewers,
            Verdict::Allow | Verdict::Deny { .. } => &[],
        }
    }
}

/// The wire form: `decision_id, verdict, hard, reason, code, risk_tier, rule_matched, rules[], reviewers[],
/// policy_version, identity, trace[]`.
impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Decision", 12)?;
        out.serialize_field("decision_id", &self.decision_id)?;
        out.serialize_field("verdict", self.verdict.word())?;
        out.serialize_field("hard", &self.verdict.is_hard())?;
        out.serialize_field("reason", &self.reason)?;
        out.serialize_field("code", self.verdict.code())?;
        out.serialize_field("risk_tier", &self.risk_tier)?;
        out.serialize_field("rule_matched", &self.rule_matched())?;
        out.serialize_field("rules", &self.rules)?;
        out.serialize_field("reviewers", self.reviewers())?;
        out.serialize_field("policy_version", &self.policy_version)?;
        out.serialize_field("identity", &self.identity)?;
        out.serialize_field("trace", &self.trace)?;
        out.end()
    }
}
