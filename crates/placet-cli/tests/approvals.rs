//! `placet approvals` over ledgers made by the pipeline.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::ledger::{Deployment, POLICY, call, deploy, project, recorded};
use common::{COLUMNS, Project};
use placet::pipeline::Outcome;

fn pending(project: &Project) -> Vec<String> {
    let json = project.run(&["approvals", "list", "--format", "json"]).exits(0).json();
    let ids =
        json.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

fn in_the_view(project: &Project) -> Vec<serde_json::Value> {
    let script = "import sqlite3,sys,json
c=sqlite3.connect(sys.argv[1]); print(json.dumps(c.execute('SELECT '+sys.argv[2]+' FROM audit_log').fetchall()))";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(project.path("placet_audit.db")).arg(COLUMNS.join(","));
    let done = python.output().expect("python3");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn in_the_list(project: &Project) -> Vec<serde_json::Value> {
    let rows = project.run(&["audit", "--format", "json"]).exits(0).json();
    let row = |row: &serde_json::Value| COLUMNS.iter().map(|name| row[name].clone()).collect();
    rows.as_array().expect("a list").iter().map(row).collect()
}

fn write_report(deployment: &Deployment) -> Result<(), &'static str> {
    deployment.run(call("write_report", r#"{"id":"42"}"#, "s1"), Outcome::succeeded(None))
}

#[test]
fn a_person_approves_what_waits_and_then_it_runs_once() {
    let project = recorded();
    project.run(&["approvals"]).exits(0).says(&[
        "pending",
        "write_report",
        "s1",
        "agent-1",
        "anyone",
        "writes_ask",
    ]);
    let id = pending(&project).remove(0);
    project.run(&["approvals", "show", &id]).exits(0).says(&[
        "PENDING",
        "what would run (checked against its digest)",
        "id = \"42\"",
        "a person reads it first",
        "digest",
    ]);
    let run = project.run(&["approvals", "approve", &id, "--by", "ann", "--reason", "fine"]).exits(0);
    run.says(&["APPROVED  write_report: yes of ann (asserted: this terminal says so, nothing proves it)"]);
    assert!(pending(&project).is_empty());
    let deployment = deploy(&project);
    assert_eq!(write_report(&deployment), Ok(()));
    drop(deployment);
    project.run(&["approvals", "list", "--all"]).exits(0).says(&["consumed"]);
    let row = project.run(&["audit", "--tool", "write_report", "--format", "json"]).exits(0).json();
    assert_eq!(row.as_array().expect("a list").len(), 1, "the answered question is one row: {row}");
    assert_eq!((&row[0]["human_decision"], &row[0]["hitl_decided_by"]), (&"approved".into(), &"ann".into()));
    let every = project.run(&["audit", "--tool", "write_report", "--every-step"]).exits(0);
    assert_eq!(every.out.lines().count(), 3);
    assert_eq!(in_the_view(&project), in_the_list(&project), "the view of the database says the same");
    let seq = row[0]["seq"].to_string();
    project.run(&["audit", "show", &seq]).exits(0).says(&[
        "approved  by ann (asserted, cli), record ",
        ": fine",
        "used      record",
    ]);
}

#[test]
fn a_no_is_final_and_the_call_is_denied() {
    let project = recorded();
    let id = pending(&project).remove(0);
    project.run(&["approvals", "deny", &id, "--by", "ann"]).exits(0).says(&["DENIED", "no of ann"]);
    project.run(&["approvals", "approve", &id, "--by", "bob"]).exits(1).complains(&["denied"]);
    assert_eq!(write_report(&deploy(&project)), Err("approval_denied"));
    let row = project.run(&["audit", "--status", "denied", "--format", "json"]).exits(0).json();
    assert_eq!((&row[0]["tool_name"], &row[0]["human_decision"]), (&"write_report".into(), &"denied".into()));
}

#[test]
fn a_deployment_that_wants_signed_votes_takes_no_other() {
    let project = project(POLICY);
    let made = project.run(&["approvals", "keygen", "--by", "ann", "-o", "ann.key"]).exits(0);
    let settings =
        format!("policies: policies\nkeys: keys\napprovals:\n  strength: signed\n  keys:\n    {}", made.out);
    project.write("placet.yaml", &settings);
    project.run(&["approvals", "keygen", "--by", "eve", "-o", "eve.key"]).exits(0);
    project
        .run(&["approvals", "keygen", "--by", "eve", "-o", "eve.key"])
        .exits(1)
        .complains(&["not overwritten"]);
    assert_eq!(write_report(&deploy(&project)), Err("approval_required"));
    let id = pending(&project).remove(0);
    let approve =
        |more: &[&str]| project.run(&[&["approvals", "approve", &id, "--by", "ann"][..], more].concat());
    approve(&[]).exits(1).complains(&["too weak", "signed"]);
    approve(&["--key", "eve.key"]).exits(1).complains(&["known to this deployment"]);
    approve(&["--key", "placet.yaml"]).exits(2).complains(&["no secret key"]);
    approve(&["--key", "ann.key"]).exits(0).says(&["yes of ann (signed)"]);
    assert_eq!(write_report(&deploy(&project)), Ok(()));
}

#[test]
fn groups_and_quorums_are_those_of_the_configuration() {
    let project = project(&POLICY.replace("then: hitl", "then: hitl\n    reviewers: [editors]"));
    let settings =
        "policies: policies\nkeys: keys\napprovals: { quorum: 2, groups: { editors: [ann, bob] } }\n";
    project.write("placet.yaml", settings);
    assert_eq!(write_report(&deploy(&project)), Err("approval_required"));
    let id = pending(&project).remove(0);
    let approve = |by: &str| project.run(&["approvals", "approve", &id, "--by", by]);
    approve("eve").exits(1).complains(&["`eve` is no reviewer", "editors"]);
    approve("agent-1").exits(1).complains(&["asked for"]);
    approve("ann").exits(3).says(&["PENDING", "still waits for 2 of editors"]);
    approve("ann").exits(1).complains(&["answered"]);
    approve("bob").exits(0).says(&["APPROVED"]);
}

#[test]
fn nobody_approves_what_was_edited_after_it_was_asked() {
    let project = recorded();
    let id = pending(&project).remove(0);
    let sql = "UPDATE \"view\" SET body = replace(body, '42', '41') WHERE seq = 2";
    let done = Command::new("python3")
        .args([
            "-c",
            "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()",
        ])
        .arg(project.path("placet_audit.db"))
        .arg(sql)
        .status();
    assert!(done.expect("python3").success());
    let run = project.run(&["approvals", "show", &id]).exits(1).says(&["NOT SHOWN", "edited"]);
    assert!(!run.out.contains("id = "), "{run:?}");
    project
        .run(&["approvals", "approve", &id, "--by", "ann"])
        .exits(1)
        .complains(&["nobody can approve", "edited"]);
    assert_eq!(pending(&project), [id]);
}

#[test]
fn watch_prints_requests_as_they_come_and_as_they_are_answered() {
    let project = recorded();
    let mut child =
        project.command(&["approvals", "watch"]).stderr(Stdio::inherit()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text");
    let first = next();
    assert!(first.starts_with("PENDING") && first.contains("write_report"), "{first}");
    let id = pending(&project).remove(0);
    project.run(&["approvals", "deny", &id, "--by", "ann"]).exits(0);
    let answered = next();
    assert!(answered.starts_with("DENIED") && answered.contains("by ann"), "{answered}");
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn an_unknown_request_and_a_missing_ledger_are_said() {
    let project = recorded();
    project
        .run(&["approvals", "approve", "nope", "--by", "ann"])
        .exits(1)
        .complains(&["`nope`", "list --all"]);
    std::fs::remove_file(project.path("placet_audit.db")).expect("removed");
    project.run(&["approvals"]).exits(2).complains(&["there is no ledger"]);
    assert!(!project.path("placet_audit.db").exists());
}
