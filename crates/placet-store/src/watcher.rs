//! The thread that looks, for all calls of a process that wait, whether another process committed. It does not commit,
//! and it is there only while somebody waits.
//!
//! A look is one cheap question to the place: SQLite's data version, or the head's seal in PostgreSQL. So the cost does
//! not grow with the number of waiting calls, and a wake does not depend on which of them looks next.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use placet_trust::LedgerError;

use crate::backend::Backend;
use crate::background::Working;
use crate::batch::Work;
use crate::process::{Process, locked};

/// A waiting call looks itself when nobody did for so long: the thread is late, or there is none.
const LATE: Duration = Duration::from_millis(100);

/// How long the thread stays after the last call has ended its wait: waits are taken in steps.
const LINGER: Duration = Duration::from_secs(1);

/// A watcher, once it was started.
#[derive(Default)]
pub(crate) struct Watcher {
    state: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    watch: Mutex<Watch>,
    changed: Condvar,
}

#[derive(Default)]
struct Watch {
    waiting: usize,
    running: bool,
    /// Whether the thread sleeps because nobody waits.
    resting: bool,
    closing: bool,
    /// When the log was last looked at with success.
    looked: Option<Instant>,
}

/// A call that waits.
struct Waiter<'a>(&'a Shared);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut watch = locked(&self.0.watch);
        watch.waiting = watch.waiting.saturating_sub(1);
    }
}

impl Watcher {
    /// Waits until the log is longer than `seen`, or until then; how long it is.
    pub(crate) fn wait<B: Backend>(
        &self,
        process: &Arc<Process<B>>,
        seen: u64,
        until: Instant,
    ) -> Result<u64, LedgerError> {
        let _waiter = self.enter(process);
        loop {
            let failures = process.readers.failures();
            if self.state.is_late() {
                process.submit(Work::Refresh)?;
                self.state.looked();
            }
            let left = until.saturating_duration_since(Instant::now());
            let size = process.readers.wait(seen, failures, left.min(LATE))?;
            if size > seen || left.is_zero() {
                return Ok(size);
            }
        }
    }

    fn enter<B: Backend>(&self, process: &Arc<Process<B>>) -> Waiter<'_> {
        let mut watch = locked(&self.state.watch);
        watch.waiting += 1;
        let starts = !watch.running && !watch.closing;
        watch.running |= starts;
        let rouses = watch.resting;
        drop(watch);
        if starts {
            self.start(process);
        } else if rouses {
            self.state.changed.notify_one();
        }
        Waiter(&self.state)
    }

    fn start<B: Backend>(&self, process: &Arc<Process<B>>) {
        let (weak, state) = (Arc::downgrade(process), self.state.clone());
        let named = std::thread::Builder::new().name("placet-watcher".to_owned());
        let begun = process.background.begin();
        match begun.map(|starting| named.spawn(move || state.run(&weak, starting))) {
            // One that ran before has ended.
            Some(Ok(thread)) => drop(locked(&self.thread).replace(thread)),
            // Without a thread each call looks itself; the next one tries again.
            None | Some(Err(_)) => locked(&self.state.watch).running = false,
        }
    }

    /// Waits for the end of a thread that has nothing more to do: even that takes locks.
    pub(crate) fn see_off(&self) {
        let mut thread = locked(&self.thread);
        if locked(&self.state.watch).running {
            return;
        }
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        locked(&self.state.watch).closing = true;
        self.state.changed.notify_all();
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn is_late(&self) -> bool {
        locked(&self.watch).looked.is_none_or(|at| at.elapsed() >= LATE)
    }

    fn looked(&self) {
        locked(&self.watch).looked = Some(Instant::now());
    }

    fn run<B: Backend>(&self, process: &Weak<Process<B>>, starting: Working) {
        let background = starting.end();
        loop {
            self.rest();
            let Some(working) = background.begin() else { return };
            let Some(process) = process.upgrade() else { return };
            if !self.is_wanted() {
                return;
            }
            let looked = process.submit(Work::Refresh);
            if looked.is_ok() {
                self.looked();
            }
            let rest = if looked.is_ok() { B::LOOK_EVERY } else { LATE };
            if let Err(error) = looked {
                process.readers.fail(error);
            }
            drop((process, working));
            let watch = locked(&self.watch);
            let rested = self.changed.wait_timeout_while(watch, rest, |watch| !watch.closing);
            drop(rested);
        }
    }

    /// Rests while nobody waits, unless that lasts.
    fn rest(&self) {
        let idle = |watch: &mut Watch| watch.waiting == 0 && !watch.closing;
        let mut watch = locked(&self.watch);
        watch.resting = true;
        let waited = self.changed.wait_timeout_while(watch, LINGER, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.resting = false;
    }

    /// False when nobody waits, and then the thread ends.
    fn is_wanted(&self) -> bool {
        let mut watch = locked(&self.watch);
        watch.running = watch.waiting > 0 && !watch.closing;
        watch.running
    }
}
