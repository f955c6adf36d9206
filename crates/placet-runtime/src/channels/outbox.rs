//! Telling people that a request waits, is late, or has ended: at least once, whatever crashes.
//!
//! What there is to tell stands in the log ([`placet_trust::approvals::notices`]); nothing is kept here but when a
//! channel that failed is tried again. Several processes may work on one log: one of them tells, and if it dies on the
//! way another one does. A notice says which request waits and shows none of its arguments; it brings no answer back.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use placet_trust::approvals::notices::Owed;
use placet_trust::approvals::queue::{Host, Queue, QueueError};
use placet_trust::{Freshness, Ledger};
use placet_types::ledger::{ApprovalEvent, ApprovalMark};

use super::Stop;

/// How long one notice may take, and how long others leave it alone.
pub const TELLING: Duration = Duration::from_secs(30);

/// How long a channel that failed is left alone at first; doubled each time.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// How long a channel that failed is left alone at most.
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// How often the log is looked at even when nothing is known to be due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The least time between two turns.
const REST: Duration = Duration::from_millis(100);

/// How often a wait looks whether it is to end.
const LOOK_FOR_END: Duration = Duration::from_millis(50);

/// A way to tell people. It brings no answer back.
pub trait Notifier: Send + Sync {
    /// The name under which the log keeps what it was told; the same after every restart.
    fn channel(&self) -> &Arc<str>;

    /// Tells it, within [`TELLING`]. May be called again for the same notice, which has the same id then.
    ///
    /// # Errors
    /// What went wrong, in words; it is tried again later.
    fn tell(&self, notice: &Owed) -> Result<(), String>;
}

/// What one turn came to.
#[derive(Debug, Default)]
pub struct Turn {
    /// What time did to requests since.
    pub marked: Vec<ApprovalMark>,
    /// The ids of the notices that were delivered.
    pub told: Vec<String>,
    /// The ids of those that were not, and why.
    pub failed: Vec<(String, String)>,
}

/// The clerk of one log: records what time does to requests, and tells.
pub struct Outbox {
    ledger: Arc<dyn Ledger>,
    host: Arc<dyn Host>,
    notifiers: Vec<Arc<dyn Notifier>>,
    /// Channels that failed: how often in a row, and until when they are left alone.
    resting: HashMap<Arc<str>, (u32, Instant)>,
    /// Notices that failed, how often: others of their channel come first.
    failures: HashMap<(Arc<str>, String), u32>,
}

/// A notice on its way.
pub struct Task {
    notifier: Arc<dyn Notifier>,
    owed: Owed,
}

impl Task {
    /// Tells it. Touches no ledger.
    ///
    /// # Errors
    /// As [`Notifier::tell`].
    pub fn tell(&self) -> Result<(), String> {
        self.notifier.tell(&self.owed)
    }

    /// The id of the notice.
    #[must_use]
    pub fn id(&self) -> String {
        self.owed.id()
    }
}

impl Outbox {
    /// The outbox of a log, which is opened by the first turn.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, host: Arc<dyn Host>, notifiers: Vec<Arc<dyn Notifier>>) -> Self {
        Self { ledger, host, notifiers, resting: HashMap::new(), failures: HashMap::new() }
    }

    /// Records what time did to requests by now.
    ///
    /// # Errors
    /// [`QueueError`]: the log could not be read or written; it is done the next time.
    pub fn keep_time(&self) -> Result<Vec<ApprovalMark>, QueueError> {
        let marks = Queue::new(self.ledger.as_ref(), self.host.as_ref()).keep_time()?;
        for mark in &marks {
            let approval = &mark.approval;
            match mark.event {
                ApprovalEvent::Breached => {
                    tracing::warn!(target: "placet::approvals", %approval, event = "breached", "an answer is overdue");
                }
                event => {
                    tracing::info!(target: "placet::approvals", %approval, %event, "an answer is awaited")
                }
            }
        }
        Ok(marks)
    }

    /// The next notice to tell, which nobody else tells meanwhile. It must be given to [`Outbox::settle`].
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn next(&mut self) -> Result<Option<Task>, QueueError> {
        let queue = Queue::new(self.ledger.as_ref(), self.host.as_ref());
        let now = self.host.instant();
        for notifier in &self.notifiers {
            let channel = notifier.channel();
            if self.resting.get(channel).is_some_and(|(_, until)| now < *until) {
                continue;
            }
            let mut owed = queue.owed(channel)?;
            owed.sort_by_key(|owed| self.failures.get(&(channel.clone(), owed.id())).copied().unwrap_or(0));
            for owed in owed {
                if queue.tell(&owed, channel, TELLING)? {
                    return Ok(Some(Task { notifier: notifier.clone(), owed }));
                }
            }
        }
        Ok(None)
    }

    /// Records what became of a notice.
    ///
    /// # Errors
    /// [`QueueError`]: it may be told again.
    pub fn settle(&mut self, task: &Task, told: &Result<(), String>) -> Result<(), QueueError> {
        let queue = Queue::new(self.ledger.as_ref(), self.host.as_ref());
        let channel = task.notifier.channel();
        let key = (channel.clone(), task.id());
        if told.is_ok() {
            self.resting.remove(channel);
            self.failures.remove(&key);
            return queue.told(&task.owed, channel).map(|_| ());
        }
        let failures = self.resting.get(channel).map_or(0, |(failures, _)| *failures).saturating_add(1);
        let rest = FIRST_BACKOFF.saturating_mul(1 << (failures - 1).min(16)).min(MAX_BACKOFF);
        self.resting.insert(channel.clone(), (failures, self.host.instant() + rest));
        let count = self.failures.entry(key).or_default();
        *count = count.saturating_add(1);
        queue.untold(&task.owed, channel).map(|_| ())
    }

    /// Keeps the time and tells everything that can be told now.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn turn(&mut self) -> Result<Turn, QueueError> {
        let mut turn = Turn { marked: self.keep_time()?, ..Turn::default() };
        while let Some(task) = self.next()? {
            let told = task.tell();
            self.settle(&task, &told)?;
            match told {
                Ok(()) => turn.told.push(task.id()),
                Err(problem) => {
                    let (notice, channel) = (task.id(), task.notifier.channel());
                    tracing::warn!(target: "placet::approvals", %notice, %channel, %problem, "a notice was not delivered; it is tried again");
                    turn.failed.push((notice, problem));
                }
            }
        }
        Ok(turn)
    }

    /// When the next turn has something to do, if nothing new is committed before.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn next_turn(&self) -> Result<Instant, QueueError> {
        let (now, instant) = (self.host.now(), self.host.instant());
        let mut due = None;
        self.ledger.read(Freshness::Seen, &mut |state| due = state.approvals.next_due())?;
        let until_due =
            due.map(|due| Duration::from_micros(due.0.saturating_sub(now.0).max(0).unsigned_abs()));
        let rested = self.resting.values().map(|(_, until)| *until).filter(|until| *until > instant).min();
        let next = instant + until_due.map_or(LOOK_EVERY, |until| until.min(LOOK_EVERY));
        Ok(rested.map_or(next, |rested| rested.min(next)))
    }

    /// Takes turns until it is stopped. A ledger that fails is tried again.
    pub fn run(&mut self, stop: &Stop, mut after: impl FnMut(Result<Turn, QueueError>)) {
        while !stop.is_stopped() {
            // Taken before the turn, so that what comes during it is not slept through.
            let seen = self.ledger.wait(0, self.host.instant()).unwrap_or(0);
            after(self.turn());
            let until = self.next_turn().unwrap_or_else(|_| self.host.instant() + LOOK_EVERY);
            // A busy log has news all the time, and its writer other things to do.
            std::thread::sleep(REST);
            while !stop.is_stopped() && self.host.instant() < until {
                let slice = until.min(self.host.instant() + LOOK_FOR_END);
                match self.ledger.wait(seen, slice) {
                    // The turn's own records are news too; what they lead to is nothing.
                    Ok(size) if size > seen => break,
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(LOOK_FOR_END),
                }
            }
        }
    }
}

/// Tells a function of the program.
pub struct Told {
    channel: Arc<str>,
    function: Box<Function>,
}

type Function = dyn Fn(&Owed) -> Result<(), String> + Send + Sync;

impl Told {
    /// Calls this function; an error is its failure in words.
    pub fn new(
        channel: impl Into<Arc<str>>,
        function: impl Fn(&Owed) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { channel: channel.into(), function: Box::new(function) }
    }
}

impl Notifier for Told {
    fn channel(&self) -> &Arc<str> {
        &self.channel
    }

    fn tell(&self, notice: &Owed) -> Result<(), String> {
        (self.function)(notice)
    }
}
