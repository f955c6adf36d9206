//! Defects D4, D5 and D13–D27 of the second ancestor, each turned round.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use placet_policy::PolicySet;
use serde_json::{Value, json};

fn one(members: &str, default: &str) -> PolicySet {
    policies(&[&rule(members, default)])
}

fn rule(members: &str, default: &str) -> String {
    format!("version: 1\ndefaults: {{ approval: {default} }}\nrules:\n  - {{ name: r, {members} }}\n")
}

/// The one finding about a rule, with what it suggests.
fn finding(members: &str) -> (String, String) {
    let found = load(&[&rule(members, "auto")]).expect_err(members);
    assert_eq!(found.0.len(), 1, "{found}");
    let first = &found.0[0];
    (
        format!("{}:{} {}", first.position.line, first.position.column, first.code),
        first.help.clone().unwrap_or_default(),
    )
}

#[test]
fn aegis_d4_null_omission_and_renaming_do_not_lift_a_block() {
    let set = one("match: { type: pay }, conditions: { param_gt: { amount: 100 } }, approval: block", "auto");
    for args in [
        json!({ "amount": 500 }),
        json!({ "amount": null }),
        json!({}),
        json!({ "Amount": 500 }),
        json!({ "amount": true }),
        json!({ "amount": "500" }),
    ] {
        assert_eq!(judge(&set, call("pay", args.clone())), "hard deny", "{args}");
    }
    assert_eq!(judge(&set, call("pay", json!({ "amount": 5 }))), "allow");
}

#[test]
fn aegis_d5_no_type_makes_evaluation_fail_and_neighbours_are_unharmed() {
    let set = one("match: { type: pay }, conditions: { param_gt: { amount: 100 } }, approval: block", "auto");
    for amount in [json!("500"), json!([500]), json!({ "v": 500 }), json!("5e2")] {
        assert_eq!(judge(&set, call("pay", json!({ "amount": amount }))), "hard deny");
        assert_eq!(judge(&set, call("read", json!({}))), "allow");
    }
    let contains =
        one("match: { type: pay }, conditions: { param_contains: { note: 5 } }, approval: block", "auto");
    for note in [json!(5), json!("5"), json!(null), json!({ "5": 1 })] {
        assert_eq!(judge(&contains, call("pay", json!({ "note": note.clone() }))), "hard deny", "{note}");
    }
    assert_eq!(judge(&contains, call("pay", json!({ "note": [4] }))), "allow");
}

#[test]
fn aegis_d13_misspelt_keys_are_errors_with_a_suggestion() {
    for (members, place, suggestion) in [
        ("match: { tyep: 'delete*' }, approval: block", "4:25 policy/unknown-key", "did you mean `type`?"),
        ("matches: { type: 'x' }, approval: auto", "4:16 policy/unknown-key", "did you mean `match`?"),
        ("match: { type: x }, aproval: block", "4:36 policy/unknown-key", "did you mean `approval`?"),
        (
            "match: { type: x }, risk: high, approval: auto",
            "4:36 policy/unknown-key",
            "known keys here: name, match, risk_level, approval, conditions, description, reason",
        ),
    ] {
        assert_eq!(finding(members), (place.to_owned(), suggestion.to_owned()), "{members}");
    }
    let misspelt = "version: 1\ndefault: { approval: auto }\nrules:\n  - { name: r, match: { type: x }, approval: auto }\n";
    assert_eq!(refusals(misspelt), ["p.yaml:2:1 policy/unknown-key"]);
    let nested = "version: 1\ndefaults: { aproval: auto }\nrules: []\n";
    assert_eq!(refusals(nested), ["p.yaml:2:13 policy/unknown-key"]);
}

#[test]
fn aegis_d14_conditions_are_checked_when_they_are_loaded() {
    for (conditions, code) in [
        ("time_after: '25:99'", "policy/bad-time"),
        ("time_after: 1080", "policy/type"),
        ("time_after: '8:00'", "policy/bad-time"),
        ("weekdays: 1", "policy/type"),
        ("weekdays: [8]", "policy/bad-weekday"),
        ("weekdays: [mon]", "policy/bad-weekday"),
        ("param_gt: 5", "policy/type"),
        ("param_gt: { x: true }", "policy/type"),
        ("param_matches: { x: '(' }", "policy/bad-regex"),
        ("param_eq: { x: ~ }", "policy/null"),
        ("timezone: Mars/Olympus, time_after: '18:00'", "policy/bad-timezone"),
    ] {
        let members = format!("match: {{ type: a }}, conditions: {{ {conditions} }}, approval: block");
        let (place, _) = finding(&members);
        assert!(place.starts_with("4:") && place.ends_with(code), "{conditions}: {place}");
    }
}

#[test]
fn aegis_d15_an_unknown_condition_never_switches_a_block_off() {
    let set =
        one("match: { type: 'delete*' }, conditions: { param_ne: { env: dev } }, approval: block", "auto");
    assert_eq!(judge(&set, call("delete_db", json!({ "env": "prod" }))), "hard deny");
    assert_eq!(judge(&set, call("delete_db", json!({}))), "hard deny");
    assert_eq!(judge(&set, call("delete_db", json!({ "env": "dev" }))), "allow");
    let members = "match: { type: 'delete*' }, conditions: { time_afer: '18:00' }, approval: block";
    assert_eq!(
        finding(members),
        ("4:58 policy/unknown-key".to_owned(), "did you mean `time_after`?".to_owned())
    );
}

#[test]
fn aegis_d16_windows_cross_midnight_in_zones_under_a_given_clock() {
    let set = one(
        "match: { type: a }, conditions: { time_after: '18:00', time_before: '08:00', timezone: Europe/Berlin }, approval: block",
        "auto",
    );
    for (now, wanted) in [
        ("2026-11-21T22:00:00Z", "hard deny"),
        ("2026-11-21T06:00:00Z", "hard deny"),
        ("2026-11-21T11:00:00Z", "allow"),
        ("2026-07-01T16:00:00Z", "hard deny"),
        ("2026-01-01T16:59:59Z", "allow"),
    ] {
        assert_eq!(judge(&set, json!({ "action": "a", "now": now })), wanted, "{now}");
    }
    assert_eq!(judge(&set, json!({ "action": "a" })), "hard deny", "no time is an unknown time");
}

#[test]
fn aegis_d17_regexes_are_linear_checked_whole_and_exact() {
    let matching = |regex: &str, default: &str, approval: &str| {
        let conditions = format!("conditions: {{ param_matches: {{ c: '{regex}' }} }}");
        one(&format!("match: {{ type: note }}, {conditions}, approval: {approval}"), default)
    };
    let run = |set: &PolicySet, text: String| judge(set, call("note", json!({ "c": text })));
    let started = Instant::now();
    assert_eq!(run(&matching("^(a+)+$", "auto", "block"), "a".repeat(26) + "!"), "allow");
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(run(&matching("rm -rf", "auto", "block"), " ".repeat(10_001) + "rm -rf /"), "hard deny");
    assert_eq!(run(&matching("^safe$", "block", "auto"), "safe\n".to_owned()), "deny");
    assert_eq!(run(&matching("^safe$", "block", "auto"), "safe".to_owned()), "allow");
    assert_eq!(run(&matching(r"\brm\b", "auto", "block"), "form".to_owned()), "allow");
    let members = "match: { type: sh }, conditions: { param_matches: { c: '(unclosed' } }, approval: block";
    assert_eq!(finding(members).0, "4:71 policy/bad-regex");
    let look_around = "match: { type: sh }, conditions: { param_matches: { c: '(?=a)b' } }, approval: block";
    assert!(finding(look_around).1.contains("RE2"), "{:?}", finding(look_around));
}

#[test]
fn aegis_d18_names_and_paths_cannot_be_respelt() {
    let names = one("match: { type: 'delete*' }, approval: block", "auto");
    for kind in ["Delete_x", " delete_x", "de\u{200b}lete_x", "\u{ff44}elete_x"] {
        assert_eq!(judge(&names, json!({ "action": kind })), "hard deny", "{kind:?}");
    }
    let exact = one("match: { type: delete }, approval: block", "auto");
    assert_eq!(judge(&exact, json!({ "action": "delete\n" })), "hard deny");
    let folder = one("match: { type: read, target: '/tmp/*' }, approval: auto", "block");
    assert_eq!(judge(&folder, json!({ "action": "read", "target": "/tmp/a" })), "allow");
    for target in ["/tmp/../etc/passwd", "/tmp/%2e%2e/etc/passwd", "/TMP/a", "/tmp/..\\etc"] {
        assert_ne!(judge(&folder, json!({ "action": "read", "target": target })), "allow", "{target}");
    }
}

#[test]
fn aegis_d19_matching_is_the_same_everywhere_and_plan_rules_say_what_to_use() {
    let found =
        load(&["version: 1\nplan_rules: { sequence_patterns: [] }\nrules: []\n"]).expect_err("refused");
    assert_eq!((found.0[0].code, found.0[0].position.line), ("policy/plan-rules", 2));
    let set = one("match: { type: 'read_*' }, approval: auto", "block");
    assert_eq!(judge(&set, json!({ "action": "read_x" })), "allow");
    assert_eq!(judge(&set, json!({ "action": "Read_x" })), "deny");
}

#[test]
fn aegis_d20_nested_values_combinators_and_lists_of_globs() {
    let nested = one("match: { type: a }, conditions: { param_eq: { 'a.b': 1 } }, approval: auto", "block");
    assert_eq!(judge(&nested, call("a", json!({ "a": { "b": 1 } }))), "allow");
    assert_eq!(judge(&nested, call("a", json!({ "a.b": 1 }))), "deny");
    let lists = one("match: { type: [a, b] }, approval: auto", "block");
    for (kind, wanted) in [("a", "allow"), ("b", "allow"), ("ab", "deny")] {
        assert_eq!(judge(&lists, json!({ "action": kind })), wanted, "{kind}");
    }
    let any = one(
        "match: { type: a }, conditions: { any: [{ param_eq: { x: 1 } }, { not: { param_eq: { y: 1 } } }], param_exists: { z: true }, param_not_in: { z: [1] } }, approval: auto",
        "block",
    );
    assert_eq!(judge(&any, call("a", json!({ "x": 2, "y": 2, "z": 2 }))), "allow");
    assert_eq!(judge(&any, call("a", json!({ "x": 2, "y": 1, "z": 2 }))), "deny");
    assert_eq!(judge(&any, call("a", json!({ "x": 1, "y": 1, "z": 1 }))), "deny");
}

#[test]
fn aegis_d21_equality_keeps_types_apart_and_absence_has_its_own_word() {
    let number = one("match: { type: a }, conditions: { param_eq: { x: 1 } }, approval: auto", "block");
    for (value, wanted) in [
        (json!(1), "allow"),
        (json!(1.0), "allow"),
        (json!(true), "deny"),
        (json!("1"), "deny"),
        (json!(null), "deny"),
    ] {
        assert_eq!(judge(&number, call("a", json!({ "x": value.clone() }))), wanted, "{value}");
    }
    let absent =
        one("match: { type: a }, conditions: { param_exists: { x: false } }, approval: auto", "block");
    assert_eq!(judge(&absent, call("a", json!({ "x": null }))), "allow");
    assert_eq!(judge(&absent, call("a", json!({}))), "allow");
    assert_eq!(judge(&absent, call("a", json!({ "x": 0 }))), "deny");
    let (place, help) = finding("match: { type: a }, conditions: { param_eq: { x: null } }, approval: auto");
    assert_eq!((place.as_str(), help.contains("exists: false")), ("4:65 policy/null", true));
}

#[test]
fn aegis_d22_rules_inherit_the_defaults() {
    let text = "version: 1\ndefaults: { approval: auto, risk_level: critical }\nrules: [{ name: r, match: { type: a } }]\n";
    let decision = decide(&policies(&[text]), json!({ "action": "a" }));
    assert_eq!((verdict(&decision).as_str(), rules(&decision)), ("allow", vec!["r"]));
    assert_eq!(decision.risk_tier.name(), "SECURITY_CRITICAL");
}

#[test]
fn aegis_d23_files_are_combined_openly() {
    let base = "version: 1\ndefaults: { approval: approve }\nrules: [{ name: search, match: { type: search }, approval: auto }]\n";
    let over = "version: 1\ndefaults: { approval: auto }\nrules: [{ name: search, match: { type: 'search*' }, approval: block }]\n";
    for files in [[base, over], [over, base]] {
        let set = policies(&files);
        let decision = decide(&set, json!({ "action": "search" }));
        assert_eq!(verdict(&decision), "hard deny", "whatever the order, the stricter file wins");
        let default = decide(&set, json!({ "action": "other" }));
        assert_eq!((verdict(&default).as_str(), rules(&default)), ("escalate", vec!["<default>"]));
    }
    let decision = decide(&policies(&[base, over]), json!({ "action": "search" }));
    assert_eq!(
        (&*decision.rules[0].file, decision.rules[0].line),
        ("p1.yaml", 3),
        "each rule knows its file"
    );
}

#[test]
fn aegis_d24_versions_are_checked_and_what_loads_is_what_the_words_say() {
    let with = |version: &str| {
        format!("{version}rules: [{{ name: r, match: {{ type: a, agent: b }}, approval: auto }}]\n")
    };
    for version in ["version: 1\n", "version: \"1\"\n"] {
        policies(&[&format!("{version}scope: global\nscope_id: \"\"\n{}", with(""))]);
    }
    for version in ["version: \"9\"\n", "version: 2\n", "version: 1.5\n", "version: one\n"] {
        assert_eq!(refusals(&with(version)), ["p.yaml:1:10 policy/version"], "{version}");
    }
    assert_eq!(refusals(&with("")), ["p.yaml:1:1 policy/version"]);
}

#[test]
fn aegis_d25_many_rules_are_found_by_index_and_the_answer_never_goes_stale() {
    let mut text = String::from("version: 1\ndefaults: { approval: auto }\nrules:\n");
    for number in 0..5_000 {
        text += &format!(
            "  - {{ name: r{number}, match: {{ type: 'act_{number}' }}, conditions: {{ param_gt: {{ x: {number} }} }}, approval: block }}\n"
        );
    }
    let set = std::sync::Arc::new(policies(&[&text]));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let set = set.clone();
            std::thread::spawn(move || {
                for number in (thread..5_000).step_by(401) {
                    let event = |x: Value| call(&format!("act_{number}"), json!({ "x": x }));
                    assert_eq!(judge(&set, event(json!(number + 1))), "hard deny");
                    assert_eq!(judge(&set, event(json!(number))), "allow");
                    assert_eq!(judge(&set, event(json!(null))), "hard deny");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn aegis_d26_guessing_conditions_are_refused_with_what_to_write_instead() {
    let (place, help) = finding("match: { type: a }, conditions: { semantic: destructive }, approval: block");
    assert_eq!(place, "4:50 policy/semantic");
    assert!(help.contains("param_matches"), "{help}");
}

#[test]
fn aegis_d27_an_anonymous_agent_meets_no_allow_and_escapes_no_block() {
    let by = |agent: Value| json!({ "action": "a", "session": { "agent_id": agent } });
    let allow = one("match: { agent: '?' }, approval: auto", "block");
    assert_eq!(judge(&allow, by(json!(null))), "deny");
    assert_eq!(judge(&allow, by(json!("x"))), "allow");
    let block = one("match: { agent: 'bot-*' }, approval: block", "auto");
    assert_eq!(judge(&block, by(json!(null))), "hard deny");
    assert_eq!(judge(&block, by(json!("bot-1"))), "hard deny");
    assert_eq!(judge(&block, by(json!("human"))), "allow");
}
