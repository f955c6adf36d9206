//! Which crate may depend on which. The table is the rule; `cargo metadata` is the fact.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// Crate, and the crates of ours that it may use outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("placet-types", &[]),
    ("placet-policy", &["placet-types"]),
    ("placet-trust", &["placet-types"]),
    ("placet-audit", &["placet-types"]),
    ("placet-content", &["placet-types"]),
    ("placet-store", &["placet-types", "placet-trust", "placet-audit"]),
    ("placet-runtime", &["placet-types", "placet-policy", "placet-trust", "placet-audit", "placet-content"]),
    (
        "placet",
        &[
            "placet-types",
            "placet-policy",
            "placet-trust",
            "placet-audit",
            "placet-content",
            "placet-runtime",
        ],
    ),
    ("placet-gateway", &["placet"]),
    ("placet-cli", &["placet", "placet-gateway", "placet-store"]),
    ("placet-python", &["placet", "placet-cli", "placet-store"]),
    ("placet-testkit", &["placet-types", "placet-policy", "placet-runtime"]),
    ("xtask", &[]),
];

/// Crates of others that the domain crates must not know.
const DOMAIN: &[&str] = &["placet-types", "placet-policy", "placet-trust", "placet-audit", "placet-content"];
const FOREIGN: &[&str] = &["tokio", "axum", "rmcp", "rusqlite", "pyo3", "ureq", "reqwest"];

/// Every arrow that the table does not allow, and every crate that the table does not name.
pub(crate) fn problems() -> Result<Vec<String>> {
    Ok(compare(&facts()?))
}

fn compare(facts: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, uses) in facts {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            problems.push(format!("crate `{name}` stands in no row of the arrow table in xtask"));
            continue;
        };
        let ours = uses.iter().filter(|used| facts.contains_key(*used));
        problems.extend(
            ours.filter(|used| !allowed.contains(&used.as_str()))
                .map(|used| format!("`{name}` uses `{used}`, which the arrow table does not allow")),
        );
        if DOMAIN.contains(&name.as_str()) {
            problems.extend(
                uses.iter()
                    .filter(|used| FOREIGN.contains(&used.as_str()))
                    .map(|used| format!("the domain crate `{name}` uses `{used}`; domain crates do no I/O")),
            );
        }
    }
    problems
}

fn facts() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("cargo metadata lists no packages")?;
    Ok(packages.iter().filter_map(package).collect())
}

fn package(package: &Value) -> Option<(String, BTreeSet<String>)> {
    let name = package.get("name")?.as_str()?.to_owned();
    let uses = package
        .get("dependencies")?
        .as_array()?
        .iter()
        .filter(|dependency| dependency.get("kind").is_none_or(Value::is_null))
        .filter_map(|dependency| dependency.get("name")?.as_str().map(str::to_owned))
        .collect();
    Some((name, uses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_are_those_of_the_table() {
        assert_eq!(problems().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_outside_the_table_is_found() {
        let uses = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let facts = BTreeMap::from([
            ("placet-types".to_owned(), uses(&["placet-policy"])),
            ("placet-policy".to_owned(), uses(&["tokio", "placet-types"])),
            ("stranger".to_owned(), uses(&[])),
        ]);
        assert_eq!(compare(&facts).len(), 3);
    }
}
