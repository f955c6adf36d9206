//! `placet replay` over decisions whose arguments were redacted: what it says for sure is the truth.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::Project;
use common::ledger::{Deployment, call, deploy, project};
use placet::pipeline::Outcome;
use placet::{Event, Field, Gate, GateOptions, SourceFile, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

const POLICY: &str = "version: 1
rules:
  - { name: ours, when: { action: mail, args.to: { ends_with: \"@ours.example\" } }, then: allow }
  - { name: boss, when: { action: mail, args.to: { eq: boss@ours.example } }, then: hitl, reason: the boss }
  - { name: vault, when: { action: unlock, args.password: { starts_with: hun } }, then: allow }
";

fn run(deployment: &Deployment, action: &str, args: &str) -> Result<(), &'static str> {
    deployment.run(call(action, args, "s1"), Outcome::succeeded(None))
}

fn recorded() -> Project {
    let project = project(POLICY);
    let deployment = deploy(&project);
    assert_eq!(run(&deployment, "mail", r#"{"to":"ann@ours.example"}"#), Ok(()));
    assert_eq!(run(&deployment, "mail", r#"{"to":"boss@ours.example"}"#), Err("approval_required"));
    assert_eq!(run(&deployment, "mail", r#"{"to":"eve@else.example"}"#), Err("no_rule_matched"));
    assert_eq!(run(&deployment, "unlock", r#"{"password":"hunter2"}"#), Ok(()));
    drop(deployment);
    project
}

fn replay(project: &Project, rules: &str, code: i32) -> Value {
    project.write("new/policy.yaml", &format!("version: 1\nrules:\n{rules}"));
    project.run(&["replay", "--policies", "new", "--ci", "--format", "json"]).exits(code).json()
}

fn verdicts(report: &Value) -> Vec<(u64, &str)> {
    let changes = report["changes"].as_array().expect("a list").iter();
    changes.map(|one| (one["seq"].as_u64().expect("a number"), one["to"].as_str().expect("a word"))).collect()
}

#[test]
fn f32_a_new_rule_over_a_redacted_value_is_judged_by_what_was_asked_of_it() {
    let project = recorded();
    // The same condition under another name, in another combination and for another verdict.
    let rules = "  - { name: a, when: { action: mail, not: { args.to: { ends_with: \"@ours.example\" } } }, then: block }
  - { name: b, when: { action: mail, args.to: { ends_with: \"@ours.example\" } }, then: deny }
  - { name: c, when: { action: unlock }, then: allow }\n";
    let report = replay(&project, rules, 1);
    // Each allowed call has an outcome behind it.
    let wanted = [(0, "deny"), (2, "deny"), (3, "deny (hard)")];
    assert_eq!(verdicts(&report), wanted, "{report:#}");
    assert_eq!((&report["undecidable"], &report["unchanged"]), (&json!([]), &json!(1)));
    // A value that is there is there, and a text is no number, whatever it says.
    let rules = "  - { name: a, when: { action: mail, args.to: { exists: true } }, then: allow }
  - { name: b, when: { action: unlock, args.password: { lt: 5 } }, then: allow }\n";
    let report = replay(&project, rules, 1);
    let wanted = [(2, "allow"), (3, "allow"), (4, "deny")];
    assert_eq!((verdicts(&report), &report["undecidable"]), (wanted.to_vec(), &json!([])), "{report:#}");
}

#[test]
fn f32_what_was_not_asked_is_bounded_and_never_guessed() {
    let project = recorded();
    let rules = "  - { name: a, when: { action: mail, args.to: { ends_with: \".example\" } }, then: allow }
  - { name: b, when: { action: unlock, args.password: { starts_with: hun } }, then: allow }
  - { name: c, when: { action: unlock, args.password: { eq: hunter2 } }, then: hitl }\n";
    let report = replay(&project, rules, 3);
    assert_eq!(report["changes"], json!([]), "{report:#}");
    let told: Vec<&Value> =
        report["undecidable"].as_array().expect("a list").iter().map(|one| &one["could_be"]).collect();
    let mail = json!(["allow", "deny"]);
    // Of a secret nothing is kept, not even what the policies in force asked.
    assert_eq!(told, [&mail, &mail, &mail, &json!(["allow", "escalate", "deny"])]);
    assert_eq!(report["perhaps_denied"], 2, "of the two that were allowed");
    let text = project.run(&["replay", "--policies", "new"]).exits(0);
    text.says(&["4  undecidable", "would be allow or deny: it rests on a value that was redacted"]);
    // Denied in any case, softly or hard.
    let rules = "  - { name: a, when: { action: mail, args.to: { contains: x } }, then: block }\n";
    let report = replay(&project, rules, 1);
    assert_eq!((&report["newly_denied"], &report["perhaps_denied"]), (&json!(2), &json!(0)), "{report:#}");
}

#[test]
fn f32_features_give_nothing_away_and_without_the_key_they_say_nothing() {
    let project = recorded();
    project.run(&["audit", "export", "-o", "all.jsonl"]).exits(0);
    let exported = std::fs::read_to_string(project.path("all.jsonl")).expect("an export");
    for secret in ["hunter2", "ann@", "boss@", "eve@"] {
        assert!(!exported.contains(secret), "{secret} in {exported}");
    }
    let features: Vec<Value> = exported
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["view"].as_str().map(str::to_owned)
        })
        .filter_map(|view| serde_json::from_str::<Value>(&view).expect("JSON").get("features").cloned())
        .collect();
    assert_eq!(features.len(), 4, "{exported}");
    for (of, truths) in features.iter().zip([2, 2, 2, 0]) {
        let count = |list: &str| of[list].as_array().map_or(0, Vec::len);
        assert_eq!(count("true") + count("false") + count("unknown"), truths, "{of}");
        assert_eq!(of["hidden"][0]["type"], "string");
    }
    // Whoever has the log and the policies, and not the key, cannot try out what was asked.
    let rules =
        "  - { name: a, when: { action: mail, args.to: { ends_with: \"@ours.example\" } }, then: allow }
  - { name: c, when: { action: unlock }, then: allow }\n";
    assert_eq!(replay(&project, rules, 0)["undecidable"], json!([]));
    std::fs::rename(project.path("keys"), project.path("elsewhere")).expect("moved");
    assert_eq!(replay(&project, rules, 3)["undecidable"].as_array().map(Vec::len), Some(3));
}

#[test]
fn f29_what_a_key_hides_is_hidden_wherever_it_was_looked_at() {
    let project = project(
        "version: 1\nrules:\n  - { name: a, when: { action: unlock, args.login.password: { ne: x } }, then: allow }\n",
    );
    let deployment = deploy(&project);
    let args = r#"{"login":{"password":"~hunter2"},"file":"/srv/a"}"#;
    run(&deployment, "unlock", args).expect("allowed");
    drop(deployment);
    let shown = project.run(&["audit", "export"]).exits(0).out;
    assert!(!shown.contains("hunter2") && shown.contains("/srv/a"), "{shown}");
}

#[test]
fn f32_what_closing_an_event_makes_of_a_hidden_value_is_not_taken_for_sure() {
    let project =
        project("version: 1\nrules: [{ name: a, when: { action: { glob: \"*\" } }, then: allow }]\n");
    let deployment = deploy(&project);
    let spawn = |session: &str| {
        let context = format!("\"delegation_depth\":0,\"parent_session_id\":\"ann@ours.example\"{session}");
        let text = format!("{{\"event_type\":\"agent.spawn\",\"context\":{{{context}}}}}");
        Event::from_json(text.as_bytes()).expect("an event")
    };
    let read = call("read", r#"{"password_file":["/srv/a"]}"#, "s1");
    for event in [read, spawn(""), spawn(",\"session_id\":\"s1\"")] {
        assert_eq!(deployment.pipeline.ask(event).decision.verdict, Verdict::Allow);
    }
    drop(deployment);
    // A hidden list of paths is one more resource beside those that were found in it; and a spawn without a session
    // has no parent, whatever its context names.
    let rules =
        "  - { name: a, when: { resources: { count: { where: { exists: true }, gt: 1 } } }, then: block }
  - { name: b, when: { event_type: agent.spawn, parent.session_id: { exists: true } }, then: block }
  - { name: c, when: { action: { glob: \"*\" } }, then: allow }\n";
    let report = replay(&project, rules, 1);
    assert_eq!(verdicts(&report), [(2, "deny (hard)")], "{report:#}");
    assert_eq!(report["undecidable"][0]["could_be"], json!(["allow", "deny (hard)"]), "{report:#}");
    assert_eq!((&report["undecidable"][1], &report["unchanged"]), (&json!(null), &json!(1)), "{report:#}");
}

/// A value that JSON does not have is shown by the name of its type, which is no text that rules could look into.
#[test]
fn f32_the_name_of_a_type_is_not_taken_for_a_text() {
    let project =
        project("version: 1\nrules: [{ name: a, when: { action: { glob: \"*\" } }, then: allow }]\n");
    let deployment = deploy(&project);
    let foreign = || placet::Value::by_reference("datetime");
    let args = placet::Object::from_pairs(vec![("since".into(), foreign())]).expect("an object");
    let attributes = placet::Object::from_pairs(vec![("login".into(), foreign())]).expect("an object");
    let (mut of_args, mut of_context) = (call("read", "{}", "s1"), call("read", "{}", "s1"));
    of_args.set(Field::Args, placet::Value::Object(args));
    of_context.set(Field::Attributes, placet::Value::Object(attributes));
    for event in [of_args, of_context, call("read", r#"{"since":"<datetime>"}"#, "s1")] {
        deployment.run(event, Outcome::succeeded(None)).expect("allowed");
    }
    drop(deployment);
    let rules = "  - { name: a, when: { args.since: { eq: \"<datetime>\" } }, then: allow }
  - { name: b, when: { context.attributes.login: { eq: \"<datetime>\" } }, then: allow }\n";
    let report = replay(&project, rules, 1);
    assert_eq!(verdicts(&report), [(0, "deny"), (2, "deny")], "{report:#}");
}

#[test]
fn f32_a_call_without_anything_redacted_has_no_features() {
    let project = project("version: 1\nrules:\n  - { name: a, when: { action: read }, then: allow }\n");
    let deployment = deploy(&project);
    run(&deployment, "read", r#"{"q":"x","n":[1,2.5,null,{"k":true}],"o":{}}"#).expect("allowed");
    drop(deployment);
    let shown = project.run(&["audit", "export"]).exits(0).out;
    assert!(!shown.contains("features"), "{shown}");
}

/// Values that redaction changes, as a whole, in part or in a list, and such as it leaves alone.
fn value() -> impl Strategy<Value = Value> {
    select(vec![
        json!("ann@ours.example"),
        json!("bob@else.example"),
        json!("write to ann@ours.example or bob@else.example"),
        json!("password=hunter2 and ann@ours.example"),
        json!(["ann@ours.example", "x", 5]),
        json!(["bob@else.example"]),
        json!([]),
        json!("4111 1111 1111 1111"),
        json!(4_111_111_111_111_111_i64),
        json!("x"),
        json!("ann"),
        json!(5),
        json!(true),
        json!({"inner": "ann@ours.example", "kind": "mail"}),
        json!({"ann@ours.example": 1}),
        json!([{"to": "ann@ours.example", "kind": "mail"}, {"to": "x", "kind": "post"}]),
        json!(null),
    ])
}

const KEYS: [&str; 5] = ["to", "note", "password", "ssn", "list"];

fn arguments() -> impl Strategy<Value = Value> {
    vec((select(&KEYS[..]), value()), 0..4).prop_map(|pairs| {
        Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let operator = select(vec![
        json!({"eq": "ann@ours.example"}),
        json!({"ends_with": "@ours.example"}),
        json!({"contains": "ann"}),
        json!({"contains": "hunter2"}),
        json!({"starts_with": "b"}),
        json!({"glob": "*@*"}),
        json!({"matches": "^4111"}),
        json!({"gt": 10}),
        json!({"lte": 5}),
        json!({"in": ["x", "ann@ours.example", 5]}),
        json!({"not_in": ["bob@else.example"]}),
        json!({"exists": true}),
        json!({"exists": false}),
        json!({"count": {"gt": 1}}),
        json!({"count": {"where": {"kind": "mail"}, "gt": 0}}),
        json!({"count": {"where": {"to": {"ends_with": "example"}}, "gt": 0}}),
    ]);
    let paths: Vec<String> =
        KEYS.iter().flat_map(|key| [format!("args.{key}"), format!("args.{key}.inner")]).collect();
    let leaf = (select(paths), operator).prop_map(|(path, operator)| json!({path: operator}));
    leaf.prop_recursive(2, 4, 2, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(|parts| json!({"any": parts})),
            vec(inner.clone(), 1..3).prop_map(|parts| json!({"all": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

/// A policy with rules for the action `act`.
fn policy() -> impl Strategy<Value = String> {
    let then = select(&["allow", "allow", "hitl", "deny", "block"][..]);
    vec((condition(), then), 1..4).prop_map(|rules| {
        let rules = rules.into_iter().enumerate().map(|(number, (mut when, then))| {
            when["action"] = json!("act");
            json!({"name": format!("r{number}"), "when": when, "then": then})
        });
        json!({"version": 1, "rules": rules.collect::<Vec<_>>()}).to_string()
    })
}

fn word(gate: &Gate, args: &Value) -> String {
    let decision = gate.decide(call("act", &args.to_string(), "s1"));
    let hard = if decision.verdict.is_hard() { " (hard)" } else { "" };
    format!("{}{hard}", decision.verdict.word())
}

/// How many answers were certain although something was redacted, and how many were not.
fn check(policies: &[String], calls: &[Value]) -> (usize, usize) {
    let project = project(&policies[0]);
    let deployment = deploy(&project);
    let ask = |args: &Value| {
        let answer = deployment.pipeline.ask(call("act", &args.to_string(), "s1"));
        answer.decision.decision_id.0.to_string()
    };
    let ids: Vec<String> = calls.iter().map(ask).collect();
    drop(deployment);
    let (mut certain, mut open) = (0, 0);
    let mut before = HashMap::new();
    for (number, policy) in policies.iter().enumerate() {
        project.write("new/policy.yaml", policy);
        let report = project.run(&["replay", "--policies", "new", "--format", "json"]).exits(0).json();
        let text = SourceFile::new("new/policy.yaml", policy.as_str());
        let gate = Gate::open(GateOptions { texts: vec![text], reload: false, ..GateOptions::default() });
        let gate = gate.expect("a gate");
        let list = |name: &str| -> HashMap<String, Value> {
            let rows = report[name].as_array().expect("a list").iter();
            rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row.clone())).collect()
        };
        let (changes, undecidable) = (list("changes"), list("undecidable"));
        for (id, args) in ids.iter().zip(calls) {
            let truth = word(&gate, args);
            if number == 0 {
                assert!(
                    !changes.contains_key(id) && !undecidable.contains_key(id),
                    "{args} {policy} {report:#}"
                );
                before.insert(id, truth);
            } else if let Some(row) = undecidable.get(id) {
                open += 1;
                let could_be = row["could_be"].as_array().expect("a list");
                assert!(could_be.contains(&json!(truth)), "{truth}: {args} {policy} {row:#}");
                assert!(could_be.len() > 1, "{row:#}");
            } else {
                certain += 1;
                let told = changes.get(id).map_or(json!(before[id]), |row| row["to"].clone());
                assert_eq!(told, json!(truth), "{args} under {policy}");
            }
        }
    }
    (certain, open)
}

#[test]
fn f32_what_replay_is_sure_of_is_the_truth_over_random_redacted_events() {
    let mut runner = TestRunner::deterministic();
    let (mut certain, mut open) = (0, 0);
    for _ in 0..4 {
        let policies = vec(policy(), 7).new_tree(&mut runner).expect("policies").current();
        let calls = vec(arguments(), 60).new_tree(&mut runner).expect("calls").current();
        let (sure, unsure) = check(&policies, &calls);
        certain += sure;
        open += unsure;
    }
    println!("{certain} certain, {open} undecidable");
    assert!(certain > open, "{certain} certain, {open} undecidable");
}
