//! A record id is taken once, and one whose commit failed can be tried again.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, reason = "tests: helpers outside test functions")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use placet_audit::view::SaltedValue;
use placet_store::backend::{Access, Backend, BackendError, Batch, Link, StoredHead};
use placet_store::{LogLedger, Memory, MemoryLink, Settings};
use placet_trust::{Ledger, LedgerError, Proposal};
use placet_types::{Ack, RecordId};
use support::*;

/// A place whose commits and readings can be told to fail.
#[derive(Clone)]
struct Failing {
    inner: Memory,
    settings: Settings,
    /// How commits fail.
    commits: Arc<Mutex<Option<Fails>>>,
    /// Whether reading fails at its end.
    reads: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
enum Fails {
    /// Nothing lasts.
    Undone,
    /// The batch lasts all the same.
    Lasting,
}

struct FailingLink {
    inner: MemoryLink,
    place: Failing,
}

fn failed<T>() -> Result<T, BackendError> {
    Err(BackendError::Failed("it is away".to_owned()))
}

impl Failing {
    fn new() -> Self {
        Self {
            inner: Memory::default(),
            settings: Settings::with_passing_keys().unwrap(),
            commits: Arc::default(),
            reads: Arc::default(),
        }
    }

    fn ledger(&self) -> LogLedger<Self> {
        LogLedger::new(self.clone(), self.settings.clone())
    }

    fn fail(&self, how: Option<Fails>) {
        *self.commits.lock().unwrap() = how;
    }
}

impl Backend for Failing {
    type Link = FailingLink;

    const INHERITS_LOCKS: bool = false;

    fn name(&self) -> Arc<str> {
        "failing".into()
    }

    fn open(&self) -> Result<FailingLink, BackendError> {
        Ok(FailingLink { inner: self.inner.open()?, place: self.clone() })
    }
}

impl Link for FailingLink {
    fn commit(&mut self) -> Result<(), BackendError> {
        match *self.place.commits.lock().unwrap() {
            Some(Fails::Undone) => failed(),
            Some(Fails::Lasting) => self.inner.commit().and_then(|()| failed()),
            None => self.inner.commit(),
        }
    }

    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError> {
        self.inner.leaves(from, each)?;
        if self.place.reads.load(Ordering::SeqCst) { failed() } else { Ok(()) }
    }

    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        self.inner.begin(access)
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

    fn release(&mut self) {
        self.inner.release();
    }

    fn changed(&mut self) -> Result<bool, BackendError> {
        self.inner.changed()
    }

    fn tidy(&mut self, thorough: bool) -> Result<(), BackendError> {
        self.inner.tidy(thorough)
    }
}

/// A call whose record has this id.
fn numbered(id: &str) -> Proposal {
    let mut proposal = call();
    proposal.record.id = RecordId(id.into());
    proposal.fallback = None;
    proposal
}

fn commit(ledger: &dyn Ledger, id: &str) -> Result<bool, LedgerError> {
    ledger.commit(numbered(id), Ack::Written).map(|receipt| receipt.refused.is_none())
}

#[test]
fn a_record_whose_commit_failed_is_taken_when_it_is_tried_again() {
    let place = Failing::new();
    let ledger = place.ledger();
    // Also when the first commit of all fails.
    place.fail(Some(Fails::Undone));
    commit(&ledger, "a").unwrap_err();
    place.fail(None);
    for id in ["a", "b"] {
        assert!(commit(&ledger, id).unwrap(), "{id}");
    }
    place.fail(Some(Fails::Undone));
    for id in ["c", "c", "d"] {
        commit(&ledger, id).unwrap_err();
    }
    place.fail(None);
    for (id, taken) in [("a", false), ("b", false), ("c", true), ("d", true), ("c", false), ("d", false)] {
        assert_eq!(commit(&ledger, id).unwrap(), taken, "{id}");
    }
    assert_eq!(size(&ledger), 4);
}

/// The commit was in doubt: the record stands in the log, and is refused when it is tried again.
#[test]
fn a_record_whose_failed_commit_lasts_is_not_taken_again() {
    let place = Failing::new();
    let ledger = place.ledger();
    assert!(commit(&ledger, "a").unwrap());
    place.fail(Some(Fails::Lasting));
    commit(&ledger, "b").unwrap_err();
    place.fail(None);
    for (id, taken) in [("b", false), ("a", false), ("c", true), ("b", false)] {
        assert_eq!(commit(&ledger, id).unwrap(), taken, "{id}");
    }
    assert_eq!(size(&ledger), 3);
}

#[test]
fn entries_of_others_whose_reading_failed_are_taken_in_once() {
    let place = Failing::new();
    let (ledger, other) = (place.ledger(), place.ledger());
    assert!(commit(&ledger, "a").unwrap());
    assert!(commit(&other, "b").unwrap());
    place.reads.store(true, Ordering::SeqCst);
    commit(&ledger, "c").unwrap_err();
    place.reads.store(false, Ordering::SeqCst);
    for (id, taken) in [("c", true), ("a", false), ("b", false), ("c", false)] {
        assert_eq!(commit(&ledger, id).unwrap(), taken, "{id}");
        assert!(!commit(&other, id).unwrap(), "{id}");
    }
    assert_eq!(size(&ledger), 3);
}
