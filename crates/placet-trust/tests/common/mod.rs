//! Records for the tests of budgets and sessions.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::atomic::{AtomicU64, Ordering};

use placet_trust::{Refusal, State};
use placet_types::ledger::CredentialEntry;
use placet_types::ledger::{
    Amount, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, Reservation, Settlement, Window,
};
use placet_types::record::{ChangeFact, DecisionFact, OutcomeFact, OutcomeStatus};
use placet_types::{
    CredentialId, Digest, Fact, Identity, LedgerOp, Micros, Record, RecordId, ReservationId, RiskTier,
};

pub(crate) const SECOND: i64 = 1_000_000;

pub(crate) fn key(scope: BudgetScope, owner: &str, unit: BudgetUnit) -> BudgetKey {
    BudgetKey { scope, owner: owner.into(), unit, window: None }
}

pub(crate) fn calls(owner: &str) -> BudgetKey {
    key(BudgetScope::Session, owner, BudgetUnit::ApiCalls)
}

pub(crate) fn within(key: BudgetKey, window: Window) -> BudgetKey {
    BudgetKey { window: Some(window), ..key }
}

pub(crate) fn of(key: &BudgetKey, amount: u64) -> Amount {
    Amount { key: key.clone(), amount, limit: None }
}

pub(crate) fn stated(key: &BudgetKey, amount: u64, limit: u64) -> Amount {
    Amount { key: key.clone(), amount, limit: Some(limit) }
}

pub(crate) fn set(key: &BudgetKey, limit: u64) -> LedgerOp {
    LedgerOp::SetBudget(BudgetLimit { key: key.clone(), limit })
}

pub(crate) fn permit(id: &str, amounts: Vec<Amount>) -> LedgerOp {
    LedgerOp::Reserve(Reservation { id: id.into(), amounts, in_flight: true, expires_us: None })
}

pub(crate) fn hold(id: &str, amounts: Vec<Amount>, expires: i64) -> LedgerOp {
    let expires_us = Some(Micros(expires));
    LedgerOp::Reserve(Reservation { id: id.into(), amounts, in_flight: false, expires_us })
}

pub(crate) fn settle(id: &str, actual: Vec<Amount>) -> LedgerOp {
    LedgerOp::Settle(Settlement { id: id.into(), actual })
}

pub(crate) fn release(id: &str) -> LedgerOp {
    LedgerOp::Release(ReservationId::from(id))
}

pub(crate) fn decision(verdict: &str, tool: Option<&str>) -> DecisionFact {
    DecisionFact {
        event_type: "tool_call".into(),
        action: tool.unwrap_or("act").into(),
        tool: tool.map(Into::into),
        verdict: verdict.into(),
        hard: false,
        code: "allowed".into(),
        risk_tier: RiskTier::Operational,
        rules: Vec::new(),
        reviewers: Vec::new(),
        policy_version: "v".into(),
        identity: Identity::Asserted,
        args: None,
        credential: None,
        depth: None,
        permit: verdict == "allow",
        approval: None,
        plan: Vec::new(),
    }
}

pub(crate) fn allow() -> Fact {
    Fact::Decision(decision("allow", None))
}

pub(crate) fn change() -> Fact {
    Fact::Change(ChangeFact { by: "system".into() })
}

pub(crate) fn outcome(status: OutcomeStatus) -> Fact {
    Fact::Outcome(OutcomeFact {
        decision: RecordId::from("r"),
        status,
        error: None,
        elapsed_us: 1,
        injections: 0,
    })
}

pub(crate) fn succeeded() -> Fact {
    outcome(OutcomeStatus::Succeeded)
}

pub(crate) fn record(at: i64, fact: Fact, ops: Vec<LedgerOp>) -> Record {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = format!("record-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut record = Record::new(RecordId::from(id), fact);
    record.time_us = Micros(at);
    record.ops = ops;
    record
}

pub(crate) fn admit(state: &mut State, at: i64, fact: Fact, op: LedgerOp) -> Result<(), Refusal> {
    state.admit(&record(at, fact, vec![op]))
}

/// Spent and in flight together.
pub(crate) fn spent(state: &State, key: &BudgetKey, at: i64) -> u64 {
    state.budgets.standing(key, Micros(at)).map_or(0, |standing| standing.spent + standing.in_flight)
}

/// A credential of its own session, issued at 0 for 100 seconds.
pub(crate) fn credential(id: &str, parent: Option<&str>) -> LedgerOp {
    LedgerOp::Issue(CredentialEntry {
        id: id.into(),
        parent: parent.map(CredentialId::from),
        session: id.into(),
        tenant: None,
        agent: None,
        role: None,
        scopes: vec!["read".into()],
        depth: u32::from(parent.is_some()),
        max_depth: 3,
        issued_us: Micros(0),
        not_before_us: None,
        expires_us: Micros(100 * SECOND),
        authority: Digest([0; 32]),
    })
}
