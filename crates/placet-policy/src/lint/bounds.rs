//! Permitting rules that bound a number on one side only.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Field;

use super::Subjected;
use super::facts::{Facts, describe};
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, Subject};

/// A finding for each argument that a permitting rule bounds on one side: `amount: {lte: 100}` also allows -5000.
pub(super) fn one_sided(rule: &Subjected<'_>) -> Vec<Diagnostic> {
    let mut found: Vec<(String, bool)> = Vec::new();
    look(&rule.facts, &mut found);
    let name = &rule.rule.reference.name;
    let finding = |(subject, has_upper): (String, bool)| {
        let (side, operators) =
            if has_upper { ("below", "`gte` or `gt`") } else { ("above", "`lte` or `lt`") };
        let message = format!("the rule `{name}` allows `{subject}` without a limit {side}");
        rule.warning("lint/one-sided-bound", message)
            .with_help(format!("add {operators}, so that only the numbers you mean are allowed"))
    };
    found.into_iter().map(finding).collect()
}

fn look(facts: &Facts<'_>, found: &mut Vec<(String, bool)>) {
    for subject in facts.atoms.iter().filter_map(|atom| compared(atom)) {
        let range = facts.range(subject);
        if range.lower.is_some() != range.upper.is_some() {
            let finding = (describe(subject), range.upper.is_some());
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    for atom in &facts.atoms {
        let Expr::Any(parts) = atom else { continue };
        for part in parts {
            // What holds beside the alternatives holds in each of them.
            let mut branch = Facts::of(part);
            branch.atoms.extend(facts.atoms.iter().filter(|atom| !matches!(atom, Expr::Any(_))));
            look(&branch, found);
        }
    }
}

/// The argument that a condition compares; only arguments come from the agent.
fn compared(atom: &Expr) -> Option<&Subject> {
    let test = match atom {
        Expr::Test(test) => test,
        Expr::Not(inner) => match &**inner {
            Expr::Test(test) => test,
            _ => return None,
        },
        _ => return None,
    };
    match &test.subject {
        subject @ Subject::Path(path) if path.field == Field::Args => Some(subject),
        _ => None,
    }
}
