//! Rows 1–28 of the second ancestor, as far as policies and the engine go.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use placet_policy::PolicySet;
use placet_types::{Decision, RiskTier};
use serde_json::{Value, json};

const TUTORIAL: &str = r#"
version: "1"
defaults:
  risk_level: medium
  approval: approve # Anything without an explicit rule needs human approval
rules:
  # --- Safe: auto-approve ---
  - name: search_tools
    match:
      type: "search*"
      target: "web"
    risk_level: low
    approval: auto
  - name: retrieval_tools
    match:
      type: "retriev*"
      target: "*"
    risk_level: low
    approval: auto
  # --- Needs approval: write operations ---
  - name: write_ops
    match:
      type: "write_*"
      target: "*"
    risk_level: high
    approval: approve
  # --- Hard block: no writes after hours (6 PM - 8 AM UTC) ---
  - name: after_hours_write_block
    match:
      type: "write_*"
      target: "*"
    conditions:
      time_after: "18:00"
    risk_level: critical
    approval: block
  - name: early_morning_write_block
    match:
      type: "write_*"
      target: "*"
    conditions:
      time_before: "08:00"
    risk_level: critical
    approval: block
  # --- Hard block: deletes never run ---
  - name: block_deletes
    match:
      type: "delete_*"
      target: "*"
    risk_level: critical
    approval: block
"#;

/// A policy of Match rules, as members of one YAML list, with a default.
fn matching(rules: &str, default: &str) -> PolicySet {
    policies(&[&format!("version: 1\ndefaults: {{ approval: {default} }}\nrules:\n{rules}")])
}

/// One rule called `r`.
fn one(members: &str, default: &str) -> PolicySet {
    matching(&format!("  - {{ name: r, {members} }}\n"), default)
}

fn action(kind: &str, target: &str) -> Value {
    json!({ "action": kind, "target": target })
}

fn at(kind: &str, now: &str) -> Value {
    json!({ "action": kind, "now": now })
}

/// A value that the decision says was looked at.
fn looked_at(decision: &Decision, field: &str) -> Value {
    let seen = decision.inputs.iter().find(|seen| &*seen.field == field).expect(field);
    serde_json::to_value(&seen.value).unwrap()
}

fn first_rule(set: &PolicySet, event: Value) -> String {
    rules(&decide(set, event))[0].to_owned()
}

#[test]
fn aegis_01_the_tutorial_policy_loads_and_decides() {
    let set = policies(&[TUTORIAL]);
    for (event, wanted, rule, tier) in [
        (action("search", "web"), "allow", "search_tools", RiskTier::Informational),
        (action("retrieve", "db"), "allow", "retrieval_tools", RiskTier::Informational),
        (action("write_record", "database"), "escalate", "write_ops", RiskTier::TransactionalHigh),
        (action("delete_record", "database"), "hard deny", "block_deletes", RiskTier::SecurityCritical),
        (action("lookup", "cache"), "escalate", "<default>", RiskTier::Operational),
    ] {
        let decision = decide(&set, event.clone());
        let got = (verdict(&decision), rules(&decision)[0].to_owned(), decision.risk_tier);
        assert_eq!(got, (wanted.to_owned(), rule.to_owned(), tier), "{event}");
    }
}

#[test]
fn aegis_03_the_first_match_wins() {
    let set = matching(
        "  - { name: first, match: { type: 'a*' }, approval: auto }\n  - { name: second, match: { type: ab }, approval: block }\n",
        "block",
    );
    let decision = decide(&set, action("ab", "x"));
    assert_eq!((verdict(&decision).as_str(), rules(&decision)), ("allow", vec!["first"]));
}

#[test]
fn aegis_04_globs_on_the_type() {
    let set = matching("  - { name: r, match: { type: ['search*', 'se?rch'] }, approval: auto }\n", "block");
    for (kind, wanted) in [
        ("search", "allow"),
        ("search_web", "allow"),
        ("seerch", "allow"),
        ("research", "deny"),
        ("serch", "deny"),
    ] {
        assert_eq!(judge(&set, action(kind, "web")), wanted, "{kind}");
    }
}

#[test]
fn aegis_05_globs_on_the_target() {
    let set = one("match: { target: web }, approval: auto", "block");
    assert_eq!(judge(&set, action("x", "web")), "allow");
    assert_eq!(judge(&set, action("x", "intranet")), "deny");
    let omitted = one("match: { type: x }, approval: auto", "block");
    assert_eq!(judge(&omitted, action("x", "anything")), "allow");
    assert_eq!(judge(&omitted, json!({ "action": "x" })), "allow");
}

#[test]
fn aegis_06_an_allow_for_an_agent_needs_that_agent() {
    let set = one("match: { agent: 'bot-*' }, approval: auto", "block");
    let by = |agent: Value| json!({ "action": "x", "session": { "agent_id": agent } });
    assert_eq!(judge(&set, by(json!("bot-7"))), "allow");
    for agent in [json!("human"), json!(null), json!(""), json!(7), json!("*")] {
        assert_eq!(judge(&set, by(agent.clone())), "deny", "{agent}");
    }
}

#[test]
fn aegis_07_what_no_rule_matches_gets_the_default() {
    let decision = decide(&policies(&[TUTORIAL]), action("unheard_of", "x"));
    assert_eq!(rules(&decision), ["<default>"]);
    assert_eq!((verdict(&decision).as_str(), decision.risk_tier), ("escalate", RiskTier::Operational));
    let none = policies(&["version: 1\nrules: [{ name: r, match: { type: a }, approval: auto }]\n"]);
    let decision = decide(&none, action("b", "x"));
    assert_eq!((verdict(&decision).as_str(), decision.verdict.code()), ("deny", "denied_by_default"));
}

#[test]
fn aegis_08_risk_levels_are_ordered_tiers() {
    let tiers = ["low", "medium", "high", "critical"].map(|level| {
        let set = one(&format!("match: {{ type: a }}, risk_level: {level}, approval: auto"), "block");
        decide(&set, action("a", "x")).risk_tier
    });
    assert!(tiers.is_sorted() && tiers.windows(2).all(|pair| pair[0] != pair[1]), "{tiers:?}");
    let upper = one("match: { type: a }, risk_level: HIGH, approval: auto", "block");
    assert_eq!(decide(&upper, action("a", "x")).risk_tier, tiers[2]);
}

/// What a rule with this approval decides, with the code that enforcement points act on.
fn approval(word: &str) -> (String, &'static str) {
    let decision =
        decide(&one(&format!("match: {{ type: a }}, approval: {word}"), "block"), action("a", "x"));
    (verdict(&decision), decision.verdict.code())
}

#[test]
fn aegis_09_auto_allows() {
    assert_eq!(approval("auto"), ("allow".to_owned(), "allowed"));
}

#[test]
fn aegis_10_approve_asks_a_person() {
    assert_eq!(approval("approve"), ("escalate".to_owned(), "approval_required"));
}

#[test]
fn aegis_11_block_denies_hard() {
    assert_eq!(approval("block"), ("hard deny".to_owned(), "denied_by_rule"));
}

fn window(conditions: &str, cases: &[(&str, bool)]) {
    let set = one(&format!("match: {{ type: a }}, conditions: {{ {conditions} }}, approval: auto"), "block");
    for (now, holds) in cases {
        let wanted = if *holds { "allow" } else { "deny" };
        assert_eq!(judge(&set, at("a", now)), wanted, "{conditions} at {now}");
    }
}

#[test]
fn aegis_12_time_after() {
    window("time_after: '18:00'", &[("2026-11-21T17:59:59Z", false), ("2026-11-21T18:00:00Z", true)]);
}

#[test]
fn aegis_13_time_before() {
    window("time_before: '08:00'", &[("2026-11-21T07:59:59Z", true), ("2026-11-21T08:00:00Z", false)]);
}

#[test]
fn aegis_14_a_window_across_midnight() {
    let cases =
        [("2026-11-21T23:00:00Z", true), ("2026-11-21T07:00:00Z", true), ("2026-11-21T12:00:00Z", false)];
    window("time_after: '18:00', time_before: '08:00'", &cases);
}

#[test]
fn aegis_15_a_window_in_a_time_zone() {
    let seoul = [("2026-11-21T08:59:59Z", false), ("2026-11-21T09:00:00Z", true)];
    window("time_after: '18:00', timezone: Asia/Seoul", &seoul);
    let new_york = [
        ("2026-07-01T21:59:59Z", false),
        ("2026-07-01T22:00:00Z", true),
        ("2026-01-15T22:59:59Z", false),
        ("2026-01-15T23:00:00Z", true),
    ];
    window("time_after: '18:00', timezone: America/New_York", &new_york);
}

#[test]
fn aegis_16_weekdays() {
    let cases = [("2026-11-23T12:00:00Z", true), ("2026-11-22T12:00:00Z", false)];
    window("weekdays: [1, 2, 3, 4, 5]", &cases);
}

#[test]
fn aegis_17_parameters_at_their_boundaries() {
    for (condition, value, holds) in [
        ("param_eq: { x: 5 }", json!(5), true),
        ("param_eq: { x: 5 }", json!(5.0), true),
        ("param_eq: { x: 5 }", json!(6), false),
        ("param_eq: { x: a }", json!("a"), true),
        ("param_gt: { x: 5 }", json!(5), false),
        ("param_gt: { x: 5 }", json!(5.000_001), true),
        ("param_gte: { x: 5 }", json!(5), true),
        ("param_gte: { x: 5 }", json!(4.999), false),
        ("param_lt: { x: 5 }", json!(5), false),
        ("param_lt: { x: 5 }", json!(4.999), true),
        ("param_lte: { x: 5 }", json!(5), true),
        ("param_lte: { x: 5 }", json!(5.001), false),
        ("param_contains: { x: b }", json!("abc"), true),
        ("param_contains: { x: b }", json!(["b"]), true),
        ("param_contains: { x: b }", json!(["a"]), false),
        ("param_contains: { x: b }", json!("xyz"), false),
        ("param_matches: { x: 'b+' }", json!("abbc"), true),
        ("param_matches: { x: '^b' }", json!("abc"), false),
        ("param_eq: { x: 0 }", json!(0), true),
        ("param_eq: { x: '' }", json!(""), true),
        ("param_eq: { x: false }", json!(false), true),
    ] {
        let set =
            one(&format!("match: {{ type: a }}, conditions: {{ {condition} }}, approval: auto"), "block");
        let wanted = if holds { "allow" } else { "deny" };
        assert_eq!(judge(&set, call("a", json!({ "x": value.clone() }))), wanted, "{condition} on {value}");
    }
}

#[test]
fn aegis_18_a_missing_parameter_does_not_lift_a_block() {
    let set = one("match: { type: pay }, conditions: { param_gt: { amount: 100 } }, approval: block", "auto");
    for args in [json!({}), json!({ "amount": null })] {
        let decision = decide(&set, call("pay", args.clone()));
        assert_eq!((verdict(&decision).as_str(), rules(&decision)), ("hard deny", vec!["r"]), "{args}");
        assert_eq!(&*decision.reason, "denied by rule `r`", "{args}");
        assert_eq!(looked_at(&decision, "args.amount"), Value::Null, "the record says that it was missing");
        assert_eq!(&*decision.full_reason(), "denied by rule `r` (args.amount is missing)", "{args}");
    }
    assert_eq!(judge(&set, call("pay", json!({ "amount": 100 }))), "allow");
}

#[test]
fn aegis_19_a_wrong_type_is_decided_restrictively_and_the_same_each_time() {
    let set = one("match: { type: pay }, conditions: { param_gt: { amount: 100 } }, approval: block", "auto");
    for amount in [json!("500"), json!([500]), json!({ "v": 500 }), json!("5e2"), json!(true), json!("5")] {
        for _ in 0..3 {
            let decision = decide(&set, call("pay", json!({ "amount": amount.clone() })));
            assert_eq!((verdict(&decision).as_str(), rules(&decision)), ("hard deny", vec!["r"]), "{amount}");
            assert_eq!(looked_at(&decision, "args.amount"), amount, "the record shows what was there");
            assert_eq!(
                &*decision.full_reason(),
                "denied by rule `r` (args.amount is not a number)",
                "{amount}"
            );
        }
    }
}

#[test]
fn aegis_21_an_unquoted_time_is_a_time() {
    window("time_after: 18:00", &[("2026-11-21T17:59:59Z", false), ("2026-11-21T18:00:00Z", true)]);
    window("time_before: 08:00", &[("2026-11-21T07:59:59Z", true), ("2026-11-21T08:00:00Z", false)]);
}

#[test]
fn aegis_24_the_tutorial_policy_names_its_dead_rules() {
    let (_, found) = load_with_findings(TUTORIAL);
    let told: Vec<(u32, &str)> =
        found.0.iter().map(|finding| (finding.position.line, finding.code)).collect();
    let line = |name: &str| {
        let at = TUTORIAL.lines().position(|line| line.contains(&format!("name: {name}"))).unwrap();
        u32::try_from(at + 1).unwrap()
    };
    let dead = ["after_hours_write_block", "early_morning_write_block"];
    assert_eq!(told, dead.map(|name| (line(name), "lint/unreachable")));
    for (finding, name) in found.0.iter().zip(dead) {
        assert!(
            finding.message.contains(name) && finding.message.contains("write_ops"),
            "{}",
            finding.message
        );
    }
}

/// Bounds are loose, since tests run unoptimised beside others; a backtracking engine would need longer than the
/// age of the universe for the first, and a truncating one would miss the second.
#[test]
fn aegis_22_regexes_are_linear_and_see_the_whole_text() {
    let hostile =
        one("match: { type: a }, conditions: { param_matches: { x: '^(a+)+$' } }, approval: block", "auto");
    let text = "a".repeat(100_000) + "!";
    let started = Instant::now();
    assert_eq!(judge(&hostile, call("a", json!({ "x": text }))), "allow");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let late =
        one("match: { type: a }, conditions: { param_matches: { x: 'rm -rf' } }, approval: block", "auto");
    let padded = " ".repeat(1_000_000) + "rm -rf /";
    assert_eq!(judge(&late, call("a", json!({ "x": padded }))), "hard deny");
}

#[test]
fn aegis_23_spellings_of_a_blocked_name_are_blocked() {
    let set = one("match: { type: 'delete*' }, approval: block", "auto");
    for kind in [
        "delete_x",
        "Delete_x",
        " delete_x",
        "delete_x ",
        "delete\n",
        "\tdelete_x",
        "de\u{200b}lete_x",
        "de\u{ad}lete_x",
        "\u{feff}delete_x",
        "\u{ff44}elete_x",
        "\u{ff44}\u{ff45}\u{ff4c}\u{ff45}\u{ff54}\u{ff45}",
    ] {
        assert_eq!(judge(&set, action(kind, "db")), "hard deny", "{kind:?}");
    }
    assert_eq!(judge(&set, action("undelete", "db")), "allow");
}

#[test]
fn aegis_27_an_empty_file_is_an_error_that_says_so() {
    for text in ["", "\n", "# nothing\n", "---\n"] {
        let found = refusals(text);
        assert!(
            found == ["p.yaml:1:1 policy/empty"] || found == ["p.yaml:2:1 policy/type"],
            "{text:?}: {found:?}"
        );
    }
    assert_eq!(refusals("[]"), ["p.yaml:1:1 policy/type"]);
    assert_eq!(refusals("just text"), ["p.yaml:1:1 policy/type"]);
    assert_eq!(refusals("{}"), ["p.yaml:1:1 policy/version", "p.yaml:1:1 policy/rules"]);
}

#[test]
fn aegis_28_ten_thousand_rules_decide_like_a_few() {
    let mut text = String::from("version: 1\ndefaults: { approval: block }\nrules:\n");
    for number in 0..10_000 {
        let approval = ["auto", "approve", "block"][number % 3];
        let kind = if number % 2 == 0 { format!("act_{number}") } else { format!("act_{number}_*") };
        text += &format!("  - {{ name: r{number}, match: {{ type: '{kind}' }}, approval: {approval} }}\n");
    }
    let set = policies(&[&text]);
    for number in (0..10_000).step_by(97) {
        let kind = if number % 2 == 0 { format!("act_{number}") } else { format!("act_{number}_x") };
        let wanted = ["allow", "escalate", "hard deny"][number % 3];
        let decision = decide(&set, action(&kind, "x"));
        assert_eq!(
            (verdict(&decision).as_str(), rules(&decision)),
            (wanted, vec![format!("r{number}").as_str()])
        );
    }
    assert_eq!(first_rule(&set, action("act_10000", "x")), "<default>");
}
