//! The side file of a busy SQLite ledger is made large once, and then written over.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: helpers outside test functions")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use placet_trust::Ledger;
use placet_types::Ack;
use support::{call, size, sqlite};

const LARGE: u64 = 16 << 20;

fn side_bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("placet_audit.db-wal")).map_or(0, |file| file.len())
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn f26_the_side_file_is_made_large_once_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = sqlite(path);
    ledger.commit(call(), Ack::Written).unwrap();
    assert!(side_bytes(path) < 1 << 20, "a ledger that is hardly used stays small");
    let mut count = 1;
    while side_bytes(path) < LARGE {
        ledger.commit(call(), Ack::Written).unwrap();
        count += 1;
        assert!(count < 20_000, "it was never made large");
    }
    // Five times what fits, at a pace at which the keeper can keep up.
    for turn in 0..5 {
        for _ in 0..1_000 {
            ledger.commit(call(), Ack::Written).unwrap();
        }
        count += 1_000;
        until("what is in the side file is copied back", || copied_back(path));
        assert!(side_bytes(path) < 3 * LARGE, "turn {turn}: it grew to {} bytes", side_bytes(path));
    }
    ledger.commit(call(), Ack::Durable).unwrap();
    assert_eq!(ledger.trouble(), None);
    drop(ledger);
    let again = sqlite(path);
    again.open().unwrap();
    assert_eq!(size(&again), count + 1);
}

/// Whether the side file holds fewer of the pages of a new ledger than make it full, as any other connection sees it.
fn copied_back(folder: &Path) -> bool {
    let shell = rusqlite::Connection::open(folder.join("placet_audit.db")).unwrap();
    let counts = shell.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?)));
    let (held, copied): (i64, i64) = counts.unwrap();
    held < 4_096 || held == copied
}
