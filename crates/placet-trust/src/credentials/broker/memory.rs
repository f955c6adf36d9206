//! What one process remembers for its brokers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use placet_types::{CredentialId, Digest, Micros};

use crate::credentials::authority::Authority;
use crate::credentials::token::{ProofId, ReplayWindow, VerifiedLeaf};

/// How many of each kind are remembered before ended ones are looked for.
const REMEMBERED: usize = 1_024;

/// Most proofs of possession that are accepted within a minute.
const PROOFS: usize = 262_144;

/// What one process remembers for its brokers: authorities with limits, which records hold only as digests; chains
/// that were verified; chains whose holder lives here; proofs that were used.
#[derive(Debug)]
pub struct BrokerMemory {
    authorities: Mutex<HashMap<Digest, Arc<Authority>>>,
    /// By the digest of their text.
    chains: Mutex<HashMap<Digest, VerifiedLeaf>>,
    /// By the public id of the handle.
    held: Mutex<HashMap<CredentialId, VerifiedLeaf>>,
    proofs: Mutex<ReplayWindow>,
}

impl Default for BrokerMemory {
    fn default() -> Self {
        Self {
            authorities: Mutex::default(),
            chains: Mutex::default(),
            held: Mutex::default(),
            proofs: Mutex::new(ReplayWindow::new(PROOFS)),
        }
    }
}

impl BrokerMemory {
    pub(super) fn known(&self, digest: &Digest) -> Option<Arc<Authority>> {
        locked(&self.authorities).get(digest).cloned()
    }

    pub(super) fn remember(&self, digest: Digest, authority: Authority, now: Micros) -> Arc<Authority> {
        let mut memory = locked(&self.authorities);
        if memory.len() >= REMEMBERED {
            memory.retain(|_, held| held.expires > now);
        }
        let authority = Arc::new(authority);
        memory.insert(digest, authority.clone());
        authority
    }

    pub(super) fn chain(&self, digest: &Digest) -> Option<VerifiedLeaf> {
        locked(&self.chains).get(digest).cloned()
    }

    /// Remembers a chain; when there are too many, all are verified anew rather than one kept too long.
    pub(super) fn keep(&self, digest: Digest, leaf: VerifiedLeaf, now: Micros) {
        let mut chains = locked(&self.chains);
        if chains.len() >= REMEMBERED {
            chains.retain(|_, leaf| leaf.in_time(now));
        }
        if chains.len() >= REMEMBERED {
            chains.clear();
        }
        chains.insert(digest, leaf);
    }

    pub(super) fn held(&self, handle: &CredentialId) -> Option<VerifiedLeaf> {
        locked(&self.held).get(handle).cloned()
    }

    pub(super) fn hold(&self, handle: CredentialId, leaf: VerifiedLeaf, now: Micros) {
        let mut held = locked(&self.held);
        if held.len() >= REMEMBERED {
            held.retain(|_, leaf| leaf.in_time(now));
        }
        held.insert(handle, leaf);
    }

    /// Says that a proof was not used after all: its call did not happen.
    pub fn give_back(&self, proof: &ProofId) {
        locked(&self.proofs).give_back(proof);
    }

    pub(super) fn proofs(&self) -> MutexGuard<'_, ReplayWindow> {
        locked(&self.proofs)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
