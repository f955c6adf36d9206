//! The counters of one budget.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;

use jiff::Timestamp;
use placet_types::ledger::{Amount, BudgetKey, MAX_COUNT, Window};
use placet_types::{DenyCause, Micros, ReservationId};

use super::rows::BudgetRow;
use crate::state::Refusal;

const MICROS: i64 = 1_000_000;

/// How a budget stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The known limit, if there is one.
    pub limit: Option<u64>,
    /// What was spent in the present window.
    pub spent: u64,
    /// What permits of the present window may be spending right now; it counts as spent.
    pub in_flight: u64,
    /// What is reserved without a permit.
    pub held: u64,
    /// Whether it counts as used up, since an older copy of the log was accepted.
    pub burned: bool,
}

/// The counters of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    limit: Option<u64>,
    /// Which fixed window `spent` and `in_flight` are of; 0 for budgets without one.
    period: i64,
    spent: u64,
    in_flight: u64,
    bucket: Bucket,
    holds: BTreeMap<ReservationId, Hold>,
    /// When it was made to count as used up.
    burned: Option<Micros>,
}

/// A reservation without a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    amount: u64,
    expires: Micros,
}

/// The rate of a rolling window: GCRA in its leaky-bucket form, which stays exact for every limit and period.
///
/// One unit fills the bucket by as many drops as the period has microseconds, and in each microsecond as many drops
/// leak out as the limit says. Full is limit times period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bucket {
    drops: u128,
    seen: Micros,
}

impl Bucket {
    fn leaked(self, limit: u64, at: Micros) -> Self {
        let elapsed = u128::try_from(at.0.saturating_sub(self.seen.0)).unwrap_or(0);
        let drops = self.drops.saturating_sub(u128::from(limit).saturating_mul(elapsed));
        Self { drops, seen: self.seen.max(at) }
    }

    fn fill(&mut self, amount: u64, seconds: u32) {
        self.drops = self.drops.saturating_add(drops(amount, seconds));
    }
}

fn drops(amount: u64, seconds: u32) -> u128 {
    u128::from(amount).saturating_mul(u128::from(seconds)).saturating_mul(1_000_000)
}

impl Account {
    pub(super) fn new(key: &BudgetKey, at: Micros) -> Self {
        Self {
            limit: None,
            period: period(key, at),
            spent: 0,
            in_flight: 0,
            bucket: Bucket { drops: 0, seen: at },
            holds: BTreeMap::new(),
            burned: None,
        }
    }

    /// A budget that nobody named yet. One with a window may have been, in what was lost.
    pub(super) fn fresh(key: &BudgetKey, at: Micros, burned: Option<Micros>) -> Self {
        Self { burned: burned.filter(|_| key.window.is_some()), ..Self::new(key, at) }
    }

    /// The body of its row in canonical JSON. Holds stand in the rows of their reservations.
    pub(super) fn body(&self, key: &BudgetKey) -> String {
        let rolling = matches!(key.window, Some(Window::Rolling(_)));
        let row = BudgetRow {
            burned_us: self.burned.map(|burned| burned.0),
            drops: rolling.then_some(self.bucket.drops),
            in_flight: self.in_flight,
            limit: self.limit,
            period: self.period,
            seen_us: rolling.then_some(self.bucket.seen.0),
            spent: self.spent,
        };
        row.body()
    }

    pub(super) fn holds(&self) -> impl Iterator<Item = &ReservationId> {
        self.holds.keys()
    }

    pub(super) fn expired(&self, at: Micros) -> impl Iterator<Item = &ReservationId> {
        self.holds.iter().filter(move |(_, hold)| hold.expires <= at).map(|(id, _)| id)
    }

    pub(super) fn standing(&self, key: &BudgetKey, at: Micros) -> Standing {
        let now = self.period >= period(key, at);
        Standing {
            limit: self.limit,
            spent: if now { self.spent } else { 0 },
            in_flight: if now { self.in_flight } else { 0 },
            held: self.held(at, None),
            burned: self.is_burned(key, at),
        }
    }

    pub(super) fn burn(&mut self, key: &BudgetKey, at: Micros) {
        self.roll(key, at);
        self.burned = Some(at);
    }

    fn is_burned(&self, key: &BudgetKey, at: Micros) -> bool {
        let Some(burned) = self.burned else { return false };
        match key.window {
            Some(Window::Fixed(_)) => period(key, at) <= period(key, burned),
            Some(Window::Rolling(seconds)) => at < burned.plus_seconds(seconds),
            None => true,
        }
    }

    /// Refuses what a lost part of the log may have spent already.
    fn check_burned(&self, key: &BudgetKey, at: Micros) -> Result<(), Refusal> {
        if !self.is_burned(key, at) {
            return Ok(());
        }
        let until = match key.window {
            Some(Window::Fixed(seconds)) => {
                let next = period(key, at).saturating_add(1).saturating_mul(length(seconds));
                format!("wait until {}", moment(next))
            }
            Some(Window::Rolling(seconds)) => {
                let end = self.burned.unwrap_or(at).plus_seconds(seconds);
                format!("wait until {}", moment(end.0))
            }
            None => "use another, or have its limit set anew".to_owned(),
        };
        let reason = format!(
            "the budget for {key} counts as used up: an older copy of the ledger was accepted, and what was spent in the \
             lost part is not known; {until}"
        );
        Err(Refusal::new(DenyCause::BudgetExhausted, reason))
    }

    fn held(&self, at: Micros, except: Option<&ReservationId>) -> u64 {
        let live = self.holds.iter().filter(|(id, hold)| hold.expires > at && Some(*id) != except);
        live.fold(0, |sum, (_, hold)| sum.saturating_add(hold.amount))
    }

    /// The limit that binds: the tighter of the known and the stated one.
    fn binding(&self, stated: Option<u64>) -> Option<u64> {
        match (self.limit, stated) {
            (Some(known), Some(stated)) => Some(known.min(stated)),
            (known, stated) => known.or(stated),
        }
    }

    /// Whether an amount may be taken now. `except` is a hold that is being replaced.
    pub(super) fn check(
        &self,
        wanted: &Amount,
        at: Micros,
        except: Option<&ReservationId>,
    ) -> Result<(), Refusal> {
        let key = &wanted.key;
        self.check_burned(key, at)?;
        let standing = self.standing(key, at);
        let held = self.held(at, except);
        let limit = self.binding(wanted.limit);
        if let (Some(limit), Some(Window::Rolling(seconds))) = (limit, key.window) {
            return self.check_rate(wanted, at, held, limit, seconds);
        }
        let used = standing.spent.saturating_add(standing.in_flight).saturating_add(held);
        let after = used.saturating_add(wanted.amount);
        let most = limit.unwrap_or(MAX_COUNT);
        if used < most && after <= most {
            return Ok(());
        }
        let unit = key.unit;
        let open = standing.in_flight.saturating_add(held);
        let anew = match key.window {
            Some(Window::Fixed(seconds)) => {
                let next = period(key, at).saturating_add(1).saturating_mul(length(seconds));
                format!(
                    "it starts anew at {}: wait until then, ask for less, or have the limit raised",
                    moment(next)
                )
            }
            _ => "it never starts anew: ask for less, or have the limit raised".to_owned(),
        };
        Err(Refusal::new(
            DenyCause::BudgetExhausted,
            format!(
                "the budget for {key} has {used} of {most} {unit} used ({open} of them by calls still open), and this \
                 asks for {}; {anew}",
                wanted.amount
            ),
        ))
    }

    fn check_rate(
        &self,
        wanted: &Amount,
        at: Micros,
        held: u64,
        limit: u64,
        seconds: u32,
    ) -> Result<(), Refusal> {
        let bucket = self.bucket.leaked(limit, at);
        let full = drops(limit, seconds);
        let used = bucket.drops.saturating_add(drops(held, seconds));
        // A call that costs nothing still needs room for one unit: a used-up budget lets nothing through.
        let after = used.saturating_add(drops(wanted.amount.max(1), seconds));
        if after <= full {
            return Ok(());
        }
        let key = &wanted.key;
        let wait = after.saturating_sub(full).div_ceil(u128::from(limit.max(1)));
        let next = match i64::try_from(wait) {
            Ok(wait) if wanted.amount <= limit && limit > 0 => format!(
                "there is room again at {}: wait until then, ask for less, or have the limit raised",
                moment(at.0.saturating_add(wait))
            ),
            _ => {
                "that is more than it ever allows at once: ask for less, or have the limit raised".to_owned()
            }
        };
        let used = used.div_ceil(drops(1, seconds).max(1));
        Err(Refusal::new(
            DenyCause::RateLimited,
            format!(
                "the rate limit for {key} has {used} of {limit} {} used, and this asks for {}; {next}",
                key.unit, wanted.amount
            ),
        ))
    }

    /// Moves on to the window of a moment. What older windows have in flight stays in them.
    fn roll(&mut self, key: &BudgetKey, at: Micros) {
        let period = period(key, at);
        if period > self.period {
            self.period = period;
            self.spent = 0;
            self.in_flight = 0;
        }
    }

    pub(super) fn set_limit(&mut self, key: &BudgetKey, limit: u64, at: Micros) {
        self.roll(key, at);
        self.burned = None;
        if matches!(key.window, Some(Window::Rolling(_))) {
            self.bucket = match self.limit {
                Some(before) => self.bucket.leaked(before, at),
                None => Bucket { seen: at, ..self.bucket },
            };
        }
        self.limit = Some(limit);
    }

    pub(super) fn hold(&mut self, id: ReservationId, amount: u64, expires: Micros) {
        self.holds.insert(id, Hold { amount, expires });
    }

    pub(super) fn drop_hold(&mut self, id: &ReservationId) {
        self.holds.remove(id);
    }

    /// Takes an amount for a permit; says of which window it is.
    pub(super) fn take(&mut self, wanted: &Amount, at: Micros) -> i64 {
        self.roll(&wanted.key, at);
        self.in_flight = self.in_flight.saturating_add(wanted.amount).min(MAX_COUNT);
        self.pour(&wanted.key, wanted.amount, wanted.limit, at);
        self.period
    }

    /// Replaces what was taken in a window by what it really cost. Of a window that is over, the present one is
    /// charged with what was not foreseen.
    pub(super) fn settle(&mut self, taken: &Amount, window: i64, actual: u64, at: Micros) {
        self.roll(&taken.key, at);
        let excess = actual.saturating_sub(taken.amount);
        if window == self.period {
            self.in_flight = self.in_flight.saturating_sub(taken.amount);
            self.spend(actual);
        } else {
            self.spend(excess);
        }
        self.pour(&taken.key, excess, taken.limit, at);
    }

    /// Gives back what was taken and not spent. A rate keeps it: it counts attempts, since what has leaked out by now
    /// cannot be told from what has not.
    pub(super) fn release(&mut self, taken: &Amount, window: i64, at: Micros) {
        self.roll(&taken.key, at);
        if window == self.period {
            self.in_flight = self.in_flight.saturating_sub(taken.amount);
        }
    }

    /// Charges what nobody had reserved.
    pub(super) fn charge(&mut self, key: &BudgetKey, actual: u64, stated: Option<u64>, at: Micros) {
        self.roll(key, at);
        self.spend(actual);
        self.pour(key, actual, stated, at);
    }

    fn spend(&mut self, actual: u64) {
        // INVARIANT: a full counter stays full, and a full counter refuses every reservation.
        self.spent = self.spent.saturating_add(actual).min(MAX_COUNT);
    }

    fn pour(&mut self, key: &BudgetKey, amount: u64, stated: Option<u64>, at: Micros) {
        if let (Some(limit), Some(Window::Rolling(seconds))) = (self.binding(stated), key.window) {
            self.bucket = self.bucket.leaked(limit, at);
            self.bucket.fill(amount, seconds);
        }
    }
}

fn length(seconds: u32) -> i64 {
    i64::from(seconds).saturating_mul(MICROS)
}

fn period(key: &BudgetKey, at: Micros) -> i64 {
    match key.window {
        Some(Window::Fixed(seconds)) => at.0.checked_div_euclid(length(seconds)).unwrap_or(0),
        Some(Window::Rolling(_)) | None => 0,
    }
}

fn moment(micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(moment) => moment.to_string(),
        Err(_) => format!("{micros} microseconds since 1970"),
    }
}
