//! `placet serve` as a process of its own, asked by real clients while a call waits in another process.
#![cfg(feature = "server")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::{Duration, Instant};

use common::Project;
use common::ledger::{POLICY, call, deploy, project};
use placet::channels::Waiting;
use placet::pipeline::{Begun, Outcome};
use serde_json::Value;

const SETTINGS: &str = "policies: policies
keys: keys
approvals:
  groups: { editors: [ann, bob], board: [zoe] }
  due_seconds: 0
server:
  listen: 127.0.0.1:0
  reviewers:
    - { name: ann, token_env: ANN_TOKEN }
    - { name: zoe, token_file: zoe.token }
";

const ANN: &str = "ann-token-0123456789abcdef";
const ZOE: &str = "zoe-token-0123456789abcdef";

/// A service on its way; killed when it is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn editors() -> Project {
    let project = project(&POLICY.replace("then: hitl", "then: hitl\n    reviewers: [editors]"));
    project.write("placet.yaml", SETTINGS);
    project.write("zoe.token", &format!("{ZOE}\n"));
    project
}

fn serve(project: &Project, arguments: &[&str]) -> Serving {
    let all = [&["serve", "--format", "json"][..], arguments].concat();
    let mut child = project.command(&all).env("ANN_TOKEN", ANN).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let url = said["listening"].as_str().expect("an address").to_owned();
    Serving { child, url }
}

impl Serving {
    fn ask(&self, method: &str, path: &str, token: &str, body: Option<&str>) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json");
        let request = request.body(body.unwrap_or_default().to_owned()).expect("a request");
        let mut response = ureq::Agent::new_with_config(config).run(request).expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Tells it to end as an orchestrator does; what it said, and how long it took.
    fn terminate(mut self) -> (String, Duration) {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let began = Instant::now();
        rustix::process::kill_process(id.expect("an id"), rustix::process::Signal::TERM).expect("told");
        let mut said = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0), "{said}");
        (said, began.elapsed())
    }
}

#[test]
fn f69_f71_a_waiting_call_of_another_process_runs_once_it_is_approved_over_http() {
    let project = editors();
    let serving = serve(&project, &[]);
    let deployment = deploy(&project);
    let pipeline = &deployment.pipeline;
    let (ran, approved) = std::thread::scope(|scope| {
        let waits = scope.spawn(move || {
            let waiting = Waiting::until(Instant::now() + Duration::from_secs(60));
            match pipeline.begin_waiting(&call("write_report", r#"{"id":"42"}"#, "s1"), &waiting) {
                Begun::Started(started) => {
                    let digest = started.permit.call().expect("its digest");
                    started
                        .permit
                        .spend(&digest)
                        .expect("good")
                        .finish(Outcome::succeeded(None))
                        .expect("recorded");
                    Ok(Instant::now())
                }
                Begun::Refused(refused) => Err(refused.decision.verdict.code()),
            }
        });
        let id = loop {
            let (status, list) = serving.ask("GET", "/v1/approvals", ANN, None);
            assert_eq!(status, 200, "{list}");
            if let Some(id) = list["approvals"][0]["id"].as_str() {
                break id.to_owned();
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let path = format!("/v1/approvals/{id}");
        let (status, seen) = serving.ask("GET", &path, ANN, None);
        assert!(
            status == 200
                && seen["would_run"]["text"].as_str().is_some_and(|text| text.contains("id = \"42\""))
        );
        let (status, refused) = serving.ask("POST", &format!("{path}/approve"), ZOE, Some("{}"));
        assert_eq!((status, &refused["needed_groups"][0]), (403, &"editors".into()), "{refused}");
        let approve =
            || serving.ask("POST", &format!("{path}/approve"), ANN, Some(r#"{"reason": "read it"}"#));
        let (status, after) = approve();
        let approved = Instant::now();
        assert_eq!((status, &after["state"]), (200, &"approved".into()), "{after}");
        let (status, again) = approve();
        assert_eq!((status, &again["decision"]["by"]), (409, &"ann".into()), "{again}");
        (waits.join().expect("no panic"), approved)
    });
    let late = ran.expect("it ran").saturating_duration_since(approved);
    assert!(late < Duration::from_millis(500), "{late:?}");
    let (status, page) = serving.ask("GET", "/metrics", ANN, None);
    let page = page.as_str().expect("text");
    assert!(status == 200 && page.contains("placet_approvals_breaches_total 1\n"), "{page}");
    assert!(page.contains("placet_approvals_decision_seconds{quantile=\"0.95\"} "), "{page}");

    let (said, took) = serving.terminate();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(
        said.contains("serves http://127.0.0.1:") && said.contains("yes of ann (session); it is approved"),
        "{said}"
    );
    assert!(!said.contains(ANN) && !said.contains(ZOE), "no token in the log: {said}");
    drop(deployment);
    let key = project.run(&["audit", "key"]).exits(0).out.trim().to_owned();
    project.run(&["audit", "verify", "--key", &key]).exits(0).says(&["OK "]);
    let row = project.run(&["audit", "--tool", "write_report", "--format", "json"]).exits(0).json();
    assert_eq!((&row[0]["human_decision"], &row[0]["hitl_decided_by"]), (&"approved".into(), &"ann".into()));
}

#[test]
fn f69_told_to_end_it_signs_the_last_checkpoint() {
    let project = editors();
    {
        let deployment = deploy(&project);
        let refused = deployment.run(call("write_report", r#"{"id":"42"}"#, "s1"), Outcome::succeeded(None));
        assert_eq!(refused, Err("approval_required"));
    }
    let serving = serve(&project, &[]);
    let (_, list) = serving.ask("GET", "/v1/approvals", ANN, None);
    let id = list["approvals"][0]["id"].as_str().expect("an id");
    let (status, _) = serving.ask("POST", &format!("/v1/approvals/{id}/deny"), ANN, Some("{}"));
    assert_eq!(status, 200);
    serving.terminate();
    let key = project.run(&["audit", "key"]).exits(0).out.trim().to_owned();
    let json = project.run(&["audit", "verify", "--key", &key, "--format", "json"]).exits(0).json();
    assert_eq!((&json["signed"], &json["unsigned"]), (&json["entries"], &Value::Null), "{json}");
}

#[test]
fn f69_it_does_not_start_where_it_could_not_be_trusted() {
    let project = editors();
    let start = |arguments: &[&str]| project.run(&[&["serve"][..], arguments].concat());
    start(&[])
        .exits(2)
        .complains(&["`server.reviewers: ann`", "the environment variable `ANN_TOKEN`; set it"]);
    project.write("ann.token", ANN);
    let own = SETTINGS.replace("token_env: ANN_TOKEN", "token_file: ann.token");
    project.write("placet.yaml", &own);
    start(&["--listen", "0.0.0.0:0"]).exits(2).complains(&["TLS", "allow_plain_http"]);
    start(&["--listen", "localhost"]).exits(2).complains(&["localhost"]);
    start(&["--ledger", "memory"]).exits(2).complains(&["nothing is kept where others reach it"]);
    start(&["--ledger", "log.jsonl"]).exits(2).complains(&["a mirror cannot be written to"]);
    start(&["--ledger", "."]).exits(2).complains(&["the ledger `.` cannot open"]);
    assert!(!project.path("log.jsonl").exists());
    project.write("placet.yaml", &own.replace("name: zoe", "name: eve"));
    start(&[]).exits(2).complains(&["`server.reviewers: eve` is in no group"]);
    project.write("placet.yaml", &own.replace("listen:", "lisen:"));
    start(&[]).exits(2).complains(&["unknown field `lisen`"]);
    let serving = serve(&Project::new(&[("placet.yaml", "keys: keys\n")]), &["--listen", "127.0.0.1:0"]);
    let (status, _) = serving.ask("GET", "/v1/approvals", ANN, None);
    assert_eq!(status, 401);
    let mut taken = serving.url.clone();
    taken.replace_range(.."http://".len(), "");
    project.write("placet.yaml", &own);
    start(&["--listen", &taken]).exits(2).complains(&["cannot listen on", "choose another address"]);
}

/// The kinds and texts of the blocks of the page on approvals.
fn blocks() -> Vec<(String, String)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/approvals.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let parts: Vec<&str> = page.split("```").collect();
    let inside = parts.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    inside.map(|(kind, text)| (kind.to_owned(), text.to_owned())).collect()
}

/// Whether JSON holds what the page shows of it; `…` stands for any text.
fn holds(shown: &Value, got: &Value) -> bool {
    match (shown, got) {
        (Value::String(any), Value::String(_)) if any == "…" => true,
        (Value::Object(shown), Value::Object(got)) => {
            shown.iter().all(|(name, shown)| got.get(name).is_some_and(|got| holds(shown, got)))
        }
        (Value::Array(shown), Value::Array(got)) => {
            shown.len() == got.len() && shown.iter().zip(got).all(|(shown, got)| holds(shown, got))
        }
        _ => shown == got,
    }
}

/// Runs the commands of a block as the page says; what they print.
fn shell(project: &Project, text: &str, url: &str, id: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_placet")).parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path)));
    let mut bash = std::process::Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", text]).current_dir(project.folder.path());
    bash.env("PATH", path.expect("a path")).env("URL", url).env("ID", id).env("TOKEN", ANN);
    let done = bash.output().expect("bash");
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

/// The deployment of the page, in which somebody asks to pay.
fn of_the_page(settings: &str) -> (Project, Serving, String) {
    let pays = "version: 1\nrules:\n  - name: pays\n    when: { action: pay }\n    then: hitl\n    reviewers: [finance]\n    \
                risk_tier: TRANSACTIONAL_HIGH\n";
    let project = Project::new(&[("policies/policy.yaml", pays)]);
    project.write("placet.yaml", &format!("{settings}keys: keys\n"));
    project.write("bob.token", "bob-token-0123456789abcdef");
    let mut command = project.command(&["serve", "--listen", "127.0.0.1:0", "--format", "json"]);
    let mut child = command.env("ALICE_TOKEN", ANN).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let serving = Serving { child, url: said["listening"].as_str().expect("an address").to_owned() };
    let asked = deploy(&project).run(call("pay", r#"{"amount":900}"#, "s1"), Outcome::succeeded(None));
    assert_eq!(asked, Err("approval_required"));
    let (_, list) = serving.ask("GET", "/v1/approvals", ANN, None);
    let id = list["approvals"][0]["id"].as_str().expect("an id").to_owned();
    (project, serving, id)
}

#[test]
fn f69_the_examples_of_the_page_hold() {
    let blocks = blocks();
    let settings = &blocks.iter().find(|(kind, _)| kind == "yaml server").expect("settings").1;
    let (project, serving, id) = of_the_page(settings);
    let mut shown = 0;
    for (at, (_, text)) in blocks.iter().enumerate().filter(|(_, (kind, _))| kind == "bash http") {
        let printed = shell(&project, text, &serving.url, &id);
        let got: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        let (kind, below) = &blocks[at + 1];
        assert_eq!(kind, "json http");
        let wanted: Value = serde_json::from_str(below).unwrap_or_else(|error| panic!("{error}: {below}"));
        assert!(holds(&wanted, &got), "{text}\n{below}\n{got:#}");
        shown += 1;
    }
    assert_eq!(shown, 4);
}

#[test]
fn f69_the_signed_answer_of_the_page_counts() {
    let blocks = blocks();
    let settings = &blocks.iter().find(|(kind, _)| kind == "yaml server").expect("settings").1;
    let keys = Project::new(&[]);
    let made = keys.run(&["approvals", "keygen", "--by", "alice", "-o", "alice.key"]).exits(0).out.clone();
    let head = format!("approvals:\n  strength: signed\n  keys:\n    {made}");
    let (project, serving, id) = of_the_page(&settings.replace("approvals:\n", &head));
    std::fs::copy(keys.path("alice.key"), project.path("alice.key")).expect("copied");
    let (_, weak) = serving.ask("POST", &format!("/v1/approvals/{id}/approve"), ANN, Some("{}"));
    assert_eq!(weak["code"], "too_weak", "{weak}");

    // What was changed on the way is not signed.
    let (_, one) = serving.ask("GET", &format!("/v1/approvals/{id}"), ANN, None);
    let sign = |text: &str| {
        let all = ["approvals", "sign", "approve", "-", "--by", "alice", "--key", "alice.key"];
        project.run_with(&all, text.as_bytes())
    };
    let whole = one.to_string();
    sign(&whole.replace("900", "100")).exits(1).complains(&["is not signed", "is not what was asked"]);
    sign(&whole.replace("\"finance\"", "\"board\"")).exits(1).complains(&["is not signed"]);
    sign("{}").exits(2).complains(&["is no request for approval", "GET /v1/approvals/{id}"]);
    sign("no").exits(2).complains(&["is no request for approval"]);
    let run = sign(&whole).exits(0);
    assert!(run.err.contains("amount = 900"), "what is signed is shown: {run:?}");

    let text = &blocks.iter().find(|(kind, _)| kind == "bash http-signed").expect("the example").1;
    let printed = shell(&project, text, &serving.url, &id);
    let after: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    assert_eq!(
        (&after["state"], &after["votes"][0]["strength"]),
        (&"approved".into(), &"signed".into()),
        "{after}"
    );
    let pay = call("pay", r#"{"amount":900}"#, "s1");
    assert_eq!(deploy(&project).run(pay, Outcome::succeeded(None)), Ok(()));
}

#[test]
fn f69_every_code_of_the_page_is_one_of_the_service() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/approvals.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let table =
        page.split("| Status | `code` |").nth(1).expect("the table").split("\n\n").next().expect("rows");
    let ours = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../placet-gateway/src");
    let files = ["problem.rs", "auth.rs", "shared.rs", "health.rs", "serve.rs"].map(|name| ours.join(name));
    let inner =
        ["answer.rs", "input.rs", "look.rs", "refused.rs"].map(|name| ours.join("approvals").join(name));
    let source: String =
        files.iter().chain(&inner).map(|file| std::fs::read_to_string(file).expect("a source")).collect();
    let members = ["needed_groups", "needed_strength", "decision", "approval"];
    let mut codes = 0;
    for code in table.split('`').skip(1).step_by(2).filter(|code| !members.contains(code)) {
        assert!(source.contains(&format!("\"{code}\"")), "{code}");
        codes += 1;
    }
    assert_eq!(codes, 27);
}
