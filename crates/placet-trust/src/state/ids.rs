//! Which record ids a log has. No two records share one, so that an outcome names one decision, and so that a record
//! whose commit was in doubt and is tried again stands there once.
//!
//! What grows: about ten bytes a record.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ahash::HashSet;
use placet_types::RecordId;

/// So many new ids of a batch are noted without new memory for the next.
const NEW_KEPT: usize = 256;

/// The ids of a log's records, as hashes under a key of this process: an id is refused wrongly once in 2^64 over the
/// number of records, and taken wrongly never.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordIds {
    seen: HashSet<u64>,
    key: RandomState,
    /// What was added since [`Self::settle`], if it was ever called.
    new: Option<Vec<u64>>,
}

/// A record id as it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdHash(u64);

impl RecordIds {
    pub(super) fn hash(&self, id: &RecordId) -> IdHash {
        IdHash(self.key.hash_one(id))
    }

    pub(super) fn has(&self, id: IdHash) -> bool {
        self.seen.contains(&id.0)
    }

    pub(super) fn add(&mut self, id: IdHash) {
        if let (true, Some(new)) = (self.seen.insert(id.0), &mut self.new) {
            new.push(id.0);
        }
    }

    /// What was added until now stays.
    pub(super) fn settle(&mut self) {
        let new = self.new.get_or_insert_default();
        new.clear();
        new.shrink_to(NEW_KEPT);
    }

    /// Takes out what was added since [`Self::settle`].
    pub(super) fn undo(&mut self) {
        for id in self.new.iter_mut().flat_map(|new| new.drain(..)) {
            self.seen.remove(&id);
        }
    }
}
