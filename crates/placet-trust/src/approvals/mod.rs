//! Approvals: what people were asked, what they answered, and whether it may be used.
//!
//! One request goes `pending → approved | denied | expired | cancelled`, and `approved → consumed`. Every step is
//! compare-and-set: the first decision wins, and a use is the only one. Time is the record's; a request past its
//! expiry is dead whether or not somebody wrote that down.
//!
//! **Votes are evidence, rows are a cache.** The state follows from the recorded votes alone, so that every process
//! that replays the log has the same state. Who may vote comes from configuration outside the database
//! ([`Reviewers`], set with [`Approvals::set_reviewers`]): it is looked at when a vote is admitted, and again when the
//! approval is consumed, where each signature is verified and the votes are recounted ([`evidence`]). A process that
//! is not configured admits only `asserted` votes, and only on requests that ask for no more and name no group.
//!
//! This module asks nobody: channels (terminal, webhook, callback) are the runtime's. It has the rules by which their
//! answers are read ([`answer`]), signed ([`webhook`]) and shown ([`display`]).
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod answer;
pub mod display;
mod encoding;
mod error;
mod evidence;
pub mod notices;
pub mod queue;
mod reviewers;
pub mod sla;
mod subject;
pub mod webhook;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use placet_types::ledger::{ApprovalClosing, ApprovalEntry, ApprovalEvent, ApprovalState, Consumption, Vote};
use placet_types::{ApprovalId, ApproverId, DenyCause, Digest, LedgerOp, Micros, RecordId};
use serde::Serialize;

use crate::canonical;
use crate::state::{Refusal, StateKey, StateRow};

pub(crate) use encoding::keyed;
pub use error::ApprovalError;
pub use evidence::{Ballot, evidence};
pub use reviewers::{ReviewerKeyError, Reviewers};
pub use subject::{ApprovalSubject, Terms};

/// Most requests of one session that wait at a time, so that an agent cannot drown its reviewers.
pub const MAX_PENDING_PER_SESSION: usize = 100;

/// Why a request ended that was open when an older copy of the log was accepted: it may have been used in the lost part.
pub const ROLLED_BACK: &str = "rolled_back";

/// Approvals of a log.
#[derive(Debug, Clone, Default)]
pub struct Approvals {
    all: HashMap<ApprovalId, Approval>,
    /// Those not ended, in the order in which they were asked.
    open: BTreeMap<u64, ApprovalId>,
    /// The latest request of each key.
    latest: HashMap<Digest, ApprovalId>,
    notices: notices::Index,
    reviewers: Arc<Reviewers>,
}

/// One request with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// What was asked.
    pub entry: ApprovalEntry,
    /// Its place among all requests of the log, from 0.
    pub order: u64,
    /// When it was recorded.
    pub recorded_us: Micros,
    /// Where it stands by what was recorded; [`Approval::state_at`] also minds the expiry.
    pub state: ApprovalState,
    /// The votes in order.
    pub votes: Vec<Cast>,
    /// Who decided it, once somebody did.
    pub decided: Option<Decided>,
    /// Why it ended unused, when it did.
    pub closed: Option<Closed>,
    /// When it was used.
    pub consumed_us: Option<Micros>,
    /// Who works on it, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claimed>,
    /// What time did to it, and when that was recorded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: BTreeMap<ApprovalEvent, Micros>,
    /// Which channels were told of what.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<Arc<str>, BTreeSet<ApprovalEvent>>,
    /// Which channels are about to be told of what, and until when nobody else needs to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub telling: BTreeMap<Arc<str>, BTreeMap<ApprovalEvent, Micros>>,
}

/// Who works on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claimed {
    /// Who.
    pub by: ApproverId,
    /// Until when.
    pub until_us: Micros,
}

/// One recorded vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cast {
    /// The vote.
    pub vote: Vote,
    /// When it was recorded.
    pub recorded_us: Micros,
}

/// The vote that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// When it was recorded.
    pub at_us: Micros,
    /// Who gave it.
    pub by: ApproverId,
    /// The record that holds it; its view has the reason.
    pub record: RecordId,
}

/// An end without use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// When.
    pub at_us: Micros,
    /// Why: `expired`, `timeout`, `superseded`, `withdrawn`, [`ROLLED_BACK`].
    pub code: Arc<str>,
}

impl Approval {
    /// Where the request stands at a moment: past its expiry an open one is expired.
    #[must_use]
    pub fn state_at(&self, at: Micros) -> ApprovalState {
        if self.is_open() && at >= self.entry.expires_us { ApprovalState::Expired } else { self.state }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, ApprovalState::Pending | ApprovalState::Approved)
    }

    /// Checks that the request is in a state at a moment.
    fn must_be(&self, wanted: ApprovalState, at: Micros) -> Result<(), ApprovalError> {
        let id = self.entry.id.clone();
        match self.state_at(at) {
            state if state == wanted => Ok(()),
            ApprovalState::Expired if self.is_open() => {
                Err(ApprovalError::Expired { id, expires_us: self.entry.expires_us })
            }
            state => Err(ApprovalError::State { id, state, wanted }),
        }
    }
}

impl Approvals {
    /// Says who may answer. Configuration, not state: it comes from outside the database and is not replayed.
    pub fn set_reviewers(&mut self, reviewers: Arc<Reviewers>) {
        self.reviewers = reviewers;
    }

    /// Who may answer.
    #[must_use]
    pub fn reviewers(&self) -> &Reviewers {
        &self.reviewers
    }

    /// One request.
    #[must_use]
    pub fn get(&self, id: &ApprovalId) -> Option<&Approval> {
        self.all.get(id)
    }

    /// The requests that wait for an answer, oldest first.
    pub fn pending(&self, at: Micros) -> impl Iterator<Item = &Approval> {
        self.open().filter(move |approval| approval.state_at(at) == ApprovalState::Pending)
    }

    /// The requests that were not ended, oldest first, also those past their expiry.
    pub fn open(&self) -> impl Iterator<Item = &Approval> {
        self.open.values().filter_map(|id| self.all.get(id))
    }

    /// Every request of the log, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Approval> {
        self.all.values()
    }

    /// The request for this call that waits, or is approved and not used.
    #[must_use]
    pub fn open_by_request_key(&self, key: &Digest, at: Micros) -> Option<&Approval> {
        self.latest_by_request_key(key).filter(|approval| {
            matches!(approval.state_at(at), ApprovalState::Pending | ApprovalState::Approved)
        })
    }

    /// The last request for this call, in whatever state. A call that was denied a moment ago is found here, so that
    /// the same people need not be asked again until that request would have expired.
    #[must_use]
    pub fn latest_by_request_key(&self, key: &Digest) -> Option<&Approval> {
        self.latest.get(key).and_then(|id| self.all.get(id))
    }

    /// Checks a request before it is asked.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_ask(&self, entry: &ApprovalEntry, at: Micros) -> Result<(), ApprovalError> {
        let malformed = |problem| Err(ApprovalError::Malformed { id: entry.id.clone(), problem });
        if self.all.contains_key(&entry.id) {
            return Err(ApprovalError::Taken(entry.id.clone()));
        }
        if let Some(open) = self.open_by_request_key(&entry.request_key, at) {
            return Err(ApprovalError::OpenAlready(open.entry.id.clone()));
        }
        if let Some(session) = &entry.session {
            let same = |open: &&Approval| {
                open.entry.session.as_ref() == Some(session) && open.entry.tenant == entry.tenant
            };
            let open = self.pending(at).filter(same).count();
            if open >= MAX_PENDING_PER_SESSION {
                return Err(ApprovalError::TooMany { session: session.clone(), open });
            }
        }
        if at >= entry.expires_us {
            return Err(ApprovalError::Expired { id: entry.id.clone(), expires_us: entry.expires_us });
        }
        if entry.quorums.is_empty() {
            return malformed("names no quorum; name at least one");
        }
        if entry.quorums.iter().any(|quorum| quorum.count == 0) {
            return malformed("has a quorum of 0; ask at least one person");
        }
        Ok(())
    }

    /// Checks a vote before it is cast.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_vote(&self, vote: &Vote, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&vote.approval)?;
        approval.must_be(ApprovalState::Pending, at)?;
        // A no stops what somebody fears, whoever works on the request.
        if vote.approve
            && let Some(claim) = approval.claimed_by_other(&vote.approver, at)
        {
            return Err(ApprovalError::Claimed { id: vote.approval.clone(), by: claim.by.clone() });
        }
        evidence::admissible(approval, vote, &self.reviewers, at)
    }

    /// Checks an end without use.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_close(&self, closing: &ApprovalClosing, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&closing.approval)?;
        let malformed = |problem| Err(ApprovalError::Malformed { id: closing.approval.clone(), problem });
        match (closing.from, closing.state) {
            (ApprovalState::Pending | ApprovalState::Approved, ApprovalState::Expired) => {
                // Its own expiry does not stand in the way of writing the expiry down.
                let id = closing.approval.clone();
                let (state, wanted) = (approval.state, closing.from);
                if state == wanted { Ok(()) } else { Err(ApprovalError::State { id, state, wanted }) }
            }
            (ApprovalState::Pending | ApprovalState::Approved, ApprovalState::Cancelled) => {
                approval.must_be(closing.from, at)
            }
            _ => malformed("can only be closed from `pending` or `approved`, as `expired` or `cancelled`"),
        }
    }

    /// Checks that an approval may be used now, for exactly this digest: recounts the votes and verifies their
    /// signatures against the reviewers configured now.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_consume(&self, consumption: &Consumption, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&consumption.approval)?;
        approval.must_be(ApprovalState::Approved, at)?;
        if approval.entry.digest != consumption.digest {
            return Err(ApprovalError::OtherCall(consumption.approval.clone()));
        }
        evidence(approval, &self.reviewers)
    }

    fn known(&self, id: &ApprovalId) -> Result<&Approval, ApprovalError> {
        self.all.get(id).ok_or_else(|| ApprovalError::Unknown(id.clone()))
    }

    /// Checks the precondition of an operation.
    ///
    /// # Errors
    /// The precondition that does not hold.
    pub(crate) fn check(&self, op: &LedgerOp, at: Micros) -> Result<(), Refusal> {
        match op {
            LedgerOp::Ask(entry) => self.check_ask(entry, at)?,
            LedgerOp::Vote(vote) => self.check_vote(vote, at)?,
            LedgerOp::Close(closing) => self.check_close(closing, at)?,
            LedgerOp::Consume(consumption) => self.check_consume(consumption, at)?,
            LedgerOp::Claim(claim) => self.check_claim(claim, at)?,
            LedgerOp::Mark(mark) => self.check_mark(mark, at)?,
            LedgerOp::Told(told) => self.check_told(told, at)?,
            _ => return Err(Refusal::new(DenyCause::ApprovalInvalid, "this is no operation on approvals")),
        }
        Ok(())
    }

    pub(crate) fn apply(&mut self, op: &LedgerOp, at: Micros) {
        match op {
            LedgerOp::Ask(entry) => self.ask(entry, at),
            LedgerOp::Vote(vote) => self.change(&vote.approval, |approval| approval.cast(vote, at)),
            LedgerOp::Close(closing) => self.change(&closing.approval, |approval| {
                approval.state = closing.state;
                approval.closed = Some(Closed { at_us: at, code: closing.code.clone() });
            }),
            LedgerOp::Consume(consumption) => self.change(&consumption.approval, |approval| {
                approval.state = ApprovalState::Consumed;
                approval.consumed_us = Some(at);
            }),
            LedgerOp::Claim(claim) => self.change(&claim.approval, |approval| approval.take(claim, at)),
            LedgerOp::Mark(mark) => self.change(&mark.approval, |approval| {
                approval.marks.insert(mark.event, at);
            }),
            LedgerOp::Told(told) => self.change(&told.approval, |approval| approval.tell(told, at)),
            LedgerOp::AcceptRollback(_) => {
                for id in self.open.values().cloned().collect::<Vec<_>>() {
                    self.change(&id, |approval| {
                        approval.state = ApprovalState::Cancelled;
                        approval.closed = Some(Closed { at_us: at, code: ROLLED_BACK.into() });
                    });
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, entry: &ApprovalEntry, at: Micros) {
        let order = self.all.len() as u64;
        self.open.insert(order, entry.id.clone());
        self.latest.insert(entry.request_key, entry.id.clone());
        let approval = Approval {
            entry: entry.clone(),
            order,
            recorded_us: at,
            state: ApprovalState::Pending,
            votes: Vec::new(),
            decided: None,
            closed: None,
            consumed_us: None,
            claim: None,
            marks: BTreeMap::new(),
            told: BTreeMap::new(),
            telling: BTreeMap::new(),
        };
        self.notices.follow(&approval);
        self.all.insert(entry.id.clone(), approval);
    }

    fn change(&mut self, id: &ApprovalId, change: impl FnOnce(&mut Approval)) {
        if let Some(approval) = self.all.get_mut(id) {
            change(approval);
            if !approval.is_open() {
                self.open.remove(&approval.order);
            }
            self.notices.follow(approval);
        }
    }

    pub(crate) fn keys(&self, op: &LedgerOp, keys: &mut Vec<StateKey>) {
        let mut touch = |id: &ApprovalId| keys.push(StateKey::Approval(id.clone()));
        match op {
            LedgerOp::Ask(entry) => {
                touch(&entry.id);
                // Whether the same call is open already is read from this row.
                if let Some(earlier) = self.latest.get(&entry.request_key) {
                    touch(earlier);
                }
            }
            LedgerOp::Vote(vote) => touch(&vote.approval),
            LedgerOp::Close(closing) => touch(&closing.approval),
            LedgerOp::Consume(consumption) => touch(&consumption.approval),
            LedgerOp::Claim(claim) => touch(&claim.approval),
            LedgerOp::Mark(mark) => touch(&mark.approval),
            LedgerOp::Told(told) => touch(&told.approval),
            LedgerOp::AcceptRollback(_) => self.open.values().for_each(touch),
            _ => {}
        }
    }

    pub(crate) fn row(&self, key: &StateKey) -> StateRow {
        let StateKey::Approval(id) = key else {
            return StateRow { kind: "approval", id: String::new(), body: None };
        };
        StateRow { kind: "approval", id: id.to_string(), body: canonical::row(self.all.get(id)) }
    }
}

impl Approval {
    fn cast(&mut self, vote: &Vote, at: Micros) {
        self.votes.push(Cast { vote: vote.clone(), recorded_us: at });
        // Whoever answered works on it no more.
        self.claim = None;
        self.state = match vote.approve {
            false => ApprovalState::Denied,
            true if evidence::decides(self) => ApprovalState::Approved,
            true => return,
        };
        self.decided = Some(Decided { at_us: at, by: vote.approver.clone(), record: vote.record.clone() });
    }
}
