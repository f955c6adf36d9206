//! Places where Rego's own semantics fail open on a missing, null or wrong-typed value.
//!
//! Findings are warnings, and errors under `strict_rego`. A rule is judged by what it does: permit or restrict, also
//! through the helper rules of its package. What a lint does not see: helpers in other packages, and values that are
//! not read from `input` directly.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{BoolOp, Expr, Literal, Query, Ref, Rule, Span};

use super::decision::values;
use super::model::RegoOptions;
use super::parse::{Parsed, position, rule_name, static_path};
use super::walk::{Node, bodies, children, rule_children, walk};
use crate::{Diagnostic, Severity};

/// What a rule does when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Permit,
    Restrict,
}

impl Direction {
    fn flipped(self) -> Self {
        match self {
            Self::Permit => Self::Restrict,
            Self::Restrict => Self::Permit,
        }
    }
}

struct Linter<'a> {
    parsed: &'a Parsed,
    severity: Severity,
    into: &'a mut Vec<Diagnostic>,
}

/// Lints one file.
pub(super) fn file(parsed: &Parsed, options: &RegoOptions, into: &mut Vec<Diagnostic>) {
    let severity = if options.strict { Severity::Error } else { Severity::Warning };
    let directions = directions(parsed);
    let mut linter = Linter { parsed, severity, into };
    for rule in &parsed.module.policy {
        let name = rule_name(rule).unwrap_or_default();
        linter.default(rule, &name);
        let named = directions.get(&name);
        let own = own_direction(rule, &name);
        let does = |direction| match own {
            Some(own) => own == direction,
            None => named.is_some_and(|named| named.contains(&direction)),
        };
        for body in bodies(rule) {
            if does(Direction::Permit) {
                linter.permitting(&body.query);
            }
            if does(Direction::Restrict) {
                linter.restricting(&body.query);
            }
        }
    }
}

/// The direction that a rule's name or value states.
fn own_direction(rule: &Rule, name: &str) -> Option<Direction> {
    match name {
        "allow" => Some(Direction::Permit),
        "deny" | "requires_hitl" | "deny_reason" => Some(Direction::Restrict),
        "decision" => {
            let permits = values(rule).into_iter().any(permits);
            Some(if permits { Direction::Permit } else { Direction::Restrict })
        }
        _ => None,
    }
}

/// Whether a decision is `{"allow": true}` without anything that restricts.
fn permits(value: &Ref<Expr>) -> bool {
    let Expr::Object { fields, .. } = value.as_ref() else { return false };
    let field = |wanted: &str| {
        fields.iter().find_map(|(_, key, value)| match key.as_ref() {
            Expr::String { value: Value::String(name), .. } if name.as_ref() == wanted => Some(value),
            _ => None,
        })
    };
    let is_true = |value: &Ref<Expr>| matches!(value.as_ref(), Expr::Bool { value: Value::Bool(true), .. });
    field("allow").is_some_and(is_true) && field("deny").is_none() && !field("escalate").is_some_and(is_true)
}

/// What each rule of a file is used for, helpers by what uses them; a use under `not` counts the other way round.
fn directions(parsed: &Parsed) -> BTreeMap<String, BTreeSet<Direction>> {
    let mut found: BTreeMap<String, BTreeSet<Direction>> = BTreeMap::new();
    let mut pending = Vec::new();
    for rule in &parsed.module.policy {
        let Some(name) = rule_name(rule) else { continue };
        if let Some(direction) = own_direction(rule, &name)
            && found.entry(name.clone()).or_default().insert(direction)
        {
            pending.push((name, direction));
        }
    }
    let names: BTreeSet<String> = parsed.module.policy.iter().filter_map(|rule| rule_name(rule)).collect();
    while let Some((name, direction)) = pending.pop() {
        for rule in parsed.module.policy.iter().filter(|rule| rule_name(rule).as_ref() == Some(&name)) {
            if own_direction(rule, &name).is_some_and(|own| own != direction) {
                continue;
            }
            let mut used = Vec::new();
            uses(rule_children(rule), direction, &mut used);
            for (helper, direction) in used {
                if names.contains(&helper)
                    && own_direction(rule, &helper).is_none()
                    && found.entry(helper.clone()).or_default().insert(direction)
                {
                    pending.push((helper, direction));
                }
            }
        }
    }
    found
}

fn uses(nodes: Vec<Node<'_>>, direction: Direction, into: &mut Vec<(String, Direction)>) {
    for node in nodes {
        let mut below = direction;
        match node {
            Node::Statement(statement) if matches!(statement.literal, Literal::NotExpr { .. }) => {
                below = direction.flipped();
            }
            Node::Expression(expression) => {
                if let Expr::Var { span, .. } = expression.as_ref() {
                    into.push((span.text().to_owned(), direction));
                }
            }
            _ => {}
        }
        uses(children(node), below, into);
    }
}

impl Linter<'_> {
    fn report(&mut self, code: &'static str, span: &Span, message: String, help: &str) {
        let finding = Diagnostic::new(self.severity, code, &self.parsed.file, position(span), message);
        self.into.push(finding.with_help(help));
    }

    fn default(&mut self, rule: &Rule, name: &str) {
        let Rule::Default { value, .. } = rule else { return };
        let open = match name {
            "allow" => matches!(value.as_ref(), Expr::Bool { value: Value::Bool(true), .. }),
            "decision" => permits(value),
            _ => false,
        };
        if open {
            let message = format!("the default of `{name}` allows whatever no rule thought of");
            self.report(
                "rego/default-allow",
                value.span(),
                message,
                "make the default a denial, and allow by rules",
            );
        }
    }

    fn permitting(&mut self, query: &Query) {
        let bounds = Bounds::of(query);
        for (expression, negated) in conditions(query) {
            match expression.as_ref() {
                Expr::BoolExpr { op: BoolOp::Ne, lhs, rhs, .. } if !negated => {
                    for (path, literal) in [(lhs, rhs), (rhs, lhs)] {
                        if let (Some(path), true) = (input_path(path), is_literal(literal)) {
                            let message = format!(
                                "`{path}` may be null, which differs from everything, and this allows"
                            );
                            let help = format!("say what is allowed: `{path} in {{…}}`");
                            self.report("rego/not-equal", expression.span(), message, &help);
                        }
                    }
                }
                Expr::BoolExpr { op, lhs, rhs, .. } if !negated && is_ordering(op) => {
                    for path in [lhs, rhs].into_iter().filter_map(|side| input_path(side)) {
                        if !bounds.closed(&path) {
                            let message = format!(
                                "`{path}` is bounded on one side only: null is below and text above every number, and this allows"
                            );
                            let help = format!("add the other bound, or `is_number({path})`");
                            self.report("rego/one-sided", expression.span(), message, &help);
                        }
                    }
                }
                Expr::Var { .. }
                | Expr::RefDot { .. }
                | Expr::RefBrack { .. }
                | Expr::BoolExpr { op: BoolOp::Eq, .. }
                    if negated =>
                {
                    if let Some(path) = top_level_inputs(expression).first() {
                        let message = format!("when `{path}` is missing, this `not` holds, and this allows");
                        let help =
                            format!("require `{path}` first, by a statement that fails when it is missing");
                        self.report("rego/negation", expression.span(), message, &help);
                    }
                }
                _ => {}
            }
        }
    }

    fn restricting(&mut self, query: &Query) {
        for (expression, negated) in conditions(query) {
            let hoisted = !matches!(
                expression.as_ref(),
                Expr::Var { .. }
                    | Expr::RefDot { .. }
                    | Expr::RefBrack { .. }
                    | Expr::BoolExpr { op: BoolOp::Eq, .. }
            );
            if !negated || !hoisted {
                continue;
            }
            if let Some(path) = inputs_below(expression).first() {
                let message = format!(
                    "when `{path}` is missing, this `not` is undefined, and the rule does not restrict"
                );
                let help = format!(
                    "add a rule for the missing value, for instance one with `not {path}`, or use `object.get`"
                );
                self.report("rego/negation", expression.span(), message, &help);
            }
        }
    }
}

/// The top-level conditions of a body, with whether each is negated.
fn conditions(query: &Query) -> Vec<(&Ref<Expr>, bool)> {
    query
        .stmts
        .iter()
        .filter_map(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => Some((expr, false)),
            Literal::NotExpr { expr, .. } => Some((expr, true)),
            _ => None,
        })
        .collect()
}

fn is_ordering(op: &BoolOp) -> bool {
    matches!(op, BoolOp::Lt | BoolOp::Le | BoolOp::Gt | BoolOp::Ge)
}

fn is_literal(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::String { .. } | Expr::RawString { .. } | Expr::Number { .. } | Expr::Bool { .. }
    )
}

/// A reference below `input`, as written.
fn input_path(expression: &Expr) -> Option<String> {
    let (path, _) = static_path(expression)?;
    (path.len() > 1 && path.first().is_some_and(|root| root == "input"))
        .then(|| expression.span().text().to_owned())
}

/// The inputs that may be undefined inside a negation.
fn top_level_inputs(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::BoolExpr { lhs, rhs, .. } => {
            [lhs, rhs].into_iter().filter_map(|side| input_path(side)).collect()
        }
        other => input_path(other).into_iter().collect(),
    }
}

/// Every input read below an expression, comprehensions left out: they are always defined.
fn inputs_below(expression: &Ref<Expr>) -> Vec<String> {
    let mut found = Vec::new();
    // `object.get` has a value for what is missing.
    if let Expr::Call { fcn, .. } = expression.as_ref()
        && fcn.span().text() == "object.get"
    {
        return found;
    }
    if let Some(path) = input_path(expression) {
        return vec![path];
    }
    for child in children(Node::Expression(expression)) {
        if let Node::Expression(child) = child {
            found.extend(inputs_below(child));
        }
    }
    found
}

/// Which inputs a body bounds, and from which sides.
struct Bounds {
    below: BTreeSet<String>,
    above: BTreeSet<String>,
    typed: BTreeSet<String>,
}

impl Bounds {
    fn of(query: &Query) -> Self {
        let mut bounds = Self { below: BTreeSet::new(), above: BTreeSet::new(), typed: BTreeSet::new() };
        for (expression, negated) in conditions(query) {
            if negated {
                continue;
            }
            walk(vec![Node::Expression(expression)], &mut |node| {
                if let Node::Expression(expression) = node {
                    bounds.note(expression);
                }
            });
        }
        bounds
    }

    fn note(&mut self, expression: &Expr) {
        match expression {
            Expr::BoolExpr { op, lhs, rhs, .. } => {
                let (left, right) = (input_path(lhs), input_path(rhs));
                let (is_below, is_above) = match op {
                    BoolOp::Ge | BoolOp::Gt => (left, right),
                    BoolOp::Le | BoolOp::Lt => (right, left),
                    BoolOp::Eq => {
                        self.typed.extend(left.into_iter().chain(right));
                        (None, None)
                    }
                    BoolOp::Ne => (None, None),
                };
                self.below.extend(is_below);
                self.above.extend(is_above);
            }
            Expr::Call { fcn, params, .. } if fcn.span().text() == "is_number" => {
                self.typed.extend(params.iter().filter_map(|parameter| input_path(parameter)));
            }
            _ => {}
        }
    }

    fn closed(&self, path: &str) -> bool {
        self.typed.contains(path) || (self.below.contains(path) && self.above.contains(path))
    }
}
