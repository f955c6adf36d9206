//! Several processes on one log, and processes that are killed.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

#[cfg(feature = "postgres")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[cfg(feature = "postgres")]
use placet_audit::verify::verify;
#[cfg(feature = "postgres")]
use placet_store::KeyFolder;
use placet_store::{LogLedger, Settings, Sqlite};
use placet_trust::Ledger;
use placet_types::Ack;
use support::*;

const ROLE: &str = "PLACET_STORE_TEST_ROLE";
const FOLDER: &str = "PLACET_STORE_TEST_FOLDER";
#[cfg(feature = "postgres")]
const SERVER: &str = "PLACET_STORE_TEST_SERVER";

/// This very test binary, in a role.
fn spawn(role: &str, folder: &Path) -> Child {
    command(role, folder).spawn().unwrap()
}

fn command(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "acts_in_a_role", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

/// What a spawned process does; without a role, nothing.
#[test]
fn acts_in_a_role() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let folder = Path::new(&folder);
    #[cfg(feature = "postgres")]
    if let Ok(url) = std::env::var(SERVER) {
        return act(&role, &in_postgres(&url, folder));
    }
    act(&role, &sqlite(folder));
}

fn act(role: &str, ledger: &dyn Ledger) {
    let rounds = if role == "append" { 50 } else { usize::MAX };
    let threads = if role == "append" { 1 } else { 3 };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for round in 0..rounds {
                    let ack = if round % 2 == 0 { Ack::Durable } else { Ack::Written };
                    let proposal = if round % 3 == 0 { with(vec![reserve(1)]) } else { call() };
                    let id = proposal.record.id.clone();
                    let receipt = ledger.commit(proposal, ack).unwrap();
                    let id = if receipt.refused.is_some() { "refused".to_owned() } else { id.to_string() };
                    // One write, so that lines of threads do not mix.
                    let line = format!("ack {} {id}\n", receipt.seq);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// The positions and ids that a process was told are committed.
fn acks(child: &mut Child) -> Vec<(u64, String)> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| ack(&line)).collect()
}

fn ack(line: &str) -> Option<(u64, String)> {
    let (_, rest) = line.split_once("ack ")?;
    let (seq, id) = rest.split_once(' ')?;
    Some((seq.parse().ok()?, id.to_owned()))
}

fn check(folder: &Path, acknowledged: &[(u64, String)], least: usize) {
    let report = report(folder);
    let shell = rusqlite::Connection::open(folder.join("placet_audit.db")).unwrap();
    assert!(report.ok, "{report:?}");
    assert!(usize::try_from(report.entries).unwrap() >= least);
    let mut seqs = BTreeSet::new();
    for (seq, id) in acknowledged {
        assert!(seqs.insert(*seq), "position {seq} was given twice");
        let stored: String = shell
            .query_row("SELECT leaf ->> '$.id' FROM entry WHERE seq = ?1", [*seq as i64], |row| row.get(0))
            .unwrap();
        assert!(id == "refused" || stored == *id, "record {id} is not at {seq}");
    }
}

#[test]
fn f26_eight_processes_append_to_one_log() {
    let folder = tempfile::tempdir().unwrap();
    sqlite(folder.path()).commit(change(vec![limit(10)]), Ack::Durable).unwrap();
    let mut children: Vec<Child> = (0..8).map(|_| spawn("append", folder.path())).collect();
    let all: Vec<_> = children.iter_mut().flat_map(acks).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(all.len(), 400);
    check(folder.path(), &all, 401);
    assert_eq!(spent(&sqlite(folder.path())), 10);
}

#[test]
fn aegis_73_kill_9_loses_no_acknowledged_record() {
    let folder = tempfile::tempdir().unwrap();
    let open = || sqlite(folder.path());
    let acknowledged = killed(&open, &|| spawn("until killed", folder.path()));
    check(folder.path(), &acknowledged, acknowledged.len());
}

/// What processes were told before they were killed, each at another moment.
fn killed<L: Ledger>(open: &dyn Fn() -> L, spawn: &dyn Fn() -> Child) -> Vec<(u64, String)> {
    open().commit(change(vec![limit(40)]), Ack::Durable).unwrap();
    let kills = std::env::var("PLACET_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(25);
    let mut acknowledged = Vec::new();
    for kill in 0..kills {
        let mut child = spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after a number of acknowledgements that differs each time, and a little later.
        let mut left = 1 + (kill * 7) % 40;
        while left > 0 {
            acknowledged.extend(ack(&lines.next().unwrap().unwrap()).inspect(|_| left -= 1));
        }
        std::thread::sleep(Duration::from_micros((kill as u64 * 137) % 3_000));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| ack(&line)));
        assert!(spent(&open()) <= 40);
    }
    acknowledged
}

#[cfg(feature = "postgres")]
fn in_postgres(url: &str, folder: &Path) -> LogLedger<placet_store::Postgres> {
    LogLedger::new(placet_store::Postgres::new(url).unwrap(), settings(folder))
}

#[cfg(feature = "postgres")]
fn in_server(role: &str, folder: &Path) -> Child {
    command(role, folder).env(SERVER, server::server()).spawn().unwrap()
}

/// Holds what processes were told against the log in PostgreSQL.
#[cfg(feature = "postgres")]
fn check_server(folder: &Path, acknowledged: &[(u64, String)]) {
    let mut shell = postgres::Client::connect(server::server(), postgres::NoTls).unwrap();
    let origin: String = shell.query_one("SELECT origin FROM placet.head", &[]).unwrap().get(0);
    let key = KeyFolder::new(folder.join("keys")).verifier(&origin).unwrap();
    let place = placet_store::Postgres::new(server::server()).unwrap();
    let report = verify(&mut placet_store::PostgresSource::open(&place).unwrap(), &[key], None).unwrap();
    assert!(report.ok, "{report:?}");
    let mut seqs = BTreeSet::new();
    for (seq, id) in acknowledged {
        assert!(seqs.insert(*seq), "position {seq} was given twice");
        let sql = "SELECT leaf::jsonb ->> 'id' FROM placet.entry WHERE seq = $1";
        let stored: String = shell.query_one(sql, &[&(*seq as i64)]).unwrap().get(0);
        assert!(id == "refused" || stored == *id, "record {id} is not at {seq}");
    }
}

/// Both on one log: first processes that are killed, then eight that append.
#[cfg(feature = "postgres")]
#[test]
fn f27_processes_that_are_killed_and_eight_that_append() {
    let folder = tempfile::tempdir().unwrap();
    let open = || in_postgres(server::server(), folder.path());
    let mut acknowledged = killed(&open, &|| in_server("until killed", folder.path()));
    let mut children: Vec<Child> = (0..8).map(|_| in_server("append", folder.path())).collect();
    acknowledged.extend(children.iter_mut().flat_map(acks));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    check_server(folder.path(), &acknowledged);
    assert_eq!(spent(&open()), 40);
}

/// A fork is prepared by closing what must not be inherited. The fork itself is tested from Python, where it is safe.
#[test]
fn f26_a_ledger_pauses_for_a_fork_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ledger: LogLedger<Sqlite> = sqlite(folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    ledger.commit(call(), Ack::Written).unwrap();
                }
            });
        }
        for _ in 0..10 {
            let guard = ledger.before_fork();
            let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
                std::fs::read_link(entry.unwrap().path()).ok().filter(|path| path.starts_with(folder.path()))
            });
            assert_eq!(open.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
            drop(guard);
        }
    });
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 200);
}

#[test]
fn f26_settings_show_no_secrets() {
    let shown = format!("{:?}", Settings::with_passing_keys().unwrap());
    assert!(!shown.contains("KEY"), "{shown}");
}
