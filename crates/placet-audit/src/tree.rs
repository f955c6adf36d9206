//! The Merkle tree of RFC 6962 over SHA-256, kept as its frontier.
//!
//! A leaf and a node are hashed with different prefixes, so neither can pass for the other. The frontier is what is
//! needed to append and to know the root: the roots of the largest full subtrees, at most 64 hashes.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1>.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::Digest;
use sha2::{Digest as _, Sha256};

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// The hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without leaves.
#[must_use]
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

/// A tree that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// INVARIANT: one hash for each one-bit of `size`, the largest subtree first.
    roots: Arc<[Digest]>,
}

/// Bytes that are no frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tree's frontier is damaged: {actual_bytes} bytes for {size} entries; restore the ledger from a copy"
)]
pub struct FrontierError {
    /// How many bytes there are.
    pub actual_bytes: usize,
    /// The size that they state.
    pub size: u64,
}

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Digest) {
        // Full subtrees of the same size become one.
        let merged = usize::try_from(self.size.trailing_ones()).unwrap_or(usize::MAX);
        let kept = self.roots.len().saturating_sub(merged);
        let (kept, merged) = self.roots.split_at_checked(kept).unwrap_or_default();
        let root = merged.iter().rev().fold(leaf, |right, left| node_hash(left, &right));
        self.roots = kept.iter().copied().chain([root]).collect();
        self.size = self.size.saturating_add(1);
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut smallest_first = self.roots.iter().rev();
        match smallest_first.next() {
            None => empty_root(),
            Some(last) => smallest_first.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// How many leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size as 8 bytes, big end first, and the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.count_bytes());
        self.each_part(|part| bytes.extend_from_slice(part));
        bytes
    }

    /// How many bytes [`Self::to_bytes`] has.
    pub(crate) fn count_bytes(&self) -> usize {
        8 + 32 * self.roots.len()
    }

    /// [`Self::to_bytes`], piece by piece.
    pub(crate) fn each_part(&self, mut take: impl FnMut(&[u8])) {
        take(&self.size.to_be_bytes());
        self.roots.iter().for_each(|root| take(&root.0));
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`FrontierError`] when the number of hashes does not fit the size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrontierError> {
        let damaged = |size| FrontierError { actual_bytes: bytes.len(), size };
        let (size, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged(0))?;
        let size = u64::from_be_bytes(*size);
        let (roots, left_over) = rest.as_chunks::<32>();
        if !left_over.is_empty() || u32::try_from(roots.len()) != Ok(size.count_ones()) {
            return Err(damaged(size));
        }
        let roots: Vec<Digest> = roots.iter().map(|root| Digest(*root)).collect();
        Ok(Self { size, roots: roots.into() })
    }
}
