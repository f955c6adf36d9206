//! Segments of a log in files of their own: signed, complete, and readable without the ledger.
//!
//! A segment is a file in the mirror's format that ends with a checkpoint of its last entry. Views stand in it
//! encrypted, each under a key of its own, and the keys stand in the key folder: erasing a key erases the view in every
//! copy of the segment. Leaves are never taken out of the ledger: its state follows from all of them.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod read;
mod vault;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use placet_audit::mirror::{self, MirrorError};
use placet_audit::verify::{SourceError, StoredCheckpoint, StoredEntry};
use placet_audit::{leaf, view};
use placet_types::Micros;

use crate::keys::{KeyError, KeyFolder};
use crate::read::Reader;

pub use read::{ArchiveSource, Joined};
use vault::Vault;
pub use vault::ViewKeys;

/// Why a segment was not written, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file cannot be used.
    #[error("the archive `{path}` cannot be {action}: {cause}")]
    File {
        /// Which file or folder.
        path: String,
        /// `read` or `written`.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The folder holds other things than the segments of one log, one after another from the first entry.
    #[error("the archive `{path}` is not whole: {cause}")]
    NotWhole {
        /// Which folder.
        path: String,
        /// What is wrong.
        cause: String,
    },
    /// The keys of views cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The log cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An entry cannot be written.
    #[error("record {seq} cannot be archived: {cause}; run `placet audit verify`")]
    Entry {
        /// Which.
        seq: u64,
        /// Why.
        cause: MirrorError,
    },
    /// A view is not the recorded one.
    #[error("the view of record {0} is not the one that was recorded; run `placet audit verify`")]
    Edited(u64),
    /// There is no randomness for keys.
    #[error("the system gives no randomness: {0}; nothing was archived")]
    Random(String),
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its first entry.
    pub from: u64,
    /// The entry after its last one.
    pub to: u64,
    /// Its file.
    pub path: PathBuf,
}

/// The folder of a log's segments.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
    name: String,
}

impl Archive {
    /// The segments of this log in this folder, which is made on first use.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, origin: &str) -> Self {
        Self { folder: folder.into(), name: plain(origin) }
    }

    /// The segments in a folder that holds those of one log.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn of(folder: impl Into<PathBuf>) -> Result<Self, ArchiveError> {
        let folder = folder.into();
        let mut names: Vec<String> = files(&folder)?.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let cause = match names.pop() {
            Some(name) if names.is_empty() => return Ok(Self { folder, name }),
            Some(_) => "it holds segments of several logs; give each a folder of its own",
            None => "it holds no segment",
        };
        Err(ArchiveError::NotWhole { path: folder.display().to_string(), cause: cause.to_owned() })
    }

    /// The name of the log, as its files have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The segments, in order.
    ///
    /// # Errors
    /// [`ArchiveError::NotWhole`] where one is missing or two overlap.
    pub fn segments(&self) -> Result<Vec<Segment>, ArchiveError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let mut segments: Vec<Segment> = files(&self.folder)?
            .into_iter()
            .filter(|(name, _)| *name == self.name)
            .map(|(_, one)| one)
            .collect();
        segments.sort_by_key(|segment| segment.from);
        let mut next = 0;
        for segment in &segments {
            if segment.from != next {
                let cause = format!("`{}` should begin at entry {next}", segment.path.display());
                return Err(ArchiveError::NotWhole { path: self.folder.display().to_string(), cause });
            }
            next = segment.to;
        }
        Ok(segments)
    }

    /// Writes what is signed and not archived yet as one more segment; `None` when nothing is.
    ///
    /// # Errors
    /// [`ArchiveError`]; then there is no new segment.
    pub fn seal(&self, source: &mut dyn Reader, keys: &KeyFolder) -> Result<Option<Segment>, ArchiveError> {
        let from = self.segments()?.last().map_or(0, |segment| segment.to);
        let mut notes = Vec::new();
        while let Some(note) = source.next_checkpoint()? {
            notes.push(note);
        }
        let Some(to) = notes.last().map(|note| note.size).filter(|to| *to > from) else { return Ok(None) };
        notes.retain(|note| note.size > from);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|cause| failed(&self.folder, "written", cause))?;
        let path = self.folder.join(format!("{}.{from:012}-{to:012}.jsonl", self.name));
        let mut vault = Vault::new(&self.name, from, to);
        let draft = path.with_extension("new");
        let written = self.write(&draft, source, &notes, &mut vault);
        // The keys last before what they open: a segment without them would be worth nothing.
        let placed = written.and_then(|()| {
            vault.store(keys)?;
            fs::rename(&draft, &path).map_err(|cause| failed(&path, "written", cause))?;
            let folder = File::open(&self.folder).and_then(|folder| folder.sync_all());
            folder.map_err(|cause| failed(&self.folder, "written", cause))
        });
        if placed.is_err() {
            let _ = fs::remove_file(&draft);
        }
        placed.map(|()| Some(Segment { from, to, path }))
    }

    fn write(
        &self,
        path: &Path,
        source: &mut dyn Reader,
        notes: &[StoredCheckpoint],
        vault: &mut Vault,
    ) -> Result<(), ArchiveError> {
        let io = |cause| failed(path, "written", cause);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(io)?;
        let mut out = BufWriter::new(file);
        if let Some(before) = vault.from.checked_sub(1) {
            source.seek(before);
        }
        let mut notes = notes.iter().peekable();
        for seq in vault.from..vault.to {
            let missing =
                || SourceError::Malformed { place: format!("entry {seq}"), cause: "it is missing".into() };
            let entry = source.next_entry()?.filter(|entry| entry.seq == seq).ok_or_else(missing)?;
            let (line, time_us) = self.line(&entry, vault)?;
            writeln!(out, "{line}").map_err(io)?;
            while let Some(note) = notes.next_if(|note| note.size <= seq.saturating_add(1)) {
                let line = mirror::checkpoint_line(note.size, &note.note, time_us);
                let line = line.map_err(|cause| ArchiveError::Entry { seq, cause })?;
                writeln!(out, "{line}").map_err(io)?;
            }
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(io)
    }

    fn line(&self, entry: &StoredEntry, vault: &mut Vault) -> Result<(String, Micros), ArchiveError> {
        let failed = |cause| ArchiveError::Entry { seq: entry.seq, cause };
        let record = leaf::decode(&entry.leaf).map_err(|error| failed(error.into()))?;
        let line = match &entry.view {
            None => mirror::entry_line(entry.seq, &entry.leaf, None, None),
            Some(text) if record.view != Some(view::digest(text)) => {
                return Err(ArchiveError::Edited(entry.seq));
            }
            Some(text) => {
                let sealed = vault.seal(entry.seq, text).map_err(ArchiveError::Random)?;
                mirror::sealed_line(entry.seq, &entry.leaf, &sealed)
            }
        };
        Ok((line.map_err(failed)?, record.time_us))
    }
}

/// The segments of any log in a folder.
fn files(folder: &Path) -> Result<Vec<(String, Segment)>, ArchiveError> {
    let listed = fs::read_dir(folder).map_err(|cause| failed(folder, "read", cause))?;
    let mut found = Vec::new();
    for file in listed {
        let path = file.map_err(|cause| failed(folder, "read", cause))?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl"));
        found.extend(
            name.and_then(parts).map(|(name, from, to)| (name, Segment { from, to, path: path.clone() })),
        );
    }
    Ok(found)
}

/// `NAME.FROM-TO`.
fn parts(stem: &str) -> Option<(String, u64, u64)> {
    let (name, range) = stem.rsplit_once('.')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then(|| (name.to_owned(), from, to))
}

/// An origin in a file's name.
fn plain(origin: &str) -> String {
    origin.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn failed(path: &Path, action: &'static str, cause: io::Error) -> ArchiveError {
    ArchiveError::File { path: path.display().to_string(), action, cause }
}
