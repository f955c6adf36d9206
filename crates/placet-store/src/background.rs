//! The threads behind a ledger stand still while the process forks.
//!
//! A child has none of its parent's threads, but every lock that they held: that of the generator of UUIDs, for instance,
//! which nobody opens there. So these threads work only between [`Background::begin`] and the end of what it gives, and otherwise
//! wait in the kernel.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::process::locked;

/// How many threads work, and whether they may.
#[derive(Default)]
pub(crate) struct Background {
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    working: usize,
    /// How many want them to stand still.
    halted: usize,
    /// The ledger is being closed; nobody begins any more.
    ended: bool,
}

/// A thread works.
pub(crate) struct Working(Arc<Background>);

impl Working {
    /// Ends it; gives where more is begun.
    pub(crate) fn end(self) -> Arc<Background> {
        self.0.clone()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        locked(&self.0.turns).working -= 1;
        self.0.changed.notify_all();
    }
}

impl Background {
    /// Begins some work, or the start of a thread, as soon as nobody wants standstill; `None` when the ledger is being
    /// closed.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Working> {
        let held_up = |turns: &mut Turns| turns.halted > 0 && !turns.ended;
        let turns = self.changed.wait_while(locked(&self.turns), held_up);
        let mut turns = turns.unwrap_or_else(PoisonError::into_inner);
        if turns.ended {
            return None;
        }
        turns.working += 1;
        Some(Working(self.clone()))
    }

    /// Waits until no thread works, and keeps it so until [`Self::go_on`].
    pub(crate) fn halt(&self) {
        let mut turns = locked(&self.turns);
        turns.halted += 1;
        drop(self.changed.wait_while(turns, |turns| turns.working > 0));
    }

    pub(crate) fn go_on(&self) {
        locked(&self.turns).halted -= 1;
        self.changed.notify_all();
    }

    /// Lets nobody begin any more.
    pub(crate) fn end(&self) {
        locked(&self.turns).ended = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn nobody_works_while_halted_and_nobody_waits_after_the_end() {
        let background = Arc::new(Background::default());
        let (working, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(turn) = background.begin() {
                        working.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        working.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for round in 0..200 {
                while done.load(Ordering::SeqCst) <= round {
                    thread::yield_now();
                }
                background.halt();
                assert_eq!(working.load(Ordering::SeqCst), 0);
                thread::yield_now();
                assert_eq!(working.load(Ordering::SeqCst), 0);
                background.go_on();
            }
            background.halt();
            background.end();
        });
        assert!(background.begin().is_none());
    }
}
