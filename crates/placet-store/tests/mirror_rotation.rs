//! Mirrors whose files are put aside when they are full: read as one log, by both verifiers, whatever is killed.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use placet_audit::keys::VerifierKey;
use placet_audit::mirror::{self, Line};
use placet_audit::verify::{EntrySource, verify};
use placet_store::erase::{Request, erase};
use placet_store::{
    KeyFolder, LogLedger, MirrorRotation, Settings, Sqlite, SqliteSource, is_mirror_there, open_mirror,
};
use placet_trust::Ledger;
use placet_types::{Ack, Micros};
use serde_json::{Map, json};
use support::*;

const FOLDER: &str = "PLACET_MIRROR_TEST_FOLDER";

fn at(bytes: u64) -> MirrorRotation {
    MirrorRotation { max_bytes: NonZeroU64::new(bytes), ..MirrorRotation::default() }
}

fn settings_of(folder: &Path, rotation: MirrorRotation) -> Settings {
    settings(folder).mirror(folder.join("audit.jsonl")).mirror_rotation(rotation)
}

fn open(folder: &Path, rotation: MirrorRotation) -> LogLedger<Sqlite> {
    LogLedger::new(Sqlite::new(folder.join("placet_audit.db")), settings_of(folder, rotation))
}

/// The files of the mirror in the order of the log, each with the positions of its entries.
fn files(folder: &Path) -> Vec<(String, Vec<u64>)> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".jsonl"));
    // `audit.000….jsonl` comes before `audit.jsonl`.
    names.sort();
    let entries = |name: &String| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let lines = text.lines().map(|line| mirror::decode(line).unwrap());
        lines.filter_map(|line| if let Line::Entry(entry) = line { Some(entry.seq) } else { None }).collect()
    };
    names.iter().map(|name| (name.clone(), entries(name))).collect()
}

fn key(folder: &Path) -> VerifierKey {
    let mut source = SqliteSource::open(&folder.join("placet_audit.db")).unwrap();
    let note = source.next_checkpoint().unwrap().unwrap().note;
    KeyFolder::new(folder.join("keys")).verifier(note.lines().next().unwrap()).unwrap()
}

/// Both verifiers over the mirror: how many entries they read, or the code of the first finding.
fn verified(folder: &Path) -> Result<u64, String> {
    let (path, key) = (folder.join("audit.jsonl"), key(folder));
    let report = verify(&mut open_mirror(&path).unwrap(), std::slice::from_ref(&key), None).unwrap();
    let ours = if report.ok { Ok(report.entries) } else { Err(format!("{:?}", report.findings[0].code)) };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");
    let ran =
        Command::new("python3").args([script]).arg(&path).args(["--key", &key.to_string()]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&ran.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    assert_eq!(report["ok"].as_bool().unwrap(), ours.is_ok(), "{report:#} {ours:?}");
    if let Ok(entries) = ours {
        assert_eq!(report["entries"], entries, "{report:#}");
    }
    ours
}

/// Each file begins with the entry that its name says, and together they hold every entry once.
fn check_files(folder: &Path) -> usize {
    let all = files(folder);
    for (name, entries) in all.iter().filter(|(name, _)| name != "audit.jsonl") {
        assert_eq!(*name, format!("audit.{:012}.jsonl", entries[0]), "{all:?}");
    }
    let together: Vec<u64> = all.iter().flat_map(|(_, entries)| entries.clone()).collect();
    assert_eq!(together, (0..together.len() as u64).collect::<Vec<_>>(), "{all:?}");
    all.len()
}

#[test]
fn f28_a_full_mirror_is_put_aside_under_the_position_of_its_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = open(folder, at(4_000));
    for _ in 0..40 {
        ledger.commit(call(), Ack::Published).unwrap();
    }
    let count = check_files(folder);
    assert!(count > 5, "{:?}", files(folder));
    for (name, _) in files(folder) {
        let length = fs::metadata(folder.join(&name)).unwrap().len();
        assert!(length < 8_000, "{name} has {length} bytes");
    }
    assert_eq!(verified(folder), Ok(40));
    drop(ledger);
    // Another process goes on where the last file ends, also when that was just begun.
    let live = folder.join("audit.jsonl");
    let last = files(folder).last().unwrap().1[0];
    fs::rename(&live, folder.join(format!("audit.{last:012}.jsonl"))).unwrap();
    assert!(is_mirror_there(&live), "as if killed in the midst of putting it aside");
    assert_eq!(verified(folder), Ok(40));
    let ledger = open(folder, at(4_000));
    ledger.commit(call(), Ack::Published).unwrap();
    assert_eq!((check_files(folder), verified(folder)), (count + 1, Ok(41)));
    assert_eq!(files(folder).last().unwrap().1, [40]);
    drop(ledger);
    // Files that are gone, or edited, are found.
    let second = folder.join(&files(folder)[1].0);
    let text = fs::read_to_string(&second).unwrap();
    fs::remove_file(&second).unwrap();
    assert_eq!(verified(folder), Err("Sequence".to_owned()));
    fs::write(&second, text.replacen("tool_call", "tool_cold", 1)).unwrap();
    assert_eq!(verified(folder), Err("Readable".to_owned()));
    fs::write(&second, text).unwrap();
    assert_eq!(verified(folder), Ok(41));
}

#[test]
fn a_mirror_that_is_written_anew_is_put_aside_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = LogLedger::new(Sqlite::new(folder.join("placet_audit.db")), settings(folder));
    for _ in 0..2_500 {
        ledger.commit(call(), Ack::Written).unwrap();
    }
    drop(ledger);
    let ledger = open(folder, at(100_000));
    ledger.commit(call(), Ack::Published).unwrap();
    assert!(check_files(folder) >= 3, "{:?}", files(folder).len());
    assert_eq!(verified(folder), Ok(2_501));
}

#[test]
fn a_mirror_is_put_aside_by_the_age_of_its_first_entry() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let now = Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let clock = now.clone();
    let rotation = MirrorRotation { max_age_seconds: NonZeroU64::new(3_600), ..MirrorRotation::default() };
    let settings =
        settings_of(folder, rotation).clock(Arc::new(move || Micros(clock.load(Ordering::Relaxed))));
    let ledger = LogLedger::new(Sqlite::new(folder.join("placet_audit.db")), settings);
    // Minutes at which something is recorded.
    for minute in [0, 30, 59, 60, 61, 119, 120, 500, 501] {
        now.store(1_700_000_000_000_000 + minute * 60_000_000, Ordering::Relaxed);
        ledger.commit(call(), Ack::Written).unwrap();
    }
    let entries: Vec<Vec<u64>> = files(folder).into_iter().map(|(_, entries)| entries).collect();
    assert_eq!(entries, [vec![0, 1, 2], vec![3, 4, 5], vec![6], vec![7, 8]]);
}

#[test]
fn f31_erasure_reaches_every_file_of_a_rotated_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = open(folder, at(3_000));
    for number in 0..30 {
        let mut proposal = call();
        let view = json!({"note": format!("written by {} the {number}th", if number % 7 == 3 { "Ann" } else { "Bob" })});
        proposal.view = Some(view.as_object().cloned().unwrap_or_else(Map::new).into());
        ledger.commit(proposal, Ack::Written).unwrap();
    }
    let texts = || -> String {
        files(folder).iter().map(|(name, _)| fs::read_to_string(folder.join(name)).unwrap()).collect()
    };
    assert_eq!(texts().matches("written by Ann").count(), 4);
    let before = files(folder).len();
    let request = Request { by: "dpo".into(), basis: "gdpr-17".into() };
    erase(&ledger, &[3, 10, 17, 24], &[], &request).unwrap();
    ledger.commit(call(), Ack::Published).unwrap();
    assert_eq!(
        (texts().matches("written by Ann").count(), texts().matches("written by Bob").count()),
        (0, 26)
    );
    assert!(check_files(folder) >= before);
    assert_eq!(verified(folder), Ok(32));
}

/// What the process does that is killed; without a folder, nothing.
#[test]
fn writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let ledger = open(Path::new(&folder), at(1_500));
    loop {
        let receipt = ledger.commit(call(), Ack::Written).unwrap();
        std::io::stdout().write_all(format!("ack {}\n", receipt.seq).as_bytes()).unwrap();
    }
}

#[test]
fn f28_a_kill_while_a_mirror_is_put_aside_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut left_open = 0;
    for round in 0..25_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(60_000 + round * 7_300));
        child.kill().unwrap();
        child.wait().unwrap();
        left_open +=
            u32::from(!folder.join("audit.jsonl").exists() && folder.join("placet_audit.db").exists());
    }
    println!("{left_open} of 25 kills fell between two files");
    let ledger = open(folder, at(1_500));
    let receipt = ledger.commit(call(), Ack::Published).unwrap();
    assert!(check_files(folder) > 25, "hardly anything was written");
    assert_eq!(verified(folder), Ok(receipt.seq + 1));
}

/// Where the process is stopped between two files for certain: at each of its steps.
#[test]
fn f28_whatever_step_of_putting_aside_was_the_last_the_next_process_goes_on() {
    for torn in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let ledger = open(folder, at(100_000));
        for _ in 0..10 {
            ledger.commit(call(), Ack::Published).unwrap();
        }
        drop(ledger);
        let live: PathBuf = folder.join("audit.jsonl");
        fs::rename(&live, folder.join("audit.000000000000.jsonl")).unwrap();
        if torn {
            // The first line of the next file was half written.
            fs::write(&live, "{\"action\":\"pay").unwrap();
        }
        let ledger = open(folder, at(100_000));
        ledger.commit(call(), Ack::Published).unwrap();
        assert_eq!((check_files(folder), verified(folder)), (2, Ok(11)), "torn: {torn}");
    }
}
