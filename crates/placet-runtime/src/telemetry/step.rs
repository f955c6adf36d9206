//! What observers see of an event.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use placet_types::ids::ApprovalId;
use placet_types::record::OutcomeStatus;
use placet_types::{Decision, Event};

/// Something that is about to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The tool, where it is a call of one.
    pub tool: Option<&'a str>,
    /// Whether an effect is to follow; otherwise it is a question.
    pub acts: bool,
}

/// From when to when something went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

impl Lap {
    /// From a moment until now.
    #[must_use]
    pub fn since(began: Instant) -> Self {
        Self { began, ended: Instant::now() }
    }

    /// How long it went on.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }
}

/// One thing that was done about an event.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step<'a> {
    /// It was decided, and the decision recorded.
    Decided(Decided<'a>),
    /// People were waited for.
    Waited(Waited<'a>),
    /// Its effect ended, or never began.
    Ended(Ended<'a>),
}

/// A decision with the time that its parts took.
#[derive(Debug, Clone)]
pub struct Decided<'a> {
    /// The event as it was decided.
    pub event: &'a Event,
    /// The decision.
    pub decision: &'a Decision,
    /// All of it.
    pub whole: Lap,
    /// Closing the question: identity, facts of the session, authority.
    pub settled: Lap,
    /// Within that, verifying the credential, where one is demanded.
    pub verified: Option<Lap>,
    /// Evaluating the policies; absent where none was asked.
    pub judged: Option<Lap>,
    /// Committing the record with what it takes; absent without a ledger.
    pub recorded: Option<Lap>,
    /// The request for approval, when people were asked.
    pub approval: Option<&'a ApprovalId>,
}

/// A wait for people.
#[derive(Debug, Clone)]
pub struct Waited<'a> {
    /// How long.
    pub lap: Lap,
    /// Which request.
    pub approval: Option<&'a ApprovalId>,
    /// The refusal that came of it; absent when people decided, and the event is decided anew.
    pub refused: Option<(&'a Event, &'a Decision)>,
}

/// The end of an effect.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// The tool, where it was a call of one.
    pub tool: Option<&'a str>,
    /// The effect itself; absent when it never began.
    pub ran: Option<Lap>,
    /// Cleaning what it returned, where the enforcement point said when the effect itself was over.
    pub cleaned: Option<Lap>,
    /// Committing the record of the outcome; absent without a ledger.
    pub recorded: Option<Lap>,
    /// Whether that record could not be committed.
    pub unrecorded: bool,
    /// How it ended.
    pub status: OutcomeStatus,
    /// The type of its error.
    pub error_type: Option<Arc<str>>,
    /// How many spans were taken for prompt injection.
    pub injections: u32,
}
