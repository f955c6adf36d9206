//! A circuit breaker: after several failures in a row, a pause, then one trial.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// After how many failures in a row the server is left alone.
pub(crate) const MAX_FAILURES: u32 = 5;

/// For how long it is left alone.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Closed while things go well; open for [`PAUSE`] after [`MAX_FAILURES`]; then one question goes through and
/// decides which of the two it is.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether the server may be asked now.
    pub(crate) fn may_ask(&self) -> bool {
        self.may_ask_at(Instant::now())
    }

    fn may_ask_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // This one is the trial; the others wait for its outcome.
                state.open_until = Some(now + PAUSE);
                true
            }
        }
    }

    pub(crate) fn succeeded(&self) {
        *self.state.lock() = State::default();
    }

    pub(crate) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= MAX_FAILURES {
            state.open_until = Some(now + PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_trial_through() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..MAX_FAILURES {
            breaker.failed_at(start);
        }
        assert!(breaker.may_ask_at(start));
        breaker.failed_at(start);
        assert!(!breaker.may_ask_at(start));
        let later = start + PAUSE;
        assert_eq!([breaker.may_ask_at(later), breaker.may_ask_at(later)], [true, false]);
        breaker.failed_at(later);
        assert!(!breaker.may_ask_at(later + PAUSE / 2));
        assert!(breaker.may_ask_at(later + PAUSE));
        breaker.succeeded();
        assert!([breaker.may_ask_at(later), breaker.may_ask_at(later)] == [true, true]);
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            (1..MAX_FAILURES).for_each(|_| breaker.failed());
            breaker.succeeded();
        }
        assert!(breaker.may_ask());
    }
}
