//! Who writes: the first caller that finds nobody writing, for itself and for all who wait meanwhile.
//!
//! The locks are those of the standard library, which keep nothing outside of themselves: a table of all who wait, as
//! `parking_lot` has one, would go over to a forked child with the threads that waited in its parent.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::process::locked;

/// How many works one batch takes.
const BATCH_LIMIT: usize = 512;

/// How many batches a leader writes after its own work is done, before it hands over to a thread that must wake first.
const EXTRA_BATCHES: usize = 3;

/// Works that wait for a leader.
pub(crate) struct Queue<W, D> {
    state: Mutex<State<W, D>>,
    limit: usize,
}

struct State<W, D> {
    waiting: VecDeque<Job<W, D>>,
    led: bool,
}

struct Job<W, D> {
    /// `None` only asks to lead.
    work: Option<W>,
    slot: Arc<Slot<D>>,
}

struct Slot<D> {
    state: Mutex<Turn<D>>,
    changed: Condvar,
}

enum Turn<D> {
    Waiting,
    Lead,
    Done(D),
}

/// The queue is full; so many wait.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) usize);

impl<W, D> Queue<W, D> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), led: false }), limit }
    }

    /// Has a work done, by this thread or by the one that leads. `write` must answer each work, in order, and must
    /// not unwind.
    pub(crate) fn submit(&self, work: W, write: &dyn Fn(Vec<W>) -> Vec<D>) -> Result<D, Full> {
        let mut state = locked(&self.state);
        if state.waiting.len() >= self.limit {
            return Err(Full(state.waiting.len()));
        }
        if !std::mem::replace(&mut state.led, true) {
            // Nobody writes, so nobody waits either.
            drop(state);
            let done = write(vec![work]).pop();
            self.lead(None, write);
            // Without an answer it is not known to be done.
            return done.ok_or(Full(0));
        }
        let slot = Arc::new(Slot::new());
        state.waiting.push_back(Job { work: Some(work), slot: slot.clone() });
        drop(state);
        loop {
            match slot.wait() {
                Turn::Done(done) => return Ok(done),
                Turn::Lead | Turn::Waiting => self.lead(Some(&slot), write),
            }
        }
    }

    /// Waits until nobody writes, and keeps it so until [`Self::resume`].
    pub(crate) fn pause(&self) {
        let mut state = locked(&self.state);
        if !std::mem::replace(&mut state.led, true) {
            return;
        }
        let slot = Arc::new(Slot::new());
        state.waiting.push_back(Job { work: None, slot: slot.clone() });
        drop(state);
        slot.wait();
    }

    /// Lets others write again.
    pub(crate) fn resume(&self) {
        self.hand_over(locked(&self.state));
    }

    /// Writes batches until nobody waits; not many more once its own work, which may be in `own`, is done.
    fn lead(&self, own: Option<&Slot<D>>, write: &dyn Fn(Vec<W>) -> Vec<D>) {
        let mut extra = 0;
        loop {
            let mut state = locked(&self.state);
            let asked_to_lead = state.waiting.front().is_none_or(|job| job.work.is_none());
            if asked_to_lead || extra > EXTRA_BATCHES {
                return self.hand_over(state);
            }
            let (works, slots) = state.take();
            drop(state);
            for (slot, done) in slots.iter().zip(write(works)) {
                slot.turn(Turn::Done(done));
            }
            extra += usize::from(own.is_none_or(Slot::is_done));
        }
    }

    fn hand_over(&self, mut state: MutexGuard<'_, State<W, D>>) {
        match state.waiting.front() {
            None => state.led = false,
            Some(next) => {
                let slot = next.slot.clone();
                if next.work.is_none() {
                    state.waiting.pop_front();
                }
                drop(state);
                slot.turn(Turn::Lead);
            }
        }
    }
}

impl<W, D> State<W, D> {
    fn take(&mut self) -> (Vec<W>, Vec<Arc<Slot<D>>>) {
        let mut taken = (Vec::new(), Vec::new());
        while taken.0.len() < BATCH_LIMIT {
            let Some(Job { work, slot }) = self.waiting.pop_front() else { break };
            match work {
                Some(work) => {
                    taken.0.push(work);
                    taken.1.push(slot);
                }
                None => {
                    self.waiting.push_front(Job { work, slot });
                    break;
                }
            }
        }
        taken
    }
}

impl<D> Slot<D> {
    fn new() -> Self {
        Self { state: Mutex::new(Turn::Waiting), changed: Condvar::new() }
    }

    fn turn(&self, turn: Turn<D>) {
        *locked(&self.state) = turn;
        self.changed.notify_one();
    }

    fn is_done(&self) -> bool {
        matches!(*locked(&self.state), Turn::Done(_))
    }

    fn wait(&self) -> Turn<D> {
        let waiting = |turn: &mut Turn<D>| matches!(turn, Turn::Waiting);
        let state = self.changed.wait_while(locked(&self.state), waiting);
        std::mem::replace(&mut *state.unwrap_or_else(PoisonError::into_inner), Turn::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_work_is_answered_once_and_one_writes_at_a_time() {
        let queue = Queue::new(1_000);
        let (writing, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let write = |works: Vec<usize>| {
            assert_eq!(writing.fetch_add(1, Ordering::SeqCst), 0);
            total.fetch_add(works.len(), Ordering::SeqCst);
            assert_eq!(writing.fetch_sub(1, Ordering::SeqCst), 1);
            works.iter().map(|work| work * 2).collect()
        };
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (queue, write) = (&queue, &write);
                scope.spawn(move || {
                    for work in 0..200 {
                        let work = thread * 1_000 + work;
                        assert_eq!(queue.submit(work, write).unwrap(), work * 2);
                    }
                });
            }
            for _ in 0..50 {
                queue.pause();
                assert_eq!(writing.load(Ordering::SeqCst), 0);
                queue.resume();
            }
        });
        assert_eq!(total.into_inner(), 16 * 200);
    }

    #[test]
    fn a_full_queue_refuses() {
        let queue: Queue<u8, u8> = Queue::new(1);
        queue.pause();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.submit(1, &|works| works).unwrap());
            while locked(&queue.state).waiting.is_empty() {
                std::thread::yield_now();
            }
            assert_eq!(queue.submit(2, &|works| works).unwrap_err().0, 1);
            queue.resume();
            assert_eq!(waiting.join().unwrap(), 1);
        });
    }
}
