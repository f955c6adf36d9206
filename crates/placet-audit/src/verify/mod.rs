//! Verifying a log offline: what promise 8 of the design says, and no more.
//!
//! Any change to records that a signed checkpoint covers is found, and the first bad record named, or the entries
//! among which it is where hashes were made to fit. Entries after the last checkpoint are reported as unsigned.
//! Whether the end was cut off, or the whole log exchanged by someone who holds the signing key, can be told only
//! with a checkpoint from elsewhere. Keys come from the caller, never from the log.
//!
//! Memory does not grow with the log, but with what is open or erased in it.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod entry;
mod references;
mod report;
mod source;

use placet_types::{Digest, Micros};

use crate::chain;
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::keys::VerifierKey;
use crate::tree::Frontier;

use entry::Erased;
use references::References;
pub use report::{
    Code, Erasure, Finding, Interval, KeyChange, MAX_LISTED, Report, Rollback, Truncation, Unknown,
};
pub use source::{EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredField, StoredHead};

/// Why a log could not be verified at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The log cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outside checkpoint is not believed.
    #[error("the checkpoint from elsewhere is not believed: {0}")]
    From(#[source] CheckpointError),
    /// No key was given.
    #[error("no key was given; give the log's public key, obtained from elsewhere than the log")]
    NoKey,
}

/// Verifies a log under keys of the caller, against a signed checkpoint from elsewhere if there is one.
///
/// # Errors
/// [`VerifyError`]: nothing was learned about the log.
pub fn verify(
    source: &mut dyn EntrySource,
    keys: &[VerifierKey],
    from: Option<&str>,
) -> Result<Report, VerifyError> {
    if keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    let from = from.map(|note| checkpoint::verify(note, keys)).transpose().map_err(VerifyError::From)?;
    let mut run = Run::new(keys, from);
    let complete = run.walk(source)?;
    run.finish(source, complete)
}

/// The tree and chain over one reading of the entries.
#[derive(Clone, Default)]
struct Track {
    frontier: Frontier,
    chain: Option<Digest>,
}

impl Track {
    fn push(&mut self, leaf: Digest) {
        self.chain = Some(chain::next(&self.chain(), &leaf));
        self.frontier.push(leaf);
    }

    fn chain(&self) -> Digest {
        self.chain.unwrap_or(chain::START)
    }
}

struct Run<'a> {
    keys: &'a [VerifierKey],
    from: Option<Checkpoint>,
    report: Report,
    /// Over the leaves as they are.
    computed: Track,
    /// Over the hashes stored beside them. If a checkpoint fits this one, the named leaves are all that was edited.
    stored: Track,
    references: References,
    erased: Erased,
    time_us: Option<Micros>,
}

impl<'a> Run<'a> {
    fn new(keys: &'a [VerifierKey], from: Option<Checkpoint>) -> Self {
        let report = Report {
            ok: false,
            origin: from.as_ref().map(|checkpoint| checkpoint.origin.to_string()),
            entries: 0,
            root: crate::tree::empty_root(),
            signed: 0,
            unsigned: None,
            checkpoints: 0,
            truncation: Truncation::NotCheckable,
            first_bad: None,
            findings: Vec::new(),
            findings_total: 0,
            unknown: Vec::new(),
            unknown_total: 0,
            erased: 0,
            sealed: 0,
            erasures: Vec::new(),
            key_changes: Vec::new(),
            rollbacks: Vec::new(),
            unsigned_erasures: Vec::new(),
            last_checkpoint: None,
        };
        Self {
            keys,
            from,
            report,
            computed: Track::default(),
            stored: Track::default(),
            references: References::default(),
            erased: Erased::default(),
            time_us: None,
        }
    }

    fn find(&mut self, code: Code, at: Interval, message: impl Into<String>) {
        self.report.findings_total += 1;
        if self.report.findings.len() < MAX_LISTED {
            self.report.findings.push(Finding { code, at, message: message.into() });
        }
    }

    /// Reads the log. `false` when it had to stop before the end.
    fn walk(&mut self, source: &mut dyn EntrySource) -> Result<bool, VerifyError> {
        let mut next = self.checkpoint_after(source)?;
        loop {
            let size = self.report.entries;
            while let Some(stored) = next.take_if(|stored| stored.size <= size) {
                if !self.checkpoint(&stored) {
                    return Ok(false);
                }
                next = self.checkpoint_after(source)?;
            }
            self.outside(size);
            let entry = match source.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(SourceError::Malformed { place, cause }) => {
                    self.find(Code::Unreadable, Interval::one(size), format!("{place} is no entry: {cause}"));
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            };
            if !self.entry(&entry) {
                return Ok(false);
            }
        }
        while let Some(stored) = next {
            self.beyond(&stored);
            next = self.checkpoint_after(source)?;
        }
        Ok(true)
    }

    /// The next checkpoint; one that cannot be read is a finding of the entry it would stand behind.
    fn checkpoint_after(
        &mut self,
        source: &mut dyn EntrySource,
    ) -> Result<Option<StoredCheckpoint>, VerifyError> {
        match source.next_checkpoint() {
            Ok(next) => Ok(next),
            Err(SourceError::Malformed { place, cause }) => {
                let at = self.interval_to(self.report.entries);
                self.find(Code::Checkpoint, at, format!("{place} is no checkpoint: {cause}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// From the last checkpoint that holds, to a size.
    fn interval_to(&self, size: u64) -> Interval {
        let from = self.report.signed;
        Interval { from, to: size.max(from.saturating_add(1)) }
    }

    fn believed(&mut self, stored: &StoredCheckpoint) -> Option<Checkpoint> {
        let at = self.interval_to(stored.size);
        let message = match checkpoint::verify(&stored.note, self.keys) {
            Ok(checkpoint) if checkpoint.size != stored.size => {
                format!("the checkpoint stored at size {} is of size {}", stored.size, checkpoint.size)
            }
            Ok(checkpoint) => match &self.report.origin {
                Some(origin) if **origin != *checkpoint.origin => {
                    format!("the checkpoint at size {} is of the log `{}`", stored.size, checkpoint.origin)
                }
                _ => return Some(checkpoint),
            },
            Err(error) => format!("the checkpoint at size {}: {error}", stored.size),
        };
        self.find(Code::Checkpoint, at, message);
        None
    }

    /// A checkpoint at the size reached. `false` when the entries are not those it was signed for.
    fn checkpoint(&mut self, stored: &StoredCheckpoint) -> bool {
        if stored.size < self.report.entries {
            let at = self.interval_to(stored.size);
            self.find(
                Code::Checkpoint,
                at,
                format!("the checkpoint at size {} stands too late", stored.size),
            );
            return true;
        }
        let Some(checkpoint) = self.believed(stored) else { return true };
        if stored.time_us.is_some() && stored.time_us != Some(self.time_us.unwrap_or_default()) {
            let at = self.interval_to(stored.size);
            self.find(Code::Time, at, "the time beside the checkpoint is not that of its last entry");
        }
        if self.computed.frontier.root() == checkpoint.root {
            self.stored = self.computed.clone();
        } else if self.stored.frontier.root() == checkpoint.root {
            self.computed = self.stored.clone();
        } else {
            let at = self.interval_to(stored.size);
            let message = format!(
                "the entries are not those that the checkpoint at size {} was signed for",
                stored.size
            );
            self.find(Code::Root, at, message);
            return false;
        }
        self.report.origin.get_or_insert_with(|| checkpoint.origin.to_string());
        self.report.signed = checkpoint.size;
        self.report.checkpoints += 1;
        self.report.last_checkpoint = Some(stored.note.clone());
        true
    }

    /// A checkpoint of more entries than there are.
    fn beyond(&mut self, stored: &StoredCheckpoint) {
        if self.believed(stored).is_some() {
            let at = Interval { from: self.report.entries, to: stored.size };
            self.find(Code::Truncated, at, format!("a checkpoint of {} entries was signed", stored.size));
            self.report.truncation = Truncation::Found;
        }
    }

    /// Compares with the checkpoint from elsewhere, at its size.
    fn outside(&mut self, size: u64) {
        let Some(from) = self.from.take_if(|from| from.size == size) else { return };
        if self.report.truncation == Truncation::NotCheckable {
            self.report.truncation = Truncation::None;
        }
        if self.computed.frontier.root() != from.root && self.stored.frontier.root() != from.root {
            let at = Interval { from: 0, to: size.max(1) };
            self.find(
                Code::Forked,
                at,
                format!(
                    "the first {size} entries are not those of the checkpoint from elsewhere{}",
                    self.given_up(&from)
                ),
            );
        }
    }

    /// Says which record gave up what a checkpoint covers, if one does.
    fn given_up(&self, from: &Checkpoint) -> String {
        let covers = |rollback: &&Rollback| rollback.fact.size < from.size && rollback.seq < from.size;
        match self.report.rollbacks.iter().find(covers) {
            Some(Rollback { seq, fact }) => {
                format!("; record {seq} accepted a rollback to {} entries, by {}", fact.size, fact.by)
            }
            None => String::new(),
        }
    }

    fn finish(mut self, source: &mut dyn EntrySource, complete: bool) -> Result<Report, VerifyError> {
        let entries = self.report.entries;
        if complete {
            self.head(source)?;
            if let Some(from) = self.from.take() {
                let at = Interval { from: entries, to: from.size };
                let given_up = self.given_up(&from);
                self.find(
                    Code::Truncated,
                    at,
                    format!("the checkpoint from elsewhere is of {} entries{given_up}", from.size),
                );
                self.report.truncation = Truncation::Found;
            }
        } else {
            self.look_for_erasures(source);
        }
        self.missing();
        let mut report = self.report;
        report.root = self.computed.frontier.root();
        report.unsigned = (report.signed < entries).then_some(Interval { from: report.signed, to: entries });
        let signed = report.signed;
        report.unsigned_erasures =
            self.erased.said_by.iter().copied().filter(|seq| *seq >= signed).take(MAX_LISTED).collect();
        let unknown = self.references.unknown();
        report.unknown_total = u64::try_from(unknown.len()).unwrap_or(u64::MAX);
        report.unknown = unknown.into_iter().take(MAX_LISTED).collect();
        report.ok = report.findings_total == 0;
        report.locate();
        Ok(report)
    }

    fn head(&mut self, source: &mut dyn EntrySource) -> Result<(), VerifyError> {
        let entries = self.report.entries;
        let head = match source.head() {
            Ok(head) => head,
            Err(SourceError::Malformed { place, cause }) => {
                let at = self.interval_to(entries);
                self.find(Code::Head, at, format!("{place} is no head: {cause}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let Some(head) = head else { return Ok(()) };
        if head.size > entries {
            let at = Interval { from: entries, to: head.size };
            self.find(Code::Head, at, format!("the head counts {} entries", head.size));
        } else if head.size < entries {
            let at = Interval { from: head.size, to: entries };
            self.find(Code::Head, at, format!("the head counts {} entries only", head.size));
        } else if head.chain != self.computed.chain() && head.chain != self.stored.chain() {
            let at = self.interval_to(entries);
            self.find(Code::Head, at, "the head's chain is not that of the entries");
        }
        Ok(())
    }
}
