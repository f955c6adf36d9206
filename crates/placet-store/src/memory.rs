//! A log in memory: for tests and for programs that keep nothing. In a forked child it starts empty.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use placet_audit::view::SaltedValue;

use crate::backend::{Access, Backend, BackendError, Batch, Erase, Link, NewEntry, StoredHead};

/// A log in memory. Clones are the same log.
#[derive(Clone)]
pub struct Memory {
    place: Arc<ArcSwap<Place>>,
}

/// The log of one process.
struct Place {
    process: u32,
    tables: Mutex<Tables>,
    released: Condvar,
}

/// What is stored.
#[derive(Default)]
struct Tables {
    writing: bool,
    head: Option<StoredHead>,
    entries: Vec<Stored>,
    rows: BTreeMap<(String, String), String>,
    note: Option<String>,
    generation: u64,
}

struct Stored {
    leaf: String,
    view: Option<String>,
    personal: Vec<(Arc<str>, SaltedValue)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { place: Arc::new(ArcSwap::from(Place::new())) }
    }
}

impl Memory {
    /// Changes a cached row behind the log's back, as an operator with a database shell would.
    pub fn edit_row(&self, kind: &str, id: &str, body: Option<&str>) {
        let place = self.place();
        let mut tables = place.lock();
        let key = (kind.to_owned(), id.to_owned());
        match body {
            Some(body) => tables.rows.insert(key, body.to_owned()),
            None => tables.rows.remove(&key),
        };
    }

    fn place(&self) -> Arc<Place> {
        let place = self.place.load_full();
        if place.process == std::process::id() {
            return place;
        }
        self.place.compare_and_swap(&place, Place::new());
        // A lock that another thread held when the parent forked is never released here.
        std::mem::forget(place);
        self.place.load_full()
    }
}

impl Place {
    fn new() -> Arc<Self> {
        let tables = Mutex::new(Tables::default());
        Arc::new(Self { process: std::process::id(), tables, released: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    type Link = MemoryLink;

    const INHERITS_LOCKS: bool = false;

    fn name(&self) -> Arc<str> {
        "memory".into()
    }

    fn open(&self) -> Result<MemoryLink, BackendError> {
        Ok(MemoryLink { place: self.place(), batch: None, writing: false, seen: 0, sees: None })
    }
}

/// A connection to a log in memory.
pub struct MemoryLink {
    place: Arc<Place>,
    batch: Option<Pending>,
    writing: bool,
    seen: u64,
    /// How many entries a transaction sees, while one is open: those of the head that it read.
    sees: Option<usize>,
}

struct Pending {
    entries: Vec<Stored>,
    rows: Vec<placet_trust::StateRow>,
    erase: Vec<Erase>,
    note: Option<String>,
    head: StoredHead,
}

impl Link for MemoryLink {
    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        let mut tables = self.place.lock();
        if access != Access::Read {
            while tables.writing {
                tables = self.place.released.wait(tables).unwrap_or_else(PoisonError::into_inner);
            }
            tables.writing = true;
            self.writing = true;
        }
        self.seen = tables.generation;
        self.sees = Some(tables.entries.len());
        Ok(tables.head.clone())
    }

    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError> {
        let tables = self.place.lock();
        let skipped = usize::try_from(from).unwrap_or(usize::MAX);
        let seen = self.sees.unwrap_or(usize::MAX);
        for (seq, entry) in (0..).zip(&tables.entries).take(seen).skip(skipped) {
            if !each(seq, entry.leaf.as_bytes()) {
                break;
            }
        }
        Ok(())
    }

    fn row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        Ok(self.place.lock().rows.get(&(kind.to_owned(), id.to_owned())).cloned())
    }

    fn view(&mut self, seq: u64) -> Result<Option<String>, BackendError> {
        let index = usize::try_from(seq).unwrap_or(usize::MAX);
        Ok(self.place.lock().entries.get(index).and_then(|entry| entry.view.clone()))
    }

    fn personal(&mut self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, BackendError> {
        let index = usize::try_from(seq).unwrap_or(usize::MAX);
        let fields = self.place.lock().entries.get(index).map(|entry| entry.personal.clone());
        let mut fields = fields.unwrap_or_default();
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(fields)
    }

    fn note(&mut self) -> Result<Option<String>, BackendError> {
        Ok(self.place.lock().note.clone())
    }

    fn append(&mut self, batch: &Batch) -> Result<(), BackendError> {
        let stored = |entry: &NewEntry| Stored {
            leaf: entry.leaf.clone(),
            view: entry.view.clone(),
            personal: entry.personal.clone(),
        };
        self.batch = Some(Pending {
            entries: batch.entries.iter().map(stored).collect(),
            rows: batch.rows.clone(),
            erase: batch.erase.clone(),
            note: batch.note.as_ref().map(|(_, note)| note.clone()),
            head: batch.head.clone(),
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        let mut tables = self.place.lock();
        tables.entries.extend(batch.entries);
        for row in batch.rows {
            let key = (row.kind.to_owned(), row.id);
            match row.body {
                Some(body) => tables.rows.insert(key, body),
                None => tables.rows.remove(&key),
            };
        }
        for erase in batch.erase {
            tables.erase(&erase);
        }
        tables.note = batch.note.or_else(|| tables.note.take());
        tables.head = Some(batch.head);
        tables.generation = tables.generation.wrapping_add(1);
        self.sees = Some(tables.entries.len());
        self.seen = tables.generation;
        Ok(())
    }

    fn release(&mut self) {
        self.batch = None;
        self.sees = None;
        if std::mem::take(&mut self.writing) {
            self.place.lock().writing = false;
            self.place.released.notify_one();
        }
    }

    fn changed(&mut self) -> Result<bool, BackendError> {
        Ok(self.place.lock().generation != self.seen)
    }

    fn tidy(&mut self, _thorough: bool) -> Result<(), BackendError> {
        Ok(())
    }
}

impl Tables {
    fn erase(&mut self, erase: &Erase) {
        let index = usize::try_from(erase.seq).unwrap_or(usize::MAX);
        let Some(entry) = self.entries.get_mut(index) else { return };
        if erase.fields.is_empty() {
            entry.view = None;
            entry.personal.clear();
        } else {
            entry.personal.retain(|(field, _)| !erase.fields.contains(field));
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.release();
    }
}
