//! What can be known of an expression without evaluating it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regorus::unstable::{ArithOp, BoolOp, Expr, Ref, Rule, RuleHead};

use super::decision::constant;
use super::walk::{Node, children};

/// The values and keys of a rule's head that may be undefined.
pub(super) fn head_values(rule: &Rule) -> Vec<&Ref<Expr>> {
    let Rule::Spec { head, .. } = rule else { return Vec::new() };
    let mut found = Vec::new();
    let (refr, value) = match head {
        RuleHead::Compr { refr, assign, .. } | RuleHead::Func { refr, assign, .. } => {
            (refr, assign.as_ref().map(|assign| &assign.value))
        }
        RuleHead::Set { refr, key, .. } => (refr, key.as_ref()),
    };
    let mut part = refr;
    loop {
        match part.as_ref() {
            Expr::RefDot { refr, .. } => part = refr,
            Expr::RefBrack { refr, index, .. } => {
                found.extend(Some(index).filter(|index| may_be_undefined(index)));
                part = refr;
            }
            _ => break,
        }
    }
    found.extend(value.filter(|value| may_be_undefined(value)));
    found
}

/// Whether an expression goes through a collection, comprehensions left out: they do it in a query of their own.
pub(super) fn has_loop(expression: &Ref<Expr>) -> bool {
    match expression.as_ref() {
        Expr::ArrayCompr { .. } | Expr::SetCompr { .. } | Expr::ObjectCompr { .. } => false,
        Expr::RefBrack { index, .. } if matches!(index.as_ref(), Expr::Var { .. }) => true,
        _ => children(Node::Expression(expression)).into_iter().any(|child| match child {
            Node::Expression(inner) => has_loop(inner),
            Node::Query(_) | Node::Statement(_) => false,
        }),
    }
}

/// Whether an expression of a head is worth moving: neither a variable nor made of constants.
pub(super) fn may_be_undefined(expression: &Expr) -> bool {
    !matches!(expression, Expr::Var { .. }) && constant(expression).is_none()
}

/// The parts of a negated expression that OPA evaluates before the negation.
///
/// A bare reference, and a reference that is one side of `==`, may be undefined inside it; whatever is nested deeper
/// may not.
pub(super) fn operands(expression: &Ref<Expr>) -> Vec<&Ref<Expr>> {
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

/// Whether an expression is a number in the text.
pub(super) fn is_literal(expression: &Expr) -> bool {
    matches!(expression, Expr::Number { .. } | Expr::UnaryExpr { .. })
}

/// Whether an expression is a number or undefined, whatever the input.
pub(super) fn is_number(expression: &Expr) -> bool {
    match expression {
        Expr::Call { fcn, .. } => matches!(
            fcn.span().text(),
            "count" | "sum" | "product" | "round" | "ceil" | "floor" | "abs" | "to_number" | "time.now_ns"
        ),
        Expr::ArithExpr { op: ArithOp::Sub, lhs, rhs, .. } => is_number(lhs) || is_number(rhs),
        Expr::ArithExpr { .. } => true,
        other => is_literal(other),
    }
}

/// Whether an expression is a list, a set or an object, whatever the input.
pub(super) fn is_collection(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Array { .. }
            | Expr::Set { .. }
            | Expr::Object { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. }
    )
}
