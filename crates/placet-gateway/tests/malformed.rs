//! Whatever is sent, the service answers with a refusal and lives on.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{Bench, SETTINGS, token};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The status of a raw answer; `None` when the connection was just closed.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?;
    status.get(..3)?.parse().ok()
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

const PIECES: [&[u8]; 18] = [
    b"GET ",
    b"POST ",
    b"/v1/approvals",
    b"/approve",
    b"?wait=1ms",
    b"%ff%00/",
    b" HTTP/1.1\r\n",
    b" HTTP/9.9\r\n",
    b"Host: x\r\n",
    b"If-Match: \"a\"\r\n",
    b"\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: application/json\r\n",
    b"ffffffffffffffff\r\n",
    b"{}",
    b"\x00\xff\xfe",
];

/// Pieces out of which requests are made that are nearly right.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(&PIECES[..]);
    let bytes =
        prop_oneof![3 => piece.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec(bytes, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn f69_bytes_that_are_no_request_get_a_refusal_or_nothing() {
    let bench = Bench::new(SETTINGS);
    runner(400)
        .run(&pieces(), |bytes| {
            let answer = status(&bench.raw(&bytes));
            prop_assert!(answer.is_none_or(|status| status < 500), "{answer:?}");
            Ok(())
        })
        .expect("no answer of 500");
    assert_eq!(bench.request("GET", "/readyz", &[], None).status, 200);
}

/// JSON that is nearly an answer.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1e999".to_owned()),
        Just("-0.0".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        Just("\"\\ud800\"".to_owned()),
    ];
    let value = leaf.prop_recursive(4, 16, 4, |inner| {
        let key = prop_oneof![
            Just("reason"),
            Just("notes"),
            Just("signed"),
            Just("at_us"),
            Just("signature"),
            Just("key"),
            Just("seconds"),
            Just("release"),
            Just("__proto__"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..4).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    prop_oneof![
        4 => value.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => Just([b"[".repeat(8_000), b"]".repeat(8_000)].concat()),
    ]
}

#[test]
fn f69_no_body_header_or_path_makes_the_service_fail() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let bearer = token("dave");
    let header = "[ -~\\x80-\\xff]{0,60}";
    let verb = prop_oneof![Just("approve"), Just("deny"), Just("claim")];
    let target = prop_oneof![2 => Just(id.clone()), 1 => "[A-Za-z0-9%._~:@!$&'()*+,;=-]{0,40}"];
    let all = (verb, target, header, header, body());
    runner(400)
        .run(&all, |(verb, target, tags, query, body)| {
            let query: String = query.bytes().filter(u8::is_ascii_graphic).map(char::from).collect();
            let latin = |text: &str| {
                text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect::<Vec<_>>()
            };
            let mut bytes = format!(
                "POST /v1/approvals/{target}/{verb}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            )
            .into_bytes();
            bytes.extend(
                format!("Authorization: Bearer {bearer}\r\nContent-Type: application/json\r\nIf-Match: ")
                    .bytes(),
            );
            bytes.extend(latin(&tags));
            bytes.extend(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(&body);
            let answer = status(&bench.sent(&bytes, false));
            // Dave is no member: whatever he sends, nothing of it counts.
            prop_assert!(answer.is_some_and(|status| (400..500).contains(&status)), "{answer:?}");
            Ok(())
        })
        .expect("a refusal each time");
    let seen = bench.get(&format!("/v1/approvals/{id}"), "alice").is(200);
    assert!(seen["state"] == "pending" && seen["claim"].is_null(), "{seen}");
    assert!(bench.said.lock().expect("lines").is_empty(), "nothing failed");
}
