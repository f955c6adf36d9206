//! The interpreter beside a real OPA: the same files, the same input, the same answers.
//!
//! Skipped, with a printed reason, when no `opa` is found through `PLACET_OPA`, the path or Go's binary folder.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use placet_policy::SourceFile;
use placet_policy::rego::{RegoLimits, RegoOptions, TestOutcome, query, run_tests};
use serde_json::{Value, json};

/// The `opa` binary, or the reason why there is none.
fn opa() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("PLACET_OPA") {
        return Some(named.into());
    }
    let in_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("opa"))
        .find(|file| file.is_file());
    in_path.or_else(|| {
        let output = Command::new("go").args(["env", "GOPATH"]).output().ok()?;
        let folder = String::from_utf8(output.stdout).ok()?;
        let file = Path::new(folder.trim()).join("bin/opa");
        file.is_file().then_some(file)
    })
}

/// What OPA answers to `data.t`.
fn ask_opa(opa: &Path, files: &[PathBuf], old: bool, question: &str, input: &Value) -> Value {
    let mut command = Command::new(opa);
    command.args(["eval", "--format", "json", "--stdin-input"]);
    for file in files {
        command.arg("--data").arg(file);
    }
    if old {
        command.arg("--v0-compatible");
    }
    let mut child = command
        .arg(question)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer.get("errors").is_none(), "{files:?}: {answer:#}");
    answer["result"][0]["expressions"][0]["value"].clone()
}

fn sources(files: &[PathBuf]) -> Vec<SourceFile> {
    files
        .iter()
        .map(|file| SourceFile::new(file.display().to_string(), std::fs::read_to_string(file).unwrap()))
        .collect()
}

fn ask_placet(files: &[PathBuf], question: &str, input: &Value) -> Value {
    let limits = RegoLimits { time: Duration::from_secs(120), ..RegoLimits::default() };
    let options = RegoOptions { limits, ..RegoOptions::default() };
    let answer = query(&sources(files), &Value::Null, Some(input), question, &options, 0);
    answer.unwrap_or_else(|error| panic!("{error}"))["result"][0]["expressions"][0]["value"].clone()
}

/// Where two answers differ, one line each. Numbers compare by value, not by how they are written.
fn differences(at: &str, left: Option<&Value>, right: Option<&Value>, into: &mut Vec<String>) {
    match (left, right) {
        (Some(Value::Number(left)), Some(Value::Number(right)))
            if left == right || left.as_f64() == right.as_f64() => {}
        (Some(Value::Array(left)), Some(Value::Array(right))) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differences(&format!("{at}[{index}]"), Some(left), Some(right), into);
            }
        }
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                differences(&format!("{at}.{name}"), left.get(name), right.get(name), into);
            }
        }
        _ if left == right => {}
        _ => {
            let shown = |value: Option<&Value>| value.map_or("undefined".to_owned(), ToString::to_string);
            into.push(format!("{at}: opa {}, placet {}", shown(left), shown(right)));
        }
    }
}

fn paths(files: &[&str]) -> Vec<PathBuf> {
    files.iter().map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rego").join(file)).collect()
}

#[track_caller]
fn agree(files: &[&str], old: bool, inputs: &[Value]) {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA, the path or Go's binary folder");
        return;
    };
    let file = &paths(files);
    for input in inputs {
        let (wanted, got) = (ask_opa(&opa, file, old, "data.t", input), ask_placet(file, "data.t", input));
        assert!(wanted.as_object().is_some_and(|fields| !fields.is_empty()));
        let mut wrong = Vec::new();
        differences("", Some(&wanted), Some(&got), &mut wrong);
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn negations_are_undefined_where_opa_says_so() {
    agree(
        &["negation.rego"],
        false,
        &[
            json!({"x": 1, "l": [1, 2], "obj": {"a": 1}}),
            json!({"x": 1, "y": 1, "l": [1, 2], "obj": {"a": 1}}),
            json!({"x": 1, "y": "a", "l": [1, 2], "obj": {"a": {"b": 1}}, "q": 2, "m": {"a": 1}}),
            json!({"x": null, "y": null, "l": [], "obj": {}, "zz": true}),
            json!({}),
        ],
    );
}

#[test]
fn builtins_answer_as_opas() {
    let input = json!({
        "s": "hello", "long": "k".repeat(200), "n": 5, "zero": 0, "half": 1.5, "csv": "a,b,c", "ip": "10.1.2.3",
        "l": [1, 2, 3], "o": {"x": {"y": 1}}, "ns": 1_767_323_045_000_000_000_u64, "big": 9_007_199_254_740_993_u64,
    });
    agree(&["builtins.rego"], false, &[input]);
}

#[test]
fn the_language_means_what_it_means_in_opa() {
    agree(
        &["language.rego", "language_lib.rego"],
        false,
        &[
            json!({
                "n": 5, "s": "a", "l": [1, 2, 3], "o": {"x": {"y": 1}, "z": "w"}, "key": "z", "nothing": null,
                "deep": {"a": [{"b": ["only"]}]},
            }),
            json!({"n": 200, "l": ["a"], "o": {}, "key": 1}),
            json!({"n": null, "l": null, "o": null}),
            json!({}),
        ],
    );
}

#[test]
fn tests_come_out_as_in_opa() {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA, the path or Go's binary folder");
        return;
    };
    let files = paths(&["language.rego", "language_lib.rego", "mocks_test.rego"]);
    let output =
        Command::new(opa).args(["test", "--format", "json", "--verbose"]).args(&files).output().unwrap();
    let wanted: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let flag = |result: &Value, name: &str| {
        result.get(name).is_some_and(|value| !value.is_null() && *value != false)
    };
    let mut wanted: Vec<(String, &str)> = wanted
        .iter()
        .map(|result| {
            let outcome = match () {
                () if flag(result, "skip") => "skipped",
                () if flag(result, "error") => "errored",
                () if flag(result, "fail") => "failed",
                () => "passed",
            };
            (result["name"].as_str().unwrap().to_owned(), outcome)
        })
        .collect();
    let report = run_tests(&sources(&files), &Value::Null, &RegoOptions::default(), 0);
    assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
    let mut got: Vec<(String, &str)> = report
        .results
        .iter()
        .map(|result| {
            let outcome = match result.outcome {
                TestOutcome::Skipped => "skipped",
                TestOutcome::Errored(_) => "errored",
                TestOutcome::Failed => "failed",
                TestOutcome::Passed => "passed",
            };
            (result.name.to_string(), outcome)
        })
        .collect();
    wanted.sort();
    got.sort();
    assert_eq!(got, wanted);
}

#[test]
fn wrong_types_are_undefined_as_in_opa() {
    agree(
        &["types.rego"],
        false,
        &[
            json!({"n": 5, "s": "a", "l": [1, 2, 3], "o": {"a": 1}, "half": 1.5, "set": [1], "one": 1}),
            json!({"n": null, "s": null, "l": null, "o": null, "half": null, "set": null, "one": null}),
            json!({"n": [1], "s": {"a": 1}, "l": "abc", "o": 1, "half": 2, "set": 1.0, "one": true}),
        ],
    );
}

#[test]
fn deprecated_builtins_answer_as_opas() {
    let mut input = json!({"n": 5, "l": [1, 2, 3], "o": {"x": 1}, "csv": "a,b"});
    input["tokens"] = tokens()["tokens"].clone();
    agree(&["old.rego"], true, &[input]);
}

#[test]
fn tokens_verify_as_in_opa() {
    let mut input = tokens();
    input["secret256"] = json!("s".repeat(40));
    input["secret384"] = json!("s".repeat(60));
    input["secret512"] = json!("s".repeat(70));
    agree(&["jwt.rego"], false, &[input]);
}

fn tokens() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rego/jwt.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What OPA says of many inputs in one run: the decisions, in order.
fn decisions_of_opa(opa: &Path, file: &Path, question: &str, inputs: &[Value]) -> Value {
    let query = format!("[d | c := input.cases[_]; d := {question} with input as c]");
    ask_opa(opa, &[file.to_owned()], true, &query, &json!({ "cases": inputs }))
}

fn plan(steps: &[&str]) -> Value {
    let steps: Vec<Value> = steps.iter().map(|kind| json!({ "type": kind })).collect();
    json!({ "plan": { "steps": steps } })
}

/// The samples as printed, in process and on OPA: each value of each field that a sample reads, odd ones too.
#[test]
fn f02_the_printed_samples_decide_as_on_opa() {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA, the path or Go's binary folder");
        return;
    };
    let odd = [json!(null), json!(0), json!("x"), json!(true), json!([1]), json!({ "a": 1 })];
    let numbers =
        [-1.0, 1.0, 2.0, 3.0, 999.5, 1000.0, 1000.01, 100_000.0, 100_001.0].map(|number| json!(number));
    let values: Vec<Value> = odd.iter().chain(&numbers).cloned().collect();
    let texts = ["/tmp/a", "/tmp", "/tmp/../etc/x", "/etc/x", ""].map(|text| json!(text));
    let paths: Vec<Value> = odd.iter().chain(&texts).cloned().collect();
    let tools = ["fs.write", "stripe.refund", "zendesk.search", "warehouse.read_query", "x"];
    let write = |tool: &str, path: &Value| json!({ "tool": tool, "args": { "path": path } });
    let mcp = |role: &str, tool: &str, transport: &str| json!({ "transport": transport, "tool": tool, "session": { "agent_role": role } });

    let files = tools.iter().flat_map(|tool| paths.iter().map(move |path| write(tool, path)));
    let files: Vec<Value> = files.chain([json!({}), json!({ "tool": "fs.write", "args": {} })]).collect();
    let spawns =
        values.iter().map(|depth| json!({ "parent": { "depth": depth } })).chain([json!({})]).collect();
    let tags = [
        json!(["finance.write"]),
        json!(["a", "finance.write"]),
        json!([]),
        json!("finance.write"),
        json!(null),
    ];
    let finance = tags.iter().flat_map(|tags| {
        values.iter().map(move |amount| json!({ "tool_tags": tags, "args": { "amount": amount } }))
    });
    let budgets = values.iter().map(|spent| json!({ "session": { "tokens_spent": spent } })).collect();
    let mcps = ["billing", "support", "analyst", "nobody"].iter().flat_map(|role| {
        tools.iter().flat_map(move |tool| ["mcp", "local"].map(|transport| mcp(role, tool, transport)))
    });
    let plans = [(0, 0), (20, 0), (17, 3), (21, 0), (18, 3), (0, 3), (0, 4), (16, 4)];
    let plans =
        plans.map(|(reads, writes)| plan(&[vec!["read"; reads], vec!["write"; writes]].concat())).into();
    let cases: [(&str, &str, Vec<Value>); 6] = [
        ("files", "tool_call", files),
        ("spawn", "agent_spawn", spawns),
        ("finance", "tool_call", finance.collect()),
        ("budget", "agent_resource", budgets),
        ("mcp", "tool_call", mcps.collect()),
        ("plans", "agent_plan", plans),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for (name, package, inputs) in cases {
        let printed = paths_of(name);
        let question = format!("data.kitelogik.{package}.decision");
        // OPA wants the import that the samples leave out.
        let with_import = folder.path().join(format!("{name}.rego"));
        let text = std::fs::read_to_string(&printed[0]).unwrap();
        let imported = text.replacen('\n', "\nimport future.keywords.in\n", 1);
        std::fs::write(&with_import, imported).unwrap();
        let wanted = decisions_of_opa(&opa, &with_import, &question, &inputs);
        assert_eq!(wanted.as_array().map(Vec::len), Some(inputs.len()), "{name}");
        for (input, wanted) in inputs.iter().zip(wanted.as_array().unwrap()) {
            let mut found = Vec::new();
            differences(name, Some(wanted), Some(&ask_placet(&printed, &question, input)), &mut found);
            assert!(found.is_empty(), "{input}: {found:?}");
            seen.insert(wanted.to_string());
        }
    }
    assert!(seen.len() > 15, "{seen:?}");
}

fn paths_of(sample: &str) -> Vec<PathBuf> {
    paths(&[&format!("samples/{sample}.rego")])
}

/// The functions that `docs/rego.md` lists as missing are those that OPA has and Placet refuses.
#[test]
fn the_documented_gaps_are_the_gaps() {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA, the path or Go's binary folder");
        return;
    };
    let output = Command::new(opa).args(["capabilities", "--current"]).output().unwrap();
    let capabilities: Value = serde_json::from_slice(&output.stdout).unwrap();
    let builtins = capabilities["builtins"].as_array().unwrap();
    let missing: Vec<&str> = builtins
        .iter()
        .filter(|builtin| builtin.get("infix").is_none())
        .filter(|builtin| {
            let arity = builtin["decl"]["args"].as_array().map_or(0, Vec::len);
            let arguments = vec!["input"; arity].join(", ");
            let text =
                format!("package t\nx = y {{ y := {}({arguments}) }}", builtin["name"].as_str().unwrap());
            let answer = query(
                &[SourceFile::new("t.rego", text)],
                &Value::Null,
                None,
                "1",
                &RegoOptions::default(),
                0,
            );
            answer.is_err_and(|error| error.to_string().contains("rego/unknown-function"))
        })
        .map(|builtin| builtin["name"].as_str().unwrap())
        .collect();
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rego.md")).unwrap();
    let (_, list) = page.split_once("<!-- gaps").unwrap();
    let documented: Vec<&str> = list.split("```").nth(1).unwrap().split_whitespace().collect();
    assert_eq!(missing, documented);
}
