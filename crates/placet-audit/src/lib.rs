//! Placet's log: record encoding, Merkle tree, checkpoints, proofs, verification.
//!
//! Everything here is a function of its arguments, except where a new key or salt is drawn. Nothing here reads or
//! writes a file or a database, and nothing takes a key from a log. Formats are those of others wherever there is
//! one: RFC 8785 for a record, RFC 6962 for the tree, C2SP `signed-note`, `tlog-checkpoint` and `tlog-proof` for what
//! leaves the machine.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod canonical;
pub mod chain;
pub mod checkpoint;
pub mod keys;
pub mod leaf;
pub mod mirror;
pub mod note;
pub mod proof;
mod salt;
pub mod seal;
pub mod tlog_proof;
pub mod tree;
pub mod verify;
pub mod view;

/// The system has no randomness to draw a key or a salt from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness: {cause}; nothing can be recorded or signed until it does")]
pub struct RandomError {
    /// What the system said.
    pub cause: String,
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| RandomError { cause: error.to_string() })?;
    Ok(bytes)
}
