//! Which rules could follow from a rule, found without comparing every pair.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use aho_corasick::AhoCorasick;

use super::Subjected;
use super::facts::texts;
use crate::glob::Glob;
use crate::ir::{Expr, Op, Path, Subject, Test};

/// Rules under a text that every rule they follow from must name: for an equality or a membership each text, for a
/// glob its longest literal.
pub(super) struct Index<'r> {
    exact: HashMap<(&'r Path, &'r str), Vec<usize>>,
    /// `None` when no rule is filed under a glob.
    literals: Option<AhoCorasick>,
    /// The paths and rules behind each literal.
    globs: Vec<Vec<(&'r Path, usize)>>,
    others: Vec<usize>,
}

impl<'r> Index<'r> {
    pub(super) fn new(rules: &[Subjected<'r>]) -> Self {
        let mut exact: HashMap<(&'r Path, &'r str), Vec<usize>> = HashMap::new();
        let mut globs: HashMap<String, Vec<(&'r Path, usize)>> = HashMap::new();
        let mut others = Vec::new();
        for (number, rule) in rules.iter().enumerate() {
            if let Some((path, texts)) = tests(rule).find_map(|(path, op)| Some((path, texts(op)?))) {
                for text in texts {
                    exact.entry((path, text.raw.as_str())).or_default().push(number);
                }
            } else if let Some((path, literal)) = tests(rule).find_map(literal_of_glob) {
                globs.entry(literal).or_default().push((path, number));
            } else {
                others.push(number);
            }
        }
        let (literals, globs): (Vec<String>, Vec<_>) = globs.into_iter().unzip();
        let automaton = AhoCorasick::new(&literals).ok().filter(|_| !literals.is_empty());
        if automaton.is_none() {
            // Too many literals for the automaton: these rules are then compared with all.
            others.extend(globs.iter().flatten().map(|(_, number)| *number));
        }
        Self { exact, literals: automaton, globs, others }
    }

    /// The rules that the rule may imply and that `wanted` asks for, in order, as long as the budget lasts.
    pub(super) fn candidates<'a, 's>(
        &self,
        rules: &'a [Subjected<'s>],
        rule: &Subjected<'r>,
        budget: &mut usize,
        wanted: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = &'a Subjected<'s>> {
        let mut numbers = Vec::new();
        if *budget > 0 {
            numbers.extend_from_slice(&self.others);
            self.filed(rule, &mut numbers);
        }
        numbers.retain(|number| wanted(*number));
        numbers.sort_unstable();
        numbers.dedup();
        numbers.truncate(*budget);
        *budget -= numbers.len();
        numbers.into_iter().filter_map(|number| rules.get(number))
    }

    fn filed(&self, rule: &Subjected<'r>, numbers: &mut Vec<usize>) {
        for (path, op) in alternatives(rule) {
            let texts = texts(op);
            let named = match (&texts, op) {
                (Some(texts), _) => texts.first().map(|text| text.raw.as_str()),
                (None, Op::Glob(glob)) => Some(glob.pattern.as_str()),
                _ => None,
            };
            let Some(named) = named else { continue };
            if texts.is_some() {
                numbers.extend(self.exact.get(&(path, named)).into_iter().flatten());
            }
            let found = self.literals.iter().flat_map(|literals| literals.find_overlapping_iter(named));
            let owners = found.filter_map(|found| self.globs.get(found.pattern().as_usize())).flatten();
            numbers.extend(owners.filter(|(of, _)| *of == path).map(|(_, number)| *number));
        }
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

fn literal_of_glob<'r>((path, op): (&'r Path, &'r Op)) -> Option<(&'r Path, String)> {
    let Op::Glob(glob) = op else { return None };
    let (raw, _) = Glob::required(glob);
    (!raw.is_empty()).then_some((path, raw))
}
