//! Rows F06, F07, F38 and F50 of the first ancestor as far as the gate goes: what is denied, what never opens, what a
//! changed file does.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

/// What was reported, as `level target text`.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Reports {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!(" {value:?}");
            }
        }
        let mut text = Text(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

fn watching(path: PathBuf, reload_interval: Duration) -> Gate {
    let clock = Arc::new(FixedClock("2026-11-21T12:00:00Z".parse().unwrap()));
    Gate::open(GateOptions { policies: vec![path], clock, reload_interval, ..GateOptions::default() })
        .unwrap()
}

#[test]
fn f50_an_edit_counts_for_the_next_call_and_a_broken_one_keeps_the_old_set_and_alerts() {
    let home = folder(&[("refunds.yaml", REFUNDS)]);
    let path = home.path().join("refunds.yaml");
    let gate = watching(home.path().to_owned(), Duration::ZERO);
    let reports = Reports::default();
    let _guard = tracing::subscriber::set_default(reports.clone());
    let told = || std::mem::take(&mut *reports.0.lock().unwrap());

    let before = gate.decide(refund("150"));
    assert_eq!((before.verdict.word(), told()), ("deny", vec![]));
    fs::write(&path, REFUNDS.replace("100", "200")).unwrap();
    let edited = gate.decide(refund("150"));
    assert_eq!(edited.verdict, Verdict::Allow);
    assert_ne!(edited.policy_version, before.policy_version);
    let [report] = &told()[..] else { panic!("one report") };
    assert!(report.starts_with("INFO placet::policy"), "{report}");
    assert!(report.contains(&*edited.policy_version), "{report}");

    fs::write(&path, "version: 1\nrules:\n  - name: a\n    wen: {}\n    then: allow\n").unwrap();
    for _ in 0..2 {
        let kept = gate.decide(refund("150"));
        assert_eq!((kept.verdict, kept.policy_version), (Verdict::Allow, edited.policy_version.clone()));
    }
    let [alert] = &told()[..] else { panic!("one alert for one failure") };
    assert!(alert.starts_with("ERROR placet::policy"), "{alert}");
    assert!(alert.contains("refunds.yaml:4:5") && alert.contains("`wen`"), "{alert}");
    assert!(gate.reload_failure().unwrap().contains("refunds.yaml:4:5"));

    fs::remove_file(&path).unwrap();
    assert_eq!(
        gate.decide(refund("150")).verdict,
        Verdict::Allow,
        "a removed file loosens and tightens nothing"
    );
    assert!(told()[0].starts_with("ERROR placet::policy"));
    fs::write(&path, REFUNDS).unwrap();
    let repaired = gate.decide(refund("150"));
    assert_eq!((repaired.verdict.word(), repaired.policy_version), ("deny", before.policy_version));
    assert_eq!(gate.reload_failure(), None);
}

#[test]
fn f50_files_are_looked_at_once_per_interval() {
    let home = folder(&[("refunds.yaml", REFUNDS)]);
    let gate = watching(home.path().to_owned(), Duration::from_secs(3600));
    assert_eq!(gate.decide(refund("150")).verdict.word(), "deny");
    fs::write(home.path().join("refunds.yaml"), REFUNDS.replace("100", "200")).unwrap();
    assert_eq!(gate.decide(refund("150")).verdict.word(), "deny");
    assert_eq!(GateOptions::default().reload_interval, Duration::from_secs(1));
}

#[test]
fn policies_given_as_text_decide_as_files_do() {
    let texts = vec![SourceFile::new("inline.yaml", REFUNDS)];
    let gate = Gate::open(GateOptions { texts, ..GateOptions::default() }).unwrap();
    assert_eq!(gate.decide(refund("42")).verdict, Verdict::Allow);
    assert_eq!(gate.decide(refund("\"42\"")).rules[0].file.as_ref(), "inline.yaml");
}
