use placet_types::{Field, Tier};

use super::*;
use crate::set::LoadOptions;

fn parse(text: &str) -> Result<Suite, Diagnostics> {
    Suite::parse(&SourceFile::new("refunds_test.yaml", text))
}

fn policies(text: &str) -> PolicySet {
    let sources = [(Tier::Project, SourceFile::new("p.yaml", text))];
    PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}")).0
}

const POLICY: &str = "version: 1\nrules:\n\
  - { name: pay, when: { action: pay, args: { amount: { gte: 0, lte: 100 } } }, then: allow, risk_tier: TRANSACTIONAL_LOW }\n\
  - { name: ask, when: { action: pay, args: { amount: { gt: 100, lte: 500 } } }, then: hitl, reviewers: [desk] }\n\
  - { name: stop, when: { action: pay, role: intern }, then: block, reason: not you }\n";

const SUITE: &str = "
name: payments
policies: [p.yaml]
context: { delegation_depth: 0, user_role: clerk }
event: { action: pay, args: { amount: 5 } }
tests:
  - name: small
    event: {}
    expect: { verdict: allow, hard: false, rule: pay, risk_tier: TRANSACTIONAL_LOW, code: allowed }
  - name: large asks
    event: { args: { amount: 500 } }
    expect: { verdict: escalate, reviewers: [desk], rules: [ask] }
  - name: interns never pay
    event: { context: { user_role: intern } }
    expect: { verdict: deny, hard: true, reason: not you }
  - action: { type: pay, params: { amount: 7 } }
    expected_decision: auto
  - name: a word
    event: { action: dance }
    expect: deny
";

#[test]
fn a_suite_says_which_tests_pass() {
    let suite = parse(SUITE).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!((&*suite.name, suite.tests.len()), ("payments", 5));
    assert_eq!(suite.policies, [Arc::from("p.yaml")]);
    let results = suite.run(&policies(POLICY));
    let lines: Vec<String> = results.iter().map(CaseResult::line).collect();
    let wanted = ["PASS small", "PASS large asks", "PASS interns never pay", "PASS test 4", "PASS a word"];
    assert_eq!(lines, wanted);
    assert_eq!(results[0].decision.rules[0].name.as_ref(), "pay");
    assert_eq!(results[1].line, 10);
}

#[test]
fn defaults_fill_groups_key_by_key_and_fields_whole() {
    let suite = parse(SUITE).unwrap();
    let event = &suite.tests[2].event;
    assert_eq!(event.get(Field::UserRole).as_str(), Some("intern"));
    assert_eq!(event.get(Field::DelegationDepth).as_number(), Some(0.0));
    let text =
        "event: { action: a, args: { x: 1, y: 2 } }\ntests: [{ event: { args: { x: 3 } }, expect: deny }]";
    let args = parse(text).unwrap().tests[0].event.get(Field::Args).clone();
    assert_eq!((args.get("x").and_then(placet_types::Value::as_number), args.get("y")), (Some(3.0), None));
}

#[test]
fn a_failure_names_what_was_expected_and_what_came() {
    let text = "tests:\n  - name: wrong\n    event: { action: pay, args: { amount: 300 }, context: { user_role: clerk } }\n    \
      expect: { verdict: allow, hard: true, rule: pay, rules: [], code: allowed, risk_tier: DESTRUCTIVE, reviewers: [x], reason: so }\n";
    let results = parse(text).unwrap().run(&policies(POLICY));
    let wanted = [
        "verdict: expected allow, got escalate",
        "hard: expected true, got false",
        "code: expected allowed, got approval_required",
        "risk_tier: expected DESTRUCTIVE, got OPERATIONAL",
        "reason: expected so, got rule `ask` asks for a person's approval",
        "rule: expected pay, got ask",
        "rules: expected none, got ask",
        "reviewers: expected x, got desk",
    ];
    assert_eq!(results[0].differences, wanted);
    assert!(results[0].line().starts_with("FAIL wrong: verdict: expected allow, got escalate; "));
}

#[test]
fn a_suite_that_could_not_fail_or_cannot_be_read_is_refused_with_its_place() {
    for (text, code, line, word) in [
        ("", "suite/tests", 1, "no tests"),
        ("name: x", "suite/tests", 1, "no tests"),
        ("tests: []", "suite/tests", 1, "no tests"),
        ("tests: 5", "policy/type", 1, "list"),
        ("tests:\n  - event: { action: a }\n", "suite/expect", 2, "expects nothing"),
        ("tests:\n  - event: { action: a }\n    expect: {}\n", "suite/expect", 2, "expects nothing"),
        ("tests:\n  - expect: deny\n", "suite/event", 2, "one event"),
        ("tests:\n  - { event: {}, action: { type: a }, expect: deny }\n", "suite/event", 2, "one event"),
        ("tests:\n  - event: { acton: a }\n    expect: deny\n", "suite/event", 2, "acton"),
        ("tests:\n  - { event: {}, expect: alow }\n", "policy/bad-value", 2, "alow"),
        ("tests:\n  - { event: {}, expct: allow }\n", "policy/unknown-key", 2, "expct"),
        ("tests:\n  - { event: {}, expect: { risk_tier: HIGH } }\n", "policy/bad-value", 2, "HIGH"),
        ("tests:\n  - { event: {}, expect: { hard: 1 } }\n", "policy/type", 2, "true or false"),
        ("test:\n  - { event: {}, expect: deny }\n", "policy/unknown-key", 1, "test"),
        ("tests:\n  - { event: {}, expect: deny, expect: allow }\n", "yaml/duplicate-key", 2, "twice"),
    ] {
        let found = parse(text).expect_err(text);
        let first = &found.0[0];
        assert_eq!((first.code, first.position.line), (code, line), "{text}: {found}");
        assert!(first.message.contains(word), "{text}: {found}");
    }
}
