//! The interpreter beside a real OPA: the same files, the same input, the same answers.
//!
//! Skipped, with a printed reason, when no `opa` is found through `PLACET_OPA`, the path or Go's binary folder.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use placet_policy::SourceFile;
use placet_policy::rego::{RegoLimits, RegoOptions, query};
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
fn ask_opa(opa: &Path, file: &Path, old: bool, question: &str, input: &Value) -> Value {
    let mut command = Command::new(opa);
    command.args(["eval", "--format", "json", "--stdin-input", "--data"]).arg(file);
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
    assert!(answer.get("errors").is_none(), "{}: {answer:#}", file.display());
    answer["result"][0]["expressions"][0]["value"].clone()
}

fn ask_placet(file: &Path, question: &str, input: &Value) -> Value {
    let text = std::fs::read_to_string(file).unwrap();
    let source = SourceFile::new(file.display().to_string(), text);
    let limits = RegoLimits { time: Duration::from_secs(120), ..RegoLimits::default() };
    let options = RegoOptions { limits, ..RegoOptions::default() };
    let answer = query(&[source], &Value::Null, Some(input), question, &options, 0);
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

#[track_caller]
fn agree(file: &str, old: bool, inputs: &[Value]) {
    let Some(opa) = opa() else {
        eprintln!("skipped: no `opa` in PLACET_OPA, the path or Go's binary folder");
        return;
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rego").join(file);
    for input in inputs {
        let (wanted, got) = (ask_opa(&opa, &file, old, "data.t", input), ask_placet(&file, "data.t", input));
        assert!(wanted.as_object().is_some_and(|fields| !fields.is_empty()));
        let mut wrong = Vec::new();
        differences("", Some(&wanted), Some(&got), &mut wrong);
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn negations_are_undefined_where_opa_says_so() {
    agree(
        "negation.rego",
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
    agree("builtins.rego", false, &[input]);
}

#[test]
fn wrong_types_are_undefined_as_in_opa() {
    agree(
        "types.rego",
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
    agree("old.rego", true, &[input]);
}

#[test]
fn tokens_verify_as_in_opa() {
    let mut input = tokens();
    input["secret256"] = json!("s".repeat(40));
    input["secret384"] = json!("s".repeat(60));
    input["secret512"] = json!("s".repeat(70));
    agree("jwt.rego", false, &[input]);
}

fn tokens() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rego/jwt.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}
