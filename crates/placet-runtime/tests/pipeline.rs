//! One event, end to end, over a ledger in memory and over one that fails.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use placet_policy::{Request, SourceFile};
use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions, Refused, Started, Stated};
use placet_runtime::{FixedClock, Gate, GateOptions, Registrar};
use placet_store::{LogLedger, Memory, Settings};
use placet_trust::credentials::broker::{BrokerLimits, IssueRequest};
use placet_trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, State, TenantKey, View};
use placet_types::ledger::{Vote, VoteStrength};
use placet_types::record::ChangeFact;
use placet_types::{
    Ack, ApproverId, DenyCause, Digest, Event, Fact, Field, LedgerOp, Record, RecordId, Value, Verdict,
};
use proptest::prelude::*;

const POLICY: &str = "version: 1\nrules:\n\
    - { name: read, when: { action: read }, then: allow }\n\
    - { name: small, when: { action: pay, args.amount: { gte: 0, lte: 100 } }, then: allow }\n\
    - { name: large, when: { action: pay, args.amount: { gt: 100, lte: 1000 } }, then: hitl, reason: a person }\n\
    - { name: after, when: { action: refund, session.tool_history: { contains: read } }, then: allow }\n";

/// A ledger in memory that fails when told to, and counts what it commits.
struct Fickle {
    inner: LogLedger<Memory>,
    fails: AtomicBool,
    commits: AtomicUsize,
    /// What it was told to commit, whether it did or not.
    told: Mutex<Vec<(Record, Option<View>)>>,
}

impl Ledger for Fickle {
    fn commit(&self, proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError> {
        self.told.lock().unwrap().push((proposal.record.clone(), proposal.view.clone()));
        if self.fails.load(Ordering::Relaxed) {
            let cause = "the disk is full".to_owned();
            return Err(LedgerError::Unavailable { ledger: "test".into(), action: "append", cause });
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(proposal, ack)
    }

    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        self.inner.read(freshness, look)
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        self.inner.wait(seen, until)
    }

    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        self.inner.tenant_key(tenant)
    }
}

struct Bench {
    ledger: Arc<Fickle>,
    pipeline: Arc<Pipeline>,
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock(jiff::Timestamp::now()))
}

fn gate(policy: &str) -> Gate {
    let texts = vec![SourceFile::new("test.yaml", policy)];
    Gate::open(GateOptions { texts, clock: clock(), reload: false, ..GateOptions::default() }).unwrap()
}

fn ledger() -> Arc<Fickle> {
    let inner = LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap());
    Arc::new(Fickle {
        inner,
        fails: AtomicBool::new(false),
        commits: AtomicUsize::new(0),
        told: Mutex::default(),
    })
}

fn bench(change: impl FnOnce(&mut PipelineOptions)) -> Bench {
    let ledger = ledger();
    let mut options = PipelineOptions { ledger: Some(ledger.clone()), ..PipelineOptions::default() };
    change(&mut options);
    Bench { pipeline: Arc::new(Pipeline::new(gate(POLICY), options)), ledger }
}

fn event(json: &str) -> Event {
    Event::from_json(json.as_bytes()).expect(json)
}

fn pay(amount: &str) -> Event {
    event(&format!(
        r#"{{"action":"pay","args":{{"amount":{amount}}},"context":{{"session_id":"s1","delegation_depth":0}}}}"#
    ))
}

fn started(begun: Begun) -> Started {
    match begun {
        Begun::Started(started) => started,
        Begun::Refused(Refused { decision, .. }) => panic!("refused: {decision:?}"),
    }
}

fn refused(begun: Begun) -> Refused {
    match begun {
        Begun::Refused(refused) => refused,
        Begun::Started(_) => panic!("it started"),
    }
}

fn code(begun: Begun) -> &'static str {
    refused(begun).decision.verdict.code()
}

/// Runs an allowed call to its end, as an enforcement point does.
fn run(bench: &Bench, event: Event) -> Result<(), &'static str> {
    match bench.pipeline.begin(event) {
        Begun::Refused(refused) => Err(refused.decision.verdict.code()),
        Begun::Started(Started { permit, .. }) => {
            let call = permit.call().unwrap();
            permit
                .spend(&call)
                .map_err(|refusal| refusal.cause.code())?
                .finish(Outcome::succeeded(None))
                .unwrap();
            Ok(())
        }
    }
}

#[test]
fn promise_7_a_decision_is_committed_before_and_an_outcome_after() {
    let bench = bench(|_| {});
    let Started { permit, .. } = started(bench.pipeline.begin(pay("5")));
    assert_eq!(bench.ledger.commits.load(Ordering::Relaxed), 1);
    let call = permit.call().unwrap();
    permit.spend(&call).unwrap().finish(Outcome::succeeded(Some("done".into()))).unwrap();
    assert_eq!(bench.ledger.commits.load(Ordering::Relaxed), 2);
    assert_eq!(code(bench.pipeline.begin(pay("5000"))), "no_rule_matched");
    assert_eq!(bench.ledger.commits.load(Ordering::Relaxed), 3, "a deny is recorded too");
}

#[test]
fn promise_7_nothing_starts_when_the_record_cannot_be_committed() {
    let bench = bench(|_| {});
    bench.ledger.fails.store(true, Ordering::Relaxed);
    let refused = refused(bench.pipeline.begin(pay("5")));
    assert_eq!(
        (refused.decision.verdict.code(), refused.decision.verdict.is_hard()),
        ("audit_unavailable", true)
    );
    bench.ledger.fails.store(false, Ordering::Relaxed);
    assert_eq!(run(&bench, pay("5")), Ok(()));
}

#[test]
fn promise_7_an_outcome_that_is_owed_stops_everything_new() {
    let bench = bench(|_| {});
    let Started { permit, .. } = started(bench.pipeline.begin(pay("5")));
    let call = permit.call().unwrap();
    let effect = permit.spend(&call).unwrap();
    bench.ledger.fails.store(true, Ordering::Relaxed);
    assert!(effect.finish(Outcome::succeeded(None)).is_err(), "the result must be withheld");
    assert_eq!(code(bench.pipeline.begin(pay("5"))), "audit_unavailable");
    bench.ledger.fails.store(false, Ordering::Relaxed);
    assert_eq!(run(&bench, pay("5")), Ok(()), "once the outcome is recorded, calls go on");
    assert_eq!(bench.ledger.commits.load(Ordering::Relaxed), 4, "decision, owed outcome, decision, outcome");
}

/// A ledger that has a record already whose answer was lost takes it for the same one.
#[test]
fn promise_7_an_outcome_that_is_owed_is_told_again_as_it_was() {
    let bench = bench(|_| {});
    let Started { permit, .. } = started(bench.pipeline.begin(limited(5)));
    let call = permit.call().unwrap();
    let effect = permit.spend(&call).unwrap();
    bench.ledger.fails.store(true, Ordering::Relaxed);
    assert!(effect.finish(Outcome::succeeded(Some("password=hunter2".into()))).is_err());
    assert_eq!(code(bench.pipeline.begin(pay("5"))), "audit_unavailable");
    let told = bench.ledger.told.lock().unwrap();
    let [(decision, _), first, second] = &told[..] else { panic!("{told:?}") };
    assert_eq!(first, second);
    let (outcome, Some(View::Text(view))) = first else { panic!("{first:?}") };
    assert_eq!((&outcome.session, outcome.ops.len()), (&decision.session, 1));
    assert!(matches!(&outcome.fact, Fact::Outcome(fact) if fact.decision == decision.id));
    assert!(view.contains("[REDACTED:") && !view.contains("hunter2"), "{view}");
}

#[test]
fn promise_5_a_permit_runs_what_was_decided_and_only_once() {
    let bench = bench(|_| {});
    let Started { permit, .. } = started(bench.pipeline.begin(pay("5")));
    let refusal = permit.spend(&Digest([7; 32])).err().unwrap();
    assert_eq!(refusal.cause.code(), "permit_invalid");
    assert_eq!(
        bench.ledger.commits.load(Ordering::Relaxed),
        2,
        "the permit was given back, which is recorded"
    );
}

#[test]
fn a_forgotten_effect_is_recorded_as_cancelled_and_a_forgotten_permit_costs_nothing() {
    let bench = bench(|_| {});
    drop(started(bench.pipeline.begin(limited(1))).permit);
    assert_eq!(run(&bench, limited(1)), Ok(()), "a permit that was given back costs nothing");
    let Started { permit, .. } = started(bench.pipeline.begin(limited(2)));
    let call = permit.call().unwrap();
    drop(permit.spend(&call).unwrap());
    assert_eq!(
        run(&bench, limited(2)),
        Err("denied_by_rule"),
        "what may have happened counts, so the core guard denies"
    );
}

#[test]
fn f11_a_limit_with_a_fraction_is_not_ignored() {
    let bench = bench(|_| {});
    assert_eq!(run(&bench, limited(1.5)), Ok(()));
    assert_eq!(run(&bench, limited(1.5)), Err("budget_exhausted"), "half a call is none");
}

fn limited(calls: impl std::fmt::Display) -> Event {
    event(&format!(
        r#"{{"action":"read","context":{{"session_id":"s9","delegation_depth":0,"budget_total_api_calls":{calls},"budget_used_api_calls":0}}}}"#
    ))
}

#[test]
fn f11_twenty_calls_at_once_on_a_budget_of_one_run_once() {
    let bench = bench(|_| {});
    let ran = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                if run(&bench, limited(1)).is_ok() {
                    ran.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[test]
fn f82_policies_see_what_the_session_did_before() {
    let bench = bench(|_| {});
    let refund = || event(r#"{"action":"refund","context":{"session_id":"s1","delegation_depth":0}}"#);
    assert_eq!(run(&bench, refund()), Err("no_rule_matched"));
    let claimed = r#"{"action":"refund","context":{"session_id":"s1","delegation_depth":0},"session":{"tool_history":["read"]}}"#;
    assert_eq!(run(&bench, event(claimed)), Err("no_rule_matched"), "the caller cannot make history");
    run(&bench, event(r#"{"action":"read","context":{"session_id":"s1","delegation_depth":0}}"#)).unwrap();
    assert_eq!(run(&bench, refund()), Ok(()));
}

#[test]
fn f16_what_asks_a_person_runs_once_after_a_yes_and_never_before() {
    let bench = bench(|_| {});
    let first = refused(bench.pipeline.begin(pay("500")));
    assert!(matches!(first.decision.verdict, Verdict::Escalate { .. }));
    let approval = first.approval.expect("somebody was asked");
    let second = refused(bench.pipeline.begin(pay("500")));
    assert_eq!(second.approval.as_ref(), Some(&approval), "a repeated call joins the open request");
    vote(&bench, &approval, true);
    assert!(matches!(refused(bench.pipeline.begin(pay("501"))).decision.verdict, Verdict::Escalate { .. }));
    assert_eq!(run(&bench, pay("500")), Ok(()));
    assert_eq!(run(&bench, pay("500")), Err("approval_required"), "an approval is used once");
}

#[test]
fn f68_a_no_holds_for_the_call_and_for_no_other() {
    let bench = bench(|_| {});
    let approval = refused(bench.pipeline.begin(pay("500"))).approval.unwrap();
    vote(&bench, &approval, false);
    assert_eq!(run(&bench, pay("500")), Err("approval_denied"));
    assert_eq!(run(&bench, pay("501")), Err("approval_required"));
}

/// Somebody answers, through the ledger as any channel does.
fn vote(bench: &Bench, approval: &placet_types::ApprovalId, approve: bool) {
    let mut found = None;
    let mut look = |state: &State| found = state.approvals.get(approval).map(|asked| asked.entry.clone());
    bench.ledger.read(Freshness::Now, &mut look).unwrap();
    let entry = found.expect("the request is in the ledger");
    let id = RecordId::from(format!("vote-{approve}-{approval}"));
    let mut record = Record::new(id.clone(), Fact::Change(ChangeFact { by: "ann".into() }));
    record.ops.push(LedgerOp::Vote(Box::new(Vote {
        approval: approval.clone(),
        digest: entry.digest,
        approver: ApproverId::from("ann"),
        groups: Vec::new(),
        approve,
        strength: VoteStrength::Asserted,
        channel: "cli".into(),
        at_us: entry.asked_us,
        record: id,
        signature: None,
        key: None,
    })));
    let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
    assert_eq!(bench.ledger.commit(proposal, Ack::Durable).unwrap().refused, None);
}

#[test]
fn f22_identity_is_what_the_credential_says() {
    let ledger = ledger();
    let registrar = Arc::new(Registrar::new(ledger.clone(), clock(), BrokerLimits::default(), "test".into()));
    let options = PipelineOptions {
        ledger: Some(ledger.clone()),
        credentials: Some(registrar.clone()),
        ..PipelineOptions::default()
    };
    let bench = Bench { pipeline: Arc::new(Pipeline::new(gate(POLICY), options)), ledger };
    let issue = |session: &str, scopes: &[&str]| {
        let token = registrar.broker().issue(&IssueRequest::new(session, scopes.iter().copied())).unwrap();
        token.bearer().secret_text()
    };
    let read = |token: &str, scopes: &str| {
        event(&format!(
            r#"{{"action":"read","context":{{"session_id":"s1","session_scopes":{scopes},"delegation_depth":0,"token_id":"{token}"}}}}"#
        ))
    };
    let own = issue("s1", &["pay", "read"]);
    assert_eq!(run(&bench, read(&own, r#"["pay"]"#)), Ok(()));
    let denied = Err("credential_validation");
    assert_eq!(run(&bench, read("", "[]")), denied, "no token");
    assert_eq!(run(&bench, read("tok_nonsense", "[]")), denied, "unknown token");
    assert_eq!(run(&bench, read(&own, r#"["admin"]"#)), denied, "a scope it does not hold");
    assert_eq!(run(&bench, read(&issue("s2", &["pay"]), "[]")), denied, "another session's token");
    let Started { permit, .. } = started(bench.pipeline.begin(read(&own, "[]")));
    assert!(registrar.broker().revoke(&own).unwrap());
    let call = permit.call().unwrap();
    assert_eq!(permit.spend(&call).err().unwrap().cause.code(), "credential_validation", "revoked since");
    assert_eq!(run(&bench, read(&own, "[]")), denied, "revoked");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// What is kept of an event is enough to begin it again as it came, whoever shows which credential.
    #[test]
    fn f16_an_event_that_began_is_put_back_as_it_came(
        event in placet_testkit::events::event(),
        identity in 0..3,
        args in placet_testkit::events::value(),
        odd in 0..4,
    ) {
        let (bench, token) = of_holder();
        run(&bench, holders(event_of("read"), &token)).unwrap();
        let mut event = event;
        if odd == 0 {
            event.set(Field::Args, args);
        }
        let (pipeline, event) = match identity {
            0 => (self::bench(|_| {}).pipeline, event),
            1 => (bench.pipeline, event),
            _ => (bench.pipeline, holders(event, &token)),
        };
        let stated = Stated::of(&event);
        let again = match pipeline.begin(event.clone()) {
            Begun::Refused(refused) => stated.put_back(refused.request.event()),
            Begun::Started(started) => stated.put_back(started.request.event()),
        };
        let closed = |event: &Event| Request::new(event.clone());
        prop_assert_eq!(closed(&again), closed(&event));
        let (first, second) = (pipeline.prepare(event), pipeline.prepare(again));
        prop_assert_eq!(closed(first.event()), closed(second.event()));
        prop_assert_eq!(first.refusal(), second.refusal());
    }
}

/// A pipeline that demands credentials, and the token of one with a tenant, an agent and a role.
fn of_holder() -> (Bench, String) {
    let ledger = ledger();
    let registrar = Arc::new(Registrar::new(ledger.clone(), clock(), BrokerLimits::default(), "test".into()));
    let mut request = IssueRequest::new("s1", ["clerk"]);
    request.tenant = Some("t1".into());
    request.agent = Some("a1".into());
    request.role = Some("clerk".into());
    let token = registrar.broker().issue(&request).unwrap().bearer().secret_text();
    let options = PipelineOptions {
        ledger: Some(ledger.clone()),
        credentials: Some(registrar),
        ..PipelineOptions::default()
    };
    (Bench { pipeline: Arc::new(Pipeline::new(gate(POLICY), options)), ledger }, token)
}

fn event_of(action: &str) -> Event {
    event(&format!(r#"{{"action":"{action}"}}"#))
}

/// The event in the session of that token.
fn holders(mut event: Event, token: &str) -> Event {
    event.set(Field::TokenId, token);
    event.set(Field::SessionId, "s1");
    for field in [Field::SessionScopes, Field::TenantId, Field::AgentId, Field::UserRole, Field::Tenant] {
        event.set(field, Value::Null);
    }
    event.set(Field::AgentRole, Value::Null);
    event
}

fn plan(session: &str, tools: &[&str]) -> Event {
    let steps: Vec<_> = tools.iter().map(|tool| serde_json::json!({ "tool": tool })).collect();
    let context = serde_json::json!({ "session_id": session, "delegation_depth": 0 });
    let json = serde_json::json!({ "event_type": "agent.plan", "steps": steps, "context": context });
    event(&json.to_string())
}

fn call_in(session: &str, tool: &str) -> Event {
    event(&format!(
        r#"{{"action":"{tool}","args":{{"amount":1}},"context":{{"session_id":"{session}","delegation_depth":0}}}}"#
    ))
}

#[test]
fn f10_after_a_plan_is_approved_a_call_off_it_is_denied() {
    let bench = bench(|_| {});
    run(&bench, call_in("planned", "pay")).unwrap();
    run(&bench, plan("planned", &["read", "lookup", "read"])).unwrap();
    run(&bench, call_in("planned", "read")).unwrap();
    let refused = refused(bench.pipeline.begin(call_in("planned", "pay")));
    assert_eq!(refused.decision.verdict, Verdict::Deny { hard: false, cause: DenyCause::OffPlan });
    assert_eq!(
        &*refused.decision.reason,
        "`pay` is not in the approved plan of this session, which names `lookup`, `read`; submit a new plan"
    );
    assert_eq!(bench.pipeline.ask(call_in("planned", "pay")).decision.verdict.code(), "off_plan");
    run(&bench, call_in("another", "pay")).expect("plans bind their own session");
    run(&bench, plan("planned", &["pay"])).unwrap();
    run(&bench, call_in("planned", "pay")).expect("the newer plan names it");
    assert_eq!(run(&bench, call_in("planned", "read")), Err("off_plan"));
}

#[test]
fn f10_policies_still_decide_what_is_on_the_plan_and_a_denied_plan_binds_nobody() {
    let bench = bench(|_| {});
    run(&bench, plan("planned", &["unheard_of", "pay"])).unwrap();
    assert_eq!(run(&bench, call_in("planned", "unheard_of")), Err("no_rule_matched"));
    assert_eq!(
        run(&bench, call_in("planned", "never_planned")),
        Err("no_rule_matched"),
        "the policy says it harder"
    );
    assert!(run(&bench, plan("planned", &["execute_shell"])).is_err());
    assert!(run(&bench, plan("planned", &[])).is_err());
    run(&bench, call_in("planned", "pay")).expect("the plan before still binds");
    assert_eq!(run(&bench, call_in("planned", "read")), Err("off_plan"));
}

#[test]
fn f10_an_off_plan_call_asks_nobody() {
    let bench = bench(|_| {});
    run(&bench, plan("s1", &["read"])).unwrap();
    let refused = refused(bench.pipeline.begin(pay("500")));
    assert_eq!(refused.decision.verdict.code(), "off_plan");
    assert_eq!(refused.approval, None);
}
