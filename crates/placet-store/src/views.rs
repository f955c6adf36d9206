//! The readable views of records about approvals, by the id of their record: what was asked, and why somebody said no.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;

use placet_audit::verify::{SourceError, StoredEntry};
use placet_audit::{leaf, view};
use placet_types::ledger::LedgerOp;
use placet_types::{Record, RecordId};
use serde_json::{Map, Value};

use crate::place::Place;

/// Reads the views of requests and votes from a ledger, each once. A view that is not the one that was recorded
/// is an error: nobody is shown what somebody edited.
pub struct ApprovalViews {
    place: Place,
    after: Option<u64>,
    views: HashMap<RecordId, Map<String, Value>>,
}

impl ApprovalViews {
    /// The views in this ledger, which is opened when it is asked.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place, after: None, views: HashMap::new() }
    }

    /// The view of a record; `None` when there is none, or it was erased.
    ///
    /// # Errors
    /// [`SourceError`] when the ledger cannot be read, or a view in it is not the one that was recorded.
    pub fn get(&mut self, record: &RecordId) -> Result<Option<&Map<String, Value>>, SourceError> {
        if !self.views.contains_key(record) {
            self.catch_up()?;
        }
        Ok(self.views.get(record))
    }

    fn catch_up(&mut self) -> Result<(), SourceError> {
        let mut source = self.place.read()?;
        if let Some(after) = self.after {
            source.seek(after);
        }
        while let Some(entry) = source.next_entry()? {
            let malformed =
                |cause: String| SourceError::Malformed { place: format!("entry {}", entry.seq), cause };
            let record = leaf::decode(&entry.leaf).map_err(|error| malformed(error.to_string()))?;
            if is_about_approvals(&record) {
                let read = read(&entry, &record).map_err(|cause| malformed(cause.to_owned()))?;
                self.views.extend(read.map(|view| (record.id.clone(), view)));
            }
            self.after = Some(entry.seq);
        }
        Ok(())
    }
}

fn is_about_approvals(record: &Record) -> bool {
    record.ops.iter().any(|op| matches!(op, LedgerOp::Ask(_) | LedgerOp::Vote(_)))
}

fn read(entry: &StoredEntry, record: &Record) -> Result<Option<Map<String, Value>>, &'static str> {
    let Some(text) = &entry.view else { return Ok(None) };
    if record.view != Some(view::digest(text)) {
        return Err("its view was edited after it was recorded; run `placet audit verify`");
    }
    serde_json::from_str(text).map(Some).map_err(|_| "its view is no JSON object")
}
