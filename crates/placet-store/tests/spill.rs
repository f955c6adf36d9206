//! Records that need not outlive a power cut wait in a spill file: nobody misses them, and what is done to that file
//! shows.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: helpers outside test functions")]

mod support;

use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use placet_store::{LogLedger, Sqlite, SqliteSource};
use placet_trust::{Ledger, LedgerError, State, StateKey};
use placet_types::ledger::{BudgetKey, BudgetLimit, LedgerOp};
use placet_types::{Ack, DenyCause};
use rusqlite::Connection;
use support::{budget, call, change, limit, report, reserve, size, spent, sqlite, with};
use tempfile::TempDir;

/// Where frames begin in the file.
const FRAMES: u64 = 16;

fn spill(folder: &Path) -> PathBuf {
    folder.join("placet_audit.db-spill")
}

fn shell(folder: &Path) -> Connection {
    Connection::open(folder.join("placet_audit.db")).unwrap()
}

/// How many entries the database itself holds.
fn in_database(folder: &Path) -> u64 {
    shell(folder)
        .query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap()
}

/// How many bytes wait, if any do.
fn waiting(folder: &Path) -> u64 {
    let mut next = [0; 4];
    let read = std::fs::File::open(spill(folder)).unwrap().read_at(&mut next, FRAMES).unwrap();
    assert!(read == 0 || read == next.len());
    u32::from_le_bytes(next).into()
}

/// A ledger with a budget of 1,000 of which some calls took their share, in the database and in the spill file.
fn used(folder: &Path) -> LogLedger<Sqlite> {
    let ledger = sqlite(folder);
    ledger.commit(change(vec![limit(1_000)]), Ack::Durable).unwrap();
    for _ in 0..6 {
        ledger.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
    }
    assert!(waiting(folder) > 0);
    ledger
}

/// The folder as a process leaves it that is killed now: nothing is closed, nothing signed.
fn killed(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    copy(folder, left.path());
    left
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            std::fs::DirBuilder::new().mode(0o700).create(&to).unwrap();
            copy(&file.path(), &to);
        } else if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

#[test]
fn f26_what_is_spilled_is_seen_by_all_who_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = used(path);
    assert!(in_database(path) < 7, "it waits outside of the database");
    let found = report(path);
    assert!(found.ok && found.entries == 7, "a verifier reads it where it is: {found:?}");
    assert!(waiting(path) > 0, "and writes nothing");
    assert_eq!((size(&ledger), spent(&ledger)), (7, 6));
    // Another process takes it into the database when it reads.
    let other = sqlite(path);
    assert_eq!((size(&other), spent(&other)), (7, 6));
    assert_eq!((waiting(path), in_database(path)), (0, 7));
    // The first one goes on, and so does the other, in turns.
    for _ in 0..5 {
        ledger.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
        ledger.commit(call(), Ack::Written).unwrap();
        other.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
        other.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
    }
    assert_eq!((spent(&ledger), spent(&other)), (21, 21));
    assert_eq!(report(path).entries, 27);
    drop((ledger, other));
    assert_eq!((waiting(path), in_database(path)), (0, 27), "closing leaves nothing behind");
    assert!(report(path).ok);
}

#[test]
fn f26_a_process_that_was_killed_leaves_its_records_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = used(folder.path());
    let left = killed(folder.path());
    drop(ledger);
    let path = left.path();
    assert!(waiting(path) > 0);
    let next = sqlite(path);
    assert_eq!((size(&next), spent(&next)), (7, 6));
    assert!(report(path).ok);
}

/// A program that ends between the commit of the database and the emptying of the file leaves both.
#[test]
fn f26_records_that_are_in_both_places_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = used(folder.path());
    let before = std::fs::read(spill(folder.path())).unwrap();
    ledger.commit(call(), Ack::Durable).unwrap();
    let left = killed(folder.path());
    let path = left.path();
    std::fs::write(spill(path), before).unwrap();
    assert_eq!(report(path).entries, 8);
    let next = sqlite(path);
    assert_eq!((size(&next), spent(&next)), (8, 6));
    next.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
    drop(next);
    assert_eq!((report(path).entries, report(path).ok), (9, true));
}

/// After a power cut the file may end anywhere, and hold zeros: the log goes on from what is whole.
#[test]
fn f26_a_torn_file_costs_its_end_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = used(folder.path());
    let left = killed(folder.path());
    drop(ledger);
    let whole = std::fs::read(spill(left.path())).unwrap();
    let mut sizes = std::collections::BTreeSet::new();
    for cut in (0..whole.len()).step_by(97).chain([whole.len()]) {
        let folder = killed(left.path());
        let copy = folder.path();
        let mut torn = whole.clone();
        // Half of them end early, half have lost what came after.
        if cut % 2 == 0 {
            torn.truncate(cut)
        } else {
            torn.iter_mut().skip(cut).for_each(|byte| *byte = 0)
        }
        std::fs::write(spill(copy), torn).unwrap();
        let next = sqlite(copy);
        if cut < 8 && cut % 2 == 1 {
            assert!(matches!(next.open(), Err(LedgerError::Tampered { .. })), "this is no spill file");
            continue;
        }
        next.commit(call(), Ack::Written).unwrap();
        next.commit(call(), Ack::Written).unwrap();
        sizes.insert(size(&next));
        drop(next);
        assert!(report(copy).ok, "cut at {cut}");
    }
    assert!(sizes.len() > 4 && sizes.last() == Some(&9), "{sizes:?}");
}

/// Every edit of the file is refused, found by the verifier, or has cut the end off that no checkpoint covers.
#[test]
fn promise_8_f28_no_edit_of_the_spill_file_is_taken_for_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = used(folder.path());
    let left = killed(folder.path());
    drop(ledger);
    let path = left.path();
    let whole = std::fs::read(spill(path)).unwrap();
    let original = leaves(path);
    let (mut cuts, mut found) = (0, 0);
    for edit in 0..300_usize {
        let mut edited = whole.clone();
        let from = usize::try_from(FRAMES).unwrap();
        let at = from + (edit * 7_919) % (whole.len() - from);
        *edited.get_mut(at).unwrap() ^= 1 << (edit % 8);
        if edit % 2 == 0 {
            mend_checksums(&mut edited);
        }
        std::fs::write(spill(path), &edited).unwrap();
        let said = report(path);
        let now = leaves(path);
        if !said.ok {
            found += 1;
        } else {
            assert!(
                original.starts_with(&now),
                "edit {edit} at {at} shows other records, and nobody says so"
            );
            cuts += usize::from(now.len() < original.len());
        }
    }
    assert!(cuts > 100 && found > 50, "{cuts} {found}");
    // What the verifier would find, a process refuses to go on with.
    let mut edited = whole.clone();
    let at = find(&edited, b"\"verdict\":\"allow\"");
    edited.get_mut(at + 11..at + 16).unwrap().copy_from_slice(b"ALLOW");
    mend_checksums(&mut edited);
    std::fs::write(spill(path), &edited).unwrap();
    assert!(matches!(sqlite(path).open(), Err(LedgerError::Tampered { .. })));
}

fn leaves(folder: &Path) -> Vec<Vec<u8>> {
    use placet_audit::verify::EntrySource;
    let mut source = SqliteSource::open(&folder.join("placet_audit.db")).unwrap();
    std::iter::from_fn(|| source.next_entry().unwrap()).map(|entry| entry.leaf).collect()
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

/// Whoever edits the file can make its checksums right.
fn mend_checksums(bytes: &mut [u8]) {
    let mut at = usize::try_from(FRAMES).unwrap();
    while let Some(prefix) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes(prefix.get(..4).unwrap().try_into().unwrap()) as usize;
        let Some(body) = bytes.get(at + 8..at + 8 + length).filter(|body| !body.is_empty()) else { return };
        let sum = crc32fast::hash(body).to_le_bytes();
        bytes.get_mut(at + 4..at + 8).unwrap().copy_from_slice(&sum);
        at += 8 + length;
    }
}

/// The row of a budget whose later amounts wait in the file is edited: the edit changes nothing, and shows.
#[test]
fn kite_20_5_a_row_that_is_edited_while_its_calls_are_spilled_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = used(path);
    let edited = shell(path)
        .execute(
            "UPDATE state SET body = replace(body, '\"limit\":1000', '\"limit\":9') WHERE kind = 'budget'",
            [],
        )
        .unwrap();
    assert_eq!(edited, 1);
    std::thread::sleep(Duration::from_millis(6));
    for ack in [Ack::Written, Ack::Durable, Ack::Written] {
        let receipt = ledger.commit(with(vec![reserve(1)]), ack).unwrap();
        assert_eq!(receipt.refused.map(|refusal| refusal.cause), Some(DenyCause::StateTampered));
    }
    drop(ledger);
    let next = sqlite(path);
    let receipt = next.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
    assert_eq!(
        receipt.refused.map(|refusal| refusal.cause),
        Some(DenyCause::StateTampered),
        "it stays to be found"
    );
    drop(next);
    assert!(report(path).ok, "the log itself was not touched");
}

fn limit_of(session: usize) -> LedgerOp {
    let owner = format!("other-{session}").into();
    LedgerOp::SetBudget(BudgetLimit { key: BudgetKey { owner, ..budget() }, limit: 5 })
}

/// What the log never named is known to be missing without a look for each; who makes a row up is found out all the same.
#[test]
fn kite_20_5_a_row_that_is_made_up_while_calls_are_spilled_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = used(path);
    let LedgerOp::SetBudget(BudgetLimit { key, .. }) = limit_of(1) else { panic!("a limit") };
    let id = State::default().row(&StateKey::Budget(key)).id;
    shell(path).execute("INSERT INTO state VALUES ('budget', ?1, '{\"limit\":99}', 0)", [id]).unwrap();
    std::thread::sleep(Duration::from_millis(6));
    for ack in [Ack::Written, Ack::Durable, Ack::Written] {
        let receipt = ledger.commit(change(vec![limit_of(1)]), ack).unwrap();
        assert_eq!(receipt.refused.map(|refusal| refusal.cause), Some(DenyCause::StateTampered));
        assert!(ledger.commit(change(vec![limit_of(2)]), ack).unwrap().refused.is_none(), "others go on");
    }
}

/// Too many rows to know them all, and rows that come and go in both places.
#[test]
fn f26_many_rows_are_spilled_and_stored_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = sqlite(path);
    for round in 0..4 {
        let new = (round * 400..(round + 1) * 400).map(limit_of).collect();
        for ops in [new, vec![limit_of(7)], vec![limit_of(round + 5_000)]] {
            for ack in [Ack::Written, Ack::Durable, Ack::Written] {
                assert_eq!(ledger.commit(change(Vec::clone(&ops)), ack).unwrap().refused, None);
            }
            assert_eq!(ledger.commit(with(vec![reserve(1)]), Ack::Written).unwrap().refused, None);
        }
    }
    drop(ledger);
    let next = sqlite(path);
    assert_eq!(spent(&next), 12);
    assert_eq!(next.commit(change(vec![limit_of(1)]), Ack::Durable).unwrap().refused, None);
    drop(next);
    assert!(report(path).ok);
}

#[test]
fn promise_8_a_spill_file_that_is_removed_while_in_use_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = used(path);
    std::fs::remove_file(spill(path)).unwrap();
    let error = ledger.commit(call(), Ack::Durable).unwrap_err();
    assert!(error.to_string().contains("was removed while it was in use"), "{error}");
}

/// What was erased is nowhere in the folder, though it waited in the spill file before.
#[test]
fn f26_what_is_erased_is_not_left_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ledger = used(path);
    assert!(std::fs::read(spill(path)).unwrap().windows(20).any(|window| window == b"customer asked twice"));
    let gone: Vec<u64> = (1..7).collect();
    let erasure = placet_types::record::ErasureFact {
        basis: "request of the person".into(),
        by: "dpo".into(),
        records: gone,
        fields: Vec::new(),
    };
    let record = change(Vec::new()).record;
    let wiped = ledger.wipe(record, erasure).unwrap();
    assert_eq!(wiped.left, None);
    for file in std::fs::read_dir(path).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        let held = std::fs::read(file.path()).unwrap();
        let found = held.windows(20).any(|window| window == b"customer asked twice");
        assert!(!found, "{} still holds it", file.path().display());
    }
}

/// A ledger of which every record is durable has no spill file.
#[test]
fn a_ledger_that_spills_nothing_has_no_file_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(folder.path());
    ledger.commit(call(), Ack::Durable).unwrap();
    ledger.commit(call(), Ack::Durable).unwrap();
    drop(ledger);
    assert!(!spill(folder.path()).exists());
}

/// A process of which every record is durable does not look for the file before each, and finds it once another made it.
#[test]
fn f26_a_spill_file_that_another_process_makes_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (durable, other) = (sqlite(path), sqlite(path));
    durable.commit(change(vec![limit(1_000)]), Ack::Durable).unwrap();
    durable.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
    for round in 1..5 {
        for _ in 0..3 {
            other.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
        }
        assert!(waiting(path) > 0);
        let receipt = durable.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
        assert_eq!((receipt.seq, waiting(path)), (1 + 4 * round, 0));
    }
    assert_eq!((spent(&durable), spent(&other)), (17, 17));
    assert!(report(path).ok);
}
