//! The spill file of an SQLite ledger: batches that need not outlive a power cut, before they are in the database.
//!
//! A commit of the database writes whole pages under several locks, which takes tens of microseconds. A batch that is
//! only `written` and touches no cached row is appended here instead, which is one small write: it survives the end of
//! the process as the database's would. Whoever next begins a transaction in the database takes it in; the signing of
//! a checkpoint, each second, is one.
//!
//! The file is read and written under the ledger's lock. It begins with a mark: how often the database was written
//! (`turn`), and how many bytes of frames follow that are not in the database yet (`end`). A process that finds the
//! mark as it left it knows that nobody wrote, in the file or in the database.
//!
//! After a power cut anything may stand here. Frames carry a checksum, and their entries must follow those of the
//! database; the first that does not is the end. What the log says of them is checked by whoever reads the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet_audit::seal::Head;
use placet_audit::tree::Frontier;
use placet_audit::view::SaltedValue;
use placet_trust::StateRow;
use placet_types::{Digest, Micros};
use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Batch, NewEntry, StoredHead};

/// With so many bytes in it, the file is taken into the database by the next commit.
pub(super) const FULL_BYTES: u64 = 4 << 20;

/// The format of the file.
const MAGIC: [u8; 8] = *b"plctsp01";

/// Where frames begin.
const FRAMES: u64 = 24;

/// Length and checksum before each frame.
const PREFIX: usize = 8;

/// What stands in the file, and whether anybody wrote since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// How often the database was written to since the file was made.
    turn: u64,
    /// How many bytes of frames are not in the database.
    end: u64,
}

impl Mark {
    pub(super) fn is_empty(self) -> bool {
        self.end == 0
    }

    pub(super) fn is_full(self) -> bool {
        self.end >= FULL_BYTES
    }

    fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let parts = MAGIC.into_iter().chain(self.turn.to_le_bytes()).chain(self.end.to_le_bytes());
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    fn read(bytes: &[u8; 24]) -> Option<Self> {
        let number = |from: usize| Some(u64::from_le_bytes(bytes.get(from..from + 8)?.try_into().ok()?));
        let mark = Self { turn: number(8)?, end: number(16)? };
        (bytes.get(..8) == Some(&MAGIC)).then_some(mark)
    }
}

/// One batch, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Frame<'f> {
    #[serde(borrow)]
    entries: Vec<Entry<'f>>,
    #[serde(borrow)]
    rows: Vec<FrameRow<'f>>,
    origin: &'f str,
    frontier: &'f [u8],
    chain: [u8; 32],
    time_us: i64,
    seal: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct Entry<'f> {
    seq: u64,
    leaf: &'f str,
    hash: [u8; 32],
    #[serde(borrow)]
    view: Option<&'f str>,
    #[serde(borrow)]
    personal: Vec<(&'f str, [u8; 32], &'f str)>,
}

#[derive(Serialize, Deserialize)]
struct FrameRow<'f> {
    kind: &'f str,
    id: &'f str,
    #[serde(borrow)]
    body: Option<&'f str>,
    /// What the database held, in the first frame that has this row.
    #[serde(borrow)]
    before: Option<Option<&'f str>>,
}

/// Batches that are not in the database, in order, with the head of the last.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entries: Vec<NewEntry>,
    pub(super) rows: Vec<PendingRow>,
    pub(super) head: StoredHead,
}

/// A cached row that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingRow {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: Option<String>,
    /// What the database held, where this is the first that was spilled of the row since it was written there.
    pub(super) before: Option<Option<String>>,
}

/// The file, opened.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: File,
}

impl Spill {
    /// Opens the file of a ledger, if there is one.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, BackendError> {
        Self::open_with(OpenOptions::new().read(true).write(true), path)
    }

    /// Opens the file for reading alone, if there is one.
    pub(super) fn open_to_read(path: &Path) -> Result<Option<Self>, BackendError> {
        Self::open_with(OpenOptions::new().read(true), path)
    }

    fn open_with(options: &OpenOptions, path: &Path) -> Result<Option<Self>, BackendError> {
        match options.open(path) {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path, &error)),
        }
    }

    /// Makes the file. The ledger's lock is held.
    pub(super) fn make(path: &Path) -> Result<Self, BackendError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(|error| failed(path, &error))?;
        let spill = Self { path: path.to_owned(), file };
        spill.write_mark(Mark::default())?;
        Ok(spill)
    }

    /// The mark as it stands now.
    pub(super) fn mark(&self) -> Result<Mark, BackendError> {
        let mut bytes = [0; 24];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Mark::read(&bytes).ok_or_else(|| self.foreign("is none")),
            // It was made when the power was cut, or the program ended between making and marking it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Mark::default()),
            Err(error) => Err(failed(&self.path, &error)),
        }
    }

    /// Refuses a file that was replaced or removed while it was in use.
    pub(super) fn check_in_place(&self) -> Result<(), BackendError> {
        let file = self.file.metadata().map_err(|error| failed(&self.path, &error))?;
        if file.nlink() == 0 { Err(self.foreign("was removed while it was in use")) } else { Ok(()) }
    }

    fn foreign(&self, what: &str) -> BackendError {
        BackendError::Foreign(format!("its spill file `{}` {what}", self.path.display()))
    }

    fn write_mark(&self, mark: Mark) -> Result<(), BackendError> {
        self.file.write_all_at(&mark.bytes(), 0).map_err(|error| failed(&self.path, &error))
    }

    /// Appends a frame; it counts once the mark says so.
    pub(super) fn append(&self, mark: Mark, frame: &[u8]) -> Result<Mark, BackendError> {
        let written = self.file.write_all_at(frame, FRAMES.saturating_add(mark.end));
        written.map_err(|error| failed(&self.path, &error))?;
        let length = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let next = Mark { turn: mark.turn, end: mark.end.saturating_add(length) };
        self.write_mark(next)?;
        Ok(next)
    }

    /// The database is about to be written to: nobody may go on from what he knows.
    pub(super) fn turn(&self, mark: Mark) -> Result<Mark, BackendError> {
        let next = Mark { turn: mark.turn.wrapping_add(1), end: mark.end };
        self.write_mark(next)?;
        Ok(next)
    }

    /// Everything in it is in the database now.
    pub(super) fn reset(&self, mark: Mark) -> Result<Mark, BackendError> {
        let next = Mark { turn: mark.turn, end: 0 };
        self.write_mark(next)?;
        Ok(next)
    }

    /// Removes the bytes of what was taken into the database.
    pub(super) fn shrink(&self) -> Result<(), BackendError> {
        let cut = self.file.set_len(FRAMES).and_then(|()| self.file.sync_all());
        cut.map_err(|error| failed(&self.path, &error))
    }

    /// What is not in a database with this head.
    pub(super) fn pending(&self, mark: Mark, stored: &Head) -> Result<Option<Pending>, BackendError> {
        let length = usize::try_from(mark.end).unwrap_or(usize::MAX).min(MOST_BYTES);
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = FRAMES.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path, &error)),
            }
        }
        Ok(pending(bytes.get(..filled).unwrap_or_default(), stored))
    }
}

/// No mark that Placet wrote says more; a file that does is read as far as this.
const MOST_BYTES: usize = 1 << 30;

/// The bytes of a batch in the file; `before` tells what the database holds where the row was not spilled yet.
pub(super) fn frame<'f>(
    batch: &'f Batch,
    before: impl Fn(&StateRow) -> Option<Option<&'f str>>,
) -> Result<Vec<u8>, BackendError> {
    let StoredHead { head, seal } = &batch.head;
    let frontier = head.frontier.to_bytes();
    let entries = batch.entries.iter().map(|entry| Entry {
        seq: entry.seq,
        leaf: &entry.leaf,
        hash: entry.hash.0,
        view: entry.view.as_deref(),
        personal: entry.personal.iter().map(|(field, value)| (&**field, value.salt, &*value.text)).collect(),
    });
    let rows = batch.rows.iter().map(|row| FrameRow {
        kind: row.kind,
        id: &row.id,
        body: row.body.as_deref(),
        before: before(row),
    });
    let frame = Frame {
        entries: entries.collect(),
        rows: rows.collect(),
        origin: &head.origin,
        frontier: &frontier,
        chain: head.chain.0,
        time_us: head.time_us.0,
        seal: seal.0,
    };
    let texts = |entry: &NewEntry| entry.leaf.len() + entry.view.as_ref().map_or(0, String::len);
    let expected = batch.entries.iter().map(texts).sum::<usize>();
    let mut bytes = Vec::with_capacity(expected.saturating_add(1_024));
    bytes.extend([0; PREFIX]);
    let bytes = postcard::to_extend(&frame, bytes);
    let mut bytes =
        bytes.map_err(|error| BackendError::Failed(format!("a batch cannot be spilled: {error}")))?;
    let body = bytes.get(PREFIX..).unwrap_or_default();
    let length = u32::try_from(body.len())
        .map_err(|_| BackendError::Failed("a batch is past 4 GiB, and cannot be spilled".to_owned()))?;
    let prefix = length.to_le_bytes().into_iter().chain(crc32fast::hash(body).to_le_bytes());
    let prefix: Vec<u8> = prefix.collect();
    bytes.iter_mut().zip(prefix).for_each(|(byte, part)| *byte = part);
    Ok(bytes)
}

/// The batches of these bytes that follow a head, up to the first that is torn or follows nothing.
pub(super) fn pending(mut bytes: &[u8], stored: &Head) -> Option<Pending> {
    let mut found: Option<Pending> = None;
    while let Some((frame, rest)) = next_frame(bytes) {
        bytes = rest;
        let size = found.as_ref().map_or(stored.size(), |found| found.head.head.size());
        let ours = frame.origin == &*stored.origin;
        let last = frame.entries.last().map(|entry| entry.seq);
        if ours && last.is_some_and(|last| last < size) {
            // It was taken into the database by a program that ended before it could say so.
            continue;
        }
        let batch = frame.batch().filter(|batch| ours && follow(&batch.entries, &batch.head, size));
        let Some(batch) = batch else { break };
        match &mut found {
            Some(found) => {
                found.entries.extend(batch.entries);
                found.rows.extend(batch.rows);
                found.head = batch.head;
            }
            None => found = Some(batch),
        }
    }
    found
}

/// Whether entries lead from a size to a head.
fn follow(entries: &[NewEntry], head: &StoredHead, size: u64) -> bool {
    let numbers = entries.iter().map(|entry| entry.seq);
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let end = size.saturating_add(count);
    numbers.eq(size..end) && head.head.size() == end
}

fn next_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let (length, sum) = prefix.split_at_checked(4)?;
    let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    let (body, rest) = rest.split_at_checked(usize::try_from(number(length)?).ok()?)?;
    if number(sum)? != crc32fast::hash(body) {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, rest))
}

impl Frame<'_> {
    fn batch(&self) -> Option<Pending> {
        let frontier = Frontier::from_bytes(self.frontier).ok()?;
        let (chain, time_us) = (Digest(self.chain), Micros(self.time_us));
        let head = Head { origin: self.origin.into(), frontier, chain, time_us };
        let personal = |&(field, salt, text): &(&str, [u8; 32], &str)| {
            (Arc::from(field), SaltedValue { salt, text: text.to_owned() })
        };
        let entries = self.entries.iter().map(|entry| NewEntry {
            seq: entry.seq,
            leaf: entry.leaf.to_owned(),
            hash: Digest(entry.hash),
            view: entry.view.map(str::to_owned),
            personal: entry.personal.iter().map(personal).collect(),
        });
        let rows = self.rows.iter().map(|row| PendingRow {
            kind: row.kind.to_owned(),
            id: row.id.to_owned(),
            body: row.body.map(str::to_owned),
            before: row.before.map(|before| before.map(str::to_owned)),
        });
        let head = StoredHead { head, seal: Digest(self.seal) };
        Some(Pending { entries: entries.collect(), rows: rows.collect(), head })
    }
}

fn failed(path: &Path, error: &io::Error) -> BackendError {
    let named = path.display();
    BackendError::Failed(format!(
        "its spill file `{named}` fails ({error}); let this user write to it, and make room on its disk"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(before: &Head, count: u64) -> Batch {
        let mut head = before.clone();
        let entries = (0..count).map(|nth| {
            let (seq, leaf) = (head.size(), format!("leaf {nth}"));
            let hash = placet_audit::tree::leaf_hash(leaf.as_bytes());
            head.push(hash, Micros(7));
            let view = (nth % 2 == 0).then(|| format!("view {nth}"));
            let personal = (0..nth).map(|field| {
                (Arc::from(format!("field {field}")), SaltedValue { salt: [9; 32], text: "1".to_owned() })
            });
            NewEntry { seq, leaf, hash, view, personal: personal.collect() }
        });
        let entries = entries.collect();
        let rows = vec![
            StateRow { kind: "budget", id: "a".to_owned(), body: Some("{}".to_owned()) },
            StateRow { kind: "reservation", id: "b".to_owned(), body: None },
        ];
        let head = StoredHead { head, seal: Digest([3; 32]) };
        Batch { entries, rows, ..Batch::of(head) }
    }

    fn frames() -> (Head, Vec<u8>, StoredHead) {
        let start = Head::empty("log");
        let first = batch(&start, 3);
        let second = batch(&first.head.head, 2);
        let before = |row: &StateRow| (row.kind == "budget").then_some(Some("{\"old\":1}"));
        let mut bytes = frame(&first, before).unwrap();
        bytes.extend(frame(&second, |_| None).unwrap());
        (start, bytes, second.head)
    }

    #[test]
    fn what_is_written_is_read() {
        let (start, bytes, last) = frames();
        let found = pending(&bytes, &start).unwrap();
        assert_eq!((found.entries.len(), &found.head), (5, &last));
        assert_eq!(found.rows[0].before, Some(Some("{\"old\":1}".to_owned())));
        assert_eq!((found.rows[1].before.clone(), found.rows[1].body.clone()), (None, None));
        assert_eq!(found.entries[2].personal.len(), 2);
        // What the database has already is left out, and what does not follow it is not read.
        let half = batch(&start, 3).head.head;
        assert_eq!(pending(&bytes, &half).unwrap().entries.len(), 2);
        assert!(pending(&bytes, &last.head).is_none());
        assert!(pending(&bytes, &batch(&start, 1).head.head).is_none());
        assert!(pending(&bytes, &Head::empty("another log")).is_none());
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { turn: 7, end: 1 << 40 };
        assert_eq!(Mark::read(&mark.bytes()), Some(mark));
        assert_eq!(Mark::read(&[0; 24]), None);
    }

    proptest! {
        /// Whatever stands in the file, a whole number of its batches is read.
        #[test]
        fn no_bytes_make_it_fail(edits in prop::collection::vec((0_usize..2_000, any::<u8>()), 0..6), cut in 0_usize..2_000) {
            let (start, mut bytes, _) = frames();
            for (at, byte) in edits {
                bytes.iter_mut().skip(at).take(1).for_each(|slot| *slot = byte);
            }
            bytes.truncate(cut);
            let entries = pending(&bytes, &start).map_or(0, |found| found.entries.len());
            prop_assert!([0, 3, 5].contains(&entries));
        }

        #[test]
        fn no_foreign_bytes_make_it_fail(bytes: Vec<u8>) {
            prop_assert!(pending(&bytes, &Head::empty("log")).is_none());
        }
    }
}
