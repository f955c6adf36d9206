//! One bundle, three places to decide it: a real Open Policy Agent server, the embedded engine, and the embedded
//! Rego interpreter, which needs neither a network nor the `opa` command.
//!
//! Without the `opa` command the server is left out, unless `PLACET_REQUIRE_OPA` is set.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it fails"
)]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::rego::{RegoLimits, RegoOptions};
use placet_policy::{GlobalMode, LoadOptions, PolicySet, Request, SourceFile, export, library};
use placet_runtime::{OpaClient, OpaOptions};
use placet_testkit::events::event;
use placet_testkit::exported::find_opa;
use placet_types::{Decision, DecisionId, DenyCause, Event, Tier, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value as Json, json};

const WALKTHROUGH: &str = "version: 1
rules:
  - name: allow_small_refund
    when: { action: approve_refund, role: support_agent, scope: approve_refund, args: { amount: { lte: 100 } } }
    then: allow
  - name: block_large_refund
    when: { action: approve_refund, args: { amount: { gt: 100 } } }
    then: deny
    reason: \"Refunds over $100 require manager approval\"
";

/// The core bundle and the walkthrough.
fn sources() -> Vec<(Tier, SourceFile)> {
    let mut sources = core_bundle::guards(&CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    sources.push((Tier::Project, SourceFile::new("policy.yaml", WALKTHROUGH)));
    sources
}

fn with_library() -> Vec<(Tier, SourceFile)> {
    let mut sources = sources();
    sources.extend(["finance_approval", "plan_limits"].map(|name| library::module(name).unwrap()));
    sources
}

fn modules(sources: &[(Tier, SourceFile)]) -> Vec<(String, String)> {
    export::bundle(sources, GlobalMode::Guard).unwrap_or_else(|found| panic!("{found}"))
}

/// A real server over some modules; it ends with the test.
struct Server {
    child: Child,
    client: OpaClient,
    _folder: tempfile::TempDir,
}

impl Server {
    /// `None` where there is no `opa` command and none is required.
    fn start(modules: &[(String, String)]) -> Option<Self> {
        let Some(opa) = find_opa() else {
            assert!(env::var_os("PLACET_REQUIRE_OPA").is_none(), "the `opa` command is not installed");
            eprintln!("skipped: no `opa` command");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in modules {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = run(&opa, &address, folder.path());
        let options = OpaOptions { base_url: format!("http://{address}"), ..OpaOptions::default() };
        let server = Self { child, client: OpaClient::new(options).unwrap(), _folder: folder };
        let started = Instant::now();
        while !server.client.is_healthy() {
            assert!(started.elapsed() < Duration::from_secs(60), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(opa: &Path, address: &str, folder: &Path) -> Child {
    let mut command = Command::new(opa);
    command.args(["run", "--server", "--addr", address, "--log-level", "error"]).arg(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn read(json: &Json) -> Event {
    Event::from_json(json.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn refund(amount: f64) -> Event {
    read(&json!({"action": "approve_refund", "args": {"amount": amount},
        "context": {"session_id": "s", "user_role": "support_agent", "session_scopes": ["approve_refund"], "delegation_depth": 0}}))
}

#[test]
fn f01_a_real_server_decides_and_denies_once_it_is_stopped() {
    let Some(mut server) = Server::start(&modules(&sources())) else { return };
    let ran = AtomicUsize::new(0);
    let guarded = |server: &Server, event: Event| {
        let decision = server.client.decide(event);
        if decision.verdict == Verdict::Allow {
            ran.fetch_add(1, Ordering::Relaxed);
        }
        decision
    };
    assert_eq!(guarded(&server, refund(42.0)).verdict, Verdict::Allow);
    let denied = guarded(&server, refund(5000.0));
    assert_eq!(
        (denied.verdict.word(), denied.verdict.is_hard(), &*denied.reason),
        ("deny", false, "Refunds over $100 require manager approval")
    );
    server.stop();
    let gone = guarded(&server, refund(42.0));
    assert_eq!(gone.verdict, Verdict::Deny { hard: true, cause: DenyCause::OpaConnectionFailure });
    assert_eq!(gone.verdict.code(), "opa_connection_failure");
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

/// One value mostly, any of the others now and then.
fn mostly(common: Json, rare: &[Json]) -> BoxedStrategy<Json> {
    prop_oneof![6 => Just(common), 1 => select(rare.to_vec())].boxed()
}

/// Steps of a plan: plain ones mostly, or no plan would pass.
fn steps() -> impl Strategy<Value = Vec<Json>> {
    let (read, write) = (json!({"tool": "read", "type": "read"}), json!({"tool": "x", "type": "write"}));
    let tagged = json!({"tool": "x", "tool_tags": ["fs.write"]});
    let odd = [json!({"tool": "execute_shell"}), json!({"type": 5}), json!({"tool": "x", "tool_tags": "x"})];
    let plain = select(vec![read.clone(), read, write, tagged]);
    let any = prop_oneof![20 => plain.clone(), 1 => select(odd.to_vec())];
    prop_oneof![3 => vec(plain, 0..23), 1 => vec(any, 0..12)]
}

/// Events that the bundle is about; the rest of the corpus knows nothing of it.
fn directed() -> impl Strategy<Value = Event> {
    let types = [
        "tool_call",
        "tool_call",
        "tool_call",
        "agent.plan",
        "agent.plan",
        "agent.spawn",
        "agent.delegate",
        "agent.budget",
    ];
    let actions =
        ["approve_refund", "Approve_Refund", "execute_code", "write_file", "nothing_known"].map(Json::from);
    let amounts = [json!(100), json!(100.01), json!(5000), json!(-1), json!(null), json!("42"), json!(true)];
    let paths = [json!("/tmp/../etc/passwd"), json!("/srv/a"), json!(5)];
    let first = (
        select(types.to_vec()),
        mostly(json!("approve_refund"), &actions),
        prop_oneof![mostly(json!(42), &amounts), select(amounts.to_vec())],
        mostly(json!(null), &paths),
    );
    let second = (
        mostly(json!(0), &[json!(1), json!(2), json!(3), json!(null), json!("0")]),
        mostly(json!("support_agent"), &[json!("manager"), json!("guest"), json!(null)]),
        mostly(json!(["approve_refund", "read"]), &[json!([]), json!(["read"]), json!("approve_refund")]),
        mostly(json!([]), &[json!(["finance.write"]), json!(["shell"]), json!(["a", "finance.write"])]),
        mostly(json!(null), &["public", "confidential", "restricted", "secret"].map(Json::from)),
    );
    let third = (mostly(json!(["read"]), &[json!([]), json!(["admin"]), json!("read")]), steps());
    (first, second, third).prop_map(
        |((event_type, action, amount, path), (depth, role, scopes, tags, label), (wants, steps))| {
            let mut args = json!({"amount": amount});
            if !path.is_null() {
                args["path"] = path;
            }
            read(&json!({
                "event_type": event_type, "action": action, "args": args, "tool_tags": tags,
                "data_classification": label, "steps": steps, "requested_capabilities": wants,
                "context": {"session_id": "s", "user_role": role, "session_scopes": scopes, "delegation_depth": depth},
            }))
        },
    )
}

fn corpus(size: usize) -> Vec<Request> {
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[2; 32]));
    let (known, any) = (directed(), event());
    let mut sample = |number: usize| match number % 8 {
        0 => any.new_tree(&mut runner).unwrap().current(),
        _ => known.new_tree(&mut runner).unwrap().current(),
    };
    (0..size).map(|number| Request::new(sample(number))).collect()
}

fn load(sources: &[(Tier, SourceFile)]) -> PolicySet {
    PolicySet::load(sources, &options()).unwrap_or_else(|found| panic!("{found}")).0
}

/// `plan_limits` as Rego, which an edited export is, nests deeper than the interpreter's limit, which is made for small
/// stacks.
fn options() -> LoadOptions {
    let limits = RegoLimits { depth: 192, time: Duration::from_secs(60), ..RegoLimits::default() };
    LoadOptions { rego: RegoOptions { limits, ..RegoOptions::default() }, ..LoadOptions::default() }
}

const STACK_BYTES: usize = 16 << 20;

fn verdict(decision: &Decision) -> (&'static str, bool) {
    (decision.verdict.word(), decision.verdict.is_hard())
}

/// Every reason, whatever the order of the files; where no rule is about the action, its name is spelt differently.
fn reasons(decision: &Decision) -> Vec<&str> {
    const NO_RULE: &str = "no rule allows the action ";
    if decision.reason.starts_with(NO_RULE) {
        return vec![NO_RULE];
    }
    let mut reasons: Vec<&str> = decision.reason.split("; ").collect();
    reasons.sort_unstable();
    reasons
}

#[test]
fn f02_the_embedded_engines_decide_1000_events_as_a_real_server_does() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(decide_alike).unwrap();
    thread.join().unwrap();
}

fn decide_alike() {
    let sources = with_library();
    let modules = modules(&sources);
    // As exported they run on the native program; a byte more, and they are Rego as any other.
    let project = |text: &str, name: &str| (Tier::Project, SourceFile::new(name, text));
    let exported: Vec<_> = modules.iter().map(|(name, text)| project(text, name)).collect();
    let edited: Vec<_> =
        modules.iter().map(|(name, text)| project(&format!("{text}\n# edited\n"), name)).collect();
    let (native, exported, interpreted) = (load(&sources), load(&exported), load(&edited));
    let server = Server::start(&modules);

    let mut seen = [0_usize; 4];
    for request in corpus(1_000) {
        let id = || DecisionId("d".into());
        let wanted = native.decide(&request, id());
        let rego = interpreted.decide(&request, id());
        let shown = serde_json::to_string(request.event()).unwrap();
        assert_eq!(verdict(&rego), verdict(&wanted), "interpreter: {shown}");
        let again = exported.decide(&request, id());
        assert_eq!(
            (verdict(&again), reasons(&again)),
            (verdict(&wanted), reasons(&wanted)),
            "exported: {shown}"
        );
        if let Some(server) = &server {
            let told = server.client.decide(request.event().clone());
            assert_eq!(
                (verdict(&told), reasons(&told), told.risk_tier, told.reviewers()),
                (verdict(&wanted), reasons(&wanted), wanted.risk_tier, wanted.reviewers()),
                "server: {shown}"
            );
        }
        seen[match verdict(&wanted) {
            ("allow", _) => 0,
            ("escalate", _) => 1,
            (_, false) => 2,
            (_, true) => 3,
        }] += 1;
    }
    println!("{seen:?} allow, escalate, deny, hard deny");
    assert!(seen.iter().all(|count| *count >= 10), "a corpus of one kind proves little: {seen:?}");
}
