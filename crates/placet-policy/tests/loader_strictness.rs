//! Typos and what becomes of them: file, line, column, code and suggestion. Row 20 of the second ancestor.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use placet_policy::{LoadOptions, PolicySet, SourceFile};
use placet_types::Tier;

/// The one finding on a text as `line:column code`, and its message and help together.
fn finding(text: &str) -> (String, String) {
    let found = load(&[text]).map(|_| ()).expect_err(text);
    let errors: Vec<_> = found.of(placet_policy::Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{text}\n{found}");
    let first = errors[0];
    assert_eq!(&*first.file, "p.yaml");
    let said = format!("{} | {}", first.message, first.help.as_deref().unwrap_or("no help"));
    (format!("{}:{} {}", first.position.line, first.position.column, first.code), said)
}

/// Each row: a file in which `@` stands before the place that is named (the `@` itself is no part of the file),
/// the code, and words that the message or the help has.
fn table(rows: &[(&str, &str, &str)]) {
    for (marked, code, words) in rows {
        let at = marked.find('@').unwrap_or_else(|| panic!("{marked} marks no place"));
        let before = &marked[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        let (place, said) = finding(&marked.replacen('@', "", 1));
        assert_eq!(place, format!("{line}:{column} {code}"), "{marked}\n{said}");
        assert!(said.contains(words), "{marked}\n{said}");
    }
}

#[test]
fn aegis_20_misspelt_keys_of_the_rules_dialect() {
    table(&[
        (
            "version: 1\n@rulse: []\nrules: [{ name: a, when: { action: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `rules`?",
        ),
        (
            "version: 1\nrules: [{ @nmae: a, when: { action: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `name`?",
        ),
        (
            "version: 1\nrules: [{ name: a, @wen: { action: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `when`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, @than: deny }]",
            "policy/unknown-key",
            "did you mean `then`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, @reasn: x }]",
            "policy/unknown-key",
            "did you mean `reason`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, @risk_level: x }]",
            "policy/unknown-key",
            "risk_tier",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: hitl, @reviewer: x }]",
            "policy/unknown-key",
            "did you mean `reviewers`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @acton: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `action`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @rol: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `role`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @scopes: a }, then: deny }]",
            "policy/unknown-key",
            "did you mean `scope`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @arg: { x: 1 } }, then: deny }]",
            "policy/unknown-key",
            "did you mean `args`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @context.user_rol: a }, then: deny }]",
            "policy/unknown-field",
            "did you mean `context.user_role`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @session.agentid: a }, then: deny }]",
            "policy/unknown-field",
            "did you mean `session.agent_id`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @quite_something_else: a }, then: deny }]",
            "policy/unknown-field",
            "context.attributes",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { @args.: 1 }, then: deny }]",
            "policy/unknown-field",
            "args.",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args: { @x..y: 1 } }, then: deny }]",
            "policy/unknown-field",
            "empty key",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { @gtt: 1 } }, then: deny }]",
            "policy/unknown-key",
            "did you mean `gt`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args: { x: { @equals: 1 } } }, then: deny }]",
            "policy/unknown-key",
            "did you mean `eq`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { @'>': 1 } }, then: deny }]",
            "policy/unknown-key",
            "did you mean `gt`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { gt: 1, @less: 5 } }, then: deny }]",
            "policy/unknown-key",
            "operator",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { count: { @eq: 5 } } }, then: deny }]",
            "policy/unknown-key",
            "gt",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { any: [{ @acton: a }] }, then: deny }]",
            "policy/unknown-key",
            "did you mean `action`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { not: { @acton: a } }, then: deny }]",
            "policy/unknown-key",
            "did you mean `action`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { eq: { field: @contxt.user_role } } }, then: deny }]",
            "policy/unknown-field",
            "did you mean `context.user_role`?",
        ),
    ]);
}

#[test]
fn aegis_20_wrong_values_of_the_rules_dialect() {
    table(&[
        (
            "version: @2\nrules: [{ name: a, when: { action: a }, then: deny }]",
            "policy/version",
            "version: 1",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: @alow }]",
            "policy/bad-value",
            "did you mean `allow`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: @escalate }]",
            "policy/bad-value",
            "hitl",
        ),
        ("version: 1\nrules: [{ name: a, when: { action: a }, then: @true }]", "policy/type", "must be text"),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, risk_tier: @DESTRUCTVE }]",
            "policy/bad-value",
            "did you mean `DESTRUCTIVE`?",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, risk_tier: @operational }]",
            "policy/bad-value",
            "OPERATIONAL",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, @reviewers: x }]",
            "policy/reviewers",
            "hitl",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny, reason: @5 }]",
            "policy/type",
            "quotes",
        ),
        ("version: 1\nrules: [{ name: @9a, when: { action: a }, then: deny }]", "policy/name", "letter"),
        ("version: 1\nrules: [{ name: @a b, when: { action: a }, then: deny }]", "policy/name", "letter"),
        ("version: 1\nrules: [@{ when: { action: a }, then: deny }]", "policy/name", "name:"),
        ("version: 1\nrules: [@{ name: a, then: deny }]", "policy/when", "when: {}"),
        ("version: 1\nrules: [@{ name: a, when: { action: a } }]", "policy/then", "then: allow"),
        ("version: 1\nrules: [@a]", "policy/type", "mapping"),
        ("version: 1\nrules: @{ name: a }", "policy/type", "list"),
        ("version: 1\nrules: @[]", "policy/rules", "at least one"),
        ("version: 1\nrules: [{ name: a, @when: {}, then: allow }]", "policy/allow-everything", "action"),
        ("version: 1\nrules: [{ name: a, when: @[a], then: deny }]", "policy/type", "mapping"),
        (
            "version: 1\nrules: [{ name: a, when: { action: @[] }, then: deny }]",
            "policy/empty-list",
            "at least one",
        ),
        ("version: 1\nrules: [{ name: a, when: { action: [@5] }, then: deny }]", "policy/type", "quotes"),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: @[1, 2] }, then: deny }]",
            "policy/type",
            "in: [...]",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: @null }, then: deny }]",
            "policy/null",
            "exists: false",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { ne: @~ } }, then: deny }]",
            "policy/null",
            "exists: false",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { in: @[] } }, then: deny }]",
            "policy/empty-list",
            "at least one",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { in: [1, @null] } }, then: deny }]",
            "policy/null",
            "exists",
        ),
        ("version: 1\nrules: [{ name: a, when: { args.x: { in: @a } }, then: deny }]", "policy/type", "list"),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { gt: @true } }, then: deny }]",
            "policy/type",
            "no order",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { gt: @[1] } }, then: deny }]",
            "policy/type",
            "list",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { starts_with: @5 } }, then: deny }]",
            "policy/type",
            "quotes",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { exists: @5 } }, then: deny }]",
            "policy/type",
            "true or false",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { count: @5 } }, then: deny }]",
            "policy/type",
            "mapping",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { count: { gt: @many } } }, then: deny }]",
            "policy/type",
            "number",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { matches: @'[' } }, then: deny }]",
            "policy/bad-regex",
            "RE2",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { matches: @'(a)\\1' } }, then: deny }]",
            "policy/bad-regex",
            "back-references",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { glob: @'[ab' } }, then: deny }]",
            "policy/bad-glob",
            "`]`",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { eq: @{ fild: action } } }, then: deny }]",
            "policy/type",
            "field: name",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { any: @{ action: a } }, then: deny }]",
            "policy/type",
            "list",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { any: @[] }, then: deny }]",
            "policy/empty-condition",
            "at least one",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { not: @{} }, then: deny }]",
            "policy/empty-condition",
            "field",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { some: @{} } }, then: deny }]",
            "policy/empty-condition",
            "operator",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { every: @a } }, then: deny }]",
            "policy/type",
            "mapping",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { args.x: { gt: @9007199254740993 } }, then: deny }]",
            "yaml/number",
            "2^53",
        ),
    ]);
}

#[test]
fn aegis_20_mistakes_of_the_match_dialect() {
    table(&[
        (
            "version: 1\n@default: {}\ndefaults: {}\nrules: []",
            "policy/unknown-key",
            "did you mean `defaults`?",
        ),
        (
            "version: 1\ndefaults: { @aproval: auto }\nrules: []",
            "policy/unknown-key",
            "did you mean `approval`?",
        ),
        ("version: 1\ndefaults: { approval: @Auto }\nrules: []", "policy/bad-value", "did you mean `auto`?"),
        ("version: 1\ndefaults: { approval: @allow }\nrules: []", "policy/bad-value", "auto, approve, block"),
        ("version: 1\ndefaults: { risk_level: @severe }\nrules: []", "policy/bad-value", "low"),
        (
            "version: 1\nrules: [{ match: { @typ: a }, approval: auto }]",
            "policy/unknown-key",
            "did you mean `type`?",
        ),
        (
            "version: 1\nrules: [{ match: { type: a }, @approvl: auto }]",
            "policy/unknown-key",
            "did you mean `approval`?",
        ),
        ("version: 1\nrules: [{ match: { type: a }, approval: @never }]", "policy/bad-value", "block"),
        ("version: 1\nrules: [{ match: { type: @5 }, approval: auto }]", "policy/type", "quotes"),
        (
            "version: 1\nrules: [{ match: { type: @[] }, approval: auto }]",
            "policy/empty-list",
            "at least one",
        ),
        (
            "version: 1\nrules: [{ match: { type: @'[z-a]' }, approval: auto }]",
            "policy/bad-glob",
            "backwards",
        ),
        ("version: 1\nrules: [{ match: @a, approval: auto }]", "policy/type", "mapping"),
        (
            "version: 1\nrules: [{ match: {}, conditions: { @time_afer: '18:00' }, approval: block }]",
            "policy/unknown-key",
            "did you mean `time_after`?",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { @params_gt: { x: 1 } }, approval: block }]",
            "policy/unknown-key",
            "did you mean `param_gt`?",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { param_gt: @{} }, approval: block }]",
            "policy/empty-condition",
            "parameter",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { param_in: { x: @5 } }, approval: block }]",
            "policy/type",
            "list",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { time_after: @'24:00' }, approval: block }]",
            "policy/bad-time",
            "18:00",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { time_before: @'18:00:30' }, approval: block }]",
            "policy/bad-time",
            "18:00",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { weekdays: [@0] }, approval: block }]",
            "policy/bad-weekday",
            "Monday",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { weekdays: [@1.5] }, approval: block }]",
            "policy/bad-weekday",
            "Monday",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { weekdays: @[] }, approval: block }]",
            "policy/empty-list",
            "day",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { @timezone: UTC }, approval: block }]",
            "policy/timezone",
            "time_after",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { weekdays: [1], timezone: @Soul }, approval: block }]",
            "policy/bad-timezone",
            "Asia/Seoul",
        ),
        (
            "version: 1\nrules: [{ match: {}, conditions: { any: [@{}] }, approval: block }]",
            "policy/empty-condition",
            "condition",
        ),
        (
            "version: 1\nrules: [{ name: a, match: {}, approval: block }, { name: @a, match: {}, approval: block }]",
            "policy/duplicate-name",
            "line 2",
        ),
        ("version: 1\n@plan_rules: {}\nrules: []", "policy/plan-rules", "agent.plan"),
    ]);
}

#[test]
fn aegis_20_yaml_without_one_meaning() {
    table(&[
        (
            "version: 1\nrules:\n  - name: a\n    when: { action: a }\n    then: deny\n    @then: allow\n",
            "yaml/duplicate-key",
            "twice",
        ),
        (
            "version: 1\nrules: [{ name: a, when: { action: a, @action: b }, then: deny }]",
            "yaml/duplicate-key",
            "twice",
        ),
        ("version: 1\nrules: [{ name: a, when: { action: @!!str a }, then: deny }]", "yaml/tag", "tag"),
        ("version: 1\nrules: [{ name: a, when: { @[a]: b }, then: deny }]", "yaml/key", "key"),
        (
            "version: 1\nrules: [{ name: a, when: { action: a }, then: deny }]\n@---\nversion: 1\n",
            "yaml/documents",
            "one document",
        ),
    ]);
    let deep = format!(
        "version: 1\nrules: [{{ name: a, when: {}{{ action: a }}{}, then: deny }}]",
        "{ not: ".repeat(70),
        " }".repeat(70)
    );
    assert!(finding(&deep).0.ends_with("yaml/depth"));
    for broken in
        ["version: [1\n", "version: 1\n\trules: []\n", "version: 'x\n", "a: b: c\n", "rules: *nowhere\n"]
    {
        let (place, _) = finding(broken);
        assert!(place.contains("yaml/"), "{broken}: {place}");
    }
}

#[test]
fn aegis_20_everything_is_reported_at_once_with_excerpt_and_suggestion() {
    let text = "version: 3\nrules:\n  - name: one\n    wen: { action: a }\n    then: deny\n  - name: two\n    when: { action: b, rol: admin, args.x: { gt: [1] } }\n    then: perhaps\n  - name: two\n    when: { action: c }\n    then: deny\n";
    assert_eq!(
        refusals(text),
        [
            "p.yaml:1:10 policy/version",
            "p.yaml:4:5 policy/unknown-key",
            "p.yaml:7:24 policy/unknown-key",
            "p.yaml:7:50 policy/type",
            "p.yaml:8:11 policy/bad-value",
        ]
    );
    let shown = load(&[text]).expect_err("refused").to_string();
    let excerpt = "p.yaml:4:5: error[policy/unknown-key]: unknown key `wen` in a rule\n   |\n 4 |     wen: { action: a }\n   |     ^^^\n  help: did you mean `when`?";
    assert!(shown.contains(excerpt), "{shown}");
    let two = load(&[
        "version: 1\nrules: [{ nam: a }]",
        "version: 1\nrules: [{ name: a, when: { acton: a }, then: deny }]",
    ]);
    let shown = two.map(|_| ()).expect_err("refused").to_string();
    assert!(
        shown.contains("p.yaml:2:11") && shown.contains("p1.yaml:2:28"),
        "every file is looked at: {shown}"
    );
}

#[test]
fn files_of_other_kinds_are_refused_and_notes_do_not_refuse() {
    let load = |name: &str, text: &str| {
        PolicySet::load(&[(Tier::Project, SourceFile::new(name, text))], &LoadOptions::default())
    };
    assert_eq!(load("p.json", "{}").map(|_| ()).expect_err("refused").0[0].code, "policy/file-name");
    let noted =
        "version: 1\npackage: kitelogik.custom\nrules: [{ name: a, when: { action: a }, then: deny }]";
    let (_, found) = load("p.yml", noted).unwrap();
    assert_eq!((found.0[0].code, found.0[0].position.line), ("policy/package", 2));
}

/// Cutting, doubling or replacing any one character of a good policy never widens it silently: the result is
/// refused, or still denies what the policy denied.
#[test]
fn no_single_typo_opens_a_policy() {
    let good = "version: 1\nrules:\n  - name: pay\n    when: { action: pay, role: clerk, args: { amount: { gte: 0, lte: 100 } } }\n    then: allow\n  - name: stop\n    when: { action: pay, args.amount: { gt: 100 } }\n    then: block\n";
    let event = serde_json::json!({ "action": "pay", "args": { "amount": 5000 }, "context": { "user_role": "guest" } });
    let load = |text: &str| {
        PolicySet::load(&[(Tier::Project, SourceFile::new("p.yaml", text))], &LoadOptions::default())
    };
    let mut loaded = 0;
    for (at, c) in good.char_indices() {
        let rest = &good[at + c.len_utf8()..];
        for replacement in
            [String::new(), format!("{c}{c}"), "x".to_owned(), " ".to_owned(), "#".to_owned(), "~".to_owned()]
        {
            let text = format!("{}{replacement}{rest}", &good[..at]);
            if let Ok((set, _)) = load(&text) {
                loaded += 1;
                assert_ne!(judge(&set, event.clone()), "allow", "{text}");
            }
        }
    }
    assert!(loaded > 50, "only {loaded} variants load, so the test shows little");
}
