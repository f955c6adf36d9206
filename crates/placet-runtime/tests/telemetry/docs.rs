// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use placet_runtime::telemetry::{Metrics, spans};

use super::support::{event, pipeline, run, wait_in_vain};

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/telemetry.md")).unwrap()
}

#[test]
fn the_page_on_telemetry_names_every_span() {
    let page = page();
    for name in [
        spans::TOOL_CALL,
        spans::EVALUATE,
        spans::EVALUATE_EVENT,
        spans::VALIDATE,
        spans::CREDENTIAL,
        spans::POLICY,
        spans::POLICY_EVENT,
        spans::WAIT,
        spans::SANITIZE,
        spans::COMMIT,
        "execute_tool NAME",
    ] {
        assert!(page.contains(&format!("\n| `{name}` |")), "{name}");
    }
    assert!(page.contains(&format!("`{}`", spans::EFFECT)));
}

#[test]
fn the_page_on_telemetry_names_every_metric_and_no_other() {
    let metrics = Metrics::default();
    let rules = serde_json::from_str(r#"[{"scope": "session", "api_calls": 1}]"#).unwrap();
    let pipeline = pipeline(|options| {
        options.budgets = rules;
        options.observers = vec![metrics.observer(&[], options.ledger.as_ref())];
    });
    run(&pipeline, "read", "{}");
    drop(pipeline.begin(event("read", "{}")));
    wait_in_vain(&pipeline, "{}");
    let rendered = metrics.render();
    let mut told: BTreeSet<String> = rendered
        .lines()
        .filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        })
        .collect();
    // Nothing was decided here.
    told.insert("placet_approvals_decision_seconds".to_owned());
    // It has no value before a ledger has failed.
    told.insert("placet_ledger_failures_total".to_owned());
    let page = page();
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `placet_")?.split('`').next());
    assert_eq!(listed.map(|rest| format!("placet_{rest}")).collect::<BTreeSet<_>>(), told);
}

#[test]
fn f34_a_record_that_cannot_be_committed_is_counted() {
    let metrics = Metrics::default();
    let folder = tempfile::tempdir().unwrap();
    let settings = placet_store::PlaceSettings {
        // A folder is no file of a ledger.
        ledger: Some(folder.path().to_string_lossy().into_owned()),
        keys: Some(folder.path().join("keys")),
        ..placet_store::PlaceSettings::default()
    };
    let store = settings.store(folder.path(), |_| None).unwrap().unwrap();
    let pipeline = pipeline(|options| {
        options.ledger = Some(store);
        options.observers = vec![metrics.observer(&[], options.ledger.as_ref())];
    });
    drop(pipeline.begin(event("read", "{}")));
    assert!(metrics.render().contains("placet_ledger_failures_total{record=\"decision\"} 1"));
}
