//! The smallest conditions of rules, and one name for all that ask the same.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::civil::Time;
use placet_types::Field;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::clock::TimeWindow;
use crate::ir::{Expr, Literal, Members, Op, Operand, Order, Path, Rule, Subject, Test};

/// Names what a condition asks: the same for every rule, file and release that asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AtomId(pub [u8; 32]);

impl AtomId {
    /// The name of a condition; `None` for what only means something within another, or a time zone
    /// without a name.
    pub(crate) fn of(expr: &Expr) -> Option<Self> {
        let canonical = canonical(expr)?;
        let mut hasher = Sha256::new();
        hasher.update("placet-atom-1\0");
        hasher.update(canonical.to_string());
        Some(Self(hasher.finalize().into()))
    }
}

/// The smallest conditions of a policy set, each once.
#[derive(Debug, Default)]
pub(crate) struct Atoms {
    all: Vec<(AtomId, Expr)>,
    /// Those that look at a field.
    by_field: HashMap<Field, Vec<usize>>,
}

impl Atoms {
    pub(crate) fn of<'r>(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut atoms = Self::default();
        let mut seen = HashSet::new();
        for rule in rules {
            atoms.collect(&rule.when, &mut seen);
        }
        atoms
    }

    fn collect(&mut self, expr: &Expr, seen: &mut HashSet<AtomId>) {
        match expr {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| self.collect(part, seen)),
            Expr::Not(part) => self.collect(part, seen),
            Expr::Test(_) | Expr::Some(..) | Expr::Every(..) | Expr::CountOf(..) => {
                let Some(id) = AtomId::of(expr).filter(|id| seen.insert(*id)) else { return };
                let fields: HashSet<Field> = expr.paths().iter().map(|path| path.field).collect();
                for field in fields {
                    self.by_field.entry(field).or_default().push(self.all.len());
                }
                self.all.push((id, expr.clone()));
            }
        }
    }

    /// Those that look at a field, in the order of the rules.
    pub(crate) fn on(&self, field: Field) -> impl Iterator<Item = (usize, AtomId, &Expr)> {
        let numbers = self.by_field.get(&field).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.all.get(*number).map(|(id, expr)| (*number, *id, expr)))
    }
}

/// What a condition asks, as data. Equal data means equal truths on every event.
fn canonical(expr: &Expr) -> Option<Json> {
    // The subject of an outermost condition stands in the document.
    match expr {
        Expr::Test(Test { subject: Subject::Element(_), .. })
        | Expr::Some(Subject::Element(_), _)
        | Expr::Every(Subject::Element(_), _)
        | Expr::CountOf(Subject::Element(_), ..) => None,
        _ => inner(expr),
    }
}

fn inner(expr: &Expr) -> Option<Json> {
    let all = |parts: &[Expr]| parts.iter().map(inner).collect::<Option<Vec<_>>>();
    Some(match expr {
        Expr::All(parts) => json!(["all", all(parts)?]),
        Expr::Any(parts) => json!(["any", all(parts)?]),
        Expr::Not(part) => json!(["not", inner(part)?]),
        Expr::Test(test) => json!([subject(&test.subject), op(&test.op)?]),
        Expr::Some(of, part) => json!(["some", subject(of), inner(part)?]),
        Expr::Every(of, part) => json!(["every", subject(of), inner(part)?]),
        Expr::CountOf(of, part, order, limit) => {
            json!(["count", subject(of), inner(part)?, order.word(), number(*limit)])
        }
    })
}

fn path(path: &Path) -> Json {
    let keys = path.keys.iter().map(smol_str::SmolStr::as_str);
    std::iter::once(path.field.path()).chain(keys).collect::<Vec<_>>().into()
}

fn subject(subject: &Subject) -> Json {
    match subject {
        Subject::Path(of) => json!({"path": path(of)}),
        Subject::Element(keys) => json!({"element": keys.iter().map(|key| &**key).collect::<Vec<_>>()}),
    }
}

fn op(op: &Op) -> Option<Json> {
    let ordered = |order: &Order, of: &Operand| json!([order.word(), operand(of)]);
    Some(match op {
        Op::Order(order, of) => ordered(order, of),
        Op::Eq(of) => json!(["eq", operand(of)]),
        Op::In(Members::Literals(literals)) if literals.len() == 1 => {
            json!(["eq", literals.first().map(literal)])
        }
        Op::In(of) => json!(["in", members(of)]),
        Op::Contains(contained) => json!(["contains", literal(&contained.whole)]),
        Op::StartsWith(text) => json!(["starts_with", &*text.raw]),
        Op::EndsWith(text) => json!(["ends_with", &*text.raw]),
        Op::Glob(glob) => json!(["glob", glob.pattern]),
        Op::Matches(regex) => json!(["matches", regex.as_str()]),
        Op::Exists(wanted) => json!(["exists", wanted]),
        Op::SubsetOf(of) => json!(["subset_of", members(of)]),
        Op::Count(order, limit) => json!(["count", order.word(), number(*limit)]),
        Op::Time(window) => return time(window),
    })
}

fn time(window: &TimeWindow) -> Option<Json> {
    let hour = |time: Option<Time>| time.map(|time| time.to_string());
    let days: BTreeSet<i8> = window.weekdays.iter().copied().collect();
    Some(json!(["time", hour(window.after), hour(window.before), days, window.zone.iana_name()?]))
}

fn operand(operand: &Operand) -> Json {
    match operand {
        Operand::Literal(of) => literal(of),
        Operand::Path(of) => json!({"path": path(of)}),
    }
}

fn members(members: &Members) -> Json {
    match members {
        Members::Path(of) => json!({"path": path(of)}),
        Members::Literals(literals) => {
            let mut texts: Vec<String> = literals.iter().map(|of| literal(of).to_string()).collect();
            texts.sort_unstable();
            texts.dedup();
            texts.into()
        }
    }
}

/// A literal with its type: `5` is not `"5"`.
fn literal(literal: &Literal) -> Json {
    match literal {
        Literal::Text(text) => json!(["text", &*text.raw]),
        Literal::Number(of) => json!(["number", number(*of)]),
        Literal::Bool(flag) => json!(["boolean", flag]),
    }
}

/// All bits of a number, so that no two numbers look alike.
fn number(number: f64) -> String {
    format!("{:016x}", number.to_bits())
}
