//! `placet audit` over ledgers made by the pipeline.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::ledger::{call, deploy, project, recorded};
use common::{Project, Run};
use placet::pipeline::Outcome;
use serde_json::Value;

fn tools(run: &Run) -> Vec<String> {
    let rows = run.json();
    let tools = rows.as_array().expect("a list").iter().map(|row| row["tool_name"].as_str());
    tools.map(|tool| tool.expect("a tool").to_owned()).collect()
}

fn listed(project: &Project, arguments: &[&str]) -> Vec<String> {
    let all: Vec<&str> = [&["audit", "--format", "json"], arguments].concat();
    tools(&project.run(&all).exits(0))
}

/// Runs SQL in the project's ledger, as an operator with a shell does.
fn sqlite3(project: &Project, sql: &str) {
    let done = Command::new("python3")
        .args([
            "-c",
            "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit()",
        ])
        .arg(project.path("placet_audit.db"))
        .arg(sql)
        .status();
    assert!(done.expect("python3").success());
}

/// The public key in a folder of its own.
fn key(project: &Project) -> String {
    std::fs::create_dir_all(project.path("elsewhere")).expect("a folder");
    project.run(&["audit", "key", "-o", "elsewhere/log.vkey"]).exits(0);
    "elsewhere/log.vkey".to_owned()
}

#[test]
fn aegis_80_audit_prints_a_table() {
    let project = recorded();
    let run = project.run(&["audit"]).exits(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines.len(), 5, "{run:?}");
    for (line, words) in lines.iter().zip([
        &["seq", "time", "verdict", "status", "risk", "tool"][..],
        &["ALLOW", "success", "low", "search", "web", "s1", "search_auto"],
        &["ESCALATE", "pending", "high", "write_report", "writes_ask"],
        &["DENY", "blocked", "critical", "delete_document", "s2", "block_deletes"],
        &["ALLOW", "failed", "low", "search", "s2"],
    ]) {
        words.iter().for_each(|word| assert!(line.contains(word), "no `{word}` in {line}"));
    }
    assert!(run.err.is_empty(), "{run:?}");
}

#[test]
fn aegis_81_the_risk_filter_knows_levels_and_tiers() {
    let project = recorded();
    for risk in ["high", "HIGH", "transactional_high"] {
        assert_eq!(listed(&project, &["--risk", risk]), ["write_report"], "{risk}");
    }
    assert_eq!(listed(&project, &["--risk", "high,critical"]), ["write_report", "delete_document"]);
    project.run(&["audit", "--risk", "huge"]).exits(2).complains(&["`huge`", "LOW, MEDIUM, HIGH, CRITICAL"]);
}

#[test]
fn aegis_82_the_status_filter_says_what_became_of_a_call() {
    let project = recorded();
    for (status, tools) in [
        ("blocked", &["delete_document"][..]),
        ("BLOCKED", &["delete_document"]),
        ("pending", &["write_report"]),
        ("success", &["search"]),
        ("failed", &["search"]),
        ("unknown", &[]),
    ] {
        assert_eq!(listed(&project, &["--status", status]), tools, "{status}");
    }
    project.run(&["audit", "--status", "gone"]).exits(2).complains(&["`gone`", "success, failed", "pending"]);
}

#[test]
fn aegis_69_filters_restrict_and_combine() {
    let project = recorded();
    let all = ["search", "write_report", "delete_document", "search"];
    for (arguments, tools) in [
        (&["--session", "S2"][..], &["delete_document", "search"][..]),
        (&["--tool", "Search"], &["search", "search"]),
        (&["--agent", "agent-1"], &all),
        (&["--agent", "agent-2"], &[]),
        (&["--outcome", "hitl_queued"], &["write_report"]),
        (&["--verdict", "DENY,escalate"], &["write_report", "delete_document"]),
        (&["--limit", "1"], &["search"]),
        (&["--limit", "0"], &[]),
        (&["--since", "2026-01-01T00:00:00+14:00"], &all),
        (&["--until", "2020-01-01"], &[]),
        (&["--since", "1h", "--session", "s1", "--verdict", "allow"], &["search"]),
        (&["--session", "s2", "--status", "failed", "--db", "placet_audit.db"], &["search"]),
    ] {
        assert_eq!(listed(&project, arguments), tools, "{arguments:?}");
    }
    project.run(&["audit", "--since", "yesterday-ish"]).exits(2).complains(&["RFC 3339"]);
    project.run(&["audit", "--verdict", "maybe"]).exits(2).complains(&["allow, deny, escalate"]);
}

#[test]
fn aegis_69_since_and_until_mean_the_same_moment_in_any_time_zone() {
    let project = recorded();
    let rows = project.run(&["audit", "--format", "json"]).exits(0).json();
    let at = |index: usize| {
        let text = rows[index]["timestamp"].as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("RFC 3339")
    };
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
    let since = at(1).to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string();
    assert_eq!(
        listed(&project, &["--since", &since]),
        ["write_report", "delete_document", "search"],
        "{since}"
    );
    assert_eq!(listed(&project, &["--until", &since]), ["search", "write_report"]);
}

#[test]
fn aegis_83_the_export_has_the_listed_rows_in_the_columns_of_the_view() {
    let project = recorded();
    project.run(&["audit", "--export", "out.jsonl"]).exits(0).says(&["4 decisions", "out.jsonl"]);
    let text = project.read("out.jsonl");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let actions: Vec<&str> = rows.iter().map(|row| row["action_type"].as_str().expect("text")).collect();
    assert_eq!(actions, ["search", "write_report", "delete_document", "search"]);
    let blocked = &rows[2];
    assert_eq!(blocked["action_params"], r#"{"id":"42"}"#);
    let of = |name: &str| blocked[name].as_str().expect("text").to_owned();
    assert_eq!(
        ["risk_level", "approval", "matched_rule", "result_status", "result_error", "action_target"].map(of),
        ["CRITICAL", "block", "block_deletes", "blocked", "documents are kept", "web"]
    );
    assert_eq!((&blocked["human_decision"], &rows[3]["result_error"]), (&Value::Null, &"no index".into()));
    let json = project.run(&["audit", "--format", "json"]).exits(0).json();
    assert_eq!(json.as_array().expect("a list"), &rows);
}

#[test]
fn aegis_71_the_export_counts_its_rows_and_takes_the_filters() {
    let project = recorded();
    let run = project.run(&["audit", "--session", "s2", "--export", "o.jsonl", "--format", "json"]).exits(0);
    assert_eq!(run.json()["exported"], 2);
    assert_eq!(project.read("o.jsonl").lines().count(), 2);
}

#[test]
fn show_tells_everything_about_a_record() {
    let project = recorded();
    let run = project.run(&["audit", "show", "0"]).exits(0).says(&[
        "ALLOW  ",
        "search_auto  ",
        "policies/policy.yaml:3",
        "q ",
        "\"ai\"",
        "outcome",
        "succeeded",
        "\"found\"",
    ]);
    let json = project.run(&["audit", "show", "0", "--format", "json"]).exits(0).json();
    let id = json["record"]["id"].as_str().expect("an id");
    assert_eq!(project.run(&["audit", "show", id]).exits(0).out, run.out);
    assert_eq!(json["outcome"]["view"]["result"], "found");
    project.run(&["audit", "show", "2"]).exits(0).says(&["ESCALATE", "approval", "digest", "used      no"]);
    project.run(&["audit", "show", "99"]).exits(1).complains(&["`99`", "placet audit"]);
}

#[test]
fn f28_an_untouched_log_verifies_and_an_edit_is_named() {
    let project = recorded();
    let key = key(&project);
    project.run(&["audit", "verify", "--key", &key]).exits(0).says(&["OK  6 records", "6 of 6"]);
    sqlite3(
        &project,
        "DROP TRIGGER entry_update; UPDATE entry SET leaf = replace(leaf, 'deny', 'allow') WHERE seq = 3",
    );
    let run =
        project.run(&["audit", "verify", "--key", &key]).exits(1).says(&["TAMPERED  first bad: record 3"]);
    assert!(run.err.contains("truncation is not checkable"), "{run:?}");
    let json = project.run(&["audit", "verify", "--key", &key, "--format", "json"]).exits(1).json();
    assert_eq!((&json["ok"], &json["first_bad"]["from"]), (&false.into(), &3.into()));
}

#[test]
fn aegis_72_edits_deletions_insertions_and_cuts_are_found() {
    for (sql, first) in [
        ("DELETE FROM entry WHERE seq = 2", "record 2"),
        ("INSERT OR REPLACE INTO entry SELECT 1, leaf, hash FROM entry WHERE seq = 0", "records 0 to 1"),
        ("INSERT INTO entry SELECT 6, leaf, hash FROM entry WHERE seq = 0", "record 6"),
        ("UPDATE \"view\" SET body = replace(body, 'web', 'net') WHERE seq = 3", "record 3"),
    ] {
        let project = recorded();
        let key = key(&project);
        sqlite3(&project, &format!("DROP TRIGGER entry_update; DROP TRIGGER entry_delete; {sql}"));
        project.run(&["audit", "verify", "--key", &key]).exits(1).says(&[&format!("first bad: {first}")]);
    }
}

#[test]
fn aegis_93_a_cut_log_is_told_by_a_checkpoint_from_elsewhere() {
    let project = recorded();
    let key = key(&project);
    let save = ["audit", "verify", "--key", &key, "--save-checkpoint", "elsewhere/kept"];
    project.run(&save).exits(0);
    let copy = std::fs::read(project.path("placet_audit.db")).expect("a copy");
    let verify = ["audit", "verify", "--key", &key, "--from", "elsewhere/kept"];
    project.run(&verify).exits(0).says(&["truncation  none"]);
    let cut = "DROP TRIGGER entry_delete; DELETE FROM entry WHERE seq > 2; DELETE FROM checkpoint";
    sqlite3(&project, cut);
    project.run(&verify).exits(1).says(&["truncation  found"]);
    assert!(!copy.is_empty());
}

#[test]
fn f28_nothing_signed_is_said_loudly() {
    let project = recorded();
    let key = key(&project);
    sqlite3(&project, "DELETE FROM checkpoint");
    let run = project.run(&["audit", "verify", "--key", &key]).exits(1).says(&["UNSIGNED", "0 of 6"]);
    assert!(run.err.contains("no checkpoint signed with this key"), "{run:?}");
}

#[test]
fn f28_the_key_is_never_taken_from_the_folder_of_the_log() {
    let project = recorded();
    project.run(&["audit", "key", "-o", "log.vkey"]).exits(0);
    project.run(&["audit", "verify", "--key", "log.vkey"]).exits(2).complains(&["folder of the log"]);
    project.run(&["audit", "verify"]).exits(2).complains(&["--key"]);
    let text = project.run(&["audit", "key"]).exits(0).out;
    project.run(&["audit", "verify", "--key", text.trim()]).exits(0);
    let other = "placet.local/x+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_ne!(project.run(&["audit", "verify", "--key", other]).code, 0);
}

#[test]
fn f28_a_record_edited_in_its_view_is_not_shown() {
    let project = recorded();
    sqlite3(&project, "UPDATE \"view\" SET body = replace(body, 'documents are kept', 'fine') WHERE seq = 3");
    let run = project.run(&["audit"]).exits(0).complains(&["record 3", "placet audit verify"]);
    assert!(!run.out.contains("fine"));
    let run = project.run(&["audit", "show", "3"]).exits(0).says(&["was edited and is not shown"]);
    assert!(!run.out.contains("fine"));
}

#[test]
fn aegis_72_a_proof_shows_one_record_and_no_other() {
    let project = recorded();
    let key = key(&project);
    project.run(&["audit", "prove", "3", "--leaf", "3.json"]).exits(0).says(&["3.tlog-proof"]);
    let check = ["audit", "check", "3.tlog-proof", "--leaf", "3.json", "--key", &key];
    project.run(&check).exits(0).says(&["OK  it is record 3 of 6"]);
    project.write("3.json", &project.read("3.json").replace("deny", "allow"));
    project.run(&check).exits(1).complains(&["edited, or the proof is of another"]);
    project.run(&["audit", "prove", "6"]).exits(1).complains(&["not in the ledger"]);
}

#[test]
fn f31_a_session_report_proves_itself_and_an_edited_one_fails() {
    let project = recorded();
    let key = key(&project);
    project.run(&["audit", "export", "--session", "s2", "-o", "s2.json"]).exits(0);
    let check = ["audit", "check", "s2.json", "--key", &key];
    project.run(&check).exits(0).says(&["3 records of the session `s2`"]);
    let text = project.read("s2.json");
    for (from, to) in [
        ("documents are kept", "documents go"),
        ("\\\"verdict\\\":\\\"deny\\\"", "\\\"verdict\\\":\\\"allow\\\""),
        ("\"session\": \"s2\"", "\"session\": \"s1\""),
    ] {
        let edited = text.replacen(from, to, 1);
        assert_ne!(edited, text, "{from}");
        project.write("s2.json", &edited);
        project.run(&check).exits(1);
    }
    project.run(&["audit", "export", "--session", "s9"]).exits(1).complains(&["`s9`"]);
}

/// The query script of the second seed, as it is printed there.
const QUERY: &str = r#"import json
from collections import Counter

# Load the audit log emitted by the adapter.
events = [json.loads(line) for line in open("audit.jsonl")]

# How many times did each tool fire — and how many were denied?
denied_by_tool = Counter(
    e["tool"] for e in events
    if e["event"] == "tool_call" and e["decision"]["allow"] is False
)
print(denied_by_tool.most_common(10))

# Audit answer: who denied this and which policy version?
for e in events:
    if e.get("decision", {}).get("allow") is False:
        print(e["timestamp"], e["policy_version"], e["decision"]["reason"])
"#;

#[test]
fn f30_the_exported_lines_are_a_mirror_that_verifies_and_reads_as_before() {
    let project = recorded();
    let key = key(&project);
    project.run(&["audit", "export", "-o", "mirror.jsonl"]).exits(0);
    project
        .run(&["audit", "verify", "--ledger", "mirror.jsonl", "--key", &key])
        .exits(0)
        .says(&["OK  6 records"]);
    project.write("audit.jsonl", &project.read("mirror.jsonl"));
    project.write("audit_query.py", QUERY);
    let python = Command::new("python3").arg("audit_query.py").current_dir(project.folder.path()).output();
    let out = String::from_utf8(python.expect("python3").stdout).expect("text");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "[('write_report', 1), ('delete_document', 1)]");
    assert!(lines[1].ends_with(" a person reads it first"), "{out}");
    assert!(lines[2].starts_with("20") && lines[2].contains("Z sha256:"), "{out}");
    assert!(lines[2].ends_with(" documents are kept") && lines.len() == 3, "{out}");
    project.write("mirror.jsonl", &project.read("mirror.jsonl").replacen("documents are kept", "fine", 1));
    project.run(&["audit", "verify", "--ledger", "mirror.jsonl", "--key", &key]).exits(1).says(&["record 3"]);
    let from_mirror = project.run(&["audit", "--ledger", "mirror.jsonl", "--tool", "search"]).exits(0);
    assert_eq!(from_mirror.out.lines().count(), 3);
}

#[test]
fn aegis_94_a_missing_ledger_is_an_error_and_makes_no_file() {
    let project = project(common::ledger::POLICY);
    for arguments in [
        &["audit"][..],
        &["audit", "stats"],
        &["audit", "verify", "--key", "x"],
        &["audit", "--ledger", "other.db"],
    ] {
        project.run(arguments).exits(2).complains(&["there is no ledger", "--ledger PATH"]);
    }
    let files = std::fs::read_dir(project.folder.path()).expect("a folder").count();
    assert_eq!(files, 2, "nothing but the policies and the settings");
    project.write("text.db", "this is no database, whatever its name says");
    project.run(&["audit", "--ledger", "text.db"]).exits(2).complains(&["text.db"]);
}

#[test]
fn aegis_94_reading_changes_no_byte_of_the_ledger() {
    let project = recorded();
    let before = std::fs::read(project.path("placet_audit.db")).expect("a ledger");
    for arguments in [
        &["audit"][..],
        &["audit", "show", "1"],
        &["audit", "stats"],
        &["audit", "tail"],
        &["audit", "export"],
    ] {
        project.run(arguments).exits(0);
    }
    assert_eq!(std::fs::read(project.path("placet_audit.db")).expect("a ledger"), before);
}

#[test]
fn no_output_replaces_the_ledger_or_a_key() {
    let project = recorded();
    let key = key(&project);
    let ledger = std::fs::read(project.path("placet_audit.db")).expect("the ledger");
    for command in [
        &["audit", "export", "-o", "placet_audit.db"][..],
        &["audit", "export", "--session", "s1", "-o", "placet_audit.db"],
        &["audit", "--export", "placet_audit.db"],
        &["audit", "key", "-o", "placet_audit.db"],
        &["audit", "prove", "0", "-o", "placet_audit.db"],
        &["audit", "prove", "0", "--leaf", "placet_audit.db"],
        &["audit", "verify", "--key", &key, "--save-checkpoint", "placet_audit.db"],
    ] {
        let run = project.run(command).exits(1).complains(&["`placet_audit.db` is a database"]);
        assert!(!run.out.contains("written"), "{run:?}");
    }
    assert_eq!(std::fs::read(project.path("placet_audit.db")).expect("the ledger"), ledger);
    project.write("mine.key", "PRIVATE+KEY+mine+00000000+AAAA");
    project.run(&["audit", "key", "-o", "mine.key"]).exits(1).complains(&["`mine.key` is a secret key"]);
}

/// A terminal acts on what is printed to it, and everything in a call may come from an agent.
#[test]
fn aegis_d41_no_command_prints_what_a_call_says_as_it_stands() {
    let project = project(common::ledger::POLICY);
    let deployment = deploy(&project);
    let odd = r"x\u001b[2J\nALLOW  forged\u202e\u009b";
    for tool in ["search", "write_report", "delete_document", odd] {
        let text = format!(
            r#"{{"action":"{tool}","tool_name":"{tool}","target":"{odd}","resource_path":"{odd}","tool_tags":["{odd}"],
            "args":{{"{odd}":"{odd}"}},"context":{{"session_id":"{odd}","delegation_depth":0,"user_role":"{odd}"}},
            "session":{{"agent_id":"{odd}","user":"{odd}"}}}}"#
        );
        let event = placet::Event::from_json(text.as_bytes()).expect("an event");
        let _ = deployment.run(event, Outcome::failed("x\u{1b}[2J", "x\u{1b}[2J\nALLOW  forged"));
    }
    drop(deployment);
    let shown: Vec<String> = (0..5).map(|seq| seq.to_string()).collect();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["audit"],
        vec!["audit", "--every-step"],
        vec!["audit", "stats"],
        vec!["audit", "tail"],
        vec!["approvals"],
        vec!["replay"],
    ];
    commands.extend(shown.iter().map(|seq| vec!["audit", "show", seq]));
    for command in commands {
        let run = project.run(&command);
        for text in [&run.out, &run.err] {
            let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(acts), "{command:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("ALLOW  forged")), "{command:?}: {text:?}");
        }
    }
}

#[test]
fn aegis_95_a_closed_pipe_is_no_trouble() {
    let project = project(common::ledger::POLICY);
    let deployment = deploy(&project);
    for _ in 0..600 {
        deployment.run(call("search", "{}", "s1"), Outcome::succeeded(None)).expect("allowed");
    }
    drop(deployment);
    for arguments in [&["audit"][..], &["audit", "export"], &["audit", "--format", "json"]] {
        let mut child = project.command(arguments).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        drop(out);
        let done = child.wait_with_output().expect("it ends");
        assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn tail_follows_what_other_processes_commit() {
    let project = recorded();
    let mut child = project
        .command(&["audit", "tail", "-n", "1", "-f"])
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(first.contains("failed"), "{first}");
    let deployment = deploy(&project);
    deployment.run(call("search", "{}", "later"), Outcome::succeeded(None)).expect("allowed");
    let next = lines.next().expect("a line").expect("text");
    assert!(next.contains("ALLOW") && next.contains("session later"), "{next}");
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn stats_count_what_was_decided() {
    let project = recorded();
    project.run(&["audit", "stats"]).exits(0).says(&[
        "4 decisions in 2 sessions",
        "1  delete_document",
        "1  block_deletes",
    ]);
    let json = project.run(&["audit", "stats", "--format", "json"]).exits(0).json();
    assert_eq!(json["verdicts"][0], serde_json::json!({"name": "allow", "count": 2}));
}

#[test]
fn the_ledger_is_found_as_the_runtime_finds_it() {
    let project = recorded();
    std::fs::rename(project.path("placet_audit.db"), project.path("moved.db")).expect("moved");
    let run = project.command(&["audit"]).env("PLACET_LEDGER", "moved.db").output().expect("it runs");
    assert!(run.status.success());
    project.write("placet.yaml", "policies: policies\nkeys: keys\nledger: moved.db\n");
    project.run(&["audit"]).exits(0);
    project.write("placet.yaml", "policies: policies\nledger: \"off\"\n");
    project.run(&["audit"]).exits(2).complains(&["--ledger PATH"]);
}

#[test]
fn erasing_lists_first_then_erases_and_the_log_verifies_and_says_so() {
    let project = recorded();
    let key = key(&project);
    let erase = ["audit", "erase", "--containing", "NO INDEX", "--by", "dpo", "--basis", "gdpr-17"];
    project.run(&erase).exits(3).says(&["2 records would be erased: 4, 5"]).complains(&["--yes"]);
    let bytes = || std::fs::read(project.path("placet_audit.db")).expect("the ledger");
    let holds = |text: &str| bytes().windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("no index") && holds("documents are kept"));
    let done = project.run(&[&erase[..], &["--yes"]].concat()).exits(0);
    done.says(&["erased what people wrote in 2 records: 4, 5", "on record at 6"]);
    assert!(!holds("no index") && holds("documents are kept"));
    project.run(&["audit", "verify", "--key", &key]).exits(0).says(&[
        "OK  7 records",
        "something of 2 records, as erasures in the log say",
        "record 6: 2 records, asked by dpo, on the ground `gdpr-17`",
        "signed      7 of 7 records",
    ]);
    project.run(&["audit", "show", "4"]).exits(0).says(&["the readable view was erased"]);
    project.run(&["audit", "show", "6"]).exits(0).says(&["ERASURE", "erased    4, 5", "gdpr-17"]);
    project.run(&[&erase[..], &["--yes"]].concat()).exits(1).complains(&["no record holds"]);
    project
        .run(&["audit", "erase", "--by", "dpo", "--basis", "x"])
        .exits(2)
        .complains(&["nothing says what"]);
    project.run(&["audit", "erase", "--session", "s1", "--by", "dpo"]).exits(2).complains(&["--basis"]);
    let json = project.run(&["audit", "verify", "--key", &key, "--format", "json"]).json();
    assert_eq!(json["erasures"][0]["count"], 2);
}

#[test]
fn keys_are_listed_and_rotated_and_old_and_new_verify() {
    let project = recorded();
    let old = key(&project);
    let listed = || project.run(&["keys", "list", "--format", "json"]).exits(0).json()["keys"].clone();
    assert_eq!((listed().as_array().map(Vec::len), &listed()[0]["state"]), (Some(1), &Value::from("signs")));
    project.run(&["keys", "rotate"]).exits(2).complains(&["--by"]);
    project
        .run(&["keys", "rotate", "--by", "ann", "--overlap", "soon"])
        .exits(2)
        .complains(&["length of time"]);
    let rotated = project.run(&["keys", "rotate", "--by", "ann", "--overlap", "1h"]).exits(0);
    let new = rotated.out.trim().to_owned();
    rotated.complains(&["signs beside it until", "placet audit key"]);
    assert_eq!(listed()[0]["key"], *new);
    assert_eq!(listed()[1]["state"], "signs");
    assert!(listed()[1]["until"].is_string(), "{}", listed());
    let verify = ["audit", "verify", "--key", &old];
    project
        .run(&verify)
        .exits(0)
        .says(&["OK  7 records", "since record 6, brought in by ann: placet.local/"]);
    let show = project.run(&["audit", "show", "6"]).exits(0);
    show.says(&["KEYS", "signs     checkpoints", &format!("added     {new}"), "by        ann"]);

    project.run(&["keys", "rotate", "--by", "ann", "--overlap", "0s"]).exits(0);
    let run = deploy(&project).run(call("search", "{}", "s3"), Outcome::succeeded(None));
    run.expect("the ledger goes on");
    let states: Vec<Value> =
        listed().as_array().expect("a list").iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states, ["signs", "retired", "retired"], "at once means all before it");
    project.run(&["audit", "key", "-o", "elsewhere/all.vkey"]).exits(0);
    assert_eq!(project.read("elsewhere/all.vkey").lines().count(), 3);
    project.run(&["audit", "verify", "--key", "elsewhere/all.vkey"]).exits(0).says(&["OK  10 records"]);
    let short = project.run(&["audit", "verify", "--key", &old, "--key", &new]).exits(1);
    short.complains(&["record 7 brought in a key that was not given"]);
}

#[test]
fn a_sealed_and_pruned_ledger_verifies_with_its_archive_and_erases_there() {
    let project = recorded();
    let key = key(&project);
    let seal = ["audit", "seal", "--archive", "archive"];
    project.run(&seal).exits(0).says(&["sealed 6 records, 0 to 5: `archive/"]);
    project.run(&seal).exits(0).complains(&["nothing is new"]);
    let prune = ["audit", "prune", "--archive", "archive", "--by", "ops", "--before"];
    project.run(&[&prune[..], &["2020-01-01"]].concat()).exits(1).complains(&["no view in the ledger"]);
    let pruned = project.run(&[&prune[..], &["0s"]].concat()).exits(0);
    pruned.says(&["erased what people wrote in 6 records", "on record at 6"]);
    project.run(&["audit", "show", "3"]).exits(0).says(&["the readable view was erased"]);
    let verify = ["audit", "verify", "--key", &key];
    project.run(&verify).exits(0).says(&["OK  7 records", "on the ground `archived`"]);
    let joined = [&verify[..], &["--archive", "archive"]].concat();
    assert_eq!(project.run(&[&joined[..], &["--format", "json"]].concat()).exits(0).json()["erased"], 0);
    project.run(&["audit", "show", "3", "--ledger", "archive"]).exits(0).says(&["documents are kept"]);
    project.run(&[&verify[..], &["--ledger", "archive"]].concat()).exits(0).says(&["OK  6 records"]);
    let mut without = project.command(&[&verify[..], &["--ledger", "archive"]].concat());
    let without = without.env("PLACET_KEYS", "nowhere").output().expect("it runs");
    assert!(
        String::from_utf8_lossy(&without.stdout).contains("6 archived views, not checked"),
        "{without:?}"
    );

    let erase = [
        "audit",
        "erase",
        "--containing",
        "documents are kept",
        "--by",
        "dpo",
        "--basis",
        "gdpr-17",
        "--yes",
    ];
    project.run(&erase).exits(1).complains(&["archived views are not searched"]);
    project.run(&[&erase[..], &["--archive", "archive"]].concat()).exits(0).says(&["in 1 record: 3"]);
    project.run(&joined).exits(0).says(&["OK  8 records", "something of 1 record"]);
    project
        .run(&["audit", "show", "3", "--ledger", "archive"])
        .exits(0)
        .says(&["the readable view was erased"]);
    project
        .run(&["audit", "erase", "--ledger", "archive", "--session", "s1", "--by", "x", "--basis", "y"])
        .exits(2);
}

/// A copy of a project's ledger, made while nobody uses it.
fn copy(project: &Project, to: &str) {
    std::fs::copy(project.path("placet_audit.db"), project.path(to)).expect("a copy");
}

fn put_back(project: &Project, from: &str) {
    let _ = std::fs::remove_file(project.path("placet_audit.db-wal"));
    let _ = std::fs::remove_file(project.path("placet_audit.db-shm"));
    std::fs::copy(project.path(from), project.path("placet_audit.db")).expect("it is put back");
}

#[test]
fn promise_8_recover_shows_what_is_lost_and_goes_on_only_when_told() {
    let project = recorded();
    let nothing = project.run(&["audit", "recover"]).exits(0);
    assert!(nothing.err.contains("nothing to recover"), "{nothing:?}");
    copy(&project, "copy.db");
    let deployment = deploy(&project);
    for session in ["s7", "s8"] {
        deployment.run(call("search", "{}", session), Outcome::succeeded(None)).expect("allowed");
    }
    drop(deployment);
    let key = key(&project);
    let old = ["audit", "verify", "--key", &key, "--save-checkpoint", "elsewhere/old"];
    project.run(&old).exits(0);
    put_back(&project, "copy.db");

    let shown = project.run(&["audit", "recover"]).exits(3);
    for words in
        ["ROLLED BACK", "key folder", "at least 4 records", "1 open request cancelled", "write_report"]
    {
        assert!(shown.out.contains(words), "no `{words}` in {shown:?}");
    }
    assert!(shown.err.contains("nothing was changed"), "{shown:?}");
    let command = shown.out.lines().find(|line| line.contains("--accept-rollback")).expect("a command");
    let of = |flag: &str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        words[words.iter().position(|word| *word == flag).expect(flag) + 1].to_owned()
    };
    let (size, root) = (of("--size"), of("--root"));
    let accept = |size: &str, root: &str| {
        let args = ["audit", "recover", "--accept-rollback", "--size", size, "--root", root];
        project.run(&[&args[..], &["--by", "ann", "--reason", "the disk died"]].concat())
    };
    project.run(&["audit", "recover", "--accept-rollback"]).exits(2);
    let other = accept("1", &root).exits(1);
    assert!(other.err.contains("not what was accepted"), "{other:?}");
    let accepted = accept(&size, &root).exits(0);
    assert!(accepted.out.contains(&format!("record {size} says so")), "{accepted:?}");
    project.run(&["audit", "recover"]).exits(0);

    let verified = project.run(&["audit", "verify", "--key", &key]).exits(0);
    assert!(verified.out.contains("ann accepted that the log goes on from"), "{verified:?}");
    let refused = project.run(&["audit", "verify", "--key", &key, "--from", "elsewhere/old"]).exits(1);
    assert!(refused.out.contains(&format!("record {size} accepted a rollback")), "{refused:?}");
    let record = project.run(&["audit", "show", &size]).exits(0);
    assert!(record.out.contains("the disk died") && record.out.contains("key_folder"), "{record:?}");
    let list = project.run(&["approvals", "list"]).exits(0);
    assert!(!list.out.contains("write_report"), "{list:?}");
    deploy(&project).run(call("search", "{}", "s9"), Outcome::succeeded(None)).expect("allowed");
}

#[test]
fn promise_8_recover_accepts_no_edited_ledger() {
    let project = recorded();
    sqlite3(
        &project,
        "DROP TRIGGER entry_update; UPDATE entry SET leaf = replace(leaf, 's1', 's3') WHERE seq = 0",
    );
    let refused = project.run(&["audit", "recover"]).exits(1);
    assert!(refused.err.contains("was edited") && refused.err.contains("only an older copy"), "{refused:?}");
}
