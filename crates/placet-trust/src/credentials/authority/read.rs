//! Reading authorities from JSON. What is not known is refused, since it was meant to restrict.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_types::{Micros, Object, Value};

use super::constraint::known;
use super::{ArgumentLimit, Authority, Bound, Constraint, Range, ToolLimit, Tools, places};
use crate::credentials::{HARD_MAX_DEPTH, MAX_SCOPES};

/// Most tools of one authority.
pub const MAX_TOOLS: usize = 256;

/// Deepest nesting of one constraint.
pub const MAX_NESTING: usize = 16;

/// Most values of one list, and most named arguments of one tool.
pub const MAX_VALUES: usize = 1_024;

/// Longest name of a tool, argument, scope or budget, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Largest whole number of a limit: 2^53.
const MAX_WHOLE: u64 = 1 << 53;

/// The draft's type of an entry of `authorization_details`.
pub(super) const TOOLS_TYPE: &str = "attenuating_agent_token";
/// Placet's type of an entry: scopes, budgets and counts.
pub(super) const LIMITS_TYPE: &str = "placet_authority";
/// The one tool of an authority over any tool; a verifier that does not know it allows nothing.
pub(super) const ANY_TOOL: &str = "*";
/// The key that stands for arguments that are not named.
pub(super) const REST: &str = "*";

/// Why something is no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It is made wrongly.
    #[error("`{at}` must be {wanted}")]
    Shape {
        /// Where.
        at: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// It has a constraint or a member that nobody here knows.
    #[error("`{at}` has an unknown {what} `{name}`; it is refused, since it was meant to restrict")]
    Unknown {
        /// Where.
        at: String,
        /// `constraint` or `member`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It is larger than is read.
    #[error("`{at}` has {actual} {what}; the limit is {limit}")]
    TooMany {
        /// Where.
        at: String,
        /// Of what.
        what: &'static str,
        /// How many.
        actual: usize,
        /// The limit.
        limit: usize,
    },
}

fn shape(at: &str, wanted: &'static str) -> AuthorityError {
    AuthorityError::Shape { at: at.to_owned(), wanted }
}

fn few(at: &str, what: &'static str, actual: usize, limit: usize) -> Result<(), AuthorityError> {
    if actual <= limit {
        return Ok(());
    }
    Err(AuthorityError::TooMany { at: at.to_owned(), what, actual, limit })
}

fn named(at: &str, name: &str) -> Result<(), AuthorityError> {
    let fits = !name.trim().is_empty() && name.len() <= MAX_NAME_BYTES;
    if fits { Ok(()) } else { Err(shape(at, "named with 1 to 256 bytes")) }
}

impl Authority {
    /// Whether it is one that may be signed.
    pub(super) fn check(&self) -> Result<(), AuthorityError> {
        few("scopes", "scopes", self.scopes.len(), MAX_SCOPES)?;
        few("budgets", "budgets", self.budgets.len(), MAX_SCOPES)?;
        self.scopes.iter().try_for_each(|scope| named("scopes", scope))?;
        for (name, limit) in &self.budgets {
            named("budgets", name)?;
            whole_limit("budgets", *limit)?;
        }
        if self.max_depth > HARD_MAX_DEPTH {
            return Err(shape("max_depth", "at most 8"));
        }
        if self.not_before.is_some_and(|not_before| not_before >= self.expires) {
            return Err(shape("not_before_us", "before the end"));
        }
        let Tools::Only(tools) = &self.tools else { return Ok(()) };
        few("tools", "tools", tools.len(), MAX_TOOLS)?;
        tools.iter().try_for_each(|(name, limit)| limit.check(name))
    }

    /// Reads an authority from `authorization_details`; depth and life stand elsewhere in a token.
    pub(in crate::credentials) fn from_details(
        details: &Value,
        max_depth: u32,
        expires: Micros,
    ) -> Result<Self, AuthorityError> {
        let entries = details.as_array().ok_or_else(|| shape("authorization_details", "a list"))?;
        let (mut tools, mut limits) = (None, None);
        for entry in entries {
            let slot = match entry.get("type").and_then(Value::as_str) {
                Some(TOOLS_TYPE) => &mut tools,
                Some(LIMITS_TYPE) => &mut limits,
                Some(_) => continue,
                None => return Err(shape("authorization_details", "a list of entries with a type")),
            };
            if slot.replace(entry).is_some() {
                return Err(shape("authorization_details", "a list with one entry of each type"));
            }
        }
        let tools = tools.ok_or_else(|| shape("authorization_details", "a list with an entry for tools"))?;
        let limits =
            limits.ok_or_else(|| shape("authorization_details", "a list with an entry for scopes"))?;
        let mut authority = Self::of_scopes(strings(limits, "scopes")?, max_depth, expires);
        authority.tools = read_tools(tools, &counts(limits, "calls")?)?;
        authority.budgets = counts(limits, "budgets")?;
        authority.not_before = match limits.get("not_before_us") {
            Some(Value::Int(at)) => Some(Micros(*at)),
            Some(_) => return Err(shape("not_before_us", "a whole number")),
            None => None,
        };
        members(LIMITS_TYPE, limits, &["type", "scopes", "budgets", "calls", "not_before_us"])?;
        authority.check()?;
        Ok(authority)
    }
}

impl Tools {
    /// Reads tools as a token has them: each with the limits of its arguments, and how often some may be called.
    ///
    /// # Errors
    /// [`AuthorityError`] for what is not known or not made as it must be.
    pub fn read(tools: &Value, calls: &BTreeMap<Arc<str>, u64>) -> Result<Self, AuthorityError> {
        let map = tools.as_object().ok_or_else(|| shape("tools", "an object"))?;
        let tools = read_map(map, calls)?;
        let whole = Authority { tools, ..Authority::of_scopes(["any"], 0, Micros(i64::MAX)) };
        whole.check()?;
        Ok(whole.tools)
    }
}

impl ToolLimit {
    fn check(&self, tool: &str) -> Result<(), AuthorityError> {
        named("tools", tool)?;
        if tool == ANY_TOOL {
            return Err(shape("tools", "named one by one; `*` stands alone"));
        }
        // The draft reads an empty map as any arguments, so that "none at all" has no form.
        if self.arguments.is_empty() && !self.open {
            return Err(shape(tool, "open to arguments, or name at least one, which may be optional"));
        }
        few(tool, "arguments", self.arguments.len(), MAX_VALUES)?;
        for (name, limit) in &self.arguments {
            named(tool, name)?;
            if &**name == REST {
                return Err(shape(tool, "without an argument named `*`"));
            }
            let at = format!("{tool}.{name}");
            few(&at, "levels of constraints", limit.constraint.depth(), MAX_NESTING)?;
            limit.constraint.check(&at)?;
        }
        match &self.calls {
            None => Ok(()),
            Some(Constraint::MaxCalls(limit)) => whole_limit(tool, *limit),
            Some(_) => Err(shape(tool, "limited in its calls by max_calls")),
        }
    }
}

impl Constraint {
    fn check(&self, at: &str) -> Result<(), AuthorityError> {
        let fits = |holds: bool, wanted: &'static str| if holds { Ok(()) } else { Err(shape(at, wanted)) };
        match self {
            Self::Exact(value) => {
                let scalar =
                    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_));
                fits(scalar, "exactly a string, a number or a boolean")
            }
            Self::OneOf(values) | Self::Subset(values) => {
                few(at, "values", values.len(), MAX_VALUES)?;
                let empty = values.is_empty() && matches!(self, Self::OneOf(_));
                fits(!empty, "one of at least one value; leave the tool out to allow nothing")?;
                fits(values.iter().all(|value| known(value) && !value.is_null()), "one of known values")
            }
            Self::Range(Range { min, max }) => {
                let finite = |bound: &Option<Bound>| bound.is_none_or(|bound| bound.at.is_finite());
                fits(finite(min) && finite(max), "bounded by finite numbers")?;
                let ordered = min.zip(*max).is_none_or(|(min, max)| min.at <= max.at);
                fits(ordered, "a range whose lower bound is not above its upper bound")
            }
            Self::Wildcard => Ok(()),
            Self::PrefixPath(root) => fits(places::path(root).is_some(), "a path without `.`, `..` or `//`"),
            Self::HostSuffix(suffix) => {
                fits(places::host(suffix).is_some_and(|name| name == **suffix), "a host name in lower case")
            }
            Self::MaxCalls(_) => Err(shape(at, "an argument; max_calls stands on a tool")),
            Self::BudgetRef { budget, limit } => named(at, budget).and_then(|()| whole_limit(at, *limit)),
            Self::All(clauses) | Self::Any(clauses) => {
                fits(!clauses.is_empty(), "a list of at least one constraint")?;
                few(at, "constraints", clauses.len(), MAX_VALUES)?;
                clauses.iter().try_for_each(|clause| clause.check(at))
            }
        }
    }

    /// Reads one constraint.
    ///
    /// # Errors
    /// [`AuthorityError`] for an unknown kind, an unknown or wrong member, or one that nests too deep.
    pub fn read(value: &Value) -> Result<Self, AuthorityError> {
        let constraint = read_constraint("constraint", value, &[], 1)?;
        match constraint {
            Self::MaxCalls(_) => {}
            _ => constraint.check("constraint")?,
        }
        Ok(constraint)
    }
}

fn whole_limit(at: &str, limit: u64) -> Result<(), AuthorityError> {
    if limit <= MAX_WHOLE { Ok(()) } else { Err(shape(at, "limited by at most 2^53")) }
}

fn read_tools(entry: &Value, calls: &BTreeMap<Arc<str>, u64>) -> Result<Tools, AuthorityError> {
    members(TOOLS_TYPE, entry, &["type", "tools"])?;
    let map = entry.get("tools").and_then(Value::as_object).ok_or_else(|| shape("tools", "an object"))?;
    read_map(map, calls)
}

fn read_map(map: &Object, calls: &BTreeMap<Arc<str>, u64>) -> Result<Tools, AuthorityError> {
    if let Some(limit) = map.get(ANY_TOOL) {
        let alone = map.len() == 1 && calls.is_empty() && limit.as_object().is_some_and(Object::is_empty);
        return if alone {
            Ok(Tools::Any)
        } else {
            Err(shape("tools", "named one by one; `*` stands alone"))
        };
    }
    few("tools", "tools", map.len(), MAX_TOOLS)?;
    if let Some(name) = calls.keys().find(|name| map.get(name).is_none()) {
        return Err(AuthorityError::Unknown { at: "calls".into(), what: "member", name: name.to_string() });
    }
    let mut tools = BTreeMap::new();
    for (name, limits) in map.iter() {
        let mut limit = read_tool(name, limits)?;
        limit.calls = calls.get(name.as_str()).copied().map(Constraint::MaxCalls);
        tools.insert(Arc::from(name.as_str()), limit);
    }
    Ok(Tools::Only(tools))
}

fn read_tool(tool: &str, limits: &Value) -> Result<ToolLimit, AuthorityError> {
    let map = limits.as_object().ok_or_else(|| shape(tool, "an object"))?;
    let mut limit = ToolLimit { open: map.is_empty(), ..ToolLimit::default() };
    for (name, value) in map.iter() {
        let at = format!("{tool}.{name}");
        if name == REST {
            limit.open = read_constraint(&at, value, &[], 1)? == Constraint::Wildcard;
            if !limit.open {
                return Err(shape(&at, "a wildcard"));
            }
            continue;
        }
        let optional = match value.get("optional") {
            None => false,
            Some(Value::Bool(optional)) => *optional,
            Some(_) => return Err(shape(&at, "optional or not: a boolean")),
        };
        let constraint = read_constraint(&at, value, &["optional"], 1)?;
        limit.arguments.insert(name.as_str().into(), ArgumentLimit { constraint, optional });
    }
    Ok(limit)
}

fn read_constraint(
    at: &str,
    value: &Value,
    extra: &[&str],
    level: usize,
) -> Result<Constraint, AuthorityError> {
    few(at, "levels of constraints", level, MAX_NESTING)?;
    let kind = value.get("constraint_type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| shape(at, "an object with a constraint_type"))?;
    let member = |name: &str| value.get(name).ok_or_else(|| shape(at, "complete: a member is missing"));
    let text =
        |name: &str| member(name)?.as_str().map(Arc::from).ok_or_else(|| shape(at, "written with a string"));
    let list = |name: &str| {
        member(name)?.as_array().map(<[Value]>::to_vec).ok_or_else(|| shape(at, "written with a list"))
    };
    let clauses = || {
        let items = member("constraints")?.as_array().ok_or_else(|| shape(at, "written with a list"))?;
        items.iter().map(|item| read_constraint(at, item, &[], level + 1)).collect::<Result<Vec<_>, _>>()
    };
    let (constraint, known): (Constraint, &[&str]) = match kind {
        "exact" => (Constraint::Exact(member("value")?.clone()), &["value"]),
        "one_of" => (Constraint::OneOf(list("values")?), &["values"]),
        "subset" => (Constraint::Subset(list("allowed")?), &["allowed"]),
        "wildcard" => (Constraint::Wildcard, &[]),
        "prefix_path" => (Constraint::PrefixPath(text("prefix")?), &["prefix"]),
        "host_suffix" => (Constraint::HostSuffix(text("suffix")?), &["suffix"]),
        "max_calls" => (Constraint::MaxCalls(count(at, member("limit")?)?), &["limit"]),
        "budget_ref" => {
            let limit = count(at, member("limit")?)?;
            (Constraint::BudgetRef { budget: text("budget")?, limit }, &["budget", "limit"])
        }
        "all" => (Constraint::All(clauses()?), &["constraints"]),
        "any" => (Constraint::Any(clauses()?), &["constraints"]),
        "range" => {
            (Constraint::Range(read_range(at, value)?), &["min", "max", "min_inclusive", "max_inclusive"])
        }
        name => {
            return Err(AuthorityError::Unknown { at: at.into(), what: "constraint", name: name.into() });
        }
    };
    let all: Vec<_> = known.iter().chain(extra).chain(&["constraint_type"]).copied().collect();
    members(at, value, &all)?;
    Ok(constraint)
}

fn read_range(at: &str, value: &Value) -> Result<Range, AuthorityError> {
    let bound = |name: &str, inclusive: &str| {
        let inclusive = match value.get(inclusive) {
            None => None,
            Some(Value::Bool(inclusive)) => Some(*inclusive),
            Some(_) => return Err(shape(at, "inclusive or not: a boolean")),
        };
        match (value.get(name), inclusive) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(shape(at, "without inclusiveness for a bound that is absent")),
            (Some(number), inclusive) => {
                let number = number.as_number().ok_or_else(|| shape(at, "bounded by numbers"))?;
                Ok(Some(Bound { at: number, inclusive: inclusive.unwrap_or(true) }))
            }
        }
    };
    Ok(Range { min: bound("min", "min_inclusive")?, max: bound("max", "max_inclusive")? })
}

fn members(at: &str, value: &Value, known: &[&str]) -> Result<(), AuthorityError> {
    let object = value.as_object().ok_or_else(|| shape(at, "an object"))?;
    match object.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => {
            Err(AuthorityError::Unknown { at: at.into(), what: "member", name: name.to_string() })
        }
        None => Ok(()),
    }
}

fn strings(entry: &Value, name: &str) -> Result<Vec<Arc<str>>, AuthorityError> {
    let items = entry.get(name).and_then(Value::as_array).ok_or_else(|| shape(name, "a list of strings"))?;
    let text = |item: &Value| item.as_str().map(Arc::from).ok_or_else(|| shape(name, "a list of strings"));
    items.iter().map(text).collect()
}

fn counts(entry: &Value, name: &str) -> Result<BTreeMap<Arc<str>, u64>, AuthorityError> {
    let map =
        entry.get(name).and_then(Value::as_object).ok_or_else(|| shape(name, "an object of numbers"))?;
    map.iter().map(|(key, value)| Ok((Arc::from(key.as_str()), count(name, value)?))).collect()
}

fn count(at: &str, value: &Value) -> Result<u64, AuthorityError> {
    match value {
        Value::Int(number) => {
            u64::try_from(*number).map_err(|_| shape(at, "a whole number that is not negative"))
        }
        _ => Err(shape(at, "a whole number that is not negative")),
    }
}
