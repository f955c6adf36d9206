// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use opentelemetry::trace::{Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, Key};
use opentelemetry_sdk::trace::SpanData;
use placet_runtime::pipeline::{Outcome, PipelineOptions};
use placet_runtime::telemetry::otel::of_settings;
use placet_runtime::telemetry::{Telemetry, Traces};
use placet_runtime::{Config, FixedClock, Registrar};
use placet_trust::credentials::broker::{BrokerLimits, IssueRequest};
use placet_types::{Event, Value};
use proptest::prelude::*;

use super::support::{Kept, event, ledger, pipeline, run, spawn, spend, wait_in_vain};

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a opentelemetry::Value> {
    span.attributes.iter().find(|pair| pair.key == Key::new(key.to_owned())).map(|pair| &pair.value)
}

fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key).unwrap_or_else(|| panic!("{} has no {key}", span.name)).to_string()
}

#[test]
fn f33_a_governed_call_is_a_tree_of_spans_under_the_callers_own() {
    let kept = Kept::new();
    let pipeline = pipeline(|options| kept.observe(options));
    let tracer = kept.provider.tracer("caller");
    let own = Context::new().with_span(tracer.start("caller"));
    {
        let _current = own.clone().attach();
        run(&pipeline, "read", "{}");
    }
    own.span().end();
    assert_eq!(
        kept.links(),
        [
            "- > caller",
            "caller > placet.adapter.tool_call",
            "placet.adapter.tool_call > policy_gate.evaluate",
            "policy_gate.evaluate > policy_gate.schema_validate",
            "policy_gate.evaluate > policy_gate.opa_evaluate",
            "policy_gate.evaluate > placet.audit.commit",
            "placet.adapter.tool_call > execute_tool read",
            "placet.adapter.tool_call > policy_gate.sanitize_response",
            "placet.adapter.tool_call > placet.audit.commit",
        ]
    );
    let spans = kept.spans();
    assert!(spans.iter().all(|span| span.span_context.trace_id() == spans[0].span_context.trace_id()));
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let decided = named("policy_gate.evaluate");
    assert_eq!(text(decided, "placet.policy.verdict"), "allow");
    assert_eq!(text(decided, "placet.tool_name"), "read");
    assert_eq!(text(decided, "placet.session_id"), "s1");
    assert_eq!(text(decided, "placet.policy.allow"), "true");
    let effect = named("execute_tool read");
    assert_eq!(text(effect, "gen_ai.operation.name"), "execute_tool");
    assert_eq!(text(effect, "gen_ai.tool.name"), "read");
    assert_eq!(effect.status, Status::Unset);
}

#[test]
fn f33_denials_questions_waits_and_other_events_have_their_names() {
    let kept = Kept::new();
    let pipeline = pipeline(|options| kept.observe(options));
    drop(pipeline.begin(event("drop", "{}")));
    drop(pipeline.ask(event("read", "{}")));
    drop(pipeline.ask(spawn()));
    spend(pipeline.begin(spawn())).finish(Outcome::cancelled()).unwrap();
    wait_in_vain(&pipeline, "{}");
    let links = kept.links();
    for expected in [
        "placet.adapter.tool_call > policy_gate.evaluate",
        "- > policy_gate.evaluate",
        "- > policy_gate.evaluate_event",
        "policy_gate.evaluate_event > policy_gate.opa_evaluate_event",
        "- > placet.effect",
        "placet.adapter.tool_call > placet.approval.wait",
    ] {
        assert!(links.contains(&expected.to_owned()), "{expected} is not in {links:#?}");
    }
    let spans = kept.spans();
    let wait = spans.iter().find(|span| span.name == "placet.approval.wait").unwrap();
    assert_eq!(text(wait, "placet.approval.result"), "approval_timeout");
    let denied = spans.iter().find(|span| attribute(span, "placet.policy.code").is_some()).unwrap();
    assert_eq!(text(denied, "placet.policy.code"), "denied_by_rule");
    assert_eq!(denied.status, Status::Unset, "a deny is no error");
}

#[test]
fn f33_an_effect_that_fails_tells_the_type_of_its_error() {
    let kept = Kept::new();
    let pipeline = pipeline(|options| kept.observe(options));
    spend(pipeline.begin(event("read", "{}"))).finish(Outcome::failed("OSError", "disk on fire")).unwrap();
    drop(spend(pipeline.begin(event("read", "{}"))));
    let spans = kept.spans();
    let types: Vec<String> = spans
        .iter()
        .filter(|span| span.name == "execute_tool read")
        .map(|span| text(span, "error.type"))
        .collect();
    assert_eq!(types, ["OSError", "cancelled"]);
}

#[test]
fn f33_telemetry_is_off_by_default() {
    assert!(PipelineOptions::default().observers.is_empty());
    let config = Config::default();
    assert_eq!(config.telemetry, Telemetry::default());
    assert_eq!(config.telemetry.traces, Traces::Off);
    assert!(!config.telemetry.metrics);
    assert!(PipelineOptions::of_config(&config, None).unwrap().observers.is_empty());
    let (observers, export) = of_settings(&config.telemetry).unwrap();
    assert!(observers.is_empty() && export.is_none());
}

/// Everything that leaves in a span, as text.
fn all_of(spans: &[SpanData]) -> String {
    spans.iter().map(|span| format!("{span:?}\n")).collect()
}

fn registrar() -> Arc<Registrar> {
    let clock = Arc::new(FixedClock(jiff::Timestamp::now()));
    Arc::new(Registrar::new(ledger(), clock, BrokerLimits::default(), "test".into()))
}

fn with_token(action: &str, args: &str, token: &str) -> Event {
    let text = format!(
        r#"{{"action":"{action}","args":{args},"context":{{"session_id":"s1","token_id":"{token}","session_scopes":[]}}}}"#
    );
    Event::from_json(text.as_bytes()).expect(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f33_no_argument_result_error_or_token_reaches_a_span(
        letters in "[A-Za-z0-9+/=_-]{12,40}",
        depth in 0usize..4,
        action in prop::sample::select(vec!["read", "drop", "pay"]),
    ) {
        let canary = format!("CANARY{letters}");
        let args = format!(
            "{}\"{canary}\"{}", r#"{"x":"#.repeat(depth + 1), "}".repeat(depth + 1)
        );
        let keyed = format!(r#"{{"{canary}":[{{"{canary}":"{canary}"}}]}}"#);
        let kept = Kept::new();
        let registrar = registrar();
        let pipeline = pipeline(|options| {
            kept.observe(options);
            options.credentials = Some(registrar.clone());
        });
        let token = registrar.broker().issue(&IssueRequest::new("s1", ["read"])).unwrap();
        let bearer = token.bearer().secret_text();
        for args in [&args, &keyed] {
            for token in [&bearer, &canary] {
                let begun = pipeline.begin(with_token(action, args, token));
                if let placet_runtime::Begun::Started(_) = begun {
                    let mut effect = spend(begun);
                    effect.returned();
                    let mut outcome = Outcome::failed("OSError", &canary);
                    outcome.result = Some(Value::from(&*canary));
                    effect.finish(outcome).unwrap();
                }
            }
        }
        let spans = kept.spans();
        prop_assert!(spans.iter().any(|span| span.name == "placet.credential.validate"));
        let told = all_of(&spans);
        prop_assert!(!told.contains(&canary), "{told}");
        prop_assert!(!told.contains(&bearer), "{told}");
    }
}
