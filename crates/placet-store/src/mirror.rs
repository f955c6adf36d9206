//! The JSONL mirror beside a ledger: every commit in order, one object a line.
//!
//! It is written by whoever holds the lock of the head. It may lag after a crash, and is then brought up from the log;
//! nothing is ever read from it but where it stands.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use placet_audit::leaf;
use placet_audit::mirror::{self, Line, MirrorError};
use placet_types::{Fact, Record};

use crate::backend::{BackendError, Batch, Erase, Link};

/// How many entries are read at once while a mirror is brought up.
const CHUNK: usize = 1_000;

/// How much of the file's end is read at first to find its last entry.
const TAIL_BYTES: u64 = 64 << 10;

/// A mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    path: PathBuf,
    /// The next entry and the length of the file, when they are known.
    stands: Option<(u64, u64)>,
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
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, stands: None }
    }

    /// Adds a committed batch.
    pub(crate) fn follow<L: Link>(&mut self, link: &mut L, batch: &Batch) -> Result<(), MirrorFailure> {
        let followed = self.try_follow(link, batch);
        if followed.is_err() {
            self.stands = None;
        }
        followed
    }

    fn try_follow<L: Link>(&mut self, link: &mut L, batch: &Batch) -> Result<(), MirrorFailure> {
        let size = batch.head.head.size();
        let mut file = self.open()?;
        let length = self.io(file.metadata())?.len();
        let first = batch.entries.first().map_or(size, |entry| entry.seq);
        if self.stands == Some((first, length)) {
            let mut lines = Vec::new();
            for entry in &batch.entries {
                let line = mirror::entry_line(entry.seq, entry.leaf.as_bytes(), entry.view.as_deref(), None)?;
                put(&mut lines, &line);
            }
            self.write(&mut file, &lines)?;
        } else {
            let next = self.repair(&mut file, link)?;
            let erased = self.bring_up(&mut file, link, next, size)?;
            if !erased.is_empty() {
                file = self.erase(&erased)?;
            }
        }
        if let Some((size, note)) = &batch.note {
            let mut line = Vec::new();
            put(&mut line, &mirror::checkpoint_line(*size, note, batch.head.head.time_us)?);
            self.write(&mut file, &line)?;
        }
        if !batch.erase.is_empty() {
            file = self.erase(&batch.erase)?;
        }
        self.stands = Some((size, self.io(file.metadata())?.len()));
        Ok(())
    }

    /// Moves a mirror away that holds what the log does not; says where to. The log is mirrored anew.
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
        let away = |count: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".before-rollback-{size}-{count}"));
            PathBuf::from(name)
        };
        let free = (1..=u32::MAX).map(away).find(|path| !path.exists()).unwrap_or_else(|| away(0));
        self.io(fs::rename(&self.path, &free))?;
        Ok(Some(free))
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
        let length = self.io(file.metadata())?.len();
        let mut span = TAIL_BYTES;
        loop {
            let start = length.saturating_sub(span);
            let mut tail = Vec::new();
            self.io(file.seek(SeekFrom::Start(start)))?;
            self.io(file.take(span).read_to_end(&mut tail))?;
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
            let text = tail.get(..whole).unwrap_or_default();
            let lines = text.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty());
            // The first line of a span that does not begin the file may be half a line, and then does not decode.
            let last = lines.filter_map(|line| mirror::decode(std::str::from_utf8(line).ok()?).ok());
            let last = last.filter_map(|line| match line {
                Line::Entry(entry) => Some(entry),
                Line::Checkpoint(_) => None,
            });
            let Some(entry) = last.into_iter().next() else {
                if start > 0 {
                    span = span.saturating_mul(4);
                    continue;
                }
                if whole > 0 || !begun(link, &tail)? {
                    return Err(self.foreign());
                }
                self.io(file.set_len(0))?;
                return Ok(0);
            };
            self.io(file.set_len(start.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX))))?;
            let mut same = false;
            link.leaves(entry.seq, &mut |seq, leaf| {
                same = seq == entry.seq && leaf == entry.leaf;
                false
            })?;
            return if same { Ok(entry.seq.saturating_add(1)) } else { Err(self.foreign()) };
        }
    }

    fn foreign(&self) -> MirrorFailure {
        MirrorFailure::Foreign { path: self.path.display().to_string() }
    }

    /// Writes the entries that it lacks. What erasures among them erased stands in lines before them.
    fn bring_up<L: Link>(
        &self,
        file: &mut File,
        link: &mut L,
        mut next: u64,
        size: u64,
    ) -> Result<Vec<Erase>, MirrorFailure> {
        let mut erased = Vec::new();
        while next < size {
            let mut leaves = Vec::new();
            link.leaves(next, &mut |seq, leaf| {
                leaves.push((seq, leaf.to_vec()));
                leaves.len() < CHUNK && seq.saturating_add(1) < size
            })?;
            let mut lines = Vec::new();
            let before = next;
            for (seq, leaf) in leaves {
                put(&mut lines, &mirror::entry_line(seq, &leaf, link.view(seq)?.as_deref(), None)?);
                if let Ok(Record { fact: Fact::Erasure(fact), .. }) = leaf::decode(&leaf) {
                    erased.extend(
                        fact.records.iter().map(|seq| Erase { seq: *seq, fields: fact.fields.clone() }),
                    );
                }
                next = seq.saturating_add(1);
            }
            if next == before {
                return Err(self.foreign());
            }
            self.write(file, &lines)?;
        }
        Ok(erased)
    }

    /// Writes the file anew without what was erased.
    fn erase(&self, erased: &[Erase]) -> Result<File, MirrorFailure> {
        let gone: std::collections::BTreeSet<u64> =
            erased.iter().filter(|erase| erase.fields.is_empty()).map(|erase| erase.seq).collect();
        let mut draft = self.path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let mut options = OpenOptions::new();
        let out = self.io(options.write(true).create(true).truncate(true).mode(0o600).open(&draft))?;
        let mut out = BufWriter::new(out);
        for line in BufReader::new(self.open()?).lines() {
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
        self.io(fs::rename(&draft, &self.path))?;
        self.open()
    }
}

/// Whether a text without a line end is the beginning of a mirror, and not a file of somebody else.
fn begun<L: Link>(link: &mut L, torn: &[u8]) -> Result<bool, MirrorFailure> {
    let mut first = None;
    link.leaves(0, &mut |_, leaf| {
        first = Some(leaf.to_vec());
        false
    })?;
    let Some(leaf) = first else { return Ok(torn.is_empty()) };
    Ok(mirror::entry_line(0, &leaf, link.view(0)?.as_deref(), None)?.as_bytes().starts_with(torn))
}

fn put(lines: &mut Vec<u8>, line: &str) {
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
}
