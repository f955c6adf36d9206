//! Small edits of a module's text before the interpreter sees it, so that it answers as OPA does.
//!
//! - Operands of a negated expression are evaluated before the negation, as OPA's compiler does: with
//!   `input.path` undefined, `not startswith(input.path, "/tmp/")` is undefined, not true.
//! - Values in the head of a rule are evaluated at the end of its body: one undefined value must not cost the others.
//! - Operators and `some … in` on values of a wrong type are undefined, where the interpreter would stop.
//! - Calls of builtins that the interpreter lacks go through functions of a generated module.
//! - References through imports are written in full.
//! - A `default decision` can be left out.
//! - Modules in v0 that use future keywords get the import.
//!
//! Lines keep their numbers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use regorus::unstable::{ArithOp, BinOp, Expr, Literal, LiteralStmt, Ref, Rule, RuleBody};

use super::builtins::{Known, known, wrapper_name};
use super::engine::data_reference;
use super::names::{Callee, Names, local_names, outermost};
use super::parse::{Dialect, Parsed, head_reference};
use super::terms::{has_loop, head_values, is_collection, is_literal, is_number, may_be_undefined, operands};
use super::walk::{Node, bodies, rule_children, walk};

/// A rewritten text and the added builtins that it calls.
pub(super) struct Rewritten {
    pub(super) text: String,
    pub(super) used: BTreeSet<String>,
}

enum Piece {
    Text(String),
    /// A range of the original text, itself edited.
    Source(usize, usize),
}

struct Edit {
    start: usize,
    end: usize,
    pieces: Vec<Piece>,
    /// Order of making: an edit is made before those inside it, and only later ones apply inside its pieces.
    number: usize,
}

struct Rewriter<'a> {
    parsed: &'a Parsed,
    names: &'a Names,
    edits: Vec<Edit>,
    used: BTreeSet<String>,
    fresh: usize,
}

/// What becomes of one rule.
pub(super) enum Fate {
    Keep,
    /// It becomes blank lines.
    LeaveOut,
    /// Its head gets this name.
    Rename(String),
}

/// Rewrites a module.
pub(super) fn rewrite(parsed: &Parsed, names: &Names, fate: &dyn Fn(&Rule) -> Fate) -> Rewritten {
    let mut rewriter = Rewriter { parsed, names, edits: Vec::new(), used: BTreeSet::new(), fresh: 0 };
    if parsed.dialect == Dialect::V0FutureKeywords {
        let end = parsed.module.package.span.end as usize;
        rewriter.replace(end, end, " import future.keywords".to_owned());
    }
    for rule in &parsed.module.policy {
        match fate(rule) {
            Fate::Keep => {}
            Fate::LeaveOut => {
                let (start, end) = parsed.spans.range(rule.span());
                let blank = "\n".repeat(rule.span().text().matches('\n').count());
                rewriter.replace(start, end, blank);
                continue;
            }
            Fate::Rename(name) => {
                let (start, end) = parsed.spans.of(head_reference(rule));
                rewriter.replace(start, end, name);
            }
        }
        rewriter.bodies(rule);
        rewriter.aliases(rule);
        rewriter.nodes(rule_children(rule));
    }
    rewriter.finish(&parsed.file.text)
}

/// Rewrites the statements of a query whose text is the file of `parsed`.
pub(super) fn rewrite_query(parsed: &Parsed, names: &Names, statements: &[LiteralStmt]) -> Rewritten {
    let mut rewriter = Rewriter { parsed, names, edits: Vec::new(), used: BTreeSet::new(), fresh: 0 };
    rewriter.nodes(statements.iter().map(Node::Statement).collect());
    rewriter.finish(&parsed.file.text)
}

impl Rewriter<'_> {
    fn edit(&mut self, start: usize, end: usize, pieces: Vec<Piece>) {
        let number = self.edits.len();
        self.edits.push(Edit { start, end, pieces, number });
    }

    fn name(&mut self) -> String {
        self.fresh += 1;
        format!("__placet_{}", self.fresh)
    }

    fn replace(&mut self, start: usize, end: usize, text: String) {
        self.edit(start, end, vec![Piece::Text(text)]);
    }

    fn nodes(&mut self, nodes: Vec<Node<'_>>) {
        // The expression that the statement at hand consists of.
        let mut direct: Option<Ref<Expr>> = None;
        walk(nodes, &mut |node| match node {
            Node::Expression(expression) => {
                if let Expr::Call { fcn, .. } = expression.as_ref() {
                    self.path(fcn);
                }
                self.operator(expression);
                if !direct.iter().any(|statement| statement == expression) {
                    self.membership(expression);
                }
            }
            Node::Statement(statement) => {
                if let Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } = &statement.literal {
                    direct = Some(expr.clone());
                }
                if let Literal::SomeIn { collection, .. } = &statement.literal
                    && !is_collection(collection)
                {
                    let (start, end) = self.parsed.spans.of(collection);
                    self.wrap(start, end, "__placet.collection(", vec![(start, end)]);
                }
                for modifier in &statement.with_mods {
                    self.path(&modifier.refr);
                    if !matches!(modifier.r#as.as_ref(), Expr::Call { .. }) {
                        self.path(&modifier.r#as);
                    }
                }
                if let Literal::NotExpr { expr, .. } = &statement.literal {
                    self.negation(statement, expr);
                }
            }
            Node::Query(_) => {}
        });
    }

    /// Writes references through an import in full: the interpreter evaluates the whole package for an alias.
    fn aliases(&mut self, rule: &Rule) {
        let locals = local_names(rule);
        let mut found = Vec::new();
        for node in rule_children(rule) {
            let head = matches!(node, Node::Expression(expression) if expression == head_reference(rule));
            outermost(node, head, &mut |reference| {
                let mut root = reference;
                while let Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } = root.as_ref() {
                    root = refr;
                }
                if let Expr::Var { span, .. } = root.as_ref()
                    && let Some((first, path)) =
                        self.parsed.imports.get(span.text()).and_then(|path| path.split_first())
                    && first == "data"
                    && !path.is_empty()
                    && !locals.contains(span.text())
                {
                    found.push((self.parsed.spans.range(span), data_reference(path)));
                }
            });
        }
        for ((start, end), text) in found {
            self.replace(start, end, text);
        }
    }

    /// Replaces an operator by a function that is undefined for wrong types.
    fn operator(&mut self, expression: &Ref<Expr>) {
        let (function, lhs, rhs) = match expression.as_ref() {
            Expr::ArithExpr { op, lhs, rhs, .. } => {
                let function = match op {
                    ArithOp::Add => "__placet.plus(",
                    ArithOp::Sub => "__placet.minus(",
                    ArithOp::Mul => "__placet.times(",
                    ArithOp::Div => "__placet.divided(",
                    ArithOp::Mod => "__placet.modulo(",
                };
                let whole = matches!(op, ArithOp::Mod) && !(is_literal(lhs) && is_literal(rhs));
                if !whole && is_number(lhs) && is_number(rhs) {
                    return;
                }
                (function, lhs, rhs)
            }
            Expr::BinExpr { op: BinOp::Intersection, lhs, rhs, .. } => ("__placet.and(", lhs, rhs),
            Expr::BinExpr { op: BinOp::Union, lhs, rhs, .. } => ("__placet.or(", lhs, rhs),
            _ => return,
        };
        let spans = &self.parsed.spans;
        let (start, end) = spans.of(expression);
        self.wrap(start, end, function, vec![spans.of(lhs), spans.of(rhs)]);
    }

    /// As a value, membership of something undefined is undefined; the interpreter says false.
    fn membership(&mut self, expression: &Ref<Expr>) {
        if let Expr::Membership { key, value, collection, .. } = expression.as_ref() {
            let function = if key.is_some() { "__placet.member_key(" } else { "__placet.member(" };
            let spans = &self.parsed.spans;
            let (start, end) = spans.of(expression);
            let arguments = key.iter().chain([value, collection]).map(|part| spans.of(part)).collect();
            self.wrap(start, end, function, arguments);
        }
    }

    /// Replaces a range by a call of these arguments, as many lines long as before.
    fn wrap(&mut self, start: usize, end: usize, function: &str, arguments: Vec<(usize, usize)>) {
        let text = &self.parsed.file.text;
        let lines =
            |from: usize, to: usize| "\n".repeat(text.get(from..to).unwrap_or("").matches('\n').count());
        let mut pieces = vec![Piece::Text(function.to_owned())];
        let mut at = start;
        for (index, (from, to)) in arguments.into_iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            pieces.push(Piece::Text(format!("{separator}{}", lines(at, from))));
            pieces.push(Piece::Source(from, to));
            at = to;
        }
        pieces.push(Piece::Text(format!("{})", lines(at, end))));
        self.edit(start, end, pieces);
    }

    /// Points a path that names an added builtin at its wrapper function, and writes that of a function in full: a
    /// mock of `data.a.f` reaches no call of plain `f`.
    fn path(&mut self, path: &Ref<Expr>) {
        let full = match self.names.callee(self.parsed, path) {
            Some(Callee::Function(full, _)) => data_reference(&full),
            Some(Callee::Builtin(name)) => match known(&name, self.parsed.dialect) {
                Some(Known::Added(_) | Known::Restricted(_)) => {
                    self.used.insert(name.clone());
                    wrapper_name(&name)
                }
                _ => return,
            },
            _ => return,
        };
        let (start, end) = self.parsed.spans.of(path);
        if self.parsed.file.text.get(start..end) != Some(full.as_str()) {
            self.replace(start, end, full);
        }
    }

    /// Moves values in heads to the ends of bodies, and gives bodies the braces they then need.
    ///
    /// The interpreter drops every value of a rule when one of them is undefined while the head is evaluated.
    fn bodies(&mut self, rule: &Rule) {
        let bodies = bodies(rule);
        if bodies.iter().all(|body| body.query.stmts.is_empty()) {
            return self.no_body(rule, bodies);
        }
        // A value beside an empty body, or beside none, stays: there is nothing to go through.
        let empty = |body: &&RuleBody| body.query.stmts.is_empty();
        let head = match bodies.iter().filter(|body| !body.is_else).any(|body| empty(&body)) {
            true => Vec::new(),
            false => self.take_out(head_values(rule)),
        };
        for body in bodies.iter().filter(|body| !empty(body)) {
            let own = body.assign.iter().map(|assign| &assign.value).filter(|value| may_be_undefined(value));
            let values = match body.is_else {
                true => self.take_out(own.collect()),
                false => head.iter().map(|(name, range)| (name.clone(), *range)).collect(),
            };
            let (Some(first), Some(last)) = (body.query.stmts.first(), body.query.stmts.last()) else {
                continue;
            };
            let braced = body.query.span.text().starts_with('{');
            let negated =
                matches!(&first.literal, Literal::NotExpr { expr, .. } if !operands(expr).is_empty());
            if !braced && (negated || !values.is_empty()) {
                let (start, _) = self.parsed.spans.range(&first.span);
                self.replace(start, start, "{ ".to_owned());
            }
            let mut pieces = Vec::new();
            for (name, (from, to)) in values {
                pieces.push(Piece::Text(format!("; {name} := ")));
                pieces.push(Piece::Source(from, to));
            }
            if !braced && (negated || !pieces.is_empty()) {
                pieces.push(Piece::Text(" }".to_owned()));
            }
            let (_, end) = self.parsed.spans.range(&last.span);
            if !pieces.is_empty() {
                self.edit(end, end, pieces);
            }
        }
    }

    /// A head that goes through a collection gets a body to do it in: in a head, an undefined collection is an error.
    fn no_body(&mut self, rule: &Rule, bodies: &[RuleBody]) {
        let values = head_values(rule);
        let written = bodies
            .iter()
            .any(|body| !body.query.span.text().is_empty() && body.query.span.text().starts_with('{'));
        if bodies.len() > 1 || written || !values.iter().any(|value| has_loop(value)) {
            return;
        }
        let keyword = if self.parsed.dialect == Dialect::V1 { " if {" } else { " {" };
        let mut pieces = vec![Piece::Text(keyword.to_owned())];
        for (name, (from, to)) in self.take_out(values) {
            pieces.push(Piece::Text(format!(" {name} := ")));
            pieces.push(Piece::Source(from, to));
            pieces.push(Piece::Text(";".to_owned()));
        }
        pieces.pop();
        pieces.push(Piece::Text(" }".to_owned()));
        let (_, end) = self.parsed.spans.range(rule.span());
        self.edit(end, end, pieces);
    }

    /// Puts a fresh name where each value stands.
    fn take_out(&mut self, values: Vec<&Ref<Expr>>) -> Vec<(String, (usize, usize))> {
        values
            .into_iter()
            .map(|value| {
                let (start, end) = self.parsed.spans.of(value);
                let name = self.name();
                self.replace(start, end, name.clone());
                (name, (start, end))
            })
            .collect()
    }

    fn negation(&mut self, statement: &LiteralStmt, expression: &Ref<Expr>) {
        let mut operands = operands(expression);
        operands.sort_by_key(|operand| self.parsed.spans.of(operand).0);
        let (start, end) = self.parsed.spans.range(&statement.span);
        let modifiers = statement.with_mods.first().map(|modifier| modifier.span.start as usize);
        let mut before = Vec::new();
        let mut rest = Vec::new();
        let mut at = start;
        for operand in operands {
            let (from, to) = self.parsed.spans.of(operand);
            if from < at {
                continue;
            }
            let name = self.name();
            before.push(Piece::Text(format!("{name} := ")));
            before.push(Piece::Source(from, to));
            if let Some(modifiers) = modifiers {
                before.push(Piece::Text(" ".to_owned()));
                before.push(Piece::Source(modifiers, end));
            }
            before.push(Piece::Text("; ".to_owned()));
            rest.push(Piece::Source(at, from));
            rest.push(Piece::Text(name));
            at = to;
        }
        if before.is_empty() {
            return;
        }
        rest.push(Piece::Source(at, end));
        before.append(&mut rest);
        self.edit(start, end, before);
    }

    fn finish(mut self, text: &str) -> Rewritten {
        // Insertions before replacements at the same place, larger replacements before what they contain.
        self.edits.sort_by_key(|edit| {
            (edit.start, edit.end != edit.start, std::cmp::Reverse(edit.end), edit.number)
        });
        let mut out = String::with_capacity(text.len() + 64);
        render(text, &self.edits, (0, text.len()), None, &mut out);
        Rewritten { text: out, used: self.used }
    }
}

/// Writes a range of the text with the edits inside it; inside an edit's pieces only those made after it apply.
fn render(text: &str, edits: &[Edit], (start, end): (usize, usize), inside: Option<usize>, out: &mut String) {
    let mut at = start;
    let first = edits.partition_point(|edit| edit.start < start);
    for edit in edits.iter().skip(first).take_while(|edit| edit.start <= end) {
        if edit.start < at || edit.end > end || inside.is_some_and(|number| edit.number <= number) {
            continue;
        }
        push(out, text.get(at..edit.start).unwrap_or(""));
        let mut replaced = String::new();
        for piece in &edit.pieces {
            match piece {
                Piece::Text(piece) => replaced.push_str(piece),
                Piece::Source(from, to) => {
                    render(text, edits, (*from, *to), Some(edit.number), &mut replaced)
                }
            }
        }
        push(out, &replaced);
        at = edit.end;
    }
    push(out, text.get(at..end).unwrap_or(""));
}

/// Appends a text, apart from a word that it would run into: `if(a + b)` becomes `if f(a, b)`.
fn push(out: &mut String, text: &str) {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    if out.ends_with(is_word) && text.starts_with(is_word) {
        out.push(' ');
    }
    out.push_str(text);
}
