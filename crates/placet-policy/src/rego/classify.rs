//! Which files are units, which are libraries, and which files each unit needs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use super::decision::is_decision;
use super::model::UnitKind;
use super::names::{Names, overlaps};
use super::parse::{Parsed, position, rule_name};
use crate::{Diagnostic, Position};

/// The roots below which packages are read.
const ROOTS: [&str; 2] = ["placet", "kitelogik"];

/// Per-event packages and the event type each is read for.
const PER_EVENT: [(&str, &str); 6] = [
    ("tool_call", "tool_call"),
    ("agent_spawn", "agent.spawn"),
    ("agent_delegate", "agent.delegate"),
    ("agent_plan", "agent.plan"),
    ("agent_resource", "agent.budget"),
    ("data_access", "data.access"),
];

/// The event type that a per-event package is read for.
pub(super) fn event_type(package: &[String]) -> Option<&'static str> {
    match package {
        [root, event] if ROOTS.contains(&root.as_str()) => {
            PER_EVENT.iter().find(|(name, _)| name == event).map(|(_, event_type)| *event_type)
        }
        _ => None,
    }
}

/// What the files of a load are.
pub(super) struct Classes {
    /// One per file.
    pub(super) kinds: Vec<UnitKind>,
    /// The packages that are aggregate units, with the indexes of their files.
    pub(super) aggregates: Vec<(Vec<String>, Vec<usize>)>,
    /// For each file the files it refers to, itself included, transitively.
    pub(super) needs: Vec<BTreeSet<usize>>,
}

/// Sorts the files of a load.
pub(super) fn classify(files: &[Parsed], names: &Names, into: &mut Vec<Diagnostic>) -> Classes {
    let per_event: Vec<bool> = files
        .iter()
        .map(|file| event_type(&file.package).is_some() && defines(file, &["decision"]))
        .collect();
    let references: Vec<BTreeSet<Vec<String>>> = files.iter().map(|file| references(file, names)).collect();
    let needs =
        (0..files.len()).map(|start| closure(start, files, &references, &per_event)).collect::<Vec<_>>();
    let by_main: BTreeSet<usize> = files
        .iter()
        .zip(&needs)
        .filter(|(file, _)| is_main(file))
        .flat_map(|(_, needs)| needs.iter().copied())
        .collect();
    let mut aggregates: Vec<(Vec<String>, Vec<usize>)> = Vec::new();
    let packages: BTreeSet<&Vec<String>> = files.iter().map(|file| &file.package).collect();
    for package in packages {
        let members: Vec<usize> =
            indexes(files, |index, file| file.package == *package && !per_event_at(&per_event, index));
        let shared =
            files.iter().zip(&per_event).any(|(file, per_event)| *per_event && file.package == *package);
        let flagged = members.iter().filter_map(|index| files.get(*index)).any(|file| defines(file, &FLAGS));
        let main = members.iter().filter_map(|index| files.get(*index)).any(is_main);
        let imported = members.iter().any(|index| by_main.contains(index)) && !main;
        if under_root(package) && flagged && !imported && !shared {
            aggregates.push((package.clone(), members));
        }
    }
    let kinds = (0..files.len())
        .map(|index| {
            if per_event_at(&per_event, index) {
                UnitKind::PerEvent
            } else if aggregates.iter().any(|(_, members)| members.contains(&index)) {
                UnitKind::Aggregate
            } else {
                UnitKind::Library
            }
        })
        .collect();
    let classes = Classes { kinds, aggregates, needs };
    report_unread(files, &classes, into);
    classes
}

const FLAGS: [&str; 3] = ["allow", "deny", "requires_hitl"];

fn per_event_at(per_event: &[bool], index: usize) -> bool {
    per_event.get(index).copied().unwrap_or(false)
}

fn indexes(files: &[Parsed], wanted: impl Fn(usize, &Parsed) -> bool) -> Vec<usize> {
    files.iter().enumerate().filter(|(index, file)| wanted(*index, file)).map(|(index, _)| index).collect()
}

fn under_root(package: &[String]) -> bool {
    package.len() > 1 && package.first().is_some_and(|root| ROOTS.contains(&root.as_str()))
}

fn is_main(file: &Parsed) -> bool {
    matches!(file.package.as_slice(), [root, name] if ROOTS.contains(&root.as_str()) && name == "main")
}

fn defines(file: &Parsed, wanted: &[&str]) -> bool {
    file.module.policy.iter().filter_map(|rule| rule_name(rule)).any(|name| wanted.contains(&name.as_str()))
}

fn references(file: &Parsed, names: &Names) -> BTreeSet<Vec<String>> {
    let imports = file.imports.values().filter_map(|path| match path.split_first() {
        Some((root, rest)) if root == "data" => Some(rest.to_vec()),
        _ => None,
    });
    file.module.policy.iter().flat_map(|rule| names.references(file, rule)).chain(imports).collect()
}

/// The files that a file may read. Files of its own package are read too, but a per-event file reads no other one of
/// its package: each is isolated.
fn closure(
    start: usize,
    files: &[Parsed],
    references: &[BTreeSet<Vec<String>>],
    per_event: &[bool],
) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([start]);
    let mut pending = vec![start];
    while let Some(index) = pending.pop() {
        let (Some(from), Some(paths)) = (files.get(index), references.get(index)) else { continue };
        for (other, file) in files.iter().enumerate() {
            let own = file.package == from.package;
            let isolated = per_event_at(per_event, other) && own;
            let referred = paths.iter().any(|path| overlaps(path, &file.package));
            if !isolated && (own || referred) && reached.insert(other) {
                pending.push(other);
            }
        }
    }
    reached
}

/// Rules that look like decisions and that nothing reads.
fn report_unread(files: &[Parsed], classes: &Classes, into: &mut Vec<Diagnostic>) {
    for (index, file) in files.iter().enumerate() {
        if classes.kinds.get(index) != Some(&UnitKind::Library) && !misplaced(file) {
            continue;
        }
        let read =
            classes.needs.iter().enumerate().any(|(other, needs)| other != index && needs.contains(&index));
        if read {
            continue;
        }
        let at = position(&file.module.package.span);
        let package = file.package_name();
        if under_root(&file.package) && misplaced(file) {
            let place = file
                .module
                .policy
                .iter()
                .find(|rule| is_decision(rule))
                .map_or(at, |rule| position(rule.span()));
            into.push(unread_decision(file, &package, place));
        } else if !under_root(&file.package) {
            let message = format!("nothing reads the package `{package}`");
            into.push(Diagnostic::warning("rego/unused-package", &file.file, at, message).with_help(
                "rules are read in packages below `placet` and `kitelogik`, and where those refer to",
            ));
        }
    }
}

/// A `decision` outside the packages where it is read.
fn misplaced(file: &Parsed) -> bool {
    defines(file, &["decision"]) && event_type(&file.package).is_none() && !is_main(file)
}

fn unread_decision(file: &Parsed, package: &str, at: Position) -> Diagnostic {
    let events = PER_EVENT.map(|(name, _)| name);
    let last = file.package.last().map_or("", String::as_str);
    let nearest = events.iter().min_by_key(|event| strsim::osa_distance(event, last));
    let found = Diagnostic::error(
        "rego/unread-decision",
        &file.file,
        at,
        format!("`decision` is not read in the package `{package}`"),
    );
    match nearest {
        Some(event) if strsim::osa_distance(event, last) <= 3 => found.with_help(format!(
            "did you mean `package {}.{event}`?",
            file.package.first().map_or("placet", String::as_str)
        )),
        _ => found.with_help(format!(
            "it is read in the packages {} below `placet` and `kitelogik`",
            events.join(", ")
        )),
    }
}
