// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use placet_types::Verdict;

use super::*;

fn verdict(body: &str) -> Result<String, String> {
    let answer = answer::read(body.as_bytes())?;
    let decision = answer.into_decision("v".into());
    let hard = if decision.verdict.is_hard() { " hard" } else { "" };
    Ok(format!("{}{hard}: {}", decision.verdict.word(), decision.reason))
}

#[test]
fn answers_of_all_three_shapes_are_read() {
    for (body, wanted) in [
        (r#"{"result":{"allow":true}}"#, "allow: allowed, risk tier OPERATIONAL"),
        (r#"{"result":{"allow":false}}"#, "deny: nothing allows it, risk tier OPERATIONAL"),
        (
            r#"{"result":{"allow":true,"requires_hitl":true}}"#,
            "escalate: a person must approve, risk tier OPERATIONAL",
        ),
        (r#"{"result":{"allow":true,"deny":true}}"#, "deny hard: hard blocked by the policy"),
        (r#"{"result":{"deny":{"b":true,"a":true}}}"#, "deny hard: a; b"),
        (r#"{"result":{"deny":["x"],"deny_reason":{"why":true}}}"#, "deny hard: why"),
        (r#"{"result":{"allow":true,"deny":[]}}"#, "allow: allowed, risk tier OPERATIONAL"),
        (r#"{"result":{"decision":{"outcome":"deny","hard":true,"reasons":["r"]}}}"#, "deny hard: r"),
        (r#"{"result":{"decision":{"outcome":"allow","reasons":[]},"allow":true}}"#, "allow: "),
        (r#"{"result":{"decision":{"allow":false,"reason":"no"}}}"#, "deny: no"),
        (r#"{"result":{"decision":{"allow":false,"deny":"never"}}}"#, "deny hard: never"),
        (r#"{"result":{"decision":{"escalate":true,"reviewers":["a"]}}}"#, "escalate: "),
    ] {
        assert_eq!(verdict(body).as_deref(), Ok(wanted), "{body}");
    }
}

#[test]
fn kite_20_11_odd_answers_are_errors() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"result":null}"#,
        r#"{"result":true}"#,
        r#"{"result":{}}"#,
        r#"{"result":{"allow":"yes"}}"#,
        r#"{"result":{"allow":1}}"#,
        r#"{"result":{"allow":null}}"#,
        r#"{"result":{"allow":true,"deny":null}}"#,
        r#"{"result":{"allow":true,"requires_hitl":null}}"#,
        r#"{"result":{"allow":true,"risk_tier":"BOGUS"}}"#,
        r#"{"result":{"allow":true,"risk_tier":null}}"#,
        r#"{"result":{"deny":[1]}}"#,
        r#"{"result":{"allow":true},"result":{"allow":true}}"#,
        r#"{"result":{"decision":null,"allow":true}}"#,
        r#"{"result":{"decision":{},"allow":true}}"#,
        r#"{"result":{"decision":{"outcome":"Allow"}}}"#,
        r#"{"result":{"decision":{"outcome":"allow","hard":1}}}"#,
        r#"{"result":{"decision":{"outcome":"allow"},"deny":true}}"#,
        r#"{"result":{"decision":{"allow":"true"}}}"#,
    ] {
        assert!(verdict(body).is_err(), "{body}: {:?}", verdict(body));
    }
}

#[test]
fn urls_and_packages_are_checked() {
    let made = |base: &str, package: &str| {
        let (base_url, package) = (base.to_owned(), package.to_owned());
        let options = OpaOptions { base_url, package, ..OpaOptions::default() };
        OpaClient::new(options).map(|client| client.url().to_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(made("http://h:1//", "a.b").as_deref(), Ok("http://h:1/v1/data/a/b"));
    assert_eq!(made("https://h/opa", "data.a.b_c").as_deref(), Ok("https://h/opa/v1/data/a/b_c"));
    for (base, word) in [
        ("localhost:8181", "scheme, got 'localhost'"),
        ("ftp://h", "got 'ftp'"),
        ("", "got ''"),
        ("http://", "no host"),
        ("file:///etc/passwd", "got 'file'"),
    ] {
        let error = made(base, "a").expect_err(base);
        assert!(error.contains(word), "{base}: {error}");
    }
    for package in ["", "a//b", "a/../b", "a?x", "a b"] {
        assert!(made("http://h", package).is_err(), "{package}");
    }
}

/// A server that answers every request on any number of connections with these bytes.
fn serve(response: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            let response = response.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(length) = read_head(&mut reader) {
                    let mut body = vec![0; length];
                    if reader.read_exact(&mut body).is_err() || reader.get_mut().write_all(&response).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{address}"), connections)
}

/// The length of the body, or `None` when the connection ended.
fn read_head(reader: &mut impl BufRead) -> Option<usize> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().ok()?;
        }
        if line == "\r\n" {
            return Some(length);
        }
    }
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn client(base_url: String) -> OpaClient {
    let timeout = Duration::from_millis(400);
    OpaClient::new(OpaOptions { base_url, timeout, ..OpaOptions::default() }).expect("a client")
}

fn event() -> Event {
    Event::from_json(br#"{"action":"pay","args":{"amount":5}}"#).expect("an event")
}

fn is_failure(decision: &Decision) -> bool {
    decision.verdict == Verdict::Deny { hard: true, cause: DenyCause::OpaConnectionFailure }
}

#[test]
fn f01_one_connection_serves_many_questions() {
    let (base, connections) = serve(response("200 OK", "", r#"{"result":{"allow":true}}"#));
    let client = client(base);
    for _ in 0..3 {
        assert_eq!(client.decide(event()).verdict, Verdict::Allow);
    }
    assert!(client.is_healthy());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn f01_kite_r19_whatever_the_transport_does_is_a_deny() {
    let large = format!(r#"{{"result":{{"allow":true}},"x":"{}"}}"#, "x".repeat(2 << 20));
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"result\":{\"allow\":true}}".to_vec();
    let endless =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n{\"result\":{\"allow\":true}}".to_vec();
    let (elsewhere, asked) = serve(response("200 OK", "", r#"{"result":{"allow":true}}"#));
    let redirect = response("307 Temporary Redirect", &format!("Location: {elsewhere}/\r\n"), "");
    for (name, bytes) in [
        ("dropped", Vec::new()),
        ("too large", response("200 OK", "", &large)),
        ("short", short),
        ("endless", endless),
        ("error", response("500 Oops", "", r#"{"result":{"allow":true}}"#)),
        ("redirect", redirect),
        ("not HTTP", b"hello\r\n\r\n".to_vec()),
    ] {
        let (base, _) = serve(bytes);
        let started = Instant::now();
        let decision = client(base).decide(event());
        assert!(is_failure(&decision), "{name}: {decision:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "a redirect was followed");
}

#[test]
fn f01_a_server_that_is_down_is_left_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = client(base);
    let reasons: Vec<_> = (0..7).map(|_| client.decide(event())).collect();
    assert!(reasons.iter().all(is_failure));
    assert!(!reasons[4].reason.contains("left alone"));
    assert!(reasons[5].reason.contains("left alone"));
    assert!(!client.is_healthy());
}
