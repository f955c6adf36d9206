//! `query` and `run_tests`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

const NOTES: &str =
    "package kitelogik.notes\n\ndefault allow := false\n\nallow if input.action == \"read_note\"\n";

fn ask(files: &[(&str, &str)], data: &Value, input: &Value, question: &str) -> Result<Value, QueryError> {
    query(&sources(files), data, Some(input), question, &RegoOptions::default(), NOW_NS)
}

fn value(answer: &Value) -> &Value {
    &answer["result"][0]["expressions"][0]["value"]
}

#[test]
fn a_query_answers_in_the_shape_of_opa_eval() {
    let files = [("notes.rego", NOTES)];
    let answer =
        ask(&files, &Value::Null, &json!({"action": "read_note"}), "data.kitelogik.notes.allow").unwrap();
    assert_eq!(
        answer,
        json!({"result": [{"expressions": [
            {"value": true, "text": "data.kitelogik.notes.allow", "location": {"row": 1, "col": 1}}
        ]}]})
    );
    assert_eq!(ask(&files, &Value::Null, &json!({}), "data.kitelogik.nope").unwrap(), json!({}));
    let package = ask(&files, &Value::Null, &json!({}), "data.kitelogik").unwrap();
    assert_eq!(value(&package), &json!({"notes": {"allow": false}}));
    let bound = ask(&files, &json!({"l": [1, 2]}), &json!({}), "x := data.l[_]; x > 1").unwrap();
    assert_eq!(bound["result"][0]["bindings"], json!({"x": 2}));
}

#[test]
fn rewriting_leaves_no_trace_in_an_answer() {
    let answer = ask(&[], &Value::Null, &json!({"x": 1}), "not startswith(input.s, \"a\")").unwrap();
    assert_eq!(answer, json!({}), "undefined, as in OPA");
    let answer =
        ask(&[], &Value::Null, &json!({"s": "b"}), "not startswith(input.s, \"a\"); crypto.md5(input.s)")
            .unwrap();
    let expressions = answer["result"][0]["expressions"].as_array().unwrap();
    assert_eq!(expressions.len(), 2, "{answer}");
    assert_eq!(expressions[0]["text"], "not startswith(input.s, \"a\")");
    assert_eq!(expressions[1]["text"], "crypto.md5(input.s)");
    assert!(answer["result"][0].get("bindings").is_none());
}

#[test]
fn a_query_that_fails_says_where() {
    let torn = ("torn.rego", "package t\n\na := 1 if true\n\na := 2 if true\n");
    match ask(&[torn], &Value::Null, &json!({}), "data.t.a") {
        Err(QueryError::Evaluation { file, line, .. }) => {
            assert_eq!((file.as_deref(), line), (Some("torn.rego"), 5))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(ask(&[], &Value::Null, &json!({}), "data.t.a ="), Err(QueryError::Query { .. })));
    assert!(matches!(
        ask(&[("b.rego", "package b\nallow if {")], &Value::Null, &json!({}), "1"),
        Err(QueryError::Load(_))
    ));
}

fn test_files(files: &[(&str, &str)]) -> TestReport {
    run_tests(&sources(files), &Value::Null, &RegoOptions::default(), NOW_NS)
}

fn outcomes(report: &TestReport) -> Vec<(String, TestOutcome)> {
    report.results.iter().map(|result| (result.name.to_string(), result.outcome.clone())).collect()
}

#[test]
fn tests_pass_fail_err_and_are_skipped() {
    let tests = "package kitelogik.notes_test\n\nimport data.kitelogik.notes\n\ntest_reads if notes.allow with input as {\"action\": \"read_note\"}\n\ntest_refuses if not notes.allow with input as {\"action\": \"drop\"}\n\ntest_wrong if notes.allow with input as {\"action\": \"drop\"}\n\ntest_undefined if data.kitelogik.nope\n\ntest_torn if torn == 1\n\ntorn := 1 if true\n\ntorn := 2 if true\n\ntodo_test_later if false\n\nhelper if true\n";
    let report = test_files(&[("notes.rego", NOTES), ("notes_test.rego", tests)]);
    assert!(report.diagnostics.is_empty(), "{}", printed(&report.diagnostics));
    let outcomes = outcomes(&report);
    let names: Vec<&str> = outcomes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["test_reads", "test_refuses", "test_wrong", "test_undefined", "test_torn", "todo_test_later"]
    );
    assert_eq!(outcomes[0].1, TestOutcome::Passed);
    assert_eq!(outcomes[1].1, TestOutcome::Passed);
    assert_eq!(outcomes[2].1, TestOutcome::Failed);
    assert_eq!(outcomes[3].1, TestOutcome::Failed);
    assert!(
        matches!(&outcomes[4].1, TestOutcome::Errored(message) if message.contains("notes_test.rego:15")),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[5].1, TestOutcome::Skipped);
    assert!(!report.passed());
    let first = &report.results[0];
    assert_eq!((&*first.package, &*first.file, first.line), ("kitelogik.notes_test", "notes_test.rego", 5));
}

#[test]
fn functions_builtins_and_data_can_be_mocked() {
    let policy = "package placet.x\n\nallow if { time.now_ns() > 5; is_good(input.token); data.users[input.user] }\n\nis_good(token) if io.jwt.decode_verify(token, {\"secret\": \"s\"})[0]\n";
    let tests = "package placet.x_test\n\nimport data.placet.x\n\nverified(_, _) := [true, {}, {}]\n\ntest_all if x.allow with input as {\"token\": \"t\", \"user\": \"u\"} with time.now_ns as 6 with io.jwt.decode_verify as verified with data.users as {\"u\": true}\n\ntest_function if x.allow with data.placet.x.is_good as true with input.user as \"u\" with input.token as \"t\" with data.users.u as true\n\ntest_clock if not x.allow with input as {\"token\": \"t\", \"user\": \"u\"} with time.now_ns as 4 with io.jwt.decode_verify as verified with data.users as {\"u\": true}\n\ntest_value if x.allow with input as {\"token\": \"t\", \"user\": \"u\"} with io.jwt.decode_verify as [true, {}, {}] with data.users as {\"u\": true}\n";
    let report = test_files(&[("x.rego", policy), ("x_test.rego", tests)]);
    assert!(report.passed(), "{:?} {}", outcomes(&report), printed(&report.diagnostics));
    assert_eq!(report.results.len(), 4);
}

#[test]
fn an_allowed_builtin_with_effects_can_be_mocked() {
    let policy = "package placet.x\n\nallow if http.send({\"url\": input.url}).status_code == 200\n";
    let tests = "package placet.x_test\n\ntest_ok if data.placet.x.allow with http.send as {\"status_code\": 200} with input.url as \"u\"\n";
    let files = sources(&[("x.rego", policy), ("x_test.rego", tests)]);
    let options = RegoOptions { allowed_builtins: ["http.send".to_owned()].into(), ..RegoOptions::default() };
    assert!(run_tests(&files, &Value::Null, &options, NOW_NS).passed());
    assert!(!run_tests(&files, &Value::Null, &RegoOptions::default(), NOW_NS).passed());
}

#[test]
fn a_second_rule_of_the_same_name_is_a_test_of_its_own() {
    let tests =
        "package a_test\n\ntest_x if true\n\ntest_x if false\n\ntest_y[case] if { some case in [\"a\"] }\n";
    let report = test_files(&[("a_test.rego", tests)]);
    let outcomes = outcomes(&report);
    assert_eq!(outcomes[0], ("test_x".to_owned(), TestOutcome::Passed));
    assert_eq!(outcomes[1], ("test_x#01".to_owned(), TestOutcome::Failed));
    assert!(matches!(&outcomes[2].1, TestOutcome::Errored(message) if message.contains("one rule per case")));
}

#[test]
fn files_that_decide_in_one_package_are_tested_each_with_its_own_tests() {
    let decide = |tool: &str| {
        format!(
            "package placet.tool_call\ndefault decision := {{\"allow\": false}}\ndecision := {{\"allow\": true}} if input.tool == \"{tool}\"\n"
        )
    };
    let test = |tool: &str| {
        format!(
            "package placet.tool_call_test\ntest_{tool} if data.placet.tool_call.decision == {{\"allow\": true}} with input as {{\"tool\": \"{tool}\"}}\n"
        )
    };
    let (a, b) = (decide("a"), decide("b"));
    let report = test_files(&[
        ("p/a.rego", &a),
        ("p/b.rego", &b),
        ("p/a_test.rego", &test("a")),
        ("p/b_test.rego", &test("b")),
    ]);
    assert!(report.passed(), "{:?} {}", outcomes(&report), printed(&report.diagnostics));
    assert_eq!(report.results.len(), 2);
}

#[test]
fn prints_are_kept_with_their_test() {
    let report = test_files(&[("a_test.rego", "package a_test\n\ntest_x if { print(\"seen\", 1); true }\n")]);
    assert_eq!(report.results[0].prints, ["a_test.rego:3: seen 1"]);
}

#[test]
fn a_file_that_does_not_load_is_reported() {
    let report =
        test_files(&[("a.rego", "package a\nallow if {"), ("b_test.rego", "package b_test\ntest_x if true")]);
    assert!(!report.passed());
    assert_eq!(&*report.diagnostics[0].file, "a.rego");
}
