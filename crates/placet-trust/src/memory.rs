//! What is remembered: which versions a key has, how far each is trusted, and who wrote it from what.
//!
//! Keys belong to a tenant and a session; none is seen from another. A version that is trusted less never takes the
//! place of one that is trusted more. Values are not here: they lie beside the log, where they can be erased, and the
//! log has commitments to them.
//!
//! What grows: the latest [`HISTORY_LIMIT`] versions of each key, without values. The log has them all.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use placet_types::memory::{MemorySpace, MemoryWrite, TrustTier, fields};
use placet_types::{DenyCause, Digest, Fact, Micros, Record, RecordId};

use crate::state::Refusal;

/// How many versions of a key are remembered.
pub const HISTORY_LIMIT: usize = 64;

/// One version of a memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The position of its record, beside which its value lies.
    pub seq: u64,
    /// Its record.
    pub record: RecordId,
    /// What was written.
    pub write: MemoryWrite,
    /// The agent that wrote it.
    pub agent: Option<Arc<str>>,
    /// When.
    pub at_us: Micros,
    /// The commitments to its key, value and source.
    pub commitments: BTreeMap<Arc<str>, Digest>,
    /// Whether its value was erased.
    pub erased: bool,
}

impl Version {
    /// Whether it can be read at a moment.
    #[must_use]
    pub fn is_live(&self, at: Micros) -> bool {
        !self.erased && self.write.expires_us.is_none_or(|expires| expires > at)
    }
}

/// The versions of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// When the key was first written.
    pub created_us: Micros,
    /// How many versions were written.
    pub written: u64,
    versions: VecDeque<Arc<Version>>,
}

impl Slot {
    /// The version that counts at a moment: the latest, unless it has expired or was erased.
    #[must_use]
    pub fn current(&self, at: Micros) -> Option<&Arc<Version>> {
        self.versions.back().filter(|version| version.is_live(at))
    }

    /// The versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Arc<Version>> {
        self.versions.iter()
    }
}

/// The memories of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memories {
    /// How many records were seen: the position of the next.
    seen: u64,
    spaces: BTreeMap<MemorySpace, BTreeMap<Digest, Slot>>,
    /// Where the version of a record is.
    places: HashMap<u64, (MemorySpace, Digest)>,
}

impl Memories {
    /// The versions of a key.
    #[must_use]
    pub fn slot(&self, space: &MemorySpace, key: &Digest) -> Option<&Slot> {
        self.spaces.get(space)?.get(key)
    }

    /// The live memories of a space, the latest first.
    #[must_use]
    pub fn live(&self, space: &MemorySpace, at: Micros) -> Vec<&Arc<Version>> {
        let slots = self.spaces.get(space).into_iter().flat_map(BTreeMap::values);
        let mut versions: Vec<_> = slots.filter_map(|slot| slot.current(at)).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.seq));
        versions
    }

    /// Checks that a write may take the place of what is there.
    ///
    /// # Errors
    /// The precondition that does not hold.
    pub(crate) fn check(&self, write: &MemoryWrite, record: &Record) -> Result<(), Refusal> {
        let refused = |reason: String| Err(Refusal::new(DenyCause::InvalidRequest, reason));
        if let Some(missing) = fields::ALL.iter().find(|field| !record.commitments.contains_key(**field)) {
            return refused(format!("a memory has no `{missing}` beside its record; give it one"));
        }
        if write.expires_us.is_some_and(|expires| expires <= record.time_us) {
            return refused("a memory would have expired before it began; give it a longer life".to_owned());
        }
        let held = self.slot(&space(record), &write.key).and_then(|slot| slot.current(record.time_us));
        match held.map(|held| held.write.tier).filter(|held| *held > write.tier) {
            Some(held) => refused(lower(write.tier, held)),
            None => Ok(()),
        }
    }

    pub(crate) fn apply(&mut self, write: &MemoryWrite, record: &Record) {
        let space = space(record);
        let version = Version {
            seq: self.seen,
            record: record.id.clone(),
            write: write.clone(),
            agent: record.agent.clone(),
            at_us: record.time_us,
            commitments: record.commitments.clone(),
            erased: false,
        };
        self.places.insert(self.seen, (space.clone(), write.key));
        let fresh = || Slot { created_us: record.time_us, written: 0, versions: VecDeque::new() };
        let slot = self.spaces.entry(space).or_default().entry(write.key).or_insert_with(fresh);
        slot.written = slot.written.saturating_add(1);
        slot.versions.push_back(Arc::new(version));
        if slot.versions.len() > HISTORY_LIMIT
            && let Some(oldest) = slot.versions.pop_front()
        {
            self.places.remove(&oldest.seq);
        }
    }

    /// Takes note that a record was replayed, and of what it erased.
    pub(crate) fn saw(&mut self, record: &Record) {
        self.seen = self.seen.saturating_add(1);
        let Fact::Erasure(erasure) = &record.fact else { return };
        let value_goes =
            erasure.fields.is_empty() || erasure.fields.iter().any(|field| &**field == fields::VALUE);
        for seq in erasure.records.iter().filter(|_| value_goes) {
            let Some((space, key)) = self.places.get(seq) else { continue };
            let slot = self.spaces.get_mut(space).and_then(|slots| slots.get_mut(key));
            let versions = slot.into_iter().flat_map(|slot| &mut slot.versions);
            for version in versions.filter(|version| version.seq == *seq) {
                Arc::make_mut(version).erased = true;
            }
        }
    }
}

/// Why a write is refused.
pub(crate) fn lower(tier: TrustTier, held: TrustTier) -> String {
    format!(
        "the key holds a memory of the tier `{held}`, and one of the tier `{tier}` never takes its place; write under \
         another key, or have the other one erased"
    )
}

/// Whose memory a record is about.
#[must_use]
pub fn space(record: &Record) -> MemorySpace {
    MemorySpace { tenant: record.tenant.clone(), session: record.session.clone() }
}
