//! Why the truth of a condition is unknown: which values are missing, of the wrong type, or read in two ways. A rule
//! that restricts fires on them, and what is recorded says so.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{Field, Value};

use crate::eval::Evaluation;
use crate::ir::{Contained, Expr, Literal, Members, Op, Operand, Path, Subject, Test, Truth};

/// One value that a condition could not judge.
pub(crate) struct Doubt {
    pub(crate) path: Path,
    /// What is wrong with it, as in `is missing`.
    pub(crate) problem: &'static str,
}

/// The values that made a condition unknown, each once; none when its truth is known.
pub(crate) fn doubts(evaluation: &Evaluation<'_>, when: &Expr) -> Vec<Doubt> {
    let mut search = Search { evaluation, found: Vec::new() };
    search.walk(when, None);
    search.found
}

/// An element of a list, and the path of that list.
type Element<'e, 'x> = Option<(&'e Value, &'x Path)>;

struct Search<'s, 'e> {
    evaluation: &'s Evaluation<'e>,
    found: Vec<Doubt>,
}

impl<'e> Search<'_, 'e> {
    fn walk(&mut self, when: &Expr, element: Element<'e, '_>) {
        if self.evaluation.truth_at(when, element.map(|(value, _)| value)) != Truth::Unknown {
            return;
        }
        match when {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| self.walk(part, element)),
            Expr::Not(part) => self.walk(part, element),
            Expr::Test(test) => self.test(test, element),
            Expr::Some(subject, part) | Expr::Every(subject, part) | Expr::CountOf(subject, part, ..) => {
                self.each(subject, part, element);
            }
        }
    }

    fn each(&mut self, subject: &Subject, part: &Expr, element: Element<'e, '_>) {
        let Some(path) = path_of(subject, element) else { return };
        let value = self.evaluation.subject(subject, element.map(|(value, _)| value));
        match value.and_then(Value::as_array) {
            None => self.add(path, problem(value, Wanted::List)),
            Some([]) => self.add(path, "is empty"),
            Some(items) => items.iter().for_each(|item| self.walk(part, Some((item, path)))),
        }
    }

    fn test(&mut self, test: &Test, element: Element<'e, '_>) {
        let value = self.evaluation.subject(&test.subject, element.map(|(value, _)| value));
        match (value, other(&test.op)) {
            (Some(_), Some(path)) if self.evaluation.value(path).is_none() => self.add(path, "is missing"),
            _ if matches!(test.op, Op::Time(_)) => self.add(&Path::of(Field::Now), "is not a time"),
            _ => {
                let Some(path) = path_of(&test.subject, element) else { return };
                let problem = match test.subject {
                    Subject::Path(_) => problem(value, wanted(&test.op)),
                    Subject::Element(_) => "holds what rules cannot judge",
                };
                self.add(path, problem);
            }
        }
    }

    fn add(&mut self, path: &Path, problem: &'static str) {
        if !self.found.iter().any(|doubt| doubt.path == *path) {
            self.found.push(Doubt { path: path.clone(), problem });
        }
    }
}

/// Where the subject stands; for a part of an element, where its list does.
fn path_of<'x>(subject: &'x Subject, element: Element<'_, 'x>) -> Option<&'x Path> {
    match subject {
        Subject::Path(path) => Some(path),
        Subject::Element(_) => element.map(|(_, list)| list),
    }
}

/// The other value of the document that a test compares with.
fn other(op: &Op) -> Option<&Path> {
    match op {
        Op::Order(_, Operand::Path(path)) | Op::Eq(Operand::Path(path)) => Some(path),
        Op::In(Members::Path(path)) | Op::SubsetOf(Members::Path(path)) => Some(path),
        _ => None,
    }
}

/// What kind of value a test can judge.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    Number,
    Boolean,
    List,
    Anything,
}

fn wanted(op: &Op) -> Wanted {
    let of_literal = |literal: &Literal| match literal {
        Literal::Text(_) => Wanted::Text,
        Literal::Number(_) => Wanted::Number,
        Literal::Bool(_) => Wanted::Boolean,
    };
    match op {
        Op::Order(_, Operand::Literal(literal)) | Op::Eq(Operand::Literal(literal)) => of_literal(literal),
        Op::StartsWith(_) | Op::EndsWith(_) | Op::Glob(_) | Op::Matches(_) => Wanted::Text,
        Op::Contains(Contained { part: Some(_), .. }) => Wanted::Text,
        Op::SubsetOf(_) | Op::Count(..) | Op::Contains(_) => Wanted::List,
        Op::In(Members::Literals(literals)) => match literals.as_slice() {
            [first, rest @ ..] if rest.iter().all(|next| of_literal(next) == of_literal(first)) => {
                of_literal(first)
            }
            _ => Wanted::Anything,
        },
        _ => Wanted::Anything,
    }
}

fn problem(value: Option<&Value>, wanted: Wanted) -> &'static str {
    match (value, wanted) {
        (None | Some(Value::Null), _) => "is missing",
        (Some(Value::Unknown(_)), _) => "is not a value that rules can judge",
        (Some(Value::String(_)), Wanted::Text | Wanted::Anything) => "can be read in two ways",
        (Some(_), Wanted::Text) => "is not a text",
        (Some(_), Wanted::Number) => "is not a number",
        (Some(_), Wanted::Boolean) => "is not a boolean",
        (Some(Value::Array(_)), Wanted::List) => "holds what rules cannot judge",
        (Some(_), Wanted::List) => "is not a list",
        (Some(_), Wanted::Anything) => "cannot be compared",
    }
}

/// The doubts about a path, said of the values a rule looks at.
pub(crate) fn about(doubts: &[Doubt], path: &Path) -> Option<Arc<str>> {
    doubts.iter().find(|doubt| doubt.path == *path).map(|doubt| doubt.problem.into())
}
