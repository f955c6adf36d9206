//! Authorities and constraints as JSON, and as words.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use placet_types::Value;
use serde_json::{Map, Value as Json, json};

use super::read::{ANY_TOOL, AuthorityError, LIMITS_TYPE, REST, TOOLS_TYPE};
use super::{ArgumentLimit, Authority, Bound, Constraint, ToolLimit, Tools};
use crate::credentials::canonical;

/// Most values that a list shows to a person.
const SHOWN: usize = 6;

impl Authority {
    /// The whole authority as JSON: what its digest is taken over.
    pub(super) fn form(&self) -> Result<Json, AuthorityError> {
        self.check()?;
        Ok(json!({
            "authorization_details": self.details()?,
            "expires_us": self.expires.0,
            "max_depth": self.max_depth,
        }))
    }

    /// Its `authorization_details`: the draft's entry, and Placet's with what the draft has no place for.
    ///
    /// # Errors
    /// [`AuthorityError`] when it has no valid form.
    pub fn details(&self) -> Result<Json, AuthorityError> {
        self.check()?;
        let mut calls = Map::new();
        let tools = match &self.tools {
            Tools::Any => json!({ ANY_TOOL: {} }),
            Tools::Only(tools) => {
                for (name, limit) in tools {
                    if let Some(Constraint::MaxCalls(most)) = limit.calls {
                        calls.insert(name.to_string(), json!(most));
                    }
                }
                tools
                    .iter()
                    .map(|(name, limit)| (name.to_string(), limit.form()))
                    .collect::<Map<_, _>>()
                    .into()
            }
        };
        let mut limits =
            json!({ "type": LIMITS_TYPE, "scopes": self.scopes, "budgets": self.budgets, "calls": calls });
        if let (Some(not_before), Some(limits)) = (self.not_before, limits.as_object_mut()) {
            limits.insert("not_before_us".to_owned(), json!(not_before.0));
        }
        Ok(json!([{ "type": TOOLS_TYPE, "tools": tools }, limits]))
    }
}

impl ToolLimit {
    fn form(&self) -> Json {
        if self.open && self.arguments.is_empty() {
            return json!({});
        }
        let mut map: Map<_, _> =
            self.arguments.iter().map(|(name, limit)| (name.to_string(), limit.form())).collect();
        if self.open {
            map.insert(REST.to_owned(), Constraint::Wildcard.form());
        }
        map.into()
    }
}

impl ArgumentLimit {
    fn form(&self) -> Json {
        let mut form = self.constraint.form();
        if let Some(form) = form.as_object_mut().filter(|_| self.optional) {
            form.insert("optional".to_owned(), json!(true));
        }
        form
    }
}

impl Constraint {
    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::OneOf(_) => "one_of",
            Self::Range(_) => "range",
            Self::Subset(_) => "subset",
            Self::Wildcard => "wildcard",
            Self::PrefixPath(_) => "prefix_path",
            Self::HostSuffix(_) => "host_suffix",
            Self::MaxCalls(_) => "max_calls",
            Self::BudgetRef { .. } => "budget_ref",
            Self::All(_) => "all",
            Self::Any(_) => "any",
        }
    }

    fn form(&self) -> Json {
        let kind = self.kind();
        let forms = |clauses: &[Self]| clauses.iter().map(Self::form).collect::<Vec<_>>();
        match self {
            Self::Exact(value) => json!({ "constraint_type": kind, "value": value }),
            Self::OneOf(values) => json!({ "constraint_type": kind, "values": values }),
            Self::Subset(values) => json!({ "constraint_type": kind, "allowed": values }),
            Self::Wildcard => json!({ "constraint_type": kind }),
            Self::PrefixPath(root) => json!({ "constraint_type": kind, "prefix": root }),
            Self::HostSuffix(suffix) => json!({ "constraint_type": kind, "suffix": suffix }),
            Self::MaxCalls(limit) => json!({ "constraint_type": kind, "limit": limit }),
            Self::BudgetRef { budget, limit } => {
                json!({ "constraint_type": kind, "budget": budget, "limit": limit })
            }
            Self::All(clauses) | Self::Any(clauses) => {
                json!({ "constraint_type": kind, "constraints": forms(clauses) })
            }
            Self::Range(range) => {
                let mut form = Map::new();
                form.insert("constraint_type".to_owned(), json!(kind));
                bound(&mut form, "min", "min_inclusive", range.min);
                bound(&mut form, "max", "max_inclusive", range.max);
                form.into()
            }
        }
    }
}

fn bound(form: &mut Map<String, Json>, name: &str, inclusive: &str, bound: Option<Bound>) {
    if let Some(bound) = bound {
        form.insert(name.to_owned(), json!(bound.at));
        if !bound.inclusive {
            form.insert(inclusive.to_owned(), json!(false));
        }
    }
}

/// What a person reads.
impl fmt::Display for Constraint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(out, "exactly {}", shown(value)),
            Self::OneOf(values) => write!(out, "one of {}", list(values)),
            Self::Subset(values) => write!(out, "a list of {}", list(values)),
            Self::Wildcard => out.write_str("any value"),
            Self::PrefixPath(root) => write!(out, "a path at or below `{root}`"),
            Self::HostSuffix(suffix) => write!(out, "the host `{suffix}` or one below it"),
            Self::MaxCalls(1) => out.write_str("once"),
            Self::MaxCalls(limit) => write!(out, "at most {limit} times"),
            Self::BudgetRef { budget, limit } => {
                write!(out, "at most {limit}, drawn from the budget `{budget}`")
            }
            Self::All(clauses) => joined(out, clauses, " and "),
            Self::Any(clauses) => joined(out, clauses, " or "),
            Self::Range(range) => match (range.min, range.max) {
                (None, None) => out.write_str("a number"),
                (Some(min), None) => out.write_str(&lower(min)),
                (None, Some(max)) => out.write_str(&upper(max)),
                (Some(min), Some(max)) => write!(out, "{} and {}", lower(min), upper(max)),
            },
        }
    }
}

fn lower(bound: Bound) -> String {
    format!("{} {}", if bound.inclusive { "at least" } else { "more than" }, bound.at)
}

fn upper(bound: Bound) -> String {
    format!("{} {}", if bound.inclusive { "at most" } else { "less than" }, bound.at)
}

fn joined(out: &mut fmt::Formatter<'_>, clauses: &[Constraint], word: &str) -> fmt::Result {
    let parts: Vec<_> = clauses.iter().map(Constraint::to_string).collect();
    write!(out, "({})", parts.join(word))
}

fn list(values: &[Value]) -> String {
    let mut parts: Vec<_> = values.iter().take(SHOWN).map(shown).collect();
    if values.len() > SHOWN {
        parts.push(format!("{} more", values.len() - SHOWN));
    }
    parts.join(", ")
}

/// A value for a person: JSON, so that control characters are escaped.
pub(super) fn shown(value: &Value) -> String {
    canonical::text(value).unwrap_or_else(|_| "a value that cannot be shown".to_owned())
}
