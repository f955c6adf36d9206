//! One batch: many proposals, one transaction, one flush.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use placet_audit::leaf::{self, LeafError};
use placet_audit::seal::Head;
use placet_audit::view::{self, SaltedValue};
use placet_audit::{RandomError, tree};
use placet_trust::{Fallback, LedgerError, Proposal, Receipt, Refusal, State, StateKey, View};
use placet_types::record::RecoveryFact;
use placet_types::{Ack, Digest, Fact, Micros, Record, RecordId};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::backend::{Access, Backend, Batch, Erase, Link, NewEntry};
use crate::compare::edited;
use crate::engine::{Engine, Publish, closed};

/// A clock that is behind the log by more than this went back; smaller steps are those of several machines.
const CLOCK_STEP_US: i64 = 2_000_000;

/// What a caller wants of the writer.
pub(crate) enum Work {
    /// Commit a record.
    Commit(Box<Entry>),
    /// Take in what others committed.
    Refresh,
    /// Sign a checkpoint if there is something new.
    Sign,
}

impl Work {
    fn ack(&self) -> Option<Ack> {
        match self {
            Self::Commit(entry) => Some(entry.ack),
            Self::Sign => Some(Ack::Published),
            Self::Refresh => None,
        }
    }
}

/// What became of it.
pub(crate) type Done = Result<Option<Receipt>, LedgerError>;

/// A proposal, made ready outside of any lock.
pub(crate) struct Entry {
    parts: Parts,
    fallback: Option<Fallback>,
    erase: Vec<Erase>,
    ack: Ack,
}

struct Parts {
    record: Record,
    view: Option<String>,
    personal: Vec<(Arc<str>, SaltedValue)>,
}

impl Entry {
    pub(crate) fn new(proposal: Proposal, erase: Vec<Erase>, ack: Ack) -> Result<Self, RandomError> {
        let Proposal { record, view, personal, fallback } = proposal;
        let mut parts = Parts::new(record, view)?;
        for field in personal {
            let value = SaltedValue::new(&field.value)?;
            parts.record.commitments.insert(field.field.clone(), value.commitment());
            parts.personal.push((field.field, value));
        }
        Ok(Self { parts, fallback, erase, ack })
    }
}

impl Parts {
    fn new(mut record: Record, view: Option<View>) -> Result<Self, RandomError> {
        let view = match view {
            Some(View::Members(members)) => Some(view::text(members)?),
            Some(View::Text(text)) => Some(view::salted(text)?),
            None => None,
        };
        record.view = view.as_deref().map(view::digest);
        record.commitments.clear();
        Ok(Self { record, view, personal: Vec::new() })
    }
}

/// Does all works with one transaction, and answers each in order.
pub(crate) fn run<B: Backend>(engine: &mut Engine<B>, works: Vec<Work>, publish: &dyn Publish) -> Vec<Done> {
    let count = works.len();
    let done = catch_unwind(AssertUnwindSafe(|| try_run(engine, works, publish)));
    let error = match done {
        Ok(Ok(done)) => return done,
        Ok(Err(error)) => error,
        Err(_) => {
            engine.unavailable("append", "a fault in the program; this call and those beside it were refused")
        }
    };
    engine.give_up();
    (0..count).map(|_| Err(error.clone())).collect()
}

fn try_run<B: Backend>(
    engine: &mut Engine<B>,
    works: Vec<Work>,
    publish: &dyn Publish,
) -> Result<Vec<Done>, LedgerError> {
    engine.ensure_open(publish)?;
    let Some(strongest) = works.iter().filter_map(Work::ack).max() else {
        refresh(engine, publish)?;
        return Ok(works.iter().map(|_| Ok(None)).collect());
    };
    let access = if strongest == Ack::Written { Access::Written } else { Access::Durable };
    let stored = engine.begin(access)?;
    engine.catch_up(stored, publish)?;
    let done = write(engine, works, strongest == Ack::Published, publish);
    engine.end();
    done
}

fn refresh<B: Backend>(engine: &mut Engine<B>, publish: &dyn Publish) -> Result<(), LedgerError> {
    let changed = engine.link()?.changed().map_err(|error| engine.failed("read", error))?;
    let dirty = engine.log.as_ref().is_none_or(|log| log.dirty);
    if changed || dirty {
        let stored = engine.begin(Access::Read)?;
        engine.catch_up(stored, publish)?;
        engine.end();
    }
    Ok(())
}

pub(crate) fn write<B: Backend>(
    engine: &mut Engine<B>,
    works: Vec<Work>,
    published: bool,
    publish: &dyn Publish,
) -> Result<Vec<Done>, LedgerError> {
    let mut round = Round::new(engine, works.len())?;
    let mut done = Vec::with_capacity(works.len());
    round.note_clock(engine)?;
    if round.several {
        round.compare_all(engine, &works)?;
    }
    let awaited = works.iter().any(|work| matches!(work, Work::Commit(entry) if entry.ack == Ack::Published));
    let mut published_at = Vec::new();
    for (at, work) in works.into_iter().enumerate() {
        if work.ack() == Some(Ack::Published) {
            published_at.push(at);
        }
        done.push(match work {
            Work::Commit(entry) => round.take(engine, *entry)?.map(Some),
            Work::Refresh | Work::Sign => Ok(None),
        });
    }
    let grew = round.head.size() > engine.log.as_ref().map_or(0, |log| log.signed);
    if round.entries.is_empty() && round.erase.is_empty() && !(published && grew) {
        return Ok(done);
    }
    let spread = round.finish(engine, published && grew, awaited, publish)?;
    if let Err(error) = spread {
        // Everything is committed, but not in every place that `published` promises.
        for at in published_at {
            if let Some(done) = done.get_mut(at) {
                *done = Err(error.clone());
            }
        }
    }
    Ok(done)
}

/// A batch while it is put together.
struct Round {
    head: Head,
    now: Micros,
    behind_us: i64,
    entries: Vec<NewEntry>,
    records: Vec<Record>,
    erase: Vec<Erase>,
    /// Whether other works may follow.
    several: bool,
    /// Keys whose rows were compared for earlier works, and whether they were as the log has them.
    compared: BTreeMap<StateKey, bool>,
    /// Keys of the records, those of each in order.
    touched: Vec<StateKey>,
}

/// Why a record was not taken.
enum Stop {
    /// A precondition does not hold.
    Refused(Refusal),
    /// This record cannot be kept; others can.
    Rejected(LedgerError),
    /// The transaction must be given up.
    Failed(LedgerError),
}

impl Round {
    fn new<B: Backend>(engine: &Engine<B>, works: usize) -> Result<Self, LedgerError> {
        let Some(log) = &engine.log else { return Err(closed()) };
        let clock = (engine.settings.clock)();
        Ok(Self {
            head: log.committed.head.clone(),
            now: clock.max(log.time()),
            behind_us: log.time().0.saturating_sub(clock.0),
            entries: Vec::with_capacity(works),
            records: Vec::with_capacity(works),
            erase: Vec::new(),
            several: works > 1,
            compared: BTreeMap::new(),
            touched: Vec::new(),
        })
    }

    /// Records once that the clock stands before the log.
    fn note_clock<B: Backend>(&mut self, engine: &mut Engine<B>) -> Result<(), LedgerError> {
        let behind = self.behind_us > CLOCK_STEP_US;
        let flagged = engine.log.as_mut().map(|log| std::mem::replace(&mut log.clock_flagged, behind));
        if !behind || flagged == Some(true) {
            return Ok(());
        }
        let count = u64::try_from(self.behind_us / 1_000_000).unwrap_or_default();
        let fact = Fact::Recovery(RecoveryFact { code: "clock_went_back".into(), count, rollback: None });
        let record = Record::new(RecordId(Uuid::now_v7().to_string().into()), fact);
        let parts = Parts { record, view: None, personal: Vec::new() };
        self.append(engine, parts).map(|_| ()).map_err(|stop| match stop {
            Stop::Failed(error) | Stop::Rejected(error) => error,
            Stop::Refused(refusal) => engine.unavailable("append", refusal),
        })
    }

    /// Takes a proposal or its fallback. The inner error is of this proposal alone.
    fn take<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        entry: Entry,
    ) -> Result<Result<Receipt, LedgerError>, LedgerError> {
        let Entry { parts, fallback, erase, .. } = entry;
        let refusal = match self.append(engine, parts) {
            Ok(receipt) => {
                self.erase.extend(erase);
                return Ok(Ok(receipt));
            }
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Rejected(error)) => return Ok(Err(error)),
            Err(Stop::Refused(refusal)) => refusal,
        };
        let Some(fallback) = fallback else {
            let (seq, leaf) = (self.head.size(), Digest([0; 32]));
            return Ok(Ok(Receipt { seq, time_us: self.now, leaf, refused: Some(refusal) }));
        };
        let (record, view) = fallback(&refusal);
        let parts = match Parts::new(record, view) {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(engine.unavailable("append", error))),
        };
        match self.append(engine, parts) {
            Ok(receipt) => Ok(Ok(Receipt { refused: Some(refusal), ..receipt })),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Rejected(error)) => Ok(Err(error)),
            Err(Stop::Refused(second)) => Ok(Err(
                engine.unavailable("append", format!("the record of a refusal was refused: {second}"))
            )),
        }
    }

    fn append<B: Backend>(&mut self, engine: &mut Engine<B>, parts: Parts) -> Result<Receipt, Stop> {
        let Parts { mut record, view, personal } = parts;
        record.time_us = self.now;
        let leaf = leaf::encode(&record).map_err(|error| Stop::Rejected(unencodable(engine, &error)))?;
        let keys = self.compare(engine, &record)?;
        self.working(engine).map_err(Stop::Failed)?.admit(&record).map_err(Stop::Refused)?;
        match self.touched.is_empty() {
            true => self.touched = keys,
            false => self.touched.extend(keys),
        }
        let (seq, hash) = (self.head.size(), tree::leaf_hash(leaf.as_bytes()));
        self.head.push(hash, self.now);
        self.entries.push(NewEntry { seq, leaf, hash, view, personal });
        self.records.push(record);
        Ok(Receipt { seq, time_us: self.now, leaf: hash, refused: None })
    }

    fn working<'e, B: Backend>(&self, engine: &'e mut Engine<B>) -> Result<&'e mut State, LedgerError> {
        engine.log.as_mut().map(|log| &mut log.working).ok_or_else(closed)
    }

    /// Holds the cached rows that several works need against the log with one question. What a record needs beyond
    /// that, because of one before it in this round, is asked for when it is its turn.
    fn compare_all<B: Backend>(&mut self, engine: &mut Engine<B>, works: &[Work]) -> Result<(), LedgerError> {
        let working = &engine.log.as_ref().ok_or_else(closed)?.working;
        let needed = works.iter().filter_map(|work| match work {
            Work::Commit(entry) => Some(working.keys(&entry.parts.record)),
            Work::Refresh | Work::Sign => None,
        });
        let mut keys: Vec<StateKey> = needed.flatten().collect();
        keys.sort_unstable();
        keys.dedup();
        self.compare_keys(engine, &keys).map(|_| ())
    }

    /// Holds the cached rows that a record needs against the log.
    fn compare<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        record: &Record,
    ) -> Result<Vec<StateKey>, Stop> {
        if record.ops.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.working(engine).map_err(Stop::Failed)?.keys(record);
        let edited = self.compare_keys(engine, &keys).map_err(Stop::Failed)?;
        edited.map_or(Ok(keys), |refusal| Err(Stop::Refused(refusal)))
    }

    /// Holds rows against the log that this round did not compare yet: no record of the round has changed them, since
    /// its rows are compared first. The refusal is of the first that was edited.
    fn compare_keys<B: Backend>(
        &mut self,
        engine: &mut Engine<B>,
        keys: &[StateKey],
    ) -> Result<Option<Refusal>, LedgerError> {
        let (Some(log), Some(link)) = (&engine.log, &mut engine.link) else { return Err(closed()) };
        let edited_before = keys.iter().find(|key| self.compared.get(key) == Some(&false));
        if let Some(key) = edited_before {
            return Ok(Some(edited(&log.rows.row(key, &log.working))));
        }
        let unknown = || keys.iter().filter(|key| !self.compared.contains_key(key));
        let rows: SmallVec<[_; 4]> = unknown().map(|key| log.rows.row(key, &log.working)).collect();
        let agree = match link.agrees(&rows) {
            Ok(agree) => agree,
            Err(error) => {
                drop(rows);
                return Err(engine.failed("read", error));
            }
        };
        let refusal = rows.iter().zip(&agree).find(|(_, agrees)| !**agrees).map(|(row, _)| edited(row));
        if self.several {
            let compared: Vec<_> = unknown().cloned().zip(agree).collect();
            self.compared.extend(compared);
        }
        Ok(refusal)
    }

    /// Commits, shows the new state, and keeps a checkpoint in its other places. The inner result is of the latter.
    fn finish<B: Backend>(
        mut self,
        engine: &mut Engine<B>,
        sign: bool,
        awaited: bool,
        publish: &dyn Publish,
    ) -> Result<Result<(), LedgerError>, LedgerError> {
        let note = if sign { Some(engine.sign(&self.head, &self.entries)?) } else { None };
        let Some(log) = &mut engine.log else { return Err(closed()) };
        if self.records.len() > 1 {
            self.touched.sort_unstable();
            self.touched.dedup();
        }
        let rows = self.touched.iter().map(|key| log.rows.changed(key, &log.working)).collect();
        let head = log.sealed(self.head);
        let batch = Batch { entries: self.entries, rows, erase: self.erase, note, head };
        let link = engine.link()?;
        let written = link.append(&batch).and_then(|()| link.commit());
        written.map_err(|error| engine.failed("append", error))?;
        if let Some(log) = &mut engine.log {
            log.committed(batch.head.clone(), batch.entries.iter().map(|entry| entry.hash));
            log.publish(&self.records, publish);
        }
        engine.mirror(&batch);
        if let Some(log) = &mut engine.log {
            log.rows.keep(self.touched.into_iter().zip(batch.rows));
        }
        Ok(match &batch.note {
            Some((size, note)) => engine.signed(*size, note, awaited),
            None => Ok(()),
        })
    }
}

fn unencodable<B: Backend>(engine: &Engine<B>, error: &LeafError) -> LedgerError {
    match *error {
        LeafError::TooLarge { actual_bytes } => {
            LedgerError::TooLarge { actual_bytes, limit_bytes: leaf::MAX_LEAF_BYTES }
        }
        _ => engine.unavailable("append", error),
    }
}
