//! Rows F04–F15 and F76–F80 of the first ancestor, as far as YAML and the engine go, and its defects turned round.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use placet_policy::{GlobalMode, PolicySet, library};
use placet_types::{RiskTier, Tier};
use serde_json::{Value, json};

const REFUNDS: &str = include_str!("../../../policies/templates/refunds.yaml");

const README: &str = "
version: 1
package: kitelogik.custom_rules
rules:
  - name: block_high_refunds
    when:
      action: approve_refund
      args.amount: { gt: 1000 }
    then: deny
    reason: \"Refunds over $1000 require escalation\"

  - name: allow_read_ops
    when:
      action: { in: [read_customer, list_transactions] }
      context.session_scopes: { contains: read_customer }
    then: allow
    risk_tier: INFORMATIONAL

  - name: small_refunds
    when: { action: approve_refund }
    then: allow
";

fn module(name: &str) -> String {
    library::module(name).unwrap().1.text.to_string()
}

fn everything() -> &'static str {
    "version: 1\ndefaults: { approval: auto, risk_level: low }\n"
}

#[test]
fn f04_dotted_keys_and_operator_maps_mean_what_they_say() {
    let set = policies(&[README]);
    assert_eq!(judge(&set, call("approve_refund", json!({ "amount": 1000 }))), "allow");
    let denied = decide(&set, call("approve_refund", json!({ "amount": 1001 })));
    assert_eq!(
        (verdict(&denied).as_str(), &*denied.reason),
        ("deny", "Refunds over $1000 require escalation")
    );
    assert_eq!(judge(&set, call("approve_refund", json!({ "amount": 5 }))), "allow");
    let read = |scopes: Value| decide(&set, within("read_customer", json!({ "session_scopes": scopes })));
    assert_eq!(verdict(&read(json!(["read_customer"]))), "allow");
    assert_eq!(read(json!(["read_customer"])).risk_tier, RiskTier::Informational);
    assert_eq!(verdict(&read(json!([]))), "deny");
}

/// A tier that says one thing about the action `act`, or nothing.
fn tier(says: &str, risk: &str) -> String {
    let says = if says == "silent" {
        "when: { action: other }, then: allow".to_owned()
    } else {
        format!("when: {{ action: act }}, then: {says}")
    };
    format!("version: 1\nrules: [{{ name: r, {says}, risk_tier: {risk} }}]\n")
}

fn two_tiers(global: &str, project: &str, mode: GlobalMode) -> (String, Vec<&'static str>) {
    let (global, project) = (tier(global, "INFORMATIONAL"), tier(project, "DESTRUCTIVE"));
    let set = load_tiers(&[(Tier::Global, &global), (Tier::Project, &project)], mode).unwrap();
    let decision = decide(&set, call("act", json!({})));
    (verdict(&decision), decision.trace.iter().map(|step| step.outcome).collect())
}

/// The rows of the ancestor's merge table, corrected: nothing the project says makes up for the global tier.
#[test]
fn f05_the_two_tiers_combine_as_a_guard_and_as_a_grant() {
    for (global, project, guard, grant) in [
        ("silent", "allow", "allow", "deny"),
        ("allow", "silent", "deny", "deny"),
        ("hitl", "allow", "escalate", "escalate"),
        ("allow", "deny", "deny", "deny"),
        ("silent", "silent", "deny", "deny"),
        ("allow", "allow", "allow", "allow"),
        ("deny", "allow", "deny", "deny"),
        ("block", "allow", "hard deny", "hard deny"),
        ("hitl", "silent", "deny", "deny"),
        ("allow", "hitl", "escalate", "escalate"),
        ("silent", "block", "hard deny", "hard deny"),
    ] {
        assert_eq!(two_tiers(global, project, GlobalMode::Guard).0, guard, "guard: {global} / {project}");
        assert_eq!(two_tiers(global, project, GlobalMode::Grant).0, grant, "grant: {global} / {project}");
    }
}

#[test]
fn f05_the_trace_names_every_tier_and_a_global_block_skips_the_project() {
    let (_, trace) = two_tiers("block", "allow", GlobalMode::Guard);
    assert_eq!(trace, ["abstain", "deny", "skipped"]);
    let (_, trace) = two_tiers("silent", "allow", GlobalMode::Grant);
    assert_eq!(trace, ["abstain", "deny", "allow"]);
    let (global, project) = (tier("allow", "INFORMATIONAL"), tier("allow", "DESTRUCTIVE"));
    let set = load_tiers(&[(Tier::Global, &global), (Tier::Project, &project)], GlobalMode::Grant).unwrap();
    let decision = decide(&set, call("act", json!({})));
    assert_eq!(decision.risk_tier, RiskTier::Destructive, "the more severe tier wins");
}

#[test]
fn kite_r20_a_project_does_not_grant_what_the_global_tier_must_allow() {
    assert_eq!(two_tiers("silent", "allow", GlobalMode::Grant).0, "deny");
}

fn lifecycle_event(kind: &str, depth: Value, capabilities: Value) -> Value {
    let context = json!({ "delegation_depth": depth, "session_scopes": ["read", "pay"], "session_id": "s1" });
    json!({ "event_type": kind, "context": context, "requested_capabilities": capabilities })
}

fn only_lifecycle() -> PolicySet {
    policies(&["version: 1\nrules: [{ name: other, when: { action: other }, then: allow }]\n"])
}

#[test]
fn f08_spawns_are_held_to_depth_and_scope() {
    let set = only_lifecycle();
    let spawn = |depth, wants| verdict(&decide_as_is(&set, &lifecycle_event("agent.spawn", depth, wants)));
    for depth in [0, 1, 2] {
        assert_eq!(spawn(json!(depth), json!(["read"])), "allow", "{depth}");
    }
    assert_eq!(spawn(json!(2), json!([])), "allow");
    for depth in [json!(3), json!(-1), json!(null), json!("1"), json!(true), json!([1]), json!({})] {
        assert_eq!(spawn(depth.clone(), json!(["read"])), "hard deny", "{depth}");
    }
    for wants in [json!(["admin"]), json!(["read", "admin"]), json!("read"), json!([null]), json!([["read"]])]
    {
        assert_eq!(spawn(json!(0), wants.clone()), "hard deny", "{wants}");
    }
    let unsaid = json!({ "event_type": "agent.spawn" });
    assert_eq!(verdict(&decide_as_is(&set, &unsaid)), "hard deny");
}

#[test]
fn f09_delegation_is_held_to_depth_and_scope_and_to_small_refunds() {
    let set = policies(&[REFUNDS]);
    let delegate =
        |depth, wants| verdict(&decide_as_is(&set, &lifecycle_event("agent.delegate", depth, wants)));
    assert_eq!(delegate(json!(0), json!(["read"])), "allow");
    assert_eq!(delegate(json!(1), json!(["read", "pay"])), "allow");
    assert_eq!(delegate(json!(2), json!(["read"])), "hard deny");
    assert_eq!(delegate(json!(0), json!(["read", "admin"])), "hard deny");
    assert_eq!(delegate(json!(null), json!(["read"])), "hard deny");

    for (depth, amount, wanted) in [
        (1, json!(50), "allow"),
        (1, json!(50.01), "hard deny"),
        (1, json!(-1), "hard deny"),
        (1, json!(null), "hard deny"),
        (1, json!(true), "hard deny"),
        (1, json!("50"), "hard deny"),
        (2, json!(5), "hard deny"),
        (0, json!(50.01), "escalate"),
    ] {
        let context = json!({ "delegation_depth": depth, "user_role": "worker_agent", "session_scopes": ["process_refunds"] });
        let event = json!({ "action": "approve_refund", "args": { "amount": amount }, "context": context });
        assert_eq!(judge(&set, event), wanted, "{amount} at depth {depth}");
    }
}

#[test]
fn f10_plans_are_held_to_their_length_and_to_tools() {
    let set = only_lifecycle();
    let plan = |steps: Vec<Value>| judge(&set, json!({ "event_type": "agent.plan", "steps": steps }));
    let read = || json!({ "tool_name": "read" });
    assert_eq!(plan(vec![]), "hard deny");
    assert_eq!(plan(vec![read(); 50]), "allow");
    assert_eq!(plan(vec![read(); 51]), "hard deny");
    for key in ["tool_name", "tool"] {
        for tool in ["execute_shell", "run_command", "drop_database", "delete_all", "Execute_Shell"] {
            assert_eq!(plan(vec![read(), json!({ key: tool }), read()]), "hard deny", "{key}: {tool}");
        }
    }
    assert_eq!(plan(vec![json!({ "args": {} })]), "hard deny", "a step that names no tool");
}

#[test]
fn f12_labels_restrict_and_never_grant() {
    let set = policies(&["version: 1\nrules: [{ name: read, when: { action: read }, then: allow }]\n"]);
    let read = |label: Value, depth: u32, scopes: Value| {
        let context = json!({ "delegation_depth": depth, "session_scopes": scopes });
        judge(&set, json!({ "action": "read", "data_classification": label, "context": context }))
    };
    for label in [json!(null), json!("public"), json!("internal")] {
        assert_eq!(read(label.clone(), 0, json!([])), "allow", "{label}");
        assert_eq!(read(label.clone(), 2, json!([])), "allow", "{label}");
        let other = judge(&set, json!({ "action": "other", "data_classification": label }));
        assert_eq!(other, "deny", "a label grants nothing");
    }
    assert_eq!(read(json!("confidential"), 0, json!([])), "allow");
    assert_eq!(read(json!("confidential"), 1, json!([])), "hard deny");
    assert_eq!(read(json!("restricted"), 0, json!(["restricted_data"])), "allow");
    assert_eq!(read(json!("restricted"), 0, json!(["other"])), "hard deny");
    assert_eq!(read(json!("secret"), 0, json!([])), "hard deny");
    let everywhere =
        judge(&policies(&[everything()]), json!({ "action": "x", "data_classification": "secret" }));
    assert_eq!(everywhere, "hard deny");
}

#[test]
fn f15_tiers_follow_the_amount_and_the_most_severe_wins() {
    let set = policies(&[REFUNDS]);
    let tier = |event: Value| decide(&set, event).risk_tier;
    let refund = |amount: Value, depth: u32| {
        let context = json!({ "delegation_depth": depth, "user_role": "manager", "session_scopes": ["process_refunds", "read_customer"] });
        json!({ "action": "approve_refund", "args": { "amount": amount }, "context": context })
    };
    for amount in [0.0, 50.0, 99.0, 100.0] {
        assert_eq!(tier(refund(json!(amount), 0)), RiskTier::TransactionalLow, "{amount}");
    }
    for amount in [100.01, 500.0, 5000.0] {
        assert_eq!(tier(refund(json!(amount), 0)), RiskTier::TransactionalHigh, "{amount}");
    }
    assert_eq!(tier(refund(json!(60), 1)), RiskTier::SecurityCritical);
    assert_eq!(tier(json!({ "action": "read", "resource_path": "/etc/passwd" })), RiskTier::SecurityCritical);
    for action in ["read_customer_record", "list_transactions"] {
        let scopes = json!({ "session_scopes": ["read_customer"] });
        assert_eq!(tier(within(action, scopes)), RiskTier::Informational);
    }
    assert_eq!(tier(call("other", json!({}))), RiskTier::Operational);
    let read_only = policies(&[&module("read_only")]);
    assert_eq!(decide(&read_only, call("query_memory", json!({}))).risk_tier, RiskTier::Informational);
    let bogus =
        "version: 1\nrules:\n  - name: a\n    when: { action: a }\n    then: deny\n    risk_tier: HIGH\n";
    assert_eq!(refusals(bogus), ["p.yaml:6:16 policy/bad-value"]);
    for tier in RiskTier::ALL {
        let text = format!(
            "version: 1\nrules: [{{ name: a, when: {{ action: a }}, then: allow, risk_tier: {tier} }}]\n"
        );
        assert_eq!(decide(&policies(&[&text]), call("a", json!({}))).risk_tier, tier);
    }
}

#[test]
fn f76_the_twin_denies_a_missing_path() {
    let set = policies(&[everything(), &module("write_folder")]);
    let write = |args: Value| decide(&set, call("fs.write", args));
    assert_eq!(verdict(&write(json!({ "path": "/tmp/a" }))), "allow");
    for args in
        [json!({}), json!({ "path": null }), json!({ "path": "/home/x" }), json!({ "path": "/tmp/../etc/x" })]
    {
        assert_eq!(verdict(&write(args.clone())), "hard deny", "{args}");
    }
    assert_eq!(&*write(json!({})).reason, "write outside /tmp denied");
}

#[test]
fn f77_f78_f79_f80_the_twins_decide_as_the_samples() {
    let depth = policies(&[everything(), &module("spawn_depth")]);
    let spawn =
        |depth_of_parent: u32| json!({ "event_type": "agent.spawn", "parent": { "depth": depth_of_parent } });
    assert_eq!(judge(&depth, spawn(1)), "allow");
    assert_eq!(judge(&depth, spawn(2)), "deny");

    let finance = policies(&[everything(), &module("finance_approval")]);
    let pay = |tags: Value, amount: f64| json!({ "action": "post", "tool_tags": tags, "args": { "amount": amount } });
    assert_eq!(judge(&finance, pay(json!(["finance.write"]), 1000.0)), "allow");
    assert_eq!(judge(&finance, pay(json!(["finance.write"]), 1000.01)), "escalate");
    assert_eq!(judge(&finance, pay(json!([]), 5000.0)), "allow");

    let tokens = policies(&[everything(), &module("token_cap")]);
    let spent = |tokens: u32| json!({ "event_type": "agent.budget", "session": { "tokens_spent": tokens } });
    assert_eq!(judge(&tokens, spent(100_000)), "allow");
    assert_eq!(judge(&tokens, spent(100_001)), "deny");

    let plans = policies(&[everything(), &module("plan_limits")]);
    let plan =
        |steps: usize| json!({ "event_type": "agent.plan", "steps": vec![json!({ "tool": "a" }); steps] });
    assert_eq!(judge(&plans, plan(20)), "allow");
    assert_eq!(judge(&plans, plan(21)), "deny");
}

#[test]
fn f80_the_twin_counts_write_steps_by_what_is_known_of_their_tools() {
    let set = policies(&[everything(), &module("plan_limits")]);
    let plan = |reads: usize, writes: usize, write: Value| {
        let steps = [vec![json!({ "tool": "a", "type": "read" }); reads], vec![write; writes]].concat();
        decide(&set, json!({ "event_type": "agent.plan", "steps": steps }))
    };
    for write in [
        json!({ "tool": "a", "type": "write" }),
        json!({ "tool": "a", "type": "read", "tool_tags": ["finance.write"] }),
        json!({ "tool": "a", "tool_tags": ["write"] }),
    ] {
        assert_eq!(verdict(&plan(17, 3, write.clone())), "allow", "{write}");
        let many = plan(0, 4, write.clone());
        assert_eq!(
            (verdict(&many).as_str(), rules(&many)),
            ("escalate", vec!["plan_writes_much"]),
            "{write}"
        );
        let both = plan(17, 4, write);
        assert_eq!((verdict(&both).as_str(), rules(&both)), ("deny", vec!["plan_too_long"]));
    }
}

#[test]
fn f74_the_twin_lists_mcp_tools_by_role() {
    let set = policies(&[everything(), &module("mcp_allowlist")]);
    let mcp = |role: &str, tool: &str, transport: &str| json!({ "tool": tool, "transport": transport, "session": { "agent_role": role } });
    assert_eq!(judge(&set, mcp("billing", "stripe.refund", "mcp")), "allow");
    assert_eq!(judge(&set, mcp("support", "stripe.refund", "mcp")), "deny");
    assert_eq!(judge(&set, mcp("support", "stripe.refund", "local")), "allow", "other tools are left alone");
}

#[test]
fn kite_20_1_a_wanted_approval_stops_an_allow() {
    let set = policies(&["version: 1\nrules:\n\
        - { name: pay, when: { action: pay }, then: allow }\n\
        - { name: ask, when: { action: pay, args: { amount: { gt: 50 } } }, then: hitl }\n"]);
    assert_eq!(judge(&set, call("pay", json!({ "amount": 50 }))), "allow");
    assert_eq!(judge(&set, call("pay", json!({ "amount": 999 }))), "escalate");
    let context = json!({ "user_role": "manager", "session_scopes": ["process_refunds"] });
    let refund = json!({ "action": "approve_refund", "args": { "amount": 500 }, "context": context });
    assert_eq!(judge(&policies(&[REFUNDS]), refund), "escalate");
}

#[test]
fn kite_r2_and_20_2_an_event_without_a_label_is_not_allowed_for_that() {
    let set = only_lifecycle();
    let wire = json!({ "event_type": "tool_call", "action": "wire_all_money", "args": { "amount": 1e9 } });
    let decision = decide(&set, wire);
    assert_eq!((verdict(&decision).as_str(), decision.verdict.code()), ("deny", "no_rule_matched"));
}

#[test]
fn kite_20_3_budgets_and_labels_hold_for_plain_tool_calls() {
    let set = policies(&["version: 1\nrules: [{ name: q, when: { action: query_memory }, then: allow }]\n"]);
    assert_eq!(judge(&set, within("query_memory", json!({}))), "allow");
    let spent = json!({ "budget_total_tokens": 10, "budget_used_tokens": 999 });
    assert_eq!(judge(&set, within("query_memory", spent)), "hard deny");
    let labelled = json!({ "action": "query_memory", "data_classification": "restricted" });
    assert_eq!(judge(&set, labelled), "hard deny");
}

#[test]
fn kite_r25_and_20_10_odd_amounts_neither_slip_past_a_deny_nor_meet_an_allow() {
    let deny = policies(&["version: 1\nrules:\n\
        - { name: pay, when: { action: pay }, then: allow }\n\
        - { name: large, when: { action: pay, args.amount: { gt: 100 } }, then: deny }\n"]);
    let allow = policies(&["version: 1\nrules:\n\
        - { name: small, when: { action: pay, args.amount: { gte: 0, lte: 100 } }, then: allow }\n"]);
    let odd = [
        json!({}),
        json!({ "amount": null }),
        json!({ "amount": true }),
        json!({ "amount": "5" }),
        json!({ "amount": [5] }),
        json!({ "amount": { "v": 5 } }),
        json!({ "Amount": 5 }),
        json!({ "amount": 9_007_199_254_740_993_i64 }),
    ];
    for args in odd {
        assert_eq!(judge(&deny, call("pay", args.clone())), "deny", "{args}");
        assert_eq!(judge(&allow, call("pay", args.clone())), "deny", "{args}");
    }
    assert_eq!(judge(&allow, call("pay", json!({ "amount": -1e9 }))), "deny");
    for amount in [json!(-1e9), json!(null)] {
        let context = json!({ "user_role": "manager", "session_scopes": ["process_refunds"] });
        let refund = json!({ "action": "approve_refund", "args": { "amount": amount }, "context": context });
        assert_eq!(judge(&policies(&[REFUNDS]), refund), "deny");
    }
}

#[test]
fn kite_20_10_paths_are_seen_wherever_they_stand_and_however_they_are_spelt() {
    let set = policies(&[everything()]);
    assert_eq!(judge(&set, call("read_file", json!({ "path": "/srv/a" }))), "allow");
    for path in [
        "/etc/shadow",
        "/./etc/passwd",
        "//etc/passwd",
        "/workspace/../etc/passwd",
        "/x/%2e%2e/y",
        "..\\..\\x",
        "~/.ssh/id_rsa",
        "/app/.env",
    ] {
        for event in [
            call("read_file", json!({ "path": path })),
            call("read_file", json!({ "deep": [{ "anything": path }] })),
            json!({ "action": "read_file", "resource_path": path }),
            json!({ "event_type": "agent.plan", "steps": [{ "tool": "read", "args": { "path": path } }] }),
        ] {
            assert_eq!(judge(&set, event.clone()), "hard deny", "{event}");
        }
    }
    let blocked = json!({ "event_type": "agent.plan", "steps": [{ "tool": "execute_shell" }] });
    assert_eq!(judge(&set, blocked), "hard deny");
}
