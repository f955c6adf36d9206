//! Random edits of a log, and what a verifier must say of them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::verify::{Report, StoredEntry};
use placet_audit::{leaf, view};
use placet_types::{Fact, Micros};
use serde::Deserialize;
use serde_json::Value;

use super::{Log, other_key};

/// How many kinds of edits there are.
pub const KINDS: u64 = 13;

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
}

/// Another record in its place, with a view and hash that fit: what someone without the key can do.
pub fn rewrite(entry: &mut StoredEntry, dice: &mut Dice) {
    let mut record = leaf::decode(&entry.leaf).unwrap();
    match (&mut record.fact, dice.below(3)) {
        (_, 0) => record.agent = Some("mallory".into()),
        (Fact::Decision(decision), 1) => decision.code = "forged".into(),
        (_, _) => record.time_us = Micros(record.time_us.0 + 1),
    }
    if let Some(text) = &mut entry.view {
        text.insert(text.len() - 1, ' ');
        record.view = Some(view::digest(text));
    }
    entry.leaf = leaf::encode(&record).unwrap();
}

/// Edits a log.
pub fn mutate(log: &mut Log, kind: usize, dice: &mut Dice) {
    let count = log.entries.len();
    let at = dice.below(count);
    match kind {
        0 => {
            let byte = dice.below(log.entries[at].leaf.len());
            log.entries[at].leaf[byte] ^= 1 << dice.below(7);
        }
        1 => match log.entries.iter_mut().skip(at).find(|entry| entry.view.is_some()) {
            Some(entry) => {
                let text = entry.view.as_mut().unwrap();
                text.insert(text.len() - 1, ' ');
            }
            None => mutate(log, kind, dice),
        },
        2 => drop(log.entries.remove(at)),
        3 => {
            log.entries.remove(at);
            log.refit();
        }
        4 => {
            let other = (at + 1 + dice.below(count - 1)) % count;
            log.entries.swap(at, other);
            if dice.below(2) == 0 {
                log.refit();
            }
        }
        5 => {
            let copy = log.entries[dice.below(count)].clone();
            log.entries.insert(at, copy);
            if dice.below(2) == 0 {
                log.refit();
            }
        }
        6 => {
            rewrite(&mut log.entries[at], dice);
            log.refit();
        }
        7 => {
            log.checkpoints.truncate(dice.below(log.checkpoints.len()));
            rewrite(&mut log.entries[at], dice);
            log.refit();
        }
        8 => {
            log.entries.truncate(at);
            log.refit();
        }
        9 => {
            rewrite(&mut log.entries[at], dice);
            log.refit();
            log.sign_again(&other_key());
        }
        10 => match log.entries.iter_mut().skip(at).find(|entry| entry.view.is_some()) {
            Some(entry) => {
                entry.view = None;
            }
            None => mutate(log, kind, dice),
        },
        11 => log.entries[at].hash.as_mut().unwrap().0[dice.below(32)] ^= 1,
        _ => {
            let fields =
                |entry: &StoredEntry| entry.personal.as_ref().is_some_and(|fields| !fields.is_empty());
            let entry = log.entries.iter_mut().filter(|entry| fields(entry)).nth(dice.below(4)).unwrap();
            let fields = entry.personal.as_mut().unwrap();
            match dice.below(3) {
                0 => fields[0].value.push(' '),
                1 => fields[0].salt[0] ^= 1,
                _ => drop(fields.remove(0)),
            }
        }
    }
}

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
        let ours = |note: &str| placet_audit::checkpoint::verify(note, &super::keys()).is_ok();
        let signed = log.checkpoints.iter().filter(|mark| ours(&mark.note)).map(|mark| mark.size).max();
        let covered = first < signed.unwrap_or(0).max(outside);
        if covered {
            assert!(!self.ok, "{what}: undetected change of {first}: {self:?}");
        }
        if self.ok {
            let unsigned = self.unsigned.map_or(self.entries, |place| place.from);
            assert!(unsigned <= first, "{what}: a change of {first} is called signed: {self:?}");
            assert!(first < self.entries || outside <= self.entries, "{what}: {self:?}");
        } else if covered && self.signed <= first {
            let bad = self.first_bad.unwrap();
            assert!(bad.from <= first, "{what}: the change of {first} is said to be later: {self:?}");
        } else if covered {
            // Named by itself, while the checkpoint that covers it holds.
            assert_eq!(self.first_bad, Some(Place { from: first, to: first + 1 }), "{what}: {self:?}");
        }
    }
}
