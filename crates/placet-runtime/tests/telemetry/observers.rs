// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use placet_runtime::pipeline::{Begun, Pipeline};
use placet_runtime::telemetry::otel::{Export, Spans};
use placet_runtime::telemetry::{Observer, Opening, Step, Watcher};

use super::support::{event, pipeline, run, spend};

/// How long everything together may take at most; a single export that is waited for takes longer.
const SOON: Duration = Duration::from_secs(5);

/// What comes of some events: verdicts, and what the ledger holds afterwards.
fn outcomes(pipeline: &Arc<Pipeline>) -> Vec<String> {
    let mut seen = Vec::new();
    for action in ["read", "drop", "pay", "unheard_of"] {
        let begun = pipeline.begin(event(action, r#"{"amount": 5}"#));
        seen.push(match &begun {
            Begun::Refused(refused) => {
                format!("{} {}", refused.decision.verdict.code(), refused.decision.reason)
            }
            Begun::Started(started) => started.decision.verdict.code().to_owned(),
        });
        if let Begun::Started(_) = begun {
            drop(spend(begun));
        }
    }
    let records = pipeline.ledger().unwrap().wait(0, Instant::now()).unwrap();
    seen.push(format!("{records} records"));
    seen
}

struct Panics;

impl Observer for Panics {
    fn opens(&self, opening: &Opening<'_>) -> Arc<dyn Watcher> {
        assert_ne!(opening.tool, Some("drop"), "an observer of a test");
        Arc::new(Self)
    }
}

impl Watcher for Panics {
    fn saw(&self, _: &Step<'_>) {
        panic!("an observer of a test");
    }
}

#[derive(Debug)]
struct PanickingExporter;

impl SpanExporter for PanickingExporter {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        panic!("an exporter of a test");
    }
}

/// Blocks in its first export until the other end is dropped.
#[derive(Debug)]
struct BlockingExporter(Mutex<Receiver<()>>, Sender<()>);

impl SpanExporter for BlockingExporter {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.1.send(());
        let _ = self.0.lock().map(|gate| gate.recv());
        Ok(())
    }
}

#[test]
fn f33_observers_cannot_change_an_outcome() {
    let alone = outcomes(&pipeline(|_| ()));
    let panicking = outcomes(&pipeline(|options| options.observers = vec![Arc::new(Panics)]));
    assert_eq!(panicking, alone);

    let broken = SdkTracerProvider::builder().with_simple_exporter(PanickingExporter).build();
    let observed = pipeline(|options| options.observers = vec![Arc::new(Spans::into_provider(&broken))]);
    assert_eq!(outcomes(&observed), alone);

    let processor = BatchSpanProcessor::builder(PanickingExporter).build();
    let broken = SdkTracerProvider::builder().with_span_processor(processor).build();
    let observed = pipeline(|options| options.observers = vec![Arc::new(Spans::into_provider(&broken))]);
    assert_eq!(outcomes(&observed), alone);
    assert!(broken.force_flush().is_err());
    assert_eq!(outcomes(&observed)[..4], alone[..4]);
}

#[test]
fn f33_an_exporter_that_blocks_holds_up_no_call() {
    let ((release, gate), (tell, blocked)) = (channel(), channel());
    let processor = BatchSpanProcessor::builder(BlockingExporter(Mutex::new(gate), tell)).build();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
    let observed = pipeline(|options| options.observers = vec![Arc::new(Spans::into_provider(&provider))]);
    let began = Instant::now();
    // More spans than the queue of 2,048 holds.
    for _ in 0..100 {
        run(&observed, "read", "{}");
    }
    blocked.recv_timeout(SOON).expect("the exporter was called");
    for _ in 0..400 {
        run(&observed, "read", "{}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    drop(release);
}

#[test]
fn f33_a_dead_collector_holds_up_no_call() {
    // Port 1 of this machine: nobody listens.
    let export = Export::open(Some("http://127.0.0.1:1")).unwrap().expect("not disabled");
    let observed = pipeline(|options| options.observers = vec![Arc::new(export.spans())]);
    let began = Instant::now();
    for _ in 0..600 {
        run(&observed, "read", "{}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Sends, in vain, what is left; returns all the same.
    drop(export);
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    let Err(error) = Export::open(Some("http://[bad")) else { panic!("it was accepted") };
    assert!(error.to_string().contains("telemetry.otlp_endpoint"), "{error}");
}
