//! What must hold before a set of modules may run: every call resolves, nothing has effects, nothing recurses.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Ref, Rule, Span};

use super::builtins::{self, Known, known};
use super::model::RegoOptions;
use super::names::{Callee, Names, calls};
use super::parse::{Parsed, position, rule_name};
use super::walk::{Node, children, rule_children, walk};
use crate::Diagnostic;

/// Checks the calls and negations of one file against the modules it will run with.
pub(super) fn file(parsed: &Parsed, names: &Names, options: &RegoOptions, into: &mut Vec<Diagnostic>) {
    for rule in &parsed.module.policy {
        for (call, function, arguments) in calls(rule) {
            if let Some(found) = check_call(parsed, names, options, call, function, arguments) {
                into.push(found);
            }
        }
        wildcards_in_negations(parsed, rule, into);
    }
}

fn check_call(
    parsed: &Parsed,
    names: &Names,
    options: &RegoOptions,
    call: &Ref<Expr>,
    function: &Ref<Expr>,
    arguments: usize,
) -> Option<Diagnostic> {
    let at = position(function.span());
    let error = |code, message: String| Some(Diagnostic::error(code, &parsed.file, at, message));
    let (name, arity) = match names.callee(parsed, function)? {
        Callee::Function(path, arity) => (path.join("."), arity),
        Callee::Missing(name) => {
            return error("rego/unknown-function", format!("there is no function `{name}`"));
        }
        Callee::Builtin(name) => match known(&name, parsed.dialect) {
            Some(Known::Variadic) => return None,
            Some(Known::Native(arity) | Known::Added(arity)) => (name, arity),
            Some(Known::Restricted(_)) if !options.allowed_builtins.contains(&name) => {
                let message = format!("`{name}` is not allowed in policies");
                return error("rego/restricted-builtin", message).map(|found| {
                    found.with_help(format!(
                        "decisions are made without network, randomness or the host's state; put what the rule needs \
                         into the event, or allow `{name}` by name in the configuration"
                    ))
                });
            }
            Some(Known::Restricted(arity)) => (name, arity),
            Some(Known::RemovedInV1) => {
                let message = format!("`{name}` was removed in Rego v1");
                return error("rego/unknown-function", message)
                    .map(|found| found.with_help(replacement(call.span().text())));
            }
            None => return unknown_function(parsed, names, &name, function.span()),
        },
    };
    // One argument more is the output of the call.
    if arguments == arity || arguments == arity + 1 {
        return None;
    }
    error("rego/arguments", format!("`{name}` takes {arity} arguments, and {arguments} are given"))
}

fn replacement(call: &str) -> &'static str {
    match call.split('(').next().unwrap_or("") {
        "any" => "write `some x in xs; x`",
        "all" => "write `every x in xs { x }`",
        "re_match" => "call `regex.match`",
        "set_diff" => "write `a - b`",
        "net.cidr_overlap" => "call `net.cidr_contains`",
        _ => "test the type with `is_…` instead",
    }
}

fn unknown_function(parsed: &Parsed, names: &Names, name: &str, span: &Span) -> Option<Diagnostic> {
    let found = Diagnostic::error(
        "rego/unknown-function",
        &parsed.file,
        position(span),
        format!("there is no function `{name}`"),
    );
    let nearest = builtins::names()
        .map(str::to_owned)
        .chain(names.function_names())
        .map(|candidate| (strsim::osa_distance(&candidate, name), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min();
    Some(match nearest {
        Some((_, nearest)) => found.with_help(format!("did you mean `{nearest}`?")),
        None => found,
    })
}

/// OPA refuses `_` under `not`: it would mean "for none of them" to some readers and "for one of them not" to others.
fn wildcards_in_negations(parsed: &Parsed, rule: &Rule, into: &mut Vec<Diagnostic>) {
    let mut found = Vec::new();
    walk(rule_children(rule), &mut |node| {
        if let Node::Statement(statement) = node
            && let Literal::NotExpr { expr, .. } = &statement.literal
        {
            wildcards(Node::Expression(expr), &mut found);
        }
    });
    for span in found {
        into.push(
            Diagnostic::error(
                "rego/unsafe-variable",
                &parsed.file,
                position(&span),
                "`_` under `not` is unsafe",
            )
            .with_help("move it into a helper rule: `not any_match`, with `any_match if { … }`"),
        );
    }
}

fn wildcards(node: Node<'_>, found: &mut Vec<Span>) {
    if let Node::Expression(expression) = node {
        match expression.as_ref() {
            Expr::Var { span, .. } if span.text() == "_" => found.push(span.clone()),
            // A comprehension binds its own.
            Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. } => return,
            _ => {}
        }
    }
    children(node).into_iter().for_each(|child| wildcards(child, found));
}

/// The rules and functions of a set of modules, and what each waits for.
struct Graph<'a> {
    names: &'a Names,
    groups: BTreeMap<Vec<String>, Vec<(&'a Parsed, &'a Rule)>>,
    costs: BTreeMap<Vec<String>, usize>,
    limit: usize,
}

/// Refuses recursion and chains of rules too deep for the stack.
pub(super) fn recursion(
    modules: &[&Parsed],
    names: &Names,
    options: &RegoOptions,
    into: &mut Vec<Diagnostic>,
) {
    let mut graph =
        Graph { names, groups: BTreeMap::new(), costs: BTreeMap::new(), limit: options.limits.depth };
    for parsed in modules {
        for rule in &parsed.module.policy {
            let mut path = parsed.package.clone();
            path.extend(rule_name(rule));
            graph.groups.entry(path).or_default().push((parsed, rule));
        }
    }
    let mut reported = BTreeSet::new();
    for path in graph.groups.keys().cloned().collect::<Vec<_>>() {
        if let Err(problem) = graph.cost(&path, &mut Vec::new(), 0)
            && let Some((parsed, rule)) = graph.groups.get(&problem.path).and_then(|rules| rules.first())
            && reported.insert(problem.path.clone())
        {
            let at = position(rule.span());
            into.push(Diagnostic::error(problem.code, &parsed.file, at, problem.message));
            return;
        }
    }
}

struct Problem {
    code: &'static str,
    path: Vec<String>,
    message: String,
}

impl Graph<'_> {
    /// How many levels a rule may take on the stack: its own nesting and that of the deepest rule it waits for.
    fn cost(
        &mut self,
        path: &Vec<String>,
        waiting: &mut Vec<Vec<String>>,
        above: usize,
    ) -> Result<usize, Problem> {
        if let Some(cost) = self.costs.get(path) {
            return self.within(path, above, *cost);
        }
        if waiting.contains(path) {
            let message = format!("`{}` refers to itself", path.join("."));
            return Err(Problem { code: "rego/recursion", path: path.clone(), message });
        }
        let rules = self.groups.get(path).cloned().unwrap_or_default();
        let own = 1 + rules.iter().map(|(_, rule)| nesting(rule)).max().unwrap_or(0);
        self.within(path, above, own)?;
        waiting.push(path.clone());
        let mut deepest = 0;
        for (parsed, rule) in rules {
            for next in self.waits_for(parsed, rule) {
                deepest = deepest.max(self.cost(&next, waiting, above + own)?);
            }
        }
        waiting.pop();
        self.costs.insert(path.clone(), own + deepest);
        self.within(path, above, own + deepest)
    }

    fn within(&self, path: &[String], above: usize, cost: usize) -> Result<usize, Problem> {
        if above + cost <= self.limit {
            return Ok(cost);
        }
        let message = format!(
            "evaluating `{}` may nest {} levels deep; the limit is {}",
            path.join("."),
            above + cost,
            self.limit
        );
        Err(Problem { code: "rego/too-deep", path: path.to_vec(), message })
    }

    fn waits_for(&self, parsed: &Parsed, rule: &Rule) -> BTreeSet<Vec<String>> {
        let mut found = BTreeSet::new();
        for reference in self.names.references(parsed, rule) {
            for length in 0..=reference.len() {
                let prefix = reference.get(..length).unwrap_or_default();
                if self.groups.contains_key(prefix) {
                    found.insert(prefix.to_vec());
                }
            }
            let below = self.groups.range(reference.clone()..).map(|(path, _)| path);
            found.extend(below.take_while(|path| path.starts_with(&reference)).cloned());
        }
        for (_, function, _) in calls(rule) {
            if let Some(Callee::Function(path, _)) = self.names.callee(parsed, function) {
                found.insert(self.group_of(path));
            }
        }
        found
    }

    /// The group of a function: rules are grouped by the first component of their name.
    fn group_of(&self, path: Vec<String>) -> Vec<String> {
        (0..=path.len())
            .rev()
            .filter_map(|length| path.get(..length))
            .find(|prefix| self.groups.contains_key(*prefix))
            .map_or_else(|| path.clone(), <[String]>::to_vec)
    }
}

/// Levels of nodes in a rule.
fn nesting(rule: &Rule) -> usize {
    fn below(node: Node<'_>) -> usize {
        1 + children(node).into_iter().map(below).max().unwrap_or(0)
    }
    rule_children(rule).into_iter().map(below).max().unwrap_or(0)
}
