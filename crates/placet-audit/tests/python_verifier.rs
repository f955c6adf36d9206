//! `verify/placet_verify.py` against SQLite ledgers and mirrors that this crate wrote: the same answers.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/judges.rs"]
mod judges;
mod support;

use std::path::Path;
use std::process::Command;

use judges::{VERIFIER, answers, write_sqlite};
use placet_audit::verify::{Report, Truncation, verify};
use support::edits::{Answer, Dice, KINDS, first_difference, mutate};
use support::{Log, key, keys, lines, log};

fn write_mirror(path: &Path, log: &Log) {
    std::fs::write(path, lines(log).iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

fn report(log: &Log, from: Option<&str>) -> Report {
    verify(&mut log.source(), &keys(), from).unwrap()
}

fn agree(said: &Answer, report: &Report) {
    let ours = Answer::of(report);
    assert_eq!(
        (said.ok, said.entries, said.signed),
        (ours.ok, ours.entries, ours.signed),
        "{said:?}\n{report:?}"
    );
    assert_eq!((said.unsigned, &said.truncation), (ours.unsigned, &ours.truncation), "{said:?}\n{report:?}");
    assert_eq!(said.unknown, ours.unknown);
}

#[test]
fn an_untouched_log_is_clean_to_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut questions = Vec::new();
    let mut reports = Vec::new();
    for rounds in [0, 1, 3] {
        let log = log(rounds);
        let (sqlite, mirror) =
            (folder.path().join(format!("{rounds}.db")), folder.path().join(format!("{rounds}.jsonl")));
        write_sqlite(&sqlite, &log);
        write_mirror(&mirror, &log);
        for from in [None, log.checkpoints.last().map(|mark| mark.note.clone())] {
            for path in [&sqlite, &mirror] {
                questions.push((path.clone(), from.clone()));
                reports.push(report(&log, from.as_deref()));
            }
        }
    }
    for (said, report) in answers(&questions).iter().zip(&reports) {
        assert!(report.ok);
        agree(said, report);
    }
    assert!(reports.iter().any(|report| report.truncation == Truncation::None));
}

#[test]
fn what_this_crate_finds_the_python_verifier_finds() {
    let folder = tempfile::tempdir().unwrap();
    let clean = log(3);
    let mut dice = Dice(4);
    let (mut questions, mut edits) = (Vec::new(), Vec::new());
    for number in 0..260_u64 {
        let mut edited = clean.clone();
        mutate(&mut edited, (number % KINDS) as usize, &mut dice);
        // A table cannot hold an entry twice; those are edits of a mirror.
        edited.entries.dedup_by_key(|entry| entry.seq);
        edited.entries.sort_by_key(|entry| entry.seq);
        edited.entries.dedup_by_key(|entry| entry.seq);
        let Some(first) = first_difference(&clean, &edited) else { continue };
        let path = folder.path().join(format!("{number}.db"));
        write_sqlite(&path, &edited);
        let outside =
            (number % 2 == 0).then(|| clean.checkpoints[dice.below(clean.checkpoints.len())].clone());
        questions.push((path, outside.as_ref().map(|mark| mark.note.clone())));
        edits.push((number, edited, first, outside));
    }
    for (said, (number, edited, first, outside)) in answers(&questions).iter().zip(&edits) {
        let from = outside.as_ref().map(|mark| &*mark.note);
        said.judge(
            edited,
            *first,
            outside.as_ref().map_or(0, |mark| mark.size),
            &format!("mutation {number}"),
        );
        let report = report(edited, from);
        assert_eq!(said.ok, report.ok, "mutation {number}: {said:?}\n{report:?}");
    }
    assert!(edits.len() > 200);
}

#[test]
fn an_edited_mirror_is_found_by_the_python_verifier() {
    let folder = tempfile::tempdir().unwrap();
    let clean = lines(&log(2));
    let mut dice = Dice(5);
    let mut questions = Vec::new();
    for number in 0..200 {
        let mut edited = clean.clone();
        let entry = |line: &String| !line.contains("\"event\":\"checkpoint\"");
        let at = (0..edited.len() - 6).filter(|at| entry(&edited[*at])).nth(dice.below(12)).unwrap();
        let mut bytes = edited[at].clone().into_bytes();
        let byte = dice.below(bytes.len());
        bytes[byte] = b' ' + dice.below(95) as u8;
        match String::from_utf8(bytes) {
            Ok(line) if line != edited[at] => edited[at] = line,
            _ => continue,
        }
        let path = folder.path().join(format!("{number}.jsonl"));
        std::fs::write(&path, edited.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        questions.push((path, None));
    }
    for (said, (path, _)) in answers(&questions).iter().zip(&questions) {
        assert!(!said.ok, "{}: {said:?}", path.display());
    }
    assert!(questions.len() > 100);
}

#[test]
fn the_command_exits_0_1_or_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let mut log = log(1);
    write_sqlite(&path, &log);
    let run = |key: &str, path: &Path| {
        let run = Command::new("python3").arg(VERIFIER).arg(path).args(["--key", key]).output().unwrap();
        run.status.code()
    };
    let key = key().verifier().to_string();
    assert_eq!(run(&key, &path), Some(0));
    assert_eq!(run("nobody+00000000+AAAA", &path), Some(2));
    assert_eq!(run(&key, &folder.path().join("none.db")), Some(2));
    log.entries[0].leaf.push(b' ');
    let edited = folder.path().join("edited.db");
    write_sqlite(&edited, &log);
    assert_eq!(run(&key, &edited), Some(1));
    let code = std::fs::read_to_string(VERIFIER).unwrap();
    assert!(code.lines().count() <= 250 && !code.contains("import placet"));
}
