//! Whether records fit those before them: outcomes, approvals, reservations.
//!
//! Memory grows with what is open (and with approvals, which people make), not with the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use placet_types::ledger::{ApprovalEntry, Consumption, LedgerOp, Vote, VoteStrength};
use placet_types::record::{DecisionFact, OutcomeFact};
use placet_types::{ApprovalId, Digest, Fact, Record, RecordId, ReservationId};

use super::report::{Code, Unknown};

/// What was seen so far.
#[derive(Default)]
pub(super) struct References {
    /// Allowed decisions without an outcome.
    open: HashMap<RecordId, u64>,
    approvals: HashMap<ApprovalId, Asked>,
    reservations: HashSet<ReservationId>,
}

struct Asked {
    digest: Digest,
    quorum: u32,
    strength: VoteStrength,
    yes: BTreeSet<Arc<str>>,
    denied: bool,
    ended: bool,
}

type Wrong = (Code, String);

impl References {
    /// What does not fit in this record.
    pub(super) fn see(&mut self, seq: u64, record: &Record) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for op in &record.ops {
            wrong.extend(self.op(op).err());
        }
        match &record.fact {
            Fact::Decision(decision) => wrong.extend(self.decision(seq, record, decision).err()),
            Fact::Outcome(outcome) => wrong.extend(self.outcome(outcome).err()),
            _ => {}
        }
        wrong
    }

    /// Allowed decisions without an outcome, in order.
    pub(super) fn unknown(self) -> Vec<Unknown> {
        let mut unknown: Vec<Unknown> =
            self.open.into_iter().map(|(decision, seq)| Unknown { seq, decision }).collect();
        unknown.sort_by_key(|unknown| unknown.seq);
        unknown
    }

    fn decision(&mut self, seq: u64, record: &Record, decision: &DecisionFact) -> Result<(), Wrong> {
        if !matches!(&*decision.verdict, "allow" | "deny" | "escalate") {
            return Err((Code::Outcome, format!("`{}` is no verdict", decision.verdict)));
        }
        let allowed = &*decision.verdict == "allow";
        if allowed && decision.permit && self.open.insert(record.id.clone(), seq).is_some() {
            return Err((Code::Outcome, format!("the decision `{}` stands twice", record.id)));
        }
        let Some(approval) = &decision.approval else { return Ok(()) };
        let consumed =
            |op: &LedgerOp| matches!(op, LedgerOp::Consume(consumption) if consumption.approval == *approval);
        if allowed && !record.ops.iter().any(consumed) {
            return Err((
                Code::Approval,
                format!("it is allowed by the approval `{approval}` without using it"),
            ));
        }
        if !allowed && &*decision.verdict == "escalate" && !self.approvals.contains_key(approval) {
            return Err((
                Code::Approval,
                format!("it waits for the approval `{approval}`, which nobody asked for"),
            ));
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: &OutcomeFact) -> Result<(), Wrong> {
        match self.open.remove(&outcome.decision) {
            Some(_) => Ok(()),
            None => Err((
                Code::Outcome,
                format!("no allowed decision `{}` before it waits for an outcome", outcome.decision),
            )),
        }
    }

    fn op(&mut self, op: &LedgerOp) -> Result<(), Wrong> {
        match op {
            LedgerOp::Ask(entry) => self.ask(entry),
            LedgerOp::Vote(vote) => self.vote(vote),
            LedgerOp::Close(closing) => self.open_approval(&closing.approval).map(|asked| asked.ended = true),
            LedgerOp::Consume(consumption) => self.consume(consumption),
            LedgerOp::Reserve(reservation) if !self.reservations.insert(reservation.id.clone()) => {
                Err((Code::Budget, format!("the reservation `{}` is taken twice", reservation.id)))
            }
            LedgerOp::Settle(settlement) => self.end_reservation(&settlement.id),
            LedgerOp::Release(id) => self.end_reservation(id),
            _ => Ok(()),
        }
    }

    fn end_reservation(&mut self, id: &ReservationId) -> Result<(), Wrong> {
        if self.reservations.remove(id) {
            return Ok(());
        }
        Err((Code::Budget, format!("the reservation `{id}` that it ends is not open")))
    }

    fn ask(&mut self, entry: &ApprovalEntry) -> Result<(), Wrong> {
        let asked = Asked {
            digest: entry.digest,
            quorum: entry.quorums.iter().map(|quorum| quorum.count).max().unwrap_or(1),
            strength: entry.strength,
            yes: BTreeSet::new(),
            denied: false,
            ended: false,
        };
        match self.approvals.insert(entry.id.clone(), asked) {
            None => Ok(()),
            Some(_) => Err((Code::Approval, format!("the approval `{}` is asked for twice", entry.id))),
        }
    }

    fn vote(&mut self, vote: &Vote) -> Result<(), Wrong> {
        let asked = self.open_approval(&vote.approval)?;
        if asked.digest != vote.digest {
            return Err((
                Code::Approval,
                format!("the vote on the approval `{}` is on another digest", vote.approval),
            ));
        }
        if vote.strength >= asked.strength {
            if vote.approve {
                asked.yes.insert(vote.approver.0.clone());
            } else {
                asked.denied = true;
            }
        }
        Ok(())
    }

    fn consume(&mut self, consumption: &Consumption) -> Result<(), Wrong> {
        let id = &consumption.approval;
        let asked = self.open_approval(id)?;
        asked.ended = true;
        let enough = u32::try_from(asked.yes.len()).unwrap_or(u32::MAX) >= asked.quorum.max(1);
        if asked.denied || !enough {
            return Err((Code::Approval, format!("the approval `{id}` is used without the votes for it")));
        }
        if asked.digest != consumption.digest {
            return Err((Code::Approval, format!("the approval `{id}` is used for another digest")));
        }
        Ok(())
    }

    fn open_approval(&mut self, id: &ApprovalId) -> Result<&mut Asked, Wrong> {
        match self.approvals.get_mut(id) {
            Some(asked) if !asked.ended => Ok(asked),
            Some(_) => Err((Code::Approval, format!("the approval `{id}` had already ended"))),
            None => Err((Code::Approval, format!("nobody asked for the approval `{id}`"))),
        }
    }
}
