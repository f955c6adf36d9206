//! The spill file of an SQLite ledger: batches that need not outlive a power cut, before they are in the database.
//!
//! A commit of the database writes whole pages under several locks, which takes tens of microseconds. A batch that is
//! only `written` is appended here instead, with the cached rows that it changes, which is one small write: it survives
//! the end of the process as the database's would. Whoever next begins a transaction in the database takes it in; the
//! signing of a checkpoint, each second, is one.
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

use super::frame::{PREFIX, Tail, is_cut, join, next_body, number, states};
use super::window::{WINDOW_BYTES, Window};
use super::zeros::{append_zeros, fill_with_zeros};
use crate::backend::BackendError;

/// With so many bytes in it, the file is taken into the database by the next commit.
pub(super) const FULL_BYTES: u64 = 1 << 20;

/// When so many are taken in at once, the ledger is busy enough for a file that can be written to as memory.
const BUSY_BYTES: u64 = 64 << 10;

/// The format of the file.
const MAGIC: [u8; 8] = *b"plctsp03";

/// Formats of which no release read more than that nothing waits.
const OLD_MAGICS: [[u8; 8]; 2] = [*b"plctsp01", *b"plctsp02"];

/// Where frames begin: after the format and the turn.
const FRAMES: u64 = 16;

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

/// The file, opened.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: File,
    window: Option<Window>,
}

impl Spill {
    /// Opens the file of a ledger, if there is one.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, BackendError> {
        let spill = Self::open_with(OpenOptions::new().read(true).write(true), path)?;
        Ok(spill.map(|spill| Self { window: Window::of(&spill.file), ..spill }))
    }

    /// Opens the file for reading alone, if there is one.
    pub(super) fn open_to_read(path: &Path) -> Result<Option<Self>, BackendError> {
        Self::open_with(OpenOptions::new().read(true), path)
    }

    fn open_with(options: &OpenOptions, path: &Path) -> Result<Option<Self>, BackendError> {
        match options.open(path) {
            Ok(file) => Ok(Some(Self { path: path.to_owned(), file, window: None })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path, &error)),
        }
    }

    /// Makes the file. The ledger's lock is held.
    pub(super) fn make(path: &Path) -> Result<Self, BackendError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(|error| failed(path, &error))?;
        let spill = Self { path: path.to_owned(), file, window: None };
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
        let old = OLD_MAGICS.into_iter().any(|old| magic == u64::from_le_bytes(old));
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
        if self.window.as_ref().is_some_and(|window| window.read(bytes, at)) {
            return Ok(bytes.len());
        }
        loop {
            match self.file.read_at(bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| failed(&self.path, &error)),
            }
        }
    }

    /// Refuses a file that was replaced, removed or cut while it was in use.
    pub(super) fn check_in_place(&self) -> Result<(), BackendError> {
        let file = self.file.metadata().map_err(|error| failed(&self.path, &error))?;
        if file.nlink() == 0 {
            return Err(self.foreign("was removed while it was in use"));
        }
        if self.window.is_some() && file.len() < WINDOW_BYTES {
            return Err(self.foreign("was cut while it was in use"));
        }
        Ok(())
    }

    fn foreign(&self, what: &str) -> BackendError {
        BackendError::Foreign(format!("its spill file `{}` {what}", self.path.display()))
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), BackendError> {
        if self.window.as_ref().is_some_and(|window| window.write(bytes, at)) {
            return Ok(());
        }
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

    /// Everything in it is in the database now. The ledger's lock is held.
    pub(super) fn settle(&mut self, mark: Mark) -> Result<Mark, BackendError> {
        if mark.is_empty() {
            return Ok(mark);
        }
        if mark.end >= BUSY_BYTES && self.window.is_none() {
            // Where there is no room for it, there may be room for records.
            let _ = append_zeros(&self.file, WINDOW_BYTES);
            self.window = Window::of(&self.file);
        }
        self.reset(mark.turn.wrapping_add(1))
    }

    fn reset(&self, turn: u64) -> Result<Mark, BackendError> {
        let mark = Mark::empty(turn);
        self.write(&mark.tail, 0)?;
        Ok(mark)
    }

    /// Removes the bytes of what was taken into the database. What others may have mapped stays, as zeros.
    pub(super) fn clear(&self) -> Result<(), BackendError> {
        let clear = || {
            let large = self.file.metadata()?.len() >= WINDOW_BYTES;
            let end = if large { WINDOW_BYTES } else { FRAMES };
            self.file.set_len(end)?;
            fill_with_zeros(&self.file, FRAMES, end)?;
            self.file.sync_all()
        };
        clear().map_err(|error| failed(&self.path, &error))
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

fn failed(path: &Path, error: &io::Error) -> BackendError {
    let named = path.display();
    BackendError::Failed(format!(
        "its spill file `{named}` fails ({error}); let this user write to it, and make room on its disk"
    ))
}

#[cfg(test)]
mod tests {
    use placet_audit::seal::Head;

    use super::super::frame::tests::batch;
    use super::*;
    use crate::backend::Batch;

    fn frame(batch: &Batch, turn: u64) -> Vec<u8> {
        super::super::frame::frame(batch, turn, Vec::new(), |_| None).unwrap()
    }

    fn made() -> (tempfile::TempDir, Spill) {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::make(&folder.path().join("spill")).unwrap();
        (folder, spill)
    }

    /// One that is written to as memory.
    fn made_large() -> (tempfile::TempDir, Spill) {
        let (folder, spill) = made();
        append_zeros(&spill.file, WINDOW_BYTES).unwrap();
        let spill = Spill::open(&spill.path).unwrap().unwrap();
        assert!(spill.window.is_some() || !cfg!(target_os = "linux"));
        (folder, spill)
    }

    fn holding(spill: &Spill, marks: &[Mark]) -> Vec<bool> {
        marks.iter().map(|mark| spill.holds(*mark).unwrap()).collect()
    }

    #[test]
    fn a_mark_holds_until_anybody_writes() {
        for (_folder, mut spill) in [made(), made_large()] {
            marks_hold(&mut spill);
        }
    }

    fn marks_hold(spill: &mut Spill) {
        let head = Head::empty("log");
        let empty = Mark::empty(0);
        assert_eq!(spill.empty().unwrap(), Some(empty));
        assert!(spill.holds(empty).unwrap());
        let first = batch(&head, 3);
        let one = spill.append(empty, &frame(&first, 0)).unwrap();
        let second = frame(&batch(&first.head.head, 2), 0);
        assert_eq!(holding(spill, &[empty, one]), [false, true]);
        let two = spill.append(one, &second).unwrap();
        assert_eq!(holding(spill, &[empty, one, two]), [false, false, true]);
        assert_eq!((spill.empty().unwrap(), spill.look().unwrap().0), (None, two));
        assert_eq!(spill.frames(two).unwrap(), spill.look().unwrap().1);
        let turned = spill.turn(two).unwrap();
        assert_eq!(holding(spill, &[empty, one, two, turned]), [false, false, false, true]);
        assert_eq!(spill.look().unwrap(), (turned, spill.frames(two).unwrap()));
        let settled = spill.settle(turned).unwrap();
        assert_eq!(holding(spill, &[empty, one, two, settled]), [false, false, false, true]);
        assert_eq!(spill.look().unwrap(), (settled, Vec::new()));
        // What was taken in stays in the file, and is not read again behind what is written over its beginning.
        let three = frame(&first, settled.turn());
        let three = spill.append(settled, &three).unwrap();
        assert_eq!(spill.look().unwrap().0, three);
        spill.clear().unwrap();
        assert_eq!(spill.look().unwrap(), (Mark::empty(settled.turn()), Vec::new()));
    }

    /// A program that is killed while it appends leaves a part of a frame, or a frame without its tail.
    #[test]
    fn a_frame_counts_once_it_is_whole() {
        for (_folder, spill) in [made(), made_large()] {
            frames_count_once_whole(&spill);
        }
    }

    fn frames_count_once_whole(spill: &Spill) {
        let bytes = frame(&batch(&Head::empty("log"), 3), 0);
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
        for old in OLD_MAGICS {
            spill.write(&join(&[&old, &9_u64.to_le_bytes()]), 0).unwrap();
            let mark = spill.empty().unwrap().unwrap();
            assert_eq!(
                (spill.turn(mark).unwrap(), spill.empty().unwrap()),
                (Mark::empty(10), Some(Mark::empty(10)))
            );
            spill.write(&join(&[&old, &9_u64.to_le_bytes(), &[1]]), 0).unwrap();
            assert!(matches!(spill.look(), Err(BackendError::Failed(_))));
        }
        spill.write(b"something of another program", 0).unwrap();
        assert!(matches!(spill.look(), Err(BackendError::Foreign(_))));
    }
}
