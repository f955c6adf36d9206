//! Which rules could follow from a rule, found without comparing every pair.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use super::Subjected;
use super::facts::texts;
use crate::ir::{Expr, Op, Path, Subject, Test};

/// Rules under one text that every rule they follow from must name: for an equality or a membership each text, for
/// a glob the characters before its first wildcard.
#[derive(Default)]
pub(super) struct Index<'r> {
    exact: HashMap<(&'r Path, &'r str), Vec<usize>>,
    prefixes: HashMap<(&'r Path, &'r str), Vec<usize>>,
    others: Vec<usize>,
}

impl<'r> Index<'r> {
    pub(super) fn add(&mut self, number: usize, rule: &Subjected<'r>) {
        let exact = tests(rule).find_map(|(path, op)| Some((path, texts(op)?)));
        if let Some((path, texts)) = exact {
            for text in texts {
                self.exact.entry((path, text.raw.as_str())).or_default().push(number);
            }
            return;
        }
        let glob = tests(rule).find_map(|(path, op)| match op {
            Op::Glob(glob) => Some((path, prefix(&glob.pattern))),
            _ => None,
        });
        match glob {
            Some(key) => self.prefixes.entry(key).or_default().push(number),
            None => self.others.push(number),
        }
    }

    /// The rules that the rule may imply, in order, as long as the budget lasts.
    pub(super) fn candidates<'a, 's>(
        &self,
        rules: &'a [Subjected<'s>],
        rule: &Subjected<'r>,
        budget: &mut usize,
    ) -> impl Iterator<Item = &'a Subjected<'s>> {
        let mut numbers = self.others.clone();
        for (path, op) in alternatives(rule) {
            let texts = texts(op);
            let named = match (&texts, op) {
                (Some(texts), _) => texts.first().map(|text| text.raw.as_str()),
                (None, Op::Glob(glob)) => Some(prefix(&glob.pattern)),
                _ => None,
            };
            let Some(named) = named else { continue };
            if texts.is_some() {
                numbers.extend(self.exact.get(&(path, named)).into_iter().flatten());
            }
            let ends = named.char_indices().map(|(at, _)| at).chain([named.len()]);
            for prefix in ends.filter_map(|end| named.get(..end)) {
                numbers.extend(self.prefixes.get(&(path, prefix)).into_iter().flatten());
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.truncate(*budget);
        *budget -= numbers.len();
        numbers.into_iter().filter_map(|number| rules.get(number))
    }
}

/// The tests of a rule that stand for themselves.
fn tests<'r>(rule: &Subjected<'r>) -> impl Iterator<Item = (&'r Path, &'r Op)> {
    rule.facts.atoms.iter().filter_map(|atom| path_test(atom))
}

/// The same, and the first of each list of alternatives: what follows from all follows from it.
fn alternatives<'r>(rule: &Subjected<'r>) -> impl Iterator<Item = (&'r Path, &'r Op)> {
    rule.facts.atoms.iter().filter_map(|atom| match atom {
        Expr::Any(parts) => parts.first().and_then(path_test),
        other => path_test(other),
    })
}

fn path_test(expr: &Expr) -> Option<(&Path, &Op)> {
    match expr {
        Expr::Test(Test { subject: Subject::Path(path), op }) => Some((path, op)),
        _ => None,
    }
}

fn prefix(pattern: &str) -> &str {
    pattern.split(['*', '?', '[']).next().unwrap_or_default()
}
