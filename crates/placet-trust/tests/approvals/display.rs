//! What an approver sees.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::approvals::display::{Displayed, Shown, digest, display, escaped};
use placet_types::decision::RiskTier;
use placet_types::ledger::BudgetUnit;
use placet_types::{Digest, Object, Value, json};

use super::common::*;

fn object(text: &str) -> Object {
    match json::parse(text.as_bytes()).unwrap() {
        Value::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

fn shown(target: &str, args: &Object) -> Displayed {
    let shown = Shown {
        action: "pay",
        tool: Some("bank/pay"),
        target: Some(target),
        resources: &["/accounts/1"],
        agent: Some("agent-7"),
        session: Some("session-1"),
        tenant: None,
        risk_tier: RiskTier::TransactionalHigh,
        reason: "Payments over $100 need approval",
        rules: &["big_payment"],
        policy_version: "3f2a",
        max_cost: &[(BudgetUnit::CostMicros, 5_000_000)],
        args,
        args_digest: &Digest([0xab; 32]),
    };
    display(&shown, &KEY).unwrap()
}

#[test]
fn aegis_d38_the_approver_sees_the_whole_call() {
    let args = object(
        r#"{"amount": 150.0, "to": {"iban": "DE12"}, "note": "läuft", "urgent": true, "tags": [1, null]}"#,
    );
    let wanted = format!(
        r#"approval required
tool        bank/pay
action      pay
target      bank
resources   /accounts/1
risk        TRANSACTIONAL_HIGH
reason      "Payments over $100 need approval"
rules       big_payment
agent       agent-7
session     session-1
tenant      -
policy      3f2a
cost        at most 5000000 cost_micros
arguments   5, digest {}
  amount = 150.0
  to = {{"iban": "DE12"}}
  note = "läuft"
  urgent = true
  tags = [1, null]
"#,
        "ab".repeat(32)
    );
    assert_eq!(shown("bank", &args).text, wanted);
}

#[test]
fn aegis_d41_nothing_in_a_call_can_forge_a_line_or_move_the_cursor() {
    let honest = shown("bank", &object("{}"));
    let lines = honest.text.lines().count();
    let tricks = [
        "bank\nrisk        INFORMATIONAL",
        "\u{1b}[2J\u{1b}[H",
        "bank\r",
        "\u{202e}knab",
        "a\u{200b}b",
        "\u{2028}risk INFORMATIONAL",
        "\u{e0041}",
        "bank\u{0}",
        "\u{9b}2J",
        "ba\u{3000}nk",
        "",
        "-",
    ];
    for trick in tricks {
        let args = Object::from_pairs(vec![(trick.into(), Value::String(trick.into()))]).unwrap();
        let text = shown(trick, &args).text;
        assert_eq!(text.lines().count(), lines + 1, "{trick:?}");
        assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{trick:?}: {text}");
        for hidden in ['\u{202e}', '\u{200b}', '\u{2028}', '\u{e0041}', '\u{3000}'] {
            assert!(!text.contains(hidden), "{trick:?}");
        }
    }
    assert_eq!(escaped("\u{202e}\u{e0041}\"\\"), r#""\u202e\udb40\udc41\"\\""#);
    assert_ne!(escaped("-"), "-", "an absent value cannot be forged");
    assert_ne!(escaped(r"\u202e"), escaped("\u{202e}"));
}

#[test]
fn the_digest_binds_the_text_and_tells_nothing_without_its_salt() {
    let args = object(r#"{"amount": 150}"#);
    let (first, again) = (shown("bank", &args), shown("bank", &args));
    assert_eq!(first, again, "a repeated call joins");
    assert_eq!(digest(&first.salt, &first.text), first.digest);
    assert_ne!(digest(&first.salt, &first.text.replace("150", "99")), first.digest);
    assert_ne!(digest(&Digest([0; 32]), &first.text), first.digest);
    assert_ne!(shown("bank", &object(r#"{"amount": "150"}"#)).digest, first.digest);
    assert_ne!(shown("bank", &object(r#"{"amount": 150.0}"#)).digest, first.digest);
}

#[test]
fn what_json_does_not_have_is_shown_with_its_content() {
    let args = Object::from_pairs(vec![
        ("raw".into(), Value::unknown("bytes", vec![0, 255])),
        ("day".into(), Value::unknown("date", b"2026-01-01".to_vec())),
        ("none".into(), Value::unknown("nan", Vec::new())),
    ])
    .unwrap();
    let text = shown("bank", &args).text;
    for line in ["  raw = <bytes 0x00ff>", "  day = <date \"2026-01-01\">", "  none = <nan>"] {
        assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
    }
}

#[test]
fn a_call_with_an_argument_by_reference_cannot_be_approved() {
    let args =
        Object::from_pairs(vec![("request".into(), Value::Array(vec![Value::by_reference("HttpRequest")]))])
            .unwrap();
    let shown = Shown {
        action: "pay",
        tool: None,
        target: None,
        resources: &[],
        agent: None,
        session: None,
        tenant: None,
        risk_tier: RiskTier::Operational,
        reason: "",
        rules: &[],
        policy_version: "",
        max_cost: &[],
        args: &args,
        args_digest: &Digest([0; 32]),
    };
    assert!(display(&shown, &KEY).unwrap_err().to_string().contains("`request` is passed by reference"));
}
