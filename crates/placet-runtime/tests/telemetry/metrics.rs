// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_runtime::pipeline::{Begun, Outcome, Pipeline};
use placet_runtime::telemetry::Metrics;
use placet_trust::budgets::BudgetRule;

use super::support::{event, pipeline, run, spawn, spend, wait_in_vain};

fn observed(metrics: &Metrics) -> Arc<Pipeline> {
    pipeline(|options| {
        options.observers = vec![metrics.observer(&["read".to_owned()], options.ledger.as_ref())];
    })
}

/// The value of the one line that begins so.
fn value(text: &str, line: &str) -> f64 {
    let mut found = text.lines().filter_map(|one| one.strip_prefix(line)?.trim().parse().ok());
    let value = found.next().unwrap_or_else(|| panic!("no `{line}` in\n{text}"));
    assert_eq!(found.next(), None, "{line}");
    value
}

#[test]
fn f34_metrics_count_what_was_decided_and_what_became_of_it() {
    let metrics = Metrics::default();
    let pipeline = observed(&metrics);
    for _ in 0..3 {
        run(&pipeline, "read", "{}");
    }
    let mut dirty = Outcome::failed("OSError", "x");
    dirty.injections = 2;
    spend(pipeline.begin(event("read", "{}"))).finish(dirty).unwrap();
    drop(pipeline.begin(event("drop", "{}")));
    drop(pipeline.ask(spawn()));
    wait_in_vain(&pipeline, "{}");
    let text = metrics.render();
    let decisions = |labels: &str| value(&text, &format!("placet_decisions_total{{{labels}}}"));
    let call = r#"event_type="tool_call",transport="local""#;
    assert_eq!(decisions(&format!(r#"verdict="allow",code="allowed",{call},tool="read""#)), 4.0);
    assert_eq!(decisions(&format!(r#"verdict="deny",code="denied_by_rule",{call},tool="""#)), 1.0);
    assert_eq!(decisions(&format!(r#"verdict="escalate",code="approval_required",{call},tool="""#)), 1.0);
    assert_eq!(decisions(&format!(r#"verdict="deny",code="approval_timeout",{call},tool="""#)), 1.0);
    let effects = |labels: &str| value(&text, &format!("placet_effects_total{{{labels}}}"));
    assert_eq!(effects(r#"status="succeeded",tool="read""#), 3.0);
    assert_eq!(effects(r#"status="failed",tool="read""#), 1.0);
    assert_eq!(value(&text, "placet_sanitizer_hits_total"), 2.0);
    assert_eq!(value(&text, "placet_approvals_requested_total"), 1.0);
    assert_eq!(value(&text, "placet_approvals_open"), 1.0);
    assert_eq!(value(&text, "placet_approvals_breached"), 0.0);
    let commits = |record| format!(r#"placet_ledger_commit_duration_seconds_count{{record="{record}"}}"#);
    assert_eq!(value(&text, &commits("decision")), 7.0);
    assert_eq!(value(&text, &commits("outcome")), 4.0);
    let timed = r#"placet_decision_duration_seconds_count{event_type="tool_call"}"#;
    assert_eq!(value(&text, timed), 6.0);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn f34_names_that_callers_make_up_are_no_labels() {
    let metrics = Metrics::default();
    let pipeline = observed(&metrics);
    for number in 0..200 {
        drop(pipeline.begin(event(&format!("made_up_{number}"), "{}")));
    }
    let text = metrics.render();
    assert!(!text.contains("made_up"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("placet_decisions_total")).count(), 1);
}

#[test]
fn f34_denied_budgets_and_overdue_approvals_are_counted() {
    let metrics = Metrics::default();
    let rules: Vec<BudgetRule> = serde_json::from_str(r#"[{"scope": "session", "api_calls": 2}]"#).unwrap();
    let pipeline = pipeline(|options| {
        options.budgets = rules;
        options.approvals.due_seconds = Some(0);
        options.observers = vec![metrics.observer(&[], options.ledger.as_ref())];
    });
    for _ in 0..5 {
        if let begun @ Begun::Started(_) = pipeline.begin(event("read", "{}")) {
            spend(begun).finish(Outcome::succeeded(None)).unwrap();
        }
    }
    drop(pipeline.begin(event("pay", "{}")));
    let text = metrics.render();
    assert_eq!(value(&text, r#"placet_budget_denials_total{code="budget_exhausted"}"#), 3.0);
    assert_eq!(value(&text, "placet_approvals_breached"), 1.0);
    assert_eq!(value(&text, "placet_approvals_breaches_total"), 1.0);
}

#[test]
fn a_scrape_opens_no_ledger() {
    let metrics = Metrics::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let settings = placet_store::PlaceSettings {
        ledger: Some(path.to_string_lossy().into_owned()),
        keys: Some(folder.path().join("keys")),
        ..placet_store::PlaceSettings::default()
    };
    let ledger =
        settings.store(folder.path(), |_| None).unwrap().map(|store| store as Arc<dyn placet_trust::Ledger>);
    let _observer = metrics.observer(&[], ledger.as_ref());
    assert_eq!(value(&metrics.render(), "placet_approvals_open"), 0.0);
    assert!(!path.exists());
}
