//! Verifying one entry, and what was erased of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_types::record::{ErasureFact, RecoveryFact, RollbackFact};
use placet_types::{Fact, Record};

use super::{
    Code, EntrySource, Erasure, Interval, KeyChange, MAX_LISTED, Rollback, Run, StoredEntry, StoredField,
};
use crate::{leaf, tree, view};

/// What is gone, until an erasure says that it should be.
#[derive(Default)]
pub(super) struct Erased {
    waiting: BTreeMap<u64, Gone>,
    /// The erasures that explained something, by position.
    pub(super) said_by: BTreeSet<u64>,
}

#[derive(Default)]
struct Gone {
    view: bool,
    fields: BTreeSet<Arc<str>>,
}

impl Erased {
    fn note(&mut self, seq: u64, gone: Gone) {
        if gone.view || !gone.fields.is_empty() {
            self.waiting.insert(seq, gone);
        }
    }

    /// Whether the erasure explains all that is gone of how many records.
    fn explain(&mut self, seq: u64, erasure: &ErasureFact) -> u64 {
        let mut explained = 0;
        for record in &erasure.records {
            let Some(gone) = self.waiting.get_mut(record) else { continue };
            self.said_by.insert(seq);
            if erasure.fields.is_empty() {
                *gone = Gone::default();
            }
            gone.fields.retain(|field| !erasure.fields.contains(field));
            if !gone.view && gone.fields.is_empty() {
                self.waiting.remove(record);
                explained += 1;
            }
        }
        explained
    }
}

fn said(seq: u64, erasure: &ErasureFact) -> Erasure {
    let ErasureFact { records, fields, by, basis } = erasure;
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    Erasure { seq, count, fields: fields.clone(), by: by.clone(), basis: basis.clone() }
}

impl Run<'_> {
    /// One entry. `false` when it is not the one that must come next.
    pub(super) fn entry(&mut self, entry: &StoredEntry) -> bool {
        let seq = self.report.entries;
        let at = Interval::one(seq);
        if entry.seq != seq {
            let found = if entry.seq > seq { "is missing" } else { "stands out of its place" };
            self.find(
                Code::Sequence,
                at,
                format!("record {} {found}; record {} stands there", seq.min(entry.seq), entry.seq),
            );
            return false;
        }
        self.report.entries += 1;
        let decoded = leaf::decode(&entry.leaf);
        if let Ok(Record { fact: Fact::Recovery(RecoveryFact { rollback: Some(rollback), .. }), .. }) =
            &decoded
        {
            self.rollback(at, rollback);
        }
        let hash = tree::leaf_hash(&entry.leaf);
        self.computed.push(hash);
        self.stored.push(entry.hash.unwrap_or(hash));
        if entry.hash.is_some_and(|stored| stored != hash) {
            self.find(Code::LeafHash, at, "the leaf does not have the hash stored beside it");
        }
        if let Some(fault) = &entry.fault {
            self.find(Code::Readable, at, fault.clone());
        }
        match decoded {
            Ok(record) => self.record(seq, &record, entry),
            Err(error) => self.find(Code::Leaf, at, error.to_string()),
        }
        true
    }

    fn record(&mut self, seq: u64, record: &Record, entry: &StoredEntry) {
        let at = Interval::one(seq);
        if self.time_us.is_some_and(|before| record.time_us < before) {
            self.find(Code::Time, at, "its time is before that of the record before");
        }
        self.time_us = Some(record.time_us);
        let mut gone = Gone::default();
        match (&record.view, &entry.view) {
            (Some(digest), Some(text)) if view::digest(text) != *digest => {
                self.find(Code::View, at, "the view is not the one that was recorded");
            }
            (None, Some(_)) => self.find(Code::View, at, "a view stands beside a record that has none"),
            (Some(_), None) if entry.sealed.is_some() => self.report.sealed += 1,
            (Some(_), None) => gone.view = true,
            _ => {}
        }
        if let Some(fields) = &entry.personal {
            self.fields(at, record, fields, &mut gone);
        }
        self.erased.note(seq, gone);
        if let Fact::Keys(change) = &record.fact
            && &*change.signs == "checkpoints"
            && self.report.key_changes.len() < MAX_LISTED
        {
            let (added, by) = (change.added.clone(), change.by.clone());
            self.report.key_changes.push(KeyChange { seq, added, by });
        }
        if let Fact::Erasure(erasure) = &record.fact {
            self.erasure(seq, erasure);
        }
        for (code, message) in self.references.see(seq, record) {
            self.find(code, at, message);
        }
    }

    /// A record that accepts a rollback is the first after what it says was left.
    fn rollback(&mut self, at: Interval, rollback: &RollbackFact) {
        let seq = at.from;
        let roots = [self.computed.frontier.root(), self.stored.frontier.root()];
        let more = rollback.lost.iter().all(|lost| lost.size > seq);
        if rollback.size != seq || !roots.contains(&rollback.root) || !more {
            self.find(Code::Rollback, at, "the rollback that it accepts is not one to the entries before it");
        }
        if self.report.rollbacks.len() < MAX_LISTED {
            self.report.rollbacks.push(Rollback { seq, fact: rollback.clone() });
        }
    }

    fn fields(&mut self, at: Interval, record: &Record, fields: &[StoredField], gone: &mut Gone) {
        let mut there = BTreeSet::new();
        for stored in fields {
            let name = &stored.field;
            let commitment = <[u8; view::SALT_BYTES]>::try_from(stored.salt.as_slice())
                .ok()
                .map(|salt| view::commitment(&salt, &stored.value));
            let recorded = record.commitments.get(name.as_str());
            if recorded.is_none() || recorded != commitment.as_ref() || !there.insert(name.as_str()) {
                self.find(
                    Code::Field,
                    at,
                    format!("the personal field `{name}` is not the one that was recorded"),
                );
            }
        }
        gone.fields = record.commitments.keys().filter(|name| !there.contains(&***name)).cloned().collect();
    }

    /// Where reading stopped, the erasures that explain what is gone may stand behind.
    pub(super) fn look_for_erasures(&mut self, source: &mut dyn EntrySource) {
        while let Ok(Some(entry)) = source.next_entry() {
            if let Ok(Record { fact: Fact::Erasure(erasure), .. }) = leaf::decode(&entry.leaf) {
                self.erasure(entry.seq, &erasure);
            }
        }
    }

    fn erasure(&mut self, seq: u64, erasure: &ErasureFact) {
        self.report.erased += self.erased.explain(seq, erasure);
        if self.report.erasures.len() < MAX_LISTED {
            self.report.erasures.push(said(seq, erasure));
        }
    }

    /// What is gone and no erasure explains.
    pub(super) fn missing(&mut self) {
        for (seq, gone) in std::mem::take(&mut self.erased.waiting) {
            let at = Interval::one(seq);
            if gone.view {
                self.find(Code::ViewMissing, at, "the view is gone, and no erasure names the record");
            }
            for field in gone.fields {
                self.find(
                    Code::FieldMissing,
                    at,
                    format!("the personal field `{field}` is gone, and no erasure names it"),
                );
            }
        }
    }
}
