//! Cached rows as they stand while nobody else writes: what is only spilled need not ask the database for them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use ahash::HashMap;
use placet_trust::StateRow;
use rusqlite::{Row, params};

use super::{SqliteLink, failed};
use crate::backend::BackendError;

/// Cached rows as they stand while nobody else writes, by kind and id.
#[derive(Debug, Default)]
pub(super) struct KnownRows(HashMap<Box<str>, KnownKind>);

#[derive(Debug, Default)]
struct KnownKind {
    rows: HashMap<Box<str>, KnownRow>,
    /// Whether the database has no others, once that was looked at. Most records come with a reservation that is new.
    whole: Option<bool>,
}

#[derive(Debug)]
struct KnownRow {
    body: Option<String>,
    /// Whether the database lacks it.
    spilled: bool,
}

/// How many rows are known at most.
const MOST_KNOWN: usize = 4_096;

/// Of a kind with no more rows than this in the database all are read at once.
const MOST_WHOLE: usize = 1_024;

impl KnownRows {
    fn get(&self, kind: &str, id: &str) -> Option<&KnownRow> {
        self.0.get(kind)?.rows.get(id)
    }

    /// What the database holds of a row that was not spilled yet.
    pub(super) fn before(&self, row: &StateRow) -> Option<Option<&str>> {
        let known = self.get(row.kind, &row.id).filter(|known| !known.spilled)?;
        Some(known.body.as_deref())
    }

    fn set(&mut self, kind: &str, id: &str, row: KnownRow) {
        if !self.0.contains_key(kind) {
            self.0.insert(kind.into(), KnownKind::default());
        }
        let Some(KnownKind { rows, .. }) = self.0.get_mut(kind) else { return };
        match rows.get_mut(id) {
            Some(known) => *known = row,
            None => drop(rows.insert(id.into(), row)),
        }
    }

    fn whole(&self, kind: &str) -> Option<bool> {
        self.0.get(kind)?.whole
    }

    /// Takes in all rows of a kind, unless there are too many.
    fn read(&mut self, kind: &str, stored: Vec<(String, String)>) {
        let known = self.0.entry(kind.into()).or_default();
        known.whole = Some(stored.len() <= MOST_WHOLE);
        if known.whole == Some(true) {
            for (id, body) in stored {
                let row = KnownRow { body: Some(body), spilled: false };
                known.rows.entry(id.into()).or_insert(row);
            }
        }
    }

    /// It is spilled.
    pub(super) fn spill(&mut self, row: &StateRow) {
        self.set(row.kind, &row.id, KnownRow { body: row.body.clone(), spilled: true });
    }

    /// It is written to the database.
    pub(super) fn store(&mut self, row: &StateRow) {
        match &row.body {
            Some(body) if self.whole(row.kind) == Some(true) => {
                self.set(row.kind, &row.id, KnownRow { body: Some(body.clone()), spilled: false });
            }
            _ => drop(self.0.get_mut(row.kind).map(|known| known.rows.remove(&*row.id))),
        }
    }

    /// Everything is in the database now.
    pub(super) fn settle(&mut self) {
        for KnownKind { rows, whole } in self.0.values_mut() {
            rows.retain(|_, row| row.body.is_some() || *whole != Some(true));
            rows.values_mut().for_each(|row| row.spilled = false);
        }
        let count: usize = self.0.values().map(|known| known.rows.len()).sum();
        if count > MOST_KNOWN {
            self.0.clear();
        }
    }
}

impl SqliteLink {
    /// A cached row, while nobody else writes.
    pub(super) fn known_row(&mut self, kind: &str, id: &str) -> Result<Option<&str>, BackendError> {
        if self.known_rows.get(kind, id).is_none() {
            self.look_up(kind, id)?;
        }
        Ok(self.known_rows.get(kind, id).and_then(|known| known.body.as_deref()))
    }

    fn look_up(&mut self, kind: &str, id: &str) -> Result<(), BackendError> {
        if self.known_rows.whole(kind).is_none() {
            let stored = self.stored_rows(kind, MOST_WHOLE.saturating_add(1))?;
            self.known_rows.read(kind, stored);
        }
        if self.known_rows.get(kind, id).is_none() {
            let whole = self.known_rows.whole(kind) == Some(true);
            let body = if whole { None } else { self.stored_row(kind, id)? };
            self.known_rows.set(kind, id, KnownRow { body, spilled: false });
        }
        Ok(())
    }

    pub(super) fn stored_row(&self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        self.one("SELECT body FROM state WHERE kind = ?1 AND id = ?2", [kind, id], |row| row.get(0))
    }

    /// The ids and texts of rows of a kind, this many at most.
    fn stored_rows(&self, kind: &str, most: usize) -> Result<Vec<(String, String)>, BackendError> {
        let sql = "SELECT id, body FROM state WHERE kind = ?1 LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![kind, most], read).map_err(|error| failed(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| failed(&error))
    }
}
