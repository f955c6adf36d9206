//! `placet replay` over ledgers made by the pipeline.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::Project;
use common::ledger::{Deployment, call, deploy, project};
use placet::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet::record::ledger::BudgetUnit;
use placet::trust::credentials::broker::{BrokerLimits, IssueRequest};
use placet::{Config, DenyCause, Event, Gate, GateOptions, Registrar, SystemClock, refusal};
use serde_json::Value;

const POLICY: &str = "version: 1
rules:
  - { name: reads, when: { action: read }, then: allow }
  - { name: small, when: { action: pay, args.amount: { gte: 0, lte: 100 } }, then: allow }
  - { name: large, when: { action: pay, args.amount: { gt: 100, lte: 1000 } }, then: hitl, reason: a person }
  - { name: refunds_after_reading, when: { action: refund, session.tool_history: { contains: read } }, then: allow }
  - { name: no_wipes, when: { action: wipe }, then: block }
  - { name: sends, when: { action: send }, then: allow }
";

fn run(deployment: &Deployment, action: &str, args: &str, session: &str) -> Result<(), &'static str> {
    deployment.run(call(action, args, session), Outcome::succeeded(None))
}

fn answer(project: &Project, how: &str) {
    let json = project.run(&["approvals", "list", "--format", "json"]).exits(0).json();
    let id = json[0]["id"].as_str().expect("an id").to_owned();
    project.run(&["approvals", how, &id, "--by", "ann"]).exits(0);
}

/// Every way in which a call ends.
fn recorded() -> Project {
    let project = project(POLICY);
    project.write(
        "placet.yaml",
        "policies: policies\nkeys: keys\nbudgets:\n  - { scope: session, unit: api_calls, limit: 6 }\n",
    );
    let deployment = deploy(&project);
    assert_eq!(run(&deployment, "refund", "{}", "s1"), Err("no_rule_matched"), "nothing was read yet");
    assert_eq!(run(&deployment, "read", "{}", "s1"), Ok(()));
    assert_eq!(run(&deployment, "refund", "{}", "s1"), Ok(()));
    assert_eq!(run(&deployment, "pay", r#"{"amount":50}"#, "s1"), Ok(()));
    assert_eq!(run(&deployment, "pay", r#"{"amount":500}"#, "s1"), Err("approval_required"));
    assert_eq!(run(&deployment, "pay", r#"{"amount":5000}"#, "s1"), Err("no_rule_matched"));
    assert_eq!(run(&deployment, "wipe", "{}", "s1"), Err("denied_by_rule"));
    drop(deployment);
    answer(&project, "approve");
    let deployment = deploy(&project);
    assert_eq!(run(&deployment, "pay", r#"{"amount":500}"#, "s1"), Ok(()));
    assert_eq!(run(&deployment, "pay", r#"{"amount":600}"#, "s1"), Err("approval_required"));
    drop(deployment);
    answer(&project, "deny");
    let deployment = deploy(&project);
    assert_eq!(run(&deployment, "pay", r#"{"amount":600}"#, "s1"), Err("approval_denied"));
    for _ in 0..2 {
        assert_eq!(run(&deployment, "send", r#"{"password":"hunter2","to":"ann"}"#, "s1"), Ok(()));
    }
    assert_eq!(run(&deployment, "read", "{}", "s1"), Err("budget_exhausted"));
    drop(deployment);
    project
}

fn replay(project: &Project, policy: &str, code: i32) -> Value {
    project.write("new/policy.yaml", policy);
    project.run(&["replay", "--policies", "new", "--ci", "--format", "json"]).exits(code).json()
}

fn seqs(report: &Value, list: &str) -> Vec<(String, String)> {
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let list = report[list].as_array().expect("a list").iter();
    list.map(|one| (text(one, "tool"), text(one, "to"))).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(tool, to)| ((*tool).to_owned(), (*to).to_owned())).collect()
}

#[test]
fn f32_an_unchanged_policy_changes_nothing_whatever_the_outcome() {
    let project = recorded();
    let report = project.run(&["replay", "--ci", "--format", "json"]).exits(0).json();
    assert_eq!((&report["decisions"], &report["changed"]), (&13.into(), &0.into()), "{report}");
    assert_eq!(report["undecidable"], serde_json::json!([]));
    assert_eq!((&report["not_decided_by_policy"], &report["unchanged"]), (&0.into(), &13.into()), "{report}");
    project.run(&["replay"]).exits(0).says(&["0 of 13 decisions would change", "13  unchanged", "1 budget"]);
}

#[test]
fn f32_a_tightened_policy_reports_exactly_what_it_affects() {
    let project = recorded();
    let rows =
        project.run(&["audit", "--tool", "pay", "--verdict", "allow", "--format", "json"]).exits(0).json();
    let report = replay(&project, &POLICY.replace("lte: 100 }", "lte: 10 }"), 1);
    let wanted = pairs(&[("pay", "deny"), ("read", "allow")]);
    assert_eq!(seqs(&report, "changes"), wanted, "and so one call of the budget is left: {report}");
    assert_eq!((&report["changes"][0]["id"], &report["newly_denied"]), (&rows[0]["id"], &1.into()));
    let text = project.run(&["replay", "--policies", "new"]).exits(0);
    text.says(&["2 of 13 decisions would change", "1  allow  ->  deny", "pay   allow  ->  deny"]);
    let without = format!("{POLICY}  - {{ name: extra, when: {{ action: never }}, then: deny }}\n");
    assert_eq!(seqs(&replay(&project, &without, 0), "changes"), [], "other policies that say the same");
}

#[test]
fn f32_history_is_simulated_under_the_other_policy() {
    let project = recorded();
    let report =
        replay(&project, &POLICY.replace("{ action: read }, then: allow", "{ action: read }, then: deny"), 1);
    let wanted = pairs(&[("read", "deny"), ("refund", "deny")]);
    assert_eq!(seqs(&report, "changes"), wanted, "without the read no refund: {report}");
}

#[test]
fn aegis_89_ci_fails_exactly_when_something_allowed_would_be_denied() {
    let project = recorded();
    // A deny that becomes an allow, an allow that becomes a question: other changes, none of them fails.
    let looser = POLICY.replace("then: block", "then: allow");
    let crowded_out = pairs(&[("wipe", "allow"), ("send", "deny")]);
    assert_eq!(seqs(&replay(&project, &looser, 1), "changes"), crowded_out, "of 6 calls the wipe takes one");
    under(&project, "[{ scope: session, unit: api_calls, limit: 60 }]");
    let roomy = pairs(&[("wipe", "allow"), ("read", "allow")]);
    assert_eq!(seqs(&replay(&project, &looser, 0), "changes"), roomy);
    under(&project, "[{ scope: session, unit: api_calls, limit: 6 }]");
    let asking = POLICY.replace("{ action: send }, then: allow", "{ action: send }, then: hitl");
    assert_eq!(
        seqs(&replay(&project, &asking, 0), "changes"),
        pairs(&[("send", "escalate"), ("send", "escalate"), ("read", "allow")]),
        "a call that waits for a person takes nothing from the budget"
    );
    // An approved call that a new rule denies.
    let stricter = format!(
        "{POLICY}  - {{ name: cap, when: {{ action: pay, args.amount: {{ gt: 400 }} }}, then: deny }}\n"
    );
    let report = replay(&project, &stricter, 1);
    assert_eq!(report["newly_denied"], 1, "{report}");
    project.run(&["replay", "--policies", "new", "--format", "json"]).exits(0);
    project.run(&["replay", "--policies", "new", "--ci", "--session", "s9"]).exits(0).says(&["0 of 0"]);
    project.run(&["replay", "--policies", "new", "--ci", "--until", "2020-01-01"]).exits(0);
}

#[test]
fn aegis_89_what_rests_on_a_redacted_argument_is_undecidable_and_nothing_else() {
    let project = recorded();
    assert!(!project.run(&["audit", "export"]).exits(0).out.contains("hunter2"));
    let rule =
        |when: &str| format!("{POLICY}  - {{ name: extra, when: {{ action: send, {when} }}, then: deny }}\n");
    let report = replay(&project, &rule("args.password: { eq: hunter2 }"), 3);
    assert_eq!(report["perhaps_denied"], 2, "nobody can tell, so nobody is told that all is well: {report}");
    assert_eq!((&report["changed"], seqs(&report, "undecidable").len()), (&0.into(), 2), "{report}");
    let text = project.run(&["replay", "--policies", "new"]).exits(0);
    text.says(&["2  undecidable", "it rests on a value that was redacted"]);
    let report = replay(&project, &rule("args.to: { eq: ann }"), 1);
    assert_eq!(
        seqs(&report, "changes"),
        pairs(&[("send", "deny"), ("send", "deny"), ("read", "allow")]),
        "{report}"
    );
    let report = replay(&project, &rule("args.to: { eq: bob }"), 0);
    assert_eq!((&report["changed"], seqs(&report, "undecidable").len()), (&0.into(), 0), "{report}");
}

#[test]
fn replay_finds_its_ledger_and_makes_none() {
    let project = project(POLICY);
    project.run(&["replay"]).exits(2).complains(&["there is no ledger"]);
    assert!(!project.path("placet_audit.db").exists());
}

/// What would change under other budgets: the ids of the records, and what they would be.
fn under(project: &Project, budgets: &str) -> (Vec<(String, String)>, Value) {
    project.write("placet.yaml", &format!("policies: policies\nkeys: keys\nbudgets: {budgets}\n"));
    let report = project.run(&["replay", "--format", "json"]).exits(0).json();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let changes = report["changes"].as_array().expect("a list").iter();
    (changes.map(|one| (text(one, "id"), text(one, "to"))).collect(), report)
}

/// The ids of the recorded decisions on a tool, oldest first.
fn ids(project: &Project, tool: &str) -> Vec<String> {
    let rows = project.run(&["audit", "--tool", tool, "--format", "json"]).exits(0).json();
    let mut rows = rows.as_array().expect("a list").clone();
    rows.sort_by_key(|row| row["id"].as_str().map(str::to_owned));
    rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

fn to(ids: &[&String], verdict: &str) -> Vec<(String, String)> {
    ids.iter().map(|id| ((*id).clone(), verdict.to_owned())).collect()
}

#[test]
fn f32_a_lowered_budget_reports_exactly_what_it_would_have_refused() {
    let project = recorded();
    let (sends, pays) = (ids(&project, "send"), ids(&project, "pay"));
    let calls = |limit: u64| format!("[{{ scope: session, unit: api_calls, limit: {limit} }}]");
    assert_eq!(under(&project, &calls(6)).0, []);
    let (changes, report) = under(&project, &calls(5));
    assert_eq!(changes, to(&[&sends[1]], "deny"), "{report}");
    assert_eq!(
        (&report["newly_denied"], &report["changes"][0]["code"]),
        (&1.into(), &"budget_exhausted".into())
    );
    assert_eq!(report["transitions"], serde_json::json!([{"from": "allow", "to": "deny", "count": 1}]));
    assert_eq!(under(&project, &calls(4)).0, to(&[&sends[0], &sends[1]], "deny"));
    // The list shows an approved call once.
    assert_eq!(
        under(&project, &calls(3)).0,
        to(&[&pays[2], &sends[0], &sends[1]], "deny"),
        "an approval buys nothing"
    );
    project.run(&["replay"]).exits(0).says(&["3  allow  ->  deny", "budget_exhausted"]);
    let by_tool = "[{ scope: session, unit: api_calls, limit: 6 }, { scope: tool, of: send, unit: api_calls, limit: 1 }]";
    let reads = ids(&project, "read");
    let wanted = [to(&[&sends[1]], "deny"), to(&[&reads[1]], "allow")].concat();
    assert_eq!(
        under(&project, by_tool).0,
        wanted,
        "a budget that was not there, and what it leaves of the other"
    );
}

#[test]
fn f32_a_raised_budget_reports_exactly_what_it_would_have_let_through() {
    let project = recorded();
    let reads = ids(&project, "read");
    for budgets in ["[{ scope: session, unit: api_calls, limit: 7 }]", "[]"] {
        let (changes, report) = under(&project, budgets);
        assert_eq!(changes, to(&[&reads[1]], "allow"), "{report}");
        assert_eq!(report["estimated"], 1, "it never ran");
    }
    project.run(&["replay"]).exits(0).says(&["1  deny  ->  allow", "0 budgets"]);
}

#[test]
fn f32_budgets_are_charged_what_calls_really_used() {
    let project = project(POLICY);
    let config = |limit: u64| format!("[{{ scope: session, unit: tokens, limit: {limit} }}]");
    project.write("placet.yaml", &format!("policies: policies\nkeys: keys\nbudgets: {}\n", config(100)));
    let deployment = deploy(&project);
    let used = || Outcome { used: vec![(BudgetUnit::Tokens, 40)], ..Outcome::succeeded(None) };
    let answers = [(); 4].map(|()| deployment.run(call("read", "{}", "s1"), used()));
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Err("budget_exhausted")]);
    drop(deployment);
    let reads = ids(&project, "read");
    assert_eq!(under(&project, &config(100)).0, []);
    assert_eq!(under(&project, &config(70)).0, to(&[&reads[2]], "deny"), "80 were spent by then");
    assert_eq!(under(&project, &config(130)).0, to(&[&reads[3]], "allow"));
}

#[test]
fn f32_credentials_and_failures_stand_and_their_limits_are_kept() {
    let project = project(POLICY);
    let plain = deploy(&project);
    let registrar = Arc::new(Registrar::new(
        plain.ledger.clone(),
        Arc::new(SystemClock::default()),
        BrokerLimits::default(),
        "test".into(),
    ));
    let budgets = BTreeMap::from([("api_calls".into(), 2)]);
    let issue = IssueRequest { budgets, ..IssueRequest::new("s1", ["pay"]) };
    let token = registrar.broker().issue(&issue).expect("a token").bearer().secret_text();
    let config = Config::read(&project.path("placet.yaml")).expect("a configuration");
    let options = PipelineOptions::of_config(&config, Some(plain.ledger.clone())).expect("options");
    let options = PipelineOptions { credentials: Some(registrar), ..options };
    let gate = Gate::open(GateOptions { config, reload: false, ..GateOptions::default() }).expect("a gate");
    let pipeline = Arc::new(Pipeline::new(gate, options));
    let event = |token: &str| {
        let text = format!(
            r#"{{"action":"read","tool_name":"read","context":{{"session_id":"s1","session_scopes":["pay"],"token_id":"{token}","delegation_depth":0}}}}"#
        );
        Event::from_json(text.as_bytes()).expect("an event")
    };
    let deployment = Deployment { pipeline: pipeline.clone(), ledger: plain.ledger.clone() };
    let answers = [(); 3].map(|()| deployment.run(event(&token), Outcome::succeeded(None)));
    assert_eq!(answers, [Ok(()), Ok(()), Err("budget_exhausted")]);
    assert_eq!(deployment.run(event("nonsense"), Outcome::succeeded(None)), Err("credential_validation"));
    let prepared = plain.pipeline.prepare(call("read", "{}", "s2"));
    let version = plain.pipeline.gate().policy_version();
    let failed = refusal::failure(DenyCause::OpaConnectionFailure, "no answer", version);
    let request = placet::Request::new(prepared.event().clone());
    assert!(matches!(plain.pipeline.conclude(prepared, failed, request), Begun::Refused(_)));
    drop((plain, deployment, pipeline));

    let reads = ids(&project, "read");
    assert_eq!(reads.len(), 5);
    let (changes, report) = under(&project, "[]");
    assert_eq!(changes, [], "{report}");
    assert_eq!((&report["unchanged"], &report["not_decided_by_policy"]), (&3.into(), &2.into()));
    let session = "[{ scope: session, unit: api_calls, limit: 1 }]";
    assert_eq!(under(&project, session).0, to(&[&reads[1]], "deny"), "the narrower of the two counts");
    assert_eq!(under(&project, &session.replace('1', "9")).0, [], "and the token's own stays");
}

#[test]
fn f32_a_call_that_needs_nobody_any_more_runs_once() {
    let project = recorded();
    let policy = POLICY.replace("then: hitl, reason: a person", "then: allow");
    let report = replay(&project, &policy, 1);
    // Asked at first, approved, and run: the first of the two would have run, and counts once in the budget of 6. The
    // one that a person denied would run too, and leaves nothing for the last call of `send`.
    let wanted = pairs(&[("pay", "allow"), ("pay", "allow"), ("pay", "allow"), ("send", "deny")]);
    assert_eq!(seqs(&report, "changes"), wanted, "{report}");
}

#[test]
fn aegis_89_an_allow_that_rested_on_a_redacted_value_is_not_called_denied() {
    let project = project(
        "version: 1\nrules:\n  - { name: ours, when: { action: mail, args.to: { ends_with: \"@ours.example\" } }, then: allow }\n",
    );
    let deployment = deploy(&project);
    assert_eq!(run(&deployment, "mail", r#"{"to":"ann@ours.example"}"#, "s1"), Ok(()));
    drop(deployment);
    assert_eq!(under(&project, "[]").0, [], "the policies are the same");
    let policy = "version: 1\nrules:\n  - { name: ours, when: { action: mail, args.to: { ends_with: \"@else.example\" } }, then: allow }\n";
    let report = replay(&project, policy, 3);
    assert_eq!((&report["changed"], &report["perhaps_denied"]), (&0.into(), &1.into()), "{report}");
    let blocked = "version: 1\nrules:\n  - { name: none, when: { action: mail }, then: deny }\n";
    let report = replay(&project, blocked, 1);
    assert_eq!(seqs(&report, "changes"), pairs(&[("mail", "deny")]), "whatever the address was: {report}");
}
