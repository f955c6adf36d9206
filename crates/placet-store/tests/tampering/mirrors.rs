//! Edits of JSONL mirrors.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::Cursor;

use placet_audit::mirror::{self, Line, MirrorSource};
use placet_audit::verify::verify;

use crate::audit::edits::{Answer, Dice, rewrite};
use crate::in_sqlite::Template;
use crate::judges::Python;

fn is_entry(line: &str) -> bool {
    !line.contains("\"event\":\"checkpoint\"")
}

fn entry_lines(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| is_entry(line)).collect()
}

/// Edits lines; returns what it did.
fn edit(lines: &mut Vec<String>, kind: u64, dice: &mut Dice) -> &'static str {
    let entries: Vec<usize> = (0..lines.len()).filter(|at| is_entry(&lines[*at])).collect();
    let at = entries[dice.below(entries.len())];
    match kind {
        0 | 1 => {
            let mut bytes = lines[at].clone().into_bytes();
            let byte = dice.below(bytes.len());
            bytes[byte] = b' ' + u8::try_from(dice.below(95)).unwrap();
            lines[at] = String::from_utf8(bytes).unwrap_or_else(|_| lines[at].replacen('a', "b", 1));
            "a byte of a line"
        }
        2 => {
            lines.remove(at);
            "a line deleted"
        }
        3 => {
            let other = entries[dice.below(entries.len())];
            lines.swap(at, other);
            "two lines exchanged"
        }
        4 => {
            let copy = lines[entries[dice.below(entries.len())]].clone();
            lines.insert(at, copy);
            "a line inserted"
        }
        5 => {
            let Ok(Line::Entry(mut entry)) = mirror::decode(&lines[at]) else { unreachable!() };
            rewrite(&mut entry, dice);
            lines[at] = mirror::entry_line(entry.seq, &entry.leaf, entry.view.as_deref(), None).unwrap();
            "a record rewritten, its line made to fit"
        }
        6 => {
            let from = ["\"allow\":false", "\"deny\":true", "refunds up to", "\"status\":\"succeeded\""];
            let to = ["\"allow\":true", "\"deny\":false", "refunds beyond", "\"status\":\"failed\""];
            let which = dice.below(from.len());
            lines[at] = lines[at].replace(from[which], to[which]);
            "a readable member"
        }
        7 => {
            lines.truncate(at);
            "the end cut off"
        }
        8 => {
            lines[at].pop();
            "a torn line"
        }
        9 => {
            let next = lines.remove(at);
            let last = lines.last_mut().unwrap();
            last.push_str(&next);
            "a line joined to another"
        }
        10 => {
            let mark = (0..lines.len()).filter(|at| !is_entry(&lines[*at])).nth(dice.below(2)).unwrap();
            lines[mark] = lines[mark].replacen(['A', 'b', '7'], "c", 1);
            "a checkpoint's line"
        }
        _ => {
            lines[at].insert(1, ' ');
            "a space"
        }
    }
}

#[test]
fn promise_8_f28_aegis_72_no_edit_of_a_mirror_goes_undetected() {
    let template = Template::new();
    let text = fs::read_to_string(template.folder.path().join("audit.jsonl")).unwrap();
    let clean: Vec<String> = text.lines().map(str::to_owned).collect();
    let keys = template.log.keys();
    let judged = |path: &std::path::Path, from: Option<&str>| {
        let text = fs::read(path).unwrap();
        let mut source = MirrorSource::new(Cursor::new(&text), Cursor::new(&text));
        Answer::of(&verify(&mut source, &keys, from).unwrap())
    };
    let path = template.folder.path().join("edited.jsonl");
    let mut python = Python::start();
    let outside = template.log.checkpoints.last().unwrap();
    for from in [None, Some(&*outside.note)] {
        fs::write(&path, &text).unwrap();
        for said in [judged(&path, from), python.verify(&path, from, &keys[0])] {
            assert!(said.ok && said.signed == said.entries, "{said:?}");
        }
    }
    let mut made = 0;
    for number in 0..400 {
        let (mut edited, mut dice) = (clean.clone(), Dice(15 << 32 | number));
        let what = format!("edit {number}: {}", edit(&mut edited, number % 12, &mut dice));
        if edited == clean {
            continue;
        }
        made += 1;
        fs::write(&path, edited.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let from = (dice.below(2) == 0).then_some(&*outside.note);
        let answers = [judged(&path, from), python.verify(&path, from, &keys[0])];
        assert_eq!(answers[0].ok, answers[1].ok, "{what}: {answers:?}");
        let (now, was) = (entry_lines(&edited), entry_lines(&clean));
        let first = (0..now.len().max(was.len())).find(|at| now.get(*at) != was.get(*at));
        let holds = |line: &&String| {
            matches!(mirror::decode(line), Ok(Line::Checkpoint(mark))
            if placet_audit::checkpoint::verify(&mark.note, &keys).is_ok_and(|held| held.size == mark.size))
        };
        let signed = |line: &String| match mirror::decode(line) {
            Ok(Line::Checkpoint(mark)) => mark.size,
            _ => 0,
        };
        let marks: Vec<&String> = edited.iter().filter(|line| !is_entry(line)).collect();
        let covers = marks.iter().copied().filter(holds).map(signed).max().unwrap_or(0);
        let all_hold = marks.iter().all(holds);
        for said in answers {
            if let Some(first) = first {
                let outside = if from.is_some() { outside.size } else { 0 };
                said.judge_signed((covers, all_hold), first as u64, outside, &what, |_| true);
            }
            assert!(all_hold || !said.ok, "{what}: {said:?}");
        }
    }
    assert!(made >= 330, "{made}");
}
