//! Forks while threads commit: the same value works in parent and child, on one valid log.
//!
//! A program of its own, since a test harness has threads whose locks a child would inherit.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fork::{Fork, fork, waitpid};
use placet_store::{LogLedger, Memory, Settings, Sqlite};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use support::*;

fn main() {
    f26_forks_during_appends_give_one_valid_log();
    f26_a_fork_that_was_not_prepared_is_refused_in_the_child();
    f26_a_ledger_that_was_never_used_needs_no_preparation();
    f26_a_log_in_memory_starts_empty_in_a_child();
    println!("test result: ok. 4 passed");
}

/// Runs in a forked child, and ends it without running what the parent registered.
fn child(run: impl FnOnce() -> bool) -> impl FnOnce() {
    move || {
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or(false);
        std::process::exit(if ok { 0 } else { 1 });
    }
}

fn in_child(before: impl FnOnce(), run: impl FnOnce() -> bool) -> i32 {
    match fork().unwrap() {
        Fork::Child => {
            child(run)();
            unreachable!("the child has ended")
        }
        Fork::Parent(id) => {
            before();
            waitpid(id).unwrap()
        }
    }
}

fn entries(folder: &Path) -> u64 {
    let report = report(folder);
    assert!(report.ok, "{report:?}");
    report.entries
}

fn f26_forks_during_appends_give_one_valid_log() {
    let folder = tempfile::tempdir().unwrap();
    let ledger: LogLedger<Sqlite> = sqlite(folder.path());
    ledger.commit(change(vec![limit(10)]), Ack::Durable).unwrap();
    let (done, committed) = (AtomicBool::new(false), AtomicU64::new(1));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    ledger.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
                    committed.fetch_add(1, Ordering::Relaxed);
                    // Each child reads the whole log.
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        for _ in 0..20 {
            let guard = ledger.before_fork();
            let status = in_child(
                || drop(guard),
                || (0..10).all(|_| ledger.commit(with(vec![reserve(1)]), Ack::Durable).is_ok()),
            );
            assert_eq!(status, 0);
            committed.fetch_add(10, Ordering::Relaxed);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(spent(&ledger), 10);
    assert_eq!(entries(folder.path()), committed.into_inner());
}

fn f26_a_fork_that_was_not_prepared_is_refused_in_the_child() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(folder.path());
    ledger.commit(call(), Ack::Durable).unwrap();
    let refused = || match ledger.commit(call(), Ack::Durable) {
        Err(error @ LedgerError::Unavailable { .. }) => error.to_string().contains("before_fork"),
        _ => false,
    };
    assert_eq!(in_child(|| {}, refused), 0);
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
}

fn f26_a_ledger_that_was_never_used_needs_no_preparation() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(folder.path());
    assert_eq!(in_child(|| {}, || ledger.commit(call(), Ack::Durable).is_ok()), 0);
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
}

fn f26_a_log_in_memory_starts_empty_in_a_child() {
    let ledger = LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap());
    ledger.commit(call(), Ack::Durable).unwrap();
    assert_eq!(in_child(|| {}, || ledger.commit(call(), Ack::Durable).unwrap().seq == 0), 0);
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
}
