//! What audit keeps: one record for each thing that happened.
//!
//! A record holds ids, codes, integers and digests, and nothing a person wrote: arguments, results and reasons stand
//! redacted in a *view* beside it, which can be erased while the record stays. What a record changed in the state of
//! the ledger stands in it as [`LedgerOp`]s, so that the log alone gives the state.
//!
//! Members stand here in the order of their names, so that nothing has to be sorted for the canonical form.
//! Integers stay below 2^53 and there are no floats, so that the canonical form of RFC 8785 is plain.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::decision::{Identity, ReviewerGroup, RiskTier};
use crate::ids::{ApprovalId, CredentialId, Digest, Micros, RecordId};
use crate::ledger::LedgerOp;

/// The format that this release writes.
pub const RECORD_FORMAT: u8 = 1;

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// For each personal field of the view: SHA-256 over its salt and its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commitments: BTreeMap<Arc<str>, Digest>,
    /// What happened.
    pub fact: Fact,
    /// Its id.
    pub id: RecordId,
    /// What it changed in the state, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops: Vec<LedgerOp>,
    /// The session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// When it was committed; the ledger sets it, and it never runs backwards within a log.
    pub time_us: Micros,
    /// The format, [`RECORD_FORMAT`].
    pub v: u8,
    /// SHA-256 of the readable view as it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<Digest>,
}

impl Record {
    /// A record of nothing but its fact; the ledger sets the time.
    #[must_use]
    pub fn new(id: RecordId, fact: Fact) -> Self {
        Self {
            v: RECORD_FORMAT,
            id,
            time_us: Micros::default(),
            tenant: None,
            session: None,
            agent: None,
            fact,
            ops: Vec::new(),
            view: None,
            commitments: BTreeMap::new(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly every fact is a decision, or the outcome of one")]
pub enum Fact {
    /// An event was decided; committed before any effect.
    Decision(DecisionFact),
    /// What became of an allowed event; committed after the effect.
    Outcome(OutcomeFact),
    /// The state was changed by someone with the authority to: credentials, approvals, budgets.
    Change(ChangeFact),
    /// Views or personal fields were erased; the records stay.
    Erasure(ErasureFact),
    /// The keys that sign were changed.
    Keys(KeyFact),
    /// Something was found and set right when the log was opened.
    Recovery(RecoveryFact),
}

impl Fact {
    /// The word for the kind of fact.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Decision(_) => "decision",
            Self::Outcome(_) => "outcome",
            Self::Change(_) => "change",
            Self::Erasure(_) => "erasure",
            Self::Keys(_) => "keys",
            Self::Recovery(_) => "recovery",
        }
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionFact {
    /// What was to be done.
    pub action: SmolStr,
    /// The approval that satisfied the escalating rules, or that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalId>,
    /// HMAC of the digest of the frozen arguments, under the tenant's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Digest>,
    /// The stable code of the verdict.
    pub code: SmolStr,
    /// The credential that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialId>,
    /// How many delegations lie before this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// `tool_call`, `agent.spawn`, `agent.delegate`, `agent.plan`, `agent.budget` or `data.access`.
    pub event_type: SmolStr,
    /// Whether it was a hard deny.
    pub hard: bool,
    /// Who vouches for the identity.
    pub identity: Identity,
    /// Whether a permit was given: then an effect may have followed, and an outcome is owed.
    pub permit: bool,
    /// The tools that the steps of an allowed plan name: from here on the session calls no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Arc<str>>,
    /// The digest of the policies that decided.
    pub policy_version: Arc<str>,
    /// Who may decide an escalation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<ReviewerGroup>,
    /// The risk tier.
    pub risk_tier: RiskTier,
    /// The names of the rules that carried the outcome.
    pub rules: Vec<Arc<str>>,
    /// Which tool was to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<SmolStr>,
    /// `allow`, `deny` or `escalate`.
    pub verdict: SmolStr,
}

/// What became of an allowed event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeFact {
    /// The decision's record.
    pub decision: RecordId,
    /// How long the effect took.
    pub elapsed_us: u64,
    /// The type of the error, for instance `ValueError`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Arc<str>>,
    /// How many spans of the result were taken for prompt injection.
    pub injections: u32,
    /// How it ended.
    pub status: OutcomeStatus,
}

/// How an effect ended. An allowed decision without an outcome is *unknown*, never failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// It returned.
    Succeeded,
    /// It raised, or reported an error.
    Failed,
    /// It was cancelled or closed before its end; what it did by then is unknown.
    Cancelled,
    /// The permit was given back unspent: the effect never began.
    NotStarted,
}

/// A change of state that no event caused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeFact {
    /// Who made it, as far as known: `system`, or the name of a person or service.
    pub by: Arc<str>,
}

/// The ground of an erasure that leaves the text in the archive, under its keys.
pub const ARCHIVED: &str = "archived";

/// What was erased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureFact {
    /// On which ground, for instance `gdpr-17`.
    pub basis: Arc<str>,
    /// Who asked for it.
    pub by: Arc<str>,
    /// The personal fields erased; empty when whole views were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Arc<str>>,
    /// The positions of the records whose views or fields were erased.
    pub records: Vec<u64>,
}

/// A change of the keys that sign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFact {
    /// The public key that signs from now on, as text.
    pub added: Arc<str>,
    /// Who changed them.
    pub by: Arc<str>,
    /// Until when the key before it signs beside it; its public half verifies what it signed for good.
    pub overlap_until_us: Micros,
    /// What the keys sign: `checkpoints` or `credentials`.
    pub signs: Arc<str>,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryFact {
    /// A stable code: `clock_went_back`, [`ROLLBACK_ACCEPTED`].
    pub code: Arc<str>,
    /// How many things were concerned: seconds, or lost entries.
    pub count: u64,
    /// With [`ROLLBACK_ACCEPTED`]: from where to where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Box<RollbackFact>>,
}

/// The code of a recovery by which an older copy of the log was accepted in place of a longer one.
pub const ROLLBACK_ACCEPTED: &str = "rollback_accepted";

/// An older copy of the log that goes on in place of a longer one. The reason stands in the record's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackFact {
    /// Who accepted it.
    pub by: Arc<str>,
    /// The signed checkpoints that the log does not extend from here on, the largest first.
    pub lost: Vec<LostCheckpoint>,
    /// The root over them.
    pub root: Digest,
    /// How many entries the copy has.
    pub size: u64,
}

/// A checkpoint of more entries than are left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostCheckpoint {
    /// Where it was kept: `anchor` or `key_folder`.
    pub kept: Arc<str>,
    /// The root over them.
    pub root: Digest,
    /// How many entries it covers.
    pub size: u64,
}

/// How safe a record must be before what depends on it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// It survives the end of the process, also `kill -9`; a power cut may lose it.
    Written,
    /// It was flushed to the disk.
    #[default]
    Durable,
    /// A signed checkpoint covers it.
    Published,
}
