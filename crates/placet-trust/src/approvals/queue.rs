//! The queue of requests: what people and waiting calls do with it, over any ledger.
//!
//! It holds nothing: every call reads the ledger, so that a queue in another process, or after a restart, is the same
//! queue. Time and ids come from the [`Host`].
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use placet_types::ledger::{
    ApprovalClaim, ApprovalClosing, ApprovalEntry, ApprovalMark, ApprovalState, ApprovalTold, Vote,
    VoteStrength,
};
use placet_types::record::ChangeFact;
use placet_types::{Ack, ApprovalId, ApproverId, Fact, LedgerOp, Micros, Record, RecordId};
use serde_json::{Map, Value};

use super::notices::Owed;
use super::{Approval, ApprovalError, Approvals, Ballot};
use crate::ledger::{Freshness, Ledger, LedgerError, Personal, Proposal};
use crate::state::Refusal;

/// What the queue needs from around it.
pub trait Host: Send + Sync {
    /// The time of day.
    fn now(&self) -> Micros;
    /// The monotonic clock by which waiting ends.
    fn instant(&self) -> Instant;
    /// A new id: a UUIDv7.
    fn new_id(&self) -> String;
}

/// The queue of requests for approval.
#[derive(Clone, Copy)]
pub struct Queue<'a> {
    ledger: &'a dyn Ledger,
    host: &'a dyn Host,
}

/// Who answers, and how well that is known.
#[derive(Debug, Clone, Copy)]
pub struct Voter<'a> {
    /// Who.
    pub approver: &'a ApproverId,
    /// How well it is known.
    pub proof: Proof<'a>,
    /// Through which channel: `terminal`, `callback`, `webhook`, `cli`, `api`.
    pub channel: &'a str,
}

/// How it is known who answers.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// The channel says so.
    Asserted,
    /// The approver is logged in.
    Session,
    /// The approver signs, here and now, with this key.
    Key(&'a SigningKey),
}

/// A request that was asked or joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub id: ApprovalId,
    /// Whether it was open already, for the same call.
    pub joined: bool,
}

/// Why the queue could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The request does not allow it.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// The ledger failed; nothing may be assumed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger refused it for another reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl<'a> Queue<'a> {
    /// A queue over a ledger.
    #[must_use]
    pub fn new(ledger: &'a dyn Ledger, host: &'a dyn Host) -> Self {
        Self { ledger, host }
    }

    /// Asks people, or joins the open request for the same call.
    ///
    /// # Errors
    /// [`QueueError`]; then nobody was asked.
    pub fn ask(
        &self,
        entry: ApprovalEntry,
        view: Option<Map<String, Value>>,
        personal: Vec<Personal>,
    ) -> Result<Asked, QueueError> {
        let id = entry.id.clone();
        let mut record = self.record("system", &entry);
        record.ops.push(LedgerOp::Ask(Box::new(entry.clone())));
        let outcome = self.commit(record, view, personal, |approvals, at| approvals.check_ask(&entry, at));
        match outcome {
            Ok(()) => Ok(Asked { id, joined: false }),
            Err(QueueError::Approval(ApprovalError::OpenAlready(open))) => {
                Ok(Asked { id: open, joined: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Says yes. The request as it stands afterwards; with a quorum of more than one it may still wait for others.
    ///
    /// # Errors
    /// [`QueueError`]; then the vote does not count. [`ApprovalError::is_conflict`] tells that somebody was faster.
    pub fn approve(
        &self,
        id: &ApprovalId,
        voter: &Voter<'_>,
        reason: Option<&str>,
    ) -> Result<Approval, QueueError> {
        let vote = self.ballot(id, voter, true)?;
        self.vote(vote, reason)
    }

    /// Says no, which is final.
    ///
    /// # Errors
    /// As [`Queue::approve`].
    pub fn deny(
        &self,
        id: &ApprovalId,
        voter: &Voter<'_>,
        reason: Option<&str>,
    ) -> Result<Approval, QueueError> {
        let vote = self.ballot(id, voter, false)?;
        self.vote(vote, reason)
    }

    /// Casts a vote that was made elsewhere, for instance signed on the approver's own machine.
    ///
    /// # Errors
    /// As [`Queue::approve`].
    pub fn vote(&self, vote: Vote, reason: Option<&str>) -> Result<Approval, QueueError> {
        let approval = self.known(&vote.approval)?;
        let mut record = self.record(&vote.approver.0, &approval.entry);
        record.id = vote.record.clone();
        record.ops.push(LedgerOp::Vote(Box::new(vote.clone())));
        let view = reason.map(|reason| Map::from_iter([("reason".to_owned(), Value::from(reason))]));
        self.commit(record, view, Vec::new(), |approvals, at| approvals.check_vote(&vote, at))?;
        self.known(&vote.approval)
    }

    /// One request.
    ///
    /// # Errors
    /// [`QueueError::Ledger`].
    pub fn get(&self, id: &ApprovalId) -> Result<Option<Approval>, QueueError> {
        self.read(|approvals| approvals.get(id).cloned())
    }

    /// The requests that wait for an answer, oldest first.
    ///
    /// # Errors
    /// [`QueueError::Ledger`].
    pub fn pending(&self) -> Result<Vec<Approval>, QueueError> {
        let at = self.host.now();
        self.read(|approvals| approvals.pending(at).cloned().collect())
    }

    /// Writes down which requests have expired. Safety does not depend on it. Returns how many.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn expire(&self) -> Result<usize, QueueError> {
        let at = self.host.now();
        self.close_all("expired", |approval| at >= approval.entry.expires_us)
    }

    /// Ends the requests that have waited for so long, whatever their own expiry. Returns how many.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn expire_older_than(&self, age: Duration) -> Result<usize, QueueError> {
        let at = self.host.now();
        let age_us = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        self.close_all("timeout", |approval| {
            approval.state == ApprovalState::Pending && at.0.saturating_sub(approval.recorded_us.0) >= age_us
        })
    }

    /// Takes back a request, whether or not it was approved, with a code that says why: `superseded`, `withdrawn`.
    ///
    /// # Errors
    /// [`QueueError`]; a conflict when it has ended.
    pub fn cancel(&self, id: &ApprovalId, by: &str, code: &str) -> Result<Approval, QueueError> {
        // A request changes its state at most once while it is open.
        let first = self.known(id)?;
        match self.close(&first, by, ApprovalState::Cancelled, code) {
            Err(QueueError::Approval(ApprovalError::State { state: ApprovalState::Approved, .. })) => {
                self.close(&self.known(id)?, by, ApprovalState::Cancelled, code)?;
            }
            other => other?,
        }
        self.known(id)
    }

    /// Takes back a request and asks another in its place, because what would run has changed.
    ///
    /// # Errors
    /// [`QueueError`]. When only the second step failed, the old request is gone and nothing was asked.
    pub fn supersede(
        &self,
        old: &ApprovalId,
        entry: ApprovalEntry,
        view: Option<Map<String, Value>>,
        personal: Vec<Personal>,
    ) -> Result<Asked, QueueError> {
        self.cancel(old, "system", "superseded")?;
        self.ask(entry, view, personal)
    }

    /// Says that a person works on the request for so long: meanwhile nobody else can say yes.
    ///
    /// # Errors
    /// [`QueueError`]; a conflict when somebody else does.
    pub fn claim(&self, id: &ApprovalId, by: &ApproverId, lasts: Duration) -> Result<Approval, QueueError> {
        let lasts = u32::try_from(lasts.as_secs()).unwrap_or(u32::MAX);
        self.claim_until(id, by, self.host.now().plus_seconds(lasts))
    }

    /// Says that a person works on the request no more.
    ///
    /// # Errors
    /// [`QueueError`]; a conflict when somebody else does.
    pub fn release(&self, id: &ApprovalId, by: &ApproverId) -> Result<Approval, QueueError> {
        self.claim_until(id, by, self.host.now())
    }

    fn claim_until(
        &self,
        id: &ApprovalId,
        by: &ApproverId,
        until_us: Micros,
    ) -> Result<Approval, QueueError> {
        let mut record = self.record(&by.0, &self.known(id)?.entry);
        let claim = ApprovalClaim { approval: id.clone(), by: by.clone(), until_us };
        record.ops.push(LedgerOp::Claim(claim.clone()));
        self.commit(record, None, Vec::new(), |approvals, at| approvals.check_claim(&claim, at))?;
        self.known(id)
    }

    /// Records what time did to requests, and which have expired. Returns what it recorded itself.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn keep_time(&self) -> Result<Vec<ApprovalMark>, QueueError> {
        let at = self.host.now();
        let mut marked = Vec::new();
        for mark in self.read(|approvals| approvals.due(at))? {
            let Some(approval) = self.get(&mark.approval)? else { continue };
            let mut record = self.record("system", &approval.entry);
            record.ops.push(LedgerOp::Mark(mark.clone()));
            let done = self.commit(record, None, Vec::new(), |approvals, at| approvals.check_mark(&mark, at));
            match done {
                Ok(()) => marked.push(mark),
                // Another process was faster, or somebody decided in the last moment.
                Err(QueueError::Approval(error)) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        self.expire()?;
        Ok(marked)
    }

    /// What a channel has not been told.
    ///
    /// # Errors
    /// [`QueueError::Ledger`].
    pub fn owed(&self, channel: &str) -> Result<Vec<Owed>, QueueError> {
        let at = self.host.now();
        self.read(|approvals| approvals.owed(channel, at))
    }

    /// Says that the caller tells a channel something, for at most so long. False when somebody else does or did.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn tell(&self, owed: &Owed, channel: &Arc<str>, lasts: Duration) -> Result<bool, QueueError> {
        let lasts = u32::try_from(lasts.as_secs()).unwrap_or(u32::MAX);
        self.note(owed, channel, Some(self.host.now().plus_seconds(lasts)))
    }

    /// Records that a channel was told.
    ///
    /// # Errors
    /// [`QueueError`]; then it may be told again.
    pub fn told(&self, owed: &Owed, channel: &Arc<str>) -> Result<bool, QueueError> {
        self.note(owed, channel, None)
    }

    /// Records that a channel could not be told, so that anybody may try again.
    ///
    /// # Errors
    /// [`QueueError`]; then others wait until the caller's time is over.
    pub fn untold(&self, owed: &Owed, channel: &Arc<str>) -> Result<bool, QueueError> {
        self.note(owed, channel, Some(self.host.now()))
    }

    fn note(&self, owed: &Owed, channel: &Arc<str>, until_us: Option<Micros>) -> Result<bool, QueueError> {
        let entry = &owed.approval.entry;
        let mut record = self.record("system", entry);
        let (approval, channel) = (entry.id.clone(), channel.clone());
        let told = ApprovalTold { approval, event: owed.event, channel, until_us };
        record.ops.push(LedgerOp::Told(told.clone()));
        match self.commit(record, None, Vec::new(), |approvals, at| approvals.check_told(&told, at)) {
            Ok(()) => Ok(true),
            Err(QueueError::Approval(error)) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the request is no longer pending, by whatever process, or until `until`, and returns it as it
    /// stands then; it may still be pending.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn wait(&self, id: &ApprovalId, until: Instant) -> Result<Approval, QueueError> {
        loop {
            // The length is taken before the look, so that what comes between the two ends the wait.
            let seen = self.ledger.wait(0, self.host.instant())?;
            let approval = self.known(id)?;
            let (now, instant) = (self.host.now(), self.host.instant());
            if approval.state_at(now) != ApprovalState::Pending || instant >= until {
                return Ok(approval);
            }
            let left_us = approval.entry.expires_us.0.saturating_sub(now.0);
            let expiry = instant.checked_add(Duration::from_micros(left_us.unsigned_abs()));
            self.ledger.wait(seen, expiry.map_or(until, |expiry| expiry.min(until)))?;
        }
    }

    /// As [`Queue::wait`], but a request that nobody decided by `until` ends as expired.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn wait_for_decision(&self, id: &ApprovalId, until: Instant) -> Result<Approval, QueueError> {
        let approval = self.wait(id, until)?;
        if approval.state != ApprovalState::Pending {
            return Ok(approval);
        }
        let code = if self.host.now() >= approval.entry.expires_us { "expired" } else { "timeout" };
        match self.close(&approval, "system", ApprovalState::Expired, code) {
            // Somebody decided in the last moment, and was first.
            Ok(()) | Err(QueueError::Approval(ApprovalError::State { .. })) => self.known(id),
            Err(error) => Err(error),
        }
    }

    fn close_all(&self, code: &str, due: impl Fn(&Approval) -> bool) -> Result<usize, QueueError> {
        let due: Vec<Approval> =
            self.read(|approvals| approvals.open().filter(|approval| due(approval)).cloned().collect())?;
        let mut closed = 0;
        for approval in due {
            match self.close(&approval, "system", ApprovalState::Expired, code) {
                Ok(()) => closed += 1,
                // Another one was faster.
                Err(QueueError::Approval(ApprovalError::State { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(closed)
    }

    fn close(
        &self,
        approval: &Approval,
        by: &str,
        state: ApprovalState,
        code: &str,
    ) -> Result<(), QueueError> {
        let closing = ApprovalClosing {
            approval: approval.entry.id.clone(),
            from: approval.state,
            state,
            code: code.into(),
        };
        // Closing is only from an open state; of an ended request it says what it is.
        if !matches!(approval.state, ApprovalState::Pending | ApprovalState::Approved) {
            let (id, state) = (closing.approval, approval.state);
            return Err(ApprovalError::State { id, state, wanted: ApprovalState::Pending }.into());
        }
        let mut record = self.record(by, &approval.entry);
        record.ops.push(LedgerOp::Close(closing.clone()));
        self.commit(record, None, Vec::new(), |approvals, at| approvals.check_close(&closing, at))
    }

    fn ballot(&self, id: &ApprovalId, voter: &Voter<'_>, approve: bool) -> Result<Vote, QueueError> {
        let (entry, groups) = self.read(|approvals| {
            let entry = approvals.get(id).map(|approval| approval.entry.clone());
            (entry, approvals.reviewers().groups_of(voter.approver))
        })?;
        let entry = entry.ok_or_else(|| ApprovalError::Unknown(id.clone()))?;
        let mut vote = Vote {
            approval: id.clone(),
            digest: entry.digest,
            approver: voter.approver.clone(),
            groups,
            approve,
            strength: match voter.proof {
                Proof::Asserted => VoteStrength::Asserted,
                Proof::Session => VoteStrength::Session,
                Proof::Key(_) => VoteStrength::Signed,
            },
            channel: voter.channel.into(),
            at_us: self.host.now(),
            record: RecordId::from(self.host.new_id()),
            signature: None,
            key: None,
        };
        if let Proof::Key(key) = voter.proof {
            let (signature, id) = Ballot::of(&entry, &vote).sign(key);
            (vote.signature, vote.key) = (Some(signature), Some(id));
        }
        Ok(vote)
    }

    fn record(&self, by: &str, entry: &ApprovalEntry) -> Record {
        let fact = Fact::Change(ChangeFact { by: Arc::from(by) });
        let mut record = Record::new(RecordId::from(self.host.new_id()), fact);
        record.tenant.clone_from(&entry.tenant);
        record.session.clone_from(&entry.session);
        record
    }

    fn known(&self, id: &ApprovalId) -> Result<Approval, QueueError> {
        Ok(self.get(id)?.ok_or_else(|| ApprovalError::Unknown(id.clone()))?)
    }

    fn read<T>(&self, look: impl FnOnce(&Approvals) -> T) -> Result<T, QueueError> {
        let mut look = Some(look);
        let mut seen = None;
        self.ledger.read(Freshness::Now, &mut |state| {
            if let Some(look) = look.take() {
                seen = Some(look(&state.approvals));
            }
        })?;
        seen.ok_or_else(|| unread().into())
    }

    /// Commits, and when the ledger refuses, asks the state for the reason in its own type.
    fn commit(
        &self,
        record: Record,
        view: Option<Map<String, Value>>,
        personal: Vec<Personal>,
        check: impl Fn(&Approvals, Micros) -> Result<(), ApprovalError>,
    ) -> Result<(), QueueError> {
        let receipt = self.ledger.commit(
            Proposal { record, view: view.map(Into::into), personal, fallback: None },
            Ack::Durable,
        )?;
        let Some(refusal) = receipt.refused else { return Ok(()) };
        // The time of the log, which is not that of this machine where another one's clock is ahead.
        self.read(|approvals| check(approvals, receipt.time_us))??;
        Err(refusal.into())
    }
}

/// A ledger that says it was read, but did not show its state.
fn unread() -> LedgerError {
    LedgerError::Unavailable {
        ledger: "ledger".into(),
        action: "read",
        cause: "it did not show its state".to_owned(),
    }
}
