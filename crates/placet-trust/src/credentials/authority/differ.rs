//! How a child's authority differs from its parent's, for people and for the verdict.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::constraint::FUEL;
use super::{ArgumentLimit, Authority, ToolLimit, Tools};

/// In which direction a child differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// The child has less.
    Narrowed,
    /// The child has more, or it cannot be shown that it has not.
    Widened,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In which direction.
    pub change: Change,
    /// In what: `scope`, `tool`, an argument …
    pub what: String,
    /// What the parent has.
    pub parent: String,
    /// What the child has.
    pub child: String,
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.change {
            Change::Narrowed => "narrowed",
            Change::Widened => "exceeds the parent",
        };
        write!(out, "{}: {} -> {} ({word})", self.what, self.parent, self.child)
    }
}

/// Every difference between a child and its parent, in a fixed order; empty when they are equal.
#[must_use]
pub fn diff(parent: &Authority, child: &Authority) -> Vec<Line> {
    let mut lines = Lines { lines: Vec::new(), fuel: FUEL };
    lines.scopes(parent, child);
    match (&parent.tools, &child.tools) {
        (Tools::Any, Tools::Any) => {}
        (Tools::Any, Tools::Only(tools)) => {
            lines.add(true, "tools", "any".to_owned(), names(tools.keys()));
        }
        (Tools::Only(tools), Tools::Any) => lines.add(false, "tools", names(tools.keys()), "any".to_owned()),
        (Tools::Only(before), Tools::Only(after)) => {
            for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                lines.tool(name, before.get(name), after.get(name));
            }
        }
    }
    lines.numbers(parent, child);
    lines.lines
}

/// What a child has that its parent has not; empty when the child stays within its parent.
#[must_use]
pub fn excess(parent: &Authority, child: &Authority) -> Vec<Line> {
    let mut lines = diff(parent, child);
    lines.retain(|line| line.change == Change::Widened);
    lines
}

struct Lines {
    lines: Vec<Line>,
    fuel: u32,
}

impl Lines {
    fn add(&mut self, narrower: bool, what: impl Into<String>, parent: String, child: String) {
        let change = if narrower { Change::Narrowed } else { Change::Widened };
        self.lines.push(Line { change, what: what.into(), parent, child });
    }

    fn presence(&mut self, what: String, parent: bool, child: bool) {
        let word = |given: bool| if given { "given" } else { "not given" }.to_owned();
        self.add(parent, what, word(parent), word(child));
    }

    fn scopes(&mut self, parent: &Authority, child: &Authority) {
        for scope in parent.scopes.symmetric_difference(&child.scopes) {
            let has = |authority: &Authority| authority.scopes.contains(scope);
            self.presence(format!("scope `{scope}`"), has(parent), has(child));
        }
    }

    fn numbers(&mut self, parent: &Authority, child: &Authority) {
        if parent.max_depth != child.max_depth {
            let narrower = child.max_depth < parent.max_depth;
            self.add(narrower, "depth of delegation", depth(parent.max_depth), depth(child.max_depth));
        }
        if parent.not_before != child.not_before {
            let begins = |authority: &Authority| match authority.not_before {
                Some(at) => format!("from {}", moment(at.0)),
                None => "from its issue".to_owned(),
            };
            let narrower = child.not_before.is_some() && child.not_before >= parent.not_before;
            self.add(narrower, "life", begins(parent), begins(child));
        }
        if parent.expires != child.expires {
            let ends = |authority: &Authority| format!("until {}", moment(authority.expires.0));
            self.add(child.expires < parent.expires, "life", ends(parent), ends(child));
        }
        for name in parent.budgets.keys().chain(child.budgets.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (parent.budgets.get(name), child.budgets.get(name));
            if before != after {
                let text = |limit: Option<&u64>| {
                    limit.map_or("not limited".to_owned(), |most| format!("at most {most}"))
                };
                let narrower = before.is_none_or(|most| after.is_some_and(|own| own <= most));
                self.add(narrower, format!("budget `{name}`"), text(before), text(after));
            }
        }
    }

    fn tool(&mut self, name: &str, parent: Option<&ToolLimit>, child: Option<&ToolLimit>) {
        let (Some(parent), Some(child)) = (parent, child) else {
            return self.presence(format!("tool `{name}`"), parent.is_some(), child.is_some());
        };
        for argument in parent.arguments.keys().chain(child.arguments.keys()).collect::<BTreeSet<_>>() {
            self.argument(name, argument, parent, child);
        }
        if parent.open != child.open {
            let text = |open: bool| if open { "allowed" } else { "refused" }.to_owned();
            let what = format!("tool `{name}`, arguments that are not named");
            self.add(parent.open, what, text(parent.open), text(child.open));
        }
        if parent.calls != child.calls {
            let text =
                |limit: &ToolLimit| limit.calls.as_ref().map_or("any number".to_owned(), ToString::to_string);
            let narrower = match (&parent.calls, &child.calls) {
                (None, _) => true,
                (Some(limit), Some(own)) => own.narrower(limit, &mut self.fuel),
                (Some(_), None) => false,
            };
            self.add(narrower, format!("tool `{name}`, calls"), text(parent), text(child));
        }
    }

    fn argument(&mut self, tool: &str, argument: &Arc<str>, parent: &ToolLimit, child: &ToolLimit) {
        let (before, after) = (parent.arguments.get(argument), child.arguments.get(argument));
        if before == after {
            return;
        }
        let narrower = match (before, after) {
            (Some(before), Some(after)) => {
                (before.optional || !after.optional)
                    && after.constraint.narrower(&before.constraint, &mut self.fuel)
            }
            // An argument that the parent lets be anything is narrowed by naming it.
            (None, _) => parent.open,
            // An argument left out becomes forbidden, which narrows only what the parent does not require.
            (Some(before), None) => before.optional && !child.open,
        };
        let what = format!("tool `{tool}`, argument `{argument}`");
        self.add(narrower, what, limit(before, parent.open), limit(after, child.open));
    }
}

fn limit(limit: Option<&ArgumentLimit>, open: bool) -> String {
    match limit {
        Some(limit) if limit.optional => format!("absent or {}", limit.constraint),
        Some(limit) => limit.constraint.to_string(),
        None if open => "anything".to_owned(),
        None => "refused".to_owned(),
    }
}

fn depth(depth: u32) -> String {
    format!("at most {depth}")
}

/// RFC 3339, so that everybody reads the same.
pub(super) fn moment(at: i64) -> String {
    jiff::Timestamp::from_microsecond(at).map_or_else(|_| format!("{at} us"), |at| at.to_string())
}

fn names<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
