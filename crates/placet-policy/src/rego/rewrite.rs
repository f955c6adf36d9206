//! Small edits of a module's text before the interpreter sees it, so that it answers as OPA does.
//!
//! - Operands of a negated expression are evaluated before the negation, as OPA's compiler does: with
//!   `input.path` undefined, `not startswith(input.path, "/tmp/")` is undefined, not true.
//! - Calls of builtins that the interpreter lacks go through functions of a generated module.
//! - A `default decision` can be left out.
//! - Modules in v0 that use future keywords get the import.
//!
//! Lines keep their numbers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use regorus::unstable::{BoolOp, Expr, Literal, LiteralStmt, Ref, Rule, Span};

use super::builtins::{Known, known, wrapper_name};
use super::names::{Callee, Names};
use super::parse::{Dialect, Parsed, head_reference};
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
                let span = rule.span();
                let blank = span.text().chars().filter(|character| *character == '\n').collect();
                rewriter.replace(span.start as usize, span.end as usize, blank);
                continue;
            }
            Fate::Rename(name) => {
                let (start, end) = range(head_reference(rule).span());
                rewriter.replace(start, end, name);
            }
        }
        rewriter.wrap_single_negations(rule);
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
    fn replace(&mut self, start: usize, end: usize, text: String) {
        self.edits.push(Edit { start, end, pieces: vec![Piece::Text(text)] });
    }

    fn nodes(&mut self, nodes: Vec<Node<'_>>) {
        walk(nodes, &mut |node| match node {
            Node::Expression(expression) => {
                if let Expr::Call { fcn, .. } = expression.as_ref() {
                    self.path(fcn);
                }
            }
            Node::Statement(statement) => {
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

    /// Points a path that names an added builtin at its wrapper function.
    fn path(&mut self, path: &Ref<Expr>) {
        let Some(Callee::Builtin(name)) = self.names.callee(self.parsed, path) else { return };
        if let Some(Known::Added(_) | Known::Restricted(_)) = known(&name, self.parsed.dialect) {
            let span = path.span();
            self.replace(span.start as usize, span.end as usize, wrapper_name(&name));
            self.used.insert(name);
        }
    }

    /// A body that is one negation without braces needs braces to take a second statement.
    fn wrap_single_negations(&mut self, rule: &Rule) {
        for body in bodies(rule) {
            let [statement] = body.query.stmts.as_slice() else { continue };
            let Literal::NotExpr { expr, .. } = &statement.literal else { continue };
            let braced = body.query.span.text().starts_with('{');
            if !braced && !operands(expr).is_empty() {
                let (start, end) = (statement.span.start as usize, statement.span.end as usize);
                self.replace(start, start, "{ ".to_owned());
                self.replace(end, end, " }".to_owned());
            }
        }
    }

    fn negation(&mut self, statement: &LiteralStmt, expression: &Ref<Expr>) {
        let mut operands = operands(expression);
        operands.sort_by_key(|operand| operand.span().start);
        let end = statement.span.end as usize;
        let modifiers = statement.with_mods.first().map(|modifier| modifier.span.start as usize);
        let mut before = Vec::new();
        let mut rest = Vec::new();
        let mut at = statement.span.start as usize;
        for operand in operands {
            let (from, to) = range(operand.span());
            if from < at {
                continue;
            }
            let name = format!("__placet_{}", self.fresh);
            self.fresh += 1;
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
        self.edits.push(Edit { start: statement.span.start as usize, end, pieces: before });
    }

    fn finish(mut self, text: &str) -> Rewritten {
        // Parents before what they contain, insertions before replacements at the same place.
        self.edits.sort_by_key(|edit| (edit.start, edit.end != edit.start, std::cmp::Reverse(edit.end)));
        let mut out = String::with_capacity(text.len() + 64);
        render(text, &self.edits, 0, text.len(), None, &mut out);
        Rewritten { text: out, used: self.used }
    }
}

fn range(span: &Span) -> (usize, usize) {
    (span.start as usize, span.end as usize)
}

/// Writes a range of the text with the edits inside it; `parent` is the edit being expanded.
fn render(text: &str, edits: &[Edit], start: usize, end: usize, parent: Option<usize>, out: &mut String) {
    let mut at = start;
    for (index, edit) in edits.iter().enumerate() {
        let inside = edit.start >= at && edit.end <= end && Some(index) != parent;
        // Inside an edit that is being expanded, insertions at its borders were written already.
        let border = parent.is_some() && edit.start == edit.end && (edit.start == start || edit.start == end);
        if !inside || border || parent.is_some_and(|parent| index < parent) {
            continue;
        }
        out.push_str(text.get(at..edit.start).unwrap_or(""));
        for piece in &edit.pieces {
            match piece {
                Piece::Text(piece) => out.push_str(piece),
                Piece::Source(from, to) => render(text, edits, *from, *to, Some(index), out),
            }
        }
        at = edit.end;
    }
    out.push_str(text.get(at..end).unwrap_or(""));
}

/// The parts of a negated expression that OPA evaluates before the negation.
///
/// A bare reference, and a reference that is one side of `==`, may be undefined inside it; whatever is nested deeper
/// may not.
fn operands(expression: &Ref<Expr>) -> Vec<&Ref<Expr>> {
    let mut found = Vec::new();
    match expression.as_ref() {
        Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
            in_reference(expression, &mut found)
        }
        Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } | Expr::AssignExpr { lhs, rhs, .. } => {
            side(lhs, &mut found);
            side(rhs, &mut found);
        }
        Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::BinExpr { lhs, rhs, .. } => {
            operand(lhs, &mut found);
            operand(rhs, &mut found);
        }
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).for_each(|part| operand(part, &mut found));
        }
        Expr::Call { params, .. } => params.iter().for_each(|part| operand(part, &mut found)),
        Expr::Array { .. } | Expr::Set { .. } | Expr::Object { .. } => operand(expression, &mut found),
        _ => {}
    }
    found
}

fn side<'a>(expression: &'a Ref<Expr>, found: &mut Vec<&'a Ref<Expr>>) {
    match expression.as_ref() {
        Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => in_reference(expression, found),
        _ => operand(expression, found),
    }
}

fn operand<'a>(expression: &'a Ref<Expr>, found: &mut Vec<&'a Ref<Expr>>) {
    if !is_always_defined(expression) {
        found.push(expression);
    }
}

fn is_always_defined(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. }
            | Expr::UnaryExpr { .. }
    )
}

fn in_reference<'a>(expression: &'a Ref<Expr>, found: &mut Vec<&'a Ref<Expr>>) {
    let mut node = expression;
    loop {
        match node.as_ref() {
            Expr::RefDot { refr, .. } => node = refr,
            Expr::RefBrack { refr, index, .. } => {
                if !matches!(index.as_ref(), Expr::Var { .. }) {
                    operand(index, found);
                }
                node = refr;
            }
            Expr::Var { .. } => return,
            _ => return operand(node, found),
        }
    }
}
