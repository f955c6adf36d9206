//! Fields that hold one of a few known words.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Field;

use super::Subjected;
use super::facts::texts;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, Subject};

const EVENT_TYPES: &[&str] =
    &["tool_call", "agent.spawn", "agent.delegate", "agent.plan", "agent.budget", "data.access"];
const TRANSPORTS: &[&str] = &["local", "mcp", "http"];

/// A finding for each word that a field never holds.
pub(super) fn unknown_words(rule: &Subjected<'_>) -> Vec<Diagnostic> {
    let mut compared = Vec::new();
    collect(&rule.rule.when, &mut compared);
    let name = &rule.rule.reference.name;
    let finding = |(field, word): &(Field, &str)| {
        let known = if *field == Field::EventType { EVENT_TYPES } else { TRANSPORTS };
        let message =
            format!("the rule `{name}` compares `{}` with `{word}`, which no event holds", field.path());
        let near = known.iter().min_by_key(|known| strsim::damerau_levenshtein(word, known));
        let near = near.filter(|near| strsim::damerau_levenshtein(word, near) <= 3);
        let help = near
            .map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        rule.warning("lint/unknown-word", message).with_help(help)
    };
    compared.iter().map(finding).collect()
}

fn collect<'r>(expr: &'r Expr, found: &mut Vec<(Field, &'r str)>) {
    match expr {
        Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| collect(part, found)),
        Expr::Not(part) => collect(part, found),
        Expr::Some(..) | Expr::Every(..) | Expr::CountOf(..) => {}
        Expr::Test(test) => {
            let Subject::Path(path) = &test.subject else { return };
            let known = match path.field {
                Field::EventType => EVENT_TYPES,
                Field::Transport => TRANSPORTS,
                _ => return,
            };
            let words = texts(&test.op).unwrap_or_default();
            let unknown =
                words.into_iter().map(|text| text.raw.as_str()).filter(|word| !known.contains(word));
            found.extend(unknown.map(|word| (path.field, word)));
        }
    }
}
