//! Exit codes, and failures of the command.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;

use placet::{ConfigError, Diagnostics, FileError, GateError, JsonError, Verdict};

/// How a run ended; the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It went well, or the answer is allow.
    Ok = 0,
    /// A negative answer: deny, findings, a failed test, an invalid policy, a target that exists.
    Negative = 1,
    /// An error: usage, files, the engine.
    Error = 2,
    /// A person decides.
    Escalate = 3,
}

impl Exit {
    /// The exit code of a decision.
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Ok,
            Verdict::Deny { .. } => Self::Negative,
            Verdict::Escalate { .. } => Self::Escalate,
        }
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command was used wrongly; the text says how.
    #[error("{0}")]
    Usage(String),
    /// Policies were refused.
    #[error("{0}")]
    Policy(Diagnostics),
    /// A test suite was refused.
    #[error("{0}")]
    Suite(Diagnostics),
    /// A gate could not be opened for another reason.
    #[error(transparent)]
    Gate(GateError),
    /// A configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file was refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// An event was refused.
    #[error("{origin}: {source}")]
    Event {
        /// Where the event came from.
        origin: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// Something could not be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something could not be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// What.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger cannot be read, or holds nothing to answer with.
    #[error("{0}")]
    Ledger(String),
    /// The answer is no; the text says why.
    #[error("{0}")]
    Negative(String),
    /// Something that must not be overwritten exists.
    #[error("{0}")]
    Exists(String),
}

impl Failure {
    /// The exit code of the failure.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Policy(_)
            | Self::Exists(_)
            | Self::Negative(_)
            | Self::File(FileError::NotText { .. } | FileError::TooLarge { .. })
            | Self::Gate(GateError::File(FileError::NotText { .. } | FileError::TooLarge { .. })) => {
                Exit::Negative
            }
            _ => Exit::Error,
        }
    }

    /// Whether the reader of our output went away: nothing is left to say to it.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Policy(found) => Self::Policy(found),
            other => Self::Gate(other),
        }
    }
}

/// Errors without a context of their own are those of stdout.
impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self::Write { what: "the output".to_owned(), source }
    }
}
