//! Channels: the ways in which people are asked, and waiting for what they answer.
//!
//! A channel shows one request and brings back one answer. It decides no policy and grants nothing: an answer counts
//! only once it is a vote that the ledger admitted, under the same rules as votes made elsewhere, by the command line
//! or another process. Whatever goes wrong in a channel is a refusal.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod asking;
mod callback;
pub mod outbox;
mod queued;
#[cfg(unix)]
mod terminal;
mod waiting;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use placet_trust::approvals::answer::{Answer, NoReason};
use placet_trust::approvals::queue::Proof;
use placet_types::ApproverId;
use placet_types::ledger::ApprovalEntry;

pub use callback::Callback;
pub use queued::{QueuedAction, enqueue};
#[cfg(unix)]
pub use terminal::{MAX_TRIES, Terminal};
pub use waiting::{Step, Wait, Waited, Waiting};
pub use webhook::{
    DEFAULT_TIMEOUT, Webhook, WebhookNotifier, WebhookOptions, WebhookOptionsError, notice_body,
};

/// A way to ask people about one request.
pub trait Channel: Send + Sync {
    /// Its name in records: `terminal`, `callback`, `webhook`.
    fn name(&self) -> &'static str;

    /// Asks, and blocks until there is an answer or the asking is over. Called in a thread of its own; several
    /// requests may be asked at a time. An answer that comes after the end is not counted.
    fn ask(&self, question: &Question, ending: &Ending) -> Reply;
}

/// What is asked: exactly what the approval is bound to, with secrets taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The request.
    pub entry: ApprovalEntry,
    /// What a person reads, with every control character escaped; its digest is in the request.
    pub text: String,
    /// What is to be done.
    pub action_type: Arc<str>,
    /// What it is done to.
    pub target: Option<Arc<str>>,
    /// The arguments, redacted.
    pub args: serde_json::Value,
    /// Why a person is asked, redacted.
    pub reason: String,
    /// The first rule that asks.
    pub rule: Option<Arc<str>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// Who gave it.
    pub approver: ApproverId,
    /// How well that is known.
    pub proof: Proof<'static>,
    /// Why, in the approver's words.
    pub reason: Option<String>,
}

impl Reply {
    /// An answer of somebody of whom only the channel says who it is.
    #[must_use]
    pub fn asserted(approver: &ApproverId, answer: Answer) -> Self {
        Self { answer, approver: approver.clone(), proof: Proof::Asserted, reason: None }
    }

    fn refused(approver: &ApproverId, reason: NoReason) -> Self {
        Self::asserted(approver, Answer::Refuse(reason))
    }
}

/// Ends a wait from outside, for instance when its caller was cancelled.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the wait.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// When the asking is over: at a moment, or because somebody decided elsewhere.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The latest moment.
    pub until: Instant,
    /// Set when the answer is no longer wanted.
    pub stop: Stop,
}

impl Ending {
    /// Whether the answer is no longer wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stop.is_stopped() || Instant::now() >= self.until
    }
}
