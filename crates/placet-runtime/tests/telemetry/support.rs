// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::SpanId;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use placet_policy::SourceFile;
use placet_runtime::channels::Waiting;
use placet_runtime::pipeline::{Begun, Effect, Outcome, Pipeline, PipelineOptions, Started};
use placet_runtime::telemetry::otel::Spans;
use placet_runtime::{FixedClock, Gate, GateOptions};
use placet_store::{LogLedger, Memory, Settings};
use placet_trust::Ledger;
use placet_types::{Event, Value};

pub(crate) const POLICY: &str = "version: 1\nrules:\n\
    - { name: read, when: { action: read }, then: allow }\n\
    - { name: no, when: { action: drop }, then: deny, reason: never }\n\
    - { name: large, when: { action: pay }, then: hitl, reason: a person }\n";

pub(crate) fn ledger() -> Arc<dyn Ledger> {
    Arc::new(LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap()))
}

pub(crate) fn pipeline(change: impl FnOnce(&mut PipelineOptions)) -> Arc<Pipeline> {
    let texts = vec![SourceFile::new("test.yaml", POLICY)];
    let clock = Arc::new(FixedClock(jiff::Timestamp::now()));
    let gate = Gate::open(GateOptions { texts, clock, reload: false, ..GateOptions::default() }).unwrap();
    let mut options = PipelineOptions { ledger: Some(ledger()), ..PipelineOptions::default() };
    change(&mut options);
    Arc::new(Pipeline::new(gate, options))
}

pub(crate) fn event(action: &str, args: &str) -> Event {
    let text = format!(
        r#"{{"action":"{action}","args":{args},"context":{{"session_id":"s1","delegation_depth":0,"user_role":"agent"}}}}"#
    );
    Event::from_json(text.as_bytes()).expect(&text)
}

pub(crate) fn spawn() -> Event {
    let text = r#"{"event_type":"agent.spawn","action":"agent.spawn","context":{"session_id":"s1","delegation_depth":0}}"#;
    Event::from_json(text.as_bytes()).expect(text)
}

/// Spends the permit of an allowed event.
pub(crate) fn spend(begun: Begun) -> Effect {
    let Begun::Started(Started { permit, .. }) = begun else { panic!("it was refused") };
    let call = permit.call().unwrap();
    permit.spend(&call).unwrap()
}

/// A governed call from its first moment to its last.
pub(crate) fn run(pipeline: &Arc<Pipeline>, action: &str, args: &str) {
    let mut effect = spend(pipeline.begin(event(action, args)));
    effect.returned();
    effect.finish(Outcome::succeeded(Some(Value::from("done")))).unwrap();
}

/// A call that waits for people, and whom nobody answers.
pub(crate) fn wait_in_vain(pipeline: &Arc<Pipeline>, args: &str) {
    let waiting = Waiting::until(Instant::now() + Duration::from_millis(10));
    let begun = pipeline.begin_waiting(&event("pay", args), &waiting);
    assert!(matches!(begun, Begun::Refused(_)));
}

/// A provider that keeps its spans.
pub(crate) struct Kept {
    pub(crate) provider: SdkTracerProvider,
    exporter: InMemorySpanExporter,
}

impl Kept {
    pub(crate) fn new() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        Self { provider, exporter }
    }

    pub(crate) fn observe(&self, options: &mut PipelineOptions) {
        options.observers = vec![Arc::new(Spans::into_provider(&self.provider))];
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    /// Each span as `parent > name`, in the order of their beginning.
    pub(crate) fn links(&self) -> Vec<String> {
        links(&self.spans())
    }
}

pub(crate) fn links(spans: &[SpanData]) -> Vec<String> {
    let names: HashMap<SpanId, &str> =
        spans.iter().map(|span| (span.span_context.span_id(), &*span.name)).collect();
    let mut sorted: Vec<&SpanData> = spans.iter().collect();
    // An outer span that began at the same moment comes first.
    sorted.sort_by_key(|span| (span.start_time, std::cmp::Reverse(span.end_time)));
    let parent = |span: &SpanData| names.get(&span.parent_span_id).copied().unwrap_or("-");
    sorted.iter().map(|span| format!("{} > {}", parent(span), span.name)).collect()
}
