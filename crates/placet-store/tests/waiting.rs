//! What many calls that wait cost: as much as one, and nothing when none is left.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, reason = "tests: helpers outside test functions")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use placet_audit::view::SaltedValue;
use placet_store::backend::{Access, Backend, BackendError, Batch, Link, StoredHead};
use placet_store::{LogLedger, Memory, MemoryLink, Settings};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use support::*;

/// A place that counts the looks at it, and can be told to fail them.
#[derive(Clone, Default)]
struct Watched {
    inner: Memory,
    looks: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

struct WatchedLink {
    inner: MemoryLink,
    place: Watched,
}

impl Backend for Watched {
    type Link = WatchedLink;

    const INHERITS_LOCKS: bool = false;

    fn name(&self) -> Arc<str> {
        "watched".into()
    }

    fn open(&self) -> Result<WatchedLink, BackendError> {
        Ok(WatchedLink { inner: self.inner.open()?, place: self.clone() })
    }
}

impl Link for WatchedLink {
    fn changed(&mut self) -> Result<bool, BackendError> {
        self.place.looks.fetch_add(1, Ordering::SeqCst);
        if self.place.fails.load(Ordering::SeqCst) {
            return Err(BackendError::Failed("it is away".to_owned()));
        }
        self.inner.changed()
    }

    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        self.inner.begin(access)
    }

    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError> {
        self.inner.leaves(from, each)
    }

    fn row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        self.inner.row(kind, id)
    }

    fn view(&mut self, seq: u64) -> Result<Option<String>, BackendError> {
        self.inner.view(seq)
    }

    fn personal(&mut self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, BackendError> {
        self.inner.personal(seq)
    }

    fn note(&mut self) -> Result<Option<String>, BackendError> {
        self.inner.note()
    }

    fn append(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.inner.append(batch)
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.inner.commit()
    }

    fn release(&mut self) {
        self.inner.release();
    }

    fn tidy(&mut self, thorough: bool) -> Result<(), BackendError> {
        self.inner.tidy(thorough)
    }
}

impl Watched {
    fn ledger(&self) -> LogLedger<Self> {
        LogLedger::new(self.clone(), Settings::with_passing_keys().unwrap())
    }

    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }
}

/// Waits of so many threads, in steps as calls take them.
fn wait_in_threads(ledger: &LogLedger<Watched>, count: usize, time: Duration) {
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let until = Instant::now() + time;
                while Instant::now() < until {
                    let step = until.min(Instant::now() + Duration::from_millis(50));
                    assert_eq!(ledger.wait(1, step).unwrap(), 1);
                }
            });
        }
    });
}

#[test]
fn f67_fifty_calls_that_wait_look_no_more_often_than_one_and_none_looks_never() {
    let place = Watched::default();
    let ledger = place.ledger();
    ledger.commit(call(), Ack::Written).unwrap();
    let before = place.looks();
    wait_in_threads(&ledger, 50, Duration::from_millis(1_000));
    let looks = place.looks() - before;
    // A hundred of the thread that looks for all; some more where that thread was late.
    assert!((10..400).contains(&looks), "{looks} looks for 50 calls in a second");
    // The thread stays a second for the next wait. The keeper looks once a second to sign.
    std::thread::sleep(Duration::from_millis(1_500));
    let before = place.looks();
    std::thread::sleep(Duration::from_millis(1_000));
    let looks = place.looks() - before;
    assert!(looks <= 3, "{looks} looks while nobody waits");
    // The next wait starts it again.
    let before = place.looks();
    wait_in_threads(&ledger, 1, Duration::from_millis(500));
    assert!(place.looks() > before + 5);
}

#[test]
fn f67_a_call_that_waits_is_told_at_once_that_the_ledger_fails_and_goes_on_when_it_is_back() {
    let place = Watched::default();
    let ledger = place.ledger();
    ledger.commit(call(), Ack::Written).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = [(); 5].map(|()| scope.spawn(|| ledger.wait(1, begun + Duration::from_secs(60))));
        std::thread::sleep(Duration::from_millis(200));
        place.fails.store(true, Ordering::SeqCst);
        for waiting in waiting {
            let told = waiting.join().unwrap();
            assert!(
                matches!(&told, Err(LedgerError::Unavailable { cause, .. }) if cause == "it is away"),
                "{told:?}"
            );
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(30));
    place.fails.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(1, Instant::now() + Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(200));
        ledger.commit(call(), Ack::Written).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), 2);
    });
}

#[test]
fn f67_a_ledger_that_is_closed_or_forked_while_calls_wait_goes_on_telling_them() {
    let place = Watched::default();
    let ledger = place.ledger();
    ledger.commit(call(), Ack::Written).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(1, Instant::now() + Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(100));
        drop(ledger.before_fork());
        std::thread::sleep(Duration::from_millis(100));
        ledger.commit(call(), Ack::Written).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), 2);
        let waiting = scope.spawn(|| ledger.wait(2, Instant::now() + Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(100));
        ledger.close();
        // What is committed now is committed over a new connection; who waits over the old one hears of it.
        ledger.commit(call(), Ack::Written).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), 3);
    });
}
