//! What is erased is in no byte of the files any more, and the log verifies and says so.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use placet_audit::keys::VerifierKey;
use placet_audit::mirror::MirrorSource;
use placet_audit::verify::{EntrySource, Report, verify};
use placet_store::archive::ViewKeys;
use placet_store::erase::{EraseError, Erased, Request, Selection, erase};
use placet_store::{KeyFolder, LogLedger, Sqlite, SqliteSource};
use placet_trust::{Ledger, Personal, Proposal};
use placet_types::record::{OutcomeFact, OutcomeStatus};
use placet_types::{Ack, Fact, Micros, Record, RecordId};
use serde_json::json;
use support::*;

const ANN: &str = "Ann.Ångström@example.org";
const BOB: &str = "bob@example.org";

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("placet_audit.db")
}

fn mirrored(folder: &Path) -> LogLedger<Sqlite> {
    let settings = settings(folder).mirror(folder.join("audit.jsonl"));
    LogLedger::new(Sqlite::new(database(folder)), settings)
}

/// A call that names a person in its arguments, also in long ones and in a personal field.
fn about(person: &str, size: usize) -> Proposal {
    let mut proposal = call();
    let long = format!("{person} ").repeat(size);
    proposal.view =
        json!({"args": {"to": person, "body": long}, "user": person}).as_object().cloned().map(Into::into);
    proposal.personal = vec![Personal { field: "args.to".into(), value: json!(person) }];
    proposal
}

fn filled(folder: &Path, ledger: &LogLedger<Sqlite>) {
    for round in 0..40_usize {
        let person = if round.is_multiple_of(2) { ANN } else { BOB };
        ledger.commit(about(person, 1 + round * 37), Ack::Durable).unwrap();
    }
    ledger.sign().unwrap();
    assert!(holds(folder, ANN) && holds(folder, BOB));
}

/// Whether a text stands in any file of the folder, as it is or as JSON may escape it.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().filter(|file| file.path().is_file()).any(|file| {
        let bytes = fs::read(file.path()).unwrap();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    })
}

fn erase_all(folder: &Path, ledger: &LogLedger<Sqlite>, selection: &Selection) -> Erased {
    let found =
        selection.find(&mut SqliteSource::open(&database(folder)).unwrap(), &ViewKeys::default()).unwrap();
    let request = Request { by: "dpo@example.org".into(), basis: "gdpr-17".into() };
    erase(ledger, &found, &selection.fields, &request).unwrap()
}

fn containing(text: &str) -> Selection {
    Selection { containing: Some(text.to_owned()), ..Selection::default() }
}

fn keys(folder: &Path) -> Vec<VerifierKey> {
    let source = SqliteSource::open(&database(folder)).unwrap();
    vec![KeyFolder::new(folder.join("keys")).verifier(&source.origin().unwrap()).unwrap()]
}

fn verified(folder: &Path, source: &mut dyn EntrySource) -> Report {
    verify(source, &keys(folder), None).unwrap()
}

fn by_python(folder: &Path, log: &Path) -> serde_json::Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");
    let key = keys(folder)[0].to_string();
    let run = Command::new("python3").args([script, log.to_str().unwrap(), "--key", &key]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn erasure_leaves_no_byte_of_a_subject_and_the_log_verifies_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = mirrored(folder);
    filled(folder, &ledger);
    let erased = erase_all(folder, &ledger, &containing("ann.ångström@EXAMPLE"));
    assert_eq!((erased.records.len(), erased.said_by.as_slice()), (20, &[40][..]));
    assert!(erased.left.is_none(), "{:?}", erased.left);
    assert!(!holds(folder, ANN), "while the ledger is open");
    assert!(holds(folder, BOB));
    ledger.sign().unwrap();
    drop(ledger);
    assert!(!holds(folder, ANN), "after it was closed");

    let mirror = folder.join("audit.jsonl");
    let lines = || std::io::BufReader::new(fs::File::open(&mirror).unwrap());
    let reports = [
        verified(folder, &mut SqliteSource::open(&database(folder)).unwrap()),
        verified(folder, &mut MirrorSource::new(lines(), lines())),
    ];
    for report in reports {
        assert!(report.ok, "{report:?}");
        assert_eq!((report.erased, report.erasures.len(), report.unsigned), (20, 1, None));
        let said = &report.erasures[0];
        assert_eq!((said.seq, said.count, &*said.by, &*said.basis), (40, 20, "dpo@example.org", "gdpr-17"));
    }
    for log in [database(folder), mirror] {
        let report = by_python(folder, &log);
        assert_eq!(report["erasures"][0]["basis"], "gdpr-17", "{report}");
        assert_eq!(report["erasures"][0]["records"].as_array().unwrap().len(), 20);
    }
    sqlite(folder).commit(call(), Ack::Durable).unwrap();
}

#[test]
fn erasure_of_fields_leaves_the_views() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = sqlite(folder);
    ledger.commit(personal(call()), Ack::Durable).unwrap();
    let selection = Selection { fields: vec!["args.email".into()], ..containing("EVE@example.org") };
    assert_eq!(erase_all(folder, &ledger, &selection).records, [0]);
    assert!(!holds(folder, "eve@example.org"));
    assert!(holds(folder, "customer asked twice"));
    ledger.sign().unwrap();
    let report = verified(folder, &mut SqliteSource::open(&database(folder)).unwrap());
    assert!(report.ok && report.erased == 1, "{report:?}");
    assert_eq!(report.erasures[0].fields, ["args.email".into()]);
}

#[test]
fn erasure_reaches_a_mirror_that_somebody_else_writes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let writer = mirrored(folder);
    filled(folder, &writer);
    let other = sqlite(folder);
    erase_all(folder, &other, &containing(ANN));
    assert!(holds(folder, ANN), "whoever erased does not know the mirror");
    writer.commit(call(), Ack::Durable).unwrap();
    assert!(!holds(folder, ANN), "whoever writes it follows");
    assert!(writer.trouble().is_none());
}

#[test]
fn erasure_says_when_a_reader_keeps_the_text_in_the_side_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = sqlite(folder);
    filled(folder, &ledger);
    let reader = rusqlite::Connection::open(database(folder)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entry").unwrap();
    let erased = erase_all(folder, &ledger, &containing(ANN));
    let left = erased.left.expect("it is told").to_string();
    assert!(left.contains("another program is reading") && left.contains("-wal"), "{left}");
    drop(reader);
    drop(ledger);
    assert!(!holds(folder, ANN), "the last one to close it cleans up");
}

#[test]
fn erasure_takes_outcomes_with_their_decisions_and_needs_a_ground() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = sqlite(folder);
    let decided = about(ANN, 1);
    let id = decided.record.id.clone();
    ledger.commit(decided, Ack::Durable).unwrap();
    ledger.commit(about(BOB, 1), Ack::Durable).unwrap();
    let fact = OutcomeFact {
        decision: id,
        status: OutcomeStatus::Succeeded,
        error: None,
        elapsed_us: 1,
        injections: 0,
    };
    let record = Record::new(RecordId(fresh("outcome").into()), Fact::Outcome(fact));
    let view = json!({"result": "sent to her"}).as_object().cloned();
    ledger
        .commit(
            Proposal { record, view: view.map(Into::into), personal: Vec::new(), fallback: None },
            Ack::Durable,
        )
        .unwrap();
    let source = || SqliteSource::open(&database(folder)).unwrap();
    let find = |selection: Selection, source: &mut SqliteSource| {
        selection.find(source, &ViewKeys::default()).unwrap()
    };
    let user = Selection { user: Some(ANN.to_owned()), ..Selection::default() };
    assert_eq!(find(user.clone(), &mut source()), [0, 2]);
    let early = Selection { before: Some(Micros(0)), ..user.clone() };
    assert_eq!(find(early, &mut source()), [0_u64; 0]);
    let session = Selection { session: Some("session-1".to_owned()), ..Selection::default() };
    assert_eq!(find(session, &mut source()), [0, 1, 2]);
    let error = Selection::default().find(&mut source(), &ViewKeys::default()).unwrap_err();
    assert!(matches!(error, EraseError::Nothing), "{error}");
    let request = Request { by: "dpo".into(), basis: " ".into() };
    let error = erase(&ledger, &[0], &[], &request).unwrap_err().to_string();
    assert!(error.contains("`basis` is empty"), "{error}");
    assert!(holds(folder, ANN), "nothing was erased");
    erase_all(folder, &ledger, &user);
    assert_eq!(find(user, &mut source()), [0_u64; 0], "nothing is left to erase");
}
