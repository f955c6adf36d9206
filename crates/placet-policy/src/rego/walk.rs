//! Walking the syntax tree of the interpreter's parser.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleBody, RuleHead, Span};

/// One node below another.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Expression(&'a Ref<Expr>),
    Query(&'a Ref<Query>),
    Statement(&'a LiteralStmt),
}

impl<'a> Node<'a> {
    pub(super) fn span(self) -> &'a Span {
        match self {
            Self::Expression(expression) => expression.span(),
            Self::Query(query) => &query.span,
            Self::Statement(statement) => &statement.span,
        }
    }
}

/// The nodes directly below a node.
pub(super) fn children(node: Node<'_>) -> Vec<Node<'_>> {
    match node {
        Node::Expression(expression) => expression_children(expression),
        Node::Query(query) => query.stmts.iter().map(Node::Statement).collect(),
        Node::Statement(statement) => statement_children(statement),
    }
}

fn expression_children(expression: &Expr) -> Vec<Node<'_>> {
    use Node::{Expression, Query};
    match expression {
        Expr::String { .. }
        | Expr::RawString { .. }
        | Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Var { .. } => Vec::new(),
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.iter().map(Expression).collect(),
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, key, value)| [Expression(key), Expression(value)]).collect()
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            vec![Expression(term), Query(query)]
        }
        Expr::ObjectCompr { key, value, query, .. } => {
            vec![Expression(key), Expression(value), Query(query)]
        }
        Expr::Call { fcn, params, .. } => {
            std::iter::once(Expression(fcn)).chain(params.iter().map(Expression)).collect()
        }
        Expr::UnaryExpr { expr, .. } => vec![Expression(expr)],
        Expr::RefDot { refr, .. } => vec![Expression(refr)],
        Expr::RefBrack { refr, index, .. } => vec![Expression(refr), Expression(index)],
        Expr::BinExpr { lhs, rhs, .. }
        | Expr::BoolExpr { lhs, rhs, .. }
        | Expr::ArithExpr { lhs, rhs, .. }
        | Expr::AssignExpr { lhs, rhs, .. } => vec![Expression(lhs), Expression(rhs)],
        Expr::Membership { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(Expression).collect()
        }
    }
}

fn statement_children(statement: &LiteralStmt) -> Vec<Node<'_>> {
    let mut found: Vec<Node<'_>> = match &statement.literal {
        Literal::SomeVars { .. } => Vec::new(),
        Literal::SomeIn { key, value, collection, .. } => {
            key.iter().chain([value, collection]).map(Node::Expression).collect()
        }
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => vec![Node::Expression(expr)],
        Literal::Every { domain, query, .. } => vec![Node::Expression(domain), Node::Query(query)],
    };
    for modifier in &statement.with_mods {
        found.push(Node::Expression(&modifier.refr));
        found.push(Node::Expression(&modifier.r#as));
    }
    found
}

/// The nodes directly below a rule: its head, its values, its bodies.
pub(super) fn rule_children(rule: &Rule) -> Vec<Node<'_>> {
    match rule {
        Rule::Default { refr, args, value, .. } => {
            [refr].into_iter().chain(args).chain([value]).map(Node::Expression).collect()
        }
        Rule::Spec { head, bodies, .. } => {
            let mut found = head_children(head);
            for body in bodies {
                found.extend(body.assign.iter().map(|assign| Node::Expression(&assign.value)));
                found.push(Node::Query(&body.query));
            }
            found
        }
    }
}

fn head_children(head: &RuleHead) -> Vec<Node<'_>> {
    match head {
        RuleHead::Compr { refr, assign, .. } => [refr]
            .into_iter()
            .chain(assign.iter().map(|assign| &assign.value))
            .map(Node::Expression)
            .collect(),
        RuleHead::Set { refr, key, .. } => [refr].into_iter().chain(key).map(Node::Expression).collect(),
        RuleHead::Func { refr, args, assign, .. } => [refr]
            .into_iter()
            .chain(args)
            .chain(assign.iter().map(|assign| &assign.value))
            .map(Node::Expression)
            .collect(),
    }
}

/// The bodies of a rule; none for a default.
pub(super) fn bodies(rule: &Rule) -> &[RuleBody] {
    match rule {
        Rule::Spec { bodies, .. } => bodies,
        Rule::Default { .. } => &[],
    }
}

/// Visits every node below the given ones, parents first. Depth is bounded by the parser's check.
pub(super) fn walk<'a>(nodes: Vec<Node<'a>>, visit: &mut dyn FnMut(Node<'a>)) {
    for node in nodes {
        visit(node);
        walk(children(node), visit);
    }
}

/// Visits every expression below a rule, parents first.
pub(super) fn walk_expressions<'a>(rule: &'a Rule, visit: &mut dyn FnMut(&'a Ref<Expr>)) {
    walk(rule_children(rule), &mut |node| {
        if let Node::Expression(expression) = node {
            visit(expression);
        }
    });
}
