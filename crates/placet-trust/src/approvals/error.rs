//! Why an approval operation is refused.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::{ApprovalEvent, ApprovalState, VoteStrength};
use placet_types::{ApprovalId, ApproverId, DenyCause, Micros};

use crate::state::Refusal;

/// Why an operation on an approval request is refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// No such request.
    #[error("there is no approval request `{0}`; list the pending ones with `placet approvals list`")]
    Unknown(ApprovalId),
    /// The id is in use.
    #[error("the approval request `{0}` exists already; ask under a new id")]
    Taken(ApprovalId),
    /// The same call already waits, or was approved and not yet used.
    #[error("the approval request `{0}` for the same call is open; wait for that one")]
    OpenAlready(ApprovalId),
    /// The request cannot be asked like this.
    #[error("the approval request `{id}` {problem}")]
    Malformed {
        /// Which request.
        id: ApprovalId,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// The session has too many requests open.
    #[error(
        "the session `{session}` has {open} approval requests open, its limit; decide or cancel some of them"
    )]
    TooMany {
        /// Which session.
        session: Arc<str>,
        /// How many are open.
        open: usize,
    },
    /// The request is in another state than the operation needs.
    #[error("the approval request `{id}` is {state}, not {wanted}; read it again, or ask anew")]
    State {
        /// Which request.
        id: ApprovalId,
        /// Its state now.
        state: ApprovalState,
        /// The state that the operation needs.
        wanted: ApprovalState,
    },
    /// The time of the request ran out.
    #[error("the approval request `{id}` expired{}; ask anew", moment(*expires_us))]
    Expired {
        /// Which request.
        id: ApprovalId,
        /// When it expired.
        expires_us: Micros,
    },
    /// What runs, or what was voted on, is not what was asked for.
    #[error(
        "the approval request `{0}` is for another call; what was approved must be what runs, so ask anew"
    )]
    OtherCall(ApprovalId),
    /// The person asked for it.
    #[error("`{approver}` asked for `{id}` and so cannot answer it; somebody else has to")]
    Requester {
        /// Which request.
        id: ApprovalId,
        /// Who tried to answer.
        approver: ApproverId,
    },
    /// The person may not answer this request.
    #[error(
        "`{approver}` is no reviewer of `{id}`; it waits for {wanted}: `approvals.groups` in `placet.yaml` says who that is"
    )]
    NotReviewer {
        /// Which request.
        id: ApprovalId,
        /// Who tried to answer.
        approver: ApproverId,
        /// Who may answer.
        wanted: String,
    },
    /// It is not well enough known who votes.
    #[error("a yes that is {given} is too weak for `{id}`; it must be {needed}")]
    TooWeak {
        /// Which request.
        id: ApprovalId,
        /// The strength of the vote.
        given: VoteStrength,
        /// The weakest strength that counts.
        needed: VoteStrength,
    },
    /// The person gave this answer before.
    #[error("`{approver}` answered `{id}` already; a vote counts once")]
    Repeated {
        /// Which request.
        id: ApprovalId,
        /// Who answered twice.
        approver: ApproverId,
    },
    /// Somebody else works on the request.
    #[error("`{by}` has claimed the approval request `{id}`; wait, ask them to release it, or say no")]
    Claimed {
        /// Which request.
        id: ApprovalId,
        /// Who.
        by: ApproverId,
    },
    /// It was recorded before.
    #[error("of the approval request `{id}` it was recorded already that it was {event}")]
    Recorded {
        /// Which request.
        id: ApprovalId,
        /// What.
        event: ApprovalEvent,
    },
    /// Somebody else is about to tell it.
    #[error(
        "somebody else is about to tell `{channel}` that the approval request `{id}` was {event}; leave it to them"
    )]
    Telling {
        /// Which request.
        id: ApprovalId,
        /// What.
        event: ApprovalEvent,
        /// Whom.
        channel: Arc<str>,
    },
    /// It is not so.
    #[error("the approval request `{id}` was not {event} then; read it again")]
    NotSo {
        /// Which request.
        id: ApprovalId,
        /// What.
        event: ApprovalEvent,
    },
    /// A signature is missing, does not hold, or is by a key that is not configured.
    #[error(
        "the vote of `{approver}` on `{id}` {problem}; sign it with a key of `{approver}` known to this deployment"
    )]
    Signature {
        /// Which request.
        id: ApprovalId,
        /// Whose vote.
        approver: ApproverId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The votes do not add up under the reviewers that are configured now.
    #[error("`{id}` has {counted} of {needed} valid votes of {wanted}; cancel it and ask anew")]
    TooFew {
        /// Which request.
        id: ApprovalId,
        /// How many votes count.
        counted: usize,
        /// How many are needed.
        needed: u32,
        /// Of whom.
        wanted: String,
    },
}

/// ` at 2026-11-26T12:00:00Z`; nothing for a time that is none.
fn moment(at: Micros) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0.div_euclid(1_000_000).saturating_mul(1_000_000));
    at.map_or_else(|_| String::new(), |at| format!(" at {at}"))
}

impl ApprovalError {
    /// The cause of the deny that follows.
    #[must_use]
    pub fn cause(&self) -> DenyCause {
        match self {
            Self::State { state: ApprovalState::Denied, .. } => DenyCause::ApprovalDenied,
            _ => DenyCause::ApprovalInvalid,
        }
    }

    /// Whether another decision or the clock came first: a conflict, not a lack of rights.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::State { .. }
                | Self::Expired { .. }
                | Self::Repeated { .. }
                | Self::Claimed { .. }
                | Self::Recorded { .. }
                | Self::NotSo { .. }
                | Self::Telling { .. }
                | Self::OpenAlready(_)
                | Self::Taken(_)
        )
    }

    /// Whether the person lacks the right to answer.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(
            self,
            Self::Requester { .. } | Self::NotReviewer { .. } | Self::TooWeak { .. } | Self::Signature { .. }
        )
    }
}

impl From<ApprovalError> for Refusal {
    fn from(error: ApprovalError) -> Self {
        Self::new(error.cause(), error.to_string())
    }
}
