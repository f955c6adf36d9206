//! Merkle proofs: that an entry is in a tree, and that a tree extends an earlier one.
//!
//! Sources: making proofs, <https://www.rfc-editor.org/rfc/rfc6962.html#section-2.1>; verifying them,
//! <https://www.rfc-editor.org/rfc/rfc9162.html#section-2.1>.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Digest;

use crate::tree::{empty_root, node_hash};

/// Where the hashes of a tree are kept.
pub trait HashSource {
    /// Why a hash cannot be read.
    type Error;

    /// The hash of a leaf.
    ///
    /// # Errors
    /// When it cannot be read.
    fn leaf(&self, seq: u64) -> Result<Digest, Self::Error>;

    /// The root of the full subtree over the `2^level` leaves from `index * 2^level`, if it is kept. Keeping some
    /// makes proofs cheaper and changes nothing else.
    ///
    /// # Errors
    /// When it cannot be read.
    fn subtree(&self, level: u32, index: u64) -> Result<Option<Digest>, Self::Error> {
        let _ = (level, index);
        Ok(None)
    }
}

impl HashSource for [Digest] {
    type Error = MissingLeaf;

    fn leaf(&self, seq: u64) -> Result<Digest, MissingLeaf> {
        let hash = usize::try_from(seq).ok().and_then(|at| self.get(at));
        hash.copied().ok_or(MissingLeaf { seq })
    }
}

/// A leaf that a source does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq} is not in the log")]
pub struct MissingLeaf {
    /// Its position.
    pub seq: u64,
}

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError<E> {
    /// There is nothing to prove.
    #[error("{asked} is outside a tree of {size} entries; ask within it")]
    Outside {
        /// The entry, or the earlier size.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A hash cannot be read.
    #[error(transparent)]
    Source(#[from] E),
}

/// The hashes that lead from an entry to the root of the tree of a size, the leaf's sibling first.
///
/// # Errors
/// [`ProofError`].
pub fn inclusion<S: HashSource + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, ProofError<S::Error>> {
    if index >= size {
        return Err(ProofError::Outside { asked: index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range_root(source, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(source, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the tree of `size` extends the one of `earlier`.
///
/// # Errors
/// [`ProofError`].
pub fn consistency<S: HashSource + ?Sized>(
    source: &S,
    earlier: u64,
    size: u64,
) -> Result<Vec<Digest>, ProofError<S::Error>> {
    if earlier > size {
        return Err(ProofError::Outside { asked: earlier, size });
    }
    if earlier == 0 || earlier == size {
        return Ok(Vec::new());
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to != earlier {
        let middle = from + split(to - from);
        if earlier <= middle {
            path.push(range_root(source, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(source, from, middle)?);
            from = middle;
        }
    }
    // The verifier knows the root of the earlier tree, which is this one if nothing was split off before it.
    if from > 0 {
        path.push(range_root(source, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether the proof leads from the leaf to the root.
#[must_use]
pub fn verify_inclusion(index: u64, size: u64, leaf: &Digest, proof: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let mut walk = Walk { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        match walk.up() {
            None => return false,
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
        }
    }
    walk.last == 0 && hash == *root
}

/// Whether the proof shows that the tree of `size` extends the one of `earlier`.
#[must_use]
pub fn verify_consistency(
    earlier: u64,
    size: u64,
    proof: &[Digest],
    earlier_root: &Digest,
    root: &Digest,
) -> bool {
    if earlier > size {
        return false;
    }
    if earlier == size {
        return proof.is_empty() && earlier_root == root;
    }
    if earlier == 0 {
        return proof.is_empty() && *earlier_root == empty_root();
    }
    let mut hashes = proof.iter();
    let start = if earlier.is_power_of_two() { Some(earlier_root) } else { hashes.next() };
    let Some(start) = start else { return false };
    let full = (earlier - 1).trailing_ones();
    let mut walk = Walk { node: shift(earlier - 1, full), last: shift(size - 1, full) };
    let (mut was, mut is) = (*start, *start);
    for sibling in hashes {
        match walk.up() {
            None => return false,
            Some(Side::Left) => {
                was = node_hash(sibling, &was);
                is = node_hash(sibling, &is);
            }
            Some(Side::Right) => is = node_hash(&is, sibling),
        }
    }
    walk.last == 0 && was == *earlier_root && is == *root
}

/// On which side of the path the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root: its number and that of the last node, level by level.
struct Walk {
    node: u64,
    last: u64,
}

impl Walk {
    /// One hash up; `None` at the root.
    fn up(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last { Side::Left } else { Side::Right };
        if matches!(side, Side::Left) {
            // A last node without sibling stands for itself on the levels above.
            let alone = self.node.trailing_zeros().min(63);
            self.node = shift(self.node, alone);
            self.last = shift(self.last, alone);
        }
        self.node >>= 1;
        self.last >>= 1;
        Some(side)
    }
}

fn shift(number: u64, by: u32) -> u64 {
    number.checked_shr(by).unwrap_or(0)
}

/// The largest power of two below a count of at least two.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

fn range_root<S: HashSource + ?Sized>(source: &S, from: u64, to: u64) -> Result<Digest, S::Error> {
    let count = to - from;
    if count <= 1 {
        return source.leaf(from);
    }
    if count.is_power_of_two() && from.is_multiple_of(count) {
        let level = count.trailing_zeros();
        if let Some(root) = source.subtree(level, from >> level)? {
            return Ok(root);
        }
    }
    let middle = from + split(count);
    Ok(node_hash(&range_root(source, from, middle)?, &range_root(source, middle, to)?))
}
