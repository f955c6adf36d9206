//! Tests of one value as Rego.
//!
//! A form is true only where the type fits. That a text, list or object is one is asked of its normal form, which
//! is null for everything else, so that typed unknown values pass for nothing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::condition::{Forms, Lines, Scope, Writer, forms, path_forms};
use super::pattern;
use super::text::{encoded, number, plain, set};
use crate::clock::TimeWindow;
use crate::glob::{self, Glob};
use crate::ir::{Contained, Literal, Members, Op, Operand, Order, Subject, Test, Text};

impl Writer {
    /// The lines that hold where the test is true, or where it is false.
    pub(super) fn test(&mut self, test: &Test, scope: Scope, wanted: bool) -> Lines {
        let Some(value) = forms(&test.subject, scope) else { return vec!["false".to_owned()] };
        match &test.op {
            Op::Order(order, operand) => self.compare(&value, symbol(*order, wanted), operand, scope),
            Op::Eq(Operand::Path(path)) => {
                let other = path_forms(path);
                vec![self.call("same", wanted, &[&value.raw, &value.normal, &other.raw, &other.normal])]
            }
            Op::Eq(operand) => self.compare(&value, if wanted { "==" } else { "!=" }, operand, scope),
            Op::In(members) => self.member(&value, members, scope, wanted),
            Op::Contains(contained) => vec![self.contains(&value, contained, wanted)],
            Op::StartsWith(part) => parts(&value, part, "startswith", wanted),
            Op::EndsWith(part) => parts(&value, part, "endswith", wanted),
            Op::Glob(glob) => both(
                &value,
                &glob_line(glob, &value.raw, true),
                &glob_line(glob, &value.normal, false),
                wanted,
            ),
            Op::Matches(regex) => self.matches(&value, regex.as_str(), wanted),
            Op::Exists(present) => self.exists(&value, &test.subject, scope, *present == wanted),
            Op::SubsetOf(members) => self.subset(&test.subject, members, scope, wanted),
            Op::Count(order, limit) => {
                let count = format!("{}_count({}, {})", self.file, value.raw, value.normal);
                vec![format!("{count} {} {}", symbol(*order, wanted), number(*limit))]
            }
            Op::Time(window) => self.window(window, wanted),
        }
    }

    fn compare(&mut self, value: &Forms, symbol: &str, operand: &Operand, scope: Scope) -> Lines {
        let Forms { raw, normal, .. } = value;
        match operand {
            Operand::Literal(Literal::Text(text)) => {
                let mut lines = vec![
                    format!("{raw} {symbol} {}", encoded(&text.raw)),
                    format!("{normal} {symbol} {}", encoded(&text.normal)),
                ];
                if symbol != "==" {
                    lines.insert(0, format!("is_string({normal})"));
                }
                lines
            }
            Operand::Literal(Literal::Number(limit)) => {
                vec![format!("is_number({raw})"), format!("{raw} {symbol} {}", number(*limit))]
            }
            Operand::Literal(Literal::Bool(flag)) if matches!(symbol, "==" | "!=") => {
                vec![format!("is_boolean({raw})"), format!("{raw} {symbol} {flag}")]
            }
            // Booleans have no order.
            Operand::Literal(Literal::Bool(_)) => vec!["false".to_owned()],
            Operand::Path(path) => {
                let other = path_forms(path);
                let texts = vec![
                    format!("is_string({normal})"),
                    format!("is_string({})", other.normal),
                    format!("{raw} {symbol} {}", other.raw),
                    format!("{normal} {symbol} {}", other.normal),
                ];
                let numbers = vec![
                    format!("is_number({raw})"),
                    format!("is_number({})", other.raw),
                    format!("{raw} {symbol} {}", other.raw),
                ];
                self.either(scope, vec![texts, numbers])
            }
        }
    }

    /// Members of another type than the value say nothing as long as one of its type is listed.
    fn member(&mut self, value: &Forms, members: &Members, scope: Scope, wanted: bool) -> Lines {
        let Forms { raw, normal, .. } = value;
        let literals = match members {
            Members::Literals(literals) => literals,
            Members::Path(path) => {
                let list = path_forms(path);
                return vec![self.call("among", wanted, &[raw, normal, &list.raw, &list.normal])];
            }
        };
        let texts: Vec<&Text> = literals
            .iter()
            .filter_map(|literal| match literal {
                Literal::Text(text) => Some(text),
                _ => None,
            })
            .collect();
        let mut bodies = Vec::new();
        if !texts.is_empty() && wanted {
            let pairs =
                texts.iter().map(|text| format!("[{}, {}]", encoded(&text.raw), encoded(&text.normal)));
            let pairs: Vec<String> = pairs.collect();
            bodies.push(vec![format!("[{raw}, {normal}] in {{{}}}", pairs.join(", "))]);
        } else if !texts.is_empty() {
            bodies.push(vec![
                format!("is_string({normal})"),
                format!("not {raw} in {}", set(texts.iter().map(|text| text.raw.as_str()))),
                format!("not {normal} in {}", set(texts.iter().map(|text| text.normal.as_str()))),
            ]);
        }
        for (kind, is_kind) in [("is_number", is_number as fn(&Literal) -> bool), ("is_boolean", is_bool)] {
            let listed: Vec<String> =
                literals.iter().filter(|literal| is_kind(literal)).filter_map(plain).collect();
            if !listed.is_empty() {
                let not = if wanted { "" } else { "not " };
                bodies.push(vec![format!("{kind}({raw})"), format!("{not}{raw} in [{}]", listed.join(", "))]);
            }
        }
        self.either(scope, bodies)
    }

    fn matches(&mut self, value: &Forms, pattern: &str, wanted: bool) -> Lines {
        match pattern::for_re2(pattern) {
            Ok(printed) => {
                // Only `\b` needs two spellings: it is ASCII in RE2, and Unicode in the engine of other interpreters.
                let argument = match printed.other {
                    None => encoded(&printed.re2),
                    Some(other) => {
                        format!("{}_pattern({}, {})", self.file, encoded(&printed.re2), encoded(&other))
                    }
                };
                let line = |text: &str| format!("regex.match({argument}, {text})");
                both(value, &line(&value.raw), &line(&value.unfolded), wanted)
            }
            Err(why) => {
                self.refused.push(format!("`{pattern}` cannot be exported: {why}"));
                vec!["false".to_owned()]
            }
        }
    }

    /// A call of one of the two-formed functions of the file.
    fn call(&self, name: &str, wanted: bool, arguments: &[&str]) -> String {
        format!("{}_{name}_{}({})", self.file, if wanted { "t" } else { "f" }, arguments.join(", "))
    }

    fn contains(&self, value: &Forms, contained: &Contained, wanted: bool) -> String {
        let Forms { raw, normal, .. } = value;
        match (&contained.whole, &contained.part) {
            (Literal::Text(whole), Some(part)) => {
                let texts = [&whole.raw, &part.normal, &whole.normal].map(|text| encoded(text));
                self.call("contains", wanted, &[raw, normal, &texts[0], &texts[1], &texts[2]])
            }
            (other, _) => self.call("holds", wanted, &[raw, &plain(other).unwrap_or_default()]),
        }
    }

    fn exists(&mut self, value: &Forms, subject: &Subject, scope: Scope, wanted: bool) -> Lines {
        let keys = match subject {
            Subject::Path(path) => &path.keys,
            Subject::Element(keys) => keys,
        };
        let mut lines = vec![format!("{} != null", value.raw)];
        // A typed unknown value stands in the document as an object with this key; it has no keys to ask for.
        if keys.iter().any(|key| key == UNKNOWN_KEY) {
            lines.push(format!("{} == {}", value.normal, value.normal));
        }
        if wanted {
            return lines;
        }
        let line = self.one_line(scope, lines);
        vec![format!("not {line}")]
    }

    fn subset(&mut self, subject: &Subject, members: &Members, scope: Scope, wanted: bool) -> Lines {
        let element =
            Forms { raw: "e[0]".to_owned(), normal: "e[1]".to_owned(), unfolded: "e[2]".to_owned() };
        let lines = self.member(&element, members, Scope::Element, wanted);
        if wanted {
            self.every_element(subject, scope, lines)
        } else {
            self.some_element(subject, scope, lines)
        }
    }

    fn window(&mut self, window: &TimeWindow, wanted: bool) -> Lines {
        let local = format!("{}_local({})", self.file, encoded(window.zone.iana_name().unwrap_or("UTC")));
        let minute = |time: jiff::civil::Time| i32::from(time.hour()) * 60 + i32::from(time.minute());
        let after = window.after.map(|time| format!("{local}.minute >= {}", minute(time)));
        let before = window.before.map(|time| format!("{local}.minute < {}", minute(time)));
        let mut bodies = match (window.after, window.before) {
            (Some(from), Some(until)) if from > until => {
                after.into_iter().chain(before).map(|line| vec![line]).collect()
            }
            _ => vec![after.into_iter().chain(before).collect::<Lines>()],
        };
        if !window.weekdays.is_empty() {
            let days = set(window.weekdays.iter().filter_map(|day| weekday(*day)));
            bodies.iter_mut().for_each(|body| body.push(format!("{local}.day in {days}")));
        }
        let inside = self.helper(Scope::Document, bodies);
        if wanted {
            vec![format!("is_object({local})"), inside]
        } else {
            vec![format!("is_object({local})"), format!("not {inside}")]
        }
    }
}

/// The key under which a typed unknown value stands in the document.
const UNKNOWN_KEY: &str = "$unknown";

fn is_number(literal: &Literal) -> bool {
    matches!(literal, Literal::Number(_))
}

fn is_bool(literal: &Literal) -> bool {
    matches!(literal, Literal::Bool(_))
}

/// The comparison, or its opposite.
pub(super) fn symbol(order: Order, wanted: bool) -> &'static str {
    match (order, wanted) {
        (Order::Gt, true) | (Order::Lte, false) => ">",
        (Order::Gte, true) | (Order::Lt, false) => ">=",
        (Order::Lt, true) | (Order::Gte, false) => "<",
        (Order::Lte, true) | (Order::Gt, false) => "<=",
    }
}

fn parts(value: &Forms, part: &Text, function: &str, wanted: bool) -> Lines {
    let line = |text: &str, part: &str| format!("{function}({text}, {})", encoded(part));
    both(value, &line(&value.raw, &part.raw), &line(&value.normal, &part.normal), wanted)
}

/// Both readings of a text hold, or neither.
fn both(value: &Forms, raw: &str, other: &str, wanted: bool) -> Lines {
    let not = if wanted { "" } else { "not " };
    vec![format!("is_string({})", value.normal), format!("{not}{raw}"), format!("{not}{other}")]
}

/// A glob without brackets and with stars at its ends only needs no regular expression.
fn glob_line(glob: &Glob, text: &str, raw: bool) -> String {
    let pattern = if raw { &glob.pattern } else { &glob.normal };
    let starred = (pattern.starts_with('*'), pattern.ends_with('*'));
    let inner = pattern.trim_matches('*');
    if inner.is_empty() && !pattern.is_empty() {
        return "true".to_owned();
    }
    if inner.contains(['*', '?', '[']) {
        // A glob that was loaded has a regular expression.
        let regex = glob::to_regex(pattern).unwrap_or_default();
        return format!("regex.match({}, {text})", encoded(&regex));
    }
    match starred {
        (false, false) => format!("{text} == {}", encoded(inner)),
        (false, true) => format!("startswith({text}, {})", encoded(inner)),
        (true, false) => format!("endswith({text}, {})", encoded(inner)),
        (true, true) => format!("contains({text}, {})", encoded(inner)),
    }
}

fn weekday(day: i8) -> Option<&'static str> {
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    names.get(usize::try_from(day).ok()?.checked_sub(1)?).copied()
}
