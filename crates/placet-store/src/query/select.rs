//! Choosing decisions.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use placet_audit::verify::{EntrySource, SourceError};
use placet_types::{ApprovalId, Fact, LedgerOp, Micros, RecordId, RiskTier};

use super::row::{Ended, Row};
use super::words::{Outcome, Status};
use super::{Stored, each};

/// Which decisions. What is empty does not restrict; texts compare without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of this session.
    pub session: Option<String>,
    /// Of this tool or action.
    pub tool: Option<String>,
    /// Of this agent.
    pub agent: Option<String>,
    /// Decided in one of these ways.
    pub outcomes: Vec<Outcome>,
    /// With one of these verdicts: `allow`, `deny`, `escalate`.
    pub verdicts: Vec<String>,
    /// Of one of these risk tiers.
    pub risks: Vec<RiskTier>,
    /// With one of these ends.
    pub statuses: Vec<Status>,
    /// Not before this moment.
    pub since: Option<Micros>,
    /// Not after this moment.
    pub until: Option<Micros>,
    /// The newest so many.
    pub limit: Option<usize>,
    /// Also the decisions on a call that were followed by the answer of a person.
    pub every_step: bool,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The decisions, oldest first.
    pub rows: Vec<Row>,
    /// Positions at which no record could be read, or whose view was edited.
    pub unreadable: Vec<u64>,
}

/// The decisions that a query asks for, oldest first. A call about which a person was asked is one row, the last
/// decision on it, unless the query wants every step.
///
/// # Errors
/// [`SourceError::Unavailable`]: the log cannot be read.
pub fn rows(source: &mut dyn EntrySource, query: &Query) -> Result<Found, SourceError> {
    let mut gathering = Gathering {
        query,
        rows: HashMap::new(),
        order: VecDeque::new(),
        asked: HashMap::new(),
        voted: HashMap::new(),
    };
    let unreadable = each(source, |stored| {
        gathering.take(stored);
        true
    })?;
    Ok(Found { rows: gathering.finish(), unreadable })
}

struct Gathering<'q> {
    query: &'q Query,
    rows: HashMap<RecordId, Row>,
    order: VecDeque<RecordId>,
    /// The last decision on each call about which a person was asked.
    asked: HashMap<ApprovalId, RecordId>,
    voted: HashMap<ApprovalId, Arc<str>>,
}

impl Gathering<'_> {
    fn take(&mut self, stored: Stored) {
        for op in &stored.record.ops {
            if let LedgerOp::Vote(vote) = op {
                self.voted.insert(vote.approval.clone(), vote.approver.0.clone());
            }
        }
        match &stored.record.fact {
            Fact::Decision(decision) => {
                let view = stored.view();
                let record = stored.record.clone();
                let row = Row {
                    seq: stored.seq,
                    id: record.id.clone(),
                    time_us: record.time_us,
                    tenant: record.tenant,
                    session: record.session,
                    agent: record.agent,
                    decision: decision.clone(),
                    view,
                    ended: None,
                    decided_by: None,
                };
                self.decided(row);
            }
            Fact::Outcome(outcome) => {
                let view = stored.view();
                if let Some(row) = self.rows.get_mut(&outcome.decision) {
                    row.ended = Some(Ended { seq: stored.seq, outcome: outcome.clone(), view });
                }
            }
            _ => {}
        }
    }

    fn decided(&mut self, row: Row) {
        if let (Some(approval), false) = (&row.decision.approval, self.query.every_step)
            && let Some(before) = self.asked.insert(approval.clone(), row.id.clone())
        {
            self.rows.remove(&before);
        }
        if self.query.wants_decision(&row) {
            self.order.push_back(row.id.clone());
            self.rows.insert(row.id.clone(), row);
        }
    }

    fn finish(mut self) -> Vec<Row> {
        let mut taken = HashSet::new();
        let mut rows = Vec::new();
        for id in self.order.into_iter().rev() {
            if self.query.limit.is_some_and(|limit| rows.len() >= limit) {
                break;
            }
            let Some(mut row) = self.rows.remove(&id).filter(|row| self.query.wants_end(row)) else {
                continue;
            };
            if taken.insert(id) {
                let answered = &*row.decision.verdict != "escalate";
                let approval = row.decision.approval.as_ref().filter(|_| answered);
                row.decided_by = approval.and_then(|approval| self.voted.get(approval)).cloned();
                rows.push(row);
            }
        }
        rows.reverse();
        rows
    }
}

impl Query {
    /// Whether a decision is wanted, whatever became of it.
    fn wants_decision(&self, row: &Row) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| match wanted {
            None => true,
            Some(wanted) => is.is_some_and(|is| is.to_lowercase() == wanted.to_lowercase()),
        };
        let decision = &row.decision;
        let tool = same(&self.tool, Some(row.tool())) || same(&self.tool, Some(&decision.action));
        same(&self.session, row.session.as_deref())
            && same(&self.agent, row.agent.as_deref())
            && tool
            && self.since.is_none_or(|since| row.time_us >= since)
            && self.until.is_none_or(|until| row.time_us <= until)
            && (self.risks.is_empty() || self.risks.contains(&decision.risk_tier))
            && (self.outcomes.is_empty() || self.outcomes.contains(&row.outcome()))
            && (self.verdicts.is_empty()
                || self.verdicts.iter().any(|one| one.eq_ignore_ascii_case(&decision.verdict)))
    }

    fn wants_end(&self, row: &Row) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&row.status())
    }
}
