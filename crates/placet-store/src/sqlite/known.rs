//! Cached rows as they stand while nobody else writes: what is only spilled need not ask the database for them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use ahash::HashMap;
use placet_trust::StateRow;
use rusqlite::{Row, params};

use super::{SqliteLink, failed};
use crate::backend::BackendError;

/// Cached rows as they stand while nobody else writes, by kind and id. There are few kinds.
#[derive(Debug, Default)]
pub(super) struct KnownRows(Vec<KnownKind>);

#[derive(Debug)]
struct KnownKind {
    kind: Box<str>,
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
    fn kind(&self, kind: &str) -> Option<&KnownKind> {
        self.0.iter().find(|known| *known.kind == *kind)
    }

    /// A kind to add to; of a new one nothing is known yet.
    fn kind_mut(&mut self, kind: &str) -> Option<&mut KnownKind> {
        if self.kind(kind).is_none() {
            self.0.push(KnownKind { kind: kind.into(), rows: HashMap::default(), whole: None });
        }
        self.0.iter_mut().find(|known| *known.kind == *kind)
    }

    fn get(&self, kind: &str, id: &str) -> Option<&KnownRow> {
        self.kind(kind)?.rows.get(id)
    }

    /// What the database holds of a row that was not spilled yet.
    pub(super) fn before(&self, row: &StateRow) -> Option<Option<&str>> {
        let known = self.kind(row.kind)?;
        match known.rows.get(&*row.id) {
            Some(known) => (!known.spilled).then_some(known.body.as_deref()),
            None => (known.whole == Some(true)).then_some(None),
        }
    }

    fn whole(&self, kind: &str) -> Option<bool> {
        self.kind(kind)?.whole
    }

    /// Takes in all rows of a kind, unless there are too many.
    fn read(&mut self, kind: &str, stored: Vec<(String, String)>) {
        let Some(known) = self.kind_mut(kind) else { return };
        known.whole = Some(stored.len() <= MOST_WHOLE);
        if known.whole == Some(true) {
            for (id, body) in stored {
                let row = KnownRow { body: Some(body), spilled: false };
                known.rows.entry(id.into()).or_insert(row);
            }
        }
    }

    /// The database holds this of a row.
    fn looked_up(&mut self, kind: &str, id: &str, body: Option<String>) {
        let Some(known) = self.kind_mut(kind) else { return };
        known.rows.insert(id.into(), KnownRow { body, spilled: false });
    }

    /// It is spilled.
    pub(super) fn spill(&mut self, row: &StateRow) {
        let Some(KnownKind { rows, .. }) = self.kind_mut(row.kind) else { return };
        match rows.get_mut(&*row.id) {
            Some(known) => {
                known.body.clone_from(&row.body);
                known.spilled = true;
            }
            None => drop(rows.insert((&*row.id).into(), KnownRow { body: row.body.clone(), spilled: true })),
        }
    }

    /// It is written to the database.
    pub(super) fn store(&mut self, row: &StateRow) {
        let Some(KnownKind { rows, whole, .. }) = self.kind_mut(row.kind) else { return };
        match &row.body {
            Some(body) if *whole == Some(true) => {
                let stored = KnownRow { body: Some(body.clone()), spilled: false };
                rows.insert((&*row.id).into(), stored);
            }
            _ => drop(rows.remove(&*row.id)),
        }
    }

    /// Everything is in the database now.
    pub(super) fn settle(&mut self) {
        for KnownKind { rows, whole, .. } in &mut self.0 {
            rows.retain(|_, row| row.body.is_some() || *whole != Some(true));
            rows.values_mut().for_each(|row| row.spilled = false);
        }
        let count: usize = self.0.iter().map(|known| known.rows.len()).sum();
        if count > MOST_KNOWN {
            self.0.clear();
        }
    }
}

impl SqliteLink {
    /// A cached row, while nobody else writes.
    pub(super) fn known_row(&mut self, kind: &str, id: &str) -> Result<Option<&str>, BackendError> {
        if self.known_rows.get(kind, id).is_none() && self.known_rows.whole(kind) != Some(true) {
            self.look_up(kind, id)?;
        }
        Ok(self.known_rows.get(kind, id).and_then(|known| known.body.as_deref()))
    }

    fn look_up(&mut self, kind: &str, id: &str) -> Result<(), BackendError> {
        if self.known_rows.whole(kind).is_none() {
            let stored = self.stored_rows(kind, MOST_WHOLE.saturating_add(1))?;
            self.known_rows.read(kind, stored);
        }
        if self.known_rows.get(kind, id).is_none() && self.known_rows.whole(kind) != Some(true) {
            let body = self.stored_row(kind, id)?;
            self.known_rows.looked_up(kind, id, body);
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
