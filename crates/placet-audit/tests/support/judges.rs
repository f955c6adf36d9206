//! The second judge: `verify/placet_verify.py` over ledgers written to files.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::edits::Answer;
use crate::support::{Log, key};

pub const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");

/// Runs the verifier once over many logs: a line of input `path<TAB>checkpoint or nothing`, a report a line.
const DRIVER: &str = "
import json, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import placet_verify
for line in sys.stdin:
    path, outside = json.loads(line)
    print(json.dumps(placet_verify.verify(path, [sys.argv[2]], outside)))
";

pub fn answers(questions: &[(PathBuf, Option<String>)]) -> Vec<Answer> {
    let folder = Path::new(VERIFIER).parent().unwrap();
    let mut python = Command::new("python3")
        .args(["-c", DRIVER])
        .arg(folder)
        .arg(key().verifier().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input: String =
        questions.iter().map(|question| format!("{}\n", serde_json::to_string(question).unwrap())).collect();
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Answer> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(output.status.success() && answers.len() == questions.len(), "{} answers", answers.len());
    answers
}

pub fn write_sqlite(path: &Path, log: &Log) {
    let mut db = rusqlite::Connection::open(path).unwrap();
    let add = db.transaction().unwrap();
    add.execute_batch(
        "CREATE TABLE entry (seq INTEGER PRIMARY KEY, leaf TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
         CREATE TABLE view (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
         CREATE TABLE personal (seq INTEGER, field TEXT, salt BLOB, value TEXT, PRIMARY KEY (seq, field)) STRICT;
         CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
         CREATE TABLE head (one INTEGER PRIMARY KEY, size INTEGER NOT NULL, chain BLOB NOT NULL) STRICT;",
    )
    .unwrap();
    for entry in &log.entries {
        let leaf = "INSERT INTO entry VALUES (?, CAST(? AS TEXT), ?)";
        add.execute(leaf, (entry.seq as i64, &entry.leaf, &entry.hash.unwrap().0[..])).unwrap();
        if let Some(view) = &entry.view {
            add.execute("INSERT INTO view VALUES (?, ?)", (entry.seq as i64, view)).unwrap();
        }
        for one in entry.personal.iter().flatten() {
            let field = "INSERT INTO personal VALUES (?, ?, ?, ?)";
            add.execute(field, (entry.seq as i64, &one.field, &one.salt, &one.value)).unwrap();
        }
    }
    for mark in &log.checkpoints {
        add.execute("INSERT INTO checkpoint VALUES (?, ?)", (mark.size as i64, &mark.note)).unwrap();
    }
    if let Some(head) = &log.head {
        add.execute("INSERT INTO head VALUES (1, ?, ?)", (head.size as i64, &head.chain.0[..])).unwrap();
    }
    add.commit().unwrap();
}
