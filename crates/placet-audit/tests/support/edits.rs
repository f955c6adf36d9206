//! Random edits of a log, and what a verifier must say of them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::verify::{Report, StoredEntry};
use placet_audit::{leaf, view};
use placet_types::{Digest, Fact, Micros};
use serde::Deserialize;
use serde_json::Value;

use super::{Log, other_key};

/// SplitMix64: the same edits in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// An entry that fits.
    fn entry<'a>(
        &mut self,
        log: &'a mut Log,
        fits: impl Fn(&StoredEntry) -> bool,
    ) -> Option<&'a mut StoredEntry> {
        let fitting: Vec<&mut StoredEntry> = log.entries.iter_mut().filter(|entry| fits(entry)).collect();
        let at = self.below(fitting.len().max(1));
        fitting.into_iter().nth(at)
    }
}

/// One kind of edit.
pub struct Edit {
    pub name: &'static str,
    pub make: fn(&mut Log, &mut Dice),
}

/// What somebody does who can write the log and has no key. All of it is found in what a checkpoint covers; what is
/// made to fit behind the last one is reported as unsigned.
pub const EDITS: &[Edit] = &[
    Edit { name: "a byte of a leaf", make: a_byte_of_a_leaf },
    Edit { name: "a leaf with the hash beside it", make: a_leaf_with_its_hash },
    Edit { name: "a byte of a view", make: a_view },
    Edit { name: "two views exchanged", make: two_views },
    Edit { name: "a view where there was none", make: a_view_from_nowhere },
    Edit { name: "a view deleted without an erasure", make: a_view_deleted },
    Edit { name: "a personal field", make: a_personal_field },
    Edit { name: "a record deleted", make: a_record_deleted },
    Edit { name: "a record deleted and all made to fit", make: a_record_deleted_to_fit },
    Edit { name: "two records exchanged", make: two_records },
    Edit { name: "a record inserted", make: a_record_inserted },
    Edit { name: "records appended", make: records_appended },
    Edit { name: "a record over another (INSERT OR REPLACE)", make: a_record_over_another },
    Edit { name: "a record rewritten and all made to fit", make: a_record_rewritten },
    Edit { name: "a record rewritten and checkpoints taken out", make: rewritten_without_checkpoints },
    Edit { name: "the end cut off and all made to fit", make: the_end_cut_off },
    Edit { name: "a record rewritten and signed with another key", make: signed_with_another_key },
    Edit { name: "the hash beside a leaf", make: a_stored_hash },
    Edit { name: "a checkpoint's text", make: a_checkpoint_edited },
    Edit { name: "a checkpoint moved", make: a_checkpoint_moved },
    Edit { name: "the head", make: the_head },
    Edit { name: "several of these", make: several },
];

/// How many kinds of edits there are.
pub const KINDS: u64 = EDITS.len() as u64;

/// Edits a log.
pub fn mutate(log: &mut Log, kind: usize, dice: &mut Dice) {
    (EDITS[kind].make)(log, dice);
}

/// Another record in its place, with a view that fits: what someone without the key can do.
pub fn rewrite(entry: &mut StoredEntry, dice: &mut Dice) {
    // One that is none any more stays so.
    let Ok(mut record) = leaf::decode(&entry.leaf) else { return };
    match (&mut record.fact, dice.below(3)) {
        (_, 0) => record.agent = Some("mallory".into()),
        (Fact::Decision(decision), 1) => decision.code = "forged".into(),
        (_, _) => record.time_us = Micros(record.time_us.0 + 1),
    }
    if let Some(text) = &mut entry.view {
        text.insert(text.len() - 1, ' ');
        record.view = Some(view::digest(text));
    }
    entry.leaf = leaf::encode(&record).unwrap().into_bytes();
}

fn any(log: &Log, dice: &mut Dice) -> usize {
    dice.below(log.entries.len())
}

/// A leaf stays text: a database keeps nothing else.
fn a_byte_of_a_leaf(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    let leaf = &mut log.entries[at].leaf;
    let ascii: Vec<usize> = (0..leaf.len()).filter(|byte| leaf[*byte].is_ascii_graphic()).collect();
    let byte = ascii[dice.below(ascii.len())];
    leaf[byte] = match leaf[byte] {
        b'~' => b'!',
        other => other + 1,
    };
}

fn a_leaf_with_its_hash(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    let entry = &mut log.entries[at];
    rewrite(entry, dice);
    entry.hash = Some(placet_audit::tree::leaf_hash(&entry.leaf));
}

fn a_view(log: &mut Log, dice: &mut Dice) {
    let Some(entry) = dice.entry(log, |entry| entry.view.is_some()) else { return };
    let text = entry.view.as_mut().unwrap();
    match dice.below(3) {
        0 => text.insert(text.len() - 1, ' '),
        1 => *text = text.replacen('1', "2", 1) + " ",
        _ => *text = "{}".to_owned(),
    }
}

fn two_views(log: &mut Log, dice: &mut Dice) {
    let with: Vec<usize> = (0..log.entries.len()).filter(|at| log.entries[*at].view.is_some()).collect();
    if with.len() < 2 {
        return;
    }
    let one = dice.below(with.len());
    let other = (one + 1 + dice.below(with.len() - 1)) % with.len();
    let view = log.entries[with[one]].view.take();
    log.entries[with[one]].view = std::mem::replace(&mut log.entries[with[other]].view, view);
}

/// Beside a record that has none, or where one was erased.
fn a_view_from_nowhere(log: &mut Log, dice: &mut Dice) {
    if let Some(entry) = dice.entry(log, |entry| entry.view.is_none()) {
        entry.view = Some("{\"reason\":\"as agreed\"}".to_owned());
    }
}

fn a_view_deleted(log: &mut Log, dice: &mut Dice) {
    if let Some(entry) = dice.entry(log, |entry| entry.view.is_some()) {
        entry.view = None;
    }
}

fn a_personal_field(log: &mut Log, dice: &mut Dice) {
    let fields = |entry: &StoredEntry| entry.personal.as_ref().is_some_and(|fields| !fields.is_empty());
    let Some(entry) = dice.entry(log, fields) else { return };
    let fields = entry.personal.as_mut().unwrap();
    match dice.below(5) {
        0 => fields[0].value.push(' '),
        1 => fields[0].salt[0] ^= 1,
        2 => fields[0].salt.truncate(31),
        3 => fields[0].field.push('x'),
        _ => drop(fields.remove(0)),
    }
}

fn a_record_deleted(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    log.entries.remove(at);
}

fn a_record_deleted_to_fit(log: &mut Log, dice: &mut Dice) {
    a_record_deleted(log, dice);
    log.refit();
}

fn two_records(log: &mut Log, dice: &mut Dice) {
    let (at, count) = (any(log, dice), log.entries.len());
    let other = (at + 1 + dice.below(count - 1)) % count;
    log.entries.swap(at, other);
    made_to_fit(log, dice);
}

fn a_record_inserted(log: &mut Log, dice: &mut Dice) {
    let (at, of) = (any(log, dice), any(log, dice));
    let copy = log.entries[of].clone();
    log.entries.insert(at, copy);
    made_to_fit(log, dice);
}

/// Not at all, in its numbers only, or whole.
fn made_to_fit(log: &mut Log, dice: &mut Dice) {
    match dice.below(3) {
        0 => {}
        1 => log.renumber(),
        _ => log.refit(),
    }
}

fn records_appended(log: &mut Log, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let mut copy = log.entries[any(log, dice)].clone();
        rewrite(&mut copy, dice);
        log.entries.push(copy);
    }
    log.renumber();
    if dice.coin() {
        log.refit();
    }
}

fn a_record_over_another(log: &mut Log, dice: &mut Dice) {
    let (at, of) = (any(log, dice), any(log, dice));
    let (leaf, hash) = (log.entries[of].leaf.clone(), log.entries[of].hash);
    log.entries[at].leaf = leaf;
    log.entries[at].hash = hash;
}

fn a_record_rewritten(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    rewrite(&mut log.entries[at], dice);
    log.refit();
}

fn rewritten_without_checkpoints(log: &mut Log, dice: &mut Dice) {
    log.checkpoints.truncate(dice.below(log.checkpoints.len().max(1)));
    a_record_rewritten(log, dice);
}

fn the_end_cut_off(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    log.entries.truncate(at);
    if dice.coin() {
        log.checkpoints.retain(|mark| mark.size <= at as u64);
    }
    log.refit();
}

fn signed_with_another_key(log: &mut Log, dice: &mut Dice) {
    a_record_rewritten(log, dice);
    log.sign_again(&other_key(log.key.verifier().name()));
}

fn a_stored_hash(log: &mut Log, dice: &mut Dice) {
    let at = any(log, dice);
    log.entries[at].hash.as_mut().unwrap().0[dice.below(32)] ^= 1;
}

fn a_checkpoint_edited(log: &mut Log, dice: &mut Dice) {
    let at = dice.below(log.checkpoints.len().max(1));
    let Some(mark) = log.checkpoints.get_mut(at) else { return };
    let mut note: Vec<char> = mark.note.chars().collect();
    let at = dice.below(note.len());
    note[at] = if note[at] == 'A' { 'B' } else { 'A' };
    mark.note = note.into_iter().collect();
}

fn a_checkpoint_moved(log: &mut Log, dice: &mut Dice) {
    let at = dice.below(log.checkpoints.len().max(1));
    if let Some(mark) = log.checkpoints.get_mut(at) {
        mark.size += 1 + dice.below(3) as u64;
    }
    log.checkpoints.dedup_by_key(|mark| mark.size);
}

fn the_head(log: &mut Log, dice: &mut Dice) {
    let Some(head) = &mut log.head else { return };
    match dice.below(3) {
        0 => head.chain = Digest([9; 32]),
        1 => head.size += 1,
        _ => head.size -= 1,
    }
}

fn several(log: &mut Log, dice: &mut Dice) {
    for _ in 0..3 {
        let kind = dice.below(EDITS.len() - 1);
        if log.entries.len() > 2 {
            mutate(log, kind, dice);
        }
    }
    log.renumber();
}

/// The first entry that is another.
pub fn first_difference(clean: &Log, edited: &Log) -> Option<u64> {
    let longest = clean.entries.len().max(edited.entries.len());
    (0..longest).find(|at| clean.entries.get(*at) != edited.entries.get(*at)).map(|at| at as u64)
}

/// What a verifier said.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub ok: bool,
    pub entries: u64,
    pub signed: u64,
    pub unsigned: Option<Place>,
    pub first_bad: Option<Place>,
    pub truncation: String,
    pub unknown: Vec<Value>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub from: u64,
    pub to: u64,
}

impl Answer {
    pub fn of(report: &Report) -> Self {
        serde_json::from_value(serde_json::to_value(report).unwrap()).unwrap()
    }

    /// Whether that is what promise 8 demands for a log that differs from `first` on, with a checkpoint from elsewhere
    /// of the size `outside` or 0.
    pub fn judge(&self, log: &Log, first: u64, outside: u64, what: &str) {
        let gone = |at: u64| {
            let entry = &log.entries[at as usize];
            let record = leaf::decode(&entry.leaf).unwrap();
            let fields = entry.personal.as_ref().map_or(0, Vec::len);
            (record.view.is_some() && entry.view.is_none()) || fields < record.commitments.len()
        };
        self.judge_signed((log.signed(), log.all_hold()), first, outside, what, gone);
    }

    /// The same for a log of which checkpoints of its own cover so many entries, and whether all of them hold.
    pub fn judge_signed(
        &self,
        (signed, all_hold): (u64, bool),
        first: u64,
        outside: u64,
        what: &str,
        gone: impl Fn(u64) -> bool,
    ) {
        let covered = first < signed.max(outside);
        if covered {
            assert!(!self.ok, "{what}: undetected change of {first}: {self:?}");
        }
        if self.ok {
            let unsigned = self.unsigned.map_or(self.entries, |place| place.from);
            assert!(unsigned <= first, "{what}: a change of {first} is called signed: {self:?}");
            assert!(first < self.entries || outside <= self.entries, "{what}: {self:?}");
        } else if covered && (self.signed <= first || !all_hold) {
            // A checkpoint that does not hold is itself a change, of what stands before it.
            let bad = self.first_bad.unwrap();
            assert!(bad.from <= first, "{what}: the change of {first} is said to be later: {self:?}");
        } else if covered {
            // Named by itself, while the checkpoint that covers it holds.
            let bad = self.first_bad.unwrap();
            assert!(bad.from <= first && first < bad.to, "{what}: not the change of {first}: {self:?}");
            // But where a view or field is gone, and the change may be that of the erasure which says so.
            assert!(bad.to == bad.from + 1 || gone(bad.from), "{what}: {first} is not named: {self:?}");
        }
    }
}
