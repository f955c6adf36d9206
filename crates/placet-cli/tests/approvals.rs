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
    project
        .run(&["approvals", "approve", &id, "--by", "bob"])
        .exits(1)
        .complains(&["was denied by ann at 20", "the first decision counts"]);
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
    assert!(first.contains("Z  PENDING ") && first.contains("write_report"), "{first}");
    let id = pending(&project).remove(0);
    project.run(&["approvals", "deny", &id, "--by", "ann"]).exits(0);
    let answered = next();
    assert!(answered.contains("Z  DENIED ") && answered.contains("by ann"), "{answered}");
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// A deployment whose requests are due and escalate at once, and a server that takes one notice.
fn hurried(url: &str) -> Project {
    let project = project(&POLICY.replace("then: hitl", "then: hitl\n    reviewers: [editors]"));
    let settings = format!(
        "policies: policies
keys: keys
approvals:
  remind_seconds: 0
  escalate_seconds: 0
  escalate_to: board
  due_seconds: 0
  groups: {{ editors: [ann], board: [zoe] }}
  notify: [{{ url: '{url}', key_file: hook.key }}]
"
    );
    project.write("placet.yaml", &settings);
    project.write("hook.key", "0123456789abcdef0123\n");
    assert_eq!(write_report(&deploy(&project)), Err("approval_required"));
    project
}

#[test]
fn f70_the_list_says_what_is_due_and_what_is_late_and_the_clerk_records_it_once() {
    let project = hurried("http://127.0.0.1:9/");
    project.run(&["approvals"]).exits(0).says(&["breached 0s ago", "editors or board"]);
    let json = project.run(&["approvals", "list", "--format", "json"]).exits(0).json();
    assert_eq!((&json[0]["breached"], json[0]["due"].is_string()), (&true.into(), true));
    // Nobody listens there, so the notices stay owed.
    let first = project.run(&["approvals", "notify", "--once"]).exits(1);
    first.says(&[":reminded", ":escalated", ":breached", "failed"]);
    let again = project.run(&["approvals", "notify", "--once"]).exits(1);
    assert!(!again.out.contains("recorded"), "{again:?}");
    let id = pending(&project).remove(0);
    project.run(&["approvals", "show", &id]).exits(0).says(&[
        "due        20",
        "(breached 0s ago)",
        "escalates  20",
        "to board",
        "reminded ",
        "breached ",
    ]);
    project.run(&["approvals", "approve", &id, "--by", "zoe"]).exits(0).says(&["APPROVED"]);
    project.run(&["approvals", "list", "--all"]).exits(0).says(&["late"]);
}

#[test]
fn f69_a_request_whose_process_was_killed_is_told_by_the_next_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let project = hurried(&format!("http://{}/", listener.local_addr().expect("an address")));
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut bodies = Vec::new();
        // Asked, reminded, escalated, breached.
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !text.ends_with(b"}") {
                let count = stream.read(&mut buffer).expect("bytes");
                assert!(count > 0);
                text.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("sent");
            bodies.push(String::from_utf8(text).expect("text"));
        }
        bodies
    });
    let run = project.run(&["approvals", "notify", "--once"]).exits(0);
    assert_eq!(run.out.matches("  told ").count(), 4, "{run:?}");
    let bodies = server.join().expect("a server");
    let head = bodies[0].to_lowercase();
    assert!(head.contains("placet-signature: t="), "{head}");
    for (body, event) in bodies.iter().zip(["asked", "reminded", "escalated", "breached"]) {
        assert!(body.contains(&format!("\"event\":\"approval.{event}\"")), "{body}");
        assert!(!body.contains("\"42\""), "no arguments: {body}");
    }
    let quiet = project.run(&["approvals", "notify", "--once"]).exits(0);
    assert_eq!(quiet.out, "");
    let id = pending(&project).remove(0);
    project.run(&["approvals", "show", &id]).exits(0).says(&["told       webhook-", "asked, reminded"]);
    std::fs::create_dir(project.path("elsewhere")).expect("a folder");
    project.run(&["audit", "key", "-o", "elsewhere/log.vkey"]).exits(0);
    project.run(&["audit", "verify", "--key", "elsewhere/log.vkey"]).exits(0);
}

#[test]
fn f69_a_claimed_request_is_answered_by_nobody_else_and_can_be_given_back() {
    let project = recorded();
    let id = pending(&project).remove(0);
    let run = |words: &[&str]| project.run(&[&["approvals"], words].concat());
    run(&["claim", &id, "--by", "ann"]).exits(0).complains(&["is yours until 20"]);
    run(&["list"]).exits(0).says(&["claimed by", "ann"]);
    run(&["claim", &id, "--by", "bob"]).exits(1).complains(&["`ann` has claimed"]);
    run(&["approve", &id, "--by", "bob"]).exits(1).complains(&["`ann` has claimed"]);
    run(&["claim", &id, "--by", "ann", "--release"]).exits(0).complains(&["is nobody's"]);
    run(&["approve", &id, "--by", "bob"]).exits(0).says(&["APPROVED"]);
    run(&["claim", &id, "--by", "ann"]).exits(1).complains(&["was approved by bob at 20"]);
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
