//! The two YAML dialects, read strictly and lowered to the intermediate form.
//!
//! A mapping with `rules` whose entries have `when`/`then` is the *Rules* dialect, with `match`/`approval` the
//! *Match* dialect. One file holds one dialect.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod conditions;
mod fields;
mod literal;
mod match_dialect;
pub(crate) mod reader;
mod rules_dialect;
pub(crate) mod schema;
pub(crate) mod vocabulary;

use crate::diagnostic::{Diagnostic, Severity};
use crate::ir::Unit;
use crate::source::{Position, SourceFile};
use crate::yaml::{self, Kind, Node};
use reader::Reader;

/// Reads one YAML policy file. Everything wrong is added to `found`; a unit comes back only without errors.
pub(crate) fn load(file: &SourceFile, found: &mut Vec<Diagnostic>) -> Option<Unit> {
    let errors_before = errors(found);
    let root = yaml::parse(file, found);
    let mut reader = Reader::new(file, found);
    let unit = match root {
        None if reader.found_any_error(errors_before) => None,
        None => {
            reader
                .error("policy/empty", Position::new(1, 1), "the policy file is empty")
                .help("write `version: 1` and `rules:`");
            None
        }
        Some(root) => dialect(&root, &mut reader),
    };
    // A word that is refused where it stands needs no second finding about its type.
    let here = |found: &&Diagnostic| found.file == file.path && found.severity == Severity::Error;
    let refused: Vec<Position> = found.iter().filter(here).map(|found| found.position).collect();
    found.retain(|found| {
        found.code != "lint/yaml-boolean" || found.file != file.path || !refused.contains(&found.position)
    });
    unit.filter(|_| errors(found) == errors_before)
}

pub(crate) fn errors(found: &[Diagnostic]) -> usize {
    found.iter().filter(|found| found.severity == Severity::Error).count()
}

fn dialect(root: &Node, reader: &mut Reader<'_>) -> Option<Unit> {
    let Kind::Map(entries) = &root.kind else {
        let message =
            format!("a policy file is a mapping with `version` and `rules`, but this is {}", root.describe());
        reader.error("policy/type", root.position, message);
        return None;
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
    let rule_keys =
        entries.iter().filter(|(key, _)| key.text == "rules").flat_map(|(_, rules)| match &rules.kind {
            Kind::List(rules) => rules.iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        });
    let mut score = 0_i32;
    for rule in rule_keys {
        let Kind::Map(keys) = &rule.kind else { continue };
        for (key, _) in keys {
            score += match key.text.as_str() {
                telling if match_dialect::TELLING_KEYS.contains(&telling) => 1,
                "when" | "then" | "risk_tier" | "reviewers" => -1,
                _ => 0,
            };
        }
    }
    if has("defaults") || has("plan_rules") || score > 0 {
        match_dialect::read(root, reader)
    } else {
        rules_dialect::read(root, reader)
    }
}
