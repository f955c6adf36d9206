//! Why the broker refuses.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::CredentialId;

use crate::credentials::Why;
use crate::credentials::authority::{AuthorityError, Line, Witness};
use crate::credentials::keys::{NoIssuer, NoRandom};
use crate::credentials::token::TokenError;
use crate::ledger::LedgerError;
use crate::state::Refusal;

/// Why a credential is not issued, delegated or accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// An empty session.
    #[error("session_id is empty; name the session that the token is for")]
    NoSession,
    /// No scopes.
    #[error("no scopes were asked for; a token needs at least one")]
    NoScopes,
    /// An empty scope, or one longer than 256 bytes.
    #[error("the scope `{0}` is empty or longer than 256 bytes; name it")]
    Scope(Arc<str>),
    /// A life of another length than the deployment allows.
    #[error("ttl_seconds is {asked}; it must be from 1 to {limit}")]
    Ttl {
        /// What was asked for.
        asked: i64,
        /// The limit of the deployment.
        limit: u32,
    },
    /// The credential that was shown does not hold.
    #[error(transparent)]
    Invalid(#[from] Why),
    /// The parent does not hold.
    #[error("Parent token '{parent}' is invalid or expired: {why}")]
    Parent {
        /// Its public id.
        parent: CredentialId,
        /// Why.
        #[source]
        why: Why,
    },
    /// Delegating nothing.
    #[error("Delegation requires at least one scope; name those that the child may use")]
    NothingDelegated,
    /// Scopes that the parent has not.
    #[error("Requested scopes exceed parent grant — forbidden: [{}]", quoted(.0))]
    Scopes(Vec<Arc<str>>),
    /// Limits that the parent has not.
    #[error("Requested authority exceeds parent grant — {}{}", lines_text(.lines), example(.found.as_ref()))]
    Exceeds {
        /// In what.
        lines: Vec<Line>,
        /// Something that the child could do and the parent could not.
        found: Option<Witness>,
    },
    /// The parent has limits that are neither remembered nor to be found in the log.
    #[error(
        "the limits of the credential `{0}` were erased from the log, and this process did not issue it; issue another one"
    )]
    UnknownAuthority(CredentialId),
    /// An authority that nobody may have.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A chain of signed tokens that does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A chain of signed tokens that anybody could have copied.
    #[error(
        "a chain of signed tokens was shown without a proof of possession; sign each call with the holder's key"
    )]
    Unproven,
    /// The issuer's keys cannot be used.
    #[error(transparent)]
    NoIssuer(#[from] NoIssuer),
    /// The state of the ledger does not allow it.
    #[error("{0}")]
    Refused(Refusal),
    /// The ledger failed; nothing was issued or revoked.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

impl BrokerError {
    /// In what more was asked for than there is, line by line; empty for other errors.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        match self {
            Self::Exceeds { lines, .. } | Self::Token(TokenError::Exceeds { lines, .. }) => lines,
            _ => &[],
        }
    }

    /// Something that the child could do and the parent could not, if one was found.
    #[must_use]
    pub fn witness(&self) -> Option<&Witness> {
        match self {
            Self::Exceeds { found, .. } | Self::Token(TokenError::Exceeds { found, .. }) => found.as_ref(),
            _ => None,
        }
    }
}

fn quoted(scopes: &[Arc<str>]) -> String {
    scopes.iter().map(|scope| format!("'{}'", scope.escape_debug())).collect::<Vec<_>>().join(", ")
}

fn lines_text(lines: &[Line]) -> String {
    lines.iter().map(Line::to_string).collect::<Vec<_>>().join("; ")
}

fn example(found: Option<&Witness>) -> String {
    found.map(|witness| format!("; it would allow {witness}")).unwrap_or_default()
}
