//! Rows F06 and F07 of the first ancestor as far as the gate goes: what is denied, and what never opens.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use placet_policy::SourceFile;
use placet_runtime::{Config, FixedClock, Gate, GateError, GateOptions};
use placet_types::{Decision, Event, Verdict};
use tempfile::TempDir;

const REFUNDS: &str = "version: 1\nrules:\n\
    - { name: small, when: { action: approve_refund, args.amount: { gte: 0, lte: 100 } }, then: allow }\n\
    - { name: large, when: { action: approve_refund, args.amount: { gt: 100 } }, then: deny, reason: too much }\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(home.path().join(name), text).unwrap();
    }
    home
}

fn open(path: PathBuf) -> Result<Gate, GateError> {
    let clock = Arc::new(FixedClock("2026-11-21T12:00:00Z".parse().unwrap()));
    Gate::open(GateOptions { policies: vec![path], clock, reload: false, ..GateOptions::default() })
}

fn event(json: &str) -> Event {
    Event::from_json(json.as_bytes()).expect(json)
}

fn refund(amount: &str) -> Event {
    event(&format!(
        r#"{{"action":"approve_refund","args":{{"amount":{amount}}},"context":{{"delegation_depth":0}}}}"#
    ))
}

/// What an enforcement point does: the body runs on an allow and on nothing else.
fn guarded(gate: &Gate, event: Event, ran: &AtomicUsize) -> Decision {
    let decision = gate.decide(event);
    if decision.verdict == Verdict::Allow {
        ran.fetch_add(1, Ordering::Relaxed);
    }
    decision
}

#[test]
fn f06_a_denied_call_carries_its_decision_and_does_not_run() {
    let home = folder(&[("refunds.yaml", REFUNDS)]);
    let gate = open(home.path().to_owned()).unwrap();
    let ran = AtomicUsize::new(0);
    assert_eq!(guarded(&gate, refund("42"), &ran).verdict, Verdict::Allow);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    let denied = guarded(&gate, refund("5000"), &ran);
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    assert_eq!((&*denied.reason, denied.verdict.code()), ("too much", "denied_by_rule"));
    let rule = &denied.rules[0];
    assert_eq!((&*rule.name, rule.line), ("large", 4));
    assert!(rule.file.ends_with("refunds.yaml"), "{}", rule.file);
    assert!(denied.policy_version.starts_with("sha256:"));
    assert_eq!(denied.trace.len(), 2);
    let seen = denied.inputs.iter().find(|input| &*input.field == "args.amount").unwrap();
    assert_eq!(seen.value, placet_types::Value::Int(5000));
}

#[test]
fn f07_without_policies_nothing_opens() {
    let nothing = Gate::open(GateOptions::default()).map(|_| ()).expect_err("no policy");
    assert!(matches!(nothing, GateError::NoPolicy), "{nothing}");
    let empty = folder(&[]);
    let error = open(empty.path().to_owned()).map(|_| ()).expect_err("empty");
    assert!(error.to_string().contains("holds no policy file"), "{error}");
    let only_tests = folder(&[("a_test.yaml", "tests: []"), ("notes.txt", "x")]);
    assert!(open(only_tests.path().to_owned()).is_err());
    let missing = open(empty.path().join("nowhere")).map(|_| ()).expect_err("missing");
    assert!(missing.to_string().contains("nowhere"), "{missing}");
}

#[test]
fn f07_one_broken_file_keeps_the_whole_set_from_opening() {
    for (name, text, place) in [
        ("broken.yaml", "version: 1\nrules:\n  - name: [\n", "broken.yaml:4:"),
        (
            "typo.yaml",
            "version: 1\nrules:\n  - name: a\n    wen: { action: a }\n    then: deny\n",
            "typo.yaml:4:5",
        ),
        ("open.yaml", "version: 1\nrules:\n  - name: a\n    when: {}\n    then: allow\n", "open.yaml:4:5"),
        ("empty.yml", "", "empty.yml:1:1"),
        ("cut.rego", "package placet.x\n\nallow if {\n", "cut.rego:"),
    ] {
        let home = folder(&[("refunds.yaml", REFUNDS), (name, text)]);
        let error = open(home.path().to_owned()).map(|_| ()).expect_err(name);
        assert!(error.to_string().contains(place), "{name}: {error}");
    }
    let home = folder(&[("refunds.yaml", REFUNDS)]);
    fs::write(home.path().join("latin.yaml"), b"version: 1 # \xe9\n").unwrap();
    let error = open(home.path().to_owned()).map(|_| ()).expect_err("not UTF-8");
    assert!(error.to_string().contains("latin.yaml"), "{error}");
}

#[test]
fn f07_what_no_rule_knows_is_denied() {
    let home = folder(&[("refunds.yaml", REFUNDS)]);
    let gate = open(home.path().to_owned()).unwrap();
    let ran = AtomicUsize::new(0);
    for text in [
        r#"{"action":"wire_all_money","context":{"delegation_depth":0}}"#,
        r#"{"event_type":"data.access","context":{"delegation_depth":0}}"#,
        r#"{"event_type":"unheard.of","context":{"delegation_depth":0}}"#,
        r#"{"action":"approve_refund","args":{"amount":5}}"#,
        r#"{}"#,
    ] {
        let decision = guarded(&gate, event(text), &ran);
        assert!(matches!(decision.verdict, Verdict::Deny { .. }), "{text}");
        assert!(!decision.reason.is_empty(), "{text}");
    }
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[test]
fn f38_one_line_of_configuration_switches_a_module_on() {
    let home = folder(&[("open.yaml", "version: 1\ndefaults: { approval: auto }\n")]);
    let decide = |config: &str, text: &str| {
        let config = Config::parse(config, "placet.yaml", home.path()).unwrap();
        let gate = Gate::open(GateOptions { config, reload: false, ..GateOptions::default() }).unwrap();
        gate.decide(event(text)).verdict.word()
    };
    let write = r#"{"action":"write_file","args":{"path":"/srv/a"},"context":{"delegation_depth":0}}"#;
    assert_eq!(decide("policies: [open.yaml]", write), "allow");
    for module in ["read_only", "write_folder"] {
        assert_eq!(decide(&format!("policies: [open.yaml]\nlibrary: [{module}]"), write), "deny", "{module}");
    }
    for module in placet_policy::library::NAMES {
        let config =
            Config::parse(&format!("policies: [open.yaml]\nlibrary: [{module}]"), "placet.yaml", home.path());
        Gate::open(GateOptions { config: config.unwrap(), ..GateOptions::default() }).unwrap();
    }
    let config = Config::parse("library: [read_onyl]", "placet.yaml", home.path()).unwrap();
    let error =
        Gate::open(GateOptions { config, ..GateOptions::default() }).map(|_| ()).expect_err("unknown");
    assert!(error.to_string().contains("`read_onyl`") && error.to_string().contains("read_only"), "{error}");
}

#[test]
fn policies_given_as_text_decide_as_files_do() {
    let texts = vec![SourceFile::new("inline.yaml", REFUNDS)];
    let gate = Gate::open(GateOptions { texts, ..GateOptions::default() }).unwrap();
    assert_eq!(gate.decide(refund("42")).verdict, Verdict::Allow);
    assert_eq!(gate.decide(refund("\"42\"")).rules[0].file.as_ref(), "inline.yaml");
}
