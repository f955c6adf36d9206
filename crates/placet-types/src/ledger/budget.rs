//! Budgets: whose they are, what they count, what is taken from them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Micros, ReservationId};

/// The largest amount, limit or count: 2^53 - 1, past which JSON readers lose integers.
pub const MAX_COUNT: u64 = (1 << 53) - 1;

/// Whose budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// One session, keyed by the root of its credential lineage where there is one.
    Session,
    /// One agent.
    Agent,
    /// One tool.
    Tool,
    /// One tenant.
    Tenant,
    /// Everyone.
    Organisation,
}

impl BudgetScope {
    /// Its name, as it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Tenant => "tenant",
            Self::Organisation => "organisation",
        }
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetUnit {
    /// Model tokens.
    Tokens,
    /// Calls.
    ApiCalls,
    /// Millionths of the currency unit: a cent is 10,000.
    CostMicros,
    /// Milliseconds of computing.
    ComputeMillis,
}

impl BudgetUnit {
    /// Every unit.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::ApiCalls, Self::CostMicros, Self::ComputeMillis];

    /// Its name, as it is written everywhere.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::ApiCalls => "api_calls",
            Self::CostMicros => "cost_micros",
            Self::ComputeMillis => "compute_millis",
        }
    }
}

impl fmt::Display for BudgetUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which budget. Keys are ordered by scope first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetKey {
    /// The id of the owner within the scope; empty for the organisation.
    pub owner: Arc<str>,
    /// Whose it is.
    pub scope: BudgetScope,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Its window; absent means that it never starts anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl Ord for BudgetKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let Self { owner, scope, unit, window } = self;
        (scope, owner, unit, window).cmp(&(&other.scope, &other.owner, &other.unit, &other.window))
    }
}

impl PartialOrd for BudgetKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", self.unit, self.scope)?;
        if !self.owner.is_empty() {
            write!(formatter, " `{}`", self.owner)?;
        }
        match self.window {
            None => Ok(()),
            Some(Window::Fixed(seconds)) => write!(formatter, " in each {seconds} s"),
            Some(Window::Rolling(seconds)) => write!(formatter, ", refilled evenly over {seconds} s,"),
        }
    }
}

/// How often a budget starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// At fixed multiples of so many seconds since 1970 in UTC: 3,600 is each hour, 86,400 each day.
    Fixed(u32),
    /// Evenly over so many seconds (GCRA): a rate limit that allows a burst of the whole limit.
    Rolling(u32),
}

/// The limit of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetLimit {
    /// Which budget.
    pub key: BudgetKey,
    /// The most that may be spent, in the unit of the key.
    pub limit: u64,
}

/// One amount of one budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// How much, in the unit of the key.
    pub amount: u64,
    /// Which budget.
    pub key: BudgetKey,
    /// A limit that the caller states; it can tighten the known one, never loosen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Amounts taken before they are spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// What is taken; each budget at most once.
    pub amounts: Vec<Amount>,
    /// When a reservation without a permit falls back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_us: Option<Micros>,
    /// Its id.
    pub id: ReservationId,
    /// Whether a permit was given: then it counts as spent until an outcome says otherwise, and never expires.
    pub in_flight: bool,
}

/// What a reservation really cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// What was spent of each budget, each at most once; one that is not named costs what was reserved, one that was
    /// not reserved is charged too. After an effect that failed or was cancelled nothing costs less than reserved.
    pub actual: Vec<Amount>,
    /// Which reservation.
    pub id: ReservationId,
}
