//! Tampering shows: random edits of a log, judged by what promise 8 of the design says. Fixed seed.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Cursor;

use placet_audit::mirror::MirrorSource;
use placet_audit::verify::{Code, Report, Truncation, verify};
use support::edits::{Answer, Dice, KINDS, first_difference, mutate, rewrite};
use support::{Log, keys, lines, log};

const MUTATIONS: u64 = 1_300;

fn report(log: &Log, from: Option<&str>) -> Report {
    verify(&mut log.source(), &keys(), from).unwrap()
}

#[test]
fn an_untouched_log_is_clean() {
    for rounds in 0..5 {
        let log = log(rounds);
        let report = report(&log, None);
        assert!(report.ok, "{report:?}");
        assert_eq!(report.entries, rounds * support::ROUND);
        assert_eq!(report.signed, log.checkpoints.last().map_or(0, |mark| mark.size));
        assert_eq!(report.truncation, Truncation::NotCheckable);
        assert_eq!((report.unknown_total, report.erased), (rounds, rounds));
        for mark in &log.checkpoints {
            let report = verify(&mut log.source(), &keys(), Some(&mark.note)).unwrap();
            assert!(report.ok && report.truncation == Truncation::None, "{report:?}");
        }
    }
}

#[test]
fn no_mutation_of_a_signed_record_goes_undetected() {
    let clean = log(3);
    let mut dice = Dice(1);
    let mut found = 0;
    for number in 0..MUTATIONS {
        let kind = (number % KINDS) as usize;
        let mut edited = clean.clone();
        if dice.below(2) == 0 {
            edited.head = None;
        }
        mutate(&mut edited, kind, &mut dice);
        let Some(first) = first_difference(&clean, &edited) else { continue };
        let said = report(&edited, None);
        Answer::of(&said).judge(&edited, first, 0, &format!("mutation {number} of kind {kind}"));
        found += u64::from(!said.ok);
        let outside = &clean.checkpoints[dice.below(clean.checkpoints.len())];
        let said = report(&edited, Some(&outside.note));
        let what = format!("mutation {number} of kind {kind}, from {}", outside.size);
        Answer::of(&said).judge(&edited, first, outside.size, &what);
    }
    assert!(found > MUTATIONS * 3 / 4, "{found} of {MUTATIONS} found");
}

#[test]
fn whoever_holds_the_key_is_found_out_by_a_checkpoint_from_elsewhere() {
    let clean = log(4);
    let outside = clean.checkpoints.last().unwrap();
    let mut dice = Dice(2);
    for number in 0..200 {
        let mut edited = clean.clone();
        let at = dice.below(edited.entries.len());
        rewrite(&mut edited.entries[at], &mut dice);
        edited.refit();
        edited.sign_again(&support::key());
        let (first, said) = (at as u64, report(&edited, None));
        assert!(!said.findings.iter().any(|finding| !finding.code.may_follow()), "{said:?}");
        let said = report(&edited, Some(&outside.note));
        if first < outside.size {
            let bad = said.first_bad.unwrap();
            assert!(bad.from <= first && first < bad.to, "{number}: {said:?}");
            assert!(said.findings.iter().any(|finding| finding.code == Code::Forked), "{number}: {said:?}");
        } else {
            assert!(said.unsigned.is_some_and(|at| at.from <= first), "{number}: {said:?}");
        }
        edited.entries.truncate(at);
        edited.checkpoints.retain(|mark| mark.size <= first);
        edited.refit();
        let said = report(&edited, Some(&outside.note));
        let cut = first < outside.size;
        assert_eq!(said.truncation == Truncation::Found, cut, "{number}: {said:?}");
        assert!(cut != said.ok || !said.ok, "{number}: {said:?}");
    }
}

fn mirror_report(lines: &[String]) -> Report {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    verify(&mut MirrorSource::new(Cursor::new(&text), Cursor::new(&text)), &keys(), None).unwrap()
}

#[test]
fn no_byte_of_a_mirror_changes_undetected() {
    let clean = lines(&log(4));
    let untouched = mirror_report(&clean);
    assert!(untouched.ok && untouched.erased == 2, "{untouched:?}");
    let mut dice = Dice(3);
    for number in 0..1_000 {
        let mut edited = clean.clone();
        let at = dice.below(edited.len());
        match number % 4 {
            0 | 1 => {
                let mut bytes = edited[at].clone().into_bytes();
                let byte = dice.below(bytes.len());
                bytes[byte] = b' ' + dice.below(95) as u8;
                match String::from_utf8(bytes) {
                    Ok(line) if line != edited[at] => edited[at] = line,
                    _ => continue,
                }
            }
            2 => drop(edited.remove(at)),
            _ => {
                let other = dice.below(edited.len());
                edited.swap(at, other);
            }
        }
        let said = mirror_report(&edited);
        if said.ok {
            // Entries say the same in the same order; a checkpoint may be gone or stand elsewhere, which says no more.
            let same = entries_of(&edited).zip(entries_of(&clean)).all(|(edited, clean)| edited == clean);
            assert!(same && said.signed <= said.entries, "{number}: undetected");
            assert!(
                said.signed == untouched.signed || said.unsigned.is_some_and(|to| to.from == said.signed)
            );
        }
    }
}

fn entries_of(lines: &[String]) -> impl Iterator<Item = &String> {
    lines.iter().filter(|line| !line.contains("\"event\":\"checkpoint\""))
}
