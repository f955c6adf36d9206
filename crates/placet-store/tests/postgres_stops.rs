//! A PostgreSQL that stops in the middle: commits are refused while it is away, and go on when it is back.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: helpers outside test functions")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use placet_store::{LogLedger, Postgres};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;

/// Runs a command line as the user who may run a server.
fn run(line: &str) {
    let as_root = std::fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    });
    let mut command = Command::new(if as_root { "runuser" } else { "sh" });
    if as_root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    let done = command.args(["-c", line]).current_dir("/").stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "{line}");
}

fn start(folder: &Path) {
    run(&format!(
        "pg_ctl -D {0}/data -w -o \"-k {0} -c listen_addresses=''\" -l {0}/server.log start",
        folder.display()
    ));
}

#[test]
fn f27_a_server_that_stops_in_the_middle_refuses_and_comes_back() {
    if std::env::var("PLACET_TEST_POSTGRES").is_ok() {
        eprintln!("a server that others use is not stopped; not run");
        return;
    }
    let (folder, keys) =
        (tempfile::Builder::new().prefix("placet-stop").tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _ = Command::new("chown").arg("postgres").arg(folder.path()).status();
    run(&format!("initdb -D {}/data -U placet -A trust", folder.path().display()));
    start(folder.path());
    let url = format!("host={} user=placet dbname=postgres", folder.path().display());
    let ledger = LogLedger::new(Postgres::new(&url).unwrap(), support::settings(keys.path()));
    for seq in 0..3 {
        assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, seq);
    }
    for (round, how) in ["immediate", "fast"].into_iter().enumerate() {
        run(&format!("pg_ctl -D {}/data -m {how} -w stop", folder.path().display()));
        for _ in 0..3 {
            let error = ledger.commit(support::call(), Ack::Durable).unwrap_err();
            assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
        }
        start(folder.path());
        // In the same process; nothing was lost, and nothing slipped in.
        assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, 3 + round as u64);
    }
    drop(ledger);
    run(&format!("pg_ctl -D {}/data -m immediate stop", folder.path().display()));
}
