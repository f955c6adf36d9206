//! Erasing what people wrote: which records hold it, and the record that says it is gone.
//!
//! Nothing here touches a leaf: the record, its time, its ids and every proof stay. What goes is the readable view and
//! the personal fields, with their salts, so that nobody can confirm a guess from the digests that are left.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_audit::leaf;
use placet_audit::verify::{EntrySource, SourceError, StoredEntry};
use placet_trust::{LedgerError, Receipt};
use placet_types::ledger::LedgerOp;
use placet_types::record::{ARCHIVED, ErasureFact};
use placet_types::{ApprovalId, Fact, Micros, Record, RecordId};
use serde_json::Value;
use uuid::Uuid;

use crate::archive::{ArchiveError, ArchiveSource, ViewKeys};
use crate::ledger::Store;

/// How many records one erasure names at most: a leaf has a limit.
const MOST_NAMED: usize = 4_000;

/// Whose text goes. All that is given must hold; an empty selection selects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// These records, by position or id.
    pub records: Vec<String>,
    /// Records of this tenant.
    pub tenant: Option<String>,
    /// Records of this session.
    pub session: Option<String>,
    /// Records of this agent.
    pub agent: Option<String>,
    /// Records whose view names this user.
    pub user: Option<String>,
    /// Records in whose view or personal fields this text stands, in any case.
    pub containing: Option<String>,
    /// Records before this moment.
    pub before: Option<Micros>,
    /// Only these personal fields; empty means views and all fields.
    pub fields: Vec<Arc<str>>,
}

/// Who asks for an erasure, and on which ground.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub by: Arc<str>,
    /// On which ground, for instance `gdpr-17`.
    pub basis: Arc<str>,
}

/// What was erased.
#[derive(Debug)]
pub struct Erased {
    /// The records, by position.
    pub records: Vec<u64>,
    /// The erasures that say so, by position.
    pub said_by: Vec<u64>,
    /// Where the text may still stand for a while, and why; `None` when it is gone.
    pub left: Option<LedgerError>,
}

/// Why nothing, or not all, was erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The selection says nothing.
    #[error(
        "nothing says what to erase; name records, a tenant, a session, an agent, a user, a text or a time"
    )]
    Nothing,
    /// Who or why is missing.
    #[error("`{0}` is empty; an erasure says who asked for it and on which ground")]
    Unsaid(&'static str),
    /// The ground is the word for what stays in the archive.
    #[error(
        "the ground `{ARCHIVED}` says that the text stays in the archive; name another, or use `placet audit prune`"
    )]
    Reserved,
    /// The log cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The ledger did not take it.
    #[error("{0}; {1} records were erased before")]
    Ledger(#[source] LedgerError, usize),
    /// The ledger refused it.
    #[error("the ledger refused the erasure: {0}; {1} records were erased before")]
    Refused(String, usize),
}

impl Selection {
    fn says_nothing(&self) -> bool {
        let texts = [&self.tenant, &self.session, &self.agent, &self.user, &self.containing];
        let empty = |text: &Option<String>| text.as_ref().is_none_or(|text| text.is_empty());
        self.records.is_empty() && texts.into_iter().all(empty) && self.before.is_none()
    }

    /// The records that hold what was selected, oldest first. An outcome, a request for approval and its votes go with
    /// the decision that they are about. Records whose view is in an archive only are found by what their leaf says, or
    /// by their text where the source is [`crate::archive::Joined`].
    ///
    /// # Errors
    /// [`EraseError::Nothing`] and [`EraseError::Source`].
    pub fn find(&self, source: &mut dyn EntrySource, archived: &ViewKeys) -> Result<Vec<u64>, EraseError> {
        if self.says_nothing() {
            return Err(EraseError::Nothing);
        }
        let mut about = About::default();
        let mut held = BTreeSet::new();
        let mut found = BTreeSet::new();
        while let Some(entry) = source.next_entry()? {
            // What cannot be read is for `verify` to name.
            let Ok(record) = leaf::decode(&entry.leaf) else { continue };
            if self.holds(&entry) || (self.fields.is_empty() && archived.holds(entry.seq)) {
                held.insert(entry.seq);
            }
            if self.matches(&entry, &record) {
                found.insert(entry.seq);
                about.choose(&record);
            }
            about.note(entry.seq, &record);
        }
        found.extend(about.related());
        Ok(found.intersection(&held).copied().collect())
    }

    /// Whether anything is left to erase of an entry.
    fn holds(&self, entry: &StoredEntry) -> bool {
        let fields = entry.personal.as_deref().unwrap_or_default();
        match self.fields.as_slice() {
            [] => entry.view.is_some() || !fields.is_empty(),
            wanted => fields.iter().any(|field| wanted.iter().any(|wanted| **wanted == *field.field)),
        }
    }

    fn matches(&self, entry: &StoredEntry, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &Option<Arc<str>>| match wanted {
            Some(wanted) => found.as_deref() == Some(wanted),
            None => true,
        };
        let seq = entry.seq.to_string();
        let named = self.records.is_empty()
            || self.records.iter().any(|wanted| *wanted == seq || **wanted == *record.id.0);
        named
            && is(&self.tenant, &record.tenant)
            && is(&self.session, &record.session)
            && is(&self.agent, &record.agent)
            && self.before.is_none_or(|before| record.time_us < before)
            && self.user.as_ref().is_none_or(|user| names_user(entry, user))
            && self.containing.as_ref().is_none_or(|text| contains(entry, text))
    }
}

fn view(entry: &StoredEntry) -> Option<Value> {
    serde_json::from_str(entry.view.as_deref()?).ok()
}

fn names_user(entry: &StoredEntry, user: &str) -> bool {
    view(entry).is_some_and(|view| view.get("user").and_then(Value::as_str) == Some(user))
}

fn contains(entry: &StoredEntry, text: &str) -> bool {
    let wanted = text.to_lowercase();
    let fields = entry.personal.iter().flatten().filter_map(|field| serde_json::from_str(&field.value).ok());
    view(entry).into_iter().chain(fields).any(|value| stands_in(&value, &wanted))
}

/// Whether a text stands in a value or in a name within it, however it is escaped.
fn stands_in(value: &Value, wanted: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(wanted);
    match value {
        Value::String(text) => holds(text),
        Value::Array(items) => items.iter().any(|item| stands_in(item, wanted)),
        Value::Object(map) => map.iter().any(|(name, value)| holds(name) || stands_in(value, wanted)),
        Value::Number(number) => holds(&number.to_string()),
        Value::Bool(_) | Value::Null => false,
    }
}

/// Which records are about which decision and approval.
#[derive(Default)]
struct About {
    decisions: BTreeSet<RecordId>,
    approvals: BTreeSet<ApprovalId>,
    outcomes: BTreeMap<u64, RecordId>,
    asked: BTreeMap<u64, BTreeSet<ApprovalId>>,
}

impl About {
    fn choose(&mut self, record: &Record) {
        self.approvals.extend(approvals(record));
        self.decisions.extend(decision(record).cloned());
    }

    fn note(&mut self, seq: u64, record: &Record) {
        self.outcomes.extend(decision(record).map(|id| (seq, id.clone())));
        let approvals = approvals(record);
        if !approvals.is_empty() {
            self.asked.insert(seq, approvals);
        }
    }

    fn related(&self) -> impl Iterator<Item = u64> {
        let outcomes = self.outcomes.iter().filter(|(_, decision)| self.decisions.contains(*decision));
        let asked = self.asked.iter().filter(|(_, ids)| !ids.is_disjoint(&self.approvals));
        outcomes.map(|(seq, _)| *seq).chain(asked.map(|(seq, _)| *seq))
    }
}

/// The decision that a record is, or is the outcome of.
fn decision(record: &Record) -> Option<&RecordId> {
    match &record.fact {
        Fact::Decision(_) => Some(&record.id),
        Fact::Outcome(outcome) => Some(&outcome.decision),
        _ => None,
    }
}

fn approvals(record: &Record) -> BTreeSet<ApprovalId> {
    let of_fact = match &record.fact {
        Fact::Decision(decision) => decision.approval.clone(),
        _ => None,
    };
    let of_ops = record.ops.iter().filter_map(|op| match op {
        LedgerOp::Ask(entry) => Some(entry.id.clone()),
        LedgerOp::Vote(vote) => Some(vote.approval.clone()),
        LedgerOp::Consume(consumption) => Some(consumption.approval.clone()),
        _ => None,
    });
    of_ops.chain(of_fact).collect()
}

/// Erases what a selection found, and records who asked for it, on which ground, and of which records.
///
/// # Errors
/// [`EraseError`]. What was erased before it stays erased and on record.
pub fn erase(
    store: &dyn Store,
    records: &[u64],
    fields: &[Arc<str>],
    request: &Request,
) -> Result<Erased, EraseError> {
    if &*request.basis == ARCHIVED {
        return Err(EraseError::Reserved);
    }
    erase_as(store, records, fields, request)
}

/// Takes views out of the ledger that its archive holds, and records it; they can still be read there.
///
/// Only views before `before` go whose archived copy was opened with its key and is the same. Both sources stand at
/// their beginnings.
///
/// # Errors
/// [`EraseError`]. What was taken out before it stays so, and on record.
pub fn prune(
    store: &dyn Store,
    mut live: impl EntrySource,
    mut archived: ArchiveSource,
    before: Micros,
    by: &str,
) -> Result<Erased, EraseError> {
    let mut found = Vec::new();
    while let (Some(live), Some(archived)) = (live.next_entry()?, archived.next_entry()?) {
        let is_old = leaf::decode(&live.leaf).is_ok_and(|record| record.time_us < before);
        if is_old && live.view.is_some() && live.leaf == archived.leaf && live.view == archived.view {
            found.push(live.seq);
        }
    }
    // While the ledger is read, its side file cannot be emptied.
    drop((live, archived));
    let request = Request { by: by.into(), basis: ARCHIVED.into() };
    erase_as(store, &found, &[], &request)
}

fn erase_as(
    store: &dyn Store,
    records: &[u64],
    fields: &[Arc<str>],
    request: &Request,
) -> Result<Erased, EraseError> {
    for (name, said) in [("by", &request.by), ("basis", &request.basis)] {
        if said.trim().is_empty() {
            return Err(EraseError::Unsaid(name));
        }
    }
    let mut erased = Erased { records: Vec::new(), said_by: Vec::new(), left: None };
    for some in records.chunks(MOST_NAMED) {
        let fact = ErasureFact {
            records: some.to_vec(),
            fields: fields.to_vec(),
            by: request.by.clone(),
            basis: request.basis.clone(),
        };
        let record = Record::new(RecordId(Uuid::now_v7().to_string().into()), Fact::Erasure(fact.clone()));
        let before = erased.records.len();
        let done = store.erase(record, fact).map_err(|error| EraseError::Ledger(error, before))?;
        let Receipt { seq, refused, .. } = done.receipt;
        if let Some(refusal) = refused {
            return Err(EraseError::Refused(refusal.to_string(), before));
        }
        erased.records.extend_from_slice(some);
        erased.said_by.push(seq);
        erased.left = done.left;
    }
    Ok(erased)
}
