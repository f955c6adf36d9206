//! Row F03: the truth table of every operator. A permitting rule tells what is true, a restricting one what is false;
//! between them lies what is unknown.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::*;
use placet_policy::schema;
use placet_types::Event;
use serde_json::{Value, json};

/// `T`, `F` or `U`: what `args.x: { … }` is for each value.
fn truths(condition: &Value, values: &[Value]) -> String {
    let rule = |name: &str, then: &str| json!({ "name": name, "when": { "action": "a", "args": { "x": condition, "y": { "exists": true } } }, "then": then });
    let permits = policies(&[&json!({ "version": 1, "rules": [rule("r", "allow")] }).to_string()]);
    let everything = json!({ "name": "all", "when": { "action": "a" }, "then": "allow" });
    let restricts =
        policies(&[&json!({ "version": 1, "rules": [everything, rule("r", "deny")] }).to_string()]);
    let told = values.iter().map(|value| {
        let event = call("a", json!({ "x": value, "y": 5, "list": ["a", "b", 1] }));
        match (judge(&permits, event.clone()).as_str(), judge(&restricts, event).as_str()) {
            ("allow", "deny") => 'T',
            ("deny", "allow") => 'F',
            ("deny", "deny") => 'U',
            other => panic!("{condition} on {value}: {other:?}"),
        }
    });
    told.collect()
}

/// Each operator with values and what it says of them; null stands for what is missing too.
fn table() -> Vec<(&'static str, Value, Value, &'static str)> {
    let table = [
        ("eq", json!(5), json!([5, 5.0, 6, "5", true, null, [5]]), "TTFUUUU"),
        ("eq", json!("pay"), json!(["pay", "refund", "Pay", " pay", 5, null]), "TFUUUU"),
        ("eq", json!(true), json!([true, false, 1, "true", null]), "TFUUU"),
        ("eq", json!({ "field": "args.y" }), json!([5, 6, "5", null]), "TFUU"),
        ("ne", json!(5), json!([6, 5, 5.0, "5", true, null]), "TFFUUU"),
        ("ne", json!("pay"), json!(["refund", "pay", "Pay", null]), "TFUU"),
        ("gt", json!(5), json!([5.000_001, 5, 4, "6", true, null, {"v": 6}]), "TFFUUUU"),
        ("gt", json!("b"), json!(["c", "b", "a", 5, null]), "TFFUU"),
        ("gt", json!({ "field": "args.y" }), json!([6, 5, null]), "TFU"),
        ("gte", json!(5), json!([5, 6, 4.999, "5", null]), "TTFUU"),
        ("lt", json!(5), json!([4.999, 5, 6, -1e9, "4", false, null]), "TFFTUUU"),
        ("lte", json!(5), json!([5, 4, 5.001, "5", null]), "TTFUU"),
        ("in", json!(["a", "b"]), json!(["a", "b", "c", "A", 1, null, ["a"]]), "TTFUUUU"),
        ("in", json!([1, "a"]), json!([1, 1.0, 2, "a", "1", true, null]), "TTFTFUU"),
        ("in", json!({ "field": "args.list" }), json!(["a", 1, "c", "A", null]), "TTUUU"),
        ("not_in", json!(["a", "b"]), json!(["c", "a", "A", 1, null]), "TFUUU"),
        ("contains", json!("b"), json!(["abc", "xyz", "aBc", ["b"], ["x"], [], 5, null]), "TFUTFFUU"),
        ("contains", json!(5), json!([[5], [6], ["5"], "5", null]), "TFUUU"),
        ("not_contains", json!("b"), json!(["xyz", "abc", ["x"], ["b"], 5, null]), "TFTFUU"),
        ("starts_with", json!("ab"), json!(["abc", "ab", "xab", "ABc", 5, null]), "TTFUUU"),
        ("ends_with", json!("bc"), json!(["abc", "bc", "bcx", "aBC", 5, null]), "TTFUUU"),
        ("glob", json!("a*c?"), json!(["abcd", "acx", "abc", "ABCD", 5, null]), "TTFUUU"),
        ("matches", json!("^a+$"), json!(["aaa", "aab", "", "aa\n", 5, null]), "TFFUUU"),
        ("exists", json!(true), json!([5, "", false, [], null]), "TTTTF"),
        ("exists", json!(false), json!([null, 5, ""]), "TFF"),
        (
            "count",
            json!({ "gt": 1 }),
            json!([["a", "b"], ["a"], [], {"a": 1, "b": 2}, "ab", 5, null]),
            "TFFTUUU",
        ),
        ("count", json!({ "lte": 1 }), json!([["a"], [], ["a", "b"], null]), "TTFU"),
        (
            "count",
            json!({ "where": { "k": "w" }, "gt": 1 }),
            json!([
                [{"k": "w"}, {"k": "w"}], [{"k": "w"}, {"k": "r"}], [], [{"k": "w"}, {}],
                [{"k": "w"}, {"k": "w"}, {"k": 5}], [{"k": "r"}, {"k": 5}], {"a": {"k": "w"}}, null
            ]),
            "TFFUTFUU",
        ),
        (
            "count",
            json!({ "where": { "gte": 3 }, "lt": 2 }),
            json!([[3, 1], [3, 4], [], [3, "x"], [3, 4, "x"], ["x"]]),
            "TFTUFT",
        ),
        (
            "subset_of",
            json!(["a", "b"]),
            json!([["a"], [], ["a", "c"], ["a", null], ["A"], "a", null]),
            "TTFUUUU",
        ),
        ("some", json!({ "eq": "a" }), json!([["x", "a"], ["x"], [], ["x", 5], "a", null]), "TFFUUU"),
        ("some", json!({ "k": { "gt": 1 } }), json!([[{"k": 2}], [{"k": 1}], [{}], [{}, {"k": 2}]]), "TFUT"),
        (
            "every",
            json!({ "eq": "a" }),
            json!([["a", "a"], ["a", "x"], [], ["a", 5], ["x", 5], null]),
            "TFUUFU",
        ),
    ];
    table.into()
}

#[test]
fn f03_each_operator_keeps_its_truth_table() {
    for (operator, operand, values, wanted) in table() {
        let values = values.as_array().unwrap();
        assert_eq!(values.len(), wanted.len(), "{operator}");
        assert_eq!(
            truths(&json!({ operator: operand }), values),
            wanted,
            "{operator}: {operand} on {values:?}"
        );
    }
}

#[test]
fn f03_the_table_covers_every_operator() {
    let operators = &schema::policy()["$defs"]["operators"]["properties"];
    let known: BTreeSet<&str> = operators.as_object().unwrap().keys().map(String::as_str).collect();
    let covered: BTreeSet<&str> = table().iter().map(|(operator, ..)| *operator).collect();
    assert_eq!(covered, known);
}

/// A missing argument is as null, but for nothing.
#[test]
fn f03_a_missing_value_is_as_null() {
    for (operator, operand, ..) in table() {
        let rule = json!({ "name": "r", "when": { "action": "a", "args": { "x": { operator: operand } } }, "then": "deny" });
        let all = json!({ "name": "all", "when": { "action": "a" }, "then": "allow" });
        let set = policies(&[&json!({ "version": 1, "rules": [all, rule] }).to_string()]);
        let args = |x: Option<Value>| x.map_or_else(|| json!({ "y": 5 }), |x| json!({ "x": x, "y": 5 }));
        let judged = [args(None), args(Some(json!(null)))].map(|args| judge(&set, call("a", args)));
        assert_eq!(judged[0], judged[1], "{operator}");
        assert_eq!(
            judged[0] == "allow",
            operator == "exists" && operand == json!(true),
            "{operator}: {operand}"
        );
    }
}

#[test]
fn f03_numbers_that_are_none_are_unknown() {
    let event = |x: &str| {
        let text = format!(r#"{{"action":"a","args":{{"x":{x}}},"context":{{"delegation_depth":0}}}}"#);
        Event::from_json(text.as_bytes())
    };
    for refused in ["NaN", "Infinity", "-Infinity"] {
        assert!(event(refused).is_err(), "{refused} is no JSON");
    }
    assert_eq!(truths(&json!({ "gt": 5 }), &[json!(9_007_199_254_740_993_u64)]), "U", "past 2^53");
}
