//! The clock is injected: deciding reads no other.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Instant;

use jiff::Timestamp;
use parking_lot::Mutex;

/// Tells the time of events.
pub trait Clock: Send + Sync {
    /// The time of the next event. Never earlier than a time told before.
    fn now(&self) -> Timestamp;
}

/// The system's clock, held so that it never runs backwards.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: Mutex<Option<Timestamp>>,
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let mut latest = self.latest.lock();
        let now = latest.map_or_else(Timestamp::now, |latest| latest.max(Timestamp::now()));
        *latest = Some(now);
        now
    }
}

/// A clock that stands still; for tests and replays.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Allows something at most once per interval, without a thread of its own.
#[derive(Debug)]
pub(crate) struct Interval {
    every: std::time::Duration,
    last: Mutex<Option<Instant>>,
}

impl Interval {
    pub(crate) fn new(every: std::time::Duration) -> Self {
        Self { every, last: Mutex::new(None) }
    }

    /// Whether it is due; if so, the interval begins anew. A thread that finds another at it goes on.
    pub(crate) fn is_due(&self) -> bool {
        let Some(mut last) = self.last.try_lock() else { return false };
        let now = Instant::now();
        if last.is_some_and(|last| now.duration_since(last) < self.every) {
            return false;
        }
        *last = Some(now);
        true
    }
}
