//! The contract of a ledger, over a real PostgreSQL: `PLACET_TEST_POSTGRES`, or a server of our own.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]
#![cfg(feature = "postgres")]

mod contract;
#[path = "support/server.rs"]
mod server;
mod support;

use contract::{Place, contract};
use placet_audit::verify::verify;
use placet_store::{LogLedger, Postgres, PostgresSource, Settings};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use server::server;
use tempfile::TempDir;

struct InPostgres {
    keys: TempDir,
    schema: String,
}

impl InPostgres {
    fn new() -> Self {
        let schema = support::fresh("log").replace('-', "_");
        Self { keys: tempfile::tempdir().unwrap(), schema }
    }

    fn shell(&self) -> postgres::Client {
        let mut client = postgres::Client::connect(server(), postgres::NoTls).unwrap();
        client.batch_execute(&format!("SET search_path = {}", self.schema)).unwrap();
        client
    }
}

impl Place for InPostgres {
    type Backend = Postgres;

    fn backend(&self) -> Postgres {
        Postgres::with_schema(server(), &self.schema).unwrap()
    }

    fn settings(&self) -> Settings {
        support::settings(self.keys.path())
    }

    fn edit(&self, kind: &str, id: &str, body: Option<&str>) {
        let mut shell = self.shell();
        let changed = match body {
            Some(body) => {
                shell.execute("UPDATE state SET body = $3 WHERE kind = $1 AND id = $2", &[&kind, &id, &body])
            }
            None => shell.execute("DELETE FROM state WHERE kind = $1 AND id = $2", &[&kind, &id]),
        };
        assert_eq!(changed.unwrap(), 1);
    }
}

#[test]
fn f27_edits_of_the_log_are_noticed() {
    let edits = [
        "ALTER TABLE entry DISABLE TRIGGER USER; UPDATE entry SET leaf = replace(leaf, 'allow', 'adopt') WHERE seq = 2",
        "ALTER TABLE entry DISABLE TRIGGER USER; DELETE FROM entry WHERE seq = 2",
        "INSERT INTO entry SELECT 5, leaf, hash FROM entry WHERE seq = 4",
        "UPDATE head SET chain = decode(repeat('00', 32), 'hex')",
        "DELETE FROM head",
    ];
    for edit in edits {
        let place = InPostgres::new();
        let ledger = place.open();
        for _ in 0..5 {
            ledger.commit(support::call(), Ack::Durable).unwrap();
        }
        drop(ledger);
        place.shell().batch_execute(edit).unwrap();
        let error = place.open().open().unwrap_err();
        assert!(matches!(error, LedgerError::Tampered { .. }), "`{edit}`: {error}");
    }
}

#[test]
fn f27_verify_reads_it_and_finds_edits() {
    let place = InPostgres::new();
    let ledger = place.open();
    for _ in 0..300 {
        ledger.commit(support::personal(support::call()), Ack::Written).unwrap();
    }
    drop(ledger);
    let origin: String = place.shell().query_one("SELECT origin FROM head", &[]).unwrap().get(0);
    let key = placet_store::KeyFolder::new(place.keys.path().join("keys")).verifier(&origin).unwrap();
    let verified = || {
        verify(&mut PostgresSource::open(&place.backend()).unwrap(), std::slice::from_ref(&key), None)
            .unwrap()
    };
    let report = verified();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.entries, report.signed), (300, 300));
    place.shell().batch_execute("UPDATE view SET body = replace(body, '120', '12') WHERE seq = 280").unwrap();
    let report = verified();
    assert!(!report.ok);
    assert_eq!(report.findings[0].at.from, 280);
}

#[test]
fn f27_the_log_is_append_only_in_the_database_too() {
    let place = InPostgres::new();
    place.open().commit(support::call(), Ack::Durable).unwrap();
    for edit in ["UPDATE entry SET leaf = ''", "DELETE FROM entry", "TRUNCATE entry"] {
        let error = place.shell().batch_execute(edit).unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("append-only"), "{error}");
    }
}

#[test]
fn f27_a_lost_connection_costs_at_most_the_call_in_flight() {
    let place = InPostgres::new();
    let named = format!("{}?application_name={}", server(), place.schema);
    let backend = Postgres::with_schema(&named, &place.schema).unwrap();
    let ledger = LogLedger::new(backend, place.settings());
    let mut committed = 0;
    for _ in 0..3 {
        assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, committed);
        committed += 1;
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1";
        assert!(!place.shell().query(sql, &[&place.schema]).unwrap().is_empty());
        match ledger.commit(support::call(), Ack::Durable) {
            Err(error) => assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}"),
            // The thread behind the ledger noticed first.
            Ok(_) => committed += 1,
        }
    }
    assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, committed);
}

/// However many threads: one connection of a role that may have one. Another process is refused until it is free.
#[test]
fn f27_the_limit_of_connections_is_respected() {
    let place = InPostgres::new();
    let role = format!("{}_role", place.schema);
    let mut shell = place.shell();
    let make = format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; CREATE SCHEMA {0} AUTHORIZATION {role}",
        place.schema
    );
    shell.batch_execute(&make).unwrap();
    let url = server().replace("://placet@", &format!("://{role}@"));
    let open = || LogLedger::new(Postgres::with_schema(&url, &place.schema).unwrap(), place.settings());
    let ledger = open();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| (0..3).for_each(|_| drop(ledger.commit(support::call(), Ack::Durable).unwrap())));
        }
    });
    ledger.sign().unwrap();
    assert_eq!(ledger.trouble(), None);
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
    assert_eq!(shell.query_one(connections, &[&role]).unwrap().get::<_, i64>(0), 1);
    let other = open();
    let error = other.commit(support::call(), Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { action: "open", .. }), "{error}");
    ledger.close();
    // The server ends a connection a moment after its client.
    while shell.query_one(connections, &[&role]).unwrap().get::<_, i64>(0) > 0 {}
    assert_eq!(other.commit(support::call(), Ack::Durable).unwrap().seq, 192);
}

#[test]
fn f27_a_connection_that_would_cross_a_network_in_the_clear_must_be_asked_for() {
    for near in ["postgresql://u@localhost/x", "postgresql://u@127.0.0.1/x", "postgresql://u@%2Frun%2Fpg/x"] {
        assert!(Postgres::new(near).is_ok(), "{near}");
    }
    let far = Postgres::new("postgresql://u:hunter2@db.example/x").map(|_| ()).unwrap_err().to_string();
    assert!(far.contains("sslmode=disable") && !far.contains("hunter2"), "{far}");
    assert!(Postgres::new("postgresql://u@db.example/x?sslmode=disable").is_ok());
}

#[test]
fn f27_a_server_that_is_not_there_refuses() {
    let keys = tempfile::tempdir().unwrap();
    let nowhere = Postgres::new("postgresql://placet:hunter2@127.0.0.1:1/placet").unwrap();
    let ledger = LogLedger::new(nowhere, support::settings(keys.path()));
    let error = ledger.commit(support::call(), Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { action: "open", .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

contract! { InPostgres::new();
    f27_postgres_commits_are_numbered_and_seen => commits_are_numbered_and_seen,
    f27_postgres_a_view_is_found_wherever_it_stands => a_view_is_found_wherever_it_stands,
    f27_postgres_a_failed_precondition_commits_the_fallback => a_failed_precondition_commits_the_fallback,
    f27_postgres_sixty_four_callers_spend_a_budget_of_ten => sixty_four_callers_spend_a_budget_of_ten,
    f67_f27_postgres_of_fifty_deciders_one_wins => of_fifty_deciders_one_wins,
    f27_postgres_a_log_is_read_again => a_log_is_read_again,
    f27_postgres_a_record_id_is_taken_once => a_record_id_is_taken_once,
    f27_postgres_two_writers_share_one_log => two_writers_share_one_log,
    f27_postgres_waiting_ends_with_news => waiting_ends_with_news,
    f27_postgres_published_is_covered_by_a_checkpoint => published_is_covered_by_a_checkpoint,
    f27_postgres_time_never_runs_backwards => time_never_runs_backwards,
    f27_postgres_an_edited_row_is_noticed => an_edited_row_is_noticed,
    f27_postgres_an_edited_row_stops_no_others_in_its_batch => an_edited_row_stops_no_others_in_its_batch,
    f27_postgres_what_is_erased_is_gone_and_on_record => what_is_erased_is_gone_and_on_record,
    f27_postgres_a_record_too_large_is_refused_alone => a_record_too_large_is_refused_alone,
    f27_postgres_a_fault_in_a_fallback_refuses_and_harms_nothing => a_fault_in_a_fallback_refuses_and_harms_nothing,
    f27_postgres_closing_signs_and_the_next_use_opens => closing_signs_and_the_next_use_opens,
    f72_postgres_memories_keep_to_their_session_and_tier => memories_keep_to_their_session_and_tier,
}
