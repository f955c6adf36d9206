//! Reading a PostgreSQL log for `verify`, `list` and `export`: never migrating or writing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;

use placet_audit::verify::{
    EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredField, StoredHead,
};
use placet_types::Digest;
use postgres::{Client, NoTls, Row};

use super::{Postgres, SCHEMA_VERSION, failed};

/// How many entries are read at once.
const CHUNK: usize = 256;

/// A PostgreSQL log, opened for reading: one moment of it, however long the reading takes.
pub struct PostgresSource {
    client: Client,
    chunk: VecDeque<Result<StoredEntry, SourceError>>,
    after: i64,
    checkpoint_after: i64,
    ended: bool,
}

impl PostgresSource {
    /// Opens a log that exists.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] when it is not there or cannot be read.
    pub fn open(place: &Postgres) -> Result<Self, SourceError> {
        let named = |cause: String| SourceError::Unavailable { cause: format!("`{}`: {cause}", place.name) };
        let mut client = place.config.connect(NoTls).map_err(|error| named(failed(&error).to_string()))?;
        let begin =
            format!("SET search_path = {}; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", place.schema);
        client.batch_execute(&begin).map_err(|error| unavailable(&error))?;
        let table = client.query_one("SELECT to_regclass('schema_version') IS NOT NULL", &[]);
        if !table.and_then(|row| row.try_get(0)).map_err(|error| unavailable(&error))? {
            return Err(named("there is no ledger; run a governed call first, or name another".to_owned()));
        }
        let version = client.query_one("SELECT version FROM schema_version", &[]);
        let version: i32 = version.and_then(|row| row.try_get(0)).map_err(|error| unavailable(&error))?;
        if version != SCHEMA_VERSION {
            return Err(named(format!("schema version {version}; this release reads {SCHEMA_VERSION}")));
        }
        let (chunk, start) = (VecDeque::new(), i64::MIN);
        Ok(Self { client, chunk, after: start, checkpoint_after: start, ended: false })
    }

    /// The name of the log, as its head states it. Nothing vouches for it but a checkpoint.
    ///
    /// # Errors
    /// [`SourceError`] when there is no readable head.
    pub fn origin(&mut self) -> Result<String, SourceError> {
        let row = self.client.query_one("SELECT origin FROM head WHERE one = 1", &[]);
        row.and_then(|row| row.try_get(0)).map_err(|error| unavailable(&error))
    }

    /// Goes on after this position.
    pub fn seek(&mut self, after: u64) {
        self.chunk.clear();
        self.after = i64::try_from(after).unwrap_or(i64::MAX);
        self.ended = false;
    }

    fn fill(&mut self) -> Result<(), SourceError> {
        let sql = "SELECT e.seq, e.leaf, e.hash, v.body,
                     (SELECT array_agg(field ORDER BY field) FROM personal p WHERE p.seq = e.seq),
                     (SELECT array_agg(salt ORDER BY field) FROM personal p WHERE p.seq = e.seq),
                     (SELECT array_agg(value ORDER BY field) FROM personal p WHERE p.seq = e.seq)
                   FROM entry e LEFT JOIN view v ON v.seq = e.seq
                   WHERE e.seq > $1 ORDER BY e.seq LIMIT $2";
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let rows = self.client.query(sql, &[&self.after, &limit]).map_err(|error| unavailable(&error))?;
        self.ended = rows.len() < CHUNK;
        for row in &rows {
            self.after = row.try_get(0).map_err(|error| unavailable(&error))?;
            let entry = read_entry(self.after, row)
                .map_err(|cause| SourceError::Malformed { place: format!("entry {}", self.after), cause });
            self.chunk.push_back(entry);
        }
        Ok(())
    }
}

impl EntrySource for PostgresSource {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        if self.chunk.is_empty() && !self.ended {
            self.fill()?;
        }
        self.chunk.pop_front().transpose()
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        let sql = "SELECT size, note FROM checkpoint WHERE size > $1 ORDER BY size LIMIT 1";
        let row =
            self.client.query_opt(sql, &[&self.checkpoint_after]).map_err(|error| unavailable(&error))?;
        let Some(row) = row else { return Ok(None) };
        let read = || Ok((row.try_get(0)?, row.try_get(1)?));
        let (size, note): (i64, String) = read().map_err(|error| unavailable(&error))?;
        self.checkpoint_after = size;
        let size = u64::try_from(size).map_err(|_| SourceError::Malformed {
            place: format!("checkpoint {size}"),
            cause: "its size is negative".to_owned(),
        })?;
        Ok(Some(StoredCheckpoint { size, note, time_us: None }))
    }

    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        let malformed =
            |cause: &str| SourceError::Malformed { place: "the head".to_owned(), cause: cause.to_owned() };
        let row = self.client.query_opt("SELECT size, chain FROM head WHERE one = 1", &[]);
        let row = row.map_err(|error| unavailable(&error))?.ok_or_else(|| malformed("it is missing"))?;
        let size: i64 = row.try_get(0).map_err(|error| unavailable(&error))?;
        let size = u64::try_from(size).map_err(|_| malformed("its size is negative"))?;
        let chain: &[u8] = row.try_get(1).map_err(|error| unavailable(&error))?;
        let chain = chain.try_into().map_err(|_| malformed("its chain has another length"))?;
        Ok(Some(StoredHead { size, chain: Digest(chain) }))
    }
}

fn read_entry(seq: i64, row: &Row) -> Result<StoredEntry, String> {
    let read = || -> Result<_, postgres::Error> {
        let fields: Option<Vec<String>> = row.try_get(4)?;
        let salts: Option<Vec<Vec<u8>>> = row.try_get(5)?;
        let values: Option<Vec<String>> = row.try_get(6)?;
        let texts = (row.try_get::<_, String>(1)?, row.try_get::<_, Option<String>>(3)?);
        Ok((texts, row.try_get::<_, Vec<u8>>(2)?, (fields, salts, values)))
    };
    let ((leaf, view), hash, (fields, salts, values)) = read().map_err(|error| error.to_string())?;
    let hash = hash.try_into().map(Digest).map_err(|_| "its hash has another length".to_owned())?;
    let seq = u64::try_from(seq).map_err(|_| "its position is negative".to_owned())?;
    let rest = salts.unwrap_or_default().into_iter().zip(values.unwrap_or_default());
    let personal = fields.unwrap_or_default().into_iter().zip(rest);
    let personal = personal.map(|(field, (salt, value))| StoredField { field, salt, value }).collect();
    Ok(StoredEntry {
        seq,
        leaf: leaf.into_bytes(),
        hash: Some(hash),
        view,
        personal: Some(personal),
        ..StoredEntry::default()
    })
}

fn unavailable(error: &postgres::Error) -> SourceError {
    SourceError::Unavailable { cause: failed(error).to_string() }
}
