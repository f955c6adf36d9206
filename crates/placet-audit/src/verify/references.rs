//! Whether records fit those before them: outcomes, approvals, reservations, credentials.
//!
//! Memory grows with what is open (and with approvals and credentials), not with the log. What depends on settings that
//! the log does not hold, or on the time, is not judged: who may answer, whether a budget sufficed, what had expired.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use placet_types::ledger::{
    ApprovalEntry, ApprovalEvent, ApprovalMark, ApprovalTold, Consumption, CredentialEntry, LedgerOp,
    Reservation, Vote, VoteStrength,
};
use placet_types::record::{DecisionFact, OutcomeFact, OutcomeStatus, RecoveryFact};
use placet_types::{ApprovalId, CredentialId, Digest, Fact, Record, RecordId, ReservationId};

use super::report::{Code, Unknown};

/// What was seen so far.
#[derive(Default)]
pub(super) struct References {
    /// Allowed decisions without an outcome.
    open: HashMap<RecordId, u64>,
    approvals: HashMap<ApprovalId, Asked>,
    /// Open reservations, and holds that may have fallen back by themselves.
    reservations: HashMap<ReservationId, Reservation>,
    credentials: HashSet<CredentialId>,
}

struct Asked {
    digest: Digest,
    quorum: u32,
    strength: VoteStrength,
    yes: BTreeSet<Arc<str>>,
    marks: BTreeSet<ApprovalEvent>,
    ended: bool,
}

type Wrong = (Code, String);

impl References {
    /// What does not fit in this record.
    pub(super) fn see(&mut self, seq: u64, record: &Record) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for op in &record.ops {
            wrong.extend(self.op(op, record).err());
        }
        match &record.fact {
            Fact::Decision(decision) => wrong.extend(self.decision(seq, record, decision).err()),
            Fact::Outcome(outcome) => wrong.extend(self.outcome(outcome).err()),
            Fact::Recovery(RecoveryFact { rollback: Some(_), .. })
                if !record.ops.iter().any(|op| matches!(op, LedgerOp::AcceptRollback(_))) =>
            {
                wrong.push((Code::Rollback, "it accepts a rollback and ends nothing".to_owned()));
            }
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
        // Credentials that another ledger keeps are named here and not shown.
        let shown =
            record.ops.iter().find_map(|op| if let LedgerOp::Present(ids) = op { Some(ids) } else { None });
        let named = decision.credential.as_ref().filter(|_| allowed);
        if let Some(named) = named.filter(|named| shown.is_some_and(|ids| !ids.contains(named))) {
            return Err((Code::Credential, format!("it names the credential `{named}` and shows others")));
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

    fn op(&mut self, op: &LedgerOp, record: &Record) -> Result<(), Wrong> {
        match op {
            LedgerOp::Issue(entry) => self.issue(entry),
            LedgerOp::Present(chain) => self.present(chain),
            LedgerOp::Ask(entry) => self.ask(entry),
            LedgerOp::Vote(vote) => self.vote(vote),
            LedgerOp::Close(closing) => self.open_approval(&closing.approval).map(|asked| asked.ended = true),
            LedgerOp::Consume(consumption) => self.consume(consumption, record),
            LedgerOp::Claim(claim) => self.open_approval(&claim.approval).map(|_| ()),
            // What time did to a request may be written down, and told, after its end.
            LedgerOp::Mark(mark) => self.mark(mark),
            LedgerOp::Told(told) => self.told(told),
            LedgerOp::Reserve(reservation) => self.reserve(reservation),
            LedgerOp::Settle(settlement) => self.end_reservation(&settlement.id).map(|_| ()),
            LedgerOp::Release(id) => self.release(id, record),
            LedgerOp::AcceptRollback(_) => self.rollback(record),
            // These hold whatever was before them.
            LedgerOp::Revoke(_) | LedgerOp::SetBudget(_) | LedgerOp::Remember(_) => Ok(()),
        }
    }

    fn issue(&mut self, entry: &CredentialEntry) -> Result<(), Wrong> {
        let parent = entry.parent.as_ref().filter(|parent| !self.credentials.contains(*parent));
        if !self.credentials.insert(entry.id.clone()) {
            return Err((Code::Credential, format!("the credential `{}` is issued twice", entry.id)));
        }
        match parent {
            Some(parent) => Err((
                Code::Credential,
                format!("the credential `{}` hangs from `{parent}`, which was never issued", entry.id),
            )),
            None => Ok(()),
        }
    }

    fn present(&self, chain: &[CredentialId]) -> Result<(), Wrong> {
        match chain.iter().find(|id| !self.credentials.contains(*id)) {
            Some(id) => {
                Err((Code::Credential, format!("it shows the credential `{id}`, which was never issued")))
            }
            None => Ok(()),
        }
    }

    fn reserve(&mut self, wanted: &Reservation) -> Result<(), Wrong> {
        match self.reservations.get(&wanted.id) {
            // A hold may get its permit, or fall back by itself and be made anew.
            Some(known) if known.in_flight && known != wanted => {
                Err((Code::Budget, format!("the reservation `{}` is taken twice", wanted.id)))
            }
            _ => {
                self.reservations.insert(wanted.id.clone(), wanted.clone());
                Ok(())
            }
        }
    }

    fn end_reservation(&mut self, id: &ReservationId) -> Result<Reservation, Wrong> {
        let missing = || (Code::Budget, format!("the reservation `{id}` that it ends is not open"));
        self.reservations.remove(id).ok_or_else(missing)
    }

    fn release(&mut self, id: &ReservationId, record: &Record) -> Result<(), Wrong> {
        let not_started =
            matches!(&record.fact, Fact::Outcome(outcome) if outcome.status == OutcomeStatus::NotStarted);
        match self.end_reservation(id)? {
            Reservation { in_flight: true, .. } if !not_started => Err((
                Code::Budget,
                format!("the reservation `{id}` is given back, and nothing says that its effect never began"),
            )),
            _ => Ok(()),
        }
    }

    fn rollback(&mut self, record: &Record) -> Result<(), Wrong> {
        self.approvals.values_mut().for_each(|asked| asked.ended = true);
        match &record.fact {
            Fact::Recovery(RecoveryFact { rollback: Some(_), .. }) => Ok(()),
            _ => Err((Code::Rollback, "it accepts a rollback and does not say which".to_owned())),
        }
    }

    fn ask(&mut self, entry: &ApprovalEntry) -> Result<(), Wrong> {
        let asked = Asked {
            digest: entry.digest,
            quorum: entry.quorums.iter().map(|quorum| quorum.count).max().unwrap_or(1),
            strength: entry.strength,
            yes: BTreeSet::new(),
            marks: BTreeSet::new(),
            ended: false,
        };
        match self.approvals.insert(entry.id.clone(), asked) {
            None => Ok(()),
            Some(_) => Err((Code::Approval, format!("the approval `{}` is asked for twice", entry.id))),
        }
    }

    fn vote(&mut self, vote: &Vote) -> Result<(), Wrong> {
        let asked = self.open_approval(&vote.approval)?;
        // A no ends the request, whoever gives it.
        asked.ended = !vote.approve;
        if asked.digest != vote.digest {
            return Err((
                Code::Approval,
                format!("the vote on the approval `{}` is on another digest", vote.approval),
            ));
        }
        if vote.approve && vote.strength >= asked.strength {
            asked.yes.insert(vote.approver.0.clone());
        }
        Ok(())
    }

    fn consume(&mut self, consumption: &Consumption, record: &Record) -> Result<(), Wrong> {
        let id = &consumption.approval;
        let asked = self.open_approval(id)?;
        asked.ended = true;
        let enough = u32::try_from(asked.yes.len()).unwrap_or(u32::MAX) >= asked.quorum.max(1);
        if !enough {
            return Err((Code::Approval, format!("the approval `{id}` is used without the votes for it")));
        }
        if asked.digest != consumption.digest {
            return Err((Code::Approval, format!("the approval `{id}` is used for another digest")));
        }
        let other = matches!(&record.fact, Fact::Decision(decision)
            if &*decision.verdict != "allow" || decision.approval.as_ref() != Some(id));
        if other {
            return Err((
                Code::Approval,
                format!("the approval `{id}` is used by a decision that it does not allow"),
            ));
        }
        Ok(())
    }

    fn mark(&mut self, mark: &ApprovalMark) -> Result<(), Wrong> {
        let ApprovalMark { approval, event, .. } = mark;
        if self.asked(approval)?.marks.insert(*event) {
            return Ok(());
        }
        Err((Code::Approval, format!("that the approval `{approval}` was {event} is said twice")))
    }

    fn told(&mut self, told: &ApprovalTold) -> Result<(), Wrong> {
        let ApprovalTold { approval, event, .. } = told;
        let asked = self.asked(approval)?;
        let by_time =
            matches!(event, ApprovalEvent::Reminded | ApprovalEvent::Escalated | ApprovalEvent::Breached);
        if by_time && !asked.marks.contains(event) {
            return Err((
                Code::Approval,
                format!("somebody is told that the approval `{approval}` was {event}, and it was not"),
            ));
        }
        Ok(())
    }

    fn asked(&mut self, id: &ApprovalId) -> Result<&mut Asked, Wrong> {
        let missing = || (Code::Approval, format!("nobody asked for the approval `{id}`"));
        self.approvals.get_mut(id).ok_or_else(missing)
    }

    fn open_approval(&mut self, id: &ApprovalId) -> Result<&mut Asked, Wrong> {
        let asked = self.asked(id)?;
        match asked.ended {
            false => Ok(asked),
            true => Err((Code::Approval, format!("the approval `{id}` had already ended"))),
        }
    }
}
