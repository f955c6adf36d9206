// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Object, Value, json};
use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    let value = json::parse(text.as_bytes()).expect(text);
    Redactor::builtin().value(&value).to_string()
}

#[test]
fn the_builtin_pack_does_what_its_examples_promise() {
    assert_eq!(Redactor::with(&[]).err(), None);
}

#[test]
fn aegis_74_secrets_are_hidden_wherever_they_stand() {
    assert_eq!(
        shown(r#"{"a":{"dbPassword":"x","X-API-Key":["y"],"max_tokens":9}}"#),
        r#"{"a":{"X-API-Key":"[REDACTED:x_api_key]","dbPassword":"[REDACTED:db_password]","max_tokens":9}}"#
    );
    assert_eq!(
        shown(r#"["call https://u:pw@h/x","ok"]"#),
        r#"["call https://u:[REDACTED:url_password]@h/x","ok"]"#
    );
    assert_eq!(
        shown(r#"{"card":4111111111111111,"ssn":"219-09-9999","n":7}"#),
        r#"{"card":"[REDACTED:card_number]","n":7,"ssn":"[REDACTED:ssn]"}"#
    );
    assert_eq!(
        shown(r#"{"ghp_abcdefghijklmnopqrstuvwxyz0123456789":1}"#),
        r#"{"[REDACTED:github_token]":1}"#
    );
}

#[test]
fn aegis_74_what_only_looks_like_a_secret_stays() {
    for text in [
        r#"{"max_tokens":100,"token_count":3,"total_tokens":5,"tokens":[1],"author":"a","pinned":true}"#,
        r#"{"text":"The secret garden, by a bearer of bad news. 1234 5678"}"#,
    ] {
        assert_eq!(serde_json::from_str::<Json>(&shown(text)).ok(), serde_json::from_str::<Json>(text).ok());
    }
}

#[test]
fn aegis_74_custom_patterns_come_on_top() {
    let pack = "version: 1\nkeys: {secret: [badge]}\npatterns:\n  - {label: order, kind: personal, pattern: 'ORD-\\d{6}', must_match: [ORD-123456]}\n";
    let redactor = Redactor::with(&[pack]).expect("a good pack");
    assert_eq!(redactor.text("see ORD-123456, a@b.org"), "see [REDACTED:order], [REDACTED:email]");
    let mut object = Object::new();
    object.insert("badge_no", Value::Int(7));
    assert_eq!(redactor.value(&Value::Object(object)).to_string(), r#"{"badge_no":"[REDACTED:badge_no]"}"#);
}

#[test]
fn all_problems_of_a_pack_are_reported_at_once() {
    let pack = "version: 1\npatterns:\n  - {label: Bad, kind: secret, pattern: '(', must_match: []}\n  - {label: email, kind: secret, pattern: 'x*', must_match: [x]}\n";
    let problems = Redactor::with(&[pack]).expect_err("a bad pack").problems.join("\n");
    for says in [
        "`Bad` must be lower-case",
        "no example",
        "cannot be read",
        "matches nothing",
        "`email` is used twice",
    ] {
        assert!(problems.contains(says), "{says} in {problems}");
    }
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let long = "ö".repeat(MAX_TEXT_BYTES);
    let cut = Redactor::builtin().text(&long).into_owned();
    assert!(
        cut.len() < MAX_TEXT_BYTES + 64 && cut.ends_with(&format!("… [{MAX_TEXT_BYTES} bytes left out]"))
    );
}

#[test]
fn values_that_json_lacks_are_named_by_type() {
    assert_eq!(Redactor::builtin().value(&Value::unknown("bytes", vec![1, 2])), "<bytes, 2 bytes>");
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        Just("ghp_abcdefghijklmnopqrstuvwxyz0123456789".to_owned()),
        Just("password".to_owned()),
        Just("eve@example.org".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-9_007_199_254_740_991_i64..9_007_199_254_740_991).prop_map(Value::Int),
        Just(Value::Int(4_111_111_111_111_111)),
        (-1e9..1e9).prop_map(Value::Float),
        text.clone().prop_map(|text| Value::from(text.as_str())),
        Just(Value::unknown("bytes", vec![1])),
        Just(Value::by_reference("File")),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let entries = proptest::collection::vec((text.clone(), inner.clone()), 0..4);
        let object = entries.prop_map(|entries| {
            let mut object = Object::new();
            entries.into_iter().for_each(|(key, value)| object.insert(key.as_str(), value));
            Value::Object(object)
        });
        prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::Array), object]
    })
}

#[test]
fn what_is_too_deep_is_left_out_in_both_ways() {
    let mut value = Value::Int(1);
    for _ in 0..MAX_DEPTH + 2 {
        value = Value::Array(vec![value]);
    }
    let redactor = Redactor::builtin();
    assert_eq!(serde_json::to_value(redactor.shown(&value)).unwrap(), redactor.value(&value));
    assert!(redactor.value(&value).to_string().contains(TOO_DEEP));
}

proptest! {
    /// Written or copied, the same is shown.
    #[test]
    fn what_is_written_is_what_is_copied(value in values()) {
        let redactor = Redactor::builtin();
        prop_assert_eq!(serde_json::to_value(redactor.shown(&value)).unwrap(), redactor.value(&value));
    }

    /// Text without a finding stays as it was, and a secret is never in what is stored, wherever it stands.
    #[test]
    fn a_planted_secret_is_never_stored(before in "\\PC{0,40}", after in "\\PC{0,40}") {
        let secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
        let text = format!("{before} {secret} {after}");
        prop_assert!(!Redactor::builtin().text(&text).contains(secret));
    }

    /// Redacting twice changes nothing more.
    #[test]
    fn redaction_is_idempotent(text in "\\PC{0,80}") {
        let once = Redactor::builtin().text(&text).into_owned();
        prop_assert_eq!(Redactor::builtin().text(&once), once.as_str());
    }
}
