//! The side file (write-ahead log) of an SQLite ledger: made large once and then written over.
//!
//! A flush of a file that grew waits until its new length is on the disk too; one that was written over does not. So
//! a ledger that is busy gets a side file of [`SIDE_BYTES`], and what it holds is copied back often enough for it to
//! start again at its beginning instead of growing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::backend::{Access, BackendError, Link};

use super::zeros::append_zeros;
use super::{BUSY_TIMEOUT, SqliteLink, failed};

/// How large a side file is made.
const SIDE_BYTES: u64 = 16 << 20;

/// With so much in it, a ledger is busy enough for a large side file.
const BUSY_BYTES: u64 = 2 << 20;

/// With so much in it, the side file is copied back.
const FULL_BYTES: u64 = 8 << 20;

/// With so much, it is copied back even if readers have to be waited for, since nothing else ever empties it.
const OVERFULL_BYTES: u64 = 64 << 20;

/// How long readers are waited for then. Commits wait meanwhile.
const READERS_TIMEOUT: Duration = Duration::from_millis(500);

/// What a connection knows of its side file.
#[derive(Debug)]
pub(super) struct SideFile {
    path: PathBuf,
    /// How many pages it held after the last commit; 0 once that was told.
    pages: Arc<AtomicU64>,
    page_bytes: u64,
    /// Whether it is large, or was asked to be made so.
    large: bool,
}

impl SideFile {
    pub(super) fn watch(connection: &mut Connection, path: PathBuf) -> rusqlite::Result<Self> {
        let pages = Arc::new(AtomicU64::new(0));
        let told = pages.clone();
        connection.wal_hook(Some(move |_: &mut _, count| {
            told.store(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        let large = length(&path) >= SIDE_BYTES;
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes = u64::try_from(page_bytes).unwrap_or_default();
        Ok(Self { path, pages, page_bytes, large })
    }

    /// Whether [`Link::tidy`] has something to do; said once for each commit.
    pub(super) fn is_untidy(&mut self) -> bool {
        let held = self.bytes(self.pages.swap(0, Ordering::Relaxed));
        let grow = !self.large && held >= BUSY_BYTES;
        self.large |= grow;
        grow || held >= FULL_BYTES
    }

    fn bytes(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.page_bytes)
    }
}

impl SqliteLink {
    /// Copies the side file back if it is full, and lets it start again at its beginning.
    pub(super) fn fold_side(&mut self) -> Result<(), BackendError> {
        let (held, copied) = self.copy_back("NOOP")?;
        if held >= BUSY_BYTES && length(&self.side.path) < SIDE_BYTES {
            self.enlarge_side()?;
        }
        if held < FULL_BYTES || held == copied {
            return Ok(());
        }
        // Most is copied while others commit; the rest while they wait, so that nothing is left and the next commit
        // starts at the beginning.
        self.copy_back("PASSIVE")?;
        self.take_lock()?;
        let (held, _) = self.copy_back("PASSIVE").inspect_err(|_| self.release())?;
        if held >= OVERFULL_BYTES {
            let restarted = self.restart();
            self.release();
            return restarted;
        }
        self.release();
        Ok(())
    }

    fn restart(&self) -> Result<(), BackendError> {
        let patience = |time| self.connection.busy_timeout(time).map_err(|error| failed(&error));
        patience(READERS_TIMEOUT)?;
        let restarted = self.copy_back("RESTART");
        patience(BUSY_TIMEOUT)?;
        restarted.map(|_| ())
    }

    /// How much the side file holds, and how much of it is copied back.
    pub(super) fn copy_back(&self, how: &str) -> Result<(u64, u64), BackendError> {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let counts = self.connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], read);
        let (held, copied) = counts.map_err(|error| failed(&error))?;
        let bytes = |pages: i64| self.side.bytes(u64::try_from(pages).unwrap_or_default());
        Ok((bytes(held), bytes(copied)))
    }

    /// Appends zeros, which SQLite takes for the end of what was written. Nobody writes meanwhile, not even a program
    /// that does not know of the lock file.
    fn enlarge_side(&mut self) -> Result<(), BackendError> {
        self.begin(Access::Durable)?;
        let enlarged = OpenOptions::new().write(true).open(&self.side.path);
        let enlarged = enlarged.and_then(|file| append_zeros(&file, SIDE_BYTES).map(|()| file));
        self.release();
        // It is only for speed: a disk that has no room for it may have room for records.
        enlarged.and_then(|file| file.sync_all()).or(Ok(()))
    }
}

fn length(path: &PathBuf) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
