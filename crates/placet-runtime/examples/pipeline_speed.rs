//! How long a call with its two records takes: `cargo run --release -p placet-runtime --example pipeline_speed [FOLDER [CALLS]]`.
//!
//! With a folder the ledger is an SQLite file in it, and records are `written`; without one, or with `-`, it is in memory.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, missing_docs, reason = "an example that measures")]

use std::sync::Arc;
use std::time::Instant;

use placet_policy::SourceFile;
use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet_runtime::{Gate, GateOptions};
use placet_store::{KeyFolder, LogLedger, Memory, Settings, Sqlite};
use placet_trust::Ledger;
use placet_types::{Ack, Event};

const POLICY: &str = "version: 1\nrules:\n- name: small_refund\n  when: {action: refund, role: [support_agent, manager], \
    scope: refunds, args: {amount: {gte: 0, lte: 100}}}\n  then: allow\n";

const EVENT: &str = r#"{"event_type":"tool_call","action":"refund","tool_name":"refund",
    "args":{"order_id":"A-1001","amount":20,"note":"customer asked twice"},
    "context":{"session_id":"s-1","user_role":"support_agent","session_scopes":["crm_read","refunds","mail_send"],"delegation_depth":0}}"#;

fn main() {
    let calls: usize = std::env::args().nth(2).map_or(20_000, |calls| calls.parse().unwrap());
    let ledger: Arc<dyn Ledger> = match std::env::args().nth(1).filter(|folder| folder != "-") {
        None => Arc::new(LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap())),
        Some(folder) => {
            let folder = std::path::Path::new(&folder).join(format!("pipeline-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let settings = Settings::new(KeyFolder::new(folder.join("keys")));
            Arc::new(LogLedger::new(Sqlite::new(folder.join("audit.db")), settings))
        }
    };
    let texts = vec![SourceFile::new("refunds.yaml", POLICY)];
    let gate = Gate::open(GateOptions { texts, ..GateOptions::default() }).unwrap();
    let options = PipelineOptions { ledger: Some(ledger), ack: Ack::Written, ..PipelineOptions::default() };
    let pipeline = Arc::new(Pipeline::new(gate, options));
    let event = Event::from_json(EVENT.as_bytes()).unwrap();
    let mut nanos: Vec<u128> = (0..calls).map(|_| one(&pipeline, event.clone())).collect();
    nanos.sort_unstable();
    let at = |part: usize| nanos.get(nanos.len() * part / 100).copied().unwrap_or(0);
    println!("one call: p50 {} ns, p99 {} ns", at(50), at(99));
}

fn one(pipeline: &Arc<Pipeline>, event: Event) -> u128 {
    let begun = Instant::now();
    let permit = match pipeline.begin(event) {
        Begun::Started(started) => started.permit,
        Begun::Refused(refused) => return refuse(&refused.decision.reason),
    };
    let call = permit.call().unwrap();
    permit
        .spend(&call)
        .map_err(|refusal| refuse(&refusal.reason))
        .ok()
        .unwrap()
        .finish(Outcome::succeeded(None))
        .unwrap();
    begun.elapsed().as_nanos()
}

fn refuse(reason: &str) -> u128 {
    eprintln!("the call was refused: {reason}");
    std::process::exit(1)
}
