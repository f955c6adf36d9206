//! Asking through one channel, in a thread of its own, and casting the vote that comes of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Instant;

use placet_trust::approvals::answer::{Answer, NoReason};
use placet_trust::approvals::queue::{Host, Queue, QueueError, Voter};
use placet_types::Micros;

use super::{Channel, Ending, Question, Reply, Stop};
use crate::pipeline::Pipeline;
use crate::refusal;

/// The clocks and ids of a pipeline, for its queue.
pub(super) struct PipelineHost(pub(super) Arc<Pipeline>);

impl Host for PipelineHost {
    fn now(&self) -> Micros {
        self.0.gate().now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        refusal::new_id().0.to_string()
    }
}

/// A channel at work. When this is dropped, an answer that comes later does not count.
pub(super) struct Asking {
    stop: Stop,
    result: Option<Receiver<Result<(), NoReason>>>,
    name: &'static str,
}

impl Asking {
    pub(super) fn begin(
        pipeline: Arc<Pipeline>,
        channel_used: Arc<dyn Channel>,
        question: Question,
        until: Instant,
    ) -> std::io::Result<Self> {
        let stop = Stop::default();
        let ending = Ending { until, stop: stop.clone() };
        let name = channel_used.name();
        let (tell, result) = channel();
        std::thread::Builder::new().name(format!("placet-{name}")).spawn(move || {
            let reply = channel_used.ask(&question, &ending);
            let result = if ending.stop.is_stopped() {
                Err(NoReason::Timeout)
            } else {
                vote(&pipeline, name, &question, reply)
            };
            // Nobody listens when the wait is over.
            let _ = tell.send(result);
        })?;
        Ok(Self { stop, result: Some(result), name })
    }

    /// Why the channel brings no vote, once that is certain.
    pub(super) fn failure(&mut self) -> Option<NoReason> {
        match self.result.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => None,
            Ok(result) => {
                self.result = None;
                result.err()
            }
            Err(TryRecvError::Disconnected) => {
                self.result = None;
                Some(NoReason::Failed { channel: self.name, problem: "it panicked".to_owned() })
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// Casts the vote of a reply.
fn vote(
    pipeline: &Arc<Pipeline>,
    channel: &'static str,
    question: &Question,
    reply: Reply,
) -> Result<(), NoReason> {
    let failed = |problem: String| NoReason::Failed { channel, problem };
    let Some(ledger) = pipeline.ledger() else { return Err(failed("there is no ledger".to_owned())) };
    let host = PipelineHost(pipeline.clone());
    let queue = Queue::new(ledger.as_ref(), &host);
    let Reply { answer, approver, proof, reason } = reply;
    let voter = Voter { approver: &approver, proof, channel };
    let cast = match answer {
        Answer::Approve => queue.approve(&question.entry.id, &voter, reason.as_deref()),
        Answer::Refuse(NoReason::SaidNo) => queue.deny(&question.entry.id, &voter, reason.as_deref()),
        Answer::Refuse(other) => return Err(other),
        Answer::Unclear => return Err(failed("it answered neither yes nor no".to_owned())),
    };
    match cast {
        Ok(_) => Ok(()),
        // Somebody was faster; the request says who.
        Err(QueueError::Approval(error)) if error.is_conflict() => Ok(()),
        Err(error) => Err(failed(error.to_string())),
    }
}
