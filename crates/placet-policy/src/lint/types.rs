//! Conditions that ask a field what its type cannot answer, so that they are always unknown.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Field;

use super::Subjected;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, Literal, Members, Op, Operand, Path, Subject};
use crate::kind::Kind;

/// A finding for each field that is asked in vain.
pub(super) fn wrong(rule: &Subjected<'_>) -> Vec<Diagnostic> {
    let mut asked = Vec::new();
    collect(&rule.rule.when, &mut asked);
    let name = &rule.rule.reference.name;
    let finding = |(field, operator): &(Field, &str)| {
        let (kind, help) = match Kind::of(*field) {
            Kind::Text => ("text", "compare it with a text"),
            Kind::Number => ("a number", "compare it with a number"),
            Kind::Flag => ("a boolean", "write `true` or `false`"),
            Kind::List => ("a list", "write `contains: x`, or `some: { in: [x, y] }`"),
            Kind::Object => ("an object", "name a key below it"),
        };
        let path = field.path();
        let message = format!(
            "the rule `{name}` asks `{path}` with `{operator}`, but it is {kind}: the answer is always unknown"
        );
        rule.warning("lint/wrong-type", message).with_help(help)
    };
    asked.iter().map(finding).collect()
}

fn collect(expr: &Expr, found: &mut Vec<(Field, &'static str)>) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| collect(part, found)),
        Expr::Not(part) => collect(part, found),
        Expr::Some(subject, _) => note(subject, Kind::List, "some", found),
        Expr::Every(subject, _) => note(subject, Kind::List, "every", found),
        Expr::CountOf(subject, ..) => note(subject, Kind::List, "count", found),
        Expr::Test(test) => {
            if let Some(field) = whole(&test.subject)
                && let Some(operator) = in_vain(Kind::of(field), &test.op)
            {
                found.push((field, operator));
            }
        }
    }
}

fn note(subject: &Subject, wanted: Kind, operator: &'static str, found: &mut Vec<(Field, &'static str)>) {
    if let Some(field) = whole(subject).filter(|field| Kind::of(*field) != wanted) {
        found.push((field, operator));
    }
}

/// The field, when a condition looks at the whole of it.
fn whole(subject: &Subject) -> Option<Field> {
    match subject {
        Subject::Path(Path { field, keys }) if keys.is_empty() => Some(*field),
        _ => None,
    }
}

/// The operator, when a value of this type never answers it.
fn in_vain(kind: Kind, op: &Op) -> Option<&'static str> {
    let (word, answers) = match op {
        Op::Exists(_) | Op::Time(_) => return None,
        Op::Eq(Operand::Literal(literal)) => ("eq", is_of(kind, literal)),
        Op::Eq(Operand::Path(_)) => ("eq", is_scalar(kind)),
        Op::Order(order, Operand::Literal(literal)) => (order.word(), is_of(kind, literal)),
        Op::Order(order, Operand::Path(_)) => (order.word(), matches!(kind, Kind::Text | Kind::Number)),
        Op::In(Members::Literals(literals)) => ("in", literals.iter().any(|literal| is_of(kind, literal))),
        Op::In(Members::Path(_)) => ("in", is_scalar(kind)),
        Op::Contains(contained) => {
            ("contains", kind == Kind::List || (kind == Kind::Text && contained.part.is_some()))
        }
        Op::StartsWith(_) => ("starts_with", kind == Kind::Text),
        Op::EndsWith(_) => ("ends_with", kind == Kind::Text),
        Op::Glob(_) => ("glob", kind == Kind::Text),
        Op::Matches(_) => ("matches", kind == Kind::Text),
        Op::SubsetOf(_) => ("subset_of", kind == Kind::List),
        Op::Count(..) => ("count", matches!(kind, Kind::List | Kind::Object)),
    };
    (!answers).then_some(word)
}

fn is_scalar(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Number | Kind::Flag)
}

fn is_of(kind: Kind, literal: &Literal) -> bool {
    match literal {
        Literal::Text(_) => kind == Kind::Text,
        Literal::Number(_) => kind == Kind::Number,
        Literal::Bool(_) => kind == Kind::Flag,
    }
}
