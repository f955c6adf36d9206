//! The second judge: `verify/placet_verify.py`, one process for many logs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use placet_audit::keys::VerifierKey;

use crate::audit::edits::Answer;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify");

/// Answers line by line. The same signature is verified once: a log and its edited copies share their checkpoints.
const DRIVER: &str = "
import functools, json, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import placet_verify
placet_verify.ed25519 = functools.lru_cache(placet_verify.ed25519)
for line in sys.stdin:
    path, outside, key = json.loads(line)
    print(json.dumps(placet_verify.verify(path, [key], outside)), flush=True)
";

pub struct Python {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", DRIVER, FOLDER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    pub fn verify(&mut self, path: &Path, from: Option<&str>, key: &VerifierKey) -> Answer {
        let question = serde_json::to_string(&(path, from, key.to_string())).unwrap();
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}` for {question}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
