//! A project folder and the command run in it, as a user runs it.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

pub mod ledger;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// What both the view `audit_log` and the list have.
pub const COLUMNS: [&str; 24] = [
    "id",
    "seq",
    "session_id",
    "timestamp",
    "action_type",
    "action_target",
    "action_params",
    "risk_level",
    "risk_tier",
    "approval",
    "matched_rule",
    "human_decision",
    "result_status",
    "result_data",
    "result_error",
    "agent_id",
    "chain_depth",
    "event_type",
    "tool_name",
    "verdict",
    "code",
    "policy_version",
    "hitl_decided_by",
    "outcome",
];

pub struct Project {
    pub folder: TempDir,
}

/// What one run gave.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Project {
    /// A folder with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { folder: TempDir::new().expect("a folder") };
        files.iter().for_each(|(path, text)| project.write(path, text));
        project
    }

    /// A folder with one policy.
    pub fn with_policy(text: &str) -> Self {
        Self::new(&[("policies/policy.yaml", text)])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_placet"));
        command.args(arguments).current_dir(self.folder.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().expect("it runs"))
    }

    pub fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Run {
        Run::of(&self.output(arguments, stdin))
    }

    pub fn output(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().expect("it starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        let text = stdin.to_vec();
        let writer = std::thread::spawn(move || drop(pipe.write_all(&text)));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("written");
        output
    }
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            code: output.status.code().expect("a code"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the exit code, with everything printed when it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out.contains(word), "no `{word}` on stdout: {self:?}");
        }
        self
    }

    #[track_caller]
    pub fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "no `{word}` on stderr: {self:?}");
        }
        self
    }
}

/// An event of a first agent.
pub fn event(action: &str, args: &str) -> String {
    format!(r#"{{"action":"{action}","args":{args},"context":{{"session_id":"s","delegation_depth":0}}}}"#)
}

/// Notes: read, never delete, ask before sending.
pub const NOTES: &str = r#"version: 1
rules:
  - name: reads_are_fine
    when: { action: read_note }
    then: allow
  - name: no_deletes
    when: { action: delete_note }
    then: deny
    reason: "notes are kept"
  - name: ask_before_sending
    when: { action: send_note, args: { size: { lt: 10 } } }
    then: hitl
    reviewers: [editors]
    reason: "a person reads it first"
"#;
