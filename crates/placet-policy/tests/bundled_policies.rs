//! The policies that ship pass the suites beside them.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where its own files are missing")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::expect::{CaseResult, Suite};
use placet_policy::{LoadOptions, PolicySet, SourceFile, library};
use placet_types::Tier;

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn source(path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile::new(path.display().to_string(), text)
}

fn names(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(policies().join(folder)).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn bundled() -> Vec<(Tier, SourceFile)> {
    let mut sources = core_bundle::guards(&CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    sources
}

/// Runs one suite over the policies it names, on top of others; returns the results.
fn run(path: &Path, below: Vec<(Tier, SourceFile)>) -> Vec<CaseResult> {
    let suite = Suite::parse(&source(path)).unwrap_or_else(|found| panic!("{found}"));
    let folder = path.parent().unwrap();
    let mut sources = below;
    sources.extend(suite.policies.iter().map(|name| (Tier::Project, source(&folder.join(&**name)))));
    let set = PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}")).0;
    suite.run(&set)
}

/// The suite passes; returns the policy's rules that carried a decision.
fn holds(folder: &str, stem: &str, below: Vec<(Tier, SourceFile)>) -> BTreeSet<Arc<str>> {
    let results = run(&policies().join(format!("{folder}/{stem}_test.yaml")), below);
    let failed: Vec<String> =
        results.iter().filter(|result| !result.passed()).map(CaseResult::line).collect();
    assert!(failed.is_empty(), "{folder}/{stem}:\n{}", failed.join("\n"));
    let carried = results.iter().flat_map(|result| result.decision.rules.iter());
    let own = |file: &str| file.ends_with(&format!("/{stem}.yaml"));
    carried.filter(|rule| own(&rule.file)).map(|rule| rule.name.clone()).collect()
}

/// Every rule of the policy carries some decision of its suite.
fn covers(folder: &str, stem: &str) {
    let mut carried = holds(folder, stem, bundled());
    if ["cost_cap", "rate_limiting"].contains(&stem) {
        // With the core bundle its budget guard speaks first, and harder.
        carried.extend(holds(folder, stem, Vec::new()));
    }
    let text = source(&policies().join(format!("{folder}/{stem}.yaml"))).text;
    let rules = text.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
    let missed: Vec<&str> = rules.filter(|rule| !carried.contains(*rule)).collect();
    assert!(missed.is_empty(), "{folder}/{stem}: no test shows {missed:?}");
}

#[test]
fn f38_each_module_of_the_library_does_what_its_table_says() {
    let beside: BTreeSet<String> =
        names("library").into_iter().filter(|name| name.ends_with(".yaml")).collect();
    let known = library::NAMES.iter().flat_map(|name| [format!("{name}.yaml"), format!("{name}_test.yaml")]);
    assert_eq!(beside, known.collect(), "library.rs and policies/library name the same modules");
    library::NAMES.iter().for_each(|name| covers("library", name));
}

#[test]
fn f39_each_template_decides_as_its_matrix_says() {
    let files = names("templates");
    let stems: Vec<&str> = files
        .iter()
        .filter_map(|name| name.strip_suffix(".yaml"))
        .filter(|stem| !stem.ends_with("_test"))
        .collect();
    assert_eq!(stems, ["code_execution", "phi_access", "refunds"]);
    stems.into_iter().for_each(|stem| covers("templates", stem));
}

#[test]
fn library_and_templates_load_without_a_finding() {
    let modules = library::NAMES.iter().map(|name| library::module(name).unwrap());
    let files = names("templates").into_iter().filter(|name| !name.ends_with("_test.yaml"));
    let templates = files.map(|name| (Tier::Project, source(&policies().join("templates").join(name))));
    for (tier, file) in modules.chain(templates) {
        let (_, found) = PolicySet::load(&[(tier, file.clone())], &LoadOptions::default()).unwrap();
        assert!(found.0.is_empty(), "{found}");
    }
    assert!(library::module("nothing").is_none());
}
