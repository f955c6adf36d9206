//! Waiting for people: nothing is held meanwhile, and afterwards the call is decided anew.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use placet_trust::approvals::Approval;
use placet_trust::approvals::answer::NoReason;
use placet_trust::approvals::queue::{Queue, QueueError};
use placet_trust::{Freshness, Ledger, Refusal};
use placet_types::ids::ApprovalId;
use placet_types::ledger::ApprovalState;
use placet_types::{DenyCause, Event, Verdict};

use super::asking::{Asking, PipelineHost};
use super::{Channel, Stop};
use crate::pipeline::{Begun, Pipeline, Refused};

/// How often a wait looks whether it was ended or its channel failed. Votes wake it sooner.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a call waits for people.
#[derive(Clone)]
pub struct Waiting {
    /// The latest moment.
    pub until: Instant,
    /// Through which channel people are asked; without one, the wait is for votes made elsewhere.
    pub channel: Option<Arc<dyn Channel>>,
    /// Ends the wait from outside.
    pub stop: Stop,
}

impl Waiting {
    /// Waits for votes made elsewhere.
    #[must_use]
    pub fn until(until: Instant) -> Self {
        Self { until, channel: None, stop: Stop::default() }
    }
}

/// How a wait ended.
pub enum Waited {
    /// People decided: the call is to begin again, under the policy of this moment.
    Decided,
    /// The call may not happen, and that is recorded; or the wait was ended from outside.
    Refused(Refused),
}

/// A wait on its way. Dropped, it leaves the request as it is, and its channel's answer does not count.
pub struct Wait {
    pipeline: Arc<Pipeline>,
    ledger: Arc<dyn Ledger>,
    id: ApprovalId,
    refused: Refused,
    waiting: Waiting,
    asking: Option<Asking>,
    /// How long the log was at the last look.
    seen: Option<u64>,
}

/// What a step of a wait came to.
pub enum Step {
    /// It goes on.
    Waits(Box<Wait>),
    /// It has ended.
    Ended(Waited),
}

impl Wait {
    /// The event that waits, as it was decided.
    #[must_use]
    pub fn event(&self) -> &Event {
        self.refused.request.event()
    }

    /// Waits for at most 50 ms, or until somebody decides.
    #[must_use]
    pub fn step(mut self) -> Step {
        let looked = Instant::now();
        let first = self.asking.is_none() && self.waiting.channel.is_some();
        let slice = if first { looked } else { looked + LOOK_EVERY };
        let host = PipelineHost(self.pipeline.clone());
        let queue = Queue::new(self.ledger.as_ref(), &host);
        self.keep_time(&queue);
        let waited = queue.wait_on(&self.id, &mut self.seen, slice.min(self.waiting.until));
        let Self { pipeline, refused, id, .. } = self;
        // Looked at after the request was: a vote that came after the end of the wait is left for another call.
        if self.waiting.stop.is_stopped() {
            return Step::Ended(Waited::Refused(refused));
        }
        let approval = match waited {
            Ok(approval) => approval,
            Err(error) => return Step::Ended(pipeline.unreadable(refused, &error)),
        };
        if approval.state_at(pipeline.gate().now()) != ApprovalState::Pending {
            return Step::Ended(pipeline.ended(refused, &approval));
        }
        if looked >= self.waiting.until {
            return Step::Ended(pipeline.timed_out(refused, &id));
        }
        let failure = match (&mut self.asking, &self.waiting.channel) {
            (Some(asking), _) => asking.failure(),
            (None, None) => None,
            (None, Some(channel)) => {
                let begun = pipeline.begin_asking(&refused, approval, channel, self.waiting.until);
                begun.map(|begun| self.asking = Some(begun)).err()
            }
        };
        match failure {
            Some(reason) => Step::Ended(pipeline.failed(refused, &id, &reason)),
            None => Step::Waits(Box::new(Self { pipeline, refused, id, ..self })),
        }
    }
}

impl Wait {
    /// Records what time did to requests, so that it is in the log even where nobody else keeps the time. The wait does
    /// not depend on it.
    fn keep_time(&self, queue: &Queue<'_>) {
        let now = self.pipeline.gate().now();
        let mut is_due = false;
        let read = self.ledger.read(Freshness::Seen, &mut |state| {
            is_due = state.approvals.next_due().is_some_and(|due| due <= now);
        });
        if let (Ok(()), true) = (read, is_due)
            && let Err(error) = queue.keep_time()
        {
            tracing::warn!(target: "placet::approvals", %error, "what time did to requests was not recorded");
        }
    }
}

impl Pipeline {
    /// As [`Pipeline::begin`]; when a person has to decide, waits for that and begins again. The approval is used only
    /// by the call that it was given for, and only if the policies of that moment still ask for nothing more.
    ///
    /// Blocks. Holds no lock and no budget while it waits; ended from outside, it leaves the request open, and a
    /// repeated call joins it.
    pub fn begin_waiting(self: &Arc<Self>, event: &Event, waiting: &Waiting) -> Begun {
        let watch = self.watch_event(event, true);
        loop {
            let refused = match self.begin_watched(event.clone(), &watch) {
                Begun::Refused(refused) => refused,
                started @ Begun::Started(_) => return started,
            };
            let (began, approval) = (Instant::now(), refused.approval.clone());
            let waits = matches!(refused.decision.verdict, Verdict::Escalate { .. }) && approval.is_some();
            let waited = self.wait_for_people(refused, waiting);
            let refused = match &waited {
                Waited::Decided => None,
                Waited::Refused(refused) => Some(refused),
            };
            if waits {
                Self::waited(&watch, began, approval.as_ref(), refused);
            }
            if let Waited::Refused(refused) = waited {
                return Begun::Refused(refused);
            }
        }
    }

    /// Waits until people decided about a call that was refused because they have to. Any other refusal stands.
    pub fn wait_for_people(self: &Arc<Self>, refused: Refused, waiting: &Waiting) -> Waited {
        let mut wait = match self.waits(refused, waiting) {
            Ok(wait) => wait,
            Err(refused) => return Waited::Refused(*refused),
        };
        loop {
            wait = match wait.step() {
                Step::Waits(wait) => *wait,
                Step::Ended(waited) => return waited,
            };
        }
    }

    /// The wait of a call, to be taken step by step.
    ///
    /// # Errors
    /// The refusal itself, when people are not asked about it.
    pub fn waits(self: &Arc<Self>, refused: Refused, waiting: &Waiting) -> Result<Wait, Box<Refused>> {
        let escalated = matches!(refused.decision.verdict, Verdict::Escalate { .. });
        match (&refused.approval, self.ledger(), escalated) {
            (Some(id), Some(ledger), true) => Ok(Wait {
                pipeline: self.clone(),
                ledger: ledger.clone(),
                id: id.clone(),
                refused,
                waiting: waiting.clone(),
                asking: None,
                seen: None,
            }),
            _ => Err(Box::new(refused)),
        }
    }

    fn begin_asking(
        self: &Arc<Self>,
        refused: &Refused,
        approval: Approval,
        channel: &Arc<dyn Channel>,
        until: Instant,
    ) -> Result<Asking, NoReason> {
        let failed = |problem| NoReason::Failed { channel: channel.name(), problem };
        let question =
            self.question(refused, approval.entry).map_err(|refusal| failed(refusal.to_string()))?;
        Asking::begin(self.clone(), channel.clone(), question, until)
            .map_err(|error| failed(error.to_string()))
    }

    /// The request waits no more.
    fn ended(self: &Arc<Self>, refused: Refused, approval: &Approval) -> Waited {
        let id = &approval.entry.id;
        let (cause, reason, end) = match approval.state_at(self.gate().now()) {
            ApprovalState::Expired => {
                let end =
                    (approval.state == ApprovalState::Pending).then_some((ApprovalState::Expired, "expired"));
                (
                    DenyCause::ApprovalExpired,
                    format!("the request `{id}` expired before anybody decided it"),
                    end,
                )
            }
            ApprovalState::Cancelled => {
                let code = approval.closed.as_ref().map_or("cancelled", |closed| &*closed.code);
                let cause =
                    if code == FAILED { DenyCause::ApprovalFailed } else { DenyCause::ApprovalInvalid };
                (cause, format!("the request `{id}` was taken back ({code}); call again to ask anew"), None)
            }
            _ => return Waited::Decided,
        };
        Waited::Refused(self.give_up(refused, &Refusal::new(cause, reason), end))
    }

    fn timed_out(self: &Arc<Self>, refused: Refused, id: &ApprovalId) -> Waited {
        let reason = format!(
            "nobody decided the request `{id}` in time; it stays open, and the same call can use its approval"
        );
        Waited::Refused(self.give_up(refused, &Refusal::new(DenyCause::ApprovalTimeout, reason), None))
    }

    fn failed(self: &Arc<Self>, refused: Refused, id: &ApprovalId, reason: &NoReason) -> Waited {
        if *reason == NoReason::Timeout {
            return self.timed_out(refused, id);
        }
        tracing::warn!(target: "placet::approvals", approval = %id, %reason, "a channel gave no approval");
        let refusal = Refusal::new(DenyCause::ApprovalFailed, reason.to_string());
        Waited::Refused(self.give_up(refused, &refusal, Some((ApprovalState::Cancelled, FAILED))))
    }

    fn unreadable(self: &Arc<Self>, refused: Refused, error: &QueueError) -> Waited {
        let refusal = match error {
            QueueError::Ledger(error) => Refusal::new(DenyCause::AuditUnavailable, error.to_string()),
            other => Refusal::new(DenyCause::ApprovalInvalid, other.to_string()),
        };
        Waited::Refused(self.give_up(refused, &refusal, None))
    }
}

/// The code of a request that ended because its channel failed.
const FAILED: &str = "channel_failed";
