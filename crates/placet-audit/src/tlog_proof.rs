//! Proof files: an entry's place in a signed log, to be checked offline with the log's key.
//!
//! Source: <https://c2sp.org/tlog-proof>. The `extra` line is not authenticated; nothing here reads it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use data_encoding::BASE64;
use placet_types::Digest;

use crate::checkpoint::{self, Checkpoint, CheckpointError, parse_decimal, parse_digest};
use crate::keys::VerifierKey;
use crate::{note, proof, tree};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A tree has at most 2^64 leaves.
const MAX_HASHES: usize = 64;

/// The content of a `.tlog-proof` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything the maker added; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The position of the entry, from 0.
    pub index: u64,
    /// The hashes from the leaf's sibling to the child of the root.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint, word for word.
    pub checkpoint: String,
}

/// Why a proof is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// It is no proof file.
    #[error("the text is no `{FIRST_LINE}`: {cause}; copy the file whole")]
    Malformed {
        /// What is wrong.
        cause: &'static str,
    },
    /// Its checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not in the log at that place.
    #[error(
        "the entry is not number {index} of the log of {size} entries; it was edited, or the proof is of another"
    )]
    NotIncluded {
        /// The place.
        index: u64,
        /// The size of the log.
        size: u64,
    },
}

impl TlogProof {
    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", BASE64.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&format!("{}\n", BASE64.encode(&hash.0)));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a file; nothing in it is believed yet.
    ///
    /// # Errors
    /// [`TlogProofError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let malformed = |cause| TlogProofError::Malformed { cause };
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| malformed("no empty line stands before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("its first line is another"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = extra.and_then(|line| line.strip_prefix("extra ")).map(|base64| {
            note::parse_base64(base64).ok_or_else(|| malformed("its extra data is not base64"))
        });
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(parse_decimal);
        let index = index.ok_or_else(|| malformed("it has no index"))?;
        let hashes: Option<Vec<Digest>> = lines.map(parse_digest).collect();
        let hashes = hashes.ok_or_else(|| malformed("a line is no SHA-256 in base64"))?;
        if hashes.len() > MAX_HASHES {
            return Err(malformed("it has more hashes than a tree has levels"));
        }
        Ok(Self { extra: extra.transpose()?, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that these bytes are the entry, in a log that one of the keys signed.
    ///
    /// # Errors
    /// [`TlogProofError`]: the entry is not shown to be in the log.
    pub fn verify(&self, leaf: &[u8], keys: &[VerifierKey]) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = checkpoint::verify(&self.checkpoint, keys)?;
        let leaf = tree::leaf_hash(leaf);
        if proof::verify_inclusion(self.index, checkpoint.size, &leaf, &self.hashes, &checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err(TlogProofError::NotIncluded { index: self.index, size: checkpoint.size })
        }
    }
}
