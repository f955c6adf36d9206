//! Budgets: what may be spent, what was, and what is being spent right now.
//!
//! Nothing here asks a clock: the time is the record's. Amounts are whole numbers up to
//! [`MAX_COUNT`](placet_types::ledger::MAX_COUNT); a sum past it is refused, never wrapped.
//!
//! - A reservation takes all its amounts or none. Without a permit it falls back by itself when it expires. With one it
//!   is *in flight* and counts as spent until a settlement says what it cost; a crash leaves it so.
//! - A settlement may overdraw, since the money is spent. A budget of which nothing is left refuses every reservation
//!   that names it, also one of nothing.
//! - A known limit is set by [`LedgerOp::SetBudget`]; a caller's stated limit can tighten it. Without either the budget
//!   is counted and not limited.
//! - In fixed windows an amount belongs to the window in which its permit was given; what it cost beyond its estimate is
//!   charged to the window in which that became known.
//! - Rolling windows are rates: what was taken is not given back.
//!
//! What grows: one account for each budget ever named (counters, no history), one entry for each open reservation, so
//! one for each permit whose outcome is unknown. Settled and released reservations disappear; expired ones are
//! dropped when one of their budgets is next touched.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod account;
mod applicable;
mod rows;
mod rule;

use std::collections::BTreeSet;

use ahash::HashMap;
use placet_types::ledger::{Amount, BudgetKey, BudgetLimit, MAX_COUNT, Reservation, Settlement, Window};
use placet_types::record::OutcomeStatus;
use placet_types::{DenyCause, Fact, LedgerOp, Micros, ReservationId};

pub use account::Standing;
pub use applicable::{CredentialLimits, Spender, applicable};
pub use rule::{BudgetRule, BudgetRuleError, Estimate};

use account::Account;

use crate::state::{Refusal, StateKey, StateRow};

/// Budgets of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    accounts: HashMap<BudgetKey, Account>,
    open: HashMap<ReservationId, Open>,
    /// When budgets were last made to count as used up.
    burned: Option<Micros>,
}

/// An open reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    reservation: Reservation,
    /// For each amount the window it was taken in; empty for a hold.
    windows: Vec<i64>,
}

impl Open {
    fn is_live(&self, at: Micros) -> bool {
        self.reservation.in_flight || self.reservation.expires_us.is_some_and(|expires| expires > at)
    }

    /// The body of its row.
    fn body(&self) -> String {
        rows::reservation(&self.reservation, &self.windows)
    }

    fn keys(&self) -> impl Iterator<Item = &BudgetKey> {
        self.reservation.amounts.iter().map(|amount| &amount.key)
    }
}

impl Budgets {
    /// How a budget stands at a moment; nothing when no operation ever named it.
    #[must_use]
    pub fn standing(&self, key: &BudgetKey, at: Micros) -> Option<Standing> {
        self.accounts.get(key).map(|account| account.standing(key, at))
    }

    /// Every budget that was ever named, in no order.
    pub fn keys_known(&self) -> impl Iterator<Item = &BudgetKey> {
        self.accounts.keys()
    }

    /// Makes every budget count as used up: those without a window until their limit is set anew, others for this window.
    pub(crate) fn burn(&mut self, at: Micros) {
        self.burned = Some(at);
        self.accounts.iter_mut().for_each(|(key, account)| account.burn(key, at));
    }

    /// The reservations whose permit was given and whose outcome is not known.
    pub fn in_flight(&self) -> impl Iterator<Item = &ReservationId> {
        self.open.iter().filter(|(_, open)| open.reservation.in_flight).map(|(id, _)| id)
    }

    /// Checks the precondition of an operation.
    ///
    /// # Errors
    /// The precondition that does not hold.
    pub(crate) fn check(&self, op: &LedgerOp, at: Micros, fact: &Fact) -> Result<(), Refusal> {
        match op {
            LedgerOp::SetBudget(BudgetLimit { key, limit }) => {
                check_key(key)?;
                check_count("limit", *limit, key)
            }
            LedgerOp::Reserve(reservation) => self.check_reserve(reservation, at, fact),
            LedgerOp::Settle(settlement) => self.check_settle(settlement, at),
            LedgerOp::Release(id) => self.check_release(id, fact),
            _ => Ok(()),
        }
    }

    fn check_reserve(&self, wanted: &Reservation, at: Micros, fact: &Fact) -> Result<(), Refusal> {
        let id = &wanted.id;
        check_amounts(&wanted.amounts)?;
        match (wanted.in_flight, wanted.expires_us) {
            (true, _) if is_refused_decision(fact) => {
                return Err(invalid(format!(
                    "reservation `{id}` is in flight in a decision that allows nothing; leave it out"
                )));
            }
            (false, None) => {
                return Err(invalid(format!(
                    "reservation `{id}` has neither a permit nor an expiry; give one of them"
                )));
            }
            (false, Some(expires)) if expires <= at => {
                return Err(invalid(format!("reservation `{id}` has expired before it began")));
            }
            _ => {}
        }
        let known = self.open.get(id).filter(|open| open.is_live(at)).map(|open| &open.reservation);
        match known {
            Some(known) if known == wanted || is_permit_for(known, wanted) => return Ok(()),
            Some(_) => {
                return Err(invalid(format!(
                    "reservation `{id}` is open with other amounts or another expiry; use a new id"
                )));
            }
            None => {}
        }
        for amount in &wanted.amounts {
            match self.accounts.get(&amount.key) {
                Some(account) => account.check(amount, at, Some(id))?,
                None => Account::fresh(&amount.key, at, self.burned).check(amount, at, None)?,
            }
        }
        Ok(())
    }

    fn check_settle(&self, settlement: &Settlement, at: Micros) -> Result<(), Refusal> {
        check_amounts(&settlement.actual)?;
        match self.open.get(&settlement.id) {
            Some(open) if open.is_live(at) => Ok(()),
            _ => Err(invalid(format!(
                "reservation `{}` is not open: it was settled, released, has expired, or was never made; nothing was \
                 charged",
                settlement.id
            ))),
        }
    }

    fn check_release(&self, id: &ReservationId, fact: &Fact) -> Result<(), Refusal> {
        let in_flight = self.open.get(id).is_some_and(|open| open.reservation.in_flight);
        let not_started =
            matches!(fact, Fact::Outcome(outcome) if outcome.status == OutcomeStatus::NotStarted);
        if in_flight && !not_started {
            return Err(invalid(format!(
                "reservation `{id}` is in flight, and the record does not say that its effect never began; settle it"
            )));
        }
        Ok(())
    }

    /// Applies an operation whose precondition holds.
    pub(crate) fn apply(&mut self, op: &LedgerOp, at: Micros, fact: &Fact) {
        match op {
            LedgerOp::SetBudget(BudgetLimit { key, limit }) => {
                self.touch(key, at, |account| account.set_limit(key, *limit, at));
            }
            LedgerOp::Reserve(reservation) => self.reserve(reservation, at),
            LedgerOp::Settle(settlement) => self.settle(settlement, at, has_failed(fact)),
            LedgerOp::Release(id) => self.release(id, at),
            _ => {}
        }
    }

    fn reserve(&mut self, wanted: &Reservation, at: Micros) {
        match self.open.get(&wanted.id) {
            Some(open) if open.reservation == *wanted && open.is_live(at) => return,
            Some(_) => self.drop_hold(&wanted.id),
            None => {}
        }
        let mut windows = Vec::with_capacity(wanted.amounts.len());
        for amount in &wanted.amounts {
            self.touch(&amount.key, at, |account| match wanted.expires_us {
                Some(expires) if !wanted.in_flight => account.hold(wanted.id.clone(), amount.amount, expires),
                _ => windows.push(account.take(amount, at)),
            });
        }
        self.open.insert(wanted.id.clone(), Open { reservation: wanted.clone(), windows });
    }

    fn settle(&mut self, settlement: &Settlement, at: Micros, failed: bool) {
        let Some(open) = self.open.remove(&settlement.id) else { return };
        let reserved = &open.reservation.amounts;
        for (index, taken) in reserved.iter().enumerate() {
            let told = settlement.actual.iter().find(|told| told.key == taken.key).map(|told| told.amount);
            let cost = match told {
                None => taken.amount,
                Some(told) if failed => told.max(taken.amount),
                Some(told) => told,
            };
            self.touch(&taken.key, at, |account| match open.windows.get(index) {
                Some(window) => account.settle(taken, *window, cost, at),
                None => {
                    account.drop_hold(&settlement.id);
                    account.charge(&taken.key, cost, taken.limit, at);
                }
            });
        }
        for Amount { key, amount, limit } in &settlement.actual {
            if !reserved.iter().any(|taken| taken.key == *key) {
                self.touch(key, at, |account| account.charge(key, *amount, *limit, at));
            }
        }
    }

    fn release(&mut self, id: &ReservationId, at: Micros) {
        self.drop_hold(id);
        let Some(open) = self.open.remove(id) else { return };
        for (taken, window) in open.reservation.amounts.iter().zip(&open.windows) {
            self.touch(&taken.key, at, |account| account.release(taken, *window, at));
        }
    }

    /// Changes the account of a budget, without holds that have expired.
    fn touch<T>(&mut self, key: &BudgetKey, at: Micros, change: impl FnOnce(&mut Account) -> T) -> T {
        let expired: Vec<ReservationId> = match self.accounts.get_mut(key) {
            Some(account) if account.expired(at).next().is_none() => return change(account),
            Some(account) => account.expired(at).cloned().collect(),
            None => Vec::new(),
        };
        for id in expired {
            self.drop_hold(&id);
        }
        let burned = self.burned;
        change(self.accounts.entry(key.clone()).or_insert_with(|| Account::fresh(key, at, burned)))
    }

    /// Takes a hold out of all its budgets; what is in flight stays.
    fn drop_hold(&mut self, id: &ReservationId) {
        if self.open.get(id).is_none_or(|open| open.reservation.in_flight) {
            return;
        }
        let Some(open) = self.open.remove(id) else { return };
        for key in open.keys() {
            if let Some(account) = self.accounts.get_mut(key) {
                account.drop_hold(id);
            }
        }
    }

    /// The rows that an operation reads or changes: its budgets and its reservation, and the holds on those budgets with
    /// the other budgets that they hold, since they may be dropped on this occasion.
    pub(crate) fn keys(&self, op: &LedgerOp, keys: &mut Vec<StateKey>) {
        match op {
            LedgerOp::SetBudget(BudgetLimit { key, .. }) => self.budget_keys(key, keys),
            LedgerOp::Reserve(Reservation { id, amounts, .. })
            | LedgerOp::Settle(Settlement { id, actual: amounts }) => {
                self.reservation_keys(id, keys);
                for amount in amounts {
                    self.budget_keys(&amount.key, keys);
                }
            }
            LedgerOp::Release(id) => self.reservation_keys(id, keys),
            LedgerOp::AcceptRollback(terms) if terms.burn_budgets => {
                keys.extend(self.accounts.keys().cloned().map(StateKey::Budget));
            }
            _ => {}
        }
    }

    fn reservation_keys(&self, id: &ReservationId, keys: &mut Vec<StateKey>) {
        keys.push(StateKey::Reservation(id.clone()));
        for key in self.open.get(id).into_iter().flat_map(Open::keys) {
            self.budget_keys(key, keys);
        }
    }

    fn budget_keys(&self, key: &BudgetKey, keys: &mut Vec<StateKey>) {
        keys.push(StateKey::Budget(key.clone()));
        for id in self.accounts.get(key).into_iter().flat_map(Account::holds) {
            keys.push(StateKey::Reservation(id.clone()));
            let held = self.open.get(id).into_iter().flat_map(Open::keys);
            keys.extend(held.map(|key| StateKey::Budget(key.clone())));
        }
    }

    pub(crate) fn row(&self, key: &StateKey) -> StateRow {
        let (kind, id) = match key {
            StateKey::Reservation(id) => ("reservation", id.to_string()),
            StateKey::Budget(key) => ("budget", rows::id(key)),
            _ => ("budget", String::new()),
        };
        StateRow { kind, id, body: self.body(key) }
    }

    pub(crate) fn body(&self, key: &StateKey) -> Option<String> {
        match key {
            StateKey::Reservation(id) => self.open.get(id).map(Open::body),
            StateKey::Budget(key) => self.accounts.get(key).map(|account| account.body(key)),
            _ => None,
        }
    }
}

/// Whether a reservation gives the permit for a hold of the same amounts.
fn is_permit_for(hold: &Reservation, wanted: &Reservation) -> bool {
    !hold.in_flight && wanted.in_flight && hold.amounts == wanted.amounts
}

fn is_refused_decision(fact: &Fact) -> bool {
    matches!(fact, Fact::Decision(decision) if &*decision.verdict != "allow")
}

fn has_failed(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Outcome(outcome) if matches!(outcome.status, OutcomeStatus::Failed | OutcomeStatus::Cancelled)
    )
}

fn check_amounts(amounts: &[Amount]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for Amount { key, amount, limit } in amounts {
        check_key(key)?;
        check_count("amount", *amount, key)?;
        check_count("limit", limit.unwrap_or(0), key)?;
        if amounts.len() > 1 && !seen.insert(key) {
            return Err(invalid(format!("the budget for {key} is named twice; add the amounts up")));
        }
    }
    Ok(())
}

fn check_key(key: &BudgetKey) -> Result<(), Refusal> {
    match key.window {
        Some(Window::Fixed(0) | Window::Rolling(0)) => {
            Err(invalid(format!("the budget for {key} has a window of no length; give it at least 1 s")))
        }
        _ => Ok(()),
    }
}

fn check_count(what: &str, count: u64, key: &BudgetKey) -> Result<(), Refusal> {
    if count <= MAX_COUNT {
        return Ok(());
    }
    Err(invalid(format!("the {what} {count} for {key} is past the largest number, {MAX_COUNT}")))
}

fn invalid(reason: String) -> Refusal {
    Refusal::new(DenyCause::InvalidRequest, reason)
}
