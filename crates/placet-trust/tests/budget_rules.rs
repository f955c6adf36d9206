//! Budgets as they are configured, and which of them a call draws from.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use common::*;
use placet_trust::State;
use placet_trust::budgets::{BudgetRule, CredentialLimits, Estimate, Spender, applicable};
use placet_types::ledger::{Amount, BudgetScope, BudgetUnit, MAX_COUNT, Window};
use serde_json::{Value, json};

fn rule(value: Value) -> BudgetRule {
    serde_json::from_value(value).unwrap()
}

fn refused(value: Value) -> String {
    serde_json::from_value::<BudgetRule>(value).unwrap_err().to_string()
}

#[test]
fn f11_limits_are_written_in_human_units() {
    let cases = [
        (
            json!({"scope": "session", "unit": "api_calls", "limit": 10, "window": "day"}),
            10,
            Some(Window::Fixed(86_400)),
        ),
        (json!({"scope": "agent", "of": "billing", "usd": 5.00}), 5_000_000, None),
        (json!({"scope": "agent", "usd": 0.1}), 100_000, None),
        (json!({"scope": "agent", "usd": "1234.567891"}), 1_234_567_891, None),
        (json!({"scope": "tenant", "tokens": 1e6}), 1_000_000, None),
        (json!({"scope": "tool", "api_calls": 30, "rolling": "1m"}), 30, Some(Window::Rolling(60))),
        (json!({"scope": "tool", "compute": "1h", "window": "7d"}), 3_600_000, Some(Window::Fixed(604_800))),
        (json!({"scope": "tool", "compute": 1.5}), 1_500, None),
        (json!({"scope": "organisation", "tokens": MAX_COUNT}), MAX_COUNT, None),
    ];
    for (text, limit, window) in cases {
        let rule = rule(text.clone());
        assert_eq!((rule.limit, rule.window), (limit, window), "{text}");
    }
}

#[test]
fn f11_malformed_budgets_are_refused_with_what_to_write() {
    let cases = [
        (json!({"scope": "session"}), "a budget has 0 limits; give one of"),
        (json!({"scope": "session", "usd": 1, "tokens": 1}), "a budget has 2 limits"),
        (json!({"scope": "session", "limit": 1}), "a budget has 0 limits"),
        (json!({"scope": "session", "usd": -1}), "`usd: -1` is no amount"),
        (json!({"scope": "session", "usd": "0.0000001"}), "at most six decimals"),
        (json!({"scope": "session", "usd": "1."}), "`usd: 1.` is no amount"),
        (json!({"scope": "session", "usd": ".5"}), "`usd: .5` is no amount"),
        (json!({"scope": "session", "usd": "+5"}), "`usd: +5` is no amount"),
        (json!({"scope": "session", "usd": "1e3"}), "`usd: 1e3` is no amount"),
        (json!({"scope": "session", "usd": 1e300}), "is no amount"),
        (json!({"scope": "session", "tokens": 1.5}), "`tokens: 1.5` is no amount; write a whole number"),
        (json!({"scope": "session", "tokens": MAX_COUNT + 1}), "is no amount"),
        (json!({"scope": "session", "tokens": true}), "did not match"),
        (json!({"scope": "session", "compute": "1 h"}), "`compute: 1 h` is no amount"),
        (json!({"scope": "session", "tokens": 1, "window": "week"}), "`window: week` is no length of time"),
        (json!({"scope": "session", "tokens": 1, "window": "0s"}), "`window: 0s` is no length of time"),
        (json!({"scope": "session", "tokens": 1, "rolling": "500ms"}), "is no length of time"),
        (json!({"scope": "session", "tokens": 1, "rolling": "99999999d"}), "is no length of time"),
        (
            json!({"scope": "session", "tokens": 1, "window": "day", "rolling": "1m"}),
            "both `window` and `rolling`",
        ),
        (json!({"scope": "organisation", "of": "x", "tokens": 1}), "leave `of` out"),
        (json!({"scope": "session", "token": 1}), "unknown field `token`"),
        (json!({"scope": "planet", "tokens": 1}), "unknown variant `planet`"),
    ];
    for (text, expected) in cases {
        let message = refused(text.clone());
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn f11_a_tools_cost_is_its_estimate() {
    let cost = |value| serde_json::from_value::<Estimate>(value);
    let read = cost(json!({"usd": 0.02, "compute": "3s", "tokens": 500})).unwrap();
    assert_eq!(read, Estimate { tokens: 500, api_calls: 1, cost_micros: 20_000, compute_millis: 3_000 });
    assert_eq!(cost(json!({})).unwrap(), Estimate::default());
    assert!(cost(json!({"usd": -1})).is_err());
    assert!(cost(json!({"eur": 1})).is_err());
    assert!(cost(json!(0.02)).is_err());
}

fn shown(amounts: &[Amount]) -> Vec<String> {
    let shown = |amount: &Amount| format!("{} = {} of {:?}", amount.key, amount.amount, amount.limit);
    amounts.iter().map(shown).collect()
}

/// Row F14: one reservation names the budgets of session, agent, tool, tenant and organisation.
#[test]
fn f14_a_call_draws_from_every_level() {
    let spender = Spender {
        tenant: Some("t/1"),
        session: Some("s"),
        agent: Some("billing"),
        tool: Some("search"),
        stated: &[(BudgetUnit::ApiCalls, 50)],
        ..Spender::default()
    };
    let rules = [
        rule(json!({"scope": "session", "api_calls": 40})),
        rule(json!({"scope": "session", "api_calls": 60})),
        rule(json!({"scope": "agent", "of": "billing", "usd": 5})),
        rule(json!({"scope": "agent", "of": "support", "usd": 1})),
        rule(json!({"scope": "tool", "api_calls": 30, "rolling": "1m"})),
        rule(json!({"scope": "tenant", "tokens": 1000})),
        rule(json!({"scope": "organisation", "tokens": 5000, "window": "day"})),
    ];
    let estimate = Estimate { cost_micros: 7, ..Estimate::default() };
    assert_eq!(
        shown(&applicable(&spender, &rules, &estimate)),
        [
            "api_calls of session `t%2F1/s` = 1 of Some(40)",
            "cost_micros of session `t%2F1/s` = 7 of None",
            "cost_micros of agent `t%2F1/billing` = 7 of Some(5000000)",
            "api_calls of tool `t%2F1/search`, refilled evenly over 60 s, = 1 of Some(30)",
            "tokens of tenant `t%2F1` = 0 of Some(1000)",
            "tokens of organisation in each 86400 s = 0 of Some(5000)",
        ]
    );
}

/// Row F14: a child draws from its root and from every credential between that states a limit; a stated session id
/// gives it nothing.
#[test]
fn f14_a_lineage_draws_from_its_root() {
    let limits = |id: &str, limits: &[(BudgetUnit, u64)]| CredentialLimits {
        id: id.into(),
        limits: limits.iter().copied().collect(),
    };
    let lineage = [
        limits("root", &[(BudgetUnit::Tokens, 100)]),
        limits("middle", &[]),
        limits("child", &[(BudgetUnit::ApiCalls, 3)]),
    ];
    let spender = Spender { session: Some("chosen"), lineage: &lineage, ..Spender::default() };
    assert_eq!(
        shown(&applicable(&spender, &[], &Estimate::default())),
        [
            "api_calls of session `credential:child` = 1 of Some(3)",
            "tokens of session `credential:root` = 0 of Some(100)",
            "api_calls of session `credential:root` = 1 of None",
        ]
    );
}

/// Whoever has no name shares the budget of the nameless: leaving the name out escapes nothing.
#[test]
fn f11_leaving_a_name_out_escapes_no_budget() {
    let rules = [rule(json!({"scope": "agent", "api_calls": 1}))];
    let mut state = State::default();
    let mut call = |id: &str, spender: &Spender<'_>| {
        let amounts = applicable(spender, &rules, &Estimate::default());
        admit(&mut state, 1, allow(), permit(id, amounts))
    };
    assert!(call("a", &Spender::default()).is_ok());
    assert!(call("b", &Spender { session: Some("other"), ..Spender::default() }).is_err());
    assert!(call("c", &Spender { agent: Some("named"), ..Spender::default() }).is_ok());
    let owner = key(BudgetScope::Agent, "named", BudgetUnit::ApiCalls);
    assert_eq!(spent(&state, &owner, 1), 1);
}
