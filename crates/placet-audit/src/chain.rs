//! The hash chain over the leaf hashes: each value stands for the whole log before it.
//!
//! It says no more than the tree does, but can be followed without one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Digest;
use sha2::{Digest as _, Sha256};

/// The chain of the log without entries.
pub const START: Digest = Digest([0; 32]);

/// The chain after one more leaf, by its hash.
#[must_use]
pub fn next(chain: &Digest, leaf: &Digest) -> Digest {
    Digest(Sha256::new().chain_update(chain.0).chain_update(leaf.0).finalize().into())
}
