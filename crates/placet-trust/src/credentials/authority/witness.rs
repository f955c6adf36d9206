//! A concrete thing that a child could do and its parent could not.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use placet_types::{Micros, Object, Value};

use super::differ::moment;
use super::write::shown;
use super::{Authority, Call, Constraint, ToolLimit, Tools};

/// Most values that are tried for one argument.
const TRIED: usize = 256;

/// Something that a child could do and its parent could not.
#[derive(Debug, Clone, PartialEq)]
pub enum Witness {
    /// A call.
    Call {
        /// The tool.
        tool: Arc<str>,
        /// Its arguments.
        args: Object,
        /// How many calls of the tool came before.
        calls: u64,
        /// When.
        at: Micros,
    },
    /// A call that policies allow to who has this scope.
    Scope(Arc<str>),
    /// A delegation down to this depth.
    Depth(u32),
    /// Spending so much of a budget.
    Budget {
        /// The budget.
        budget: Arc<str>,
        /// How much.
        amount: u64,
    },
}

impl fmt::Display for Witness {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { tool, args, calls, at } => {
                write!(out, "the call `{tool}` with {}", shown(&Value::Object(args.clone())))?;
                if *calls > 0 {
                    write!(out, " after {calls} calls")?;
                }
                // Where the time makes no difference, none is named.
                if at.0 > 0 { write!(out, " at {}", moment(at.0)) } else { Ok(()) }
            }
            Self::Scope(scope) => write!(out, "a call that needs the scope `{scope}`"),
            Self::Depth(depth) => write!(out, "a delegation {depth} deep"),
            Self::Budget { budget, amount } => write!(out, "spending {amount} of the budget `{budget}`"),
        }
    }
}

/// Looks for something that the child could do and the parent could not.
///
/// What is found is true: both authorities were asked. Nothing found proves nothing.
#[must_use]
pub fn witness(parent: &Authority, child: &Authority) -> Option<Witness> {
    if let Some(scope) = child.scopes.difference(&parent.scopes).next() {
        return Some(Witness::Scope(scope.clone()));
    }
    if let Some(found) = call_witness(parent, child) {
        return Some(found);
    }
    if child.max_depth > parent.max_depth {
        return Some(Witness::Depth(parent.max_depth + 1));
    }
    parent.budgets.iter().find_map(|(budget, limit)| {
        let amount = limit.checked_add(1)?;
        let wider = child.budgets.get(budget).is_none_or(|own| own > limit);
        wider.then(|| Witness::Budget { budget: budget.clone(), amount })
    })
}

fn call_witness(parent: &Authority, child: &Authority) -> Option<Witness> {
    let begin = child.not_before.unwrap_or(Micros(0));
    let last = Micros(child.expires.0.saturating_sub(1));
    let middle = parent.not_before.unwrap_or(begin).max(begin);
    let (child_tools, parent_tools) = match (&child.tools, &parent.tools) {
        (Tools::Any, Tools::Only(tools)) => (None, Some(tools)),
        (Tools::Only(tools), Tools::Only(parent)) => (Some(tools), Some(parent)),
        (Tools::Only(tools), Tools::Any) => (Some(tools), None),
        (Tools::Any, Tools::Any) => (None, None),
    };
    let unlimited = ToolLimit::unlimited();
    let mut tried: Vec<(Arc<str>, &ToolLimit)> = match child_tools {
        Some(tools) => tools.iter().map(|(name, limit)| (name.clone(), limit)).collect(),
        None => {
            let known = parent_tools.into_iter().flat_map(|tools| tools.keys().cloned());
            known.chain([Arc::from("any_other_tool")]).map(|name| (name, &unlimited)).collect()
        }
    };
    tried.sort_by_key(|(name, _)| parent_tools.is_some_and(|tools| tools.contains_key(name)));
    for (tool, limit) in tried {
        let other = parent_tools.and_then(|tools| tools.get(&tool));
        for args in arguments(limit, other) {
            for at in [middle, begin, last] {
                for calls in counts(limit, other) {
                    let call = Call { tool: &tool, args: &args, calls, at };
                    if child.covers(&call).is_ok() && parent.covers(&call).is_err() {
                        return Some(Witness::Call { tool, args, calls, at });
                    }
                }
            }
        }
    }
    None
}

/// Arguments that the child may give: one that it allows for each, then each varied alone.
fn arguments(child: &ToolLimit, parent: Option<&ToolLimit>) -> Vec<Object> {
    let mut base = Object::new();
    let mut variants: Vec<(Arc<str>, Vec<Value>)> = Vec::new();
    for (name, limit) in &child.arguments {
        let other = parent.and_then(|parent| parent.arguments.get(name)).map(|limit| &limit.constraint);
        let values = candidates(&limit.constraint, other);
        // What the parent allows too comes first, so that only one argument at a time leaves it.
        let shared = values.iter().find(|value| other.is_none_or(|other| other.ok(value)));
        if let Some(value) = shared.or(values.first()) {
            base.insert(name.to_string(), value.clone());
        }
        variants.push((name.clone(), values));
    }
    if let Some(parent) = parent.filter(|_| child.open) {
        for (name, limit) in parent.arguments.iter().filter(|(name, _)| !child.arguments.contains_key(*name))
        {
            let mut values = Vec::new();
            samples(&limit.constraint, &mut values);
            if let Some(value) = values.iter().find(|value| limit.constraint.ok(value)) {
                base.insert(name.to_string(), value.clone());
            }
            values.push(Value::from("anything"));
            variants.push((name.clone(), values));
        }
    }
    let mut all = vec![base.clone()];
    for (name, values) in variants {
        let mut without = base.clone();
        without.remove(&name);
        all.push(without);
        for value in values {
            let mut args = base.clone();
            args.insert(name.to_string(), value);
            all.push(args);
        }
    }
    if child.open {
        let mut args = base;
        args.insert("any_other_argument", Value::from("anything"));
        all.push(args);
    }
    all
}

fn candidates(child: &Constraint, parent: Option<&Constraint>) -> Vec<Value> {
    let mut values = Vec::new();
    // The parent's limits come first: what lies just outside them shows best what the child adds.
    parent.into_iter().chain([child]).for_each(|one| samples(one, &mut values));
    values.retain(|value| child.ok(value));
    values.truncate(TRIED);
    values
}

/// Values at and around the limits of a constraint, whether it allows them or not.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers of at most 2^53")]
fn samples(constraint: &Constraint, values: &mut Vec<Value>) {
    let number = |at: f64| match at.fract() == 0.0 && at.abs() < placet_types::value::MAX_NUMBER {
        true => Value::Int(at as i64),
        false => Value::from_f64(at),
    };
    let mut around = |at: f64| values.extend([at - 1.0, at, at + 1.0, at + 0.5].map(number));
    match constraint {
        Constraint::Exact(value) => values.push(value.clone()),
        Constraint::OneOf(all) => values.extend(all.iter().cloned()),
        Constraint::Subset(all) => {
            values.push(Value::Array(all.clone()));
            values.extend(all.iter().map(|value| Value::Array(vec![value.clone()])));
        }
        Constraint::Range(range) => {
            around(0.0);
            range.min.iter().chain(&range.max).for_each(|bound| around(bound.at));
        }
        Constraint::Wildcard => {
            values.extend([Value::from("anything"), Value::Int(-1), Value::Bool(true), Value::Array(vec![])]);
            values.push(Value::Float(0.5));
        }
        Constraint::PrefixPath(root) => {
            let root = root.trim_end_matches('/');
            values.extend([Value::from(root), Value::from(format!("{root}/file").as_str())]);
        }
        Constraint::HostSuffix(suffix) => {
            values.extend([Value::from(&**suffix), Value::from(format!("www.{suffix}").as_str())]);
        }
        Constraint::MaxCalls(limit) | Constraint::BudgetRef { limit, .. } => {
            for near in [0, limit.saturating_sub(1), *limit, limit.saturating_add(1)] {
                values.push(Value::from_i128(near.into()));
            }
        }
        Constraint::All(clauses) | Constraint::Any(clauses) => {
            clauses.iter().for_each(|clause| samples(clause, values));
        }
    }
}

fn counts(child: &ToolLimit, parent: Option<&ToolLimit>) -> Vec<u64> {
    let limit = |limit: Option<&ToolLimit>| match limit.and_then(|limit| limit.calls.as_ref()) {
        Some(Constraint::MaxCalls(most)) => Some(*most),
        _ => None,
    };
    let last = limit(Some(child)).and_then(|most| most.checked_sub(1));
    [Some(0), limit(parent), last].into_iter().flatten().collect()
}
