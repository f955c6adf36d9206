//! The spill file of an SQLite ledger: batches that need not outlive a power cut, before they are in the database.
//!
//! A commit of the database writes whole pages under several locks, which takes tens of microseconds. A batch that is
//! only `written` and touches no cached row is appended here instead, which is one small write: it survives the end of
//! the process as the database's would. Whoever next begins a transaction in the database takes it in; the signing of
//! a checkpoint, each second, is one.
//!
//! The file is written under the ledger's lock. It begins with how often the database was written to (`turn`); frames
//! follow, one for each batch that is not in the database yet, and behind the last of them stands a tail, which no
//! other batch has. A process that finds the tail it left where it left it knows that nobody wrote, in the file or in
//! the database: a batch is written over it, and so is the news that the database is about to be written to.
//!
//! A frame states its turn and carries a checksum, and its entries must follow those of the database; the first that
//! does not is the end. So a frame that was written in part does not count, nor do those that were taken into the
//! database, which stay in the file until others are written over them. After a power cut anything may stand here. What
//! the log says of it is checked by whoever reads the log.
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
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::backend::{BackendError, Batch, NewEntry, StoredHead};

/// With so many bytes in it, the file is taken into the database by the next commit.
pub(super) const FULL_BYTES: u64 = 4 << 20;

/// The format of the file.
const MAGIC: [u8; 8] = *b"plctsp02";

/// A format of which no release read more than that nothing waits.
const OLD_MAGIC: [u8; 8] = *b"plctsp01";

/// Where frames begin: after the format and the turn.
const FRAMES: u64 = 16;

/// Length and checksum before each frame. Where no frame follows, both are zero.
const PREFIX: usize = 8;

/// What tells whether anybody wrote.
type Tail = [u8; 24];

/// How much is read at once of frames of which it is not known where they end.
const CHUNK_BYTES: usize = 64 << 10;

/// What stands in the file, and whether anybody wrote since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// How often the database was written to since the file was made.
    turn: u64,
    /// How many bytes of frames are not in the database.
    end: u64,
    /// What stands behind them. Where there are none, it is the beginning of the file.
    tail: Tail,
}

impl Mark {
    /// Of a file without frames.
    pub(super) fn empty(turn: u64) -> Self {
        Self { turn, end: 0, tail: join(&[&MAGIC, &turn.to_le_bytes()]) }
    }

    pub(super) fn is_empty(self) -> bool {
        self.end == 0
    }

    pub(super) fn is_full(self) -> bool {
        self.end >= FULL_BYTES
    }

    /// What batches that follow state.
    pub(super) fn turn(self) -> u64 {
        self.turn
    }

    /// Where its tail stands.
    fn place(self) -> u64 {
        if self.is_empty() { 0 } else { FRAMES.saturating_add(self.end) }
    }
}

/// The tail that stands behind a batch.
fn tail_of(seal: &Digest) -> Tail {
    join(&[&[0; PREFIX], &seal.0])
}

/// The parts one after the other, as far as there is room, and zeros.
fn join(parts: &[&[u8]]) -> Tail {
    let mut tail = Tail::default();
    tail.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(byte, part)| *byte = *part);
    tail
}

/// One batch, as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Frame<'f> {
    turn: u64,
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
        spill.write(&Mark::empty(0).tail, 0)?;
        Ok(spill)
    }

    /// Whether nobody wrote since the mark was left.
    pub(super) fn holds(&self, mark: Mark) -> Result<bool, BackendError> {
        Ok(self.tail(mark.place())? == mark.tail)
    }

    /// The mark as it stands now, if no frame does.
    pub(super) fn empty(&self) -> Result<Option<Mark>, BackendError> {
        let (mark, waits) = self.beginning()?;
        Ok(Some(mark).filter(|_| !waits))
    }

    /// The mark of a file without frames, and whether there are any.
    fn beginning(&self) -> Result<(Mark, bool), BackendError> {
        let tail = self.tail(0)?;
        let [magic, turn, next] = [0, 8, 16].map(|from| number(&tail, from));
        let old = magic == u64::from_le_bytes(OLD_MAGIC);
        if old && next != 0 {
            let path = self.path.display();
            return Err(BackendError::Failed(format!(
                "its spill file `{path}` holds records in a format that no release wrote; open the ledger once with the \
                 version that wrote it"
            )));
        }
        // Zeros: the power was cut, or the program ended, between making and writing it.
        if !old && magic != u64::from_le_bytes(MAGIC) && tail != Tail::default() {
            return Err(self.foreign("is none"));
        }
        Ok((Mark { turn, end: 0, tail }, next != 0))
    }

    /// The bytes from here on; zeros where the file ends.
    fn tail(&self, at: u64) -> Result<Tail, BackendError> {
        let mut tail = Tail::default();
        let mut filled = 0;
        while let Some(rest) = tail.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read(rest, at.saturating_add(count(filled)))? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(tail)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<usize, BackendError> {
        loop {
            match self.file.read_at(bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| failed(&self.path, &error)),
            }
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

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), BackendError> {
        self.file.write_all_at(bytes, at).map_err(|error| failed(&self.path, &error))
    }

    /// Appends a frame with its tail.
    pub(super) fn append(&self, mark: Mark, frame: &[u8]) -> Result<Mark, BackendError> {
        self.write(frame, FRAMES.saturating_add(mark.end))?;
        let length = frame.len().saturating_sub(Tail::default().len());
        let tail = join(&[frame.get(length..).unwrap_or_default()]);
        Ok(Mark { turn: mark.turn, end: mark.end.saturating_add(count(length)), tail })
    }

    /// The database is about to be written to: nobody may go on from what he knows.
    pub(super) fn turn(&self, mark: Mark) -> Result<Mark, BackendError> {
        let turn = mark.turn.wrapping_add(1);
        if mark.is_empty() {
            return self.reset(turn);
        }
        let next = Mark { tail: join(&[&[0; PREFIX], &turn.to_le_bytes()]), ..mark };
        self.write(&next.tail, next.place())?;
        Ok(next)
    }

    /// Everything in it is in the database now.
    pub(super) fn settle(&self, mark: Mark) -> Result<Mark, BackendError> {
        if mark.is_empty() { Ok(mark) } else { self.reset(mark.turn.wrapping_add(1)) }
    }

    fn reset(&self, turn: u64) -> Result<Mark, BackendError> {
        let mark = Mark::empty(turn);
        self.write(&mark.tail, 0)?;
        Ok(mark)
    }

    /// Removes the bytes of what was taken into the database.
    pub(super) fn shrink(&self) -> Result<(), BackendError> {
        let cut = self.file.set_len(FRAMES).and_then(|()| self.file.sync_all());
        cut.map_err(|error| failed(&self.path, &error))
    }

    /// The frames up to a mark that holds.
    pub(super) fn frames(&self, mark: Mark) -> Result<Vec<u8>, BackendError> {
        let mut bytes = Vec::new();
        let end = usize::try_from(mark.end).unwrap_or(usize::MAX).min(MOST_BYTES);
        let mut rest = end;
        while rest > 0 && self.read_on(&mut bytes, rest)? {
            rest = end.saturating_sub(bytes.len());
        }
        Ok(bytes)
    }

    /// The frames, wherever they end, and the mark of that. Without the ledger's lock it holds only if nobody wrote
    /// meanwhile.
    pub(super) fn look(&self) -> Result<(Mark, Vec<u8>), BackendError> {
        let (mark, waits) = self.beginning()?;
        let (mut bytes, mut end) = (Vec::new(), 0);
        if !waits {
            return Ok((mark, bytes));
        }
        while bytes.len() < MOST_BYTES && self.read_on(&mut bytes, CHUNK_BYTES)? {
            while let Some((body, _)) = bytes.get(end..).and_then(next_body) {
                if !states(body, mark.turn) {
                    break;
                }
                end += PREFIX + body.len();
            }
            if !bytes.get(end..).is_none_or(is_cut) {
                break;
            }
        }
        bytes.truncate(end);
        if end == 0 {
            return Ok((mark, bytes));
        }
        let mark = Mark { end: count(end), ..mark };
        Ok((Mark { tail: self.tail(mark.place())?, ..mark }, bytes))
    }

    /// Reads at most so many bytes more of the frames; says whether there were any.
    fn read_on(&self, bytes: &mut Vec<u8>, most: usize) -> Result<bool, BackendError> {
        let before = bytes.len();
        bytes.resize(before.saturating_add(most), 0);
        let rest = bytes.get_mut(before..).unwrap_or_default();
        let read = self.read(rest, FRAMES.saturating_add(count(before)))?;
        bytes.truncate(before.saturating_add(read));
        Ok(read > 0)
    }
}

/// No frames that Placet wrote have more bytes; a file that does is read as far as this.
const MOST_BYTES: usize = 1 << 30;

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn number(bytes: &[u8], from: usize) -> u64 {
    bytes.get(from..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Whether a frame states this turn.
fn states(body: &[u8], turn: u64) -> bool {
    postcard::take_from_bytes(body).is_ok_and(|(stated, _): (u64, _)| stated == turn)
}

/// A buffer that takes what is serialised as a whole, not byte by byte.
struct Buffer(Vec<u8>);

impl Flavor for Buffer {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// The bytes of a batch in the file with the tail behind them, in a buffer that may have held others; `before` tells
/// what the database holds where the row was not spilled yet.
pub(super) fn frame<'f>(
    batch: &'f Batch,
    turn: u64,
    buffer: Vec<u8>,
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
        turn,
        entries: entries.collect(),
        rows: rows.collect(),
        origin: &head.origin,
        frontier: &frontier,
        chain: head.chain.0,
        time_us: head.time_us.0,
        seal: seal.0,
    };
    let mut bytes = buffer;
    bytes.clear();
    bytes.extend_from_slice(&[0; PREFIX]);
    let mut bytes = postcard::serialize_with_flavor(&frame, Buffer(bytes))
        .map_err(|error| BackendError::Failed(format!("a batch cannot be spilled: {error}")))?;
    let body = bytes.get(PREFIX..).unwrap_or_default();
    let length = u32::try_from(body.len())
        .map_err(|_| BackendError::Failed("a batch is past 4 GiB, and cannot be spilled".to_owned()))?;
    let prefix = u64::from(length) | u64::from(crc32fast::hash(body)) << 32;
    bytes.iter_mut().zip(prefix.to_le_bytes()).for_each(|(byte, part)| *byte = part);
    bytes.extend_from_slice(&tail_of(seal));
    Ok(bytes)
}

/// The batches of these bytes that follow a head, up to the first that is torn, of another turn or follows nothing.
pub(super) fn pending(mut bytes: &[u8], turn: u64, stored: &Head) -> Option<Pending> {
    let mut found: Option<Pending> = None;
    while let Some((frame, rest)) = next_frame(bytes).filter(|(frame, _)| frame.turn == turn) {
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
    let (body, rest) = next_body(bytes)?;
    Some((postcard::from_bytes(body).ok()?, rest))
}

/// The first frame without its prefix, if it is whole.
fn next_body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let prefix = number(prefix, 0);
    let (body, rest) = rest.split_at_checked(usize::try_from(prefix & u64::from(u32::MAX)).ok()?)?;
    (!body.is_empty() && prefix >> 32 == u64::from(crc32fast::hash(body))).then_some((body, rest))
}

/// Whether what follows may be a frame of which only the first bytes were read.
fn is_cut(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u32::from_le_bytes(*length));
    length.is_none_or(|length| {
        length > 0 && usize::try_from(length).is_ok_and(|length| length + PREFIX > bytes.len())
    })
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

    const TURN: u64 = 300;

    fn frames() -> (Head, Vec<u8>, StoredHead) {
        let start = Head::empty("log");
        let first = batch(&start, 3);
        let second = batch(&first.head.head, 2);
        let before = |row: &StateRow| (row.kind == "budget").then_some(Some("{\"old\":1}"));
        let mut bytes = frame(&first, TURN, vec![1; 9], before).unwrap();
        bytes.truncate(bytes.len() - Tail::default().len());
        bytes.extend(frame(&second, TURN, Vec::new(), |_| None).unwrap());
        (start, bytes, second.head)
    }

    #[test]
    fn what_is_written_is_read() {
        let (start, bytes, last) = frames();
        let found = pending(&bytes, TURN, &start).unwrap();
        assert_eq!((found.entries.len(), &found.head), (5, &last));
        assert_eq!(found.rows[0].before, Some(Some("{\"old\":1}".to_owned())));
        assert_eq!((found.rows[1].before.clone(), found.rows[1].body.clone()), (None, None));
        assert_eq!(found.entries[2].personal.len(), 2);
        // What the database has already is left out, and what does not follow it is not read.
        let half = batch(&start, 3).head.head;
        assert_eq!(pending(&bytes, TURN, &half).unwrap().entries.len(), 2);
        assert!(pending(&bytes, TURN, &last.head).is_none());
        assert!(pending(&bytes, TURN, &batch(&start, 1).head.head).is_none());
        assert!(pending(&bytes, TURN, &Head::empty("another log")).is_none());
        assert!(pending(&bytes, TURN + 1, &start).is_none(), "frames of an earlier turn");
    }

    fn made() -> (tempfile::TempDir, Spill) {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::make(&folder.path().join("spill")).unwrap();
        (folder, spill)
    }

    fn holding(spill: &Spill, marks: &[Mark]) -> Vec<bool> {
        marks.iter().map(|mark| spill.holds(*mark).unwrap()).collect()
    }

    #[test]
    fn a_mark_holds_until_anybody_writes() {
        let (_folder, spill) = made();
        let head = Head::empty("log");
        let empty = Mark::empty(0);
        assert_eq!(spill.empty().unwrap(), Some(empty));
        assert!(spill.holds(empty).unwrap());
        let first = batch(&head, 3);
        let one = spill.append(empty, &frame(&first, 0, Vec::new(), |_| None).unwrap()).unwrap();
        let second = frame(&batch(&first.head.head, 2), 0, Vec::new(), |_| None).unwrap();
        assert_eq!(holding(&spill, &[empty, one]), [false, true]);
        let two = spill.append(one, &second).unwrap();
        assert_eq!(holding(&spill, &[empty, one, two]), [false, false, true]);
        assert_eq!((spill.empty().unwrap(), spill.look().unwrap().0), (None, two));
        assert_eq!(spill.frames(two).unwrap(), spill.look().unwrap().1);
        let turned = spill.turn(two).unwrap();
        assert_eq!(holding(&spill, &[empty, one, two, turned]), [false, false, false, true]);
        assert_eq!(spill.look().unwrap(), (turned, spill.frames(two).unwrap()));
        let settled = spill.settle(turned).unwrap();
        assert_eq!(holding(&spill, &[empty, one, two, settled]), [false, false, false, true]);
        assert_eq!(spill.look().unwrap(), (settled, Vec::new()));
        // What was taken in stays in the file, and is not read again behind what is written over its beginning.
        let three = frame(&first, settled.turn(), Vec::new(), |_| None).unwrap();
        let three = spill.append(settled, &three).unwrap();
        assert_eq!(spill.look().unwrap().0, three);
        spill.shrink().unwrap();
        assert_eq!(spill.look().unwrap(), (Mark::empty(settled.turn()), Vec::new()));
    }

    /// A program that is killed while it appends leaves a part of a frame, or a frame without its tail.
    #[test]
    fn a_frame_counts_once_it_is_whole() {
        let (_folder, spill) = made();
        let bytes = frame(&batch(&Head::empty("log"), 3), 0, Vec::new(), |_| None).unwrap();
        let whole = bytes.len() - Tail::default().len();
        for stale in [0_u8, 7, 255] {
            for written in 0..=bytes.len() {
                spill.write(&vec![stale; bytes.len() + 30], FRAMES).unwrap();
                spill.write(&bytes[..written], FRAMES).unwrap();
                let (mark, found) = spill.look().unwrap();
                assert_eq!(found.len(), if written < whole { 0 } else { whole }, "{stale} {written}");
                assert!(spill.holds(mark).unwrap());
            }
        }
    }

    #[test]
    fn an_earlier_format_is_read_if_nothing_waits_in_it() {
        let (_folder, spill) = made();
        spill.write(&join(&[&OLD_MAGIC, &9_u64.to_le_bytes()]), 0).unwrap();
        let mark = spill.empty().unwrap().unwrap();
        assert_eq!(
            (spill.turn(mark).unwrap(), spill.empty().unwrap()),
            (Mark::empty(10), Some(Mark::empty(10)))
        );
        spill.write(&join(&[&OLD_MAGIC, &9_u64.to_le_bytes(), &[1]]), 0).unwrap();
        assert!(matches!(spill.look(), Err(BackendError::Failed(_))));
        spill.write(b"something of another program", 0).unwrap();
        assert!(matches!(spill.look(), Err(BackendError::Foreign(_))));
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
            let entries = pending(&bytes, TURN, &start).map_or(0, |found| found.entries.len());
            prop_assert!([0, 3, 5].contains(&entries));
        }

        #[test]
        fn no_foreign_bytes_make_it_fail(bytes: Vec<u8>) {
            prop_assert!(pending(&bytes, 0, &Head::empty("log")).is_none());
        }
    }
}
