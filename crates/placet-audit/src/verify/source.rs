//! What `verify` reads: entries and checkpoints, one at a time, in order.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Digest, Micros};

/// An entry as a store or a file has it. Nothing in it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredEntry {
    /// The position it is stored under.
    pub seq: u64,
    /// Its leaf.
    pub leaf: Vec<u8>,
    /// The leaf hash stored beside it, if one is.
    pub hash: Option<Digest>,
    /// The text of its view, if it is still there.
    pub view: Option<String>,
    /// Its view as an archive keeps it, under a key that stands elsewhere: base64 of a nonce and a ciphertext.
    pub sealed: Option<String>,
    /// Its personal fields that are still there; `None` when the source does not carry personal fields at all.
    pub personal: Option<Vec<StoredField>>,
    /// What the source itself found wrong, for instance readable fields that are not those of the leaf.
    pub fault: Option<String>,
}

/// A personal field as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredField {
    /// Its dotted path.
    pub field: String,
    /// Its salt.
    pub salt: Vec<u8>,
    /// The text of its value.
    pub value: String,
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The size it is stored under.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// The time that stands beside it, if one does: that of the last entry it covers.
    pub time_us: Option<Micros>,
}

/// The head as it is stored. Its seal needs the log key, so `verify` does not check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// How many entries there should be.
    pub size: u64,
    /// The chain over them.
    pub chain: Digest,
}

/// Why a source cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It cannot be read: says nothing about the log.
    #[error("cannot read the log: {cause}")]
    Unavailable {
        /// What failed.
        cause: String,
    },
    /// What stands there is no entry: a finding.
    #[error("{place} is no entry of a log: {cause}")]
    Malformed {
        /// Where, for instance `line 12`.
        place: String,
        /// What is wrong.
        cause: String,
    },
}

/// A log to be verified. Both streams are read side by side, so a source needs two cursors.
pub trait EntrySource {
    /// The next entry, by rising position.
    ///
    /// # Errors
    /// [`SourceError`].
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError>;

    /// The next checkpoint, by rising size.
    ///
    /// # Errors
    /// [`SourceError`].
    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError>;

    /// The head, if the source keeps one.
    ///
    /// # Errors
    /// [`SourceError`].
    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        Ok(None)
    }
}

impl<S: EntrySource + ?Sized> EntrySource for Box<S> {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        (**self).next_entry()
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        (**self).next_checkpoint()
    }

    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        (**self).head()
    }
}
