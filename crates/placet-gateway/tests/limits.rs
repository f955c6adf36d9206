//! What the service refuses, how it ends, and what every response says.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use common::{Bench, Moved, SETTINGS, service, store, token};
use placet::Config;
use placet::trust::{Freshness, Ledger, LedgerError, Proposal, Receipt, State, TenantKey};
use placet_gateway::{Limits, ServeError, Server, TokenError, Tokens};

#[test]
fn f69_bodies_have_a_size_a_type_and_a_form() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let deny = format!("/v1/approvals/{id}/deny");
    let large = format!("{{\"reason\": \"{}\"}}", "a".repeat(16 * 1024));
    let problem = bench.post(&deny, "alice", &large).is_problem(413, "body_too_large");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("16384 bytes")), "{problem}");
    let long = format!("{{\"reason\": \"{}\"}}", "é".repeat(2_001));
    let problem = bench.post(&deny, "alice", &long).is_problem(422, "invalid_body");
    assert!(
        problem["detail"].as_str().is_some_and(|text| text.contains("2001 characters; the limit is 2000"))
    );
    for (body, status, code) in [
        ("{", 400, "malformed_request"),
        ("{\"reason\": \"\u{1}\"}", 400, "malformed_request"),
        ("[]", 422, "invalid_body"),
        ("[\"fine\", null]", 422, "invalid_body"),
        ("{\"signed\": [1, \"x\"]}", 422, "invalid_body"),
        ("null", 422, "invalid_body"),
        ("{\"reason\": 5}", 422, "invalid_body"),
        ("{\"reason\": \"a\", \"reason\": \"b\"}", 422, "invalid_body"),
        ("{\"reason\": \"a\", \"notes\": \"b\"}", 422, "invalid_body"),
        ("{\"approve\": true}", 422, "invalid_body"),
        ("{\"signed\": {\"at_us\": \"now\", \"signature\": \"\"}}", 422, "invalid_body"),
    ] {
        bench.post(&deny, "alice", body).is_problem(status, code);
    }
    let bearer = format!("Bearer {}", token("alice"));
    let form = [("Authorization", &*bearer), ("Content-Type", "application/x-www-form-urlencoded")];
    let problem = bench.request("POST", &deny, &form, Some("{}")).is_problem(415, "unsupported_media_type");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("application/json")), "{problem}");
    assert_eq!(bench.post(&deny, "alice", r#"{"notes": "no"}"#).is(200)["state"], "denied");
}

#[test]
fn f69_every_response_is_safe_in_a_browser_and_lets_no_other_site_in() {
    let bench = Bench::new(SETTINGS);
    let origin = ("Origin", "https://evil.example");
    let asked = ("Access-Control-Request-Method", "POST");
    let replies = [
        bench.get("/v1/approvals", "alice"),
        bench.request("GET", "/v1/approvals", &[origin], None),
        bench.request("GET", "/none", &[origin], None),
        bench.request("OPTIONS", "/v1/approvals/x/approve", &[origin, asked], None),
        bench.request("GET", "/healthz", &[origin], None),
        bench.request("GET", "/metrics", &[origin], None),
    ];
    for reply in &replies {
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{reply:?}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{reply:?}");
        assert!(
            reply
                .header("content-security-policy")
                .is_some_and(|text| text.starts_with("default-src 'none'"))
        );
        let cors = reply.headers.iter().any(|(name, _)| name.starts_with("access-control"));
        assert!(!cors, "{reply:?}");
    }
    assert_eq!(replies[3].is_problem(405, "method_not_allowed")["status"], 405);
    assert_eq!(replies[3].header("allow"), Some("POST"));
    assert_eq!((replies[4].status, &*replies[4].text), (200, "ok\n"));
    let ready = bench.request("GET", "/readyz", &[], None);
    assert_eq!((ready.status, &*ready.text), (200, "ready\n"));
}

/// What a connection gets after it sent this and then nothing.
fn stalled(bench: &Bench, text: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(bench.address).expect("a connection");
    stream.write_all(text.as_bytes()).expect("sent");
    let mut out = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.read_to_string(&mut out).expect("it is closed");
    (out, began.elapsed())
}

#[test]
fn f69_clients_that_stall_are_left_and_heads_have_a_size() {
    let bench = Bench::with(SETTINGS, 0, |service| {
        service.limits.head_time = Duration::from_millis(300);
        service.limits.body_time = Duration::from_millis(300);
    });
    let id = bench.ask(900);
    let (_, took) = stalled(&bench, "GET /healthz HTTP/1.1\r\nHost: x\r\n");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let head =
        format!("Host: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json", token("alice"));
    let text =
        format!("POST /v1/approvals/{id}/deny HTTP/1.1\r\n{head}\r\nContent-Length: 50\r\n\r\n{{\"reason\"");
    let (out, took) = stalled(&bench, &text);
    assert!(out.starts_with("HTTP/1.1 408 ") && out.contains("body_timeout"), "{out}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let large = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(40_000));
    let out = String::from_utf8_lossy(&bench.raw(large.as_bytes())).into_owned();
    assert!(out.is_empty() || out.starts_with("HTTP/1.1 431 "), "{out}");
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: a\r\n".repeat(100));
    let out = String::from_utf8_lossy(&bench.raw(many.as_bytes())).into_owned();
    assert!(out.starts_with("HTTP/1.1 431 "), "{out}");
    assert_eq!(bench.get(&format!("/v1/approvals/{id}"), "alice").is(200)["state"], "pending");
}

#[test]
fn f69_connections_and_waits_have_a_limit() {
    let bench = Bench::with(SETTINGS, 0, |service| service.limits = Limits::default().connections(4));
    let id = bench.ask(900);
    let look = format!("/v1/approvals/{id}?wait=3s");
    let replies: Vec<_> = std::thread::scope(|scope| {
        let waits: Vec<_> = (0..3)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(100));
                scope.spawn(|| bench.get(&look, "alice"))
            })
            .collect();
        waits.into_iter().map(|wait| wait.join().expect("an answer")).collect()
    });
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 200, 503]);
    let problem = replies[2].is_problem(503, "too_many_waiting");
    assert!(
        problem["detail"].as_str().is_some_and(|text| text.contains("2 requests already wait")),
        "{problem}"
    );
    assert_eq!(replies[2].header("retry-after"), Some("1"));

    let idle: Vec<_> = (0..4).map(|_| TcpStream::connect(bench.address).expect("a connection")).collect();
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    let fifth = std::thread::scope(|scope| {
        let fifth = scope.spawn(|| bench.request("GET", "/healthz", &[], None).status);
        std::thread::sleep(Duration::from_millis(500));
        assert!(!fifth.is_finished(), "it waits until another connection ends");
        drop(idle);
        fifth.join().expect("an answer")
    });
    assert_eq!(fifth, 200);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn f69_it_ends_well_and_answers_those_that_wait() {
    let mut bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let (look, address) = (format!("/v1/approvals/{id}?wait=60s"), bench.address);
    let bearer = format!("Bearer {}", token("alice"));
    let waits = std::thread::spawn(move || {
        common::request(address, "GET", &look, &[("Authorization", &bearer)], None)
    });
    std::thread::sleep(Duration::from_millis(300));
    let took = bench.end();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(waits.join().expect("an answer").is(200)["state"], "pending");
    assert!(TcpStream::connect(bench.address).is_err(), "nobody listens any more");
}

#[test]
fn f69_an_address_that_others_reach_needs_an_explicit_yes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, clock) = (Config::default(), Moved::default());
    let open: std::net::SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let new = || service(&config, store(folder.path(), &config, &clock), &clock);
    let refused = Server::bind(new(), open, false).err().expect("it is refused");
    assert!(matches!(refused, ServeError::PlainHttp(_)));
    assert!(
        refused.to_string().contains("TLS") && refused.to_string().contains("allow_plain_http"),
        "{refused}"
    );
    assert!(Server::bind(new(), open, true).is_ok());
    let local = Server::bind(new(), "[::1]:0".parse().expect("an address"), false);
    assert!(local.is_ok() || matches!(local, Err(ServeError::Listen { .. })));
    let taken = Server::bind(new(), "127.0.0.1:0".parse().expect("an address"), false).expect("a port");
    let again = Server::bind(new(), taken.address(), false).err().expect("it is taken");
    assert!(again.to_string().contains("cannot listen on `127.0.0.1:"), "{again}");
}

#[test]
fn f69_tokens_that_cannot_be_used_are_refused_by_name_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.token"), "short-secret\n").expect("written");
    std::fs::write(folder.path().join("good.token"), "a-good-secret-0123456789\n").expect("written");
    let parse = |reviewers: &str| {
        let text =
            format!("approvals: {{ groups: {{ g: [ann, bob] }} }}\nserver: {{ reviewers: [{reviewers}] }}");
        let config = Config::parse(&text, "placet.yaml", folder.path()).expect("a configuration");
        Tokens::of_config(&config, &|name| (name == "SET").then(|| "a-good-secret-0123456789".into()))
    };
    for (reviewers, says) in [
        ("{ name: ann }", "says in 0 ways"),
        ("{ name: ann, token_env: SET, token_file: good.token }", "says in 2 ways"),
        ("{ name: ann, token_env: UNSET }", "environment variable `UNSET`"),
        ("{ name: ann, token_file: none.token }", "none.token"),
        ("{ name: ann, token_file: short.token }", "has 12 characters; it needs 20"),
        ("{ name: ann, token_sha256: abc }", "64 hexadecimal digits"),
        ("{ name: eve, token_env: SET }", "no group of `approvals.groups`"),
        ("{ name: ann, token_env: SET }, { name: bob, token_file: good.token }", "have the same token"),
    ] {
        let error = parse(reviewers).expect_err(reviewers).to_string();
        assert!(error.contains(says), "{reviewers}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let two =
        parse("{ name: ann, token_env: SET }, { name: ann, token_file: good.token }").expect("one person");
    assert!(!two.is_empty() && !format!("{two:?}").contains("secret"));
    assert!(matches!(parse("{ name: eve, token_env: SET }"), Err(TokenError::Unknown { .. })));
}

/// A ledger that fails as it is told.
struct Failing {
    ledger: Arc<dyn Ledger>,
    how: Arc<AtomicU8>,
}

impl Failing {
    fn fail(&self) -> Result<(), LedgerError> {
        match self.how.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(LedgerError::Unavailable {
                ledger: "audit.db".into(),
                action: "append",
                cause: "the disk is full".to_owned(),
            }),
            2 => {
                while self.how.load(Ordering::SeqCst) == 2 {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }
            _ => panic!("a defect"),
        }
    }
}

impl Ledger for Failing {
    fn commit(&self, proposal: Proposal, ack: placet::record::Ack) -> Result<Receipt, LedgerError> {
        self.fail()?;
        self.ledger.commit(proposal, ack)
    }

    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        if freshness == Freshness::Now {
            self.fail()?;
        }
        self.ledger.read(freshness, look)
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        self.ledger.wait(seen, until)
    }

    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        self.ledger.tenant_key(tenant)
    }
}

#[test]
fn f69_a_ledger_that_fails_or_hangs_is_503_and_a_defect_is_500_and_nothing_is_lost() {
    let how = Arc::new(AtomicU8::new(0));
    let told = how.clone();
    let bench = Bench::with(SETTINGS, 0, |service| {
        service.ledger = Arc::new(Failing { ledger: service.ledger.clone(), how: told });
        service.limits.ledger_time = Duration::from_secs(3);
    });
    let id = bench.ask(900);
    let deny = format!("/v1/approvals/{id}/deny");
    for (failure, status, code, says) in [
        (1, 503, "audit_unavailable", "the disk is full; nothing runs until it can"),
        (2, 503, "ledger_busy", "read it again"),
        (3, 500, "internal", "read it again"),
    ] {
        how.store(failure, Ordering::SeqCst);
        let problem = bench.post(&deny, "alice", "{}").is_problem(status, code);
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(says)), "{problem}");
        let ready = bench.request("GET", "/readyz", &[], None);
        assert_eq!(ready.status, status, "{ready:?}");
        assert_eq!(bench.request("GET", "/healthz", &[], None).status, 200);
        // The clerk looks at the ledger every second.
        let until = Instant::now() + Duration::from_secs(20);
        let clerk = "`placet-clerk` failed; it begins again";
        while failure == 3 && !bench.said.lock().expect("lines").iter().any(|line| line == clerk) {
            assert!(Instant::now() < until, "nobody said that the clerk failed");
            std::thread::sleep(Duration::from_millis(50));
        }
        how.store(0, Ordering::SeqCst);
    }
    // The answer that hung may have counted meanwhile: then it says so.
    let last = bench.post(&deny, "alice", "{}");
    assert!(matches!(last.status, 200 | 409), "{last:?}");
    assert_eq!(bench.request("GET", "/readyz", &[], None).status, 200);
    let said = bench.said.lock().expect("lines").join("\n");
    assert!(said.contains(&format!("POST {deny}: 503 ")) && said.contains("the disk is full"), "{said}");
}
