//! `compile`: what is no clear policy fails with its line, and what compiles says no more than it says.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use common::{NOTES, Project, event};
use serde_json::json;

/// A text that would leave its place if policies were pasted together.
const ESCAPE: &str = "a\" }\nallow if { true }\nhitl[\"q\"] if { input.action == \"b";

#[test]
fn f03_the_scaffold_compiles() {
    let project = Project::new(&[]);
    project.run(&["init"]).exits(0);
    project.run(&["compile", "policies/policy.yaml"]).exits(0).says(&["policies/policy.rego"]);
    project.run(&["compile", "policies/policy.yaml", "--check"]).exits(0).says(&["current"]);
}

/// The rows of §20.7 that mean nothing: exit 1, the line, and no file.
#[test]
fn f03_what_means_nothing_fails_with_its_line() {
    let rule = |when: &str, rest: &str| {
        format!("version: 1\nrules:\n  - name: a\n    when: {when}\n    then: allow\n{rest}")
    };
    for (text, line) in [
        (rule("{}", ""), 4),
        (rule("{ rol: admin }", ""), 4),
        (rule("{ actions: [a] }", ""), 4),
        (rule("{ action: pay, rol: admin }", ""), 4),
        (rule("{ scope: [] }", ""), 4),
        (rule("{ args: { x: { gt: .inf } } }", ""), 4),
        (rule("{ args: { x: { in: 5 } } }", ""), 4),
        (rule("{ action: pay }", "    risk_tier: BOGUS\n"), 6),
        (rule("{ action: pay }", "    reason: \"say \"no\"\"\n"), 6),
        (rule("{ action: pay }", "  - name: a\n    when: { action: b }\n    then: deny\n"), 6),
        (rule("{ action: pay }", "owner: me\n"), 6),
        (rule("{ action: pay }", "").replace("version: 1", "version: 99"), 1),
    ] {
        let project = Project::with_policy(&text);
        let run = project.run(&["compile", "policies/policy.yaml"]).exits(1);
        run.complains(&[&format!("policies/policy.yaml:{line}:")]);
        assert!(!project.path("policies/policy.rego").exists(), "{text}");
        project.run(&["compile", "policies/policy.yaml", "--check"]).exits(1);
    }
}

/// The rows of §20.7 that are texts like any other: they compile, and the Rego allows what the rule names and no more.
#[test]
fn f03_texts_that_look_like_rego_are_inert() {
    let narrow = json!({ "action": "pay", "role": "admin" });
    let with = |key: &str, value: serde_json::Value| {
        let mut when = narrow.clone();
        when[key] = value;
        when
    };
    for (when, reason) in [
        (narrow.clone(), "fine\nallow if { true }"),
        (narrow.clone(), "say \"no\""),
        (with("action", json!(ESCAPE)), "r"),
        (with("role", json!(ESCAPE)), "r"),
        (with("scope", json!(ESCAPE)), "r"),
        (with("args", json!({ "note": { "eq": ESCAPE } })), "r"),
        (with("args", json!({ ESCAPE: { "eq": "x" } })), "r"),
        (with("args", json!({ "customer-id": { "eq": "c1" } })), "r"),
        (with("args", json!({ "path": { "contains": "C:\\temp" } })), "r"),
        (with("args", json!({ "force": { "eq": true } })), "r"),
    ] {
        let rule = json!({ "name": "a", "when": when, "then": "allow", "reason": reason });
        let text = json!({ "version": 1, "rules": [rule] }).to_string();
        let project = Project::with_policy(&text);
        project.run(&["compile", "policies/policy.yaml", "-o", "rego/policy.rego"]).exits(0);
        // One byte more, and it is Rego as any other: the interpreter decides.
        project.write("edited/policy.rego", &(project.read("rego/policy.rego") + "\n# edited\n"));
        for policies in ["policies", "rego", "edited"] {
            for action in ["anything", "b", "q", "pay"] {
                let run = project.run(&["check", &event(action, "{}"), "--policies", policies]);
                assert_eq!(run.code, 1, "{policies}: {action} under {text}: {run:?}");
            }
        }
    }
    let rule = json!({ "name": "a", "when": { "action": ESCAPE }, "then": "allow", "reason": "say \"no\"\nallow := true" });
    let project = Project::with_policy(&json!({ "version": 1, "rules": [rule] }).to_string());
    project.run(&["compile", "policies/policy.yaml", "-o", "rego/policy.rego"]).exits(0);
    let named =
        json!({ "action": ESCAPE, "context": { "session_id": "s", "delegation_depth": 0 } }).to_string();
    for policies in ["policies", "rego"] {
        let decision = project.run(&["check", &named, "--policies", policies, "--format", "json"]).exits(0);
        assert_eq!(decision.json()["reason"], "say \"no\"\nallow := true", "a text is a text");
    }
}

/// Half a flag is no flag, and nothing that a person wrote is overwritten by an output.
#[test]
fn aegis_d12_flags_are_spelt_out_and_no_output_overwrites_a_persons_file() {
    let project = Project::with_policy(NOTES);
    let read = event("read_note", "{}");
    for arguments in [
        &["check", &read, "--form", "json"][..],
        &["validate", "--deny"],
        &["lint", "--stat", "blocked"],
        &["compile", "policies/policy.yaml", "--out", "x.rego"],
        &["test", "--cover"],
        &["check", &read, "--status", "blocked"],
        &["validate", "--export", "out.jsonl"],
    ] {
        let run = project.run(arguments).exits(2);
        assert_eq!(run.out, "", "{arguments:?}");
        assert!(run.err.contains("unexpected argument"), "{arguments:?}: {}", run.err);
    }
    assert!(!project.path("out.jsonl").exists() && !project.path("x.rego").exists());
    project.write("mine.rego", "package placet.mine\n");
    project.run(&["compile", "policies/policy.yaml", "-o", "mine.rego"]).exits(1).complains(&["mine.rego"]);
    assert_eq!(project.read("mine.rego"), "package placet.mine\n");
}
