//! The thread behind a ledger: it signs checkpoints, does the housekeeping and looks at what others commit.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use placet_trust::LedgerError;

use crate::backend::Backend;
use crate::background::Working;
use crate::batch::Work;
use crate::process::{Process, locked};

/// How often checkpoints are signed while there is something new.
const EVERY: Duration = Duration::from_secs(1);

/// How many entries are left unsigned at most before the next checkpoint is due at once.
const ENTRIES: u64 = 4_096;

/// A keeper, once it was started.
#[derive(Default)]
pub(crate) struct Keeper {
    state: Arc<Watch>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Watch {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    started: bool,
    closing: bool,
    /// The size of the log when a checkpoint was last asked for.
    asked: u64,
    due: bool,
    /// When a checkpoint was last asked for.
    signed: Option<Instant>,
    trouble: Option<LedgerError>,
}

impl Keeper {
    /// Starts the thread if there is none; tells it how long the log is.
    pub(crate) fn notice<B: Backend>(&self, process: &Arc<Process<B>>, size: u64) {
        let mut wanted = locked(&self.state.wanted);
        let untidy = process.untidy.load(Ordering::Acquire);
        let unsigned = size.saturating_sub(wanted.asked) >= ENTRIES;
        if (unsigned || untidy) && !wanted.due {
            wanted.due = true;
            self.state.changed.notify_one();
        }
        if std::mem::replace(&mut wanted.started, true) {
            return;
        }
        drop(wanted);
        let (weak, state) = (Arc::downgrade(process), self.state.clone());
        let Some(starting) = process.background.begin() else { return };
        let named = std::thread::Builder::new().name("placet-keeper".to_owned());
        match named.spawn(move || state.keep(&weak, starting)) {
            Ok(thread) => *locked(&self.thread) = Some(thread),
            // Without a thread, checkpoints are signed at the end only; the next commit tries again.
            Err(_) => locked(&self.state.wanted).started = false,
        }
    }

    /// Why the last checkpoint or housekeeping failed.
    pub(crate) fn trouble(&self) -> Option<LedgerError> {
        locked(&self.state.wanted).trouble.clone()
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        locked(&self.state.wanted).closing = true;
        self.state.changed.notify_all();
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Watch {
    fn keep<B: Backend>(&self, process: &Weak<Process<B>>, starting: Working) {
        let background = starting.end();
        loop {
            let wanted = locked(&self.wanted);
            let idle = |wanted: &mut Wanted| !wanted.closing && !wanted.due;
            let rest = wanted.signed.map_or(EVERY, |at| EVERY.saturating_sub(at.elapsed()));
            let waited = self.changed.wait_timeout_while(wanted, rest, idle);
            let mut wanted = waited.unwrap_or_else(PoisonError::into_inner).0;
            wanted.due = false;
            if wanted.closing {
                return;
            }
            drop(wanted);
            let Some(_working) = background.begin() else { return };
            let Some(process) = process.upgrade() else { return };
            process.untidy.store(false, Ordering::Release);
            let tidied = process.tidy();
            let size = process.readers.size();
            let mut wanted = locked(&self.wanted);
            let sign = wanted.signed.is_none_or(|at| at.elapsed() >= EVERY)
                || size.saturating_sub(wanted.asked) >= ENTRIES;
            if sign {
                wanted.asked = size;
                wanted.signed = Some(Instant::now());
            }
            drop(wanted);
            let signed =
                if sign { process.submit(Work::Refresh).and_then(|_| process.sign()) } else { Ok(()) };
            locked(&self.wanted).trouble = signed.and(tidied).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::{Memory, Settings};

    const WHILE: Duration = Duration::from_millis(20);

    fn process() -> Arc<Process<Memory>> {
        Arc::new(Process::new(Arc::default(), Arc::new(Settings::with_passing_keys().unwrap()), None))
    }

    #[test]
    fn f26_a_fork_waits_for_the_work_of_the_thread_behind() {
        let (process, paused) = (process(), AtomicBool::new(false));
        let working = process.background.begin();
        thread::scope(|scope| {
            scope.spawn(|| {
                process.pause();
                paused.store(true, Ordering::SeqCst);
                process.resume();
            });
            thread::sleep(WHILE);
            assert!(!paused.load(Ordering::SeqCst));
            drop(working);
        });
        assert!(paused.load(Ordering::SeqCst));
    }

    #[test]
    fn f26_the_thread_behind_stands_still_while_the_process_forks() {
        let process = process();
        let signed = || locked(&process.keeper.state.wanted).signed;
        process.keeper.notice(&process, 1);
        process.background.halt();
        thread::sleep(EVERY + EVERY / 5);
        assert!(signed().is_none());
        process.background.go_on();
        let until = Instant::now() + 20 * EVERY;
        while signed().is_none() {
            assert!(Instant::now() < until);
            thread::sleep(WHILE);
        }
        process.background.end();
        process.keeper.stop();
    }
}
