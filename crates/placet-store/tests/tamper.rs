//! What an operator with a shell does to a ledger's file is noticed, and what the disk does refuses and loses nothing.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use placet_audit::keys::VerifierKey;
use placet_audit::mirror::MirrorSource;
use placet_audit::verify::{Report, verify};
use placet_store::{KeyFolder, LogLedger, Sqlite, SqliteSource};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use placet_types::record::ErasureFact;
use rusqlite::Connection;
use support::*;

fn file(folder: &Path) -> PathBuf {
    folder.join("placet_audit.db")
}

fn shell(folder: &Path) -> Connection {
    Connection::open(file(folder)).unwrap()
}

fn keys(folder: &Path) -> Vec<VerifierKey> {
    let origin: String = shell(folder).query_row("SELECT origin FROM head", [], |row| row.get(0)).unwrap();
    vec![KeyFolder::new(folder.join("keys")).verifier(&origin).unwrap()]
}

fn verified(folder: &Path) -> Report {
    verify(&mut SqliteSource::open(&file(folder)).unwrap(), &keys(folder), None).unwrap()
}

fn filled(folder: &Path, records: usize) -> LogLedger<Sqlite> {
    let ledger = sqlite(folder);
    for _ in 0..records {
        ledger.commit(personal(call()), Ack::Durable).unwrap();
    }
    ledger
}

fn is_tampered(result: Result<impl Sized, LedgerError>) -> String {
    match result {
        Err(error @ LedgerError::Tampered { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it went on"),
    }
}

#[test]
fn f28_an_untouched_log_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = filled(folder.path(), 20);
    ledger.sign().unwrap();
    let report = verified(folder.path());
    assert!(report.ok, "{report:?}");
    assert_eq!((report.entries, report.signed), (20, 20));
}

#[test]
fn f28_edits_are_named_by_verify_and_refused_at_open() {
    let edits = [
        "DROP TRIGGER entry_update; UPDATE entry SET leaf = replace(leaf, 'allow', 'adopt') WHERE seq = 3",
        "DROP TRIGGER entry_delete; DELETE FROM entry WHERE seq = 3",
        "INSERT OR REPLACE INTO entry SELECT 3, leaf, hash FROM entry WHERE seq = 4",
        "DROP TRIGGER entry_delete; DELETE FROM entry WHERE seq >= 3;
         UPDATE head SET size = 3",
        "INSERT INTO entry SELECT seq + 10, leaf, hash FROM entry WHERE seq = 9",
        "UPDATE head SET time_us = time_us + 1",
        "DELETE FROM head",
    ];
    for edit in edits {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path(), 10).close();
        let keys = keys(folder.path());
        shell(folder.path()).execute_batch(edit).unwrap();
        let found = verify(&mut SqliteSource::open(&file(folder.path())).unwrap(), &keys, None);
        let sealed_only = edit.contains("time_us");
        assert!(found.is_err() || !found.unwrap().ok || sealed_only, "verify passes `{edit}`");
        let finding = is_tampered(sqlite(folder.path()).open());
        assert!(finding.contains("was edited"), "{finding}");
    }
}

#[test]
fn f28_an_edited_view_is_found_by_verify() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 10).close();
    shell(folder.path())
        .execute("UPDATE \"view\" SET body = replace(body, '120', '12') WHERE seq = 4", [])
        .unwrap();
    let report = verified(folder.path());
    assert!(!report.ok);
    assert_eq!(report.findings[0].at.from, 4, "{report:?}");
}

#[test]
fn f28_the_log_is_append_only_in_the_database_too() {
    let folder = tempfile::tempdir().unwrap();
    let _ledger = filled(folder.path(), 2);
    for edit in ["UPDATE entry SET leaf = ''", "DELETE FROM entry"] {
        let error = shell(folder.path()).execute(edit, []).unwrap_err().to_string();
        assert!(error.contains("audit_log is append-only"), "{error}");
    }
}

#[test]
fn f28_a_running_process_notices_forged_entries_and_heads() {
    let edits = [
        "INSERT INTO entry SELECT 5, leaf, hash FROM entry WHERE seq = 4",
        "INSERT INTO entry SELECT 5, leaf, hash FROM entry WHERE seq = 4; UPDATE head SET size = 6",
        "UPDATE head SET chain = zeroblob(32)",
        "DELETE FROM head",
    ];
    for edit in edits {
        let folder = tempfile::tempdir().unwrap();
        let ledger = filled(folder.path(), 5);
        shell(folder.path()).execute_batch(edit).unwrap();
        is_tampered(ledger.commit(call(), Ack::Durable));
        is_tampered(ledger.commit(call(), Ack::Durable));
    }
}

fn copy(from: &Path, to: &Path) {
    shell(from).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    fs::copy(file(from), to).unwrap();
}

#[test]
fn f28_a_running_process_notices_an_older_copy() {
    let folder = tempfile::tempdir().unwrap();
    let older = folder.path().join("older.db");
    let ledger = filled(folder.path(), 3);
    copy(folder.path(), &older);
    ledger.commit(call(), Ack::Durable).unwrap();
    // Put back with SQLite's own means, so that the running process sees it.
    let put_back = format!(
        "DROP TRIGGER entry_delete; ATTACH '{}' AS older;
         DELETE FROM entry WHERE seq NOT IN (SELECT seq FROM older.entry);
         DELETE FROM head; INSERT INTO head SELECT * FROM older.head",
        older.display()
    );
    shell(folder.path()).execute_batch(&put_back).unwrap();
    let finding = is_tampered(ledger.commit(call(), Ack::Durable));
    assert!(finding.contains("older copy"), "{finding}");
}

#[test]
fn f28_an_older_copy_is_refused_at_open_by_the_anchor() {
    for anchored in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let volume = tempfile::tempdir().unwrap();
        let open = || {
            let settings = settings(folder.path()).anchor(volume.path().join("anchor"));
            LogLedger::new(Sqlite::new(file(folder.path())), settings)
        };
        let older = folder.path().join("older.db");
        let ledger = open();
        ledger.commit(call(), Ack::Published).unwrap();
        copy(folder.path(), &older);
        ledger.commit(call(), Ack::Published).unwrap();
        drop(ledger);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("placet_audit.db{suffix}")));
        }
        fs::rename(&older, file(folder.path())).unwrap();
        if anchored {
            let origin = keys(folder.path())[0].name().to_owned();
            fs::remove_file(KeyFolder::new(folder.path().join("keys")).checkpoint_path(&origin)).unwrap();
        } else {
            fs::remove_file(volume.path().join("anchor")).unwrap();
        }
        let finding = is_tampered(open().open());
        assert!(finding.contains("covers 2"), "{finding}");
    }
}

#[test]
fn f26_files_are_private_and_open_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = filled(folder.path(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(folder.path())), 0o600);
    assert_eq!(mode(&folder.path().join("placet_audit.db-wal")), 0o600);
    let keys = folder.path().join("keys");
    assert_eq!((mode(&keys), mode(&keys.join("log.key"))), (0o700, 0o600));
    drop(ledger);
    fs::set_permissions(keys.join("log.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = sqlite(folder.path()).open().unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn f26_schema_is_versioned_and_strangers_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 1));
    let number =
        |name| shell(folder.path()).pragma_query_value(None, name, |row| row.get::<_, i32>(0)).unwrap();
    assert_eq!(number("user_version"), placet_store::SCHEMA_VERSION);
    assert_eq!(number("application_id"), placet_store::APPLICATION_ID);
    shell(folder.path()).execute_batch("PRAGMA user_version = 99").unwrap();
    let error = sqlite(folder.path()).open().unwrap_err().to_string();
    assert!(error.contains("use a newer release"), "{error}");
    let other = tempfile::tempdir().unwrap();
    shell(other.path()).execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = sqlite(other.path()).open().unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");
}

#[test]
fn f26_a_folder_that_is_not_there_is_named() {
    let ledger = LogLedger::new(Sqlite::new("/nowhere/audit.db"), settings(Path::new("/nowhere")));
    let error = ledger.commit(call(), Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { action: "open", .. }));
    assert!(error.to_string().contains("`/nowhere`"), "{error}");
}

#[test]
fn f26_a_full_disk_refuses_and_loses_nothing() {
    let Some(volume) = Volume::new(1) else {
        eprintln!("no right to mount a file system; not run");
        return;
    };
    let keys = tempfile::tempdir().unwrap();
    let ledger = LogLedger::new(Sqlite::new(volume.path().join("audit.db")), settings(keys.path()));
    ledger.commit(change(vec![limit(1_000_000)]), Ack::Durable).unwrap();
    let ballast = volume.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut committed = 1;
    let error = loop {
        match ledger.commit(with(vec![reserve(1)]), Ack::Durable) {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
    assert!(ledger.commit(call(), Ack::Durable).is_err());
    drop(file);
    fs::remove_file(ballast).unwrap();
    let receipt = ledger.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
    assert_eq!(receipt.seq, committed, "none was lost and none slipped in");
    assert_eq!(spent(&ledger), committed);
    let path = volume.path().join("audit.db");
    drop(ledger);
    let again = LogLedger::new(Sqlite::new(path), settings(keys.path()));
    assert_eq!(spent(&again), committed);
}

/// A name of somebody else's file under `audit_log` is a mistake that costs the mirror and not the file.
#[test]
fn f30_a_file_that_is_no_mirror_of_the_log_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let open = || LogLedger::new(Sqlite::new(file(folder.path())), settings(folder.path()).mirror(&path));
    for text in ["{\"my\":\"settings\"}", "notes\nwithout a last line end", "notes\n", "{\"seq\":0}\n"] {
        fs::write(&path, text).unwrap();
        let ledger = open();
        ledger.commit(call(), Ack::Durable).unwrap();
        assert!(ledger.trouble().unwrap().to_string().contains("of another log"), "{text}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::remove_file(&path).unwrap();
    let ledger = open();
    ledger.commit(call(), Ack::Durable).unwrap();
    drop(ledger);
    let whole = fs::read_to_string(&path).unwrap();
    // A crash in the middle of the very first line.
    fs::write(&path, &whole[..whole.find('\n').unwrap() / 2]).unwrap();
    open().open().unwrap();
    let again = fs::read_to_string(&path).unwrap();
    assert!(whole.starts_with(&again) && again.lines().count() == 5, "{again}");
}

#[test]
fn aegis_73_the_mirror_follows_and_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let open = || LogLedger::new(Sqlite::new(file(folder.path())), settings(folder.path()).mirror(&path));
    let lines = || fs::read_to_string(&path).unwrap();
    let ledger = open();
    for _ in 0..10 {
        ledger.commit(call(), Ack::Durable).unwrap();
    }
    assert_eq!(lines().lines().count(), 10);
    drop(ledger);
    let whole = lines();
    // A crash: the last lines are gone and one is torn.
    fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    // Another process that does not mirror.
    sqlite(folder.path()).commit(call(), Ack::Durable).unwrap();
    let ledger = open();
    ledger.open().unwrap();
    assert_eq!(lines().lines().filter(|line| line.contains("\"seq\"")).count(), 11);
    ledger.commit(call(), Ack::Published).unwrap();
    assert_eq!(ledger.trouble(), None);
    let reader = || std::io::BufReader::new(fs::File::open(&path).unwrap());
    let report = verify(&mut MirrorSource::new(reader(), reader()), &keys(folder.path()), None).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.entries, report.signed), (12, 12));
    let erasure =
        ErasureFact { records: vec![3], fields: Vec::new(), by: "dpo".into(), basis: "gdpr-17".into() };
    ledger.erase(decision("allow", "allowed"), erasure).unwrap();
    ledger.sign().unwrap();
    assert_eq!(lines().lines().filter(|line| line.contains("customer asked")).count(), 11);
    let report = verify(&mut MirrorSource::new(reader(), reader()), &keys(folder.path()), None).unwrap();
    assert!(report.ok, "{report:?}");
    let stored = fs::read(file(folder.path())).unwrap();
    let wal = fs::read(folder.path().join("placet_audit.db-wal")).unwrap_or_default();
    let count = |bytes: &[u8]| bytes.windows(14).filter(|window| window == b"customer asked").count();
    assert_eq!(count(&stored) + count(&wal), 11, "the text is gone from the file too");
}

#[test]
fn the_audit_log_view_has_the_columns_of_older_logs() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = sqlite(folder.path());
    let decided = call();
    let outcome = placet_types::record::OutcomeFact {
        decision: decided.record.id.clone(),
        status: placet_types::record::OutcomeStatus::Succeeded,
        error: None,
        elapsed_us: 1_500,
        injections: 0,
    };
    ledger.commit(decided, Ack::Durable).unwrap();
    let mut ended = change(Vec::new());
    ended.record.fact = placet_types::Fact::Outcome(outcome);
    ended.view = serde_json::json!({"result": {"id": "r-1"}}).as_object().cloned().map(Into::into);
    ledger.commit(ended, Ack::Durable).unwrap();
    let mut denied = call();
    denied.record = decision("deny", "denied_by_rule");
    ledger.commit(denied, Ack::Durable).unwrap();
    let shell = shell(folder.path());
    let mut statement = shell
        .prepare(
            "SELECT session_id, timestamp, action_type, action_target, action_params, risk_level, approval,
                    matched_rule, result_status, result_data, agent_id, tool_name, args_json, policy_version, outcome
             FROM audit_log",
        )
        .unwrap();
    let rows: Vec<Vec<String>> = statement
        .query_map([], |row| {
            (0..15).map(|at| Ok(row.get::<_, Option<String>>(at)?.unwrap_or_default())).collect()
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let [allowed, denied] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(allowed[0], "session-1");
    assert!(allowed[1].len() == 32 && allowed[1].ends_with("+00:00"), "{}", allowed[1]);
    assert_eq!(allowed[2..4], ["payments.refund", "payments"]);
    assert!(allowed[4].contains("\"amount\":120"));
    assert_eq!(allowed[5..9], ["MEDIUM", "auto", "small-refunds", "success"]);
    assert_eq!(allowed[9], "{\"id\":\"r-1\"}");
    assert_eq!(allowed[10..12], ["agent-1", "refund"]);
    assert_eq!(allowed[14], "allowed");
    assert_eq!((&*denied[6], &*denied[8], &*denied[14]), ("block", "blocked", "soft_denied"));
}
