//! How long credentials take through the broker and the pipeline, over an SQLite ledger in a folder:
//! `cargo run --release -p placet-runtime --example signed_speed FOLDER`.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "an example that measures")]

#[path = "../../placet-trust/examples/timing/mod.rs"]
mod timing;

use std::hint::black_box;
use std::sync::Arc;

use placet_policy::SourceFile;
use placet_runtime::digest::digest;
use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet_runtime::registrar::SystemRandom;
use placet_runtime::{Gate, GateOptions, Registrar, SystemClock};
use placet_store::{KeyFolder, LedgerIssuer, LogLedger, Settings, Sqlite};
use placet_trust::credentials::broker::{BrokerLimits, DelegateRequest, HeldChain, IssueRequest};
use placet_trust::credentials::keys::SecretKey;
use placet_trust::credentials::token::ProofRequest;
use placet_types::{Ack, Digest, Event, Field, Object, Value};
use timing::measure;

const POLICY: &str = "version: 1\nrules: [{ name: pays, when: { action: pay, scope: pay }, then: allow }]\n";

const EVENT: &str = r#"{"event_type":"tool_call","action":"pay","tool_name":"pay","args":{},
    "context":{"session_id":"s2","session_scopes":["pay"],"delegation_depth":0}}"#;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| panic!("name a folder"));
    let folder = std::path::Path::new(&folder).join(format!("signed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let settings = Settings::new(KeyFolder::new(folder.join("keys")));
    let ledger = Arc::new(LogLedger::new(Sqlite::new(folder.join("audit.db")), settings));
    let clock = Arc::new(SystemClock::default());
    let registrar = Registrar::new(ledger.clone(), clock.clone(), BrokerLimits::default(), "speed".into());
    let registrar = Arc::new(registrar.issuer(Arc::new(LedgerIssuer::new(ledger.clone()))));
    let broker = registrar.broker();
    let request = IssueRequest::new("s0", ["pay"]);
    let (_, chain) = broker.issue_signed(&request, &key(1).public()).unwrap();
    let mut held = HeldChain::new(chain, key(1)).unwrap();
    for seed in 2..4 {
        let request = DelegateRequest::new(format!("s{}", seed - 1), ["pay"]);
        let made = held.delegate(&request, key(seed).public(), registrar.time(), &SystemRandom).unwrap();
        held = HeldChain::new(made.chain, key(seed)).unwrap();
    }
    let text = held.chain().to_text();
    let handle = broker.hold(&held).unwrap().bearer().secret_text();
    measure("a handle: live or not", 500, 100, || drop(black_box(broker.look(&handle).unwrap())));
    measure("a chain of three, seen before", 500, 20, || drop(black_box(broker.verified(&text).unwrap())));
    // A broker that remembers nothing: what a first sight costs.
    measure("a chain of three, never seen", 300, 1, || {
        let new = Registrar::new(ledger.clone(), clock.clone(), BrokerLimits::default(), "speed".into());
        let new = new.issuer(Arc::new(LedgerIssuer::new(ledger.clone())));
        let keys = new.broker();
        black_box(keys.verified(&text).unwrap());
    });

    let texts = vec![SourceFile::new("pays.yaml", POLICY)];
    let gate = Gate::open(GateOptions { texts, ..GateOptions::default() }).unwrap();
    let options = PipelineOptions {
        ledger: Some(ledger),
        credentials: Some(registrar.clone()),
        ack: Ack::Written,
        ..PipelineOptions::default()
    };
    let pipeline = Arc::new(Pipeline::new(gate, options));
    let mut event = Event::from_json(EVENT.as_bytes()).unwrap();
    event.set(Field::TokenId, &*handle);
    measure("a call with a handle, written", 2_000, 1, || one(&pipeline, event.clone()));
    let args = Digest(digest(&Value::Object(Object::new())));
    let proof = ProofRequest { tool: "pay", args: &args, audience: None };
    measure("sign a proof", 500, 1, || drop(black_box(held.prove(&proof, registrar.time(), &SystemRandom))));
    let mut proofs = (0..2_000).map(|_| {
        let shown = held.prove(&proof, registrar.time(), &SystemRandom).unwrap().to_text();
        let mut event = event.clone();
        event.set(Field::TokenId, &*shown);
        event
    });
    let events: Vec<Event> = proofs.by_ref().collect();
    let mut events = events.into_iter();
    measure("a call with a chain and a proof, written", 2_000, 1, || {
        one(&pipeline, events.next().unwrap_or_default());
    });
}

fn one(pipeline: &Arc<Pipeline>, event: Event) {
    let permit = match pipeline.begin(event) {
        Begun::Started(started) => started.permit,
        Begun::Refused(refused) => panic!("the call was refused: {}", refused.decision.reason),
    };
    let call = permit.call().unwrap();
    let Ok(effect) = permit.spend(&call) else { panic!("the permit was refused") };
    effect.finish(Outcome::succeeded(None)).unwrap();
}
