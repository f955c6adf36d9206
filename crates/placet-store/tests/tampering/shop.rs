//! Real logs of every kind of record, made by the ledger itself.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use placet_store::backend::Backend;
use placet_store::{LogLedger, Settings};
use placet_trust::{Ledger, Proposal};
use placet_types::ledger::{Consumption, Revocation, RevocationTarget, Settlement, Vote, VoteStrength};
use placet_types::record::{ErasureFact, OutcomeFact, OutcomeStatus};
use placet_types::{Ack, ApprovalId, Digest, Fact, LedgerOp, Micros, RecordId, ReservationId};
use serde_json::json;

use crate::support::{
    ask, call, change, credential, decision, fresh, limit, personal, reserve, settings, with,
};

const START: i64 = 1_700_000_000_000_000;

/// Settings with keys in the folder and a clock that gives each record its own moment.
pub fn at_work(folder: &Path) -> Settings {
    let now = Arc::new(AtomicI64::new(START));
    settings(folder).clock(Arc::new(move || Micros(now.fetch_add(250_001, Ordering::Relaxed))))
}

fn outcome_of(decision: &RecordId, ops: Vec<LedgerOp>) -> Proposal {
    let mut proposal = change(ops);
    proposal.record.fact = Fact::Outcome(OutcomeFact {
        decision: decision.clone(),
        status: OutcomeStatus::Succeeded,
        error: None,
        elapsed_us: 17,
        injections: 0,
    });
    proposal.view = json!({"result": {"id": "r-1", "é": "\u{1f600}"}}).as_object().cloned().map(Into::into);
    proposal
}

pub fn vote(approval: &ApprovalId, digest: Digest) -> LedgerOp {
    LedgerOp::Vote(Box::new(Vote {
        approval: approval.clone(),
        digest,
        approver: "bob".into(),
        groups: Vec::new(),
        record: "vote".into(),
        approve: true,
        strength: VoteStrength::Asserted,
        channel: "cli".into(),
        at_us: Micros(START),
        signature: None,
        key: None,
    }))
}

/// Fills a log with so many rounds of [`ROUND`] records; after all but the last round a checkpoint is signed.
pub fn fill<B: Backend>(ledger: &LogLedger<B>, rounds: u64) {
    let add = |proposal: Proposal| {
        let receipt = ledger.commit(proposal, Ack::Written).unwrap();
        assert_eq!(receipt.refused, None);
        receipt
    };
    for round in 0..rounds {
        let now = add(change(vec![limit(100 + round)])).time_us;
        let token = fresh("token");
        add(change(vec![LedgerOp::Issue(credential(&token, now))]));
        let hold = reserve(2);
        let LedgerOp::Reserve(held) = &hold else { unreachable!() };
        let (id, amounts): (ReservationId, _) = (held.id.clone(), held.amounts.clone());
        let allowed = personal(with(vec![LedgerOp::Present(vec![token.as_str().into()]), hold]));
        let decided = allowed.record.id.clone();
        let first = add(allowed).seq;
        add(outcome_of(&decided, vec![LedgerOp::Settle(Settlement { id, actual: amounts })]));
        let mut denied = personal(call());
        denied.record = decision("deny", "denied_by_rule");
        add(denied);
        approved(&add);
        let target = RevocationTarget::Credential(token.as_str().into());
        add(change(vec![LedgerOp::Revoke(Revocation { target, by: "admin".into() })]));
        // In turn the whole view of the call, or one personal field of it.
        let fields = if round % 2 == 0 { Vec::new() } else { vec!["args.email".into()] };
        let erasure = ErasureFact { records: vec![first], fields, by: "dpo".into(), basis: "gdpr-17".into() };
        ledger.erase(change(Vec::new()).record, erasure).unwrap();
        add(call());
        if round + 1 < rounds {
            ledger.sign().unwrap();
        }
    }
}

/// A call that a person was asked about, and that then ran.
fn approved(add: &impl Fn(Proposal) -> placet_trust::Receipt) {
    let (approval, digest) = (fresh("approval"), Digest([7; 32]));
    let id: ApprovalId = approval.as_str().into();
    let mut asking = with(vec![ask(&approval, digest)]);
    asking.record.fact = of(&asking.record.fact, "escalate", &id);
    add(asking);
    add(change(vec![vote(&id, digest)]));
    let mut goes = with(vec![LedgerOp::Consume(Consumption { approval: id.clone(), digest })]);
    goes.record.fact = of(&goes.record.fact, "allow", &id);
    let decided = goes.record.id.clone();
    add(goes);
    add(outcome_of(&decided, Vec::new()));
}

fn of(fact: &Fact, verdict: &str, approval: &ApprovalId) -> Fact {
    let Fact::Decision(decision) = fact else { unreachable!() };
    let mut decision = decision.clone();
    decision.verdict = verdict.into();
    decision.permit = verdict == "allow";
    decision.approval = Some(approval.clone());
    Fact::Decision(decision)
}

/// How many records a round has.
pub const ROUND: u64 = 12;
