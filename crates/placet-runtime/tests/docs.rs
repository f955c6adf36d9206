//! The examples of the guides load, decide and are refused as the text says.
//!
//! A fenced block says what it is after its language: `yaml policy`, `yaml tests` (decided under the policy above
//! it), `yaml config`, `yaml refused`, `json event`, `json refused`.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::expect::{CaseResult, Suite};
use placet_policy::{LoadOptions, PolicySet, Request, Severity, SourceFile, library};
use placet_runtime::{Config, environment::SETTINGS};
use placet_types::{Event, Field, Tier};

struct Block {
    kind: String,
    line: usize,
    text: String,
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(""), Some(_)) => blocks.extend(open.take()),
            (Some(kind), None) => {
                open = Some(Block { kind: kind.to_owned(), line: number, text: String::new() })
            }
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
            (Some(kind), Some(_)) => panic!("line {number}: ```{kind} inside a block"),
        }
    }
    assert!(open.is_none(), "a block is never closed");
    blocks
}

/// The core bundle and one project policy; it loads without a warning.
fn load(name: &str, text: &str) -> PolicySet {
    let mut sources = core_bundle::guards(&CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    sources.push((Tier::Project, SourceFile::new(name, text)));
    let (set, found) =
        PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{name}: {found}"));
    let warned: Vec<String> = found.of(Severity::Warning).map(ToString::to_string).collect();
    assert!(warned.is_empty(), "{name}: {warned:?}");
    set
}

fn refused(name: &str, text: &str) {
    let sources = [(Tier::Project, SourceFile::new(name, text))];
    let found = PolicySet::load(&sources, &LoadOptions::default()).map(|_| ()).expect_err(name).to_string();
    // What a comment in the block promises is what is said.
    for promise in text.lines().filter_map(|line| line.split_once("# ")).map(|(_, promise)| promise) {
        assert!(found.contains(promise), "{name}: {promise} is not in {found}");
    }
}

fn decides(name: &str, policy: &PolicySet, text: &str) {
    let suite = Suite::parse(&SourceFile::new(name, text)).unwrap_or_else(|found| panic!("{found}"));
    let failed: Vec<String> =
        suite.run(policy).iter().filter(|result| !result.passed()).map(CaseResult::line).collect();
    assert!(failed.is_empty(), "{name}: {failed:#?}");
}

/// Checks every block of a page; how many there were of each kind.
fn check(page_name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut policy = None;
    for block in blocks(&page(page_name)) {
        let name = format!("{page_name}-{}.yaml", block.line);
        *counts.entry(block.kind.clone()).or_insert(0) += 1;
        match block.kind.as_str() {
            "yaml policy" => policy = Some(load(&name, &block.text)),
            "yaml tests" => decides(&name, policy.as_ref().unwrap(), &block.text),
            "yaml refused" => refused(&name, &block.text),
            "yaml config" => drop(
                Config::parse(&block.text, &name, Path::new("")).unwrap_or_else(|error| panic!("{error}")),
            ),
            "json event" => {
                let event =
                    Event::from_json(block.text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
                drop(Request::new(event));
            }
            "json refused" => drop(Event::from_json(block.text.as_bytes()).expect_err(&name)),
            other => panic!("{name}: `{other}` is no kind of block"),
        }
    }
    counts
}

#[test]
fn the_examples_of_the_policy_guide_hold() {
    let counts = check("policies.md");
    assert!(counts["yaml policy"] >= 6 && counts["yaml policy"] == counts["yaml tests"], "{counts:?}");
    assert_eq!((counts["yaml refused"], counts["yaml config"]), (1, 3));
}

#[test]
fn the_example_of_the_approvals_guide_is_a_configuration_that_can_be_used() {
    let text = blocks(&page("approvals.md")).into_iter().find(|block| block.kind == "yaml config");
    let config = Config::parse(&text.expect("a block").text, "approvals.md", Path::new("")).unwrap();
    let reviewers = config.approvals.reviewers().unwrap();
    assert_eq!(reviewers.groups_of(&placet_types::ApproverId::from("bob")).len(), 1);
}

#[test]
fn the_examples_of_the_event_guide_hold() {
    let counts = check("events.md");
    assert_eq!((counts["json event"], counts["json refused"]), (3, 3));
}

#[test]
fn the_configuration_page_lists_every_setting_with_its_variable_and_what_it_accepts() {
    let text = page("configuration.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
        .collect();
    let wanted: Vec<Vec<String>> = SETTINGS
        .iter()
        .map(|setting| vec![format!("{}`", setting.key), format!("`{}`", setting.variable())])
        .collect();
    let listed: Vec<Vec<&str>> = rows.iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(listed, wanted);
    for (row, setting) in rows.iter().zip(SETTINGS) {
        let accepts = setting.accepts();
        // The page links to the modules and leaves the largest number out.
        let short = accepts.split(" from 0").next().unwrap().split(": pii").next().unwrap();
        let start = if setting.key == "library" { "modules" } else { short };
        assert!(row[2].starts_with(start), "{}: {} is not {accepts}", setting.key, row[2]);
    }
}

#[test]
fn the_configuration_page_says_what_a_bad_variable_is_told() {
    let (text, mut promised) = (page("configuration.md"), 0);
    let file = blocks(&text).into_iter().find(|block| block.kind == "yaml config").unwrap();
    Config::parse(&file.text, "configuration.md", Path::new("")).unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("error: ")) {
        let name = line.split('`').nth(1).unwrap();
        let variable = (name.into(), "off".into());
        let error = Config::default().override_from([variable], Path::new("")).expect_err(line);
        assert_eq!(error.to_string(), line);
        promised += 1;
    }
    assert_eq!(promised, 2);
}

/// The first cell of each row of the tables of a page.
fn first_cells(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn the_event_guide_lists_every_field_in_order_with_its_type() {
    let text = page("events.md");
    let fields: Vec<&str> = Field::ALL.iter().map(|field| field.path()).collect();
    assert_eq!(first_cells(&text), fields);
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let field = Field::at(cells[1].trim_matches('`')).unwrap();
        let right = match cells[2] {
            "text" => "\"x\"",
            "number" => "5",
            "boolean" => "true",
            "object" => "{}",
            list if list.starts_with("list of ") => "[]",
            other => panic!("{field:?}: `{other}` is no type"),
        };
        for value in ["\"x\"", "5", "true", "{}", "[]"] {
            let mut event = Event::default();
            event.set(field, placet_types::json::parse(value.as_bytes()).unwrap());
            let request = Request::new(event);
            let unknown = matches!(request.event().get(field), placet_types::Value::Unknown(_));
            assert_eq!(unknown, value != right, "{field:?} holds {value}");
        }
    }
}

#[test]
fn the_policy_guide_lists_every_module_guard_and_template() {
    let text = page("policies.md");
    let cells = first_cells(&text);
    let modules: Vec<&str> = cells.iter().copied().filter(|cell| library::NAMES.contains(cell)).collect();
    assert_eq!(modules, library::NAMES);
    let guards = core_bundle::guards(&CoreLimits::default());
    let names = guards.iter().flat_map(|(_, file)| file.text.lines().map(str::to_owned).collect::<Vec<_>>());
    for name in names.filter_map(|line| line.trim().strip_prefix("- name: ").map(str::to_owned)) {
        let short = name.strip_prefix("core_budget").unwrap_or(&name);
        assert!(text.contains(&format!("`{name}`")) || text.contains(&format!("`{short}`")), "{name}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/templates");
    for file in fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with("_test.yaml") || text.contains(&format!("`{name}`")), "{name}");
    }
}
