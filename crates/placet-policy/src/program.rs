//! Rules as an indexed program: the cost of an event follows the rules that can match it.
//!
//! A rule is filed under one test that must not be false for it to fire (a text equality, a membership, a
//! glob), on the field that tells most rules apart. Normal forms are the keys: equal texts have equal normal
//! forms, so no rule that could fire is missed. Globs are found by one Aho-Corasick automaton over the longest
//! literal of each.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::eval::Evaluation;
use crate::ir::{Expr, Literal, Members, Op, Operand, Path, Rule, Subject, Test};

/// Most fields that rules are filed under; each costs one look-up per event.
const MAX_INDEXED_FIELDS: usize = 16;

/// Rules with an index over them.
#[derive(Debug, Default)]
pub(crate) struct Program {
    rules: Vec<Rule>,
    /// Rules that no index helps with.
    always: Vec<u32>,
    indexes: Vec<FieldIndex>,
}

/// The rules filed under one field.
#[derive(Debug)]
struct FieldIndex {
    path: Path,
    exact: ahash::HashMap<SmolStr, Vec<u32>>,
    globs: Option<GlobIndex>,
    /// Those that fire when the field is missing or no text: their condition is then unknown.
    restricting: Vec<u32>,
}

#[derive(Debug)]
struct GlobIndex {
    /// `None` when there is no literal to look for.
    automaton: Option<AhoCorasick>,
    /// The rules behind each literal of the automaton.
    owners: Vec<Vec<u32>>,
    /// Rules whose globs have no literal to look for.
    unfiled: Vec<u32>,
}

/// One way to file a rule: the field and what must be met there.
struct Filing<'r> {
    path: &'r Path,
    keys: Keys<'r>,
}

enum Keys<'r> {
    Exact(Vec<&'r SmolStr>),
    Globs(Vec<&'r crate::glob::Glob>),
}

impl Program {
    /// Indexes the rules.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let fields = indexed_fields(&rules);
        let crowds = crowds(&rules, &fields);
        let mut drafts: Vec<Draft> = fields.iter().map(|path| Draft::new(path.clone())).collect();
        let mut always = Vec::new();
        for (number, rule) in (0_u32..).zip(&rules) {
            let filings = filings(&rule.when).into_iter().filter_map(|filing| {
                let draft = fields.iter().position(|path| path == filing.path)?;
                Some((filing.crowd(draft, &crowds), draft, filing))
            });
            match filings.min_by_key(|(crowd, ..)| *crowd) {
                Some((_, draft, filing)) => {
                    if let Some(draft) = drafts.get_mut(draft) {
                        draft.add(number, rule.restricts(), &filing.keys);
                    }
                }
                None => always.push(number),
            }
        }
        let indexes = drafts.into_iter().filter(|draft| draft.used).map(Draft::build).collect();
        Self { rules, always, indexes }
    }

    /// The rules, in file order.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that may fire on this event, in file order, each once.
    pub(crate) fn candidates<'p>(&'p self, evaluation: &Evaluation<'_>) -> impl Iterator<Item = &'p Rule> {
        let mut numbers: Numbers = SmallVec::from_slice(&self.always);
        for index in &self.indexes {
            index.find(evaluation, &mut numbers);
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.rules.get(number as usize))
    }
}

/// Rule numbers of one event.
type Numbers = SmallVec<[u32; 64]>;

impl FieldIndex {
    fn find(&self, evaluation: &Evaluation<'_>, numbers: &mut Numbers) {
        let Some(text) = evaluation.value(&self.path).and_then(|value| value.as_str()) else {
            numbers.extend_from_slice(&self.restricting);
            return;
        };
        let normal = evaluation.normal(text);
        if let Some(filed) = self.exact.get(&*normal) {
            numbers.extend_from_slice(filed);
        }
        if let Some(globs) = &self.globs {
            numbers.extend_from_slice(&globs.unfiled);
            globs.find(&normal, numbers);
            if *normal != *text {
                globs.find(text, numbers);
            }
        }
    }
}

impl GlobIndex {
    fn find(&self, text: &str, numbers: &mut Numbers) {
        let Some(automaton) = &self.automaton else { return };
        for found in automaton.find_overlapping_iter(text) {
            if let Some(owners) = self.owners.get(found.pattern().as_usize()) {
                numbers.extend_from_slice(owners);
            }
        }
    }
}

impl Filing<'_> {
    /// How many rules share the fullest of this filing's keys; globs count a little worse than equalities.
    fn crowd(&self, draft: usize, crowds: &HashMap<(usize, String), usize>) -> usize {
        let of = |key: String| crowds.get(&(draft, key)).copied().unwrap_or(usize::MAX);
        match &self.keys {
            Keys::Exact(keys) => keys.iter().map(|key| of(key.to_string())).max().unwrap_or(usize::MAX),
            Keys::Globs(globs) => {
                globs.iter().map(|glob| of(glob.required().1).saturating_add(1)).max().unwrap_or(usize::MAX)
            }
        }
    }
}

/// The fields that most rules could be filed under.
fn indexed_fields(rules: &[Rule]) -> Vec<Path> {
    let mut counts: HashMap<&Path, usize> = HashMap::new();
    for rule in rules {
        for filing in filings(&rule.when) {
            *counts.entry(filing.path).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(two.0)));
    counts.into_iter().take(MAX_INDEXED_FIELDS).map(|(path, _)| path.clone()).collect()
}

/// How many rules have a key, per field.
fn crowds(rules: &[Rule], fields: &[Path]) -> HashMap<(usize, String), usize> {
    let mut crowds = HashMap::new();
    for rule in rules {
        for filing in filings(&rule.when) {
            let Some(draft) = fields.iter().position(|path| path == filing.path) else { continue };
            let keys: Vec<String> = match &filing.keys {
                Keys::Exact(keys) => keys.iter().map(|key| key.to_string()).collect(),
                Keys::Globs(globs) => globs.iter().map(|glob| glob.required().1).collect(),
            };
            for key in keys {
                *crowds.entry((draft, key)).or_default() += 1;
            }
        }
    }
    crowds
}

/// The tests that must not be false for a rule to fire, as far as an index can use them.
fn filings(when: &Expr) -> Vec<Filing<'_>> {
    match when {
        Expr::All(parts) => parts.iter().flat_map(filings).collect(),
        Expr::Test(Test { subject: Subject::Path(path), op }) => {
            keys(op).map(|keys| Filing { path, keys }).into_iter().collect()
        }
        Expr::Any(parts) => any_of_globs(parts).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn keys(op: &Op) -> Option<Keys<'_>> {
    match op {
        Op::Eq(Operand::Literal(Literal::Text(text))) => Some(Keys::Exact(vec![&text.normal])),
        Op::In(Members::Literals(literals)) => {
            let texts = literals.iter().map(|literal| match literal {
                Literal::Text(text) => Some(&text.normal),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().map(Keys::Exact)
        }
        Op::Glob(glob) => Some(Keys::Globs(vec![glob])),
        _ => None,
    }
}

/// A list of globs on one field.
fn any_of_globs(parts: &[Expr]) -> Option<Filing<'_>> {
    let mut path = None;
    let mut globs = Vec::new();
    for part in parts {
        let Expr::Test(Test { subject: Subject::Path(here), op: Op::Glob(glob) }) = part else { return None };
        if path.is_some_and(|path| path != here) {
            return None;
        }
        path = Some(here);
        globs.push(&**glob);
    }
    path.map(|path| Filing { path, keys: Keys::Globs(globs) })
}

/// A field index while rules are being filed.
struct Draft {
    path: Path,
    used: bool,
    exact: ahash::HashMap<SmolStr, Vec<u32>>,
    literals: HashMap<String, Vec<u32>>,
    unfiled: Vec<u32>,
    restricting: Vec<u32>,
}

impl Draft {
    fn new(path: Path) -> Self {
        Self {
            path,
            used: false,
            exact: ahash::HashMap::default(),
            literals: HashMap::new(),
            unfiled: Vec::new(),
            restricting: Vec::new(),
        }
    }

    fn add(&mut self, number: u32, restricts: bool, keys: &Keys<'_>) {
        self.used = true;
        if restricts {
            self.restricting.push(number);
        }
        match keys {
            Keys::Exact(keys) => {
                keys.iter().for_each(|key| self.exact.entry((*key).clone()).or_default().push(number));
            }
            Keys::Globs(globs) => globs.iter().for_each(|glob| self.add_glob(number, glob)),
        }
    }

    fn add_glob(&mut self, number: u32, glob: &crate::glob::Glob) {
        let (raw, normal) = glob.required();
        if raw.is_empty() || normal.is_empty() {
            self.unfiled.push(number);
            return;
        }
        if raw != normal {
            self.literals.entry(raw).or_default().push(number);
        }
        self.literals.entry(normal).or_default().push(number);
    }

    fn build(mut self) -> FieldIndex {
        let mut literals: Vec<(String, Vec<u32>)> = self.literals.into_iter().collect();
        literals.sort();
        let (texts, mut owners): (Vec<String>, Vec<Vec<u32>>) = literals.into_iter().unzip();
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .ok();
        if automaton.is_none() {
            // Too many literals for the automaton's state ids: then every glob rule is tried on every event.
            self.unfiled.extend(owners.drain(..).flatten());
        }
        let used = !texts.is_empty() || !self.unfiled.is_empty();
        let globs = used.then_some(GlobIndex { automaton, owners, unfiled: self.unfiled });
        FieldIndex { path: self.path, exact: self.exact, globs, restricting: self.restricting }
    }
}
