//! The JSONL mirror beside a ledger: every commit in order, one object a line.
//!
//! It is written by whoever holds the lock of the head. It may lag after a crash, and is then brought up from the log;
//! nothing is ever read from it but where it stands. A file that is full gets the name of its first entry, and another
//! begins ([`crate::mirrored`]).
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use placet_audit::leaf;
use placet_audit::mirror::{self, Line, MirrorError};
use placet_types::{Fact, Micros, Record};

use crate::backend::{BackendError, Batch, Erase, Link};
use crate::mirrored::{MirrorRotation, Rotated, rotated, rotated_path};

/// How many entries are read at once while a mirror is brought up.
const CHUNK: usize = 1_000;

/// How much of the file's end is read at first to find its last entry.
const TAIL_BYTES: u64 = 64 << 10;

/// A mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
    rotation: MirrorRotation,
    /// The next entry and the length of the file, when they are known.
    stands: Option<(u64, u64)>,
    /// The first entry of the file and its time, when they are known.
    began: Option<(u64, Micros)>,
}

/// Why a mirror could not be written. The ledger is complete without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorFailure {
    #[error("the mirror `{path}` cannot be written: {cause}; it is brought up with the next commit")]
    File { path: String, cause: io::Error },
    #[error("the mirror `{path}` is of another log, or was edited; move it away and it is written anew")]
    Foreign { path: String },
    #[error(transparent)]
    Line(#[from] MirrorError),
    #[error(transparent)]
    Log(#[from] BackendError),
}

impl Mirror {
    pub(crate) fn new(path: PathBuf, rotation: MirrorRotation) -> Self {
        Self { path, rotation, stands: None, began: None }
    }

    /// Adds a committed batch.
    pub(crate) fn follow<L: Link>(&mut self, link: &mut L, batch: &Batch) -> Result<(), MirrorFailure> {
        let followed = self.try_follow(link, batch);
        if followed.is_err() {
            (self.stands, self.began) = (None, None);
        }
        followed
    }

    fn try_follow<L: Link>(&mut self, link: &mut L, batch: &Batch) -> Result<(), MirrorFailure> {
        let size = batch.head.head.size();
        let mut file = self.open()?;
        let length = self.io(file.metadata())?.len();
        let first = batch.entries.first().map_or(size, |entry| entry.seq);
        if self.stands == Some((first, length)) {
            // What was erased goes before the line that says so: then that line stands for it, whatever happens.
            if !batch.erase.is_empty() {
                file = self.erase(&batch.erase)?;
            }
            let mut lines = Vec::new();
            for entry in &batch.entries {
                let line = mirror::entry_line(entry.seq, entry.leaf.as_bytes(), entry.view.as_deref(), None)?;
                put(&mut lines, &line);
            }
            if !batch.entries.is_empty() {
                file = self.make_room(file, first, batch.head.head.time_us)?;
            }
            self.write(&mut file, &lines)?;
        } else {
            self.began = None;
            let next = self.repair(&mut file, link)?;
            file = self.bring_up(file, link, next, size)?;
            if !batch.erase.is_empty() {
                file = self.erase(&batch.erase)?;
            }
        }
        if let Some((size, note)) = &batch.note {
            let mut line = Vec::new();
            put(&mut line, &mirror::checkpoint_line(*size, note, batch.head.head.time_us)?);
            self.write(&mut file, &line)?;
        }
        self.stands = Some((size, self.io(file.metadata())?.len()));
        Ok(())
    }

    /// Moves a mirror away, with the files that were full before it, that holds what the log does not; says where to.
    /// The log is mirrored anew.
    pub(crate) fn set_aside<L: Link>(
        &mut self,
        link: &mut L,
        size: u64,
    ) -> Result<Option<PathBuf>, MirrorFailure> {
        let mut file = self.open()?;
        match self.repair(&mut file, link) {
            Err(MirrorFailure::Foreign { .. }) => {}
            other => return other.map(|_| None),
        }
        self.stands = None;
        self.began = None;
        let away = |path: &Path, count: u32| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".before-rollback-{size}-{count}"));
            PathBuf::from(name)
        };
        let is_free = |count: &u32| !away(&self.path, *count).exists();
        let count = (1..=u32::MAX).find(is_free).unwrap_or_default();
        for full in self.io(rotated(&self.path))? {
            self.io(fs::rename(&full.path, away(&full.path, count)))?;
        }
        let free = away(&self.path, count);
        self.io(fs::rename(&self.path, &free))?;
        Ok(Some(free))
    }

    /// Puts the file aside if it is full, before an entry with this position and time is added to it.
    fn make_room(&mut self, file: File, next: u64, time: Micros) -> Result<File, MirrorFailure> {
        if self.rotation == MirrorRotation::default() {
            return Ok(file);
        }
        if self.began.is_none() {
            self.began = self.io(first_entry(&self.path))?;
        }
        let Some((first, began)) = self.began else {
            self.began = Some((next, time));
            return Ok(file);
        };
        let MirrorRotation { max_bytes, max_age_seconds } = self.rotation;
        let age = u64::try_from(time.0.saturating_sub(began.0)).unwrap_or(0);
        let is_old = max_age_seconds.is_some_and(|most| age >= most.get().saturating_mul(1_000_000));
        let length = self.io(file.metadata())?.len();
        if !is_old && max_bytes.is_none_or(|most| length < most.get()) {
            return Ok(file);
        }
        // The ledger is the truth, but what stands in a full file is not looked at again.
        self.io(file.sync_data())?;
        self.io(fs::rename(&self.path, rotated_path(&self.path, first)))?;
        self.began = Some((next, time));
        self.open()
    }

    fn open(&self) -> Result<File, MirrorFailure> {
        let mut options = OpenOptions::new();
        self.io(options.read(true).append(true).create(true).mode(0o600).open(&self.path))
    }

    fn io<T>(&self, result: io::Result<T>) -> Result<T, MirrorFailure> {
        result.map_err(|cause| MirrorFailure::File { path: self.path.display().to_string(), cause })
    }

    fn write(&self, file: &mut File, lines: &[u8]) -> Result<(), MirrorFailure> {
        self.io(file.write_all(lines))
    }

    /// Cuts a torn line off and tells which entry comes next.
    fn repair<L: Link>(&self, file: &mut File, link: &mut L) -> Result<u64, MirrorFailure> {
        let (mut last, whole) = self.io(last_entry(file))?;
        let length = self.io(file.metadata())?.len();
        if last.is_none() && whole > 0 && !self.io(holds_checkpoints_only(file, whole))? {
            return Err(self.foreign());
        }
        // A file that was just begun goes on where the one before it ends.
        let has_entries = last.is_some();
        let full = self.io(rotated(&self.path))?;
        for before in full.iter().rev() {
            if last.is_some() {
                break;
            }
            let mut before = self.io(File::open(&before.path))?;
            last = self.io(last_entry(&mut before))?.0;
        }
        let mut next = 0;
        if let Some((seq, leaf)) = last {
            let mut same = false;
            link.leaves(seq, &mut |stored, other| {
                same = seq == stored && leaf == other;
                false
            })?;
            if !same {
                return Err(self.foreign());
            }
            next = seq.saturating_add(1);
        }
        if whole < length {
            if !has_entries && whole == 0 && !begins_line(link, next, file)? {
                return Err(self.foreign());
            }
            self.io(file.set_len(whole))?;
        }
        Ok(next)
    }

    fn foreign(&self) -> MirrorFailure {
        MirrorFailure::Foreign { path: self.path.display().to_string() }
    }

    /// Writes the entries that it lacks. What erasures among them erased stands in lines before them.
    fn bring_up<L: Link>(
        &mut self,
        mut file: File,
        link: &mut L,
        mut next: u64,
        size: u64,
    ) -> Result<File, MirrorFailure> {
        while next < size {
            let mut leaves = Vec::new();
            link.leaves(next, &mut |seq, leaf| {
                leaves.push((seq, leaf.to_vec()));
                leaves.len() < CHUNK && seq.saturating_add(1) < size
            })?;
            let (mut lines, mut erased, mut time) = (Vec::new(), Vec::new(), None);
            let before = next;
            for (seq, leaf) in leaves {
                put(&mut lines, &mirror::entry_line(seq, &leaf, link.view(seq)?.as_deref(), None)?);
                if let Ok(record) = leaf::decode(&leaf) {
                    time = time.or(Some(record.time_us));
                    erased.extend(erasures(&record));
                }
                next = seq.saturating_add(1);
            }
            if next == before {
                return Err(self.foreign());
            }
            if !erased.is_empty() {
                file = self.erase(&erased)?;
            }
            file = self.make_room(file, before, time.unwrap_or_default())?;
            self.write(&mut file, &lines)?;
        }
        Ok(file)
    }

    /// Writes the files anew that hold something that was erased.
    fn erase(&self, erased: &[Erase]) -> Result<File, MirrorFailure> {
        let gone: BTreeSet<u64> =
            erased.iter().filter(|erase| erase.fields.is_empty()).map(|erase| erase.seq).collect();
        let full = self.io(rotated(&self.path))?;
        let ends = full.iter().skip(1).map(|file| file.first).chain(std::iter::once(u64::MAX));
        for (Rotated { first, path }, end) in full.iter().zip(ends) {
            if gone.range(*first..end).next().is_some() {
                self.erase_in(path, &gone)?;
            }
        }
        self.erase_in(&self.path, &gone)?;
        self.open()
    }

    fn erase_in(&self, path: &Path, gone: &BTreeSet<u64>) -> Result<(), MirrorFailure> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let mut options = OpenOptions::new();
        let out = self.io(options.write(true).create(true).truncate(true).mode(0o600).open(&draft))?;
        let mut out = BufWriter::new(out);
        for line in BufReader::new(self.io(File::open(path))?).lines() {
            let line = self.io(line)?;
            let line = match mirror::decode(&line) {
                Ok(Line::Entry(entry)) if gone.contains(&entry.seq) => {
                    mirror::entry_line(entry.seq, &entry.leaf, None, None)?
                }
                _ => line,
            };
            self.io(writeln!(out, "{line}"))?;
        }
        let out = out.into_inner().map_err(io::IntoInnerError::into_error);
        self.io(out.and_then(|out| out.sync_all()))?;
        self.io(fs::rename(&draft, path))
    }
}

/// Whether a text without a line end is the beginning of a line of a mirror, and not a file of somebody else.
fn begins_line<L: Link>(link: &mut L, next: u64, file: &mut File) -> Result<bool, MirrorFailure> {
    let mut leaf = None;
    link.leaves(next, &mut |seq, stored| {
        leaf = (seq == next).then(|| stored.to_vec());
        false
    })?;
    let mut lines = vec![CHECKPOINT_START.to_owned()];
    if let Some(leaf) = leaf {
        lines.push(mirror::entry_line(next, &leaf, link.view(next)?.as_deref(), None)?);
    }
    let mut torn = Vec::new();
    let longest = lines.iter().map(String::len).max().unwrap_or_default();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| {
        file.take(u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut torn)
    });
    read.map_err(|cause| MirrorFailure::File { path: "the mirror".to_owned(), cause })?;
    let is_checkpoint = torn.starts_with(CHECKPOINT_START.as_bytes());
    Ok(is_checkpoint || lines.iter().any(|line| line.as_bytes().starts_with(&torn)))
}

/// How the line of a checkpoint begins.
const CHECKPOINT_START: &str = "{\"event\":\"checkpoint\",";

/// What a record says was erased.
fn erasures(record: &Record) -> Vec<Erase> {
    match &record.fact {
        Fact::Erasure(fact) => {
            fact.records.iter().map(|seq| Erase { seq: *seq, fields: fact.fields.clone() }).collect()
        }
        _ => Vec::new(),
    }
}

/// The position and the leaf of an entry.
type Last = (u64, Vec<u8>);

/// The last entry of a file, if it has one, and how long its whole lines are.
fn last_entry(file: &mut File) -> io::Result<(Option<Last>, u64)> {
    let length = file.metadata()?.len();
    let mut span = TAIL_BYTES;
    loop {
        let start = length.saturating_sub(span);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(span).read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let text = tail.get(..whole).unwrap_or_default();
        let mut lines = text.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty());
        // The first line of a span that does not begin the file may be half a line, and then does not decode.
        let last = lines.find_map(|line| match mirror::decode(std::str::from_utf8(line).ok()?).ok()? {
            Line::Entry(entry) => Some((entry.seq, entry.leaf)),
            Line::Checkpoint(_) => None,
        });
        if last.is_some() || start == 0 {
            return Ok((last, start.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX))));
        }
        span = span.saturating_mul(4);
    }
}

/// Whether the first lines of a file, this long, are checkpoints: it was just begun.
fn holds_checkpoints_only(file: &mut File, length: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    for line in BufReader::new(file.take(length)).lines() {
        if !matches!(mirror::decode(&line?), Ok(Line::Checkpoint(_))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first entry of a file and its time.
fn first_entry(path: &Path) -> io::Result<Option<(u64, Micros)>> {
    for line in BufReader::new(File::open(path)?).lines() {
        if let Ok(Line::Entry(entry)) = mirror::decode(&line?) {
            return Ok(leaf::decode(&entry.leaf).ok().map(|record| (entry.seq, record.time_us)));
        }
    }
    Ok(None)
}

fn put(lines: &mut Vec<u8>, line: &str) {
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
}
