//! A web server as a channel.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use placet_runtime::channels::{Waiting, Webhook, WebhookOptions};
use placet_trust::approvals::webhook::{Direction, SIGNATURE_HEADER, WebhookKey};
use placet_types::{Digest, Micros};

use crate::common::{Bench, asking, bench, code, event, pay, within};

/// What a server was asked.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, wanted: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
        })
    }
}

/// A server that answers one request, and tells what it was asked.
pub(crate) fn server(answer: impl FnOnce(&Asked) -> Vec<u8> + Send + 'static) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/approve", listener.local_addr().unwrap());
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0);
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap()];
        reader.read_exact(&mut body).unwrap();
        let asked = Asked { head, body };
        let answer = answer(&asked);
        tell.send(asked).unwrap();
        stream.write_all(&answer).unwrap();
    });
    (url, asked)
}

pub(crate) fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
        .into_bytes()
}

fn ask(bench: &Bench, options: WebhookOptions) -> &'static str {
    let got = code(bench.pipeline.begin_waiting(&pay(500), &asking(Webhook::new(options).unwrap())));
    assert_eq!(bench.ledger.last_code(), got, "what was said is what was recorded");
    got
}

fn answered(status: &'static str, headers: &'static str, body: &'static str) -> &'static str {
    let (url, _asked) = server(move |_| http(status, headers, body));
    ask(&bench(), WebhookOptions::new(url))
}

#[test]
fn aegis_62_only_the_json_value_true_approves() {
    assert_eq!(answered("200 OK", "", r#"{"approved": true}"#), "allowed");
    assert_eq!(answered("200 OK", "", r#"{"approved": false}"#), "approval_denied");
    for body in [
        r#"{"approved": "true"}"#,
        r#"{"approved": "false"}"#,
        r#"{"approved": 1}"#,
        r#"{"approved": {"x": false}}"#,
        r#"{"approved": null}"#,
        r#"{"approved": true, "approved": false}"#,
        r"{}",
        r"[true]",
        "true",
        "",
        "<html>approved: true</html>",
    ] {
        assert_eq!(answered("200 OK", "", body), "approval_failed", "{body}");
    }
}

#[test]
fn aegis_62_aegis_d39_a_server_that_fails_refuses_and_that_is_recorded() {
    let yes = r#"{"approved": true}"#;
    assert_eq!(answered("500 Internal Server Error", "", yes), "approval_failed");
    let (other, _asked) = server(move |_| http("200 OK", "", yes));
    let headers = format!("Location: {other}\r\n");
    let (url, _asked) = server(move |_| http("302 Found", &headers, yes));
    assert_eq!(ask(&bench(), WebhookOptions::new(url)), "approval_failed", "a redirect is not followed");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(ask(&bench(), WebhookOptions::new(format!("http://{closed}/"))), "approval_failed");
}

#[test]
fn aegis_62_a_server_that_does_not_answer_in_time_refuses() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = WebhookOptions::new(format!("http://{}/", silent.local_addr().unwrap()));
    options.timeout = Duration::from_millis(100);
    assert_eq!(ask(&bench(), options), "approval_timeout");
}

#[test]
fn aegis_62_the_payload_names_the_call_and_holds_no_secret() {
    let bench = bench();
    let (url, asked) =
        server(|_| http("200 OK", "", r#"{"approved": true, "approver": "alice", "reason": "fine"}"#));
    let secret = "AKIAIOSFODNN7EXAMPLE";
    let call = event(&format!(
        r#"{{"action":"pay","target":"bank","args":{{"amount":500,"password":"hunter2","note":"{secret}"}},
            "context":{{"session_id":"s1","delegation_depth":0}}}}"#
    ));
    let mut options = WebhookOptions::new(url);
    options.headers.push(("X-Team".to_owned(), "blue".to_owned()));
    assert_eq!(code(bench.pipeline.begin_waiting(&call, &asking(Webhook::new(options).unwrap()))), "allowed");
    let Asked { head, body } = asked.recv().unwrap();
    assert!(head.to_lowercase().contains("x-team: blue"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert!(!text.contains("hunter2") && !text.contains(secret), "{text}");
    let payload: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(payload["action_type"], "pay");
    assert_eq!(payload["action_target"], "bank");
    assert_eq!(payload["action_params"]["amount"], 500);
    assert_eq!(payload["action_description"], "a person");
    assert_eq!(payload["risk_level"], "OPERATIONAL");
    assert_eq!(payload["approval"], "approve");
    assert_eq!(payload["matched_rule"], "large");
    for key in ["approval_id", "digest", "nonce", "expires"] {
        assert!(payload[key].is_string(), "{key}: {payload}");
    }
}

pub(crate) fn digest_of(asked: &Asked) -> Digest {
    let payload: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    payload["digest"].as_str().unwrap().parse().unwrap()
}

fn nonce_of(asked: &Asked) -> String {
    let payload: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    payload["nonce"].as_str().unwrap().to_owned()
}

pub(crate) fn now() -> Micros {
    Micros(jiff::Timestamp::now().as_microsecond())
}

/// Asks a server that knows a key and signs with another, or with the same.
fn signed(by: &'static [u8], digest: fn(&Asked) -> Digest) -> &'static str {
    let key = WebhookKey::new(b"0123456789abcdef".to_vec()).unwrap();
    let ours = key.clone();
    let (url, _asked) = server(move |asked| {
        let header = asked.header(SIGNATURE_HEADER).expect("what is sent is signed");
        key.verify(Direction::Request, &digest_of(asked), now(), &header, &asked.body).unwrap();
        let body = r#"{"approved":true}"#;
        let theirs = WebhookKey::new(by.to_vec()).unwrap();
        let nonce = nonce_of(asked);
        let direction = Direction::Answer { nonce: &nonce };
        let signature = theirs.sign(direction, &digest(asked), now(), body.as_bytes());
        http("200 OK", &format!("{SIGNATURE_HEADER}: {signature}\r\n"), body)
    });
    ask(&bench(), WebhookOptions { key: Some(ours), ..WebhookOptions::new(url) })
}

#[test]
fn aegis_62_signatures_go_both_ways() {
    assert_eq!(signed(b"0123456789abcdef", digest_of), "allowed");
    assert_eq!(signed(b"another key of 16", digest_of), "approval_failed", "another key");
    assert_eq!(signed(b"0123456789abcdef", |_| Digest([7; 32])), "approval_failed", "for another request");
    let (url, _asked) = server(|_| http("200 OK", "", r#"{"approved":true}"#));
    let key = Some(WebhookKey::new(b"0123456789abcdef".to_vec()).unwrap());
    assert_eq!(
        ask(&bench(), WebhookOptions { key, ..WebhookOptions::new(url) }),
        "approval_failed",
        "unsigned"
    );
}

/// Somebody between us and the server keeps what it answered, and sends it when the same call asks the same people
/// again: within the time for which signatures are good, and for the very request that was approved.
#[test]
fn aegis_62_a_captured_answer_is_refused_when_the_same_request_is_asked_again() {
    let key = WebhookKey::new(b"0123456789abcdef".to_vec()).unwrap();
    let bench = bench();
    let options = |url| WebhookOptions { key: Some(key.clone()), ..WebhookOptions::new(url) };
    let waiting = |url: String, milliseconds| Waiting {
        channel: Some(Arc::new(Webhook::new(options(url)).unwrap())),
        ..within(milliseconds)
    };
    let (captured, theirs) = (Arc::new(OnceLock::new()), key.clone());
    let keeps = captured.clone();
    let (url, first) = server(move |asked| {
        let (nonce, body) = (nonce_of(asked), r#"{"approved":true}"#);
        let direction = Direction::Answer { nonce: &nonce };
        let signature = theirs.sign(direction, &digest_of(asked), now(), body.as_bytes());
        let answer = http("200 OK", &format!("{SIGNATURE_HEADER}: {signature}\r\n"), body);
        keeps.set(answer).unwrap();
        // It does not get through.
        std::thread::sleep(Duration::from_millis(600));
        Vec::new()
    });
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &waiting(url, 200))), "approval_timeout");
    let first = first.recv().unwrap();
    let (url, second) = server(move |_| captured.get().unwrap().clone());
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &waiting(url, 20_000))), "approval_failed");
    let second = second.recv().unwrap();
    assert_eq!(digest_of(&first), digest_of(&second), "the same request");
    assert_ne!(nonce_of(&first), nonce_of(&second));
}

#[test]
fn a_webhook_that_cannot_be_asked_is_refused_when_it_is_made() {
    for url in ["ftp://example.org/", "example.org", "http://", "http:///x", "file:///etc/passwd"] {
        assert!(Webhook::new(WebhookOptions::new(url)).is_err(), "{url}");
    }
    let zero = WebhookOptions { timeout: Duration::ZERO, ..WebhookOptions::new("http://localhost/") };
    assert!(Webhook::new(zero).is_err());
    let broken = vec![("bad\nname".to_owned(), "x".to_owned())];
    assert!(
        Webhook::new(WebhookOptions { headers: broken, ..WebhookOptions::new("http://localhost/") }).is_err()
    );
}
