//! Placet's log: record encoding, Merkle tree, checkpoints, proofs, verification.
// SPDX-License-Identifier: MIT OR Apache-2.0
