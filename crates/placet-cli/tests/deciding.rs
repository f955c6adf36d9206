//! `check`, `explain`, `simulate`: exit codes, what goes to stdout and what to stderr.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use std::io::Read;
use std::process::Stdio;

use common::{NOTES, Project, event};

#[test]
fn f48_check_exits_by_the_verdict_and_prints_the_decision() {
    let project = Project::with_policy(NOTES);
    project
        .run(&["check", &event("read_note", "{}")])
        .exits(0)
        .says(&["ALLOW  allowed by rule `reads_are_fine`\n"]);
    let denied = project.run(&["check", &event("delete_note", "{}")]).exits(1);
    let wanted = "DENY  notes are kept\n\
                  \x20 rule   no_deletes  policies/policy.yaml:6\n\
                  \x20 risk   OPERATIONAL\n\
                  \x20 code   denied_by_rule\n\
                  \x20 next   the agent may adapt the call and try again\n";
    assert_eq!((denied.out.as_str(), denied.err.as_str()), (wanted, ""));
    let asked = project.run(&["check", &event("send_note", r#"{"size":5}"#), "--format", "json"]).exits(3);
    let decision = asked.json();
    assert_eq!(decision["verdict"], "escalate");
    assert_eq!(decision["reviewers"], serde_json::json!(["editors"]));
    assert_eq!(decision["rules"][0]["line"], 10);
}

#[test]
fn kite_20_20_check_never_exits_0_on_what_it_cannot_decide() {
    let project = Project::with_policy(NOTES);
    for broken in ["{not json", "[]", r#"{"action":"a","action":"b"}"#, r#"{"acton":"a"}"#, "no-such-file"] {
        let run = project.run(&["check", broken]).exits(2);
        assert_eq!(run.out, "", "{broken}");
        assert!(run.err.starts_with("error: "), "{broken}: {}", run.err);
    }
    project.write("policies/policy.yaml", "version: 1\nrules: [\n");
    let run =
        project.run(&["check", &event("read_note", "{}")]).exits(1).complains(&["policies/policy.yaml:"]);
    assert_eq!(run.out, "");
}

#[test]
fn kite_20_20_policies_are_not_looked_for_in_folders_above() {
    let project = Project::with_policy(NOTES);
    project.write("below/x.txt", "");
    let mut command = project.command(&["check", &event("read_note", "{}")]);
    let output = command.current_dir(project.path("below")).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("placet init"));
}

#[test]
fn f49_one_rego_policy_decides_an_event_and_every_kind_of_error_is_2() {
    let finance = "package kitelogik.tool_call\n\ndefault decision := {\"allow\": true}\n\n\
        decision := {\"escalate\": true, \"reviewers\": [\"finance-oncall\"]} {\n\
        \x20   \"finance.write\" in input.tool_tags\n    input.args.amount > 1000\n}\n\n\
        decision := {\"allow\": false, \"reason\": \"no refunds over 5000\"} {\n\
        \x20   not \"finance.write\" in input.tool_tags\n    input.args.amount > 5000\n}\n";
    let project = Project::new(&[("financial.rego", finance)]);
    let tagged = |amount: u32| {
        format!(
            r#"{{"action":"pay","tool_tags":["finance.write"],"args":{{"amount":{amount}}},"context":{{"session_id":"s","delegation_depth":0}}}}"#
        )
    };
    let check = |event: &str| project.run(&["check", event, "--policies", "financial.rego"]);
    check(&tagged(1000)).exits(0);
    check(&tagged(1001)).exits(3).says(&["finance-oncall", "financial.rego"]);
    check(&event("pay", r#"{"amount":6000}"#)).exits(1).says(&["no refunds over 5000"]);
    check("not json").exits(2);
    check("{").exits(2);
    project.run(&["check", &tagged(1), "--policies", "missing.rego"]).exits(2).complains(&["missing.rego"]);
    project.run(&["check"]).exits(2);
    project.run(&["check", &tagged(1), "--policies", "financial.rego", "--nonsense"]).exits(2);
}

#[test]
fn an_event_may_come_from_a_file_or_stdin_and_sets_the_clock() {
    let office = "version: \"1\"\nrules:\n  - name: office_hours\n    match: { type: \"write*\" }\n    approval: auto\n    \
                  conditions: { time_after: \"09:00\", time_before: \"17:00\" }\n";
    let project = Project::with_policy(office);
    let at = |time: &str| {
        format!(
            r#"{{"action":"write_x","now":"2026-11-20T{time}:00Z","context":{{"session_id":"s","delegation_depth":0}}}}"#
        )
    };
    project.write("event.json", &at("10:00"));
    project.run(&["check", "event.json"]).exits(0);
    project.run_with(&["check", "-"], at("18:00").as_bytes()).exits(1);
    project.run(&["check", &event("write_x", "{}"), "--now", "2026-11-20T16:59:00Z"]).exits(0);
    project.run(&["check", &event("write_x", "{}"), "--now", "2026-11-20T17:00:00Z"]).exits(1);
}

#[test]
fn explain_shows_the_source_the_tiers_and_the_values_looked_at() {
    let project = Project::with_policy(NOTES);
    let run = project.run(&["explain", &event("send_note", r#"{"size":5}"#)]).exits(3);
    run.says(&[
        "ESCALATE  a person reads it first\n",
        "  10 |   - name: ask_before_sending\n",
        "  14 |     reason: \"a person reads it first\"\n",
        "  core     abstain\n",
        "  project  escalate  ask_before_sending  a person reads it first\n",
        "  action     \"send_note\"\n",
        "  args.size  5\n",
    ]);
    let json = project.run(&["explain", &event("delete_note", "{}"), "--format", "json"]).exits(1).json();
    assert_eq!(json["inputs"][0], serde_json::json!({"field": "action", "value": "delete_note"}));
    assert_eq!(json["sources"][0]["line"], 6);
    assert!(json["sources"][0]["text"].as_str().expect("text").contains("notes are kept"));
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let project = Project::with_policy(NOTES);
    let run = project.run(&["check", &event(r"\u001b[2Jx", "{}")]).exits(1);
    assert!(!run.out.contains('\u{1b}'), "{run:?}");
}

#[test]
fn simulate_answers_every_line_in_order_and_loses_none_to_a_bad_one() {
    let project = Project::with_policy(NOTES);
    let lines = [
        event("read_note", "{}"),
        "not json".to_owned(),
        String::new(),
        event("delete_note", "{}"),
        event("send_note", r#"{"size":5}"#),
    ];
    project.write("events.jsonl", &lines.join("\n"));
    let run = project.run(&["simulate", "events.jsonl", "--format", "json"]).exits(2);
    let codes: Vec<String> = run
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect(line)["code"]
                .as_str()
                .expect("a code")
                .to_owned()
        })
        .collect();
    assert_eq!(codes, ["allowed", "invalid_request", "denied_by_rule", "approval_required"]);
    run.complains(&["error: line 2: expected"]);
    let text = project.run(&["simulate", "events.jsonl"]).exits(2);
    text.says(&["4 events: 1 allow (25 %), 1 escalate (25 %), 2 deny (50 %)\n"]);
}

#[test]
fn simulate_restores_the_order_of_many_blocks() {
    let project = Project::with_policy(NOTES);
    let mut lines = String::new();
    for number in 0..20_000 {
        // Lines of very different length keep the threads out of step.
        let padding = "x".repeat(if number % 1000 == 0 { 100_000 } else { number % 50 });
        let action = if number % 3 == 0 { "read_note" } else { "delete_note" };
        lines += &event(action, &format!(r#"{{"pad":"{padding}"}}"#));
        lines.push('\n');
    }
    let run = project.run_with(&["simulate", "-", "--format", "json"], lines.as_bytes()).exits(0);
    let verdicts: Vec<bool> = run.out.lines().map(|line| line.contains(r#""verdict":"allow""#)).collect();
    assert_eq!(verdicts.len(), 20_000);
    assert!(verdicts.iter().enumerate().all(|(number, allowed)| *allowed == (number % 3 == 0)));
}

#[test]
fn a_line_longer_than_an_event_may_be_is_denied_and_the_next_is_decided() {
    let project = Project::with_policy(NOTES);
    let long = format!(r#"{{"action":"{}"}}"#, "x".repeat(17 << 20));
    let text = format!("{}\n{long}\n{}\n", event("read_note", "{}"), event("delete_note", "{}"));
    let run = project.run_with(&["simulate", "-", "--format", "json"], text.as_bytes()).exits(2);
    let codes: Vec<&str> = run
        .out
        .lines()
        .map(|line| line.split("\"code\":\"").nth(1).expect(line).split('"').next().expect(line))
        .collect();
    assert_eq!(codes, ["allowed", "invalid_request", "denied_by_rule"]);
    run.complains(&["error: line 2: the line is longer than the limit of 16777216 bytes"]);
}

#[test]
fn aegis_86_simulate_takes_actions_with_params() {
    let pay = "version: \"1\"\nrules:\n  - name: small\n    match: { type: pay, target: bank }\n    approval: auto\n    \
               conditions: { param_lte: { amount: 10 }, param_gte: { amount: 0 } }\n";
    let project = Project::with_policy(pay);
    let run =
        project.run(&["simulate", "pay:bank", "pay:shop", "other:", "--params", r#"{"amount": 5}"#]).exits(0);
    assert_eq!(run.out.lines().count(), 4, "{run:?}");
    run.says(&[
        "     1  ALLOW     pay",
        "     2  DENY      pay",
        "     3  DENY      other",
        "3 events: 1 allow (33 %)",
    ]);
    let json =
        project.run(&["simulate", "pay:bank", "--params", r#"{"amount": 50}"#, "--format", "json"]).exits(0);
    assert_eq!(json.json()["verdict"], "deny");
    project.run(&["simulate", "pay:bank", "--params", "[1]"]).exits(2).complains(&["JSON object"]);
    project.run(&["simulate", "pay:bank", "--fail-on", "deny"]).exits(1);
}

#[test]
fn simulate_fails_only_on_what_it_is_told_to() {
    let project = Project::with_policy(NOTES);
    project
        .write("events.jsonl", &[event("read_note", "{}"), event("send_note", r#"{"size":5}"#)].join("\n"));
    project.run(&["simulate", "events.jsonl"]).exits(0);
    project.run(&["simulate", "events.jsonl", "--fail-on", "deny"]).exits(0);
    project.run(&["simulate", "events.jsonl", "--fail-on", "deny,escalate"]).exits(3);
    project.run(&["simulate", "missing.jsonl"]).exits(2).complains(&["missing.jsonl"]);
}

#[test]
fn a_stream_without_end_is_refused_and_not_read_to_it() {
    let project = Project::with_policy(NOTES);
    for command in ["check", "explain"] {
        project.run(&[command, "/dev/zero"]).exits(2).complains(&["the limit is 16777216 bytes"]);
    }
}

#[test]
fn aegis_95_a_reader_that_goes_away_ends_the_run_quietly() {
    let project = Project::with_policy(NOTES);
    project.write("events.jsonl", &(event("read_note", "{}") + "\n").repeat(50_000));
    let mut child = project
        .command(&["simulate", "events.jsonl", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut first = [0; 100];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some output");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(2));
}
