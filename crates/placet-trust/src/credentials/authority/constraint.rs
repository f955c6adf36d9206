//! What one argument may be.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::Value;

use super::places;

/// A condition on one argument.
///
/// `exact`, `one_of`, `range`, `subset`, `wildcard`, `all` and `any` are of the draft, the rest are Placet's.
/// Source: draft-niyikiza-oauth-attenuating-agent-tokens, section 3.4.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// This scalar. Numbers are equal when they are the same number; strings and booleans never equal numbers.
    Exact(Value),
    /// One of these values; never empty.
    OneOf(Vec<Value>),
    /// A number within bounds.
    Range(Range),
    /// A list whose elements all stand here.
    Subset(Vec<Value>),
    /// Any value that rules can look into.
    Wildcard,
    /// A path in normal form, at or below this one.
    PrefixPath(Arc<str>),
    /// A host name, or a URL of `http` or `https` with such a host, that is this name or below it.
    HostSuffix(Arc<str>),
    /// So many calls at most; the value is how many were made before. It stands on a tool, not on an argument.
    MaxCalls(u64),
    /// A whole amount that is drawn from a budget, up to a limit for one call.
    BudgetRef {
        /// The name of the budget.
        budget: Arc<str>,
        /// The most that one call may draw.
        limit: u64,
    },
    /// All of these; never empty.
    All(Vec<Constraint>),
    /// At least one of these; never empty.
    Any(Vec<Constraint>),
}

/// Bounds of a number; a bound that is absent does not bound.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Range {
    /// The lower bound.
    pub min: Option<Bound>,
    /// The upper bound.
    pub max: Option<Bound>,
}

/// One bound of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The number.
    pub at: f64,
    /// Whether the number itself is inside.
    pub inclusive: bool,
}

impl Range {
    /// From a number to a number, both inside.
    #[must_use]
    pub fn between(min: f64, max: f64) -> Self {
        let bound = |at| Some(Bound { at, inclusive: true });
        Self { min: bound(min), max: bound(max) }
    }

    /// Whether a number is inside.
    #[must_use]
    pub fn holds(&self, number: f64) -> bool {
        let above = |bound: Bound| number > bound.at || (bound.inclusive && number == bound.at);
        let below = |bound: Bound| number < bound.at || (bound.inclusive && number == bound.at);
        !number.is_nan() && self.min.is_none_or(above) && self.max.is_none_or(below)
    }

    fn within(&self, parent: &Self) -> bool {
        let low = |child: Bound, parent: Bound| {
            child.at > parent.at || (child.at == parent.at && (parent.inclusive || !child.inclusive))
        };
        let high = |child: Bound, parent: Bound| {
            child.at < parent.at || (child.at == parent.at && (parent.inclusive || !child.inclusive))
        };
        parent.min.is_none_or(|bound| self.min.is_some_and(|own| low(own, bound)))
            && parent.max.is_none_or(|bound| self.max.is_some_and(|own| high(own, bound)))
    }
}

/// Steps that one comparison of authorities may take; past it the answer is no.
pub(super) const FUEL: u32 = 100_000;

impl Constraint {
    /// Whether a value satisfies it. Null, an unknown leaf anywhere in the value and a wrong type never do.
    #[must_use]
    pub fn ok(&self, value: &Value) -> bool {
        !value.is_null() && known(value) && self.holds(value)
    }

    #[allow(clippy::cast_precision_loss, reason = "only compared with numbers of at most 2^53")]
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Exact(wanted) => same(wanted, value),
            Self::OneOf(values) => values.iter().any(|wanted| same(wanted, value)),
            Self::Range(range) => value.as_number().is_some_and(|number| range.holds(number)),
            Self::Subset(allowed) => value
                .as_array()
                .is_some_and(|items| items.iter().all(|item| allowed.iter().any(|other| same(other, item)))),
            Self::Wildcard => true,
            Self::PrefixPath(root) => value.as_str().is_some_and(|text| places::below(text, root)),
            Self::HostSuffix(suffix) => value.as_str().is_some_and(|text| places::host_below(text, suffix)),
            Self::MaxCalls(limit) => whole(value).is_some_and(|made| made < *limit),
            Self::BudgetRef { limit, .. } => whole(value).is_some_and(|amount| amount <= *limit),
            Self::All(clauses) => !clauses.is_empty() && clauses.iter().all(|clause| clause.holds(value)),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.holds(value)),
        }
    }

    /// Whether every value that satisfies it also satisfies the parent. May say no to what it cannot prove.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        self.narrower(parent, &mut FUEL.clone())
    }

    pub(super) fn narrower(&self, parent: &Self, fuel: &mut u32) -> bool {
        let Some(left) = fuel.checked_sub(1) else { return false };
        *fuel = left;
        match (self, parent) {
            (_, Self::All(clauses)) => {
                !clauses.is_empty() && clauses.iter().all(|clause| self.narrower(clause, fuel))
            }
            (Self::Any(clauses), _) => {
                !clauses.is_empty() && clauses.iter().all(|clause| clause.narrower(parent, fuel))
            }
            (Self::OneOf(values), Self::Any(_)) => values.iter().all(|value| {
                let exact = Self::Exact(value.clone());
                exact.narrower(parent, fuel)
            }),
            (Self::All(own), Self::Any(clauses)) => {
                clauses.iter().any(|clause| self.narrower(clause, fuel))
                    || own.iter().any(|clause| clause.narrower(parent, fuel))
            }
            (_, Self::Any(clauses)) => clauses.iter().any(|clause| self.narrower(clause, fuel)),
            (Self::All(clauses), _) => clauses.iter().any(|clause| clause.narrower(parent, fuel)),
            _ => self.plain_within(parent),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "limits are refused past 2^53")]
    fn plain_within(&self, parent: &Self) -> bool {
        match (self, parent) {
            // A draw and a count are more than a condition on a value: a child that lacks them would escape them.
            (Self::MaxCalls(own), Self::MaxCalls(limit)) => own <= limit,
            (Self::BudgetRef { budget, limit }, Self::BudgetRef { budget: other, limit: most }) => {
                budget == other && limit <= most
            }
            (_, Self::MaxCalls(_) | Self::BudgetRef { .. }) => false,
            (Self::MaxCalls(_), _) => false,
            (_, Self::Wildcard) => true,
            (Self::Exact(value), _) => parent.ok(value),
            (Self::OneOf(values), _) => values.iter().all(|value| parent.ok(value)),
            (Self::Range(own), Self::Range(range)) => own.within(range),
            (Self::BudgetRef { limit, .. }, Self::Range(range)) => {
                Range::between(0.0, *limit as f64).within(range)
            }
            (Self::Subset(own), Self::Subset(allowed)) => {
                own.iter().all(|value| allowed.iter().any(|other| same(other, value)))
            }
            (Self::PrefixPath(own), Self::PrefixPath(root)) => places::below(own, root),
            (Self::HostSuffix(own), Self::HostSuffix(suffix)) => places::host_below(own, suffix),
            _ => false,
        }
    }

    /// How deep it nests; a constraint without clauses is 1 deep.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::All(clauses) | Self::Any(clauses) => {
                clauses.iter().map(Self::depth).max().unwrap_or(0).saturating_add(1)
            }
            _ => 1,
        }
    }
}

/// Whether no leaf of a value is unknown.
pub(super) fn known(value: &Value) -> bool {
    match value {
        Value::Unknown(_) => false,
        Value::Array(items) => items.iter().all(known),
        Value::Object(object) => object.iter().all(|(_, item)| known(item)),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => true,
    }
}

/// Whether two values are the same: numbers as numbers, objects whatever the order of their keys.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            left.as_number() == right.as_number()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let found = |(key, item)| right.get(key).is_some_and(|other| same(item, other));
            left.len() == right.len() && left.iter().map(|(key, item)| (key.as_str(), item)).all(found)
        }
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => false,
        _ => left == right,
    }
}

/// A whole number that is not negative and was written as one.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
