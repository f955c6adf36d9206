//! A busy SQLite ledger writes to its spill file as memory: records outlive their process all the same, others see them,
//! and a file that somebody cuts is told.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: helpers outside test functions")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use placet_store::{LogLedger, Sqlite};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use support::{Volume, call, report, size, sqlite};

const FOLDER: &str = "PLACET_STORE_TEST_WINDOW";

/// How long the file of a busy ledger is.
const LARGE: u64 = (1 << 20) + (64 << 10);

fn spill(folder: &Path) -> PathBuf {
    folder.join("placet_audit.db-spill")
}

fn spill_bytes(folder: &Path) -> u64 {
    fs::metadata(spill(folder)).map_or(0, |file| file.len())
}

/// Whether this process has the file mapped.
fn is_mapped(folder: &Path) -> bool {
    let name = fs::canonicalize(spill(folder)).unwrap().display().to_string();
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| line.ends_with(&name))
}

fn write(ledger: &dyn Ledger, count: usize) {
    (0..count).for_each(|_| drop(ledger.commit(call(), Ack::Written).unwrap()));
}

/// A ledger that has been busy, and how many records it has.
fn busy(folder: &Path) -> (LogLedger<Sqlite>, u64) {
    let ledger = sqlite(folder);
    write(&ledger, 3);
    assert!(spill_bytes(folder) < 64 << 10, "a ledger that is hardly used stays small");
    write(&ledger, 200);
    ledger.commit(call(), Ack::Durable).unwrap();
    assert_eq!((spill_bytes(folder), is_mapped(folder)), (LARGE, true));
    (ledger, 204)
}

/// How many entries the verifier finds in an untouched log.
fn verified(folder: &Path) -> u64 {
    let report = report(folder);
    assert!(report.ok, "{report:?}");
    report.entries
}

#[test]
fn f26_what_a_busy_ledger_writes_as_memory_is_seen_by_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ledger, mut count) = busy(path);
    let other = sqlite(path);
    other.open().unwrap();
    // More than the file takes, so that it fills up again and again.
    for _ in 0..6 {
        write(&ledger, 300);
        count += 300;
        assert_eq!(verified(path), count, "a verifier reads it where it is");
        write(&other, 7);
        write(&ledger, 1);
        count += 8;
    }
    assert_eq!((size(&ledger), size(&other), spill_bytes(path)), (count, count, LARGE));
    drop((ledger, other));
    let left = fs::read(spill(path)).unwrap();
    assert!(left.iter().skip(16).all(|byte| *byte == 0), "closing leaves nothing behind");
    assert!(!is_mapped(path));
    assert_eq!(verified(path), count);
}

/// Writes records until it is killed, and says each that is committed.
#[test]
fn writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let ledger = sqlite(Path::new(&folder));
    loop {
        let proposal = call();
        let id = proposal.record.id.clone();
        let receipt = ledger.commit(proposal, Ack::Written).unwrap();
        let line = format!("ack {} {id} {}\n", receipt.seq, is_mapped(Path::new(&folder)));
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

#[test]
fn f26_no_record_written_as_memory_is_lost_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(busy(path));
    let mut acknowledged = BTreeMap::new();
    let mut mapped = 0;
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 20 + 61 * round;
        let mut take = |line: String| {
            let Some((_, said)) = line.split_once("ack ") else { return };
            let [seq, id, as_memory] = said.split(' ').collect::<Vec<_>>().try_into().unwrap();
            mapped += usize::from(as_memory == "true");
            let before = acknowledged.insert(seq.parse::<i64>().unwrap(), id.to_owned());
            assert_eq!(before, None, "position {seq} was given twice");
        };
        lines.by_ref().map_while(Result::ok).take(wanted).for_each(&mut take);
        child.kill().unwrap();
        // What it had said before it was killed.
        lines.map_while(Result::ok).filter(|line| line.ends_with("true")).for_each(&mut take);
        child.wait().unwrap();
        let least = 204 + u64::try_from(acknowledged.len()).unwrap();
        assert!(verified(path) >= least, "round {round}");
    }
    assert!(mapped > 1_000, "{mapped}");
    sqlite(path).open().unwrap();
    let shell = rusqlite::Connection::open(path.join("placet_audit.db")).unwrap();
    for (seq, id) in acknowledged {
        let stored: String = shell
            .query_row("SELECT leaf ->> '$.id' FROM entry WHERE seq = ?1", [seq], |row| row.get(0))
            .unwrap();
        assert_eq!(stored, id, "the record at {seq}");
    }
}

#[test]
fn promise_8_a_spill_file_that_is_cut_while_in_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ledger, _) = busy(path);
    write(&ledger, 1);
    File::options().write(true).open(spill(path)).unwrap().set_len(4_096).unwrap();
    std::thread::sleep(Duration::from_millis(6));
    let error = ledger.commit(call(), Ack::Written).unwrap_err();
    assert!(
        matches!(&error, LedgerError::Tampered { finding, .. } if finding.contains("was cut")),
        "{error}"
    );
}

/// A copy with holes in place of zeros is no room to write to.
#[test]
fn f26_a_copy_with_holes_is_written_to_as_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ledger, count) = busy(path);
    drop(ledger);
    let beginning = fs::read(spill(path)).unwrap();
    let holey = File::create(spill(path)).unwrap();
    holey.write_all_at(beginning.get(..16).unwrap(), 0).unwrap();
    holey.set_len(LARGE).unwrap();
    let ledger = sqlite(path);
    write(&ledger, 300);
    assert!(!is_mapped(path));
    assert_eq!(verified(path), count + 300);
}

/// There is room for what is written as memory; the database has none for it, and says so.
#[test]
fn f26_a_disk_that_is_full_beside_the_file_refuses_and_loses_nothing() {
    let Some(volume) = Volume::new(24) else {
        eprintln!("no right to mount a file system; not run");
        return;
    };
    let path = volume.path();
    let (ledger, mut count) = busy(path);
    let ballast = path.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let error = loop {
        match ledger.commit(call(), Ack::Written) {
            Ok(receipt) => assert_eq!(receipt.seq, std::mem::replace(&mut count, receipt.seq + 1)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
    assert!(ledger.commit(call(), Ack::Durable).is_err());
    fs::remove_file(ballast).unwrap();
    write(&ledger, 300);
    assert_eq!(size(&ledger), count + 300, "without a restart");
    drop(ledger);
    assert_eq!(verified(path), count + 300);
}
