//! What `verify` found.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use placet_types::record::RollbackFact;
use placet_types::{Digest, RecordId};
use serde::Serialize;

/// The most findings, unknown outcomes and positions that a report lists; it counts them all.
pub const MAX_LISTED: usize = 1_000;

/// Entries by position, the end not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

impl Interval {
    /// One entry.
    #[must_use]
    pub fn one(seq: u64) -> Self {
        Self { from: seq, to: seq.saturating_add(1) }
    }

    /// Whether it is one entry.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.to == self.from.saturating_add(1)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one() {
            write!(formatter, "record {}", self.from)
        } else {
            write!(formatter, "records {} to {}", self.from, self.to.saturating_sub(1))
        }
    }
}

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// What stands in an entry's place is none.
    Unreadable,
    /// An entry is missing, stands twice or at another's place.
    Sequence,
    /// A leaf is not the canonical form of a record.
    Leaf,
    /// A leaf does not have the hash stored beside it.
    LeafHash,
    /// The readable fields beside a leaf are not its own.
    Readable,
    /// A view does not have the digest in the record.
    View,
    /// A view is gone, and no erasure names it.
    ViewMissing,
    /// A personal field does not have the commitment in the record.
    Field,
    /// A personal field is gone, and no erasure names it.
    FieldMissing,
    /// The entries do not have the root of a checkpoint.
    Root,
    /// A checkpoint is not signed by a given key, or stands in a wrong place.
    Checkpoint,
    /// The stored head is not that of the entries.
    Head,
    /// The log is shorter than a signed checkpoint says.
    Truncated,
    /// The log is another than the one that the outside checkpoint is of.
    Forked,
    /// The time of a record is before that of the one before, or that beside a checkpoint is another.
    Time,
    /// An outcome has no allowed decision that waits for it.
    Outcome,
    /// An approval is used against its own course.
    Approval,
    /// A reservation is used against its own course.
    Budget,
    /// A credential is used against its own course.
    Credential,
    /// A record accepts a rollback that was none.
    Rollback,
}

impl Code {
    /// Whether it may follow from a change of another record: it names the first bad record only if nothing else does.
    #[must_use]
    pub fn may_follow(self) -> bool {
        let references = matches!(
            self,
            Self::Time | Self::Outcome | Self::Approval | Self::Budget | Self::Credential | Self::Rollback
        );
        // The erasure that explained it may be what was changed.
        references || self.is_missing()
    }

    fn is_missing(self) -> bool {
        matches!(self, Self::ViewMissing | Self::FieldMissing)
    }

    /// Whether every leaf may be as it was all the same.
    fn spares_leaves(self) -> bool {
        self.may_follow() || matches!(self, Self::View | Self::Field | Self::Readable)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub code: Code,
    /// Where.
    #[serde(flatten)]
    pub at: Interval,
    /// What is wrong, for people.
    pub message: String,
}

/// Whether the end of the log was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Truncation {
    /// Without a checkpoint from elsewhere nobody can tell.
    #[serde(rename = "not checkable")]
    NotCheckable,
    /// The log holds all that the outside checkpoint covers.
    #[serde(rename = "none")]
    None,
    /// It was.
    #[serde(rename = "found")]
    Found,
}

/// An allowed decision of which no outcome is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Its position.
    pub seq: u64,
    /// Its id.
    pub decision: RecordId,
}

/// One erasure that the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Its position.
    pub seq: u64,
    /// Of how many records something was erased.
    pub count: u64,
    /// Which personal fields; empty when whole views were.
    pub fields: Vec<Arc<str>>,
    /// Who asked for it.
    pub by: Arc<str>,
    /// On which ground.
    pub basis: Arc<str>,
}

/// One change of the keys that sign, as the log holds it. It is for people: keys come from the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// Its position.
    pub seq: u64,
    /// The key that signs since.
    pub added: Arc<str>,
    /// Who changed it.
    pub by: Arc<str>,
}

/// One older copy of the log that was accepted in place of a longer one: from there on the log does not extend the
/// checkpoints that cover more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rollback {
    /// The position of the record that accepted it.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub fact: RollbackFact,
}

/// The answer of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong. It says nothing about unsigned entries but that they fit together.
    pub ok: bool,
    /// The log, by its checkpoints.
    pub origin: Option<String>,
    /// How many entries were read.
    pub entries: u64,
    /// The root over them.
    pub root: Digest,
    /// How many entries signed checkpoints cover.
    pub signed: u64,
    /// The entries after the last checkpoint; whoever can write the log may have changed them.
    pub unsigned: Option<Interval>,
    /// How many checkpoints hold.
    pub checkpoints: u64,
    /// Whether the end was cut off.
    pub truncation: Truncation,
    /// The first bad record, or the entries among which it is.
    pub first_bad: Option<Interval>,
    /// What is wrong, at most [`MAX_LISTED`].
    pub findings: Vec<Finding>,
    /// How many things are wrong.
    pub findings_total: u64,
    /// Allowed decisions without an outcome, at most [`MAX_LISTED`].
    pub unknown: Vec<Unknown>,
    /// How many those are.
    pub unknown_total: u64,
    /// Of how many records something was erased, as an erasure says.
    pub erased: u64,
    /// How many views are in an archive under keys that were not given: nothing was shown about those.
    pub sealed: u64,
    /// The erasures that the log holds, at most [`MAX_LISTED`].
    pub erasures: Vec<Erasure>,
    /// The rollbacks that the log says were accepted, at most [`MAX_LISTED`].
    pub rollbacks: Vec<Rollback>,
    /// The changes of keys that the log holds, at most [`MAX_LISTED`].
    pub key_changes: Vec<KeyChange>,
    /// The erasures that say so and are not signed yet, by position, at most [`MAX_LISTED`].
    pub unsigned_erasures: Vec<u64>,
    /// The last checkpoint that holds: keep it elsewhere, and give it next time.
    pub last_checkpoint: Option<String>,
}

impl Report {
    /// Where the first bad record is: an interval may hide one before the first that is named.
    pub(super) fn locate(&mut self) {
        let bytes = |finding: &&Finding| !finding.code.may_follow();
        let place = |finding: &Finding| finding.at;
        let record = self.findings.iter().filter(bytes).map(place).filter(Interval::is_one);
        let record = record.min_by_key(|at| at.from);
        let wide = self.findings.iter().filter(bytes).map(place).filter(|at| !at.is_one());
        let wide = wide.min_by_key(|at| (at.from, at.to));
        self.first_bad = match (record, wide) {
            (Some(record), Some(wide)) if wide.from <= record.from => {
                Some(Interval { from: wide.from, to: wide.to.min(record.to) })
            }
            (None, Some(wide)) => Some(wide),
            (Some(record), _) => Some(record),
            (None, None) => self.findings.iter().map(place).min_by_key(|at| at.from),
        };
        let missing = self.findings.iter().filter(|finding| finding.code.is_missing()).map(place);
        let missing = missing.min_by_key(|at| at.from);
        if let (Some(first), Some(missing)) = (self.first_bad, missing)
            && missing.from < first.from
        {
            // Where a leaf was changed, that may have been the erasure which explains what is gone.
            let leaves_kept = self.findings.iter().all(|finding| finding.code.spares_leaves());
            let to = if leaves_kept { missing.to } else { first.to };
            self.first_bad = Some(Interval { from: missing.from, to });
        }
    }
}
