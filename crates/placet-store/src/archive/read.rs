//! Reading an archive: alone, or beside the live log that it is of.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::io::BufReader;
use std::path::PathBuf;

use placet_audit::mirror::MirrorSource;
use placet_audit::verify::{EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredHead};

use super::{Archive, ArchiveError, ViewKeys};
use crate::mirrored::Files;

/// The segments of a log, from its first entry on. Views are opened with the keys that are given; those without a key
/// stay sealed.
pub struct ArchiveSource {
    lines: MirrorSource<BufReader<Files>>,
    keys: ViewKeys,
    /// Whether the keys of the log are here: then a view without one was erased.
    keyed: bool,
}

impl ArchiveSource {
    /// Opens the segments; without keys no view is opened.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn open(archive: &Archive, keys: Option<ViewKeys>) -> Result<Self, ArchiveError> {
        let paths: VecDeque<PathBuf> = archive.segments()?.into_iter().map(|segment| segment.path).collect();
        let files = || BufReader::new(Files::new(paths.clone(), None));
        let keyed = keys.as_ref().is_some_and(|keys| !keys.is_empty());
        Ok(Self { lines: MirrorSource::new(files(), files()), keys: keys.unwrap_or_default(), keyed })
    }

    fn opened(&self, mut entry: StoredEntry) -> StoredEntry {
        if let Some(sealed) = entry.sealed.take_if(|_| self.keyed) {
            match self.keys.open(entry.seq, &sealed) {
                Ok(view) => entry.view = view,
                Err(fault) => entry.fault = Some(fault.to_owned()),
            }
        }
        entry
    }
}

impl EntrySource for ArchiveSource {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        let next = self.lines.next_entry()?;
        Ok(next.map(|entry| self.opened(entry)))
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        self.lines.next_checkpoint()
    }
}

/// A live log, whose archived entries must be those of its archive, and have the views from there.
pub struct Joined<L> {
    live: L,
    archived: ArchiveSource,
}

impl<L: EntrySource> Joined<L> {
    /// A log and its archive, each from its beginning.
    pub fn new(live: L, archived: ArchiveSource) -> Self {
        Self { live, archived }
    }
}

impl<L: EntrySource> EntrySource for Joined<L> {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        let (live, archived) = (self.live.next_entry()?, self.archived.next_entry()?);
        let (mut live, archived) = match (live, archived) {
            (Some(live), Some(archived)) => (live, archived),
            (None, Some(archived)) => {
                let cause = "the archive holds it, and the ledger does not: the ledger was cut".to_owned();
                return Err(SourceError::Malformed { place: format!("entry {}", archived.seq), cause });
            }
            (live, None) => return Ok(live),
        };
        if live.seq != archived.seq || live.leaf != archived.leaf {
            live.fault = Some("it is not the record that was archived in its place".to_owned());
        } else if live.view.is_none() {
            live.view = archived.view;
            live.sealed = archived.sealed;
        }
        live.fault = live.fault.or(archived.fault);
        Ok(Some(live))
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        self.live.next_checkpoint()
    }

    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        self.live.head()
    }
}
