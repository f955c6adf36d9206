//! Which record ids a log has. No two records share one, so that an outcome names one decision, and so that a record
//! whose commit was in doubt and is tried again stands there once.
//!
//! What grows: about ten bytes a record.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ahash::HashSet;
use placet_types::RecordId;

/// The ids of a log's records, as hashes under a key of this process: an id is refused wrongly once in 2^64 over the
/// number of records, and taken wrongly never.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordIds {
    seen: HashSet<u64>,
    key: RandomState,
}

impl RecordIds {
    pub(super) fn has(&self, id: &RecordId) -> bool {
        self.seen.contains(&self.key.hash_one(id))
    }

    pub(super) fn add(&mut self, id: &RecordId) {
        self.seen.insert(self.key.hash_one(id));
    }
}
