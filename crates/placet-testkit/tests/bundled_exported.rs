//! The policies that ship and those of the original documents decide alike natively and, exported, on the embedded
//! interpreter and on a real Open Policy Agent; regular expressions and times mean the same on all three.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::expect::Suite;
use placet_policy::{GlobalMode, LoadOptions, PolicySet, Request, SourceFile, export};
use placet_testkit::exported::{Exported, answered, expected, find_opa, on_interpreter, on_opa};
use placet_types::{Decision, DecisionId, Event, Tier};
use serde_json::{Value as Json, json};

/// A policy set with events, decided natively.
struct Case {
    name: String,
    decisions: Vec<Decision>,
    exported: Exported,
}

fn case(name: &str, sources: &[(Tier, SourceFile)], events: Vec<Event>) -> Case {
    let (set, _) =
        PolicySet::load(sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{name}: {found}"));
    let requests: Vec<Request> = events.into_iter().map(Request::new).collect();
    let decisions = requests.iter().map(|request| set.decide(request, DecisionId(name.into()))).collect();
    let modules =
        export::bundle(sources, GlobalMode::Guard).unwrap_or_else(|found| panic!("{name}: {found}"));
    for (_, module) in &modules {
        assert!(export::source_of(module).is_some(), "{name}");
    }
    let inputs = requests.iter().map(export::input).collect();
    Case { name: name.to_owned(), decisions, exported: Exported { modules, inputs } }
}

fn compare(case: &Case, evaluator: &str, answers: &[Json]) {
    assert_eq!(answers.len(), case.decisions.len());
    for ((answer, decision), input) in answers.iter().zip(&case.decisions).zip(&case.exported.inputs) {
        assert_eq!(answered(answer), expected(decision), "{} on {evaluator}: {input}", case.name);
    }
}

fn agree(cases: &[Case]) {
    for case in cases {
        compare(
            case,
            "interpreter",
            &on_interpreter(&case.exported).unwrap_or_else(|error| panic!("{error}")),
        );
    }
    let Some(opa) = find_opa() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sets: Vec<Exported> = cases.iter().map(|case| case.exported.clone()).collect();
    let answers = on_opa(&opa, folder.path(), &sets).unwrap_or_else(|error| panic!("{error}"));
    cases.iter().zip(&answers).for_each(|(case, answers)| compare(case, "opa", answers));
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn source(path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile::new(path.file_name().unwrap().to_str().unwrap(), text)
}

fn core() -> Vec<(Tier, SourceFile)> {
    let mut sources = core_bundle::guards(&CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    sources
}

fn event(json: &Json) -> Event {
    Event::from_json(json.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Every suite below a folder, on the policies it names above the core bundle, and on these alone.
fn suites(folder: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for file in fs::read_dir(policies().join(folder)).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with("_test.yaml") {
            continue;
        }
        let suite = Suite::parse(&source(&path)).unwrap_or_else(|found| panic!("{found}"));
        let events = || suite.tests.iter().map(|test| test.event.clone()).collect::<Vec<_>>();
        let beside = |policy: &str| source(&path.parent().unwrap().join(policy));
        let own: Vec<(Tier, SourceFile)> =
            suite.policies.iter().map(|policy| (Tier::Project, beside(policy))).collect();
        cases.push(case(&name, &[core(), own.clone()].concat(), events()));
        cases.push(case(&name, &own, events()));
    }
    assert!(cases.len() >= 6, "{folder}");
    cases
}

#[test]
fn the_library_decides_alike_when_exported() {
    agree(&suites("library"));
}

#[test]
fn the_templates_decide_alike_when_exported() {
    agree(&suites("templates"));
}

const WALKTHROUGH: &str = "version: 1
rules:
  - name: allow_small_refund
    when: { action: approve_refund, role: support_agent, scope: approve_refund, args: { amount: { lte: 100 } } }
    then: allow
  - name: block_large_refund
    when: { action: approve_refund, args: { amount: { gt: 100 } } }
    then: deny
    reason: \"Refunds over $100 require manager approval\"
";

const TUTORIAL: &str = "version: \"1\"
defaults: { risk_level: medium, approval: approve }
rules:
  - { name: search_tools, match: { type: \"search*\", target: web }, risk_level: low, approval: auto }
  - { name: write_nights, match: { type: \"write_*\" }, conditions: { time_after: \"18:00\", time_before: \"08:00\", timezone: Asia/Seoul }, risk_level: critical, approval: block }
  - { name: write_sundays, match: { type: \"write_*\" }, conditions: { weekdays: [7], timezone: America/New_York }, risk_level: critical, approval: block }
  - { name: write_ops, match: { type: \"write_*\", target: \"*\" }, risk_level: high, approval: approve }
  - { name: block_deletes, match: { type: \"delete_*\" }, risk_level: critical, approval: block }
";

#[test]
fn f01_the_walkthrough_decides_alike_on_every_engine() {
    let refund = |amount: Json| {
        event(&json!({"action": "approve_refund", "args": {"amount": amount},
            "context": {"session_id": "s", "user_role": "support_agent", "session_scopes": ["approve_refund"], "delegation_depth": 0}}))
    };
    let amounts = [json!(42.0), json!(100), json!(5000.0), json!("42"), json!(null), json!(-1), json!([1])];
    let policy = (Tier::Project, SourceFile::new("policy.yaml", WALKTHROUGH));
    let alone =
        case("walkthrough", std::slice::from_ref(&policy), amounts.iter().cloned().map(refund).collect());
    let words: Vec<&str> = alone.decisions.iter().map(|decision| decision.verdict.word()).collect();
    assert_eq!(words, ["allow", "allow", "deny", "deny", "deny", "allow", "deny"]);
    let guarded =
        case("guarded", &[core(), vec![policy]].concat(), amounts.iter().cloned().map(refund).collect());
    agree(&[alone, guarded]);
}

#[test]
fn times_zones_and_days_mean_the_same_on_every_engine() {
    let moments = [
        "2026-11-20T08:59:59Z",
        "2026-11-20T09:00:00Z",
        "2026-11-20T22:59:59.999999999Z",
        "2026-11-20T23:00:00Z",
        "2026-11-22T04:59:59Z",
        "2026-11-22T05:00:00Z",
        "2026-11-23T04:59:59Z",
        "2026-11-23T05:00:00Z",
        "2026-03-08T06:59:59Z",
        "2026-03-08T07:00:00Z",
        "2026-11-20T23:00:00+09:00",
        "1969-07-20T20:17:40Z",
        "2026-11-20 09:00:00Z",
        "noon",
        "",
        "9000-01-01T00:00:00Z",
    ];
    let calls = |now: &&str| {
        ["search_papers", "write_file", "delete_x", "other", "Write_x"]
            .map(|action| event(&json!({"action": action, "target": "web", "now": now})))
    };
    let events: Vec<Event> = moments.iter().flat_map(calls).collect();
    agree(&[case("tutorial", &[(Tier::Project, SourceFile::new("policy.yaml", TUTORIAL))], events)]);
}

/// Expressions whose spelling or meaning differs between engines of regular expressions.
const REGEXES: &[&str] = &[
    r"\bfoo\b",
    r"\Bo",
    r"(?i)k",
    r"(?i)ß",
    r"(?i)[à-ý]+",
    r"\w+é",
    r"^\d$",
    r"\s",
    r"\S",
    r"[\w.-]+@",
    r"(?m)^b$",
    r"^b$",
    r"b$",
    r"a.b",
    r"(?s)a.b",
    r"(?-s)a.b",
    r"[[:punct:]]",
    r"\p{Greek}",
    r"\pL+",
    r"\PL",
    r"[^a]",
    r"[a&&b]",
    r"[a--b]x?",
    r"[a~~ab]",
    r"x{0}",
    r"x{2,}",
    r"(ab){1,3}?$",
    r"a||b",
    r"(|a)b",
    r"$^",
    r"\x{1F600}",
    r"\u{e9}",
    r"(?x) f o o # c",
    r"[]a]",
    r"[a-]",
    r"\.\*\+\?\(\)\[\]\{\}\^\$\|\\",
    r"(?U)a+",
    r"\A\z",
    r"\/",
    r"(?P<n>o)(?<m>o)",
    r"[\x00-\x1f]",
    r"\x7f",
    r"[^\x00-\x{10ffff}]",
    r"\t|\n|\f|\r|\v|\a",
];

const SUBJECTS: &[&str] = &[
    "foo",
    "éfoo",
    "foo bar",
    "K",
    "\u{212a}",
    "ß",
    "SS",
    "ẞ",
    "ÀÉ",
    "é",
    "e\u{301}",
    "5",
    "٥",
    "a\nb",
    "b\n",
    "\nb",
    "a b",
    "\u{a0}",
    "x@y",
    "α",
    "a.b",
    "",
    "xx",
    "abab",
    "😀",
    "]",
    "-",
    "/",
    ".*+?()[]{}^$|\\",
    "\u{7f}",
    "\u{1}",
    "\u{b}",
    "\u{7}",
    "a-b",
    "Foo",
];

#[test]
fn regular_expressions_mean_the_same_on_every_engine() {
    let mut cases = Vec::new();
    for (number, regex) in REGEXES.iter().enumerate() {
        let pattern = serde_json::to_string(regex).unwrap();
        let rule = |name: &str, condition: &str, then: &str| {
            format!("- {{ name: {name}, when: {{ args.q: {{ {condition} }} }}, then: {then} }}\n")
        };
        let text = format!(
            "version: 1\nrules:\n{}{}",
            rule("found", &format!("matches: {pattern}"), "allow"),
            rule("not_found", &format!("exists: true, not_contains: zzz, matches: {pattern}"), "hitl")
        );
        let events =
            SUBJECTS.iter().map(|subject| event(&json!({"action": "a", "args": {"q": subject}}))).collect();
        let name = format!("{number}: {regex}");
        cases.push(case(&name, &[(Tier::Project, SourceFile::new("policy.yaml", text))], events));
    }
    agree(&cases);
}

#[test]
fn exported_files_load_as_they_are_alone_and_together() {
    let Some(opa) = find_opa() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut sources = core();
    sources.push((Tier::Project, SourceFile::new("walkthrough.yaml", WALKTHROUGH)));
    sources.push((Tier::Project, SourceFile::new("tutorial.yaml", TUTORIAL)));
    let modules = export::bundle(&sources, GlobalMode::Guard).unwrap();
    for (name, text) in &modules {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let refund =
        json!({"action": "approve_refund", "args": {"amount": 5000}, "context": {"delegation_depth": 0}});
    let input = folder.path().join("input.json");
    fs::write(&input, export::input(&Request::new(event(&refund))).to_string()).unwrap();
    let flags = "{\"flags\": [data.placet.main.allow, data.placet.main.deny, data.placet.main.requires_hitl], \
                 \"tier\": data.placet.main.risk_tier, \"reasons\": data.placet.main.deny_reason}";
    let ask = |data: &[PathBuf]| {
        let mut command = Command::new(&opa);
        command.args(["eval", "--strict-builtin-errors", "--format", "raw", "--input"]).arg(&input);
        for path in data {
            command.arg("--data").arg(path);
        }
        let run = command.arg(flags).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        serde_json::from_slice::<Json>(&run.stdout).unwrap()
    };
    let all: Vec<PathBuf> = modules.iter().map(|(name, _)| folder.path().join(name)).collect();
    let denied = json!({"flags": [false, false, false], "tier": "OPERATIONAL", "reasons": ["Refunds over $100 require manager approval"]});
    assert_eq!(ask(&all), denied);
    assert_eq!(ask(&[folder.path().join("project_walkthrough.rego")]), denied);
    let check = Command::new(&opa).args(["check", "--strict"]).args(&all).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    // An input without normal forms is refused, and says why.
    fs::write(&input, refund.to_string()).unwrap();
    let refused = ask(&[folder.path().join("project_walkthrough.rego")]);
    assert_eq!(refused["flags"], json!([false, true, false]));
    assert!(refused["reasons"][0].as_str().unwrap().contains("`norm`"), "{refused}");
}
