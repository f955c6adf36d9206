//! Findings about policies that load and yet are likely mistakes.
//!
//! A lint changes no decision. It reports only what it can show: a rule is called unreachable when the condition
//! of an earlier one follows from its own, and silence is no proof that every rule is of use.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod bounds;
mod facts;
mod index;
mod types;
mod vocabulary;

use crate::diagnostic::{Diagnostic, Severity};
use crate::ir::{Rule, Unit, UnitKind};
use crate::source::{Position, SourceFile};
use crate::voice::Effect;
use facts::Facts;
use index::Index;
use placet_types::Field;

/// Most pairs of rules that one load compares; past that the rest is left unsaid, and a note says so.
const MAX_COMPARISONS: usize = 50_000;

/// One rule with its file and what follows from its condition.
pub(crate) struct Subjected<'r> {
    file: &'r SourceFile,
    rule: &'r Rule,
    facts: Facts<'r>,
}

/// Looks at the units of one tier.
#[must_use]
pub fn lint(units: &[(&SourceFile, &Unit)]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut budget = MAX_COMPARISONS;
    let mut rules_units = Vec::new();
    for (file, unit) in units {
        let rules = unit.rules.iter().map(|rule| Subjected { file, rule, facts: Facts::of(&rule.when) });
        match unit.kind {
            UnitKind::Rules => rules_units.extend(rules),
            UnitKind::Match { .. } => {
                let rules: Vec<Subjected<'_>> = rules.collect();
                unreachable(&rules, &mut budget, &mut found);
                rules.iter().filter_map(allows_everything).for_each(|finding| found.push(finding));
                rules.iter().for_each(|rule| single(rule, &mut found));
            }
        }
    }
    overlapping(&rules_units, &mut budget, &mut found);
    rules_units.iter().for_each(|rule| single(rule, &mut found));
    if let (0, Some((file, _))) = (budget, units.first()) {
        let message = format!(
            "the rules of this tier were compared {MAX_COMPARISONS} times; the rest was not compared"
        );
        found.push(Diagnostic::new(
            Severity::Note,
            "lint/too-many-rules",
            file,
            Position::default(),
            message,
        ));
    }
    found
}

/// Findings about one rule alone.
fn single(rule: &Subjected<'_>, found: &mut Vec<Diagnostic>) {
    let name = &rule.rule.reference.name;
    if let Some(why) = rule.facts.impossible() {
        let message = format!("the condition of the rule `{name}` can never be true: {why}");
        let help = if rule.rule.restricts() {
            "correct the condition; as it stands the rule fires only where a value is missing or of a wrong type"
        } else {
            "correct the condition; as it stands the rule never allows"
        };
        found.push(rule.warning("lint/impossible", message).with_help(help));
    }
    found.extend(vocabulary::unknown_words(rule));
    found.extend(types::wrong(rule));
    if rule.rule.effect == Effect::Allow {
        found.extend(bounds::one_sided(rule));
    }
}

/// Rules of a Match file that an earlier rule always stops.
fn unreachable(rules: &[Subjected<'_>], budget: &mut usize, found: &mut Vec<Diagnostic>) {
    let index = Index::new(rules);
    for (number, rule) in rules.iter().enumerate() {
        let stops = |other: &&Subjected<'_>| rule.facts.imply(&other.rule.when);
        if let Some(first) = index.candidates(rules, rule, budget, |other| other < number).find(stops) {
            let (name, line) = (&first.rule.reference.name, first.rule.reference.line);
            let message = format!(
                "the rule `{}` can never match: `{name}` on line {line} comes first and matches whenever it would",
                rule.rule.reference.name
            );
            let help = format!("move it above `{name}`, or narrow `{name}`");
            found.push(rule.warning("lint/unreachable", message).with_help(help));
        }
    }
}

/// A permitting Match rule that asks neither what is done, nor on what, nor by whom.
fn allows_everything(rule: &Subjected<'_>) -> Option<Diagnostic> {
    let asks = |field| [Field::Action, Field::Target, Field::AgentId, Field::ToolName].contains(&field);
    if rule.rule.effect != Effect::Allow || rule.rule.when.paths().iter().any(|path| asks(path.field)) {
        return None;
    }
    let name = &rule.rule.reference.name;
    let message = format!("the rule `{name}` allows whatever is done: its `match` asks for nothing");
    Some(rule.warning("lint/allow-everything", message).with_help("name a `type`, a `target` or an `agent`"))
}

/// Rules files: rules that never change a decision, since another says the same or something stronger.
fn overlapping(rules: &[Subjected<'_>], budget: &mut usize, found: &mut Vec<Diagnostic>) {
    let index = Index::new(rules);
    for (number, rule) in rules.iter().enumerate() {
        let covers = |other: &&Subjected<'_>| matters(rule, other) && rule.facts.imply(&other.rule.when);
        if let Some(other) = index.candidates(rules, rule, budget, |other| other != number).find(covers) {
            found.push(covered(rule, other));
        }
    }
}

/// Whether one rule loses its sense where the other always fires with it.
fn matters(rule: &Subjected<'_>, other: &Subjected<'_>) -> bool {
    let (rule, other) = (rule.rule, other.rule);
    if rule.effect == Effect::Allow && other.restricts() {
        return true;
    }
    if rule.effect != other.effect {
        return false;
    }
    let place = |rule: &Rule| (rule.reference.file.clone(), rule.reference.line);
    let adds = (!rule.reason.is_empty() && rule.reason != other.reason)
        || (rule.risk_tier.is_some() && rule.risk_tier > other.risk_tier)
        || rule.reviewers.iter().any(|group| !other.reviewers.contains(group));
    // Of two that say the same the later one is named, once.
    !adds && (place(rule) > place(other) || !Facts::of(&other.when).imply(&rule.when))
}

fn covered(rule: &Subjected<'_>, other: &Subjected<'_>) -> Diagnostic {
    let (name, by) = (&rule.rule.reference.name, &other.rule.reference.name);
    let place = if rule.rule.reference.file == other.rule.reference.file {
        format!("on line {}", other.rule.reference.line)
    } else {
        format!("at {}:{}", other.rule.reference.file, other.rule.reference.line)
    };
    if rule.rule.effect != other.rule.effect {
        let says = if other.rule.effect == Effect::Escalate { "asks for a person" } else { "denies" };
        let message = format!("the rule `{name}` never allows: `{by}` {place} {says} whenever it would");
        return rule
            .warning("lint/contradiction", message)
            .with_help(format!("remove one of the two, or add a condition to `{by}`"));
    }
    if other.facts.imply(&rule.rule.when) {
        let message = format!("the rule `{name}` says what `{by}` {place} says, under the same condition");
        return rule.warning("lint/duplicate", message).with_help("remove one of the two");
    }
    let message = format!("the rule `{name}` changes nothing: `{by}` {place} says the same in more cases");
    rule.warning("lint/shadowed", message)
        .with_help(format!("remove it, narrow `{by}`, or give it a reason of its own"))
}

impl Subjected<'_> {
    /// A warning at the rule.
    fn warning(&self, code: &'static str, message: String) -> Diagnostic {
        let line = self.rule.reference.line;
        let indent = self
            .file
            .line(line)
            .map_or(0, |text| text.chars().take_while(|c| c.is_whitespace() || *c == '-').count());
        let column = u32::try_from(indent).unwrap_or(0) + 1;
        Diagnostic::warning(code, self.file, Position::new(line, column), message)
    }
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod lint_tests;
