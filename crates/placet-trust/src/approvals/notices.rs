//! What people are told of requests, and what of that was done: claims, what time did, and the outbox.
//!
//! The outbox is no list beside the log. That people were asked stands in the same record as the request, so whoever
//! commits the one commits the other; what a channel was told is recorded afterwards. What happened and was not told
//! is owed, in every process and after every restart. A channel may be told twice, never not at all.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_types::decision::ReviewerGroup;
use placet_types::ledger::{
    ApprovalClaim, ApprovalEntry, ApprovalEvent, ApprovalMark, ApprovalState, ApprovalTold, VoteStrength,
};
use placet_types::{ApprovalId, ApproverId, Micros};

use super::reviewers::folded;
use super::{Approval, ApprovalError, Approvals, Claimed, evidence, sla};

/// The longest claim, in seconds.
pub const MAX_CLAIM_SECONDS: u32 = 86_400;

/// The longest time for telling a channel something, in seconds.
pub const MAX_TELLING_SECONDS: u32 = 600;

/// Where to look for what is due or owed.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// What time will do to requests, unless they are decided before.
    timed: BTreeMap<(Micros, u64, ApprovalEvent), ApprovalId>,
    /// Requests that ended, of which a channel that knows them is owed news.
    telling: BTreeMap<u64, ApprovalId>,
}

impl Index {
    /// Brings the index up to a request that is new or has changed.
    pub(super) fn follow(&mut self, approval: &Approval) {
        for (at_us, event) in times(&approval.entry) {
            let key = (at_us, approval.order, event);
            if will_be(approval, event, at_us) {
                self.timed.insert(key, approval.entry.id.clone());
            } else {
                self.timed.remove(&key);
            }
        }
        if !approval.is_open()
            && approval.told.keys().any(|channel| owed_to(approval, channel).next().is_some())
        {
            self.telling.insert(approval.order, approval.entry.id.clone());
        } else {
            self.telling.remove(&approval.order);
        }
    }
}

/// Something that a channel has not been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// What happened.
    pub event: ApprovalEvent,
    /// To which request.
    pub approval: Approval,
}

impl Owed {
    /// The id of the notice, the same each time it is sent, so that receivers can drop repetitions.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}", self.approval.entry.id, self.event)
    }

    /// When it happened.
    #[must_use]
    pub fn at_us(&self) -> Micros {
        let approval = &self.approval;
        let terms = times(&approval.entry).find(|(_, event)| *event == self.event).map(|(at_us, _)| at_us);
        let end = match self.event {
            ApprovalEvent::Decided => approval.decided.as_ref().map(|decided| decided.at_us),
            ApprovalEvent::Ended => approval.closed.as_ref().map(|closed| closed.at_us),
            _ => terms,
        };
        end.unwrap_or(approval.recorded_us)
    }

    /// The groups that it concerns; none means anyone who may answer.
    #[must_use]
    pub fn groups(&self) -> Vec<ReviewerGroup> {
        let entry = &self.approval.entry;
        let mut groups: Vec<_> = entry.quorums.iter().flat_map(|quorum| &quorum.any_of).cloned().collect();
        let further = entry.escalate.as_ref().map(|further| further.group.clone());
        match self.event {
            ApprovalEvent::Escalated => groups = further.into_iter().collect(),
            _ if self.approval.marks.contains_key(&ApprovalEvent::Escalated) => groups.extend(further),
            _ => {}
        }
        groups.sort();
        groups.dedup();
        groups
    }
}

impl Approvals {
    /// What time has done to requests by a moment, and nobody has recorded, oldest first.
    #[must_use]
    pub fn due(&self, at: Micros) -> Vec<ApprovalMark> {
        let until = (Micros(at.0.saturating_add(1)), 0, ApprovalEvent::Asked);
        let mark = |((at_us, _, event), id): (&(Micros, u64, ApprovalEvent), &ApprovalId)| ApprovalMark {
            approval: id.clone(),
            event: *event,
            at_us: *at_us,
        };
        self.notices.timed.range(..until).map(mark).collect()
    }

    /// When time does something next, to whatever request.
    #[must_use]
    pub fn next_due(&self) -> Option<Micros> {
        self.notices.timed.keys().next().map(|(at_us, ..)| *at_us)
    }

    /// What a channel has not been told, oldest request first. A request that ended before the channel heard of it is
    /// none of its business.
    #[must_use]
    pub fn owed(&self, channel: &str, at: Micros) -> Vec<Owed> {
        let ended = self.notices.telling.values().filter_map(|id| self.get(id));
        let mut requests: Vec<&Approval> = self.open().chain(ended).collect();
        requests.sort_by_key(|approval| approval.order);
        let knows = |approval: &Approval| {
            approval.told.get(channel).is_some_and(|told| told.contains(&ApprovalEvent::Asked))
        };
        requests
            .into_iter()
            .filter(|approval| approval.state_at(at) == ApprovalState::Pending || knows(approval))
            .flat_map(|approval| owed_to(approval, channel).map(move |event| (approval, event)))
            .filter(|(approval, event)| !approval.is_being_told(channel, *event, at))
            .map(|(approval, event)| Owed { event, approval: approval.clone() })
            .collect()
    }

    /// Checks a claim.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_claim(&self, claim: &ApprovalClaim, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&claim.approval)?;
        approval.must_be(ApprovalState::Pending, at)?;
        if let Some(other) = approval.claimed_by_other(&claim.by, at) {
            return Err(ApprovalError::Claimed { id: claim.approval.clone(), by: other.by.clone() });
        }
        if claim.until_us > at.plus_seconds(MAX_CLAIM_SECONDS) {
            let problem = "can be claimed for a day at most; claim it for less";
            return Err(ApprovalError::Malformed { id: claim.approval.clone(), problem });
        }
        let reviewers = self.reviewers();
        let (groups, strength) = (reviewers.groups_of(&claim.by), VoteStrength::Asserted);
        evidence::may_answer(&approval.entry, &claim.by, &groups, reviewers, strength, at)
    }

    /// Checks a mark.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_mark(&self, mark: &ApprovalMark, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&mark.approval)?;
        let (id, event) = (mark.approval.clone(), mark.event);
        if approval.marks.contains_key(&event) {
            return Err(ApprovalError::Recorded { id, event });
        }
        let is_term = times(&approval.entry).any(|term| term == (mark.at_us, event));
        if is_term && at >= mark.at_us && will_be(approval, event, mark.at_us) {
            return Ok(());
        }
        Err(ApprovalError::NotSo { id, event })
    }

    /// Checks that a channel may be said to have been told.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn check_told(&self, told: &ApprovalTold, at: Micros) -> Result<(), ApprovalError> {
        let approval = self.known(&told.approval)?;
        let (id, event) = (told.approval.clone(), told.event);
        if approval.told.get(&told.channel).is_some_and(|events| events.contains(&event)) {
            return Err(ApprovalError::Recorded { id, event });
        }
        if !happened(approval).any(|known| known == event) {
            return Err(ApprovalError::NotSo { id, event });
        }
        match told.until_us {
            Some(until) if until > at.plus_seconds(MAX_TELLING_SECONDS) => {
                Err(ApprovalError::Malformed { id, problem: "is told for too long; try again after a while" })
            }
            Some(until) if until > at && approval.is_being_told(&told.channel, event, at) => {
                Err(ApprovalError::Telling { id, event, channel: told.channel.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl Approval {
    fn is_being_told(&self, channel: &str, event: ApprovalEvent, at: Micros) -> bool {
        let until = self.telling.get(channel).and_then(|telling| telling.get(&event));
        until.is_some_and(|until| at < *until)
    }

    pub(super) fn tell(&mut self, told: &ApprovalTold, at: Micros) {
        let ApprovalTold { event, channel, until_us, .. } = told;
        if let Some(until) = until_us.filter(|until| at < *until) {
            self.telling.entry(channel.clone()).or_default().insert(*event, until);
            return;
        }
        if let Some(telling) = self.telling.get_mut(channel) {
            telling.remove(event);
        }
        self.telling.retain(|_, telling| !telling.is_empty());
        if until_us.is_none() {
            self.told.entry(channel.clone()).or_default().insert(*event);
        }
    }

    /// The claim of somebody else that holds at a moment.
    pub(super) fn claimed_by_other(&self, person: &ApproverId, at: Micros) -> Option<&Claimed> {
        self.claimed(at).filter(|claim| folded(&claim.by.0) != folded(&person.0))
    }

    /// The claim that holds at a moment.
    #[must_use]
    pub fn claimed(&self, at: Micros) -> Option<&Claimed> {
        self.claim.as_ref().filter(|claim| at < claim.until_us)
    }

    /// Whether its answer was not given in time, as of a moment.
    #[must_use]
    pub fn is_breached(&self, at: Micros) -> bool {
        self.entry.due_us.is_some_and(|due| at >= due && sla::waited_past(self, due))
    }

    pub(super) fn take(&mut self, claim: &ApprovalClaim, at: Micros) {
        let claimed = Claimed { by: claim.by.clone(), until_us: claim.until_us };
        self.claim = Some(claimed).filter(|claim| at < claim.until_us);
    }
}

/// What the terms of a request say that time does to it before it expires.
fn times(entry: &ApprovalEntry) -> impl Iterator<Item = (Micros, ApprovalEvent)> {
    let terms = [
        (entry.remind_us, ApprovalEvent::Reminded),
        (entry.escalate.as_ref().map(|further| further.at_us), ApprovalEvent::Escalated),
        (entry.due_us, ApprovalEvent::Breached),
    ];
    let expires_us = entry.expires_us;
    let before = move |(at_us, event): (Option<Micros>, ApprovalEvent)| {
        at_us.filter(|at_us| *at_us < expires_us).map(|at_us| (at_us, event))
    };
    terms.into_iter().filter_map(before)
}

/// Whether something is still to be recorded: nobody is reminded of what was decided, but a late answer was late.
fn will_be(approval: &Approval, event: ApprovalEvent, at_us: Micros) -> bool {
    let matters = event == ApprovalEvent::Breached || approval.state == ApprovalState::Pending;
    matters && !approval.marks.contains_key(&event) && sla::waited_past(approval, at_us)
}

/// What has happened to a request.
fn happened(approval: &Approval) -> impl Iterator<Item = ApprovalEvent> {
    let decided = approval.decided.as_ref().map(|_| ApprovalEvent::Decided);
    let ended = approval.closed.as_ref().map(|_| ApprovalEvent::Ended);
    std::iter::once(ApprovalEvent::Asked).chain(approval.marks.keys().copied()).chain(decided).chain(ended)
}

/// What has happened to a request and a channel was not told.
fn owed_to<'a>(approval: &'a Approval, channel: &'a str) -> impl Iterator<Item = ApprovalEvent> + 'a {
    let told = approval.told.get(channel);
    happened(approval).filter(move |event| told.is_none_or(|told| !told.contains(event)))
}

/// Who works on a request, in words.
impl std::fmt::Display for Claimed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.by)
    }
}

/// The name of a channel in records: a kind, and the start of a digest of where it leads, which may be secret.
#[must_use]
pub fn channel_name(kind: &str, address: &str) -> Arc<str> {
    use sha2::{Digest as _, Sha256};
    let digest = placet_types::Digest(Sha256::digest(address.as_bytes()).into()).to_string();
    format!("{kind}-{}", digest.get(..8).unwrap_or(&digest)).into()
}
