//! Chains of signed tokens through the pipeline: a proof is spent by the call that begins, and by nothing else.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use placet_policy::SourceFile;
use placet_runtime::digest::digest;
use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet_runtime::registrar::SystemRandom;
use placet_runtime::{FixedClock, Gate, GateOptions, Registrar};
use placet_store::{LedgerIssuer, LogLedger, Memory, Settings};
use placet_trust::credentials::broker::{BrokerLimits, DelegateRequest, HeldChain, IssueRequest};
use placet_trust::credentials::keys::SecretKey;
use placet_trust::credentials::token::ProofRequest;
use placet_types::{Ack, Digest, Event, Field, Identity, Value};

const POLICY: &str = "version: 1\nrules:\n\
    - { name: pays, when: { action: pay, args.amount: { lte: 100 } }, then: allow }\n\
    - { name: deep, when: { action: look, context.delegation_depth: { gte: 2 } }, then: allow }\n";

struct Shop {
    pipeline: Arc<Pipeline>,
    registrar: Arc<Registrar>,
    held: HeldChain,
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

/// A shop that accepts a chain of three, held by key 3 for the session `s2`.
fn shop() -> Shop {
    let ledger = Arc::new(LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap()));
    let clock = Arc::new(FixedClock(jiff::Timestamp::now()));
    let registrar = Registrar::new(ledger.clone(), clock.clone(), BrokerLimits::default(), "test".into());
    let registrar = Arc::new(registrar.issuer(Arc::new(LedgerIssuer::new(ledger.clone()))));
    let texts = vec![SourceFile::new("policy.yaml", POLICY)];
    let gate = Gate::open(GateOptions { texts, clock, reload: false, ..GateOptions::default() }).unwrap();
    let options = PipelineOptions {
        ledger: Some(ledger),
        credentials: Some(registrar.clone()),
        ack: Ack::Written,
        ..PipelineOptions::default()
    };
    let request = IssueRequest {
        tenant: Some("acme".into()),
        role: Some("clerk".into()),
        ..IssueRequest::new("s0", ["pay", "read"])
    };
    let (_, chain) = registrar.broker().issue_signed(&request, &key(1).public()).unwrap();
    let mut held = HeldChain::new(chain, key(1)).unwrap();
    for seed in 2..4 {
        let mut request = DelegateRequest::new(format!("s{}", seed - 1), ["pay"]);
        request.agent = Some("worker".into());
        let made = held.delegate(&request, key(seed).public(), registrar.time(), &SystemRandom).unwrap();
        held = HeldChain::new(made.chain, key(seed)).unwrap();
    }
    Shop { pipeline: Arc::new(Pipeline::new(gate, options)), registrar, held }
}

impl Shop {
    fn prove(&self, tool: &str, args: &str) -> String {
        let args = Digest(digest(&placet_types::json::parse(args.as_bytes()).unwrap()));
        let request = ProofRequest { tool, args: &args, audience: None };
        self.held.prove(&request, self.registrar.time(), &SystemRandom).unwrap().to_text()
    }

    fn run(&self, event: &Event) -> Result<(), (&'static str, String)> {
        match self.pipeline.begin(event.clone()) {
            Begun::Refused(refused) => {
                Err((refused.decision.verdict.code(), refused.decision.reason.to_string()))
            }
            Begun::Started(started) => {
                let call = started.permit.call().unwrap();
                started.permit.spend(&call).unwrap().finish(Outcome::succeeded(None)).unwrap();
                Ok(())
            }
        }
    }
}

fn event(action: &str, args: &str, token: &str) -> Event {
    let text = format!(
        r#"{{"action":"{action}","tool_name":"{action}","args":{args},"context":{{"session_id":"s2","session_scopes":["pay"],"delegation_depth":0,"token_id":"{token}"}}}}"#
    );
    Event::from_json(text.as_bytes()).unwrap()
}

#[test]
fn promise_6_a_proof_is_spent_by_the_call_that_begins_and_by_nothing_else() {
    let shop = shop();
    let args = r#"{"amount":100}"#;
    let call = event("pay", args, &shop.prove("pay", args));
    // Asking does not use it up.
    let asked = shop.pipeline.ask(call.clone());
    assert_eq!((asked.decision.verdict.code(), asked.decision.identity), ("allowed", Identity::Verified));
    let seen = asked.request.event();
    let text = |field| seen.get(field).as_str().unwrap_or("-").to_owned();
    let whose = [Field::TenantId, Field::UserRole, Field::AgentId].map(text);
    assert_eq!(whose, ["acme", "clerk", "worker"]);
    assert!(text(Field::TokenId).starts_with("aat_"), "the chain goes no further");
    assert_eq!(seen.get(Field::DelegationDepth), &Value::Int(2));
    shop.run(&call).unwrap();
    let (code, reason) = shop.run(&call).unwrap_err();
    assert_eq!((code, reason.contains("used before")), ("credential_validation", true));
    // A refused call does not use it up either: it is refused for what it is.
    let args = r#"{"amount":101}"#;
    let large = event("pay", args, &shop.prove("pay", args));
    for _ in 0..2 {
        assert_eq!(shop.run(&large).unwrap_err().0, "no_rule_matched");
    }
    shop.run(&event("look", "{}", &shop.prove("look", "{}"))).unwrap();
}

#[test]
fn promise_6_a_proof_covers_a_tool_call_and_nothing_beside_it() {
    let shop = shop();
    let proof = shop.prove("spawn", "{}");
    let mut spawn = event("spawn", "{}", &proof);
    spawn.set(Field::EventType, "agent.spawn");
    let (code, reason) = shop.run(&spawn).unwrap_err();
    assert_eq!((code, reason.contains("covers a tool call")), ("credential_validation", true));
    // The same chain in the hands of its holder, in this process.
    let handle = shop.registrar.broker().hold(&shop.held).unwrap().bearer().secret_text();
    spawn.set(Field::TokenId, &*handle);
    assert_ne!(shop.run(&spawn).err().map(|(code, _)| code), Some("credential_validation"));
    shop.run(&event("look", "{}", &handle)).unwrap();
}

#[test]
fn promise_9_a_revoked_link_ends_a_permit_that_was_not_spent() {
    let shop = shop();
    let Begun::Started(started) = shop.pipeline.begin(event("look", "{}", &shop.prove("look", "{}"))) else {
        panic!("it starts")
    };
    let middle = shop.held.chain().claimed().unwrap()[1].id.clone();
    assert!(shop.registrar.broker().revoke(&middle.0).unwrap());
    let call = started.permit.call().unwrap();
    assert_eq!(started.permit.spend(&call).err().unwrap().cause.code(), "credential_validation");
}
