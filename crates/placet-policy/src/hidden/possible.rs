//! The truths that a condition may have where values are hidden.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Field, Value};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{AtomId, HiddenType, Known, hidden, holds_hidden};
use crate::eval::Evaluation;
use crate::ir::{Expr, Literal, Members, Op, Operand, Order, Path, Subject, Test, Truth};

/// A set of truths; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Possible(u8);

const TRUTHS: [Truth; 3] = [Truth::False, Truth::Unknown, Truth::True];

impl Possible {
    /// Nothing is known.
    pub(crate) const ANY: Self = Self(0b111);

    pub(crate) fn of(truth: Truth) -> Self {
        Self(1 << truth as u8)
    }

    pub(crate) fn holds(self, truth: Truth) -> bool {
        self.0 & Self::of(truth).0 != 0
    }

    pub(crate) fn truths(self) -> impl Iterator<Item = Truth> {
        TRUTHS.into_iter().filter(move |truth| self.holds(*truth))
    }

    /// The one truth that is possible.
    pub(crate) fn only(self) -> Option<Truth> {
        TRUTHS.into_iter().find(|truth| Self::of(*truth) == self)
    }

    fn either(one: Truth, other: Truth) -> Self {
        Self(Self::of(one).0 | Self::of(other).0)
    }

    fn negate(self) -> Self {
        self.truths().map(Truth::negate).fold(Self(0), |set, truth| Self(set.0 | Self::of(truth).0))
    }

    /// What comes of combining each truth of the one with each of the other.
    fn with(self, other: Self, combine: impl Fn(Truth, Truth) -> Truth) -> Self {
        let mut set = 0;
        for one in self.truths() {
            for two in other.truths() {
                set |= Self::of(combine(one, two)).0;
            }
        }
        Self(set)
    }

    /// What comes of combining all, each with every truth that it may have.
    fn fold(
        all: impl Iterator<Item = Self>,
        start: Truth,
        combine: impl Fn(Truth, Truth) -> Truth + Copy,
    ) -> Self {
        all.fold(Self::of(start), |set, other| set.with(other, combine))
    }
}

/// Where a path leads.
enum Reach<'e> {
    Missing,
    Value(&'e Value),
    /// To a hidden value.
    Hidden(HiddenType),
    /// Into a hidden value.
    Below,
}

/// Follows keys down a value. What is hidden and no object has no keys.
fn reach<'e>(value: &'e Value, keys: &[SmolStr]) -> Reach<'e> {
    let mut current = value;
    for key in keys {
        match hidden(current) {
            Some(HiddenType::Object | HiddenType::Any) => return Reach::Below,
            Some(_) => return Reach::Missing,
            None => {}
        }
        match current.get(key) {
            Some(below) => current = below,
            None => return Reach::Missing,
        }
    }
    match hidden(current) {
        Some(kind) => Reach::Hidden(kind),
        None if current.is_null() => Reach::Missing,
        None => Reach::Value(current),
    }
}

impl Reach<'_> {
    /// Whether all that a test may look at there can be seen.
    fn is_clear(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::Value(value) => !holds_hidden(value),
            Self::Hidden(_) | Self::Below => false,
        }
    }
}

/// Finds the truths that conditions may have.
pub(crate) struct Search<'s, 'e> {
    pub(crate) evaluation: &'s Evaluation<'e>,
    pub(crate) known: &'s Known<'s>,
}

impl<'e> Search<'_, 'e> {
    /// The truths that a condition may have.
    pub(crate) fn truths(&self, expr: &Expr) -> Possible {
        self.at(expr, None)
    }

    fn at(&self, expr: &Expr, element: Option<&'e Value>) -> Possible {
        match expr {
            Expr::All(parts) => {
                Possible::fold(parts.iter().map(|part| self.at(part, element)), Truth::True, Truth::min)
            }
            Expr::Any(parts) => {
                Possible::fold(parts.iter().map(|part| self.at(part, element)), Truth::False, Truth::max)
            }
            Expr::Not(part) => self.at(part, element).negate(),
            Expr::Test(test) => self.test(expr, test, element),
            Expr::Some(subject, part) => self.each(expr, subject, part, element, |truths| {
                Possible::fold(truths.iter().copied(), Truth::False, Truth::max)
            }),
            Expr::Every(subject, part) => self.each(expr, subject, part, element, |truths| match truths {
                [] => Possible::of(Truth::Unknown),
                truths => Possible::fold(truths.iter().copied(), Truth::True, Truth::min),
            }),
            Expr::CountOf(subject, part, order, limit) => {
                self.each(expr, subject, part, element, |truths| count(truths, *order, *limit))
            }
        }
    }

    fn reach(&self, subject: &Subject, element: Option<&'e Value>) -> Reach<'e> {
        match subject {
            Subject::Path(path) => self.reach_path(path),
            Subject::Element(keys) => element.map_or(Reach::Missing, |element| reach(element, keys)),
        }
    }

    fn reach_path(&self, path: &Path) -> Reach<'e> {
        if self.is_made_of_hidden(path.field) {
            return Reach::Below;
        }
        reach(self.evaluation.event().get(path.field), &path.keys)
    }

    /// Whether completing the event made the value of a field of one that is hidden: it may as well be missing.
    fn is_made_of_hidden(&self, field: Field) -> bool {
        let is_unseen = |field| matches!(self.evaluation.event().get(field), Value::Unknown(_));
        self.known.moved.contains(&field) && (is_unseen(field) || is_unseen(Field::EventType))
    }

    /// A condition over the elements of a list, by the truths that it may have at each.
    fn each(
        &self,
        expr: &Expr,
        subject: &Subject,
        part: &Expr,
        element: Option<&'e Value>,
        combine: impl Fn(&[Possible]) -> Possible,
    ) -> Possible {
        let is_moved = matches!(subject, Subject::Path(path) if self.known.moved.contains(&path.field));
        // What is hidden in a list to which elements were added may not have been there: any truth leaves that open.
        let truths = |item| match hidden(item) {
            Some(_) if is_moved => Possible::ANY,
            _ => self.at(part, Some(item)),
        };
        let seen = match self.reach(subject, element) {
            Reach::Value(Value::Array(list)) => {
                combine(&list.iter().map(truths).collect::<SmallVec<[Possible; 8]>>())
            }
            Reach::Missing | Reach::Value(_) => Possible::of(Truth::Unknown),
            Reach::Hidden(kind) if !matches!(kind, HiddenType::Array | HiddenType::Any) => {
                Possible::of(Truth::Unknown)
            }
            Reach::Hidden(_) | Reach::Below => Possible::ANY,
        };
        match seen.only() {
            Some(_) => seen,
            None => self.told(expr).unwrap_or(seen),
        }
    }

    fn test(&self, expr: &Expr, test: &Test, element: Option<&'e Value>) -> Possible {
        let subject = self.reach(&test.subject, element);
        let other = other(&test.op).map(|path| self.reach_path(path));
        if subject.is_clear() && other.as_ref().is_none_or(Reach::is_clear) {
            return Possible::of(self.evaluation.truth_at(expr, element));
        }
        match (&test.op, &subject) {
            (Op::Exists(wanted), Reach::Below) => {
                let either = Possible::either(Truth::of(*wanted), Truth::of(!wanted));
                return self.told(expr).unwrap_or(either);
            }
            (Op::Exists(wanted), Reach::Hidden(_) | Reach::Value(_)) => {
                return Possible::of(Truth::of(*wanted));
            }
            // Elements are hidden, and their number is not; but a hidden argument may count as a resource twice.
            (Op::Count(..), Reach::Value(_)) if !is_resources(&test.subject) => {
                return Possible::of(self.evaluation.truth_at(expr, element));
            }
            (op, Reach::Hidden(kind)) if never_judged(op, *kind) => return Possible::of(Truth::Unknown),
            _ => {}
        }
        self.told(expr).unwrap_or(Possible::ANY)
    }

    /// The truth that was told, where it still holds.
    fn told(&self, expr: &Expr) -> Option<Possible> {
        if expr.paths().iter().any(|path| self.known.moved.contains(&path.field)) {
            return None;
        }
        (self.known.truth)(&AtomId::of(expr)?).map(Possible::of)
    }
}

/// How many elements of a list may meet a condition.
#[allow(clippy::cast_precision_loss, reason = "no list in memory has 2^53 elements")]
fn count(truths: &[Possible], order: Order, limit: f64) -> Possible {
    let (mut fewest, mut most) = (0_usize, 0_usize);
    for possible in truths {
        let Some(truth) = possible.only() else { return Possible::ANY };
        fewest += usize::from(truth == Truth::True);
        most += usize::from(truth != Truth::False);
    }
    let holds = |count: usize| (count as f64).partial_cmp(&limit).is_some_and(|found| order.holds(found));
    Possible::of(Truth::of_readings(holds(fewest), holds(most)))
}

fn is_resources(subject: &Subject) -> bool {
    matches!(subject, Subject::Path(path) if path.field == Field::Resources)
}

/// The other value of the document that a test looks at.
fn other(op: &Op) -> Option<&Path> {
    match op {
        Op::Order(_, Operand::Path(path)) | Op::Eq(Operand::Path(path)) => Some(path),
        Op::In(Members::Path(path)) | Op::SubsetOf(Members::Path(path)) => Some(path),
        _ => None,
    }
}

/// Whether a test is unknown on every value of a type.
fn never_judged(op: &Op, kind: HiddenType) -> bool {
    let is_scalar = matches!(kind, HiddenType::String | HiddenType::Number | HiddenType::Boolean);
    match op {
        _ if kind == HiddenType::Any => false,
        Op::Order(_, Operand::Literal(Literal::Bool(_))) => true,
        Op::Order(..) if kind == HiddenType::Boolean => true,
        Op::Order(_, Operand::Literal(literal)) | Op::Eq(Operand::Literal(literal)) => of(literal) != kind,
        Op::Order(_, Operand::Path(_)) | Op::Eq(Operand::Path(_)) => !is_scalar,
        Op::In(Members::Literals(literals)) => literals.iter().all(|literal| of(literal) != kind),
        Op::Contains(contained) => match kind {
            HiddenType::Array => false,
            HiddenType::String => of(&contained.whole) != HiddenType::String,
            _ => true,
        },
        Op::StartsWith(_) | Op::EndsWith(_) | Op::Glob(_) | Op::Matches(_) | Op::Time(_) => {
            kind != HiddenType::String
        }
        Op::SubsetOf(_) => kind != HiddenType::Array,
        Op::Count(..) => !matches!(kind, HiddenType::Array | HiddenType::Object),
        Op::In(Members::Path(_)) | Op::Exists(_) => false,
    }
}

fn of(literal: &Literal) -> HiddenType {
    match literal {
        Literal::Text(_) => HiddenType::String,
        Literal::Number(_) => HiddenType::Number,
        Literal::Bool(_) => HiddenType::Boolean,
    }
}
