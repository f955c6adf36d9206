//! `init`, `compile`, `validate`, `lint`, `test`, `diff`, `eval` and what every command has in common.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use std::collections::BTreeSet;

use common::{NOTES, Project, event};

fn files(project: &Project, folder: &str) -> BTreeSet<String> {
    let list = placet::files::list(&project.path(folder)).expect("a folder");
    list.iter()
        .map(|path| path.strip_prefix(project.path(folder)).expect("below").display().to_string())
        .collect()
}

#[test]
fn f47_init_creates_a_project_that_decides_at_once() {
    let project = Project::new(&[]);
    let run =
        project.run(&["init", "mine"]).exits(0).says(&["Created", "mine/agent.py", "Next steps", "cd mine"]);
    assert_eq!(run.err, "");
    let wanted = ["agent.py", "placet.yaml", "policies/policy.rego", "policies/policy.yaml"];
    assert_eq!(files(&project, "mine"), wanted.map(str::to_owned).into());
    let check = |action: &str, amount: u32| {
        let event = format!(
            r#"{{"action":"{action}","args":{{"amount":{amount}}},"context":{{"session_id":"s","delegation_depth":0,"user_role":"support_agent","session_scopes":["approve_refund","read_customer"]}}}}"#
        );
        let mut command = project.command(&["check", &event]);
        command.current_dir(project.path("mine")).output().expect("it runs").status.code()
    };
    assert_eq!(check("get_customer", 0), Some(0));
    assert_eq!(check("approve_refund", 50), Some(0));
    assert_eq!(check("approve_refund", 500), Some(1));
    assert_eq!(check("run_shell_command", 0), Some(1));
    project.run(&["validate", "mine/policies", "--deny-warnings"]).exits(0);
    project.run(&["compile", "mine/policies/policy.yaml", "--check"]).exits(1).says(&["stale"]);
}

#[test]
fn f47_init_with_opa_adds_what_a_server_needs() {
    let project = Project::new(&[]);
    project.run(&["init", ".", "--opa"]).exits(0).says(&["docker compose up -d"]);
    assert!(project.read("docker-compose.yml").contains(":8181"));
    for name in files(&project, "opa") {
        assert!(project.read(&format!("opa/{name}")).contains("package placet"), "{name}");
    }
    assert!(files(&project, "opa").len() >= 6);
}

/// The `opa` binary, where there is one.
fn opa() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("PLACET_OPA").map(std::path::PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).map(|folder| folder.join("opa"));
    named.or_else(|| folders.find(|file| file.is_file()))
}

#[test]
fn f47_the_bundle_of_init_decides_on_a_real_opa_as_the_embedded_gate_does() {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA or the path");
        return;
    };
    let project = Project::new(&[]);
    project.run(&["init", "--opa"]).exits(0);
    for (amount, outcome) in [("50", "allow"), ("500", "deny"), ("-1", "deny"), ("null", "deny")] {
        let event = format!(
            r#"{{"action":"approve_refund","args":{{"amount":{amount}}},"context":{{"session_id":"s","delegation_depth":0,"user_role":"support_agent","session_scopes":["approve_refund"]}}}}"#
        );
        let native = project.run(&["check", &event, "--format", "json"]).json();
        assert_eq!(native["verdict"], outcome, "{amount}");
        let event = placet::Event::from_json(event.as_bytes()).expect("an event");
        project.write("input.json", &placet::export::input(&placet::Request::new(event)).to_string());
        let output = std::process::Command::new(&opa)
            .args([
                "eval",
                "--data",
                "policies",
                "--data",
                "opa",
                "--ignore",
                "*.yaml",
                "--input",
                "input.json",
            ])
            .args(["--format", "json", "data.placet.main.decision"])
            .current_dir(project.folder.path())
            .output()
            .expect("opa runs");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let decision = &answer["result"][0]["expressions"][0]["value"];
        assert_eq!(
            (&decision["outcome"], &decision["hard"]),
            (&native["verdict"], &native["hard"]),
            "{amount}: {answer}"
        );
    }
}

#[test]
fn kite_20_20_init_leaves_everything_alone_when_anything_is_in_the_way() {
    for taken in ["agent.py", "placet.yaml", "policies/policy.yaml", "policies/policy.rego"] {
        let project = Project::new(&[(taken, "mine\n")]);
        let run = project.run(&["init"]).exits(1).complains(&[taken, "nothing was written"]);
        assert_eq!(run.out, "");
        assert_eq!(project.read(taken), "mine\n");
        assert_eq!(files(&project, "."), BTreeSet::from([taken.to_owned()]));
    }
    let project = Project::new(&[("docker-compose.yml", "mine\n")]);
    project.run(&["init", "--opa"]).exits(1);
    project.run(&["init"]).exits(0);
    assert_eq!(project.read("docker-compose.yml"), "mine\n");
}

#[cfg(unix)]
#[test]
fn aegis_85_init_never_writes_through_a_link() {
    let project = Project::new(&[]);
    std::os::unix::fs::symlink(project.path("elsewhere.py"), project.path("agent.py")).expect("a link");
    project.run(&["init"]).exits(1);
    assert!(!project.path("elsewhere.py").exists());
}

#[test]
fn compile_writes_beside_the_policy_and_never_over_what_a_person_wrote() {
    let project = Project::with_policy(NOTES);
    project.run(&["compile", "policies/policy.yaml", "--check"]).exits(0).says(&["valid"]);
    assert!(!project.path("policies/policy.rego").exists());
    project.run(&["compile", "policies/policy.yaml"]).exits(0).says(&["compiled", "policies/policy.rego"]);
    project.run(&["compile", "policies/policy.yaml", "--check"]).exits(0).says(&["current"]);
    let rego = project.read("policies/policy.rego");
    let printed = project.run(&["compile", "policies/policy.yaml", "-o", "-"]).exits(0);
    assert_eq!(printed.out, rego);
    project.write("policies/policy.yaml", &NOTES.replace("kept", "held"));
    project.run(&["compile", "policies/policy.yaml", "--check"]).exits(1).says(&["stale"]);
    assert_eq!(project.read("policies/policy.rego"), rego);
    project.run(&["compile", "policies/policy.yaml"]).exits(0);
    assert!(project.read("policies/policy.rego").contains("notes are held"));
    project.write("policies/policy.rego", "package placet.mine\n");
    project.run(&["compile", "policies/policy.yaml"]).exits(1).complains(&["policies/policy.rego", "-o"]);
    assert_eq!(project.read("policies/policy.rego"), "package placet.mine\n");
    project.run(&["compile", "policies/policy.yaml", "-o", "out/deep/x.rego"]).exits(0);
    assert!(project.read("out/deep/x.rego").starts_with("# placet-export"));
    project.run(&["compile", "policies/none.yaml"]).exits(2);
}

#[test]
fn kite_20_7_compile_refuses_an_invalid_policy_and_writes_nothing() {
    let project = Project::with_policy(&NOTES.replacen("then: allow", "them: allow", 1));
    let run = project.run(&["compile", "policies/policy.yaml"]).exits(1);
    run.complains(&["policies/policy.yaml:5:5: error[policy/unknown-key]", "help: did you mean `then`?"]);
    assert!(!project.path("policies/policy.rego").exists());
}

#[test]
fn a_compiled_policy_decides_as_its_yaml_does() {
    let project = Project::with_policy(NOTES);
    project.run(&["compile", "policies/policy.yaml", "-o", "rego/policy.rego"]).exits(0);
    for action in ["read_note", "delete_note", "send_note", "burn_note"] {
        let event = event(action, "{}");
        let native = project.run(&["check", &event]);
        let rego = project.run(&["check", &event, "--policies", "rego"]);
        assert_eq!((native.code, native.out), (rego.code, rego.out), "{action}");
    }
    let explained = project.run(&["explain", &event("delete_note", "{}"), "--policies", "rego"]).exits(1);
    explained.says(&["   6 |   - name: no_deletes"]);
}

#[test]
fn aegis_84_validate_reports_everything_at_once_with_positions() {
    let project = Project::with_policy(NOTES);
    let good = project.run(&["validate"]).exits(0);
    good.says(&["policies/policy.yaml  project  3 rules\n", "valid: 3 rules in 1 policy file\n", "sha256:"]);
    project.write(
        "policies/a.yaml",
        "version: 1\nrules:\n  - name: x\n    when: { acton: y }\n    then: alow\n",
    );
    project.write("policies/b.yaml", "version: 99\nrules: []\n");
    let bad = project.run(&["validate"]).exits(1).says(&[
        "policies/a.yaml:4:13: error[policy/unknown-key]",
        "  help: did you mean `action`?",
        "policies/a.yaml:5:11: error[policy/bad-value]",
        "policies/b.yaml:1:10: error[policy/version]",
        "invalid: 4 errors in 3 policy files\n",
    ]);
    assert_eq!(bad.err, "");
    let json = project.run(&["validate", "--format", "json"]).exits(1).json();
    assert_eq!(json["valid"], false);
    assert_eq!(json["findings"][0]["line"], 4);
    project.run(&["validate", "nowhere"]).exits(2).complains(&["nowhere"]);
}

#[test]
fn aegis_91_a_policy_with_dead_rules_is_never_clean() {
    let dead = "version: \"1\"\nrules:\n  - { name: all_writes, match: { type: \"write*\" }, approval: approve }\n  \
                - { name: never, match: { type: write_report }, approval: block }\n";
    let project = Project::with_policy(dead);
    project.run(&["validate"]).exits(0).says(&["policies/policy.yaml:4:", "warning[", "never"]);
    project.run(&["validate", "--deny-warnings"]).exits(1);
    project.run(&["lint"]).exits(1).says(&["findings: 1 warning"]);
    let json = project.run(&["lint", "--format", "json"]).exits(1).json();
    assert_eq!(json["clean"], false);
    project.write("policies/policy.yaml", NOTES);
    project.run(&["lint"]).exits(0).says(&["clean"]);
}

const SUITE: &str = r#"
event: { context: { session_id: s, delegation_depth: 0 } }
tests:
  - name: reading is fine
    event: { action: read_note }
    expect: allow
  - name: deleting is not
    event: { action: delete_note }
    expect: { verdict: deny, hard: false, rule: no_deletes, reason: "notes are kept" }
"#;

#[test]
fn aegis_87_test_runs_suites_with_coverage_and_junit() {
    let project = Project::new(&[("policies/policy.yaml", NOTES), ("policies/policy_test.yaml", SUITE)]);
    project
        .run(&["test"])
        .exits(0)
        .says(&["policies/policy_test.yaml\n  PASS   reading is fine", "2 tests: 2 passed\n"]);
    let covered = project.run(&["test", "--coverage"]).exits(0);
    covered.says(&[
        "coverage: 2 of 3 YAML rules (67 %)\n  not met  ask_before_sending  policies/policy.yaml:10\n",
    ]);
    project.run(&["test", "--fail-under", "67"]).exits(1).complains(&["coverage is 67 %"]);
    project.run(&["test", "--fail-under", "66"]).exits(0);
    project.write("policies/policy_test.yaml", &SUITE.replace("rule: no_deletes", "rule: other"));
    let failed = project.run(&["test"]).exits(1);
    failed.says(&[
        "  FAIL   deleting is not",
        "policy_test.yaml:7: rule: expected other, got no_deletes; the reason was: notes are kept",
    ]);
    let junit = project.run(&["test", "--format", "junit"]).exits(1);
    junit.says(&[
        "<testsuites tests=\"2\" failures=\"1\" errors=\"0\"",
        "<failure message=\"rule: expected other",
    ]);
    let json = project.run(&["test", "--format", "json"]).exits(1).json();
    assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(1), Some(1)));
    project.run(&["test", "--run", "reading"]).exits(0).says(&["1 test: 1 passed"]);
}

#[test]
fn aegis_87_a_suite_in_the_other_vocabulary_runs_too() {
    let policy = "version: \"1\"\nrules:\n  - { name: reads, match: { type: \"read*\" }, approval: auto, risk_level: low }\n  \
                  - { name: writes, match: { type: \"write*\" }, approval: approve, risk_level: high }\n";
    let suite = "name: basics\ntests:\n  - description: reads\n    action: { type: read_x, target: db }\n    \
                 expect: { approval: auto, risk_level: low }\n  - action: { type: write_x, params: { a: 1 } }\n    \
                 expected_decision: approve\n    expected_risk_level: high\n";
    let project = Project::new(&[("policies/policy.yaml", policy), ("policies/policy_test.yaml", suite)]);
    project.run(&["test"]).exits(0).says(&["2 passed"]);
}

#[test]
fn f48_test_runs_rego_tests_with_mocked_input() {
    let rego = "package kitelogik.notes\n\nimport rego.v1\n\ndefault allow := false\n\nallow if input.action == \"read_note\"\n";
    let test = "package kitelogik.notes_test\n\nimport rego.v1\n\nimport data.kitelogik.notes\n\n\
                test_read if notes.allow with input as {\"action\": \"read_note\"}\n\n\
                test_delete if notes.allow with input as {\"action\": \"delete_note\"}\n";
    let project = Project::new(&[("policies/notes.rego", rego), ("policies/notes_test.rego", test)]);
    let run = project.run(&["test"]).exits(1);
    run.says(&[
        "PASS   kitelogik.notes_test.test_read",
        "FAIL   kitelogik.notes_test.test_delete",
        "notes_test.rego:9",
    ]);
    project
        .write("policies/notes_test.rego", &test.replace("test_delete if notes", "test_delete if not notes"));
    project.run(&["test"]).exits(0);
}

#[test]
fn a_test_run_without_tests_or_with_a_broken_suite_is_an_error() {
    let project = Project::with_policy(NOTES);
    project.run(&["test"]).exits(2).complains(&["no test was found"]);
    for (suite, word) in [
        ("tests: [{ name: x, event: { acton: y }, expect: allow }]", "acton"),
        ("tests: [{ name: x, event: { action: y }, expect: alow }]", "`alow` is no value of `expect`"),
        ("tests: [{ name: x, event: { action: y } }]", "expects nothing"),
        ("tests: [{ name: x, expect: allow }]", "needs one event"),
        ("testz: []", "testz"),
    ] {
        project.write("policies/policy_test.yaml", suite);
        project.run(&["test"]).exits(2).complains(&["policies/policy_test.yaml", word]);
    }
}

#[test]
fn aegis_88_diff_names_what_changed_and_which_decisions_with_it() {
    let changed = NOTES
        .replace("lt: 10", "lt: 20")
        .replace("name: no_deletes", "name: never_delete")
        .replace("then: deny", "then: block");
    let project = Project::new(&[("old/policy.yaml", NOTES), ("new/policy.yaml", &changed)]);
    let events = [event("delete_note", "{}"), event("send_note", r#"{"size":15}"#), event("read_note", "{}")];
    project.write("events.jsonl", &events.join("\n"));
    let run = project.run(&["diff", "old", "new", "--events", "events.jsonl"]).exits(0);
    run.says(&[
        "+ never_delete  new/policy.yaml:6\n",
        "- no_deletes  old/policy.yaml:6\n",
        "~ ask_before_sending  new/policy.yaml:10\n    when.args.size.lt: 10 -> 20\n",
        "3 events: 2 changed\n",
        "line 1  delete_note: DENY no_deletes -> DENY (hard) never_delete\n",
        "line 2  send_note: DENY -> ESCALATE ask_before_sending\n",
    ]);
    let json =
        project.run(&["diff", "old", "new", "--events", "events.jsonl", "--format", "json"]).exits(0).json();
    assert_eq!(json["rules"]["added"][0]["name"], "never_delete");
    assert_eq!(
        json["rules"]["changed"][0]["changes"][0],
        serde_json::json!({"path": "when.args.size.lt", "old": 10, "new": 20})
    );
    assert_eq!(json["decisions"]["changed"], 2);
    project.run(&["diff", "old", "new", "--fail"]).exits(1);
    project.run(&["diff", "old", "old", "--fail"]).exits(0).says(&["the policies say the same"]);
    project.run(&["diff", "old", "nowhere"]).exits(2);
}

#[test]
fn aegis_88_diff_sees_defaults_and_the_order_of_match_rules() {
    let old = "version: \"1\"\ndefaults: { approval: block }\nrules:\n  - { name: a, match: { type: \"a*\" }, approval: auto }\n  \
               - { name: b, match: { type: \"*b\" }, approval: block }\n";
    let new = "version: \"1\"\ndefaults: { approval: approve }\nrules:\n  - { name: b, match: { type: \"*b\" }, approval: block }\n  \
               - { name: a, match: { type: \"a*\" }, approval: auto }\n";
    let project = Project::new(&[("old/policy.yaml", old), ("new/policy.yaml", new)]);
    let run = project.run(&["diff", "old", "new"]).exits(0);
    run.says(&["moved among the rules", "defaults of policy.yaml\n    approval: \"block\" -> \"approve\"\n"]);
}

#[test]
fn eval_answers_like_opa() {
    let rego = "package x\n\nimport rego.v1\n\nallow if input.n > data.limit\n\nlist contains n if some n in [1, 2]\n";
    let project =
        Project::new(&[("x.rego", rego), ("data.json", r#"{"limit": 3}"#), ("input.json", r#"{"n": 4}"#)]);
    let eval =
        |arguments: &[&str]| project.run(&[&["eval", "-d", "x.rego", "-d", "data.json"], arguments].concat());
    let answer = eval(&["-i", "input.json", "data.x.allow"]).exits(0).json();
    assert_eq!(answer["result"][0]["expressions"][0]["value"], true);
    assert_eq!(eval(&["-i", r#"{"n": 2}"#, "data.x.allow"]).exits(0).json(), serde_json::json!({}));
    eval(&["-i", r#"{"n": 2}"#, "data.x.allow", "--fail"]).exits(1);
    assert_eq!(eval(&["data.x.list", "--format", "text"]).exits(0).out, "[\n  1,\n  2\n]\n");
    assert_eq!(eval(&["-i", r#"{"n": 2}"#, "data.x.allow", "--format", "text"]).out, "undefined\n");
    eval(&["data.x."]).exits(2);
    project.write("bad.rego", "package x\n\nallow if {");
    project.run(&["eval", "-d", "bad.rego", "1"]).exits(1).complains(&["bad.rego:"]);
}

#[test]
fn every_command_has_help_and_a_wrong_one_is_usage() {
    let project = Project::new(&[]);
    project.run(&[]).exits(0).says(&["Usage: placet", "Commands:", "Exit codes: 0 ok or allow"]);
    let unknown = project.run(&["no-such-command"]).exits(2);
    assert_eq!(unknown.out, "");
    for command in placet_cli::command().get_subcommands() {
        let name = command.get_name();
        project.run(&[name, "--help"]).exits(0).says(&["Usage: placet"]);
        let takes_format = command.get_arguments().any(|argument| argument.get_id() == "format");
        assert!(takes_format, "{name} has no --format");
    }
    project.run(&["version"]).exits(0).says(&[concat!("placet ", env!("CARGO_PKG_VERSION"), "\n")]);
    project.run(&["completions", "bash"]).exits(0).says(&["complete -F _placet"]);
}

#[test]
fn configuration_is_found_and_policies_may_be_named_instead() {
    let project = Project::new(&[
        ("placet.yaml", "policies: rules\n"),
        ("rules/policy.yaml", NOTES),
        ("other/policy.yaml", &NOTES.replace("read_note", "see_note")),
    ]);
    project.run(&["check", &event("read_note", "{}")]).exits(0);
    project.run(&["check", &event("read_note", "{}"), "--policies", "other"]).exits(1);
    project.run(&["check", &event("see_note", "{}"), "--policies", "other", "--policies", "rules"]).exits(0);
    project.write("placet.yaml", "polices: rules\n");
    project.run(&["check", &event("read_note", "{}")]).exits(2).complains(&["placet.yaml", "polices"]);
}

/// The project of the tests below, with variables.
fn check_with(project: &Project, action: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = project.command(&["check", &event(action, "{}")]);
    let output = command.envs(variables.iter().copied()).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn variables_override_the_configuration_and_flags_override_variables() {
    let other = NOTES.replace("read_note", "see_note");
    let project = Project::new(&[
        ("placet.yaml", "policies: rules\nlibrary: [tool_allowlist]\n"),
        ("rules/policy.yaml", NOTES),
        ("other/policy.yaml", &other),
        ("more/policy.yaml", &NOTES.replace("read_note", "hear_note")),
    ]);
    let code = |action: &str, variables: &[(&str, &str)]| check_with(&project, action, variables).0;
    let open = ("PLACET_LIBRARY", "");
    assert_eq!(code("read_note", &[]), Some(1));
    assert_eq!(code("read_note", &[open]), Some(0));
    let paths = std::env::join_paths(["other", "more"]).expect("paths");
    let paths = ("PLACET_POLICIES", paths.to_str().expect("text"));
    assert_eq!(
        ["read_note", "see_note", "hear_note"].map(|action| code(action, &[open, paths])),
        [Some(1), Some(0), Some(0)]
    );
    let mut flag = project.command(&["check", &event("read_note", "{}"), "--policies", "rules"]);
    let flag = flag.envs([open, paths]).output().expect("it runs");
    assert_eq!(flag.status.code(), Some(0));
    let global = ("PLACET_GLOBAL_POLICIES", "other");
    assert_eq!(code("read_note", &[open, global]), Some(0));
    assert_eq!(code("read_note", &[open, global, ("PLACET_GLOBAL_MODE", "grant")]), Some(1));
}

#[test]
fn a_bad_variable_stops_a_command_before_it_decides() {
    let project = Project::with_policy(NOTES);
    for (name, value, words) in [
        ("PLACET_LIFECYCLE", "off", &["`PLACET_LIFECYCLE` is `off`", "`true` or `false`"][..]),
        ("PLACET_LIBRARY", "read_onyl", &["`PLACET_LIBRARY` is `read_onyl`", "read_only"]),
        ("PLACET_POLICIES", "nowhere", &["`PLACET_POLICIES` is `nowhere`", "there is no `nowhere`"]),
        ("PLACET_LIBARY", "read_only", &["`PLACET_LIBARY` is no setting", "`PLACET_LIBRARY`"]),
    ] {
        let (code, said) = check_with(&project, "read_note", &[(name, value)]);
        assert_eq!(code, Some(2), "{name}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    }
    assert_eq!(check_with(&project, "read_note", &[("PLACET_OPA", "x"), ("PLACET_PORT", "x")]).0, Some(0));
}

#[test]
fn the_sides_of_a_comparison_keep_their_own_policies() {
    let project = Project::new(&[
        ("old/placet.yaml", "policies: rules\n"),
        ("old/rules/policy.yaml", NOTES),
        ("new/placet.yaml", "policies: rules\n"),
        ("new/rules/policy.yaml", &NOTES.replace("read_note", "see_note")),
    ]);
    let mut diff = project.command(&["diff", "old", "new", "--fail"]);
    let diff = diff.env("PLACET_POLICIES", "old/rules").output().expect("it runs");
    assert_eq!(diff.status.code(), Some(1), "{}", String::from_utf8_lossy(&diff.stderr));
}
