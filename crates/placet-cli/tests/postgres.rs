//! The commands over a ledger in PostgreSQL.
#![cfg(feature = "postgres")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;
#[path = "../../placet-store/tests/support/server.rs"]
mod server;

use std::sync::atomic::{AtomicU32, Ordering};

use common::Project;
use common::ledger::{POLICY, call, deploy, record};
use placet::pipeline::Outcome;
use placet_store::Place;
use serde_json::Value;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A project whose ledger is in a schema of its own.
fn project() -> (Project, String) {
    let schema = format!("cli_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let address = format!("{}?schema={schema}", server::server());
    let config = format!("policies: policies\nkeys: keys\nledger: {address}\n");
    (Project::new(&[("placet.yaml", &config), ("policies/policy.yaml", POLICY)]), schema)
}

fn ids(json: &Value) -> Vec<String> {
    json.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn f27_every_command_works_on_a_ledger_in_postgresql() {
    let (project, _) = project();
    project.run(&["audit"]).exits(2).complains(&["there is no ledger"]);
    record(&deploy(&project));
    project.run(&["audit"]).exits(0).says(&[
        "search",
        "write_report",
        "pending",
        "delete_document",
        "blocked",
    ]);
    project.run(&["audit", "show", "1"]).exits(0).says(&["succeeded"]);
    project.run(&["audit", "tail", "-n", "2"]).exits(0).says(&["failed     of"]);
    project.run(&["audit", "stats"]).exits(0).says(&["4 decisions in 2 sessions"]);
    std::fs::create_dir(project.path("elsewhere")).unwrap();
    project.run(&["audit", "key", "-o", "elsewhere/log.vkey"]).exits(0);
    let verify = ["audit", "verify", "--key", "elsewhere/log.vkey"];
    project.run(&verify).exits(0).says(&["OK  6 records"]);
    project.run(&["audit", "prove", "1", "--leaf", "1.json"]).exits(0);
    project
        .run(&["audit", "check", "1.tlog-proof", "--leaf", "1.json", "--key", "elsewhere/log.vkey"])
        .exits(0);
    project.run(&["audit", "export", "-o", "mirror.jsonl"]).exits(0);
    project.run(&[&verify[..], &["--ledger", "mirror.jsonl"]].concat()).exits(0).says(&["OK  6 records"]);
    project.run(&["audit", "export", "--session", "s1", "-o", "s1.json"]).exits(0);
    project.run(&["audit", "check", "s1.json", "--key", "elsewhere/log.vkey"]).exits(0);
    project.run(&["replay"]).exits(0).says(&["0 of 4 decisions would change"]);
}

#[test]
fn f27_people_answer_what_waits_in_postgresql() {
    let (project, _) = project();
    let deployment = deploy(&project);
    record(&deployment);
    let waiting = ids(&project.run(&["approvals", "list", "--format", "json"]).exits(0).json());
    let [id] = waiting.as_slice() else { panic!("{waiting:?}") };
    project.run(&["approvals", "show", id]).exits(0).says(&["checked against its digest", "id = \"42\""]);
    project.run(&["approvals", "approve", id, "--by", "ann"]).exits(0);
    let write = || deployment.run(call("write_report", r#"{"id":"42"}"#, "s1"), Outcome::succeeded(None));
    assert_eq!((write(), write()), (Ok(()), Err("approval_required")), "a yes is used once");
}

#[test]
fn f27_the_view_audit_log_says_what_the_list_says() {
    let (project, schema) = project();
    let deployment = deploy(&project);
    record(&deployment);
    // What no text of PostgreSQL holds: a zero character.
    let odd = call("search", r#"{"q":"a\u0000b\\u0000"}"#, "s1");
    deployment.run(odd, Outcome::succeeded(Some("x".into()))).expect("allowed");
    let waiting = ids(&project.run(&["approvals", "list", "--format", "json"]).exits(0).json());
    project.run(&["approvals", "approve", &waiting[0], "--by", "ann"]).exits(0);
    deployment.run(call("write_report", r#"{"id":"42"}"#, "s1"), Outcome::succeeded(None)).expect("approved");
    let mut client = postgres::Client::connect(server::server(), postgres::NoTls).unwrap();
    let columns = common::COLUMNS.join(", ");
    let sql =
        format!("SELECT row_to_json(rows)::text FROM (SELECT {columns} FROM {schema}.audit_log) AS rows");
    let rows = client.query(&sql, &[]).unwrap();
    let viewed: Vec<Value> =
        rows.iter().map(|row| serde_json::from_str(row.get::<_, &str>(0)).unwrap()).collect();
    let listed = project.run(&["audit", "--format", "json"]).exits(0).json();
    let parsed = |value: &Value| match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    };
    let row = |row: &Value| -> Value {
        let cell = |name: &&str| {
            let mut value = parsed(&row[*name]);
            if *name == "action_params" {
                value = serde_json::from_str(&value.to_string().replace("\\u0000", "\\ufffd")).unwrap();
            }
            ((*name).to_owned(), value)
        };
        Value::Object(common::COLUMNS.iter().map(cell).collect())
    };
    let listed: Vec<Value> = listed.as_array().expect("a list").iter().map(row).collect();
    assert_eq!(viewed.iter().map(row).collect::<Vec<_>>(), listed);
    assert_eq!(listed.len(), 5);
}

#[test]
fn the_page_on_postgresql_is_true() {
    let page = include_str!("../../../docs/postgresql.md");
    let example = page.split("```yaml config\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = placet::Config::parse(example, "postgresql.md", "".as_ref()).unwrap();
    let settings = placet_store::PlaceSettings { ledger: config.ledger, ..Default::default() };
    let place = settings.place("".as_ref()).unwrap();
    let Place::Postgres(address) = place else { panic!("{place:?}") };
    address.backend().unwrap();
    let (project, schema) = project();
    record(&deploy(&project));
    let mut client = postgres::Client::connect(server::server(), postgres::NoTls).unwrap();
    let sql = page.rsplit("```sql\n").next().and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(client.query(&sql.replace("placet.", &format!("{schema}.")), &[]).unwrap().len(), 4);
}
