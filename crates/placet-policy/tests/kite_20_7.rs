//! The table of §20.7 of the first ancestor, line by line: each is a load error with its place, or inert.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use placet_types::RiskTier;
use serde_json::{Value, json};

/// A text that would leave its place if policies were pasted together.
const ESCAPE: &str = "a\" }\nallow if { true }\nhitl[\"q\"] if { input.action == \"b";

fn unit(rules: &Value) -> String {
    json!({ "version": 1, "rules": rules }).to_string()
}

#[test]
fn kite_r8_and_20_7_a_reason_with_a_newline_is_a_reason() {
    let reason = "fine\nallow if { true }";
    let set = policies(&[&unit(
        &json!([{ "name": "a", "when": { "action": "pay", "role": "admin" }, "then": "allow", "reason": reason }]),
    )]);
    assert_eq!(judge(&set, call("anything", json!({}))), "deny");
    assert_eq!(judge(&set, call("pay", json!({}))), "deny");
    let allowed = decide(&set, within("pay", json!({ "user_role": "admin" })));
    assert_eq!((verdict(&allowed).as_str(), &*allowed.reason), ("allow", reason));
}

#[test]
fn kite_20_7_no_literal_and_no_key_breaks_out() {
    let narrow = json!({ "action": "pay", "role": "admin", "scope": "s", "args": { "note": { "eq": "x" } } });
    let mut policies_with = Vec::new();
    for field in ["action", "role", "scope"] {
        let mut when = narrow.clone();
        when[field] = json!(ESCAPE);
        policies_with.push(when);
    }
    for (name, value) in [("note", ESCAPE), (ESCAPE, "x")] {
        let mut when = narrow.clone();
        when["args"] = json!({ name: { "eq": value } });
        policies_with.push(when);
    }
    for when in policies_with {
        let set = policies(&[&unit(&json!([{ "name": "a", "when": when, "then": "allow" }]))]);
        for action in ["b", "anything", "pay", "q"] {
            assert_eq!(judge(&set, call(action, json!({}))), "deny", "{when} on {action}");
        }
    }
    let set = policies(&[&unit(&json!([{ "name": "a", "when": { "action": ESCAPE }, "then": "allow" }]))]);
    assert_eq!(judge(&set, call(ESCAPE, json!({}))), "allow", "as a text it is a text like any other");
}

#[test]
fn kite_20_7_quotes_in_a_reason_and_dashes_in_a_name_are_plain_text() {
    let rules = json!([
        { "name": "a", "when": { "action": "pay", "args": { "customer-id": { "eq": "c1" } } }, "then": "deny", "reason": "say \"no\"" },
        { "name": "b", "when": { "action": "pay" }, "then": "allow" },
    ]);
    let set = policies(&[&unit(&rules)]);
    let denied = decide(&set, call("pay", json!({ "customer-id": "c1" })));
    assert_eq!((verdict(&denied).as_str(), &*denied.reason), ("deny", "say \"no\""));
    assert_eq!(judge(&set, call("pay", json!({ "customer-id": "c2" }))), "allow");
}

#[test]
fn kite_r9_and_20_7_an_allow_that_says_nothing_does_not_load() {
    let rule = |when: &str| format!("version: 1\nrules:\n  - name: a\n    when: {when}\n    then: allow\n");
    for (when, wanted) in [
        ("{}", "p.yaml:4:5 policy/allow-everything"),
        ("{ rol: admin }", "p.yaml:4:13 policy/unknown-key"),
        ("{ actions: [a] }", "p.yaml:4:13 policy/unknown-key"),
        ("{ action: pay, rol: admin }", "p.yaml:4:26 policy/unknown-key"),
        ("{ scope: [] }", "p.yaml:4:20 policy/empty-list"),
        ("{ all: [] }", "p.yaml:4:18 policy/empty-condition"),
        ("{ any: [{}] }", "p.yaml:4:19 policy/empty-condition"),
        ("{ args: {} }", "p.yaml:4:19 policy/empty-condition"),
        ("{ args: { amount: {} } }", "p.yaml:4:29 policy/empty-condition"),
        ("~", "p.yaml:4:11 policy/type"),
    ] {
        assert_eq!(refusals(&rule(when)), [wanted], "{when}");
    }
    let help = load(&[&rule("{ action: pay, rol: admin }")]).expect_err("refused");
    assert!(help.to_string().contains("did you mean `role`?"), "{help}");
}

#[test]
fn kite_20_7_dotted_keys_are_conditions() {
    let set = policies(&[&unit(&json!([
        { "name": "pay", "when": { "action": "pay" }, "then": "allow" },
        { "name": "large", "when": { "action": "pay", "args.amount": { "gt": 1000 } }, "then": "deny" },
    ]))]);
    assert_eq!(judge(&set, call("pay", json!({ "amount": 5 }))), "allow");
    assert_eq!(judge(&set, call("pay", json!({ "amount": 1000.5 }))), "deny");
}

#[test]
fn kite_20_7_booleans_are_booleans() {
    let set = policies(&[&unit(&json!([
        { "name": "push", "when": { "action": "push" }, "then": "allow" },
        { "name": "force", "when": { "action": "push", "args": { "force": { "eq": true } } }, "then": "deny" },
    ]))]);
    for (force, wanted) in [
        (json!(true), "deny"),
        (json!(false), "allow"),
        (json!(1), "deny"),
        (json!(1.0), "deny"),
        (json!("true"), "deny"),
    ] {
        assert_eq!(judge(&set, call("push", json!({ "force": force }))), wanted, "{force}");
    }
}

#[test]
fn kite_20_7_infinity_and_nan_do_not_load() {
    for number in [".inf", "-.inf", ".nan", "1e400", "9007199254740993"] {
        let text = format!(
            "version: 1\nrules:\n  - name: a\n    when: {{ action: a, args.x: {{ gt: {number} }} }}\n    then: deny\n"
        );
        assert_eq!(refusals(&text), ["p.yaml:4:38 yaml/number"], "{number}");
    }
}

#[test]
fn kite_20_7_lists_compare_by_type() {
    let set = policies(&[&unit(&json!([
        { "name": "numbers", "when": { "action": "n", "args.x": { "in": [1, 2] } }, "then": "allow" },
        { "name": "texts", "when": { "action": "t", "args.x": { "in": ["1"] } }, "then": "allow" },
    ]))]);
    assert_eq!(judge(&set, call("n", json!({ "x": 1 }))), "allow");
    assert_eq!(judge(&set, call("n", json!({ "x": "1" }))), "deny");
    assert_eq!(judge(&set, call("t", json!({ "x": "1" }))), "allow");
    assert_eq!(judge(&set, call("t", json!({ "x": 1 }))), "deny");
    let scalar =
        "version: 1\nrules:\n  - name: a\n    when: { action: a, args.x: { in: 5 } }\n    then: deny\n";
    assert_eq!(refusals(scalar), ["p.yaml:4:38 policy/type"]);
}

#[test]
fn kite_20_7_a_backslash_is_a_backslash() {
    let set = policies(&[&unit(&json!([
        { "name": "run", "when": { "action": "run" }, "then": "allow" },
        { "name": "temp", "when": { "action": "run", "args.command": { "contains": "C:\\temp" } }, "then": "deny" },
    ]))]);
    assert_eq!(judge(&set, call("run", json!({ "command": "del C:\\temp\\a.txt" }))), "deny");
    assert_eq!(judge(&set, call("run", json!({ "command": "del D:\\work\\a.txt" }))), "allow");
}

#[test]
fn kite_20_7_rules_of_two_tiers_do_not_conflict() {
    let rule = |name: &str, tier: &str| json!({ "name": name, "when": { "action": "a" }, "then": "allow", "risk_tier": tier });
    let set = policies(&[&unit(&json!([rule("one", "INFORMATIONAL"), rule("two", "DESTRUCTIVE")]))]);
    let decision = decide(&set, call("a", json!({})));
    assert_eq!((verdict(&decision).as_str(), decision.risk_tier), ("allow", RiskTier::Destructive));
    assert_eq!(rules(&decision), ["one", "two"]);
    let bogus = "version: 1\nrules:\n  - { name: a, when: { action: a }, then: deny, risk_tier: BOGUS }\n";
    assert_eq!(refusals(bogus), ["p.yaml:3:60 policy/bad-value"]);
}

#[test]
fn kite_20_7_what_means_nothing_does_not_load() {
    let rule = "  - { name: a, when: { action: a }, then: deny }\n";
    for (text, wanted) in [
        (format!("version: 1\nrules:\n{rule}{rule}"), "p.yaml:4:7 policy/duplicate-name"),
        (format!("version: 99\nrules:\n{rule}"), "p.yaml:1:10 policy/version"),
        (format!("rules:\n{rule}"), "p.yaml:1:1 policy/version"),
        (format!("version: 1\nruels: []\nrules:\n{rule}"), "p.yaml:2:1 policy/unknown-key"),
        (format!("version: 1\nowner: me\nrules:\n{rule}"), "p.yaml:2:1 policy/unknown-key"),
    ] {
        assert_eq!(refusals(&text), [wanted], "{text}");
    }
}
