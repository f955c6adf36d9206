//! A log is sealed into segments, its old views go from the ledger, and both verify, together and apart.
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
use std::process::Command;

use placet_audit::keys::VerifierKey;
use placet_audit::verify::{Code, EntrySource, Report, verify};
use placet_store::archive::{Archive, ArchiveError, ArchiveSource, Joined, Segment, ViewKeys};
use placet_store::erase::{EraseError, Erased, Request, Selection, erase, prune};
use placet_store::{KeyFolder, LogLedger, Sqlite, SqliteSource};
use placet_trust::{Ledger, Proposal};
use placet_types::{Ack, Micros};
use serde_json::json;
use support::*;

const ANN: &str = "Ann Archer, 12 Elm Street";
const BOB: &str = "Bob Brown, 3 Oak Lane";

struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> LogLedger<Sqlite> {
        sqlite(self.path())
    }

    fn live(&self) -> SqliteSource {
        SqliteSource::open(&self.path().join("placet_audit.db")).unwrap()
    }

    fn origin(&self) -> String {
        self.live().origin().unwrap()
    }

    fn keys(&self) -> KeyFolder {
        KeyFolder::new(self.path().join("keys"))
    }

    fn view_keys(&self) -> ViewKeys {
        ViewKeys::read(&self.keys(), &self.origin()).unwrap()
    }

    fn archive(&self) -> Archive {
        Archive::new(self.path().join("archive"), &self.origin())
    }

    fn archived(&self, keyed: bool) -> ArchiveSource {
        ArchiveSource::open(&self.archive(), keyed.then(|| self.view_keys())).unwrap()
    }

    fn joined(&self) -> Joined<SqliteSource> {
        Joined::new(self.live(), self.archived(true))
    }

    fn verifiers(&self) -> Vec<VerifierKey> {
        self.keys().verifiers(&self.origin()).unwrap()
    }

    fn verified(&self, source: &mut dyn EntrySource) -> Report {
        verify(source, &self.verifiers(), None).unwrap()
    }

    /// Commits this many calls about both, and signs them.
    fn grow(&self, ledger: &LogLedger<Sqlite>, calls: usize) {
        for round in 0..calls {
            let person = if round.is_multiple_of(2) { ANN } else { BOB };
            let view = json!({"args": {"to": person}, "reason": "fine"}).as_object().cloned();
            ledger.commit(Proposal { view: view.map(Into::into), ..call() }, Ack::Durable).unwrap();
        }
        ledger.sign().unwrap();
    }

    fn seal(&self) -> Option<Segment> {
        self.archive().seal(&mut self.live(), &self.keys()).unwrap()
    }

    fn prune(&self, ledger: &LogLedger<Sqlite>) -> Erased {
        let far = Micros(i64::MAX);
        prune(ledger, self.live(), self.archived(true), far, "cron").unwrap()
    }

    fn erase(&self, ledger: &LogLedger<Sqlite>, text: &str) -> Erased {
        let selection = Selection { containing: Some(text.to_owned()), ..Selection::default() };
        let found = selection.find(&mut self.joined(), &self.view_keys()).unwrap();
        erase(ledger, &found, &[], &Request { by: "dpo".into(), basis: "gdpr-17".into() }).unwrap()
    }

    /// The files that hold a text.
    fn holders(&self, text: &str) -> Vec<PathBuf> {
        let folders = [self.path().to_owned(), self.path().join("archive"), self.path().join("keys")];
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
        let holds = |path: &PathBuf| {
            path.is_file() && fs::read(path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
        };
        files.map(|file| file.path()).filter(holds).collect()
    }

    fn views(&self, source: &mut dyn EntrySource) -> Vec<bool> {
        std::iter::from_fn(|| source.next_entry().unwrap()).map(|entry| entry.view.is_some()).collect()
    }
}

#[test]
fn a_sealed_segment_verifies_alone_and_beside_the_pruned_ledger() {
    let log = Log::new();
    let ledger = log.open();
    log.grow(&ledger, 6);
    let first = log.seal().unwrap();
    assert_eq!((first.from, first.to), (0, 6));
    assert_eq!(log.seal(), None, "nothing is new");
    log.grow(&ledger, 4);
    let second = log.seal().unwrap();
    assert_eq!((second.from, second.to), (6, 10));
    assert!(!log.holders(ANN).contains(&first.path), "views are encrypted there");

    let pruned = log.prune(&ledger);
    assert_eq!((pruned.records, pruned.said_by, pruned.left.is_none()), ((0..10).collect(), vec![10], true));
    assert!(
        log.holders(ANN).is_empty(),
        "neither in the ledger nor in clear in the archive: {:?}",
        log.holders(ANN)
    );
    log.grow(&ledger, 2);

    let report = log.verified(&mut log.live());
    assert!(report.ok && report.erased == 10 && report.unsigned.is_none(), "{report:?}");
    assert_eq!(*report.erasures[0].basis, *"archived");
    let report = log.verified(&mut log.joined());
    assert!(report.ok && report.erased == 0 && report.sealed == 0, "the views are there: {report:?}");
    assert_eq!(log.views(&mut log.joined())[..10], [true; 10]);
    let report = log.verified(&mut log.archived(true));
    assert!(report.ok && (report.entries, report.signed, report.sealed) == (10, 10, 0), "{report:?}");
    let report = log.verified(&mut log.archived(false));
    assert!(report.ok && (report.entries, report.signed, report.sealed) == (10, 10, 10), "{report:?}");
    drop(ledger);
    log.open().commit(call(), Ack::Durable).unwrap();
}

#[test]
fn erasing_a_subject_reaches_cold_copies_by_its_keys() {
    let log = Log::new();
    let ledger = log.open();
    log.grow(&ledger, 6);
    let segment = log.seal().unwrap();
    let cold = fs::read(&segment.path).unwrap();
    log.prune(&ledger);
    let erased = log.erase(&ledger, "12 elm street");
    assert_eq!((erased.records.as_slice(), erased.left.is_none()), (&[0, 2, 4][..], true));
    ledger.sign().unwrap();
    // The copy is as it was, and nobody can open the erased views in it any more.
    fs::write(&segment.path, cold).unwrap();
    let views = log.views(&mut log.joined());
    assert_eq!(views[..6], [false, true, false, true, false, true]);
    for source in [&mut log.joined() as &mut dyn EntrySource, &mut log.live()] {
        let report = log.verified(source);
        assert!(report.ok && report.erasures.len() == 2, "{report:?}");
    }
    let again = Selection { containing: Some(ANN.to_owned()), ..Selection::default() };
    assert!(again.find(&mut log.joined(), &log.view_keys()).unwrap().is_empty());
    // By what the leaf says, the archive need not be at hand.
    let session = Selection { session: Some("session-1".to_owned()), ..Selection::default() };
    assert_eq!(session.find(&mut log.live(), &log.view_keys()).unwrap(), [1, 3, 5]);
    let request = Request { by: "dpo".into(), basis: "archived".into() };
    assert!(matches!(erase(&ledger, &[1], &[], &request), Err(EraseError::Reserved)));
}

#[test]
fn edits_of_an_archive_are_found() {
    let log = Log::new();
    let ledger = log.open();
    log.grow(&ledger, 6);
    let path = log.seal().unwrap().path;
    log.prune(&ledger);
    ledger.sign().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let at = lines[2].find("\"sealed\":\"").unwrap() + 60;
    let other = if &lines[2][at..=at] == "A" { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &lines[2][..at], &lines[2][at + 1..]);
    let exchanged = text.replacen(lines[2], &lines[3].replace("\"seq\":3", "\"seq\":2"), 1);
    for (edited, code) in [
        (text.replacen(lines[2], &flipped, 1), Code::Readable),
        (text.replacen("payments.refund", "payments.steal", 1), Code::Readable),
        (exchanged, Code::Readable),
        (text.replacen(&format!("{}\n", lines[2]), "", 1), Code::Readable),
    ] {
        assert_ne!(edited, text);
        fs::write(&path, edited).unwrap();
        let report = log.verified(&mut log.joined());
        assert!(report.findings.iter().any(|finding| finding.code == code), "{report:?}");
    }
    fs::write(&path, &text).unwrap();
    assert!(log.verified(&mut log.joined()).ok);

    log.grow(&ledger, 2);
    let second = log.seal().unwrap();
    fs::rename(&path, path.with_extension("away")).unwrap();
    let error = log.archive().segments().unwrap_err();
    assert!(matches!(&error, ArchiveError::NotWhole { .. }), "{error}");
    fs::rename(path.with_extension("away"), &path).unwrap();
    fs::remove_file(second.path).unwrap();
    assert!(log.verified(&mut log.joined()).ok, "what is not archived stands in the ledger");
}

#[test]
fn the_keys_of_views_are_closed_and_the_python_verifier_reads_segments() {
    let log = Log::new();
    let ledger = log.open();
    log.grow(&ledger, 4);
    let first = log.seal().unwrap();
    log.grow(&ledger, 4);
    let second = log.seal().unwrap();
    let vaults: Vec<PathBuf> = fs::read_dir(log.path().join("keys"))
        .unwrap()
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "vault"))
        .collect();
    assert_eq!(vaults.len(), 2);
    for vault in &vaults {
        assert_eq!(fs::metadata(vault).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let whole = log.path().join("whole.jsonl");
    let text = fs::read_to_string(&first.path).unwrap() + &fs::read_to_string(&second.path).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");
    let python = |text: &str| {
        fs::write(&whole, text).unwrap();
        let key = log.verifiers()[0].to_string();
        let run = Command::new("python3").arg(script).arg(&whole).args(["--key", &key]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&run.stdout).unwrap()
    };
    let report = python(&text);
    assert_eq!((&report["ok"], &report["entries"], &report["sealed"]), (&json!(true), &json!(8), &json!(8)));
    assert_eq!(python(&text.replacen("payments.refund", "payments.steal", 1))["ok"], false);
    fs::set_permissions(&vaults[0], fs::Permissions::from_mode(0o640)).unwrap();
    let error = ViewKeys::read(&log.keys(), &log.origin()).err().unwrap().to_string();
    assert!(error.contains("has mode 640"), "{error}");
}
