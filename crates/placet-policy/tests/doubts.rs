//! What the recorded reason says when a rule that restricts fires on what it cannot know.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use serde_json::{Value, json};

fn set(when: &str) -> placet_policy::PolicySet {
    policies(&[&format!("version: 1\nrules:\n  - {{ name: r, when: {when}, then: block, reason: no }}\n")])
}

/// What the rule could not judge of the event.
fn unknown(when: &str, event: Value) -> String {
    let decision = decide(&set(when), event);
    assert_eq!(rules(&decision), vec!["r"], "{when}");
    let reason = decision.full_reason().into_owned();
    reason.strip_prefix("no").expect(&reason).trim().to_owned()
}

#[test]
fn each_kind_of_unknown_value_is_named() {
    for (when, args, wanted) in [
        ("{ args.n: { gt: 1 } }", json!({}), "(args.n is missing)"),
        ("{ args.n: { gt: 1 } }", json!({ "n": null }), "(args.n is missing)"),
        ("{ args.n: { gt: 1 } }", json!({ "n": [2] }), "(args.n is not a number)"),
        ("{ args.n: { gt: 1 } }", json!({ "n": 2 }), ""),
        ("{ args.t: { starts_with: x } }", json!({ "t": 7 }), "(args.t is not a text)"),
        ("{ args.t: { starts_with: x } }", json!({ "t": "\u{200b}x" }), "(args.t can be read in two ways)"),
        ("{ args.b: true }", json!({ "b": "true" }), "(args.b is not a boolean)"),
        ("{ args.l: { count: { gt: 1 } } }", json!({ "l": 3 }), "(args.l is not a list)"),
        ("{ args.a: { gt: 1 }, args.b: { gt: 1 } }", json!({ "a": 2 }), "(args.b is missing)"),
        ("{ args.a: { gt: 1 }, args.b: { gt: 1 } }", json!({}), "(args.a is missing, args.b is missing)"),
        ("{ any: [{ args.a: { gt: 9 } }, { args.b: { gt: 1 } }] }", json!({ "a": 2 }), "(args.b is missing)"),
        ("{ any: [{ args.a: { gt: 1 } }, { args.b: { gt: 1 } }] }", json!({ "a": 2 }), ""),
        ("{ not: { args.a: { gt: 1 } } }", json!({}), "(args.a is missing)"),
    ] {
        assert_eq!(unknown(when, json!({ "action": "a", "args": args })), wanted, "{when}");
    }
}

#[test]
fn what_stands_in_a_list_is_said_of_the_list() {
    let when = "{ steps: { count: { where: { type: write }, gt: 0 } } }";
    let plan = |steps: Value| json!({ "event_type": "agent.plan", "steps": steps });
    assert_eq!(unknown(when, plan(json!([{ "tool": "x" }]))), "(steps holds what rules cannot judge)");
}
