use placet_types::Tier;

use crate::{LoadOptions, PolicySet, Severity, SourceFile};

/// The findings of one file as `line code`.
fn findings(text: &str) -> Vec<String> {
    let sources = [(Tier::Project, SourceFile::new("policy.yaml", text))];
    let (_, found) =
        PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}\n{text}"));
    found.0.iter().map(|found| format!("{} {}", found.position.line, found.code)).collect()
}

fn rules(rules: &[&str]) -> Vec<String> {
    let rules: String = rules.iter().map(|rule| format!("- {rule}\n")).collect();
    findings(&format!("version: 1\nrules:\n{rules}"))
}

fn matching(rules: &[&str]) -> Vec<String> {
    let rules: String = rules.iter().map(|rule| format!("- {rule}\n")).collect();
    findings(&format!("version: '1'\ndefaults: {{ approval: approve }}\nrules:\n{rules}"))
}

const NOTHING: [&str; 0] = [];

#[test]
fn aegis_24_the_dead_rules_of_the_tutorial_are_named() {
    let found = matching(&[
        "{ name: read_ops, match: { type: 'read*' }, approval: auto }",
        "{ name: write_ops, match: { type: 'write*' }, approval: approve }",
        "{ name: after_hours, match: { type: 'write*' }, conditions: { time_after: '18:00' }, approval: block }",
        "{ name: early, match: { type: 'write_*', target: crm }, conditions: { time_before: '08:00' }, approval: block }",
    ]);
    assert_eq!(found, ["6 lint/unreachable", "7 lint/unreachable"]);
}

#[test]
fn aegis_d11_a_rule_is_unreachable_only_where_an_earlier_one_always_matches() {
    for (earlier, later) in [
        ("match: { type: '*' }", "match: { type: delete }"),
        ("match: { type: ['a*', 'b*'] }", "match: { type: ['bc', 'ad*'] }"),
        ("match: { type: 'a*c' }", "match: { type: 'ab?c' }"),
        (
            "match: { type: pay }, conditions: { param_gt: { n: 5 } }",
            "match: { type: pay }, conditions: { param_gte: { n: 6 } }",
        ),
        (
            "match: { type: pay }, conditions: { param_lte: { n: 5 } }",
            "match: { type: pay }, conditions: { not: { param_gt: { n: 4 } } }",
        ),
        (
            "match: { type: pay }, conditions: { param_exists: { n: true } }",
            "match: { type: pay }, conditions: { param_eq: { n: x } }",
        ),
        (
            "match: { type: pay }, conditions: { param_in: { n: [a, b] } }",
            "match: { type: pay }, conditions: { param_eq: { n: b } }",
        ),
        (
            "match: { type: pay }, conditions: { time_after: '09:00' }",
            "match: { type: pay }, conditions: { time_after: '09:00', param_eq: { n: 1 } }",
        ),
    ] {
        let pair = |one: &str, two: &str| {
            matching(&[
                &format!("{{ name: one, {one}, approval: approve }}"),
                &format!("{{ name: two, {two}, approval: block }}"),
            ])
        };
        assert_eq!(pair(earlier, later), ["5 lint/unreachable"], "{earlier} before {later}");
        assert_eq!(pair(later, earlier), NOTHING, "{later} before {earlier}");
    }
}

#[test]
fn rules_that_cannot_change_a_decision_are_named() {
    let pay = "{ name: one, when: { action: pay }, then: hitl }";
    assert_eq!(rules(&[pay, "{ name: two, when: { action: pay }, then: hitl }"]), ["4 lint/duplicate"]);
    assert_eq!(
        rules(&[pay, "{ name: two, when: { action: pay, role: x }, then: hitl }"]),
        ["4 lint/shadowed"]
    );
    assert_eq!(
        rules(&["{ name: two, when: { action: pay, role: x }, then: hitl }", pay]),
        ["3 lint/shadowed"]
    );
    assert_eq!(
        rules(&[pay, "{ name: two, when: { action: pay, role: x }, then: hitl, reason: why }"]),
        NOTHING
    );
    assert_eq!(
        rules(&[pay, "{ name: two, when: { action: pay, role: x }, then: hitl, reviewers: y }"]),
        NOTHING
    );
    assert_eq!(rules(&[pay, "{ name: two, when: { action: pay }, then: block }"]), NOTHING);
}

#[test]
fn an_allow_that_is_always_overruled_is_named() {
    let allow = "{ name: yes_rule, when: { action: pay, role: clerk }, then: allow }";
    assert_eq!(
        rules(&[allow, "{ name: no_rule, when: { action: pay }, then: block }"]),
        ["3 lint/contradiction"]
    );
    assert_eq!(
        rules(&[allow, "{ name: no_rule, when: { action: [pay, send] }, then: deny }"]),
        ["3 lint/contradiction"]
    );
    assert_eq!(
        rules(&[allow, "{ name: no_rule, when: { action: pay, role: guest }, then: block }"]),
        NOTHING
    );
}

#[test]
fn numbers_bounded_on_one_side_of_an_allow_are_named() {
    let allow =
        |amount: &str| rules(&[&format!("{{ name: r, when: {{ action: pay, {amount} }}, then: allow }}")]);
    assert_eq!(allow("args: { amount: { lte: 100 } }"), ["3 lint/one-sided-bound"]);
    assert_eq!(allow("args: { amount: { gt: 0 } }"), ["3 lint/one-sided-bound"]);
    assert_eq!(allow("not: { args: { amount: { gt: 100 } } }"), ["3 lint/one-sided-bound"]);
    assert_eq!(allow("any: [ { args.a: { eq: 1 } }, { args.a: { lt: 9 } } ]"), ["3 lint/one-sided-bound"]);
    assert_eq!(allow("args: { amount: { gte: 0, lte: 100 } }"), NOTHING);
    assert_eq!(
        allow("args.a: { gte: 0 }, any: [ { args.a: { lt: 9 } }, { args.a: { eq: 20 } } ]"),
        ["3 lint/one-sided-bound"]
    );
    assert_eq!(allow("context.delegation_depth: { lte: 1 }"), NOTHING);
    assert_eq!(
        rules(&["{ name: r, when: { action: pay, args: { amount: { gt: 100 } } }, then: deny }"]),
        NOTHING
    );
}

#[test]
fn conditions_that_can_never_be_true_are_named() {
    let deny = |when: &str| rules(&[&format!("{{ name: r, when: {{ {when} }}, then: deny }}")]);
    for when in [
        "args.n: { gt: 5, lt: 3 }",
        "args.n: { gt: 5, lte: 5 }",
        "args.n: { eq: 5, gt: 5 }",
        "args.n: { eq: a, in: [b, c] }",
        "args.n: { eq: a, ne: a }",
        "args.n: { eq: a, starts_with: b }",
        "args.n: { eq: a, gt: 5 }",
        "args.n: { exists: false, ne: a }",
        "any: [ { args.n: { gt: 5, lt: 3 } }, { args.n: { eq: a, ne: a } } ]",
    ] {
        assert_eq!(deny(when), ["3 lint/impossible"], "{when}");
    }
    for when in [
        "args.n: { gte: 5, lte: 5 }",
        "args.n: { eq: a, ne: b, glob: 'a*', in: [a, b] }",
        "args.n: { exists: true, ne: a }",
        "any: [ { args.n: { gt: 5, lt: 3 } }, { args.n: 1 } ]",
        "any: [ { args.n: 1 }, { args.n: x } ]",
    ] {
        assert_eq!(deny(when), NOTHING, "{when}");
    }
}

#[test]
fn words_and_values_that_mean_something_else_are_named() {
    assert_eq!(matching(&["{ name: r, match: {}, approval: auto }"]), ["4 lint/allow-everything"]);
    assert_eq!(matching(&["{ name: r, match: { type: '*' }, approval: auto }"]), ["4 lint/allow-everything"]);
    assert_eq!(matching(&["{ name: r, match: {}, approval: block }"]), NOTHING);
    assert_eq!(rules(&["{ name: r, when: { event_type: tool-call }, then: deny }"]), ["3 lint/unknown-word"]);
    assert_eq!(rules(&["{ name: r, when: { args.force: yes }, then: deny }"]), ["3 lint/yaml-boolean"]);
    assert_eq!(rules(&["{ name: r, when: { args.force: 'yes' }, then: deny }"]), NOTHING);
}

#[test]
fn warnings_refuse_the_set_only_when_asked() {
    let text = "version: 1\nrules:\n- { name: r, when: { action: pay, args.n: { lte: 1 } }, then: allow }\n";
    let sources = [(Tier::Project, SourceFile::new("policy.yaml", text))];
    let strict = LoadOptions { deny_warnings: true, ..LoadOptions::default() };
    let found = PolicySet::load(&sources, &strict).expect_err("a warning");
    assert!(
        found.of(Severity::Warning).any(|found| found.to_string().starts_with("policy.yaml:3:3: warning")),
        "{found}"
    );
}

#[test]
fn many_rules_are_compared_in_bounded_time() {
    let same: String = (0..2_000)
        .map(|n| format!("- {{ name: r{n}, when: {{ action: pay, args.n: {n} }}, then: deny }}\n"))
        .collect();
    assert_eq!(findings(&format!("version: 1\nrules:\n{same}")), ["0 lint/too-many-rules"]);
    let distinct: String = (0..2_000)
        .map(|n| format!("- {{ name: r{n}, when: {{ action: pay_{n} }}, then: deny }}\n"))
        .collect();
    assert_eq!(findings(&format!("version: 1\nrules:\n{distinct}")), NOTHING);
}

#[test]
fn a_field_asked_what_its_type_cannot_answer_is_named() {
    let wrong = ["2 lint/wrong-type"];
    for when in [
        "tool_tags: pii",
        "tool_tags: [pii, shell]",
        "tool_tags: { eq: pii }",
        "tool_tags: { starts_with: p }",
        "action: { gt: 5 }",
        "action: { some: { eq: a } }",
        "role: { count: { gt: 1 } }",
        "context.delegation_depth: '1'",
        "context.delegation_depth: { contains: 1 }",
        "context.sandbox_verified: 'true'",
        "not: { action: { eq: true } }",
    ] {
        let rule = format!("{{ name: r, when: {{ {when} }}, then: deny }}");
        assert_eq!(findings(&format!("version: 1\nrules: [{rule}]\n")), wrong, "{when}");
    }
    for when in [
        "tool_tags: { contains: pii }",
        "tool_tags: { some: { in: [pii] } }",
        "tool_tags: { exists: true }",
        "scope: pay",
        "action: { in: [a, 5] }",
        "action: { contains: a }",
        "context.delegation_depth: { gt: 1 }",
        "context.sandbox_verified: true",
        "args.x: { gt: 5 }",
        "args: { x: { some: { eq: a } } }",
        "tool_name: { in: { field: context.session_scopes } }",
        "context.budget_used_tokens: { gte: { field: context.budget_total_tokens } }",
    ] {
        let rule = format!("{{ name: r, when: {{ {when} }}, then: deny }}");
        assert_eq!(findings(&format!("version: 1\nrules: [{rule}]\n")), NOTHING, "{when}");
    }
}
