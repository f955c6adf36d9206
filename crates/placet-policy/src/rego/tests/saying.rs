//! From values to statements: both package models, defaults, isolation, failures.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::RiskTier;

use super::*;

/// What a `decision` of this value says.
fn deciding(value: &str) -> Vec<Statement> {
    let set = load(&[("d.rego", &format!("package placet.tool_call\n\nx := {value}\ndecision := x"))]);
    said(&set, &call(&json!({})))
}

#[track_caller]
fn one(value: &str, effect: Effect, reason: &str) -> Statement {
    let said = deciding(value);
    assert_eq!(said.len(), 1, "{value}: {said:?}");
    assert_eq!((said[0].effect, &*said[0].reason), (effect, reason), "{value}");
    assert!(!said[0].is_failure, "{value}: {said:?}");
    said[0].clone()
}

#[test]
fn a_decision_takes_its_strongest_restricting_reading() {
    one("{\"allow\": true}", Effect::Allow, "");
    one("{\"allow\": false}", Effect::Deny, "");
    one("{\"allow\": false, \"reason\": \"no\"}", Effect::Deny, "no");
    one("{\"deny\": \"never\"}", Effect::HardDeny, "never");
    one("{\"allow\": false, \"deny\": \"never\"}", Effect::HardDeny, "never");
    one("{\"allow\": true, \"deny\": \"never\"}", Effect::HardDeny, "never");
    one("{\"deny\": true, \"reason\": \"why\"}", Effect::HardDeny, "why");
    one("{\"deny\": \"\", \"allow\": true}", Effect::HardDeny, "hard blocked by policy");
    one("{\"deny\": {\"b\", \"a\"}}", Effect::HardDeny, "a; b");
    one("{\"deny\": set(), \"allow\": true}", Effect::Allow, "");
    one("{\"deny\": false, \"allow\": true}", Effect::Allow, "");
    one("{\"escalate\": true, \"allow\": true}", Effect::Escalate, "");
    one("{\"escalate\": true, \"allow\": false, \"reason\": \"ask\"}", Effect::Escalate, "ask");
    one("{\"escalate\": true, \"deny\": \"never\"}", Effect::HardDeny, "never");
    let asked = one("{\"escalate\": true, \"reviewers\": [\"a\", \"b\"]}", Effect::Escalate, "");
    assert_eq!(asked.reviewers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    let risky = one("{\"allow\": true, \"risk_tier\": \"DESTRUCTIVE\"}", Effect::Allow, "");
    assert_eq!(risky.risk_tier, Some(RiskTier::Destructive));
    assert_eq!(
        (&*risky.rule.name, &*risky.rule.file, risky.rule.line),
        ("data.placet.tool_call.decision", "d.rego", 4)
    );
    assert!(deciding("{\"escalate\": false}").is_empty());
}

#[test]
fn a_decision_that_makes_no_sense_is_a_failure() {
    for value in [
        "true",
        "\"allow\"",
        "[1]",
        "null",
        "{}",
        "{\"allow\": \"yes\"}",
        "{\"allow\": 1}",
        "{\"allow\": null}",
        "{\"escalate\": \"yes\"}",
        "{\"deny\": 5}",
        "{\"deny\": null}",
        "{\"allow\": true, \"alow\": 1}",
        "{\"allow\": true, 1: 2}",
        "{\"allow\": true, \"reason\": 5}",
        "{\"escalate\": true, \"reviewers\": 5}",
        "{\"escalate\": true, \"reviewers\": [5]}",
        "{\"allow\": true, \"risk_tier\": \"SEVERE\"}",
    ] {
        let said = deciding(value);
        assert_eq!(said.len(), 1, "{value}");
        assert!(said[0].is_failure && said[0].effect == Effect::HardDeny, "{value}: {said:?}");
        assert!(said[0].reason.contains("d.rego"), "{value}: {said:?}");
    }
}

/// What an aggregate package with these rules says.
fn aggregate(rules: &str) -> Vec<Statement> {
    let set = load(&[("main.rego", &format!("package placet.main\n{rules}"))]);
    said(&set, &call(&json!({"action": "a"})))
}

#[test]
fn flags_say_what_they_say_and_several_may_hold() {
    let effects = |rules: &str| aggregate(rules).iter().map(|said| said.effect).collect::<Vec<_>>();
    assert_eq!(effects("allow := true"), [Effect::Allow]);
    assert!(effects("default allow := false").is_empty());
    assert!(effects("allow := false\ndeny := false\nrequires_hitl := false").is_empty());
    assert_eq!(
        effects("allow := true\ndeny := true\nrequires_hitl := true"),
        [Effect::HardDeny, Effect::Escalate, Effect::Allow]
    );
    for truthy in ["true", "{\"r\": false}", "[\"r\"]", "{\"r\"}", "\"r\""] {
        assert_eq!(effects(&format!("deny := {truthy}")), [Effect::HardDeny], "{truthy}");
    }
    for empty in ["false", "{}", "[]", "set()", "\"\""] {
        assert!(effects(&format!("deny := {empty}")).is_empty(), "{empty}");
    }
}

#[test]
fn the_reasons_of_a_hard_deny_are_sorted_and_joined() {
    let reason = |rules: &str| aggregate(rules)[0].reason.to_string();
    assert_eq!(reason("deny := true"), "hard blocked by policy");
    assert_eq!(reason("deny contains \"b\" if true\ndeny contains \"a\" if true"), "a; b");
    assert_eq!(reason("deny[\"b\"] := true if true\ndeny[\"a\"] := false if true"), "a; b");
    assert_eq!(reason("deny := true\ndeny_reason := {\"z\": true, \"y\": true}"), "y; z");
    assert_eq!(reason("deny := {\"own\"}\ndeny_reason := set()"), "own");
    assert_eq!(reason("deny := \"text\""), "text");
    assert_eq!(reason("deny := [1, {\"msg\": \"m\"}]"), "1; {\"msg\":\"m\"}");
}

#[test]
fn an_aggregate_names_tier_rule_and_reviewers() {
    let said = aggregate(
        "requires_hitl := true\nrisk_tier := \"TRANSACTIONAL_HIGH\"\nreviewers := {\"finance\"}\nrule_matched := \"big_refund\"",
    );
    assert_eq!(said[0].risk_tier, Some(RiskTier::TransactionalHigh));
    assert_eq!(said[0].reviewers[0].to_string(), "finance");
    assert_eq!((&*said[0].rule.name, said[0].rule.line), ("big_refund", 2));
    assert_eq!(&*aggregate("allow := true")[0].rule.name, "data.placet.main.allow");
}

#[test]
fn kite_20_11_flags_of_wrong_types_fail_closed() {
    for rules in [
        "allow := \"yes\"",
        "allow := 1",
        "allow := null",
        "allow contains \"x\" if false",
        "requires_hitl := null",
        "requires_hitl := \"true\"\nallow := true",
        "risk_tier := \"SEVERE\"\nallow := true",
        "risk_tier := 5\nallow := true",
        "deny := 5",
        "deny := null",
        "deny := true\ndeny_reason := 5",
        "allow := true\nrule_matched := 5",
        "requires_hitl := true\nreviewers := 5",
    ] {
        let said = aggregate(rules);
        assert_eq!(said.len(), 1, "{rules}: {said:?}");
        assert!(said[0].is_failure && said[0].effect == Effect::HardDeny, "{rules}: {said:?}");
    }
}

#[test]
fn conflicts_and_errors_deny_and_name_file_and_line() {
    let set = load(&[
        (
            "torn.rego",
            "package placet.tool_call\n\ndecision := {\"allow\": true} if input.tool\n\ndecision := {\"allow\": false} if input.tool",
        ),
        ("fine.rego", "package placet.tool_call\n\ndecision := {\"allow\": true} if input.tool"),
    ]);
    let said = said(&set, &call(&json!({"tool": "t"})));
    assert_eq!(said.len(), 2);
    assert!(said[0].is_failure && said[0].effect == Effect::HardDeny);
    assert_eq!((&*said[0].rule.file, said[0].rule.line), ("torn.rego", 5), "{said:?}");
    assert!(said[0].reason.contains("torn.rego") && said[0].reason.contains("conflicts"), "{said:?}");
    assert_eq!(said[1].effect, Effect::Allow, "one file's failure leaves the others");
}

#[test]
fn both_roots_name_the_same_packages() {
    for root in ["placet", "kitelogik"] {
        for (package, event_type) in [
            ("tool_call", "tool_call"),
            ("agent_spawn", "agent.spawn"),
            ("agent_delegate", "agent.delegate"),
            ("agent_plan", "agent.plan"),
            ("agent_resource", "agent.budget"),
            ("data_access", "data.access"),
        ] {
            let text = format!("package {root}.{package}\ndecision := {{\"allow\": true}} if true");
            let set = load(&[("a.rego", &text)]);
            assert_eq!(
                effect(&set, &call(&json!({"event_type": event_type}))),
                Some(Effect::Allow),
                "{package}"
            );
            let other = if event_type == "tool_call" { "agent.plan" } else { "tool_call" };
            assert_eq!(effect(&set, &call(&json!({"event_type": other}))), None, "{package} for {other}");
        }
    }
}

#[test]
fn an_event_of_no_stated_type_can_be_denied_and_not_allowed() {
    let set = load(&[
        ("a.rego", "package placet.tool_call\ndecision := {\"allow\": true} if true"),
        (
            "b.rego",
            "package placet.agent_plan\ndecision := {\"deny\": \"no plans\"} if input.action == \"b\"",
        ),
    ]);
    assert_eq!(effect(&set, &call(&json!({"event_type": null}))), None);
    assert_eq!(effect(&set, &call(&json!({"event_type": null, "action": "b"}))), Some(Effect::HardDeny));
}

#[test]
fn a_partial_deny_beside_a_decision_is_only_a_helper() {
    let set = load(&[(
        "a.rego",
        "package placet.tool_call\n\ndeny contains \"x\" if true\n\ndecision := {\"allow\": true} if input.tool == \"t\"",
    )]);
    assert_eq!(effect(&set, &call(&json!({"tool": "t"}))), Some(Effect::Allow));
}

#[test]
fn helpers_in_another_file_of_the_package_are_shared_and_decisions_are_not() {
    let set = load(&[
        ("a.rego", "package placet.tool_call\ndecision := {\"deny\": \"a\"} if is_secret"),
        ("b.rego", "package placet.tool_call\ndecision := {\"allow\": true} if not is_secret"),
        ("helper.rego", "package placet.tool_call\nis_secret if input.tool == data.placet.names.secret"),
        ("names.rego", "package placet.names\nsecret := \"s\""),
    ]);
    let kinds: Vec<UnitKind> = set.files().iter().map(|file| file.kind).collect();
    assert_eq!(kinds, [UnitKind::PerEvent, UnitKind::PerEvent, UnitKind::Library, UnitKind::Library]);
    assert_eq!(effect(&set, &call(&json!({"tool": "s"}))), Some(Effect::HardDeny));
    assert_eq!(effect(&set, &call(&json!({"tool": "t"}))), Some(Effect::Allow));
}

#[test]
fn a_package_that_main_reads_is_no_unit_of_its_own() {
    let policy = ("part.rego", "package placet.part\nallow if input.action == \"a\"");
    let alone = load(&[policy]);
    assert_eq!(effect(&alone, &call(&json!({"action": "a"}))), Some(Effect::Allow));
    let with_main = load(&[
        policy,
        (
            "main.rego",
            "package placet.main\nimport data.placet.part\nallow if { part.allow; input.tool == \"t\" }",
        ),
    ]);
    assert_eq!(effect(&with_main, &call(&json!({"action": "a"}))), None);
    assert_eq!(effect(&with_main, &call(&json!({"action": "a", "tool": "t"}))), Some(Effect::Allow));
}

#[test]
fn a_default_is_soft_and_taken_off() {
    let set = load(&[(
        "a.rego",
        "package placet.tool_call\n\n# before\ndefault decision := {\n  # inside\n  \"allow\": false,\n  \"deny\": \"by default\", # after\n}\n\ndecision := {\"allow\": true} if input.tool == \"t\"",
    )]);
    let voices = voices(&set, &call(&json!({"tool": "u"})));
    assert!(voices[0].statements.is_empty());
    let default = voices[0].default.as_ref().unwrap();
    assert_eq!((default.effect, &*default.reason, default.rule.line), (Effect::Deny, "by default", 4));
    assert_eq!(effect(&set, &call(&json!({"tool": "t"}))), Some(Effect::Allow));
}

#[test]
fn a_default_covers_the_one_transport_that_every_decision_requires() {
    let default = |bodies: &str, verdict: &str, transport: &Value| {
        let text =
            format!("package placet.tool_call\ndefault decision := {{\"allow\": {verdict}}}\n{bodies}");
        let set = load(&[("a.rego", &text)]);
        effect(&set, &call(&json!({"tool": "none", "transport": transport})))
    };
    let mcp = "decision := {\"allow\": true} if { input.transport == \"mcp\"; input.tool == \"t\" }\n";
    let swapped = "decision := {\"allow\": true} if { \"mcp\" == input.transport; input.tool == \"u\" }\n";
    let http = "decision := {\"allow\": true} if { input.transport == \"http\"; input.tool == \"t\" }\n";
    let any = "decision := {\"allow\": true} if input.tool == \"v\"\n";
    let both = format!("{mcp}{swapped}");
    assert_eq!(default(mcp, "false", &json!("mcp")), Some(Effect::Deny));
    assert_eq!(default(mcp, "false", &json!("local")), None);
    assert_eq!(default(&both, "false", &json!("local")), None);
    assert_eq!(default(&format!("{mcp}{http}"), "false", &json!("local")), Some(Effect::Deny));
    assert_eq!(default(&format!("{mcp}{any}"), "false", &json!("local")), Some(Effect::Deny));
    assert_eq!(default("", "false", &json!("local")), Some(Effect::Deny));
    // Unknown never permits.
    assert_eq!(default(mcp, "false", &Value::Null), Some(Effect::Deny));
    assert_eq!(default(mcp, "true", &Value::Null), None);
    assert_eq!(default(mcp, "true", &json!("mcp")), Some(Effect::Allow));
}

#[test]
fn a_decision_may_be_built_key_by_key() {
    let set = load(&[(
        "a.rego",
        "package placet.tool_call\ndecision.allow := false if input.tool\ndecision.reason := \"why\" if input.tool",
    )]);
    let said = said(&set, &call(&json!({"tool": "t"})));
    assert_eq!((said[0].effect, &*said[0].reason), (Effect::Deny, "why"));
}

#[test]
fn one_undefined_reason_does_not_cost_the_others() {
    let set = load(&[(
        "a.rego",
        "package placet.x\ndeny contains sprintf(\"%v is secret\", [step.path]) if some step in input.steps",
    )]);
    let said = said(&set, &call(&json!({"steps": [{"path": "a"}, {}, {"path": "b"}]})));
    assert_eq!(&*said[0].reason, "a is secret; b is secret");
}

#[test]
fn the_clock_is_the_events() {
    let set = load(&[(
        "a.rego",
        "package placet.x\nallow if time.date(time.now_ns()) == [2026, 1, 2]\ndeny if time.now_ns() != time.now_ns()",
    )]);
    assert_eq!(effect(&set, &call(&json!({}))), Some(Effect::Allow));
}
