//! Evaluating conditions over one event. Total: every value of every type gives a truth.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use placet_types::{Event, Field, Value};

use crate::ir::{Contained, Expr, Literal, Members, Op, Operand, Order, Path, Subject, Test, Text, Truth};
use crate::reading;

/// One event with the normal forms computed so far.
pub(crate) struct Evaluation<'e> {
    event: &'e Event,
    normal_forms: RefCell<Vec<(*const u8, usize, Rc<str>)>>,
}

/// Most normal forms remembered per event; past that they are computed again.
const MAX_REMEMBERED: usize = 32;

/// A normal form: the text itself when normalising leaves it alone.
pub(crate) enum Normal<'e> {
    Same(&'e str),
    Other(Rc<str>),
}

impl Deref for Normal<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Same(text) => text,
            Self::Other(text) => text,
        }
    }
}

impl<'e> Evaluation<'e> {
    pub(crate) fn new(event: &'e Event) -> Self {
        Self { event, normal_forms: RefCell::new(Vec::new()) }
    }

    pub(crate) fn event(&self) -> &'e Event {
        self.event
    }

    /// The value at a path; `None` when it is missing or null.
    pub(crate) fn value(&self, path: &Path) -> Option<&'e Value> {
        below(self.event.get(path.field), &path.keys)
    }

    /// The normal form of a text of this event.
    pub(crate) fn normal(&self, text: &'e str) -> Normal<'e> {
        let same = |held: &&(*const u8, usize, Rc<str>)| held.0 == text.as_ptr() && held.1 == text.len();
        if let Some((_, _, normal)) = self.normal_forms.borrow().iter().find(same) {
            return Normal::Other(normal.clone());
        }
        match reading::normal_form(text) {
            std::borrow::Cow::Borrowed(same) => Normal::Same(same),
            std::borrow::Cow::Owned(normal) => {
                let normal: Rc<str> = normal.into();
                let mut held = self.normal_forms.borrow_mut();
                if held.len() < MAX_REMEMBERED {
                    held.push((text.as_ptr(), text.len(), normal.clone()));
                }
                Normal::Other(normal)
            }
        }
    }

    /// The truth of a condition.
    pub(crate) fn truth(&self, expr: &Expr) -> Truth {
        self.truth_at(expr, None)
    }

    /// The truth of a part of a condition, which may stand at an element of a list.
    pub(crate) fn truth_at(&self, expr: &Expr, element: Option<&'e Value>) -> Truth {
        match expr {
            Expr::All(parts) => self.least(parts, element),
            Expr::Any(parts) => self.greatest(parts, element),
            Expr::Not(part) => self.truth_at(part, element).negate(),
            Expr::Test(test) => self.test(test, element),
            Expr::Some(subject, part) => match self.elements(subject, element) {
                None => Truth::Unknown,
                Some(items) => {
                    items.iter().map(|item| self.truth_at(part, Some(item))).max().unwrap_or(Truth::False)
                }
            },
            Expr::Every(subject, part) => match self.elements(subject, element) {
                None => Truth::Unknown,
                Some(items) => {
                    items.iter().map(|item| self.truth_at(part, Some(item))).min().unwrap_or(Truth::Unknown)
                }
            },
            Expr::CountOf(subject, part, order, limit) => match self.elements(subject, element) {
                None => Truth::Unknown,
                Some(items) => self.count_of(items, part, *order, *limit),
            },
        }
    }

    /// Elements of unknown truth may count or not: the comparison holds when it does either way.
    #[allow(clippy::cast_precision_loss, reason = "no list in memory has 2^53 elements")]
    fn count_of(&self, items: &'e [Value], part: &Expr, order: Order, limit: f64) -> Truth {
        let (mut fewest, mut most) = (0_usize, 0_usize);
        for item in items {
            let truth = self.truth_at(part, Some(item));
            fewest += usize::from(truth == Truth::True);
            most += usize::from(truth != Truth::False);
        }
        let holds = |count: usize| (count as f64).partial_cmp(&limit).is_some_and(|found| order.holds(found));
        Truth::of_readings(holds(fewest), holds(most))
    }

    fn least(&self, parts: &[Expr], element: Option<&'e Value>) -> Truth {
        let mut truth = Truth::True;
        for part in parts {
            truth = truth.min(self.truth_at(part, element));
            if truth == Truth::False {
                break;
            }
        }
        truth
    }

    fn greatest(&self, parts: &[Expr], element: Option<&'e Value>) -> Truth {
        let mut truth = Truth::False;
        for part in parts {
            truth = truth.max(self.truth_at(part, element));
            if truth == Truth::True {
                break;
            }
        }
        truth
    }

    /// What a test looks at; `None` when it is missing or null.
    pub(crate) fn subject(&self, subject: &Subject, element: Option<&'e Value>) -> Option<&'e Value> {
        match subject {
            Subject::Path(path) => self.value(path),
            Subject::Element(keys) => element.and_then(|element| below(element, keys)),
        }
    }

    fn elements(&self, subject: &Subject, element: Option<&'e Value>) -> Option<&'e [Value]> {
        self.subject(subject, element)?.as_array()
    }

    fn test(&self, test: &Test, element: Option<&'e Value>) -> Truth {
        let value = self.subject(&test.subject, element);
        if let Op::Exists(wanted) = test.op {
            return Truth::of(value.is_some() == wanted);
        }
        if let Op::Time(window) = &test.op {
            return window.holds(self.event.get(Field::Now).as_str());
        }
        value.map_or(Truth::Unknown, |value| self.holds(value, &test.op))
    }

    fn holds(&self, value: &'e Value, op: &Op) -> Truth {
        match op {
            // Booleans have no order.
            Op::Order(..) if value.as_bool().is_some() => Truth::Unknown,
            Op::Order(order, operand) => self.order(value, operand, |ordering| order.holds(ordering)),
            Op::Eq(operand) => self.order(value, operand, std::cmp::Ordering::is_eq),
            Op::In(members) => self.is_member(value, members),
            Op::Contains(contained) => self.contains(value, contained),
            Op::StartsWith(part) => self.text(value, part, |text, part| text.starts_with(part)),
            Op::EndsWith(part) => self.text(value, part, |text, part| text.ends_with(part)),
            Op::Glob(glob) => value.as_str().map_or(Truth::Unknown, |text| {
                Truth::of_readings(glob.matches_raw(text), glob.matches_normal(&self.normal(text)))
            }),
            Op::Matches(regex) => value.as_str().map_or(Truth::Unknown, |text| {
                Truth::of_readings(regex.is_match(text), regex.is_match(&reading::unfolded_form(text)))
            }),
            Op::SubsetOf(members) => value.as_array().map_or(Truth::Unknown, |items| {
                items.iter().map(|item| self.is_member(item, members)).min().unwrap_or(Truth::True)
            }),
            Op::Count(order, wanted) => count(value).map_or(Truth::Unknown, |count| {
                Truth::of(count.partial_cmp(wanted).is_some_and(|ordering| order.holds(ordering)))
            }),
            Op::Exists(_) | Op::Time(_) => Truth::Unknown,
        }
    }

    fn text(&self, value: &'e Value, part: &Text, holds: impl Fn(&str, &str) -> bool) -> Truth {
        value.as_str().map_or(Truth::Unknown, |text| {
            Truth::of_readings(holds(text, &part.raw), holds(&self.normal(text), &part.normal))
        })
    }

    /// Compares two scalars of one type; anything else is unknown.
    fn order(
        &self,
        value: &'e Value,
        operand: &Operand,
        holds: impl Fn(std::cmp::Ordering) -> bool,
    ) -> Truth {
        match operand {
            Operand::Literal(literal) => self.order_literal(value, literal, holds),
            Operand::Path(path) => {
                self.value(path).map_or(Truth::Unknown, |other| self.order_value(value, other, holds))
            }
        }
    }

    fn order_literal(
        &self,
        value: &'e Value,
        literal: &Literal,
        holds: impl Fn(std::cmp::Ordering) -> bool,
    ) -> Truth {
        match literal {
            Literal::Number(wanted) => value
                .as_number()
                .and_then(|number| number.partial_cmp(wanted))
                .map_or(Truth::Unknown, |ordering| Truth::of(holds(ordering))),
            Literal::Bool(wanted) => {
                value.as_bool().map_or(Truth::Unknown, |flag| Truth::of(holds(flag.cmp(wanted))))
            }
            Literal::Text(wanted) => value.as_str().map_or(Truth::Unknown, |text| {
                let normal = self.normal(text);
                Truth::of_readings(holds(text.cmp(&wanted.raw)), holds((*normal).cmp(&wanted.normal)))
            }),
        }
    }

    fn order_value(
        &self,
        value: &'e Value,
        other: &'e Value,
        holds: impl Fn(std::cmp::Ordering) -> bool,
    ) -> Truth {
        match (value, other) {
            (Value::Bool(one), Value::Bool(two)) => Truth::of(holds(one.cmp(two))),
            (Value::String(one), Value::String(two)) => {
                let normal = (*self.normal(one)).cmp(&*self.normal(two));
                Truth::of_readings(holds(one.cmp(two)), holds(normal))
            }
            _ => value
                .as_number()
                .zip(other.as_number())
                .and_then(|(one, two)| one.partial_cmp(&two))
                .map_or(Truth::Unknown, |ordering| Truth::of(holds(ordering))),
        }
    }

    /// Literals of another type than the value say nothing as long as one of its type is listed.
    fn is_member(&self, value: &'e Value, members: &Members) -> Truth {
        if value.is_null() {
            return Truth::Unknown;
        }
        let equal = std::cmp::Ordering::is_eq;
        match members {
            Members::Literals(literals) => match value.as_str() {
                Some(text) => self.is_listed(text, literals),
                None => literals
                    .iter()
                    .filter(|literal| same_type(value, literal))
                    .map(|literal| self.order_literal(value, literal, equal))
                    .max()
                    .unwrap_or(Truth::Unknown),
            },
            Members::Path(path) => match self.value(path).and_then(Value::as_array) {
                None => Truth::Unknown,
                Some(items) => items
                    .iter()
                    .map(|item| self.order_value(value, item, equal))
                    .max()
                    .unwrap_or(Truth::False),
            },
        }
    }

    /// Equal texts have equal normal forms, so a text that is listed raw is listed in both readings.
    fn is_listed(&self, text: &'e str, literals: &[Literal]) -> Truth {
        let normal = self.normal(text);
        let (mut any_text, mut by_normal_form) = (false, false);
        for literal in literals {
            let Literal::Text(listed) = literal else { continue };
            if listed.raw == text {
                return Truth::True;
            }
            any_text = true;
            by_normal_form |= *listed.normal == *normal;
        }
        // Listed by its normal form alone means that the readings disagree; no text listed, that the type is wrong.
        if by_normal_form || !any_text { Truth::Unknown } else { Truth::False }
    }

    fn contains(&self, value: &'e Value, contained: &Contained) -> Truth {
        match (value, &contained.whole) {
            (Value::String(_), Literal::Text(_)) => contained
                .part
                .as_ref()
                .map_or(Truth::Unknown, |part| self.text(value, part, |text, part| text.contains(part))),
            (Value::Array(items), literal) => items
                .iter()
                .map(|item| self.order_literal(item, literal, std::cmp::Ordering::is_eq))
                .max()
                .unwrap_or(Truth::False),
            _ => Truth::Unknown,
        }
    }
}

fn same_type(value: &Value, literal: &Literal) -> bool {
    match literal {
        Literal::Text(_) => value.as_str().is_some(),
        Literal::Number(_) => value.as_number().is_some(),
        Literal::Bool(_) => value.as_bool().is_some(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "no list in memory has 2^53 elements")]
fn count(value: &Value) -> Option<f64> {
    match value {
        Value::Array(items) => Some(items.len() as f64),
        Value::Object(object) => Some(object.len() as f64),
        _ => None,
    }
}

/// The value below a chain of keys; `None` when missing or null.
fn below<'e>(value: &'e Value, keys: &[smol_str::SmolStr]) -> Option<&'e Value> {
    let mut current = value;
    for key in keys {
        current = current.get(key)?;
    }
    (!current.is_null()).then_some(current)
}
