//! Signed checkpoints: what a log commits to at a size.
//!
//! Source: <https://c2sp.org/tlog-checkpoint>. Extension lines are read over and never written.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use data_encoding::BASE64;
use placet_types::Digest;

use crate::keys::{SigningKey, VerifierKey};
use crate::note::{self, NoteError};
use crate::proof;
use crate::tree::Frontier;

/// The state of a log at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: Arc<str>,
    /// How many entries it covers.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
}

/// How a checkpoint follows from the one signed before.
pub enum Earlier<'a> {
    /// None was ever signed.
    None,
    /// A consistency proof leads from the earlier one.
    Proven {
        /// The one signed before.
        checkpoint: &'a Checkpoint,
        /// The proof from it.
        proof: &'a [Digest],
    },
    /// The tree of the earlier one was grown.
    Grown {
        /// The one signed before.
        checkpoint: &'a Checkpoint,
        /// The tree as it was then.
        frontier: &'a Frontier,
        /// The hashes of the leaves since, in order.
        leaves: &'a mut dyn Iterator<Item = Digest>,
    },
}

/// Why a checkpoint is not believed, or was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note is not believed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is no checkpoint.
    #[error("the note is no checkpoint: {cause}")]
    Malformed {
        /// What is wrong.
        cause: &'static str,
    },
    /// The key's name is not the log's.
    #[error("the checkpoint is of the log `{origin}`, and the key of `{key}`; give the key of that log")]
    Origin {
        /// The log.
        origin: String,
        /// The name of the key.
        key: String,
    },
    /// The log does not extend what was signed before.
    #[error(
        "the log of {size} entries does not extend its checkpoint at {earlier}; it was cut or rewritten, and is not signed"
    )]
    Inconsistent {
        /// The size to be signed.
        size: u64,
        /// The size signed before.
        earlier: u64,
    },
}

/// Signs a checkpoint that extends the one signed before, with each key: two while keys are changed.
///
/// # Errors
/// [`CheckpointError::Inconsistent`]: stop writing to the log and raise an alarm.
pub fn sign(
    next: &Checkpoint,
    earlier: Earlier<'_>,
    keys: &[&SigningKey],
) -> Result<String, CheckpointError> {
    if let Some(key) = keys.iter().find(|key| key.verifier().name() != &*next.origin) {
        return Err(misnamed(next, key.verifier().name()));
    }
    if let Some(before) = contradicted(next, earlier) {
        return Err(CheckpointError::Inconsistent { size: next.size, earlier: before });
    }
    Ok(note::sign(&next.text(), keys)?)
}

/// The size of the earlier checkpoint if the next one does not extend it.
fn contradicted(next: &Checkpoint, earlier: Earlier<'_>) -> Option<u64> {
    let (before, holds) = match earlier {
        Earlier::None => return None,
        Earlier::Proven { checkpoint, proof } => {
            let sizes = (checkpoint.size, next.size);
            (checkpoint, proof::verify_consistency(sizes.0, sizes.1, proof, &checkpoint.root, &next.root))
        }
        Earlier::Grown { checkpoint, frontier, leaves } => {
            let was = frontier.size() == checkpoint.size && frontier.root() == checkpoint.root;
            let mut grown = frontier.clone();
            leaves.for_each(|leaf| grown.push(leaf));
            (checkpoint, was && grown.size() == next.size && grown.root() == next.root)
        }
    };
    (!holds || before.origin != next.origin).then_some(before.size)
}

/// Reads a checkpoint that one of the keys signed as the log of its name.
///
/// # Errors
/// [`CheckpointError`]: nothing in the note may be used.
pub fn verify(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, CheckpointError> {
    let note = note::open(note, keys)?;
    let checkpoint = Checkpoint::parse(note.text)?;
    match note.signers.iter().any(|key| key.name() == &*checkpoint.origin) {
        true => Ok(checkpoint),
        false => Err(misnamed(&checkpoint, note.signers.first().map_or("", VerifierKey::name))),
    }
}

fn misnamed(checkpoint: &Checkpoint, key: &str) -> CheckpointError {
    CheckpointError::Origin { origin: checkpoint.origin.to_string(), key: key.to_owned() }
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root.0))
    }

    /// Reads the text of a checkpoint, signed or not.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = |cause| CheckpointError::Malformed { cause };
        let body = text.strip_suffix('\n').ok_or_else(|| malformed("it does not end with a line end"))?;
        let mut lines = body.split('\n');
        // Any text: that it looks like the name of a key is advice to who makes one.
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or_else(|| malformed("its first line is no origin"))?;
        let size = lines.next().and_then(parse_decimal);
        let size = size.ok_or_else(|| malformed("its second line is no size"))?;
        let root = lines.next().and_then(parse_digest);
        let root = root.ok_or_else(|| malformed("its third line is no SHA-256 in base64"))?;
        if lines.any(str::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        Ok(Self { origin: origin.into(), size, root })
    }
}

/// A decimal without leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A SHA-256 value in base64.
pub(crate) fn parse_digest(text: &str) -> Option<Digest> {
    note::parse_base64(text)?.try_into().ok().map(Digest)
}
