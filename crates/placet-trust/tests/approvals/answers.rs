//! How answers are read and signed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::approvals::answer::{Answer, NoReason, callback, terminal, webhook};
use placet_trust::approvals::webhook::{Direction, WebhookError, WebhookKey};
use placet_types::{Digest, Micros, Object, Value};

use super::common::*;

#[test]
fn aegis_d36_only_the_json_value_true_approves() {
    let no = [
        r#"{"approved": "false"}"#,
        r#"{"approved": "true"}"#,
        r#"{"approved": "no"}"#,
        r#"{"approved": 1}"#,
        r#"{"approved": {}}"#,
        r#"{"approved": {"x": false}}"#,
        r#"{"approved": []}"#,
        r#"{"approved": [true]}"#,
        r#"{"approved": null}"#,
        r#"{"approved": false}"#,
        r#"{"approved": false, "approved": true}"#,
        r#"{"Approved": true}"#,
        r#"{"approved": true"#,
        r#"{"approved": true} {"approved": true}"#,
        r#"[{"approved": true}]"#,
        r#"[true]"#,
        "true",
        "{}",
        "",
        "<html>approved: true</html>",
    ];
    for body in no {
        assert!(matches!(webhook(200, body.as_bytes()), Answer::Refuse(_)), "{body}");
    }
    assert!(webhook(200, br#"{"approved": true, "by": "alice"}"#).approves());
}

#[test]
fn aegis_62_a_failing_webhook_refuses() {
    for status in [0, 100, 199, 300, 302, 400, 404, 429, 500, 503, 600] {
        assert_eq!(webhook(status, br#"{"approved": true}"#), Answer::Refuse(NoReason::Status(status)));
    }
    for status in [200, 201, 299] {
        assert!(webhook(status, br#"{"approved": true}"#).approves());
    }
    assert!(!webhook(200, &[0xff, 0xfe]).approves());
}

#[test]
fn aegis_63_only_true_approves_from_a_callback() {
    let no = [
        Value::Bool(false),
        Value::Null,
        Value::Int(1),
        Value::Float(1.0),
        Value::String("true".into()),
        Value::String("no".into()),
        Value::Array(vec![Value::Bool(true)]),
        Value::Object(Object::new()),
        Value::by_reference("Mock"),
    ];
    for value in no {
        assert!(matches!(callback(&value), Answer::Refuse(_)), "{value:?}");
    }
    assert!(callback(&Value::Bool(true)).approves());
}

#[test]
fn aegis_61_a_terminal_takes_y_and_yes_and_nothing_else_for_a_yes() {
    for line in ["y", "yes", "Y", "YES", " yes\r\n", "\tYes "] {
        assert!(terminal(Some(line)).approves(), "{line:?}");
    }
    for line in ["n", "no", "NO\n"] {
        assert_eq!(terminal(Some(line)), Answer::Refuse(NoReason::SaidNo), "{line:?}");
    }
    for line in ["", "\n", "yy", "yes!", "ye", "yes please", "true", "1", "ok", "y\u{200b}", "y n", "я"] {
        assert_eq!(terminal(Some(line)), Answer::Unclear, "{line:?}");
    }
    assert_eq!(terminal(None), Answer::Refuse(NoReason::Closed));
}

#[test]
fn aegis_d37_free_text_is_no_approval() {
    for line in ["I do NOT approve", "disapprove", "please don't approve, deny it", "no approve?", "approve"]
    {
        assert!(!terminal(Some(line)).approves(), "{line}");
    }
}

const APPROVAL: Digest = Digest([5; 32]);

const ANSWER: Direction<'_> = Direction::Answer { nonce: "0011223344556677" };

fn key() -> WebhookKey {
    WebhookKey::new(b"0123456789abcdef".to_vec()).unwrap()
}

#[test]
fn aegis_62_a_webhook_signature_binds_direction_request_time_and_body() {
    let body = br#"{"approved":true}"#;
    let header = key().sign(ANSWER, &APPROVAL, START, body);
    let check = |direction, approval: &Digest, now, header: &str, body: &[u8]| {
        key().verify(direction, approval, now, header, body)
    };
    assert_eq!(check(ANSWER, &APPROVAL, START, &header, body), Ok(()));
    let wrong = Err(WebhookError::Wrong);
    assert_eq!(
        check(Direction::Request, &APPROVAL, START, &header, body),
        wrong,
        "our own request comes back"
    );
    assert_eq!(check(ANSWER, &Digest([6; 32]), START, &header, body), wrong, "another request");
    assert_eq!(check(ANSWER, &APPROVAL, START, &header, br#"{"approved":true }"#), wrong);
    let other = Direction::Answer { nonce: "0011223344556678" };
    assert_eq!(check(other, &APPROVAL, START, &header, body), wrong, "the answer to another question");
    let later = header.replace("t=1764000000", "t=1764000001");
    assert_ne!(later, header);
    assert_eq!(check(ANSWER, &APPROVAL, START, &later, body), wrong, "another time");
    let other = WebhookKey::new(b"fedcba9876543210".to_vec()).unwrap();
    assert_eq!(other.verify(ANSWER, &APPROVAL, START, &header, body), wrong, "another key");
}

#[test]
fn aegis_62_an_old_or_future_signature_is_refused() {
    let body = b"{}";
    let header = key().sign(ANSWER, &APPROVAL, START, body);
    for (seconds, fresh) in
        [(-301, false), (-300, true), (0, true), (300, true), (301, false), (86_400, false)]
    {
        let now = Micros(START.0 + seconds * SECOND);
        let outcome = key().verify(ANSWER, &APPROVAL, now, &header, body);
        let wanted = if fresh { Ok(()) } else { Err(WebhookError::Stale { age_seconds: seconds }) };
        assert_eq!(outcome, wanted);
    }
}

#[test]
fn a_malformed_signature_or_short_key_is_refused() {
    let zeros = "0".repeat(64);
    let headers = [
        String::new(),
        zeros.clone(),
        format!("t=,v1={zeros}"),
        format!("t=-5,v1={zeros}"),
        format!("t=1e3,v1={zeros}"),
        format!("t=99999999999999999999,v1={zeros}"),
        format!("t=5,v2={zeros}"),
        format!("v1={zeros},t=5"),
        "t=5,v1=00".to_owned(),
    ];
    for header in headers {
        let outcome = key().verify(ANSWER, &APPROVAL, START, &header, b"");
        assert_eq!(outcome, Err(WebhookError::Malformed), "{header}");
    }
    assert_eq!(WebhookKey::new(vec![1; 15]).unwrap_err(), WebhookError::ShortKey { actual_bytes: 15 });
}

#[test]
fn a_webhook_signature_is_as_documented() {
    // printf 'placet.webhook.v1.answer\n1764000000\n<05 x 32>\n0011223344556677\n{"approved":true}' | openssl dgst -sha256 -hmac 0123456789abcdef
    let header = key().sign(ANSWER, &APPROVAL, START, br#"{"approved":true}"#);
    assert_eq!(header, "t=1764000000,v1=eef23ad44314ad0c4f4982f2602a8256a0d6f86a512195bf06c5dd2d5746b48d");
}
