//! Which of the two is written to, the database or its spill file, and how what was spilled gets into the database.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use ahash::HashMap;

use super::frame::{self, Pending};
use super::known::KnownRows;
use super::spill::{Mark, Spill};
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
    /// How the spill file stood when it began, and the version of the database.
    mark: Mark,
    version: i64,
    /// The head from its end on.
    pub(super) head: Option<StoredHead>,
}

/// A batch that is about to be spilled.
#[derive(Debug)]
pub(super) struct Spilling {
    pub(super) frame: Vec<u8>,
    pub(super) head: StoredHead,
}

/// The head of the database as a connection left it. While its version stays, nobody else wrote to it.
#[derive(Debug)]
pub(super) struct Left {
    version: i64,
    head: StoredHead,
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

/// For how long a foreign program's writing into the database may go unnoticed by what is only spilled.
const LOOK_AFTER: Duration = Duration::from_millis(5);

impl Standing {
    /// What batches that follow state.
    pub(super) fn turn(&self) -> u64 {
        self.mark.turn()
    }
}

impl SqliteLink {
    /// The spill file, once there is one.
    fn spill(&mut self) -> Result<Option<&Spill>, BackendError> {
        match &self.spill {
            Some(spill) => spill.check_in_place()?,
            None => self.spill = Spill::open(&self.spill_path)?,
        }
        Ok(self.spill.as_ref())
    }

    /// Whether nobody wrote to the spill file since it had this mark; while there is none, it has that of an empty one.
    fn holds(&mut self, mark: Mark) -> Result<bool, BackendError> {
        self.spill()?.map_or(Ok(mark == Mark::empty(0)), |spill| spill.holds(mark))
    }

    /// Whether anybody wrote to the spill file since this connection looked.
    pub(super) fn was_spilled(&mut self) -> Result<bool, BackendError> {
        let Some(seen) = self.seen else { return Ok(true) };
        Ok(!self.holds(seen)?)
    }

    /// The mark of the spill file if nothing waits in it.
    fn nothing_waits(&mut self) -> Result<Option<Mark>, BackendError> {
        self.spill()?.map_or(Ok(Some(Mark::empty(0))), Spill::empty)
    }

    /// Begins a transaction for reading. What was spilled is taken into the database first.
    pub(super) fn begin_reading(&mut self) -> Result<Option<StoredHead>, BackendError> {
        self.seen = self.nothing_waits()?;
        if self.seen.is_none() {
            self.drain()?;
            self.seen = self.nothing_waits()?;
        }
        self.run("BEGIN", [])?;
        self.turn =
            Turn::Database(Open { access: Access::Read, mark: Mark::empty(0), version: 0, head: None });
        self.head()
    }

    /// Begins a batch under the lock: in the spill file if nobody wrote since this connection did, and the batch need
    /// not outlive a power cut.
    pub(super) fn begin_writing(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        if access == Access::Written && self.stands()? {
            self.turn = Turn::Spill(None);
            return Ok(self.standing.as_ref().map(|standing| standing.head.clone()));
        }
        self.begin_database(access)
    }

    /// Whether nobody wrote since this connection did, and there is room for more. The ledger's own processes are found
    /// at once, foreign programs within [`LOOK_AFTER`]: what they write changes nothing that is decided, and stays to
    /// be found.
    fn stands(&mut self) -> Result<bool, BackendError> {
        let (Some(spill), Some(standing)) = (&self.spill, &self.standing) else { return Ok(false) };
        let looks = standing.looked.elapsed() >= LOOK_AFTER;
        if looks {
            spill.check_in_place()?;
        }
        if standing.mark.is_full() || !spill.holds(standing.mark)? {
            return Ok(false);
        }
        if !looks {
            return Ok(true);
        }
        let same = standing.version == self.data_version()?;
        self.standing.iter_mut().for_each(|standing| standing.looked = Instant::now());
        Ok(same)
    }

    /// Begins a transaction of the database under the lock, with what was spilled taken in.
    fn begin_database(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        self.flush_fully(access == Access::Durable)?;
        self.run("BEGIN IMMEDIATE", [])?;
        let version = self.data_version()?;
        let left = self.left.take().filter(|left| left.version == version);
        let (alone, mut head) = match left {
            Some(left) => (true, Some(left.head)),
            None => (false, self.head()?),
        };
        let (mark, frames) = self.waiting(alone)?;
        self.seen = Some(mark);
        let pending = head.as_ref().and_then(|stored| frame::pending(&frames, mark.turn(), &stored.head));
        if let Some(pending) = pending {
            self.take_in(&pending)?;
            head = Some(pending.head);
        }
        self.turn = Turn::Database(Open { access, mark, version, head: head.clone() });
        Ok(head)
    }

    /// The mark of the spill file and the frames that wait in it. The lock is held; `alone` if nobody else wrote to the
    /// database since this connection looked for the file, since whoever makes it writes there first.
    fn waiting(&mut self, alone: bool) -> Result<(Mark, Vec<u8>), BackendError> {
        if !alone || self.spill.is_some() {
            self.spill()?;
        }
        let standing = self.standing.take().map(|standing| standing.mark);
        if let (Some(spill), Some(mark)) = (&self.spill, standing)
            && spill.holds(mark)?
        {
            return Ok((mark, spill.frames(mark)?));
        }
        self.known_rows = KnownRows::default();
        self.spill.as_ref().map_or(Ok((Mark::empty(0), Vec::new())), Spill::look)
    }

    /// Writes what was spilled into the open transaction. A row that somebody edited meanwhile stays edited, so that
    /// it is found.
    fn take_in(&self, pending: &Pending) -> Result<(), BackendError> {
        pending.entries.iter().try_for_each(|entry| self.insert(entry))?;
        let last = signed(pending.head.head.size().saturating_sub(1))?;
        let mut rows: HashMap<(&str, &str), Option<&str>> = HashMap::default();
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
            Turn::Nobody => match self.nothing_waits()? {
                Some(_) => Ok(()),
                None => self.drain(),
            },
            Turn::Spill(_) => {
                let known = self.standing.as_ref().map(|standing| standing.head.clone());
                if self.begin_database(Access::Written)? == known {
                    return Ok(());
                }
                Err(BackendError::Foreign("its head was edited while it was in use".to_owned()))
            }
        }
    }

    /// Takes what was spilled into the database.
    fn drain(&mut self) -> Result<(), BackendError> {
        let was_locked = self.lock.is_taken();
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
        self.begin_database(Access::Written)?;
        self.commit()
    }

    pub(super) fn commit_frame(&mut self, spilling: Spilling) -> Result<(), BackendError> {
        let (Some(spill), Some(standing)) = (&self.spill, &mut self.standing) else {
            return Err(BackendError::Failed("its spill file is closed".to_owned()));
        };
        standing.mark = spill.append(standing.mark, &spilling.frame)?;
        standing.head = spilling.head;
        self.seen = Some(standing.mark);
        self.buffer = spilling.frame;
        Ok(())
    }

    /// Commits the database. Before it, the mark turns, so that nobody goes on from what he knew; after it, what was
    /// spilled is done with.
    pub(super) fn commit_database(&mut self, open: Open) -> Result<(), BackendError> {
        let Open { access, mark, version, head } = open;
        // Looked for when the turn began; nobody makes one meanwhile.
        let turned = self.spill.as_ref().map(|spill| spill.turn(mark)).transpose()?;
        let spills = turned.is_some() || access == Access::Written;
        self.run("COMMIT", [])?;
        if !spills {
            self.left = head.map(|head| Left { version, head });
            return Ok(());
        }
        self.left = head.clone().map(|head| Left { version, head });
        let mark = match (turned, &mut self.spill) {
            (Some(mark), Some(spill)) => spill.settle(mark)?,
            _ => {
                // The first batch that could have been spilled: the next ones will be.
                self.spill = Some(Spill::make(&self.spill_path)?);
                Mark::empty(0)
            }
        };
        self.seen = Some(mark);
        if version == self.known_version {
            self.known_rows.settle();
        } else {
            self.known_rows = KnownRows::default();
        }
        self.known_version = version;
        self.standing = head.map(|head| Standing { mark, version, looked: Instant::now(), head });
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
        if self.nothing_waits()?.is_none() {
            self.drain_locked()?;
        }
        self.spill.as_ref().map_or(Ok(()), Spill::clear)
    }
}
