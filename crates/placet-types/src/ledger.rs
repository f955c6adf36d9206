//! The operations that change the state of the ledger: plain data with preconditions.
//!
//! An operation stands in the record that carried it. Applying the operations of a log in order gives the state:
//! balances, open approvals, live credentials, revocations. Rows in a database are a cache of that.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod budget;
mod notices;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decision::{ReviewerGroup, RiskTier};
use crate::ids::{ApprovalId, ApproverId, CredentialId, Digest, Micros, RecordId, ReservationId};
use crate::memory::MemoryWrite;

pub use budget::{
    Amount, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, MAX_COUNT, Reservation, Settlement, Window,
};
pub use notices::{ApprovalClaim, ApprovalEvent, ApprovalMark, ApprovalTold};

/// One change of state. Each has a precondition; if it does not hold, the whole commit is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerOp {
    /// Registers a credential. Refused when its id is taken or its parent is not live.
    Issue(CredentialEntry),
    /// Shows credentials, from the root to the holder. Refused unless each is live now.
    Present(Vec<CredentialId>),
    /// Ends credentials, also those signed before it and shown later. Always holds.
    Revoke(Revocation),
    /// Sets the limit of a budget. Always holds; what was spent stays spent.
    SetBudget(BudgetLimit),
    /// Takes amounts from budgets before they are spent: all of them or none. Refused when one would be overdrawn or
    /// is used up. Repeating an open one changes nothing; repeating it `in_flight` says that its permit was given.
    Reserve(Reservation),
    /// Says what a reservation really cost. Refused when it is not open; may overdraw, since the money is spent.
    Settle(Settlement),
    /// Gives back a reservation of which nothing was spent; one that is not open changes nothing. Refused when it is in
    /// flight, except with the outcome that its effect never began.
    Release(ReservationId),
    /// Asks people. Refused when an open request with the same `request_key` exists.
    Ask(Box<ApprovalEntry>),
    /// One person's answer. Refused when the request is not pending, has expired, or the person may not answer.
    Vote(Box<Vote>),
    /// Ends a request without consuming it. Refused when it is not open.
    Close(ApprovalClosing),
    /// Uses an approval, once. Refused unless it is approved, unexpired and for exactly this digest.
    Consume(Consumption),
    /// Says that a person works on a request. Refused when it is not pending, somebody else does, or the person may not
    /// answer.
    Claim(ApprovalClaim),
    /// Says what time did to a request. Refused before its time, when the request waited no more, or when it was said.
    Mark(ApprovalMark),
    /// Says that a channel was told of something, or is about to be. Refused when it did not happen, the channel was
    /// told, or somebody else is about to tell it.
    Told(ApprovalTold),
    /// Remembers something. Refused where the key holds what is trusted more.
    Remember(MemoryWrite),
    /// Ends what the lost part of a log may have changed: every open request for approval. Refused but in a recovery that
    /// accepts a rollback.
    AcceptRollback(RollbackTerms),
}

/// How the state goes on from an older copy of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackTerms {
    /// Whether budgets count as used up, since nobody knows what the lost part spent: those without a window for good,
    /// others until their window is over.
    pub burn_budgets: bool,
}

/// A credential as the registry keeps it: no bearer secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialEntry {
    /// Its public id.
    pub id: CredentialId,
    /// The credential it was delegated from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CredentialId>,
    /// The session it was issued to.
    pub session: Arc<str>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The agent that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// The role it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Arc<str>>,
    /// The scopes it gives, sorted.
    pub scopes: Vec<Arc<str>>,
    /// How many delegations lie before it; 0 is a root.
    pub depth: u32,
    /// The greatest depth that its descendants may have.
    pub max_depth: u32,
    /// When it was issued.
    pub issued_us: Micros,
    /// Until when it is not valid yet, if that is later than its issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_us: Option<Micros>,
    /// From when on it is dead.
    pub expires_us: Micros,
    /// SHA-256 of the canonical form of its whole authority, argument constraints and budgets included.
    pub authority: Digest,
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// By which property credentials are ended.
    pub target: RevocationTarget,
    /// Who revoked, as far as known.
    pub by: Arc<str>,
}

/// By which property credentials are ended. Descendants end with their ancestors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationTarget {
    /// One credential with its descendants.
    Credential(CredentialId),
    /// All credentials of a session that exist now.
    Session(Arc<str>),
    /// All credentials of an agent that exist now.
    Agent(Arc<str>),
    /// All credentials of a tenant that exist now.
    Tenant(Arc<str>),
    /// All credentials that exist now, of everybody.
    All,
}

/// A request for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalEntry {
    /// Its id.
    pub id: ApprovalId,
    /// The digest of everything that is approved.
    pub digest: Digest,
    /// The same without the expiry, under the tenant's key: a repeated call joins the open request.
    pub request_key: Digest,
    /// The digest of what is shown to the approver.
    pub displayed: Digest,
    /// The decision that escalated; its view holds what is shown.
    pub decision: RecordId,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The session that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// The agent that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// What is to be done.
    pub action: Arc<str>,
    /// Which tool is to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
    /// The risk tier of the decision.
    pub risk_tier: RiskTier,
    /// The escalating rules that the approval would satisfy, sorted.
    pub rules: Vec<Arc<str>>,
    /// The policies under which it was asked.
    pub policy_version: Arc<str>,
    /// Who must say yes; every quorum has to be met.
    pub quorums: Vec<Quorum>,
    /// The weakest kind of vote that counts as a yes.
    pub strength: VoteStrength,
    /// Who asked, and so may not answer: the user behind the session and the agent.
    pub requesters: Vec<Arc<str>>,
    /// When it was asked.
    pub asked_us: Micros,
    /// From when on it is dead.
    pub expires_us: Micros,
    /// When reviewers are reminded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_us: Option<Micros>,
    /// From when on a further group may answer too, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
    /// When an answer is overdue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_us: Option<Micros>,
}

/// How many people of which groups must say yes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// Any of these groups; empty means any known approver.
    pub any_of: Vec<ReviewerGroup>,
    /// How many different people, at least 1.
    pub count: u32,
}

/// The group that may answer too when nobody did in time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// From when on.
    pub at_us: Micros,
    /// Which group: its members count for every quorum.
    pub group: ReviewerGroup,
}

/// How well it is known who voted. Ordered: later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoteStrength {
    /// A channel says so: a terminal of the same user, a callback, a webhook's answer.
    Asserted,
    /// A logged-in session of the approver.
    Session,
    /// A signature under a key that the deployment knows to be the approver's.
    Signed,
}

impl fmt::Display for VoteStrength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Asserted => "asserted",
            Self::Session => "session",
            Self::Signed => "signed",
        })
    }
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// On which request.
    pub approval: ApprovalId,
    /// The digest that the voter saw.
    pub digest: Digest,
    /// Who.
    pub approver: ApproverId,
    /// The groups of the approver when the vote was given, sorted; consuming counts them anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<ReviewerGroup>,
    /// Whether it is a yes.
    pub approve: bool,
    /// How well it is known who voted.
    pub strength: VoteStrength,
    /// Through which channel: `terminal`, `callback`, `webhook`, `cli`, `api`.
    pub channel: Arc<str>,
    /// When it was given.
    pub at_us: Micros,
    /// The record that holds the vote; its view has the approver's reason.
    pub record: RecordId,
    /// The approver's Ed25519 signature in base64, when signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Arc<str>>,
    /// The id of the key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Arc<str>>,
}

/// The end of a request that is not consumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalClosing {
    /// Which request.
    pub approval: ApprovalId,
    /// The state that it must be in: `pending` or `approved`.
    pub from: ApprovalState,
    /// How it ends: `expired` or `cancelled`.
    pub state: ApprovalState,
    /// Why: `expired`, `timeout`, `superseded`, `withdrawn`.
    pub code: Arc<str>,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has decided it yet.
    Pending,
    /// Enough people said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Its time ran out.
    Expired,
    /// It no longer matters, for instance because it was superseded.
    Cancelled,
    /// It was approved and used.
    Consumed,
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Consumed => "consumed",
        })
    }
}

/// The use of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumption {
    /// Which approval.
    pub approval: ApprovalId,
    /// The digest of the call that runs.
    pub digest: Digest,
}
