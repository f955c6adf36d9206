//! One record changes each thing at most once.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::fmt;

use placet_types::ledger::{BudgetKey, RevocationTarget};
use placet_types::{ApprovalId, CredentialId, DenyCause, Digest, LedgerOp, ReservationId};

use super::Refusal;

/// Something that an operation changes and whose state before the record its check relied on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing<'a> {
    Credential(&'a CredentialId),
    Revocation(&'a RevocationTarget),
    Budget(&'a BudgetKey),
    Reservation(&'a ReservationId),
    Approval(&'a ApprovalId),
    Request(&'a Digest),
    Memory(&'a Digest),
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(id) => write!(formatter, "credential `{id}`"),
            Self::Revocation(target) => write!(formatter, "the revocation of {target:?}"),
            Self::Budget(key) => write!(formatter, "the budget for {key}"),
            Self::Reservation(id) => write!(formatter, "reservation `{id}`"),
            Self::Approval(id) => write!(formatter, "approval `{id}`"),
            Self::Memory(key) => write!(formatter, "the memory under `{key}`"),
            Self::Request(digest) => write!(formatter, "approval request `{digest}`"),
        }
    }
}

/// Refuses a record of which two operations change the same thing: each is checked against the state before the
/// record, so the second would be checked against a state that the first has changed.
pub(super) fn check_distinct(ops: &[LedgerOp]) -> Result<(), Refusal> {
    if ops.len() < 2 {
        return Ok(());
    }
    let mut seen = BTreeSet::new();
    let mut revoked = false;
    for op in ops {
        match op {
            LedgerOp::Revoke(_) => revoked = true,
            // Its check would not see the revocation, and a child issued now would outlive it.
            LedgerOp::Issue(_) | LedgerOp::Present(_) if revoked => {
                return Err(Refusal::new(
                    DenyCause::InvalidRequest,
                    "one record uses a credential after a revocation; commit the revocation last, or alone",
                ));
            }
            _ => {}
        }
        for thing in changed(op) {
            if seen.contains(&thing) {
                return Err(Refusal::new(
                    DenyCause::InvalidRequest,
                    format!("one record changes {thing} twice; commit two records, or add the changes up"),
                ));
            }
            seen.insert(thing);
        }
    }
    Ok(())
}

/// A settlement relies on no balance, so the budgets that it charges do not count.
fn changed(op: &LedgerOp) -> Vec<Thing<'_>> {
    match op {
        LedgerOp::Issue(entry) => vec![Thing::Credential(&entry.id)],
        LedgerOp::Present(_) => Vec::new(),
        LedgerOp::Revoke(revocation) => vec![Thing::Revocation(&revocation.target)],
        LedgerOp::SetBudget(limit) => vec![Thing::Budget(&limit.key)],
        LedgerOp::Reserve(reservation) => {
            let budgets = reservation.amounts.iter().map(|amount| Thing::Budget(&amount.key));
            std::iter::once(Thing::Reservation(&reservation.id)).chain(budgets).collect()
        }
        LedgerOp::Settle(settlement) => vec![Thing::Reservation(&settlement.id)],
        LedgerOp::Release(id) => vec![Thing::Reservation(id)],
        LedgerOp::Ask(entry) => vec![Thing::Approval(&entry.id), Thing::Request(&entry.request_key)],
        LedgerOp::Vote(vote) => vec![Thing::Approval(&vote.approval)],
        LedgerOp::Close(closing) => vec![Thing::Approval(&closing.approval)],
        LedgerOp::Consume(consumption) => vec![Thing::Approval(&consumption.approval)],
        LedgerOp::Claim(claim) => vec![Thing::Approval(&claim.approval)],
        LedgerOp::Mark(mark) => vec![Thing::Approval(&mark.approval)],
        LedgerOp::Told(told) => vec![Thing::Approval(&told.approval)],
        LedgerOp::Remember(write) => vec![Thing::Memory(&write.key)],
        // It stands in a record with nothing but a revocation.
        LedgerOp::AcceptRollback(_) => Vec::new(),
    }
}
