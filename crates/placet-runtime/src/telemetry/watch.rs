//! How steps reach those who look on, without any way back.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{Opening, Step};

/// Somebody who looks on. It must return at once: whatever waits belongs behind a bounded queue of its own.
pub trait Observer: Send + Sync {
    /// Something begins; what is returned sees its steps. Dropped, it has seen the last one.
    fn opens(&self, opening: &Opening<'_>) -> Arc<dyn Watcher>;
}

/// Who sees the steps of one event. It must return at once.
pub trait Watcher: Send + Sync {
    /// A step was done. Nothing that happens here reaches the event.
    fn saw(&self, step: &Step<'_>);
}

/// Everybody who looks on at one event; often nobody.
#[derive(Clone, Default)]
pub struct Watch(Vec<Arc<dyn Watcher>>);

impl Watch {
    /// Nobody looks on.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Tells the observers that something begins.
    #[must_use]
    pub fn open(observers: &[Arc<dyn Observer>], opening: &Opening<'_>) -> Self {
        let opened = observers.iter().filter_map(|observer| unharmed(|| observer.opens(opening)));
        Self(opened.collect())
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, watcher: Arc<dyn Watcher>) -> Self {
        self.0.push(watcher);
        self
    }

    /// Whether anybody looks on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Shows a step to everybody.
    pub fn saw(&self, step: &Step<'_>) {
        for watcher in &self.0 {
            unharmed(|| watcher.saw(step));
        }
    }
}

/// Runs what is not ours; a panic in it ends there. Nothing of ours is in its hands but what it only reads.
fn unharmed<T>(work: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.inspect_err(|_| tracing::warn!(target: "placet::telemetry", "an observer panicked")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use placet_types::record::OutcomeStatus;

    use super::*;
    use crate::telemetry::{Ended, Lap};

    struct Panics;

    impl Observer for Panics {
        fn opens(&self, opening: &Opening<'_>) -> Arc<dyn Watcher> {
            assert!(opening.tool.is_some(), "no tool");
            Arc::new(Self)
        }
    }

    impl Watcher for Panics {
        fn saw(&self, _: &Step<'_>) {
            panic!("an observer of a test");
        }
    }

    #[derive(Default)]
    struct Counts(Arc<AtomicUsize>);

    impl Observer for Counts {
        fn opens(&self, _: &Opening<'_>) -> Arc<dyn Watcher> {
            Arc::new(Self(self.0.clone()))
        }
    }

    impl Watcher for Counts {
        fn saw(&self, _: &Step<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_observer_that_panics_hides_nothing_from_the_others() {
        let counts = Counts::default();
        let seen = counts.0.clone();
        let observers: [Arc<dyn Observer>; 2] = [Arc::new(Panics), Arc::new(counts)];
        let step = Step::Ended(Ended {
            tool: None,
            ran: Some(Lap::since(Instant::now())),
            cleaned: None,
            recorded: None,
            unrecorded: false,
            status: OutcomeStatus::Succeeded,
            error_type: None,
            injections: 0,
        });
        for tool in [Some("pay"), None] {
            Watch::open(&observers, &Opening { tool, acts: true }).saw(&step);
        }
        assert_eq!(seen.load(Ordering::Relaxed), 2);
        assert!(!Watch::off().is_on());
    }
}
