//! Another program that holds the lock file of a ledger.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, reason = "tests: helpers outside test functions")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use support::*;

/// A program that holds the lock file until it is killed.
fn holder(folder: &Path) -> Child {
    let mut child = Command::new("flock")
        .args(["--no-fork"])
        .arg(folder.join("placet_audit.db.lock"))
        .args(["sh", "-c", "echo held; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

fn refused(ledger: &dyn Ledger) -> (String, Duration) {
    let begun = Instant::now();
    let error = ledger.commit(call(), Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
    (error.to_string(), begun.elapsed())
}

#[test]
fn f26_a_held_lock_file_refuses_within_seconds_names_the_holder_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, late) = (sqlite(folder.path()), sqlite(folder.path()));
    ledger.commit(call(), Ack::Durable).unwrap();
    let mut other = holder(folder.path());

    let (said, waited) = refused(&ledger);
    // The wait of the thread that signs checkpoints may have begun before.
    let limits = Duration::from_millis(100)..Duration::from_secs(8);
    assert!(limits.contains(&waited), "{waited:?}");
    assert!(said.contains("placet_audit.db.lock"), "{said}");
    let name = format!("process {} (`sleep`)", other.id());
    assert!(said.contains(&name), "`{name}` in {said}");
    // What is known to be held is not waited for so long again, so that calls do not pile up.
    let (_, waited) = refused(&ledger);
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    let (_, waited) = refused(&late);
    assert!((Duration::from_millis(4_900)..Duration::from_secs(8)).contains(&waited), "{waited:?}");

    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1, "nothing was appended meanwhile");
    assert_eq!(late.commit(call(), Ack::Durable).unwrap().seq, 2);
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 3);
}

#[test]
fn f26_a_wait_that_was_given_up_takes_no_turn_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(folder.path());
    ledger.commit(call(), Ack::Durable).unwrap();
    let mut other = holder(folder.path());
    refused(&ledger);
    drop(ledger);
    other.kill().unwrap();
    other.wait().unwrap();
    // The wait of the closed ledger comes to its end in the background, and gives back what it got.
    let (one, two) = (sqlite(folder.path()), sqlite(folder.path()));
    for seq in (1..40).step_by(2) {
        assert_eq!(one.commit(call(), Ack::Written).unwrap().seq, seq);
        assert_eq!(two.commit(call(), Ack::Written).unwrap().seq, seq + 1);
    }
}
