//! Conditions as Rego: a true form and a false form each. Where neither holds, the condition is unknown.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use super::operators::symbol;
use super::text::{encoded, number};
use crate::ir::{Expr, Order, Path, Subject};

/// Expressions that must all hold; none holds always.
pub(super) type Lines = Vec<String>;

/// Where a condition stands: in the document, or at an element of a list (`e` is then its raw value, normal form
/// and unfolded form).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Document,
    Element,
}

/// How Rego refers to the three forms of one value.
#[derive(Clone)]
pub(super) struct Forms {
    pub(super) raw: String,
    pub(super) normal: String,
    pub(super) unfolded: String,
}

/// Writes the helper rules of one rule.
pub(super) struct Writer {
    /// What the names of the file begin with.
    pub(super) file: String,
    number: usize,
    helpers: Vec<String>,
    /// How many counts were written, for the names of their variables.
    counts: usize,
    /// The calls of the helpers written so far, by scope and bodies.
    calls: HashMap<(Scope, Vec<Lines>), String>,
    /// What could not be expressed.
    pub(super) refused: Vec<String>,
}

impl Writer {
    pub(super) fn new(file: &str, number: usize) -> Self {
        Self {
            file: file.to_owned(),
            number,
            helpers: Vec::new(),
            counts: 0,
            calls: HashMap::new(),
            refused: Vec::new(),
        }
    }

    /// The helper rules written so far, each a paragraph.
    pub(super) fn into_helpers(self) -> Vec<String> {
        self.helpers
    }

    /// The lines that hold where the condition is true, or where it is false.
    pub(super) fn lines(&mut self, expr: &Expr, scope: Scope, wanted: bool) -> Lines {
        match (expr, wanted) {
            (Expr::All(parts), true) | (Expr::Any(parts), false) => {
                parts.iter().flat_map(|part| self.lines(part, scope, wanted)).collect()
            }
            (Expr::All(parts), false) | (Expr::Any(parts), true) => {
                let bodies = parts.iter().map(|part| self.lines(part, scope, wanted)).collect();
                self.either(scope, bodies)
            }
            (Expr::Not(part), _) => self.lines(part, scope, !wanted),
            (Expr::Test(test), _) => self.test(test, scope, wanted),
            (Expr::Some(subject, part), true) => self.one_element(subject, part, scope, true),
            (Expr::Some(subject, part), false) => self.each_element(subject, part, scope, false),
            (Expr::Every(subject, part), false) => self.one_element(subject, part, scope, false),
            (Expr::Every(subject, part), true) => {
                let mut lines = self.each_element(subject, part, scope, true);
                lines.extend(forms(subject, scope).map(|forms| format!("count({}) > 0", forms.normal)));
                lines
            }
            (Expr::CountOf(subject, part, order, limit), _) => {
                self.count_of(subject, part, scope, (*order, *limit), wanted)
            }
        }
    }

    /// One line that holds where all of these do.
    pub(super) fn one_line(&mut self, scope: Scope, mut lines: Lines) -> String {
        match (lines.pop(), lines.is_empty()) {
            (None, _) => "true".to_owned(),
            (Some(only), true) if is_plain(&only) => only,
            (Some(last), _) => {
                lines.push(last);
                self.helper(scope, vec![lines])
            }
        }
    }

    /// Lines that hold where one of the bodies does.
    pub(super) fn either(&mut self, scope: Scope, mut bodies: Vec<Lines>) -> Lines {
        match bodies.len() {
            0 => vec!["false".to_owned()],
            1 => bodies.pop().unwrap_or_default(),
            _ => vec![self.helper(scope, bodies)],
        }
    }

    /// A helper rule with one body for each alternative; returns the call.
    pub(super) fn helper(&mut self, scope: Scope, bodies: Vec<Lines>) -> String {
        let key = (scope, bodies);
        if let Some(call) = self.calls.get(&key) {
            return call.clone();
        }
        let name = format!("{}_{}_{}", self.file, self.number, self.calls.len());
        let call = if scope == Scope::Element { format!("{name}(e)") } else { name };
        self.helpers.extend(key.1.iter().map(|body| format!("{call} if {}", block(body))));
        self.calls.insert(key, call.clone());
        call
    }

    fn one_element(&mut self, subject: &Subject, part: &Expr, scope: Scope, wanted: bool) -> Lines {
        let lines = self.lines(part, Scope::Element, wanted);
        self.some_element(subject, scope, lines)
    }

    fn each_element(&mut self, subject: &Subject, part: &Expr, scope: Scope, wanted: bool) -> Lines {
        let lines = self.lines(part, Scope::Element, wanted);
        self.every_element(subject, scope, lines)
    }

    /// The subject is a list, and the lines hold for one of its elements.
    pub(super) fn some_element(&mut self, subject: &Subject, scope: Scope, lines: Lines) -> Lines {
        let Some(list) = forms(subject, scope) else { return vec!["false".to_owned()] };
        let call = self.at_element(&list, lines);
        let body = vec![format!("is_array({})", list.normal), format!("some i, _ in {}", list.normal), call];
        vec![self.helper(scope, vec![body])]
    }

    /// The subject is a list, and the lines hold for all of its elements.
    pub(super) fn every_element(&mut self, subject: &Subject, scope: Scope, lines: Lines) -> Lines {
        let Some(list) = forms(subject, scope) else { return vec!["false".to_owned()] };
        let call = self.at_element(&list, lines);
        vec![format!("is_array({})", list.normal), format!("every i, _ in {} {{ {call} }}", list.normal)]
    }

    /// The fewest elements that may count must pass a lower limit, the most that may count must keep an upper one.
    fn count_of(
        &mut self,
        subject: &Subject,
        part: &Expr,
        scope: Scope,
        (order, limit): (Order, f64),
        wanted: bool,
    ) -> Lines {
        let Some(list) = forms(subject, scope) else { return vec!["false".to_owned()] };
        let fewest = order.is_lower_bound() == wanted;
        let lines = self.lines(part, Scope::Element, fewest);
        // Local names keep the expressions flat: interpreters bound how deep rules and expressions nest.
        self.counts += 1;
        let [raw, normal, unfolded, counted] =
            ["r", "n", "u", "c"].map(|letter| format!("{letter}{}", self.counts));
        let forms = [(&raw, &list.raw), (&normal, &list.normal), (&unfolded, &list.unfolded)];
        let mut body: Lines = forms.iter().map(|(name, form)| format!("{name} := {form}")).collect();
        let call = self.at_element(&Forms { raw, normal: normal.clone(), unfolded }, lines);
        body.push(format!("is_array({normal})"));
        body.push(format!("{counted} := [i | some i, _ in {normal}; {call}]"));
        let (symbol, number) = (symbol(order, wanted), number(limit));
        body.push(match fewest {
            true => format!("count({counted}) {symbol} {number}"),
            false => format!("count({normal}) - count({counted}) {symbol} {number}"),
        });
        body
    }

    fn at_element(&mut self, list: &Forms, lines: Lines) -> String {
        let call = match lines.as_slice() {
            [only] if is_helper_of_element(only) => only.clone(),
            _ => self.helper(Scope::Element, vec![lines]),
        };
        let name = call.strip_suffix("(e)").unwrap_or(&call);
        format!("{name}([{}[i], {}[i], {}[i]])", list.raw, list.normal, list.unfolded)
    }
}

/// Whether `not` may stand before the line: only before a bare helper. OPA computes the arguments of a call before
/// it negates the call, so that an undefined argument would make the negation fail where it must hold.
fn is_plain(line: &str) -> bool {
    is_name(line) || is_helper_of_element(line)
}

fn is_helper_of_element(line: &str) -> bool {
    line.strip_suffix("(e)").is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A rule body.
pub(super) fn block(lines: &[String]) -> String {
    let mut out = String::from("{\n");
    if lines.is_empty() {
        out.push_str("\ttrue\n");
    }
    for line in lines {
        out.push('\t');
        out.push_str(line);
        out.push('\n');
    }
    out.push('}');
    out
}

/// How Rego refers to a subject; `None` for an element where there is none.
pub(super) fn forms(subject: &Subject, scope: Scope) -> Option<Forms> {
    match subject {
        Subject::Path(path) => Some(path_forms(path)),
        Subject::Element(_) if scope == Scope::Document => None,
        Subject::Element(keys) => {
            let below = below(keys);
            Some(Forms {
                raw: format!("e[0]{below}"),
                normal: format!("e[1]{below}"),
                unfolded: format!("e[2]{below}"),
            })
        }
    }
}

pub(super) fn path_forms(path: &Path) -> Forms {
    let below = format!("{}{}", path.field.path(), below(&path.keys));
    Forms {
        raw: format!("input.{below}"),
        normal: format!("input.norm.{below}"),
        unfolded: format!("input.norm.unfolded.{below}"),
    }
}

fn below(keys: &[smol_str::SmolStr]) -> String {
    keys.iter().map(|key| format!("[{}]", encoded(key))).collect()
}
