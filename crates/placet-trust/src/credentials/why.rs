//! Why a credential does not hold.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::RevocationTarget;
use placet_types::{CredentialId, DenyCause, Micros};

use super::registry::{HARD_MAX_DEPTH, MAX_SCOPES};
use crate::state::Refusal;

/// Why a credential does not hold, or may not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Nobody issued it here.
    #[error("the credential `{0}` is unknown; issue one with the broker of this ledger")]
    Unknown(CredentialId),
    /// Its time is over.
    #[error(
        "the credential `{id}` expired {seconds} s ago; issue a new one",
        seconds = at.0.saturating_sub(expires.0) / 1_000_000
    )]
    Expired {
        /// Which.
        id: CredentialId,
        /// When it expired.
        expires: Micros,
        /// When it was looked at.
        at: Micros,
    },
    /// Its time has not begun.
    #[error(
        "the credential `{id}` is not valid for another {seconds} s",
        seconds = not_before.0.saturating_sub(at.0).saturating_add(999_999) / 1_000_000
    )]
    NotYetValid {
        /// Which.
        id: CredentialId,
        /// From when on it is valid.
        not_before: Micros,
        /// When it was looked at.
        at: Micros,
    },
    /// It was revoked, or one of its ancestors was.
    #[error("the credential `{id}` was revoked with {target}; issue a new one", target = named(target))]
    Revoked {
        /// Which.
        id: CredentialId,
        /// What was revoked.
        target: RevocationTarget,
    },
    /// Its id is in use.
    #[error("the credential `{0}` is already registered; issue one with another id")]
    Taken(CredentialId),
    /// It is not made as a credential must be.
    #[error("the credential `{id}` {problem}")]
    Malformed {
        /// Which.
        id: CredentialId,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// It has more scopes than are kept.
    #[error("the credential `{id}` names {actual} scopes; the limit is {MAX_SCOPES}; name fewer")]
    TooManyScopes {
        /// Which.
        id: CredentialId,
        /// How many.
        actual: usize,
    },
    /// It lies deeper than its ancestors allow.
    #[error(
        "the credential `{id}` would lie {depth} delegations deep; the limit is {limit} (at most {HARD_MAX_DEPTH}); delegate from a credential nearer the root"
    )]
    TooDeep {
        /// Which.
        id: CredentialId,
        /// Its depth.
        depth: u32,
        /// The limit that its parent or the deployment sets.
        limit: u32,
    },
    /// It would exceed its parent.
    #[error("the credential `{id}` exceeds its parent `{parent}`: {what}; ask for less")]
    Exceeds {
        /// Which.
        id: CredentialId,
        /// Its parent.
        parent: CredentialId,
        /// In what, with both values.
        what: Arc<str>,
    },
    /// A chain whose elements do not follow from one another.
    #[error(
        "the credential `{id}` was not delegated from `{before}`; show the chain from the root to the holder"
    )]
    Unlinked {
        /// Which.
        id: CredentialId,
        /// What stands before it in the chain.
        before: CredentialId,
    },
    /// An empty chain.
    #[error("no credential was shown; pass the token that the broker issued")]
    Missing,
    /// Another session than the one it was issued to.
    #[error(
        "the credential `{id}` was issued to the session `{issued}`, and not to `{shown}`; use the session's own"
    )]
    OtherSession {
        /// Which.
        id: CredentialId,
        /// To which session it was issued.
        issued: Arc<str>,
        /// Which session showed it.
        shown: Arc<str>,
    },
}

fn named(target: &RevocationTarget) -> String {
    match target {
        RevocationTarget::Credential(id) => format!("the credential `{id}`"),
        RevocationTarget::Session(name) => format!("the session `{name}`"),
        RevocationTarget::Agent(name) => format!("the agent `{name}`"),
        RevocationTarget::Tenant(name) => format!("the tenant `{name}`"),
        RevocationTarget::All => "everything issued until then".to_owned(),
    }
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        Self::new(DenyCause::CredentialValidation, why.to_string())
    }
}
