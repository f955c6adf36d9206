//! `placet replay` over ledgers made by the pipeline.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::Project;
use common::ledger::{Deployment, call, deploy, project};
use placet::pipeline::Outcome;
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
    assert_eq!(report["not_decided_by_policy"], 1, "the budget's refusal");
    project.run(&["replay"]).exits(0).says(&["0 of 13 decisions would change", "12  unchanged"]);
}

#[test]
fn f32_a_tightened_policy_reports_exactly_what_it_affects() {
    let project = recorded();
    let rows =
        project.run(&["audit", "--tool", "pay", "--verdict", "allow", "--format", "json"]).exits(0).json();
    let report = replay(&project, &POLICY.replace("lte: 100 }", "lte: 10 }"), 1);
    assert_eq!(seqs(&report, "changes"), pairs(&[("pay", "deny")]), "{report}");
    assert_eq!((&report["changes"][0]["id"], &report["newly_denied"]), (&rows[0]["id"], &1.into()));
    let text = project.run(&["replay", "--policies", "new"]).exits(0);
    text.says(&["1 of 13 decisions would change", "1  allowed then, denied now", "pay  allow  ->  deny"]);
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
    assert_eq!(seqs(&replay(&project, &looser, 0), "changes"), pairs(&[("wipe", "allow")]));
    let asking = POLICY.replace("{ action: send }, then: allow", "{ action: send }, then: hitl");
    assert_eq!(
        seqs(&replay(&project, &asking, 0), "changes"),
        pairs(&[("send", "escalate"), ("send", "escalate")])
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
    let report = replay(&project, &rule("args.password: { eq: hunter2 }"), 0);
    assert_eq!((&report["changed"], seqs(&report, "undecidable").len()), (&0.into(), 2), "{report}");
    let text = project.run(&["replay", "--policies", "new"]).exits(0);
    text.says(&["2  undecidable", "it rests on a value that was redacted"]);
    let report = replay(&project, &rule("args.to: { eq: ann }"), 1);
    assert_eq!(seqs(&report, "changes"), pairs(&[("send", "deny"), ("send", "deny")]), "{report}");
    let report = replay(&project, &rule("args.to: { eq: bob }"), 0);
    assert_eq!((&report["changed"], seqs(&report, "undecidable").len()), (&0.into(), 0), "{report}");
}

#[test]
fn replay_finds_its_ledger_and_makes_none() {
    let project = project(POLICY);
    project.run(&["replay"]).exits(2).complains(&["there is no ledger"]);
    assert!(!project.path("placet_audit.db").exists());
}
