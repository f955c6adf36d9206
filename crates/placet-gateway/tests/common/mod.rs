//! A service over a ledger in which a pipeline asks, and clients that speak real HTTP to it.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use placet::channels::{Micros, Stop};
use placet::pipeline::{Begun, Pipeline, PipelineOptions};
use placet::telemetry::Metrics;
use placet::trust::Ledger;
use placet::trust::approvals::queue::Host;
use placet::{Clock, Config, Event, Gate, GateOptions, SourceFile};
use placet_gateway::{Limits, ServeError, Server, Service, Tokens};
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite, Store};
use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = "version: 1
rules:
  - name: large_payments
    when: { action: pay }
    then: hitl
    reviewers: [finance]
    risk_tier: TRANSACTIONAL_HIGH
    reason: \"a person looks at large payments\"
  - name: reports
    when: { action: report }
    then: hitl
";

/// Alice and bob are of finance, carol is of the board, dave of another team. Erin asks.
pub const SETTINGS: &str = "approvals:
  groups: { finance: [alice, bob, erin], board: [carol], support: [dave] }
server:
  reviewers:
    - { name: alice, token_env: TOKEN_OF_ALICE }
    - { name: bob, token_env: TOKEN_OF_BOB }
    - { name: carol, token_env: TOKEN_OF_CAROL }
    - { name: dave, token_env: TOKEN_OF_DAVE }
    - { name: erin, token_sha256: SHA_OF_ERIN }
";

/// The token of a person.
pub fn token(name: &str) -> String {
    format!("{name}-token-0123456789abcdef")
}

/// A clock that the test moves.
#[derive(Clone, Default)]
pub struct Moved(Arc<AtomicI64>);

impl Moved {
    pub fn by_seconds(&self, seconds: i64) {
        self.0.store(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn micros(&self) -> Micros {
        Micros(jiff::Timestamp::now().as_microsecond() + self.0.load(Ordering::SeqCst))
    }
}

impl Clock for Moved {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.micros().0).expect("a moment")
    }
}

impl Host for Moved {
    fn now(&self) -> Micros {
        self.micros()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        placet::refusal::new_id().0.to_string()
    }
}

pub struct Bench {
    pub folder: TempDir,
    pub config: Config,
    pub clock: Moved,
    pub store: Arc<dyn Store>,
    pub pipeline: Arc<Pipeline>,
    pub address: SocketAddr,
    pub said: Arc<Mutex<Vec<String>>>,
    stop: Stop,
    running: Option<JoinHandle<Result<(), ServeError>>>,
}

pub fn store(folder: &Path, config: &Config, clock: &Moved) -> Arc<dyn Store> {
    let reviewers = Arc::new(config.approvals.reviewers().expect("reviewers"));
    let clock = clock.clone();
    let settings = Settings::new(KeyFolder::new(folder.join("keys"))).reviewers(reviewers);
    let settings = settings.clock(Arc::new(move || clock.micros()));
    Arc::new(LogLedger::new(Sqlite::new(folder.join("audit.db")), settings))
}

pub fn service(bench_config: &Config, ledger: Arc<dyn Ledger>, clock: &Moved) -> Service {
    let variable = |name: &str| {
        let name = name.strip_prefix("TOKEN_OF_")?.to_lowercase();
        Some(token(&name).into())
    };
    Service {
        ledger,
        host: Arc::new(clock.clone()),
        tokens: Tokens::of_config(bench_config, &variable).expect("tokens"),
        metrics: Arc::new(Metrics::default()),
        notifiers: Vec::new(),
        limits: Limits::default(),
        say: Box::new(|_| {}),
    }
}

impl Bench {
    pub fn new(settings: &str) -> Self {
        Self::with(settings, 0, |_| {})
    }

    /// A service whose clock is so many seconds ahead.
    pub fn with(settings: &str, seconds: i64, change: impl FnOnce(&mut Service)) -> Self {
        let folder = TempDir::new().expect("a folder");
        let settings = settings.replace("SHA_OF_ERIN", &sha256(&token("erin")));
        let config = Config::parse(&settings, "placet.yaml", folder.path()).expect("a configuration");
        let clock = Moved::default();
        clock.by_seconds(seconds);
        let store = store(folder.path(), &config, &clock);
        let ledger: Arc<dyn Ledger> = store.clone();
        let options = PipelineOptions::of_config(&config, Some(ledger.clone())).expect("options");
        let texts = vec![SourceFile::new("policy.yaml", POLICY)];
        let gate_options = GateOptions {
            config: config.clone(),
            texts,
            clock: Arc::new(clock.clone()),
            ..GateOptions::default()
        };
        let gate = Gate::open(gate_options).expect("a gate");
        let pipeline = Arc::new(Pipeline::new(gate, options));
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut service = service(&config, ledger, &clock);
        let lines = said.clone();
        service.say = Box::new(move |line| lines.lock().expect("lines").push(line.to_owned()));
        change(&mut service);
        let server =
            Server::bind(service, "127.0.0.1:0".parse().expect("an address"), false).expect("a port");
        let (address, stop) = (server.address(), Stop::default());
        let until = stop.clone();
        let running = Some(std::thread::spawn(move || server.run(&until)));
        Self { folder, config, clock, store, pipeline, address, said, stop, running }
    }

    /// Asks for a call of a session; the id of the request, or the code of what came instead.
    pub fn call(&self, action: &str, args: &str, session: &str) -> Result<(), String> {
        match self.pipeline.begin(event(action, args, session)) {
            Begun::Refused(refused) => Err(match refused.approval {
                Some(id) if refused.decision.verdict.code() == "approval_required" => id.0.to_string(),
                _ => refused.decision.verdict.code().to_owned(),
            }),
            Begun::Started(started) => {
                let call = started.permit.call().expect("its digest");
                let effect = started.permit.spend(&call).expect("a good permit");
                effect.finish(placet::pipeline::Outcome::succeeded(None)).expect("recorded");
                Ok(())
            }
        }
    }

    /// Asks people; the id of the request.
    pub fn ask(&self, amount: u32) -> String {
        self.call("pay", &format!("{{\"amount\":{amount}}}"), "s1").expect_err("people are asked")
    }

    pub fn get(&self, path: &str, name: &str) -> Reply {
        self.request("GET", path, &[("Authorization", &format!("Bearer {}", token(name)))], None)
    }

    pub fn post(&self, path: &str, name: &str, body: &str) -> Reply {
        self.post_if(path, name, body, None)
    }

    /// As [`Bench::post`], to whatever service.
    pub fn post_to(&self, address: SocketAddr, path: &str, name: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {}", token(name));
        let headers = [("Authorization", &*bearer), ("Content-Type", "application/json")];
        request(address, "POST", path, &headers, Some(body))
    }

    pub fn post_if(&self, path: &str, name: &str, body: &str, tag: Option<&str>) -> Reply {
        let bearer = format!("Bearer {}", token(name));
        let mut headers = vec![("Authorization", &*bearer), ("Content-Type", "application/json")];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        self.request("POST", path, &headers, Some(body))
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Reply {
        request(self.address, method, path, headers, body)
    }

    /// Sends bytes as they are, says that no more come, and reads what comes until the other side closes.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        self.sent(bytes, true)
    }

    /// As [`Bench::raw`]; whether it says that no more come is the caller's choice.
    pub fn sent(&self, bytes: &[u8], ends: bool) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        // The other side may close before it has read everything.
        let _ = stream.write_all(bytes);
        if ends {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        out
    }

    /// Another service over the same database, with a connection of its own as another process has.
    pub fn second(&self) -> Second {
        let ledger: Arc<dyn Ledger> = store(self.folder.path(), &self.config, &self.clock);
        let service = service(&self.config, ledger, &self.clock);
        let server =
            Server::bind(service, "127.0.0.1:0".parse().expect("an address"), false).expect("a port");
        let (address, stop) = (server.address(), Stop::default());
        let until = stop.clone();
        Second { address, stop, running: Some(std::thread::spawn(move || server.run(&until))) }
    }

    /// Ends the service.
    pub fn end(&mut self) -> Duration {
        let began = Instant::now();
        self.stop.stop();
        if let Some(running) = self.running.take() {
            running.join().expect("no panic").expect("a good end");
        }
        began.elapsed()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(running) = self.running.take() {
            let ended = running.join();
            assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "{ended:?}");
        }
    }
}

pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Reply {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .build(),
    );
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", address));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = match body {
        Some(body) => agent.run(request.body(body.to_owned()).expect("a request")),
        None => agent.run(request.body(()).expect("a request")),
    };
    let mut response = response.expect("an answer");
    let text = response.body_mut().read_to_string().expect("text");
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    Reply { status: response.status().as_u16(), headers, text }
}

/// A further service.
pub struct Second {
    pub address: SocketAddr,
    stop: Stop,
    running: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Drop for Second {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.running.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
    }
}

pub fn event(action: &str, args: &str, session: &str) -> Event {
    let text = format!(
        r#"{{"action":"{action}","tool_name":"{action}","target":"bank","args":{args},"context":{{"session_id":"{session}","delegation_depth":0}},"session":{{"agent_id":"agent-1","user":"erin"}}}}"#
    );
    Event::from_json(text.as_bytes()).expect("an event")
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Asserts the status; its body.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }

    /// Asserts that it is a problem with this status and code, which says what it must; its body.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> Value {
        let body = self.is(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()), "{self:?}");
        assert_eq!(body["type"], format!("urn:placet:problem:{code}"));
        assert!(
            body["title"].is_string() && body["detail"].as_str().is_some_and(|text| text.len() > 20),
            "{self:?}"
        );
        body
    }
}

pub fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

/// The number behind a metric.
pub fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}
