//! The samples of seeds 002 and 003, as printed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde_json::{Value, json};

use super::*;

const FILES: &str = include_str!("../../../tests/rego/samples/files.rego");

const SPAWN: &str = include_str!("../../../tests/rego/samples/spawn.rego");

const FINANCE: &str = include_str!("../../../tests/rego/samples/finance.rego");

const BUDGET: &str = include_str!("../../../tests/rego/samples/budget.rego");

const MCP: &str = include_str!("../../../tests/rego/samples/mcp.rego");

const PLANS: &str = include_str!("../../../tests/rego/samples/plans.rego");

pub(super) const SAMPLES: [(&str, &str); 6] = [
    ("files.rego", FILES),
    ("spawn.rego", SPAWN),
    ("finance.rego", FINANCE),
    ("budget.rego", BUDGET),
    ("mcp.rego", MCP),
    ("plans.rego", PLANS),
];

fn write_to(path: &str) -> Value {
    call(&json!({"tool": "fs.write", "args": {"path": path, "content": "x"}}))
}

fn spawn(depth: u32) -> Value {
    call(
        &json!({"event_type": "agent.spawn", "parent": {"depth": depth}, "context": {"delegation_depth": depth}}),
    )
}

fn transfer(amount: f64, tags: &[&str]) -> Value {
    call(&json!({"tool": "ledger.post", "tool_tags": tags, "args": {"amount": amount}}))
}

fn spent(tokens: u32) -> Value {
    call(&json!({"event_type": "agent.budget", "session": {"tokens_spent": tokens}}))
}

fn mcp(role: &str, tool: &str) -> Value {
    call(&json!({"tool": tool, "transport": "mcp", "session": {"agent_role": role}}))
}

fn plan(reads: usize, writes: usize) -> Value {
    let steps: Vec<Value> =
        [vec![json!({"type": "read"}); reads], vec![json!({"type": "write"}); writes]].concat();
    call(&json!({"event_type": "agent.plan", "plan": {"steps": steps}}))
}

#[track_caller]
fn decides(set: &RegoSet, event: &Value, wanted: Effect, words: &str) {
    assert_eq!(effect(set, event), Some(wanted), "{event}\n{:#?}", voices(set, event));
    let told = format!("{:?}", voices(set, event));
    assert!(told.contains(words), "{words} is missing in {told}");
}

#[test]
fn f76_files_denies_writes_outside_tmp_with_the_reason() {
    let set = load(&[("files.rego", FILES)]);
    decides(&set, &write_to("/tmp/a"), Effect::Allow, "");
    decides(&set, &write_to("/home/me/a"), Effect::HardDeny, "write outside /tmp denied: /home/me/a");
    decides(&set, &call(&json!({"tool": "fs.read", "args": {"path": "/home/me/a"}})), Effect::Allow, "");
}

#[test]
fn f76_a_missing_path_keeps_opas_answer() {
    let set = load(&[("files.rego", FILES)]);
    decides(&set, &call(&json!({"tool": "fs.write", "args": {}})), Effect::Allow, "");
}

#[test]
fn f77_spawn_caps_the_depth() {
    let set = load(&[("spawn.rego", SPAWN)]);
    decides(&set, &spawn(0), Effect::Allow, "");
    decides(&set, &spawn(1), Effect::Allow, "");
    decides(&set, &spawn(2), Effect::Deny, "delegation depth 2 exceeds limit (2)");
    assert!(voices(&set, &write_to("/etc/x")).is_empty(), "a spawn policy says nothing about tools");
}

#[test]
fn f78_finance_escalates_above_the_threshold() {
    let set = load(&[("finance.rego", FINANCE)]);
    decides(&set, &transfer(1000.0, &["finance.write"]), Effect::Allow, "");
    decides(&set, &transfer(1000.01, &["finance.write"]), Effect::Escalate, "finance-oncall");
    decides(&set, &transfer(5000.0, &[]), Effect::Allow, "");
    decides(&set, &transfer(5000.0, &["finance.read"]), Effect::Allow, "");
}

#[test]
fn f79_budget_stops_the_next_event_of_any_type() {
    let set = load(&[("budget.rego", BUDGET)]);
    decides(&set, &spent(100_000), Effect::Allow, "");
    decides(&set, &spent(100_001), Effect::Deny, "session token budget exhausted");
    let next = call(&json!({"tool": "fs.read", "session": {"tokens_spent": 100_001}}));
    decides(&set, &next, Effect::Deny, "session token budget exhausted");
    let fine = call(&json!({"tool": "fs.read", "session": {"tokens_spent": 5}}));
    assert_eq!(effect(&set, &fine), None, "a budget policy allows budget events only");
}

#[test]
fn f74_mcp_lists_tools_per_role() {
    let set = load(&[("mcp.rego", MCP)]);
    decides(&set, &mcp("billing", "stripe.refund"), Effect::Allow, "");
    decides(&set, &mcp("support", "zendesk.search"), Effect::Allow, "");
    decides(&set, &mcp("support", "stripe.refund"), Effect::Deny, "MCP tool not in allowlist");
    decides(&set, &mcp("nobody", "stripe.refund"), Effect::Deny, "MCP tool not in allowlist");
    assert_eq!(effect(&set, &write_to("/tmp/a")), None, "the default covers MCP only");
}

#[test]
fn f80_plans_limits_steps_and_writes_and_survives_both() {
    let set = load(&[("plans.rego", PLANS)]);
    decides(&set, &plan(20, 0), Effect::Allow, "");
    decides(&set, &plan(17, 3), Effect::Allow, "");
    decides(&set, &plan(21, 0), Effect::Deny, "plan has 21 steps; limit is 20");
    decides(&set, &plan(0, 4), Effect::Escalate, "plan contains 4 write steps; require approval");
    decides(&set, &plan(18, 4), Effect::HardDeny, "plans.rego");
    assert!(said(&set, &plan(18, 4)).iter().all(|said| said.is_failure));
}

#[test]
fn all_samples_together_decide_as_their_texts_say() {
    let set = load(&SAMPLES);
    decides(&set, &write_to("/home/me/a"), Effect::HardDeny, "write outside /tmp denied: /home/me/a");
    decides(&set, &write_to("/tmp/a"), Effect::Allow, "");
    decides(&set, &spawn(2), Effect::Deny, "delegation depth 2 exceeds limit (2)");
    decides(&set, &spawn(1), Effect::Allow, "");
    decides(&set, &transfer(1000.01, &["finance.write"]), Effect::Escalate, "finance-oncall");
    decides(&set, &transfer(1000.0, &["finance.write"]), Effect::Allow, "");
    decides(&set, &spent(100_001), Effect::Deny, "session token budget exhausted");
    decides(&set, &mcp("billing", "stripe.refund"), Effect::Allow, "");
    decides(&set, &mcp("support", "stripe.refund"), Effect::Deny, "MCP tool not in allowlist");
    let mut large = mcp("billing", "stripe.refund");
    large["tool_tags"] = json!(["finance.write"]);
    large["args"] = json!({"amount": 2000});
    decides(&set, &large, Effect::Escalate, "finance-oncall");
    decides(&set, &plan(0, 4), Effect::Escalate, "plan contains 4 write steps; require approval");
    decides(&set, &plan(5, 1), Effect::Allow, "");
}

#[test]
fn the_dialect_of_each_sample_is_told() {
    let set = load(&SAMPLES);
    let dialects: Vec<(&str, Dialect)> = set.files().iter().map(|file| (&*file.path, file.dialect)).collect();
    assert_eq!(
        dialects,
        [
            ("files.rego", Dialect::V0),
            ("spawn.rego", Dialect::V0),
            ("finance.rego", Dialect::V0FutureKeywords),
            ("budget.rego", Dialect::V0),
            ("mcp.rego", Dialect::V0FutureKeywords),
            ("plans.rego", Dialect::V0),
        ]
    );
    assert!(set.files().iter().all(|file| file.kind == UnitKind::PerEvent));
}

const FINANCIAL: &str = r#"package kitelogik.financial

import future.keywords.if
import future.keywords.in

default allow := false

# Allow refunds under $100 for support agents with the right scope
allow if {
    input.action == "approve_refund"
    "approve_refund_under_100" in input.context.session_scopes
    input.context.user_role in {"support_agent", "manager"}
    input.args.amount <= 100
}
"#;

const LIFECYCLE: &str = r#"package kitelogik.agent_lifecycle

import future.keywords.if
import future.keywords.in
import future.keywords.every

default allow := false
default deny := false

# Allow spawn when within depth limit and capabilities are valid
allow if {
    input.event_type == "agent.spawn"
    input.context.delegation_depth <= 2
    every cap in input.requested_capabilities {
        cap in input.context.session_scopes
    }
}

# Deny spawn when delegation depth exceeds limit
deny if {
    input.event_type == "agent.spawn"
    input.context.delegation_depth > 2
}

"#;

#[test]
fn seed_003_financial_loads_and_decides() {
    let set = load(&[("financial.rego", FINANCIAL)]);
    let refund = |amount: f64, scopes: &[&str], role: &str| {
        call(&json!({
            "action": "approve_refund", "args": {"amount": amount},
            "context": {"session_scopes": scopes, "user_role": role}
        }))
    };
    let scopes = ["approve_refund_under_100"];
    decides(&set, &refund(100.0, &scopes, "manager"), Effect::Allow, "data.kitelogik.financial.allow");
    assert_eq!(effect(&set, &refund(100.5, &scopes, "manager")), None, "`allow = false` is silence");
    assert_eq!(effect(&set, &refund(5.0, &[], "manager")), None);
    assert_eq!(effect(&set, &refund(5.0, &scopes, "guest")), None);
}

#[test]
fn seed_003_lifecycle_loads_and_decides() {
    let set = load(&[("agent_lifecycle.rego", LIFECYCLE)]);
    let spawn = |depth: u32, capabilities: &[&str]| {
        call(&json!({
            "event_type": "agent.spawn", "requested_capabilities": capabilities,
            "context": {"delegation_depth": depth, "session_scopes": ["read"]}
        }))
    };
    decides(&set, &spawn(2, &["read"]), Effect::Allow, "");
    decides(&set, &spawn(2, &[]), Effect::Allow, "");
    assert_eq!(effect(&set, &spawn(2, &["read", "write"])), None);
    decides(&set, &spawn(3, &["read"]), Effect::HardDeny, "hard blocked by policy");
}
