//! What changes while a call waits for people: credentials, policies, processes.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use placet_runtime::pipeline::{Begun, Pipeline, PipelineOptions};
use placet_runtime::{Gate, GateOptions, Registrar, SystemClock};
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite};
use placet_trust::Ledger;
use placet_trust::approvals::Reviewers;
use placet_trust::approvals::queue::{Proof, Queue};
use placet_trust::credentials::authority::{ArgumentLimit, Constraint, Range, ToolLimit, Tools};
use placet_trust::credentials::broker::{BrokerLimits, DelegateRequest, IssueRequest};
use placet_types::Event;
use placet_types::ledger::ApprovalState;

use crate::common::{Bench, POLICY, Spy, TestHost, code, event, gate, pending, vote, within};

fn registrar(ledger: Arc<dyn Ledger>) -> Arc<Registrar> {
    let clock = Arc::new(SystemClock::default());
    Arc::new(Registrar::new(ledger, clock, BrokerLimits::default(), "test".into()))
}

fn pay_as(token: &str, amount: u32) -> Event {
    event(&format!(
        r#"{{"action":"pay","tool_name":"pay","args":{{"amount":{amount}}},
            "context":{{"session_id":"s1","session_scopes":["pay"],"delegation_depth":0,"token_id":"{token}"}}}}"#
    ))
}

/// A pipeline that demands credentials, and the token of its session.
fn demanding(ledger: Arc<Spy>) -> (Bench, Arc<Registrar>, String) {
    let registrar = registrar(ledger.clone());
    let options = PipelineOptions {
        ledger: Some(ledger.clone()),
        credentials: Some(registrar.clone()),
        ..PipelineOptions::default()
    };
    let token = registrar.broker().issue(&IssueRequest::new("s1", ["pay"])).unwrap().bearer().secret_text();
    let bench = Bench { pipeline: Arc::new(Pipeline::new(gate(POLICY), options)), ledger };
    (bench, registrar, token)
}

#[test]
fn kite_20_15_a_call_whose_credential_is_revoked_while_it_waits_does_not_run() {
    let (bench, registrar, token) = demanding(Spy::memory(Reviewers::new()));
    let got = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay_as(&token, 500), &within(20_000))));
        let id = pending(bench.ledger.as_ref()).entry.id;
        assert!(registrar.broker().revoke(&token).unwrap());
        vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
        let got = call.join().unwrap();
        let approval = Queue::new(bench.ledger.as_ref(), &TestHost).get(&id).unwrap().unwrap();
        assert_eq!(approval.state, ApprovalState::Approved, "the yes was used by nobody");
        got
    });
    assert_eq!((got, &*bench.ledger.last_code()), ("credential_validation", "credential_validation"));
    // Another token of the same session does not inherit the yes.
    let again = registrar.broker().issue(&IssueRequest::new("s1", ["pay"])).unwrap().bearer().secret_text();
    assert_eq!(code(bench.pipeline.begin(pay_as(&again, 500))), "approval_required");
}

#[test]
fn kite_20_15_a_permit_that_a_person_gave_is_not_spent_after_a_revocation() {
    let (bench, registrar, token) = demanding(Spy::memory(Reviewers::new()));
    assert_eq!(code(bench.pipeline.begin(pay_as(&token, 500))), "approval_required");
    let id = pending(bench.ledger.as_ref()).entry.id;
    vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, true).unwrap();
    let Begun::Started(started) = bench.pipeline.begin(pay_as(&token, 500)) else { panic!("refused") };
    registrar.broker().revoke(&token).unwrap();
    let call = started.permit.call().unwrap();
    let refused = started.permit.spend(&call).err().expect("the credential is gone");
    assert_eq!(refused.cause.code(), "credential_validation");
}

/// A pipeline whose policy lies in a file.
fn filed(folder: &std::path::Path) -> (Bench, std::path::PathBuf) {
    let file = folder.join("policy.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let clock = Arc::new(SystemClock::default());
    let options = GateOptions { policies: vec![file.clone()], clock, ..GateOptions::default() };
    let ledger = Spy::memory(Reviewers::new());
    let pipeline = PipelineOptions { ledger: Some(ledger.clone()), ..PipelineOptions::default() };
    (Bench { pipeline: Arc::new(Pipeline::new(Gate::open(options).unwrap(), pipeline)), ledger }, file)
}

#[test]
fn f68_a_yes_under_another_policy_is_not_applied_and_people_are_asked_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, file) = filed(folder.path());
    let ledger = bench.ledger.as_ref();
    let call = || {
        event(r#"{"action":"pay","args":{"amount":500},"context":{"session_id":"s1","delegation_depth":0}}"#)
    };
    let asked = std::thread::scope(|scope| {
        let waits = scope.spawn(|| code(bench.pipeline.begin_waiting(&call(), &within(4_000))));
        let first = pending(ledger).entry.id;
        std::fs::write(&file, POLICY.replace("gt: 100", "gt: 50")).unwrap();
        // The gate looks at its files at most once a second.
        std::thread::sleep(Duration::from_millis(1_100));
        vote(ledger, &first, "ann", Proof::Asserted, true).unwrap();
        let second = loop {
            let second = pending(ledger).entry.id;
            if second != first {
                break second;
            }
        };
        let queue = Queue::new(ledger, &TestHost);
        assert_eq!(queue.get(&first).unwrap().unwrap().state, ApprovalState::Approved, "unused");
        vote(ledger, &second, "ann", Proof::Asserted, true).unwrap();
        assert_eq!(waits.join().unwrap(), "allowed");
        assert_eq!(queue.get(&second).unwrap().unwrap().state, ApprovalState::Consumed);
        first
    });
    assert_eq!(Queue::new(ledger, &TestHost).get(&asked).unwrap().unwrap().state, ApprovalState::Approved);
}

#[test]
fn f68_a_call_that_the_new_policy_allows_needs_no_yes() {
    let folder = tempfile::tempdir().unwrap();
    let (bench, file) = filed(folder.path());
    let call =
        event(r#"{"action":"pay","args":{"amount":500},"context":{"session_id":"s1","delegation_depth":0}}"#);
    assert_eq!(code(bench.pipeline.begin(call.clone())), "approval_required");
    std::fs::write(&file, "version: 1\nrules:\n- { name: free, when: { action: pay }, then: allow }\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(code(bench.pipeline.begin(call)), "allowed");
    assert_eq!(pending(bench.ledger.as_ref()).state, ApprovalState::Pending, "nobody answered for it");
}

#[test]
fn f67_f70_a_waiting_call_records_what_time_does_to_its_request() {
    let bench = crate::common::bench_over(Spy::memory(Reviewers::new()), |options| {
        options.approvals.due_seconds = Some(1);
    });
    let got = code(bench.pipeline.begin_waiting(&crate::common::pay(500), &within(1_400)));
    assert_eq!(got, "approval_timeout");
    let approval = pending(bench.ledger.as_ref());
    let at = approval.marks[&placet_types::ledger::ApprovalEvent::Breached];
    let late = at.0 - approval.entry.due_us.unwrap().0;
    assert!((0..300_000).contains(&late), "{late} µs after its time");
}

fn refunds(most: f64) -> Tools {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let limit = ToolLimit { arguments: [("amount".into(), amount)].into(), ..ToolLimit::default() };
    Tools::Only(BTreeMap::from([("pay".into(), limit)]))
}

#[test]
fn f20_f23_a_parent_with_limits_that_was_issued_before_a_restart_delegates_within_them() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let settings = Settings::new(KeyFolder::new(folder.path().join("keys")));
        registrar(Arc::new(LogLedger::new(Sqlite::new(folder.path().join("audit.db")), settings)))
    };
    let parent = {
        let before = open();
        let mut request = IssueRequest::new("s1", ["pay"]);
        request.tools = refunds(100.0);
        before.broker().issue(&request).unwrap().bearer().secret_text()
    };
    let after = open();
    assert_eq!(after.broker().handle(&parent).unwrap().authority().tools, refunds(100.0));
    let child = |most| {
        let tools = Some(refunds(most));
        after.broker().delegate(&parent, &DelegateRequest { tools, ..DelegateRequest::new("s2", ["pay"]) })
    };
    let error = child(101.0).unwrap_err().to_string();
    assert!(error.contains(r#"{"amount":101}"#), "{error}");
    let child = child(50.0).unwrap().bearer().secret_text();
    drop(after);
    assert_eq!(open().broker().handle(&child).unwrap().authority().tools, refunds(50.0));
}
