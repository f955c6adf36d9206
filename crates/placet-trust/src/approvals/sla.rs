//! When somebody must be told that a request waits. Pure: the caller knows the time and keeps how far it has told.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::decision::ReviewerGroup;
use placet_types::{ApprovalId, Micros};

use super::{Approval, Approvals};

/// Something that happened to a waiting request because time passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlaNotice {
    /// When it happened.
    pub at_us: Micros,
    /// To which request.
    pub approval: ApprovalId,
    /// What.
    pub event: SlaEvent,
}

/// What time does to a waiting request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlaEvent {
    /// Its reviewers are to be reminded.
    Remind,
    /// From now on this group may answer too, and is to be told.
    Escalate(ReviewerGroup),
    /// An answer is overdue.
    Breach,
    /// It is dead.
    Expire,
}

/// The figures of the queue at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlaFigures {
    /// How many requests wait.
    pub pending: usize,
    /// For how long the oldest of them has waited, in microseconds.
    pub oldest_us: i64,
    /// How many of them are overdue.
    pub overdue: usize,
    /// How many requests of the whole log were not answered in time.
    pub breached: usize,
}

/// What happened after one moment and up to another, in order of time. Called with adjoining spans it tells each
/// thing exactly once, also about requests that were decided meanwhile.
#[must_use]
pub fn between(approvals: &Approvals, after: Micros, until: Micros) -> Vec<SlaNotice> {
    let mut notices: Vec<_> = approvals
        .iter()
        .flat_map(|approval| moments(approval).map(move |(at_us, event)| (approval, at_us, event)))
        .filter(|(approval, at_us, _)| {
            *at_us > after && *at_us <= until && waited_until(approval).is_none_or(|end| *at_us < end)
        })
        .collect();
    notices.sort_by_key(|(approval, at_us, event)| (*at_us, approval.order, event.clone()));
    let notice = |(approval, at_us, event): (&Approval, Micros, SlaEvent)| SlaNotice {
        at_us,
        approval: approval.entry.id.clone(),
        event,
    };
    notices.into_iter().map(notice).collect()
}

/// The figures at a moment.
#[must_use]
pub fn figures(approvals: &Approvals, at: Micros) -> SlaFigures {
    let breached = approvals.iter().filter(|approval| approval.is_breached(at)).count();
    let mut figures = SlaFigures { breached, ..SlaFigures::default() };
    for approval in approvals.pending(at) {
        figures.pending += 1;
        figures.oldest_us = figures.oldest_us.max(at.0.saturating_sub(approval.recorded_us.0));
        figures.overdue += usize::from(approval.entry.due_us.is_some_and(|due| at >= due));
    }
    figures
}

/// How long a request waited for its decision, in microseconds; `None` while nobody decided it.
#[must_use]
pub fn waited_us(approval: &Approval) -> Option<i64> {
    approval.decided.as_ref().map(|decided| decided.at_us.0.saturating_sub(approval.recorded_us.0))
}

/// How long the requests decided after a moment had waited, in microseconds, shortest first.
#[must_use]
pub fn waits(approvals: &Approvals, after: Micros) -> Vec<i64> {
    let recent =
        |approval: &&Approval| approval.decided.as_ref().is_some_and(|decided| decided.at_us > after);
    let mut waits: Vec<i64> = approvals.iter().filter(recent).filter_map(waited_us).collect();
    waits.sort_unstable();
    waits
}

/// The value that so many hundredths of sorted values do not exceed, by the nearest rank; `None` when there are none.
#[must_use]
pub fn percentile(sorted: &[i64], hundredths: usize) -> Option<i64> {
    let rank = sorted.len().saturating_mul(hundredths.min(100)).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn moments(approval: &Approval) -> impl Iterator<Item = (Micros, SlaEvent)> {
    let entry = &approval.entry;
    let escalate =
        entry.escalate.as_ref().map(|further| (further.at_us, SlaEvent::Escalate(further.group.clone())));
    let before_expiry = [
        entry.remind_us.map(|at_us| (at_us, SlaEvent::Remind)),
        escalate,
        entry.due_us.map(|at_us| (at_us, SlaEvent::Breach)),
    ];
    let expires_us = entry.expires_us;
    before_expiry
        .into_iter()
        .flatten()
        .filter(move |(at_us, _)| *at_us < expires_us)
        .chain(std::iter::once((expires_us, SlaEvent::Expire)))
}

/// Whether the request still waited for people at a moment, by what is known now.
pub(super) fn waited_past(approval: &Approval, at: Micros) -> bool {
    waited_until(approval).is_none_or(|end| at < end)
}

/// When the request stopped waiting for people.
fn waited_until(approval: &Approval) -> Option<Micros> {
    let decided = approval.decided.as_ref().map(|decided| decided.at_us);
    // Writing down that it expired does not make the expiry unhappen.
    let closed = approval
        .closed
        .as_ref()
        .filter(|closed| closed.at_us < approval.entry.expires_us)
        .map(|closed| closed.at_us);
    decided.or(closed)
}
