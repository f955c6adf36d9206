//! A ledger that an earlier schema wrote opens, goes on and verifies. `data/schema_N/make.py` says how each was made.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use placet_audit::verify::verify;
use placet_store::query::{Query, rows};
use placet_store::{KeyFolder, LogLedger, SCHEMA_VERSION, Settings, Sqlite, SqliteSource};
use placet_trust::{Freshness, Ledger};
use placet_types::{Ack, ApprovalId};
use rusqlite::Connection;
use support::*;

/// A copy of the ledger of a schema, with its keys closed: a checkout does not keep modes.
fn copy(version: i32, to: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/schema_{version}"));
    fs::create_dir(to.join("keys")).unwrap();
    fs::set_permissions(to.join("keys"), fs::Permissions::from_mode(0o700)).unwrap();
    for file in fs::read_dir(from.join("keys")).unwrap().flatten() {
        let copy = to.join("keys").join(file.file_name());
        fs::copy(file.path(), &copy).unwrap();
        fs::set_permissions(copy, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::copy(from.join("ledger.db"), to.join("ledger.db")).unwrap();
    to.join("ledger.db")
}

fn page_bytes(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "page_size", |row| row.get(0)).unwrap()
}

/// A new ledger has smaller pages than SQLite's own; one that was made with those keeps them.
#[test]
fn a_ledger_keeps_the_pages_it_was_made_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = copy(1, folder.path());
    assert_eq!(page_bytes(&path), 4_096);
    let keys = KeyFolder::new(folder.path().join("keys"));
    for (path, bytes) in [(path, 4_096), (folder.path().join("new.db"), 2_048)] {
        let ledger = LogLedger::new(Sqlite::new(&path), Settings::new(keys.clone()));
        ledger.commit(call(), Ack::Durable).unwrap();
        drop(ledger);
        assert_eq!(page_bytes(&path), bytes);
    }
}

#[test]
fn f26_a_ledger_of_each_earlier_schema_opens_goes_on_and_verifies() {
    for version in 1..=SCHEMA_VERSION {
        let folder = tempfile::tempdir().unwrap();
        let path = copy(version, folder.path());
        let read = rows(&mut SqliteSource::open(&path).unwrap(), &Query::default()).unwrap();
        assert_eq!((read.rows.len(), read.unreadable.len()), (3, 0), "it is read without being migrated");

        let keys = KeyFolder::new(folder.path().join("keys"));
        let ledger = LogLedger::new(Sqlite::new(&path), Settings::new(keys.clone()));
        let approval = read.rows[2].decision.approval.clone().unwrap();
        let mut open = None;
        let mut look = |state: &placet_trust::State| {
            open = state.approvals.get(&ApprovalId(approval.0.clone())).map(|found| found.entry.id.clone());
        };
        ledger.read(Freshness::Now, &mut look).unwrap();
        assert_eq!(open, Some(approval), "what waits for a person still waits");
        assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 6);
        drop(ledger);

        let database = Connection::open(&path).unwrap();
        let stated: i32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(stated, SCHEMA_VERSION);
        let listed: i64 = database.query_row("SELECT count(*) FROM audit_log", [], |row| row.get(0)).unwrap();
        assert_eq!(listed, 4);
        assert!(database.execute("DELETE FROM entry", []).is_err());
        let mut source = SqliteSource::open(&path).unwrap();
        let verifiers = keys.verifiers(&source.origin().unwrap()).unwrap();
        let report = verify(&mut source, &verifiers, None).unwrap();
        assert!(report.ok && report.unsigned.is_none(), "{report:?}");
        assert_eq!((report.entries, report.erased), (7, 2));
    }
}
