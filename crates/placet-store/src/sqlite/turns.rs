//! Which of the two is written to, the database or its spill file, and how what was spilled gets into the database.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::time::{Duration, Instant};

use placet_trust::StateRow;

use super::spill::{Mark, Pending, Spill};
use super::{SqliteLink, signed};
use crate::backend::{Access, BackendError, Link as _, StoredHead};

/// Whose turn it is to be written to.
#[derive(Debug)]
pub(super) enum Turn {
    /// No transaction is open.
    Nobody,
    /// A transaction of the database is open.
    Database(Open),
    /// A batch may be spilled; once one was appended, it waits for the commit.
    Spill(Option<Spilling>),
}

/// A transaction of the database.
#[derive(Debug)]
pub(super) struct Open {
    access: Access,
    /// Whether it takes in what was spilled.
    spilled: bool,
    /// The head from its end on.
    pub(super) head: Option<StoredHead>,
}

/// A batch that is about to be spilled.
#[derive(Debug)]
pub(super) struct Spilling {
    pub(super) frame: Vec<u8>,
    pub(super) head: StoredHead,
    pub(super) rows: Vec<StateRow>,
}

/// What a connection left behind. While nobody writes since, it need not read it again.
#[derive(Debug)]
pub(super) struct Standing {
    mark: Mark,
    /// The version of the database, which foreign programs change too, and when it was looked at.
    version: i64,
    looked: Instant,
    head: StoredHead,
}

/// Cached rows as they stand while nobody else writes.
#[derive(Debug, Default)]
pub(super) struct KnownRows(HashMap<Box<str>, HashMap<Box<str>, KnownRow>>);

#[derive(Debug)]
struct KnownRow {
    body: Option<String>,
    /// Whether the database lacks it.
    spilled: bool,
}

/// For how long a foreign program's writing into the database may go unnoticed by what is only spilled.
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// How many rows are known at most.
const MOST_KNOWN: usize = 4_096;

impl KnownRows {
    fn get(&self, kind: &str, id: &str) -> Option<&KnownRow> {
        self.0.get(kind)?.get(id)
    }

    /// What the database holds of a row that was not spilled yet.
    pub(super) fn before(&self, row: &StateRow) -> Option<Option<&str>> {
        let known = self.get(row.kind, &row.id).filter(|known| !known.spilled)?;
        Some(known.body.as_deref())
    }

    fn set(&mut self, kind: &str, id: &str, row: KnownRow) {
        if !self.0.contains_key(kind) {
            self.0.insert(kind.into(), HashMap::new());
        }
        self.0.get_mut(kind).map(|rows| rows.insert(id.into(), row));
    }

    /// It is written to the database.
    pub(super) fn forget(&mut self, row: &StateRow) {
        self.0.get_mut(row.kind).map(|rows| rows.remove(&*row.id));
    }

    /// Everything is in the database now.
    fn settle(&mut self) {
        let count: usize = self.0.values().map(HashMap::len).sum();
        if count > MOST_KNOWN {
            self.0.clear();
        }
        self.0.values_mut().flat_map(HashMap::values_mut).for_each(|row| row.spilled = false);
    }
}

impl SqliteLink {
    /// The spill file, once there is one.
    fn spill(&mut self) -> Result<Option<&Spill>, BackendError> {
        if self.spill.is_none() {
            self.spill = Spill::open(&self.spill_path)?;
        }
        Ok(self.spill.as_ref())
    }

    /// The mark of the spill file; that of an empty one while there is none.
    pub(super) fn mark(&mut self) -> Result<Mark, BackendError> {
        self.spill()?.map_or(Ok(Mark::default()), Spill::mark)
    }

    /// Begins a transaction for reading. What was spilled is taken into the database first.
    pub(super) fn begin_reading(&mut self) -> Result<Option<StoredHead>, BackendError> {
        if !self.mark()?.is_empty() {
            self.drain()?;
        }
        self.seen = self.mark()?;
        self.run("BEGIN", [])?;
        self.turn = Turn::Database(Open { access: Access::Read, spilled: false, head: None });
        self.head()
    }

    /// Begins a batch under the lock: in the spill file if nobody wrote since this connection did, and the batch need
    /// not outlive a power cut.
    pub(super) fn begin_writing(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        let mark = self.mark()?;
        self.seen = mark;
        if access == Access::Written && !mark.is_full() && self.stands(mark)? {
            self.turn = Turn::Spill(None);
            return Ok(self.standing.as_ref().map(|standing| standing.head.clone()));
        }
        self.begin_database(access)
    }

    /// Whether nobody wrote since this connection did. The ledger's own processes are found at once, foreign programs
    /// within [`LOOK_AFTER`]: what they write changes nothing that is decided, and stays to be found.
    fn stands(&mut self, mark: Mark) -> Result<bool, BackendError> {
        let Some(standing) = self.standing.as_ref().filter(|standing| standing.mark == mark) else {
            return Ok(false);
        };
        if standing.looked.elapsed() < LOOK_AFTER {
            return Ok(true);
        }
        let same = standing.version == self.data_version()?;
        self.standing.iter_mut().for_each(|standing| standing.looked = Instant::now());
        Ok(same)
    }

    /// Begins a transaction of the database under the lock, with what was spilled taken in.
    fn begin_database(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        if self.standing.take().is_none_or(|standing| standing.mark != self.seen) {
            self.known_rows = KnownRows::default();
        }
        self.run("BEGIN IMMEDIATE", [])?;
        let (mut head, mark) = (self.head()?, self.seen);
        let spilled = !mark.is_empty();
        self.spill.as_ref().map_or(Ok(()), Spill::check_in_place)?;
        if let (true, Some(stored)) = (spilled, &head) {
            let pending = self.spill.as_ref().map(|spill| spill.pending(mark, &stored.head));
            let pending = pending.transpose()?.flatten();
            if let Some(pending) = pending {
                self.take_in(&pending)?;
                head = Some(pending.head);
            }
        }
        self.turn = Turn::Database(Open { access, spilled, head: head.clone() });
        Ok(head)
    }

    /// Writes what was spilled into the open transaction. A row that somebody edited meanwhile stays edited, so that
    /// it is found.
    fn take_in(&self, pending: &Pending) -> Result<(), BackendError> {
        pending.entries.iter().try_for_each(|entry| self.insert(entry))?;
        let last = signed(pending.head.head.size().saturating_sub(1))?;
        let mut rows: HashMap<(&str, &str), Option<&str>> = HashMap::new();
        for row in &pending.rows {
            let key = (&*row.kind, &*row.id);
            match &row.before {
                Some(before) if self.stored_row(&row.kind, &row.id)? != *before => {}
                Some(_) => drop(rows.insert(key, row.body.as_deref())),
                None => drop(rows.get_mut(&key).map(|body| *body = row.body.as_deref())),
            }
        }
        for ((kind, id), body) in rows {
            self.write_row(kind, id, body, last)?;
        }
        self.write_head(&pending.head)
    }

    /// Goes on in the database where a batch was to be spilled; takes in what was spilled where nothing was begun.
    pub(super) fn use_database(&mut self) -> Result<(), BackendError> {
        match self.turn {
            Turn::Database(_) => Ok(()),
            Turn::Nobody => match self.mark()?.is_empty() {
                true => Ok(()),
                false => self.drain(),
            },
            Turn::Spill(_) => {
                let known = self.standing.take().map(|standing| standing.head);
                if self.begin_database(Access::Written)? == known {
                    return Ok(());
                }
                Err(BackendError::Foreign("its head was edited while it was in use".to_owned()))
            }
        }
    }

    /// Takes what was spilled into the database.
    fn drain(&mut self) -> Result<(), BackendError> {
        let was_locked = self.locked;
        if !was_locked {
            self.take_lock()?;
        }
        let drained = self.drain_locked();
        if drained.is_err() || !was_locked {
            self.release();
        }
        drained
    }

    fn drain_locked(&mut self) -> Result<(), BackendError> {
        self.flush_fully(false)?;
        self.seen = self.mark()?;
        self.begin_database(Access::Written)?;
        self.commit()
    }

    /// A cached row, while nobody else writes.
    pub(super) fn known_row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        if let Some(known) = self.known_rows.get(kind, id) {
            return Ok(known.body.clone());
        }
        let body = self.stored_row(kind, id)?;
        self.known_rows.set(kind, id, KnownRow { body: body.clone(), spilled: false });
        Ok(body)
    }

    pub(super) fn commit_frame(&mut self, spilling: Spilling) -> Result<(), BackendError> {
        let (Some(spill), Some(standing)) = (&self.spill, &mut self.standing) else {
            return Err(BackendError::Failed("its spill file is closed".to_owned()));
        };
        standing.mark = spill.append(self.seen, &spilling.frame)?;
        standing.head = spilling.head;
        self.seen = standing.mark;
        for row in spilling.rows {
            self.known_rows.set(row.kind, &row.id, KnownRow { body: row.body, spilled: true });
        }
        Ok(())
    }

    /// Commits the database. Before it, the mark turns, so that nobody goes on from what he knew; after it, what was
    /// spilled is done with.
    pub(super) fn commit_database(&mut self, open: Open) -> Result<(), BackendError> {
        let Open { access, spilled, head } = open;
        let mark = self.seen;
        // Looked for when the turn began; nobody makes one meanwhile.
        let turned = self.spill.as_ref().map(|spill| spill.turn(mark)).transpose()?;
        let spills = turned.is_some() || access == Access::Written;
        let version = if spills { self.data_version()? } else { 0 };
        self.run("COMMIT", [])?;
        if !spills {
            return Ok(());
        }
        self.seen = match (turned, &self.spill) {
            (Some(mark), Some(spill)) if spilled => spill.reset(mark)?,
            (Some(mark), _) => mark,
            (None, _) => {
                // The first batch that could have been spilled: the next ones will be.
                self.spill = Some(Spill::make(&self.spill_path)?);
                Mark::default()
            }
        };
        if version == self.known_version {
            self.known_rows.settle();
        } else {
            self.known_rows = KnownRows::default();
        }
        self.known_version = version;
        self.standing = head.map(|head| Standing { mark: self.seen, version, looked: Instant::now(), head });
        Ok(())
    }

    /// Takes what was spilled into the database and removes its bytes.
    pub(super) fn clear_spill(&mut self) -> Result<(), BackendError> {
        if self.spill()?.is_none() {
            return Ok(());
        }
        self.take_lock()?;
        let cleared = self.clear_locked();
        self.release();
        cleared
    }

    fn clear_locked(&mut self) -> Result<(), BackendError> {
        if !self.mark()?.is_empty() {
            self.drain_locked()?;
        }
        self.spill.as_ref().map_or(Ok(()), Spill::shrink)
    }
}
