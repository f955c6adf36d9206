//! The keys that sign a log are changed while it is in use, and what any of them signed verifies.
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
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use placet_audit::checkpoint;
use placet_audit::keys::VerifierKey;
use placet_audit::verify::{Report, verify};
use placet_store::rotation::{KeyState, RotateError, rotate};
use placet_store::{KeyFolder, LogLedger, Sqlite, SqliteSource};
use placet_trust::Ledger;
use placet_types::{Ack, Micros};
use support::*;

const DAY_US: i64 = 86_400_000_000;

struct Log {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), now: Arc::new(AtomicI64::new(DAY_US)) }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> LogLedger<Sqlite> {
        let now = self.now.clone();
        let clock = Arc::new(move || Micros(now.load(Ordering::Relaxed)));
        let settings = settings(self.path()).clock(clock).anchor(self.path().join("anchor"));
        LogLedger::new(Sqlite::new(self.path().join("placet_audit.db")), settings)
    }

    fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::Relaxed))
    }

    fn keys(&self) -> KeyFolder {
        KeyFolder::new(self.path().join("keys"))
    }

    fn source(&self) -> SqliteSource {
        SqliteSource::open(&self.path().join("placet_audit.db")).unwrap()
    }

    fn origin(&self) -> String {
        self.source().origin().unwrap()
    }

    fn verified(&self, keys: &[VerifierKey]) -> Report {
        verify(&mut self.source(), keys, None).unwrap()
    }

    fn rotate(&self, ledger: &dyn Ledger, days: i64) -> Result<VerifierKey, RotateError> {
        let (now, keys) = (self.now(), self.keys());
        rotate(ledger, &keys, &self.origin(), now, Micros(now.0 + days * DAY_US), "ann")
    }

    /// Commits something and signs it; which of these keys signed.
    fn sign(&self, ledger: &LogLedger<Sqlite>, keys: &[&VerifierKey]) -> Vec<bool> {
        ledger.commit(call(), Ack::Durable).unwrap();
        ledger.sign().unwrap();
        let note = fs::read_to_string(self.path().join("anchor")).unwrap();
        keys.iter().map(|key| checkpoint::verify(&note, std::slice::from_ref(*key)).is_ok()).collect()
    }
}

#[test]
fn a_key_is_changed_with_an_overlap_and_then_signs_no_more() {
    let log = Log::new();
    let ledger = log.open();
    ledger.commit(call(), Ack::Durable).unwrap();
    ledger.sign().unwrap();
    let old = log.keys().verifier(&log.origin()).unwrap();
    // Another process is at work all the while.
    let other = log.open();
    assert_eq!(log.sign(&other, &[&old]), [true]);

    let new = log.rotate(&ledger, 1).unwrap();
    assert_eq!(log.sign(&ledger, &[&old, &new]), [true, true]);
    assert_eq!(log.sign(&other, &[&old, &new]), [true, true], "the other process follows");
    let states = log.keys().states(&log.origin(), log.now()).unwrap();
    let until = KeyState::SignsUntil(Micros(2 * DAY_US));
    assert_eq!(states, [(new.clone(), KeyState::Signs), (old.clone(), until)]);
    for keys in [vec![old.clone()], vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
        let report = log.verified(&keys);
        assert!(report.ok && report.unsigned.is_none(), "{report:?}");
        assert_eq!(report.key_changes.len(), 1);
        assert_eq!((report.key_changes[0].seq, &*report.key_changes[0].by), (2, "ann"));
        assert_eq!(*report.key_changes[0].added, *new.to_string());
    }

    log.now.store(2 * DAY_US, Ordering::Relaxed);
    assert_eq!(log.sign(&ledger, &[&old, &new]), [false, true], "the overlap is over");
    assert_eq!(log.sign(&other, &[&old, &new]), [false, true]);
    let report = log.verified(&[old.clone(), new.clone()]);
    assert!(report.ok && report.unsigned.is_none(), "{report:?}");
    assert!(
        !log.verified(std::slice::from_ref(&old)).ok,
        "the old key alone does not verify what the new one signed"
    );

    drop((ledger, other));
    let again = log.open();
    assert_eq!(log.sign(&again, &[&old, &new]), [false, true], "also after it was opened anew");
    let newest = log.rotate(&again, 0).unwrap();
    assert_eq!(log.sign(&again, &[&old, &new, &newest]), [false, false, true], "without an overlap");
    let states = log.keys().states(&log.origin(), log.now()).unwrap();
    let words: Vec<KeyState> = states.iter().map(|(_, state)| *state).collect();
    assert_eq!(words, [KeyState::Signs, KeyState::Retired, KeyState::Retired]);
    assert!(log.verified(&log.keys().verifiers(&log.origin()).unwrap()).ok);
}

#[test]
fn secrets_of_changed_keys_are_closed_and_go_when_they_retire() {
    let log = Log::new();
    let ledger = log.open();
    ledger.commit(call(), Ack::Durable).unwrap();
    log.rotate(&ledger, 1).unwrap();
    let secrets = || {
        let files = fs::read_dir(log.path().join("keys")).unwrap().flatten();
        let secret = |path: &Path| fs::read_to_string(path).unwrap().contains("PRIVATE");
        files.map(|file| file.path()).filter(|path| secret(path)).collect::<Vec<_>>()
    };
    assert_eq!(secrets().len(), 2);
    for path in secrets() {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    let leaving = secrets().into_iter().max_by_key(|path| path.as_os_str().len()).unwrap();
    fs::set_permissions(&leaving, fs::Permissions::from_mode(0o644)).unwrap();
    let error = log.open().open().unwrap_err().to_string();
    assert!(error.contains("has mode 644") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&leaving, fs::Permissions::from_mode(0o600)).unwrap();
    log.now.store(10 * DAY_US, Ordering::Relaxed);
    log.rotate(&ledger, 0).unwrap();
    assert_eq!(secrets().len(), 1, "only what signs is left");
}

#[test]
fn no_more_keys_sign_at_once_than_checkpoints_should_bear() {
    let log = Log::new();
    let ledger = log.open();
    ledger.commit(call(), Ack::Durable).unwrap();
    for _ in 0..3 {
        log.rotate(&ledger, 1).unwrap();
    }
    assert!(matches!(log.rotate(&ledger, 1), Err(RotateError::TooMany)));
    assert_eq!(
        log.sign(&ledger, &log.keys().verifiers(&log.origin()).unwrap().iter().collect::<Vec<_>>()),
        [true; 4]
    );
}

#[test]
fn the_python_verifier_takes_old_and_new_keys() {
    let log = Log::new();
    let ledger = log.open();
    ledger.commit(call(), Ack::Durable).unwrap();
    ledger.sign().unwrap();
    log.rotate(&ledger, 0).unwrap();
    log.sign(&ledger, &[]);
    drop(ledger);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");
    let keys: Vec<String> =
        log.keys().verifiers(&log.origin()).unwrap().iter().map(ToString::to_string).collect();
    let run = |keys: &str| {
        let database = log.path().join("placet_audit.db");
        let run = Command::new("python3").arg(script).arg(database).args(["--key", keys]).output().unwrap();
        run.status.code()
    };
    assert_eq!(run(&keys.join("\n")), Some(0), "the text of the key file");
    assert_eq!((run(&keys[0]), run(&keys[1])), (Some(1), Some(1)), "each key signed only its part");
}
