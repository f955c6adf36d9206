//! Asking at a terminal.
//!
//! Each question reads a terminal in the thread of its own that every channel has, and only while it is asked: what
//! was typed before does not answer it, and what is typed after goes to the program.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use placet_trust::approvals::answer::{self, Answer, NoReason};
use placet_types::ApproverId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::{Channel, Ending, Question, Reply};

/// How often a person may type something that is neither yes nor no.
pub const MAX_TRIES: u32 = 3;

/// How often a waiting prompt looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4_096;

/// A channel that asks at a terminal. Questions that come together are asked one after the other.
pub struct Terminal {
    path: PathBuf,
    approver: ApproverId,
    turn: Mutex<()>,
}

impl Terminal {
    /// The terminal that controls this process; its answers are recorded as of `approver`.
    #[must_use]
    pub fn controlling(approver: ApproverId) -> Self {
        Self::at("/dev/tty", approver)
    }

    /// The terminal with this device file.
    pub fn at(path: impl Into<PathBuf>, approver: ApproverId) -> Self {
        Self { path: path.into(), approver, turn: Mutex::new(()) }
    }

    fn answer(&self, question: &Question, ending: &Ending) -> Answer {
        let turn = loop {
            if ending.is_over() {
                return Answer::Refuse(NoReason::Timeout);
            }
            if let Some(turn) = self.turn.try_lock_for(LOOK_EVERY) {
                break turn;
            }
        };
        let answer = Prompt::open(&self.path).and_then(|mut prompt| prompt.run(question, ending));
        drop(turn);
        answer.unwrap_or(Answer::Refuse(NoReason::Closed))
    }
}

impl Channel for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn ask(&self, question: &Question, ending: &Ending) -> Reply {
        Reply::asserted(&self.approver, self.answer(question, ending))
    }
}

/// One prompt on an open terminal.
struct Prompt {
    terminal: File,
    typed: Vec<u8>,
}

/// What was read.
enum Line {
    Text(String),
    End,
    Over,
}

impl Prompt {
    fn open(path: &Path) -> std::io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(Self { terminal, typed: Vec::new() })
    }

    fn run(&mut self, question: &Question, ending: &Ending) -> std::io::Result<Answer> {
        self.discard()?;
        let rule = "=".repeat(60);
        let Question { text, entry, .. } = question;
        self.say(&format!("\n{rule}\nAPPROVAL REQUIRED  {}\n{rule}\n{text}{rule}\n", entry.id))?;
        for _ in 0..MAX_TRIES {
            self.say("  Approve? [y/n]: ")?;
            let answer = match self.line(ending)? {
                Line::Over => {
                    self.say("\n  The question is over; nothing was approved here.\n")?;
                    return Ok(Answer::Refuse(NoReason::Timeout));
                }
                Line::End => answer::terminal(None),
                Line::Text(line) => answer::terminal(Some(&line)),
            };
            if answer != Answer::Unclear {
                return Ok(answer);
            }
            self.say("  Please enter 'y' or 'n'.\n")?;
        }
        let problem = format!("neither yes nor no was typed in {MAX_TRIES} tries");
        self.say("  Refused.\n")?;
        Ok(Answer::Refuse(NoReason::Failed { channel: "terminal", problem }))
    }

    /// One write, so that nothing of the program comes between its parts.
    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.terminal.write_all(text.as_bytes())
    }

    /// Forgets what was typed before the question was shown.
    fn discard(&mut self) -> std::io::Result<()> {
        let mut typed = [0; 1024];
        while self.is_ready(Duration::ZERO)? {
            if self.terminal.read(&mut typed)? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn line(&mut self, ending: &Ending) -> std::io::Result<Line> {
        loop {
            if let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=end).collect();
                return Ok(Line::Text(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.typed.len() > MAX_LINE_BYTES {
                return Ok(Line::Text(
                    String::from_utf8_lossy(&std::mem::take(&mut self.typed)).into_owned(),
                ));
            }
            if ending.is_over() {
                return Ok(Line::Over);
            }
            let left = ending.until.saturating_duration_since(Instant::now());
            if !self.is_ready(left.min(LOOK_EVERY))? {
                continue;
            }
            let mut chunk = [0; 1024];
            match self.terminal.read(&mut chunk) {
                Ok(0) => return Ok(Line::End),
                Ok(read) => self.typed.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn is_ready(&self, within: Duration) -> std::io::Result<bool> {
        let mut watched = [PollFd::new(&self.terminal, PollFlags::IN)];
        let within = Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        match poll(&mut watched, Some(&within)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
