//! Budgets as they are configured: limits in the units people write, and what a call is expected to cost.
//!
//! ```yaml
//! budgets:
//!   - { scope: session, unit: api_calls, limit: 10, window: day }
//!   - { scope: agent, of: billing, usd: 5.00, window: day }
//!   - { scope: tenant, tokens: 1000000 }
//!   - { scope: tool, of: search, api_calls: 30, rolling: 1m }
//! tools:
//!   search: { cost: { usd: 0.02, compute: 3s } }
//! ```
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::{BudgetScope, BudgetUnit, MAX_COUNT, Window};
use serde::Deserialize;

/// A limit for each owner in a scope, or for one of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RuleText")]
pub struct BudgetRule {
    /// Whose budgets.
    pub scope: BudgetScope,
    /// Only this one's; absent means that each has one.
    pub of: Option<Arc<str>>,
    /// What is counted.
    pub unit: BudgetUnit,
    /// The most that may be spent, in the unit.
    pub limit: u64,
    /// How often it starts anew; absent means never.
    pub window: Option<Window>,
}

/// What a call is expected to cost, `tools.<name>.cost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EstimateText")]
pub struct Estimate {
    /// Model tokens.
    pub tokens: u64,
    /// Calls; 1 when not said.
    pub api_calls: u64,
    /// Millionths of the currency unit.
    pub cost_micros: u64,
    /// Milliseconds of computing.
    pub compute_millis: u64,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { tokens: 0, api_calls: 1, cost_micros: 0, compute_millis: 0 }
    }
}

impl Estimate {
    /// What it expects in a unit.
    #[must_use]
    pub fn of(&self, unit: BudgetUnit) -> u64 {
        match unit {
            BudgetUnit::Tokens => self.tokens,
            BudgetUnit::ApiCalls => self.api_calls,
            BudgetUnit::CostMicros => self.cost_micros,
            BudgetUnit::ComputeMillis => self.compute_millis,
        }
    }
}

/// Why a budget or an estimate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetRuleError {
    /// None of the limits is given, or several.
    #[error(
        "a budget has {0} limits; give one of `usd`, `tokens`, `api_calls`, `compute`, or `limit` with `unit`"
    )]
    Limits(usize),
    /// Both kinds of window are given.
    #[error("a budget has both `window` and `rolling`; give one: `window` starts anew, `rolling` is a rate")]
    TwoWindows,
    /// The organisation is one.
    #[error("`of: {0}` names one of the scope `organisation`, of which there is one; leave `of` out")]
    OneOrganisation(Arc<str>),
    /// A number that is no amount.
    #[error("`{field}: {text}` is no amount; write {expected}, at most {MAX_COUNT} of the smallest unit")]
    Amount {
        /// The field.
        field: &'static str,
        /// What it holds.
        text: String,
        /// What is expected there.
        expected: &'static str,
    },
    /// A text that is no length of time.
    #[error(
        "`{field}: {text}` is no length of time; write a whole number of `s`, `m`, `h` or `d`, for instance `1h`, \
         or `minute`, `hour` or `day`"
    )]
    Time {
        /// The field.
        field: &'static str,
        /// What it holds.
        text: String,
    },
}

/// A number, or the text of one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Real(f64),
    Text(String),
}

impl Number {
    /// As it was written; a double in its shortest decimal form.
    fn text(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Real(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }

    fn count(&self, field: &'static str) -> Result<u64, BudgetRuleError> {
        decimal(&self.text(), 0).ok_or_else(|| self.refused(field, "a whole number"))
    }

    fn micros(&self) -> Result<u64, BudgetRuleError> {
        decimal(&self.text(), 6)
            .ok_or_else(|| self.refused("usd", "at most six decimals, for instance `5.00`"))
    }

    /// A length of time: a bare number is seconds.
    fn millis(&self) -> Result<u64, BudgetRuleError> {
        let text = self.text();
        let seconds = decimal(&text, 3);
        seconds.or_else(|| duration_millis(&text)).ok_or_else(|| {
            self.refused("compute", "seconds with at most three decimals, or for instance `1h`")
        })
    }

    fn refused(&self, field: &'static str, expected: &'static str) -> BudgetRuleError {
        BudgetRuleError::Amount { field, text: self.text(), expected }
    }
}

/// A non-negative decimal number times ten to the `places`, exactly; nothing when it has more places or is too large.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let part = if text.contains('.') && part.is_empty() { return None } else { part.trim_end_matches('0') };
    if whole.is_empty() || !are_digits(whole) || !are_digits(part) || part.len() > places {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok().filter(|number| *number <= MAX_COUNT)
}

fn duration_millis(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).filter(|millis| *millis <= MAX_COUNT)
}

fn window_seconds(field: &'static str, text: &str) -> Result<u32, BudgetRuleError> {
    let millis = match text {
        "minute" => Some(60_000),
        "hour" => Some(3_600_000),
        "day" => Some(86_400_000),
        _ => duration_millis(text),
    };
    millis
        .filter(|millis| *millis > 0 && millis % 1_000 == 0)
        .and_then(|millis| u32::try_from(millis / 1_000).ok())
        .ok_or_else(|| BudgetRuleError::Time { field, text: text.to_owned() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    scope: BudgetScope,
    #[serde(default)]
    of: Option<Arc<str>>,
    #[serde(default)]
    unit: Option<BudgetUnit>,
    #[serde(default)]
    limit: Option<Number>,
    #[serde(default)]
    usd: Option<Number>,
    #[serde(default)]
    tokens: Option<Number>,
    #[serde(default)]
    api_calls: Option<Number>,
    #[serde(default)]
    compute: Option<Number>,
    #[serde(default)]
    window: Option<String>,
    #[serde(default)]
    rolling: Option<String>,
}

impl TryFrom<RuleText> for BudgetRule {
    type Error = BudgetRuleError;

    fn try_from(text: RuleText) -> Result<Self, Self::Error> {
        let mut limits = Vec::new();
        match (text.unit, &text.limit) {
            (Some(unit), Some(limit)) => limits.push((unit, limit.count("limit")?)),
            (None, None) => {}
            _ => return Err(BudgetRuleError::Limits(0)),
        }
        if let Some(usd) = &text.usd {
            limits.push((BudgetUnit::CostMicros, usd.micros()?));
        }
        if let Some(tokens) = &text.tokens {
            limits.push((BudgetUnit::Tokens, tokens.count("tokens")?));
        }
        if let Some(calls) = &text.api_calls {
            limits.push((BudgetUnit::ApiCalls, calls.count("api_calls")?));
        }
        if let Some(compute) = &text.compute {
            limits.push((BudgetUnit::ComputeMillis, compute.millis()?));
        }
        let [(unit, limit)] = *limits else { return Err(BudgetRuleError::Limits(limits.len())) };
        let window = match (&text.window, &text.rolling) {
            (None, None) => None,
            (Some(fixed), None) => Some(Window::Fixed(window_seconds("window", fixed)?)),
            (None, Some(rolling)) => Some(Window::Rolling(window_seconds("rolling", rolling)?)),
            (Some(_), Some(_)) => return Err(BudgetRuleError::TwoWindows),
        };
        match text.of {
            Some(of) if text.scope == BudgetScope::Organisation => Err(BudgetRuleError::OneOrganisation(of)),
            of => Ok(Self { scope: text.scope, of, unit, limit, window }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EstimateText {
    #[serde(default)]
    usd: Option<Number>,
    #[serde(default)]
    tokens: Option<Number>,
    #[serde(default)]
    api_calls: Option<Number>,
    #[serde(default)]
    compute: Option<Number>,
}

impl TryFrom<EstimateText> for Estimate {
    type Error = BudgetRuleError;

    fn try_from(text: EstimateText) -> Result<Self, Self::Error> {
        Ok(Self {
            tokens: text.tokens.map_or(Ok(0), |tokens| tokens.count("tokens"))?,
            api_calls: text.api_calls.map_or(Ok(1), |calls| calls.count("api_calls"))?,
            cost_micros: text.usd.map_or(Ok(0), |usd| usd.micros())?,
            compute_millis: text.compute.map_or(Ok(0), |compute| compute.millis())?,
        })
    }
}
