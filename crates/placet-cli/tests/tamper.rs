//! A sample of the edits of `placet-store`'s `tamper_many`, through the command itself and the verifier in Python.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::process::Command;

use common::Project;
use common::ledger::recorded;

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");

/// Edits of a log of six records, all of them signed.
const EDITS: &[&str] = &[
    "UPDATE entry SET leaf = replace(leaf, 'allow', 'adopt') WHERE seq = 0",
    "UPDATE entry SET leaf = replace(leaf, 's1', 's9') WHERE seq = 2",
    "UPDATE entry SET leaf = leaf || ' ' WHERE seq = 5",
    "UPDATE entry SET hash = zeroblob(32) WHERE seq = 1",
    "UPDATE entry SET hash = (SELECT hash FROM entry WHERE seq = 1) WHERE seq = 4",
    "DELETE FROM entry WHERE seq = 0",
    "DELETE FROM entry WHERE seq = 3",
    "DELETE FROM entry WHERE seq = 5",
    "DELETE FROM entry WHERE seq >= 2",
    "DELETE FROM entry",
    "INSERT OR REPLACE INTO entry SELECT 2, leaf, hash FROM entry WHERE seq = 4",
    "INSERT INTO entry SELECT 6, leaf, hash FROM entry WHERE seq = 0",
    "INSERT INTO entry SELECT 60, leaf, hash FROM entry WHERE seq = 0",
    "INSERT INTO entry SELECT -1, leaf, hash FROM entry WHERE seq = 0",
    "UPDATE entry SET seq = seq + 10 WHERE seq >= 3",
    "UPDATE entry SET seq = 99 WHERE seq = 2; UPDATE entry SET seq = 2 WHERE seq = 3; UPDATE entry SET seq = 3 WHERE seq = 99",
    "UPDATE \"view\" SET body = replace(body, 'web', 'net') WHERE seq = 3",
    "UPDATE \"view\" SET body = '{}' WHERE seq = 0",
    "DELETE FROM \"view\" WHERE seq = 0",
    "DELETE FROM \"view\"",
    "UPDATE checkpoint SET note = replace(note, '6', '7')",
    "UPDATE checkpoint SET size = size + 1",
    "UPDATE head SET size = 5",
    "UPDATE head SET chain = zeroblob(32)",
    "DELETE FROM head",
];

/// Runs SQL in a copy of the ledger, as an operator with a shell does.
fn edited(project: &Project, sql: &str) {
    let script = "import sqlite3, sys
old, new = sqlite3.connect(sys.argv[1]), sqlite3.connect(sys.argv[2])
old.backup(new)
for name, in new.execute(\"select name from sqlite_master where type = 'trigger'\").fetchall():
    new.execute(f'drop trigger \"{name}\"')
new.executescript(sys.argv[3])
new.commit()
";
    for file in ["edited.db", "edited.db-wal", "edited.db-shm"] {
        let _ = std::fs::remove_file(project.path(file));
    }
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(project.path("placet_audit.db")).arg(project.path("edited.db")).arg(sql);
    assert!(python.status().expect("python3").success(), "{sql}");
}

fn answers(project: &Project, file: &str, key: &str) -> (i32, Option<i32>) {
    let run = project.run(&["audit", "verify", "--ledger", file, "--key", key]);
    let text = std::fs::read_to_string(project.path(key)).expect("the key");
    let mut python = Command::new("python3");
    python.arg(VERIFIER).arg(project.path(file)).args(["--key", text.trim()]);
    (run.code, python.output().expect("python3").status.code())
}

#[test]
fn f28_aegis_72_every_edit_is_found_by_the_command_and_by_the_second_verifier() {
    let project = recorded();
    std::fs::create_dir_all(project.path("elsewhere")).expect("a folder");
    let key = "elsewhere/log.vkey";
    project.run(&["audit", "key", "-o", key]).exits(0);
    edited(&project, "");
    assert_eq!(answers(&project, "edited.db", key), (0, Some(0)), "untouched but for the triggers");
    for sql in EDITS {
        edited(&project, sql);
        assert_eq!(answers(&project, "edited.db", key), (1, Some(1)), "{sql}");
    }
}

#[test]
fn f28_aegis_72_every_edit_of_an_export_is_found_by_both() {
    let project = recorded();
    std::fs::create_dir_all(project.path("elsewhere")).expect("a folder");
    let key = "elsewhere/log.vkey";
    project.run(&["audit", "key", "-o", key]).exits(0);
    project.run(&["audit", "export", "-o", "edited.jsonl"]).exits(0);
    assert_eq!(answers(&project, "edited.jsonl", key), (0, Some(0)));
    let clean = project.read("edited.jsonl");
    let lines: Vec<&str> = clean.lines().collect();
    for at in 0..6 {
        for edit in 0..4 {
            let mut other: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            match edit {
                0 => drop(other.remove(at)),
                1 => other.swap(at, (at + 1) % 6),
                2 => other[at] = other[at].replacen("agent-1", "agent-2", 1),
                _ => other[at].insert(1, ' '),
            }
            let text: String = other.iter().map(|line| format!("{line}\n")).collect();
            if text == clean {
                continue;
            }
            project.write("edited.jsonl", &text);
            assert_eq!(answers(&project, "edited.jsonl", key), (1, Some(1)), "line {at}, edit {edit}");
        }
    }
}
