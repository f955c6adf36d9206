//! What follows from a condition that is true.
//!
//! Sound, not complete: what is shown here holds, and what is not shown may hold all the same.
// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::glob::Glob;
use crate::ir::{Expr, Literal, Members, Op, Operand, Order, Subject, Test, Text};

/// The conditions that hold together when an expression is true.
pub(super) struct Facts<'r> {
    pub(super) atoms: Vec<&'r Expr>,
}

impl<'r> Facts<'r> {
    pub(super) fn of(expr: &'r Expr) -> Self {
        let mut atoms = Vec::new();
        flatten(expr, &mut atoms);
        Self { atoms }
    }

    /// Whether the expression is true wherever these facts are.
    pub(super) fn imply(&self, wanted: &Expr) -> bool {
        let directly = match wanted {
            Expr::All(parts) => return parts.iter().all(|part| self.imply(part)),
            Expr::Any(parts) => parts.iter().any(|part| self.imply(part)),
            Expr::Test(test) => self.imply_test(test) || self.atoms.iter().any(|atom| same(atom, wanted)),
            Expr::Not(_) | Expr::Some(..) | Expr::Every(..) | Expr::CountOf(..) => {
                self.atoms.iter().any(|atom| same(atom, wanted)) || self.imply_flipped(wanted)
            }
        };
        directly
            || self.atoms.iter().any(|atom| match atom {
                Expr::Any(parts) => {
                    !parts.is_empty() && parts.iter().all(|part| Facts::of(part).imply(wanted))
                }
                _ => false,
            })
    }

    fn imply_test(&self, wanted: &Test) -> bool {
        if let Some(range) = Range::of(wanted) {
            let held = self.range(&wanted.subject);
            if held.is_bounded() && held.lies_in(range) {
                return true;
            }
        }
        self.tests().filter(|test| test.subject == wanted.subject).any(|test| match (&test.op, &wanted.op) {
            (Op::Exists(_) | Op::Time(_), _) | (_, Op::Time(_)) => false,
            (_, Op::Exists(present)) => *present,
            (Op::Glob(held), Op::Glob(wanted)) => {
                covers(&wanted.pattern, &held.pattern) && covers(&wanted.normal, &held.normal)
            }
            (op, wanted) => texts(op).is_some_and(|texts| texts.iter().all(|text| meets(text, wanted))),
        })
    }

    /// `not gt 5` holds where `lte 5` does.
    fn imply_flipped(&self, wanted: &Expr) -> bool {
        flipped(wanted).is_some_and(|test| self.imply_test(&test))
    }

    /// The tests that hold, those behind a `not` that have an opposite included.
    fn tests(&self) -> impl Iterator<Item = &'r Test> {
        self.atoms.iter().filter_map(|atom| match atom {
            Expr::Test(test) => Some(test),
            _ => None,
        })
    }

    /// The numbers that a subject may hold.
    pub(super) fn range(&self, subject: &Subject) -> Range {
        let mut range = Range::default();
        for atom in &self.atoms {
            let flipped = flipped(atom);
            let test = match atom {
                Expr::Test(test) => Some(test),
                _ => flipped.as_ref(),
            };
            if let Some(narrower) = test.filter(|test| test.subject == *subject).and_then(Range::of) {
                range = range.and(narrower);
            }
        }
        range
    }

    /// Why the facts can never hold together.
    pub(super) fn impossible(&self) -> Option<String> {
        let clash = self.tests().find_map(|test| self.clash_at(&test.subject));
        clash.or_else(|| {
            self.atoms.iter().find_map(|atom| match atom {
                Expr::Any(parts) => {
                    let all: Option<Vec<String>> =
                        parts.iter().map(|part| Facts::of(part).impossible()).collect();
                    all.and_then(|mut all| all.pop())
                }
                _ => None,
            })
        })
    }

    fn clash_at(&self, subject: &Subject) -> Option<String> {
        let name = describe(subject);
        let tests: Vec<&Test> =
            self.tests().filter(|test| test.subject == *subject && !matches!(test.op, Op::Time(_))).collect();
        let is = |wanted: bool| {
            tests.iter().any(|test| matches!(test.op, Op::Exists(present) if present == wanted))
        };
        let mut asked = tests.iter().map(|test| &test.op).chain(self.denied(subject));
        if is(false) && (is(true) || asked.any(|op| !matches!(op, Op::Exists(_)))) {
            return Some(format!("`{name}` would have to be absent and have a value"));
        }
        let mut kinds: Vec<&str> = tests.iter().filter_map(|test| kind(&test.op)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        if let [one, two, ..] = kinds.as_slice() {
            return Some(format!("`{name}` would have to be a {one} and a {two}"));
        }
        if self.range(subject).is_empty() {
            return Some(format!("no number is within all limits of `{name}`"));
        }
        let mut candidates = tests.iter().find_map(|test| texts(&test.op))?;
        candidates.retain(|text| tests.iter().all(|test| meets_or_unsaid(text, &test.op)));
        candidates.retain(|text| !self.denied(subject).any(|op| meets(text, op)));
        candidates.is_empty().then(|| format!("no text meets all conditions on `{name}`"))
    }

    /// The operators that must not hold for a subject.
    fn denied(&self, subject: &Subject) -> impl Iterator<Item = &'r Op> {
        self.atoms.iter().filter_map(move |atom| match atom {
            Expr::Not(inner) => match &**inner {
                Expr::Test(test) if test.subject == *subject => Some(&test.op),
                _ => None,
            },
            _ => None,
        })
    }
}

fn flatten<'r>(expr: &'r Expr, atoms: &mut Vec<&'r Expr>) {
    match expr {
        Expr::All(parts) => parts.iter().for_each(|part| flatten(part, atoms)),
        other => atoms.push(other),
    }
}

/// How a finding names a subject.
pub(super) fn describe(subject: &Subject) -> String {
    match subject {
        Subject::Path(path) => path.to_string(),
        Subject::Element(keys) if keys.is_empty() => "the element".to_owned(),
        Subject::Element(keys) => keys.join("."),
    }
}

/// The numbers between two limits; the flag says that the limit itself counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Range {
    pub(super) lower: Option<(f64, bool)>,
    pub(super) upper: Option<(f64, bool)>,
}

impl Range {
    fn of(test: &Test) -> Option<Self> {
        let none = Self::default();
        match test.op {
            Op::Order(order, Operand::Literal(Literal::Number(limit))) => Some(match order {
                Order::Gt => Self { lower: Some((limit, false)), ..none },
                Order::Gte => Self { lower: Some((limit, true)), ..none },
                Order::Lt => Self { upper: Some((limit, false)), ..none },
                Order::Lte => Self { upper: Some((limit, true)), ..none },
            }),
            Op::Eq(Operand::Literal(Literal::Number(value))) => {
                Some(Self { lower: Some((value, true)), upper: Some((value, true)) })
            }
            _ => None,
        }
    }

    fn and(self, other: Self) -> Self {
        let tighter = |one: Option<(f64, bool)>, two: Option<(f64, bool)>, larger: bool| match (one, two) {
            (Some((a, with_a)), Some((b, with_b))) => {
                let first = if a.total_cmp(&b).is_eq() { !with_a } else { (a > b) == larger };
                Some(if first { (a, with_a) } else { (b, with_b) })
            }
            (one, two) => one.or(two),
        };
        Self { lower: tighter(self.lower, other.lower, true), upper: tighter(self.upper, other.upper, false) }
    }

    fn is_bounded(self) -> bool {
        self.lower.is_some() || self.upper.is_some()
    }

    fn is_empty(self) -> bool {
        match (self.lower, self.upper) {
            (Some((lower, with_lower)), Some((upper, with_upper))) => {
                lower > upper || (lower >= upper && !(with_lower && with_upper))
            }
            _ => false,
        }
    }

    fn lies_in(self, outer: Self) -> bool {
        self.and(outer) == self
    }
}

/// The opposite of a negated order comparison with a number.
fn flipped(expr: &Expr) -> Option<Test> {
    let Expr::Not(inner) = expr else { return None };
    let Expr::Test(Test { subject, op: Op::Order(order, Operand::Literal(Literal::Number(limit))) }) =
        &**inner
    else {
        return None;
    };
    let order = match order {
        Order::Gt => Order::Lte,
        Order::Gte => Order::Lt,
        Order::Lt => Order::Gte,
        Order::Lte => Order::Gt,
    };
    Some(Test { subject: subject.clone(), op: Op::Order(order, Operand::Literal(Literal::Number(*limit))) })
}

/// The texts of which a value must be one.
pub(super) fn texts(op: &Op) -> Option<Vec<&Text>> {
    match op {
        Op::Eq(Operand::Literal(literal)) => text(literal).map(|text| vec![text]),
        Op::In(Members::Literals(literals)) => literals.iter().map(text).collect(),
        _ => None,
    }
}

fn text(literal: &Literal) -> Option<&Text> {
    match literal {
        Literal::Text(text) => Some(text),
        Literal::Number(_) | Literal::Bool(_) => None,
    }
}

/// Whether a text is known to meet an operator, in both readings.
fn meets(text: &Text, op: &Op) -> bool {
    match op {
        Op::Eq(Operand::Literal(Literal::Text(wanted))) => text == wanted,
        Op::In(Members::Literals(literals)) => {
            literals.iter().any(|literal| matches!(literal, Literal::Text(wanted) if text == wanted))
        }
        Op::Glob(glob) => glob.matches_raw(&text.raw) && glob.matches_normal(&text.normal),
        Op::StartsWith(part) => {
            text.raw.starts_with(part.raw.as_str()) && text.normal.starts_with(part.normal.as_str())
        }
        Op::EndsWith(part) => {
            text.raw.ends_with(part.raw.as_str()) && text.normal.ends_with(part.normal.as_str())
        }
        _ => false,
    }
}

/// Whether a text may meet an operator that asks something of texts.
fn meets_or_unsaid(text: &Text, op: &Op) -> bool {
    let asks = matches!(op, Op::Glob(_) | Op::StartsWith(_) | Op::EndsWith(_)) || texts(op).is_some();
    !asks || meets(text, op)
}

/// The type that an operator asks for, where it is one.
fn kind(op: &Op) -> Option<&'static str> {
    let of = |literal: &Literal| match literal {
        Literal::Text(_) => "text",
        Literal::Number(_) => "number",
        Literal::Bool(_) => "boolean",
    };
    match op {
        Op::Order(_, Operand::Literal(literal)) | Op::Eq(Operand::Literal(literal)) => Some(of(literal)),
        Op::StartsWith(_) | Op::EndsWith(_) | Op::Glob(_) | Op::Matches(_) => Some("text"),
        Op::In(Members::Literals(literals)) => {
            let first = literals.first().map(of)?;
            literals.iter().all(|literal| of(literal) == first).then_some(first)
        }
        _ => None,
    }
}

/// Whether a glob matches every text that another one matches. Wildcards of the inner one stand for themselves.
fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (tokens(outer), tokens(inner));
    // Which lengths of `inner` the tokens of `outer` read so far can account for.
    let mut reached = vec![false; inner.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for token in &outer {
        let mut next = vec![false; inner.len() + 1];
        let mut open = false;
        for (place, slot) in next.iter_mut().enumerate() {
            let here = reached.get(place).copied().unwrap_or(false);
            let before = place.checked_sub(1);
            let reached_before = before.and_then(|place| reached.get(place)).copied().unwrap_or(false);
            let read = before.and_then(|place| inner.get(place));
            *slot = match token {
                Token::Run => {
                    open |= here;
                    open
                }
                Token::One => reached_before && read.is_some_and(|read| *read != Token::Run),
                other => reached_before && read == Some(other),
            };
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`.
    Run,
    /// `?`.
    One,
    /// A character.
    Is(char),
    /// A bracket expression, as written.
    Set(String),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Token::Run,
            '?' => Token::One,
            '[' => {
                let mut set = String::new();
                set.extend(chars.next_if_eq(&'!'));
                set.extend(chars.next());
                set.extend(chars.by_ref().take_while(|c| *c != ']'));
                Token::Set(set)
            }
            other => Token::Is(other),
        });
    }
    out
}

/// Whether two expressions are written alike.
fn same(one: &Expr, two: &Expr) -> bool {
    let all = |one: &[Expr], two: &[Expr]| {
        one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
    };
    match (one, two) {
        (Expr::All(one), Expr::All(two)) | (Expr::Any(one), Expr::Any(two)) => all(one, two),
        (Expr::Not(one), Expr::Not(two)) => same(one, two),
        (Expr::Test(one), Expr::Test(two)) => one.subject == two.subject && same_op(&one.op, &two.op),
        (Expr::Some(of, one), Expr::Some(of_two, two)) | (Expr::Every(of, one), Expr::Every(of_two, two)) => {
            of == of_two && same(one, two)
        }
        (Expr::CountOf(of, one, order, limit), Expr::CountOf(of_two, two, order_two, other)) => {
            of == of_two && order == order_two && limit.total_cmp(other).is_eq() && same(one, two)
        }
        _ => false,
    }
}

fn same_op(one: &Op, two: &Op) -> bool {
    let globs = |one: &Glob, two: &Glob| one.pattern == two.pattern;
    match (one, two) {
        (Op::Order(one, limit), Op::Order(two, other)) => one == two && limit == other,
        (Op::Eq(one), Op::Eq(two)) => one == two,
        (Op::In(one), Op::In(two)) | (Op::SubsetOf(one), Op::SubsetOf(two)) => one == two,
        (Op::Contains(one), Op::Contains(two)) => one == two,
        (Op::StartsWith(one), Op::StartsWith(two)) | (Op::EndsWith(one), Op::EndsWith(two)) => one == two,
        (Op::Glob(one), Op::Glob(two)) => globs(one, two),
        (Op::Matches(one), Op::Matches(two)) => one.as_str() == two.as_str(),
        (Op::Exists(one), Op::Exists(two)) => one == two,
        (Op::Count(one, limit), Op::Count(two, other)) => one == two && limit.total_cmp(other).is_eq(),
        (Op::Time(one), Op::Time(two)) => {
            (one.after, one.before, &one.weekdays) == (two.after, two.before, &two.weekdays)
                && one.zone.iana_name() == two.zone.iana_name()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_covering_glob_matches_what_the_covered_one_matches(
            outer in "[ab?*]{0,5}", inner in "[ab?*]{0,5}", text in "[ab]{0,6}"
        ) {
            if covers(&outer, &inner) && Glob::new(&inner).unwrap().matches_raw(&text) {
                prop_assert!(Glob::new(&outer).unwrap().matches_raw(&text));
            }
        }
    }
}
