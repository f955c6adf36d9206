//! What a credential gives: scopes, tools with limits on their arguments, depth, life and budgets.
//!
//! An authority is compared by its structure, never by running anything, so that a screen can show what it gives and
//! how a child's differs. Conditions that need more belong in policies, which can only narrow further.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod constraint;
mod differ;
mod places;
mod read;
#[cfg(test)]
pub(in crate::credentials) mod tests;
mod witness;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_types::ledger::BudgetUnit;
use placet_types::{Digest, Micros, Object, Value};
use sha2::{Digest as _, Sha256};

pub use constraint::{Bound, Constraint, Range};
pub use differ::{Change, Line, diff, excess};
pub use read::{AuthorityError, MAX_NESTING, MAX_TOOLS, MAX_VALUES};
pub use witness::{Witness, witness};

use super::canonical;

/// Everything that a credential gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// The scopes, as policies see them.
    pub scopes: BTreeSet<Arc<str>>,
    /// The tools that may be called.
    pub tools: Tools,
    /// The greatest depth of delegation that descendants may have.
    pub max_depth: u32,
    /// Until when it is not valid yet.
    pub not_before: Option<Micros>,
    /// From when on it is dead.
    pub expires: Micros,
    /// The most that the credential and its descendants may spend together of each named budget. `tokens`,
    /// `api_calls`, `cost_micros` and `compute_millis` are counted by the ledger; other names are for
    /// [`Constraint::BudgetRef`]. A budget that is not named is not limited here.
    pub budgets: BTreeMap<Arc<str>, u64>,
}

/// Which tools may be called.
#[derive(Debug, Clone, PartialEq)]
pub enum Tools {
    /// Any, with any arguments: scopes and policies decide alone.
    Any,
    /// These, within their limits.
    Only(BTreeMap<Arc<str>, ToolLimit>),
}

/// The limits of one tool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolLimit {
    /// What is said of single arguments.
    pub arguments: BTreeMap<Arc<str>, ArgumentLimit>,
    /// Whether arguments that are not named may be given, with any value.
    pub open: bool,
    /// How often it may be called: a [`Constraint::MaxCalls`].
    pub calls: Option<Constraint>,
}

/// The limit of one argument.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgumentLimit {
    /// What its value must satisfy.
    pub constraint: Constraint,
    /// Whether it may be left out, or be null.
    pub optional: bool,
}

/// One call, as an authority sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its frozen arguments.
    pub args: &'a Object,
    /// How many calls of this tool this credential and its descendants have made before.
    pub calls: u64,
    /// When.
    pub at: Micros,
}

/// Why an authority does not cover a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Outside its life.
    #[error("the credential is not valid at this time; use one that is")]
    Time,
    /// Another tool.
    #[error("the credential does not cover the tool `{0}`; ask for one that does")]
    Tool(Arc<str>),
    /// An argument that is not named.
    #[error("the credential does not allow the argument `{argument}` of `{tool}`; leave it out")]
    Unnamed {
        /// Of which tool.
        tool: Arc<str>,
        /// Which.
        argument: Arc<str>,
    },
    /// An argument that is missing.
    #[error("the credential requires the argument `{argument}` of `{tool}`; give it")]
    Missing {
        /// Of which tool.
        tool: Arc<str>,
        /// Which.
        argument: Arc<str>,
    },
    /// A value outside its limit.
    #[error("the argument `{argument}` of `{tool}` must be {limit}, as the credential says")]
    Argument {
        /// Of which tool.
        tool: Arc<str>,
        /// Which.
        argument: Arc<str>,
        /// The limit, for people.
        limit: String,
    },
    /// Too often.
    #[error("the credential allows `{tool}` {limit}; that is used up")]
    Calls {
        /// Which tool.
        tool: Arc<str>,
        /// The limit, for people.
        limit: String,
    },
}

impl Authority {
    /// The authority of a credential that names scopes and leaves tools to the policies.
    #[must_use]
    pub fn of_scopes<I, S>(scopes: I, max_depth: u32, expires: Micros) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<Arc<str>>,
    {
        Self {
            scopes: scopes.into_iter().map(Into::into).collect(),
            tools: Tools::Any,
            max_depth,
            not_before: None,
            expires,
            budgets: BTreeMap::new(),
        }
    }

    /// SHA-256 of its canonical form.
    ///
    /// # Errors
    /// [`AuthorityError`] when it has no valid form; it is checked first.
    pub fn digest(&self) -> Result<Digest, AuthorityError> {
        let form = self.form()?;
        let text = canonical::text(&form).map_err(|_| AuthorityError::Shape {
            at: "authority".into(),
            wanted: "data that can be written as JSON",
        })?;
        Ok(Digest(Sha256::digest(text.as_bytes()).into()))
    }

    /// The budgets that the ledger counts for the credential.
    #[must_use]
    pub fn limits(&self) -> BTreeMap<BudgetUnit, u64> {
        let limit = |unit: BudgetUnit| self.budgets.get(unit.to_string().as_str()).map(|most| (unit, *most));
        BudgetUnit::ALL.into_iter().filter_map(limit).collect()
    }

    /// Whether a call lies within it.
    ///
    /// # Errors
    /// The first limit that it breaks.
    pub fn covers(&self, call: &Call<'_>) -> Result<(), Breach> {
        if call.at >= self.expires || self.not_before.is_some_and(|not_before| call.at < not_before) {
            return Err(Breach::Time);
        }
        match &self.tools {
            Tools::Any => Ok(()),
            Tools::Only(tools) => match tools.get(call.tool) {
                Some(limit) => limit.covers(call),
                None => Err(Breach::Tool(call.tool.into())),
            },
        }
    }

    /// Whether everything that it gives the parent gives too. May say no to what it cannot prove.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        excess(parent, self).is_empty()
    }
}

impl ToolLimit {
    /// A tool without limits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { open: true, ..Self::default() }
    }

    fn covers(&self, call: &Call<'_>) -> Result<(), Breach> {
        let tool = || Arc::from(call.tool);
        for (name, limit) in &self.arguments {
            let argument = || name.clone();
            match call.args.get(name) {
                None | Some(Value::Null) if limit.optional => {}
                None | Some(Value::Null) => {
                    return Err(Breach::Missing { tool: tool(), argument: argument() });
                }
                Some(value) if limit.constraint.ok(value) => {}
                Some(_) => {
                    let limit = limit.constraint.to_string();
                    return Err(Breach::Argument { tool: tool(), argument: argument(), limit });
                }
            }
        }
        if !self.open {
            let unnamed = call.args.iter().find(|(name, _)| !self.arguments.contains_key(name.as_str()));
            if let Some((name, _)) = unnamed {
                return Err(Breach::Unnamed { tool: tool(), argument: name.as_str().into() });
            }
        }
        match &self.calls {
            Some(limit) if !limit.ok(&Value::from_i128(call.calls.into())) => {
                Err(Breach::Calls { tool: tool(), limit: limit.to_string() })
            }
            _ => Ok(()),
        }
    }
}
