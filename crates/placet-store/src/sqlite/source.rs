//! Reading a ledger's file for `verify`, `list` and `export`: never creating, migrating or writing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::path::Path;

use placet_audit::verify::{
    EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredField, StoredHead,
};
use placet_types::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::frame::{self, Pending};
use super::spill::Spill;
use super::{APPLICATION_ID, SCHEMA_VERSION, beside, read_head, spill_path};
use crate::backend::BackendError;

/// How many entries are read at once.
const CHUNK: usize = 256;

/// A ledger's file, opened for reading: one moment of it, however long the reading takes.
pub struct SqliteSource {
    connection: Connection,
    chunk: VecDeque<Result<StoredEntry, SourceError>>,
    /// The position after which the next chunk begins.
    after: i64,
    checkpoint_after: i64,
    ended: bool,
    /// What is not in the database yet.
    pending: Option<Pending>,
}

impl SqliteSource {
    /// Opens a file that exists.
    ///
    /// # Errors
    /// [`SourceError`] when it is not there, cannot be read, or is no ledger of this release or an earlier one.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let connection = connect(path).map_err(|error| named(path, &error))?;
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let application = number("application_id").map_err(|error| named(path, &error))?;
        let version = number("user_version").map_err(|error| named(path, &error))?;
        if application != APPLICATION_ID || !(1..=SCHEMA_VERSION).contains(&version) {
            let found = format!("application id {application}, schema version {version}");
            let cause = format!("`{}` is no ledger that this release reads ({found})", path.display());
            return Err(SourceError::Unavailable { cause });
        }
        let pending = begin(&connection, path)?;
        let (chunk, after) = (VecDeque::new(), i64::MIN);
        Ok(Self { connection, chunk, after, checkpoint_after: i64::MIN, ended: false, pending })
    }

    /// The name of the log, as its head states it. Nothing vouches for it but a checkpoint.
    ///
    /// # Errors
    /// [`SourceError`] when there is no readable head.
    pub fn origin(&self) -> Result<String, SourceError> {
        let read = self.connection.query_row("SELECT origin FROM head WHERE one = 1", [], |row| row.get(0));
        read.map_err(|error| unavailable(&error))
    }

    /// Goes on after this position.
    pub fn seek(&mut self, after: u64) {
        self.chunk.clear();
        self.after = i64::try_from(after).unwrap_or(i64::MAX);
        self.ended = false;
    }

    fn fill(&mut self) -> Result<(), SourceError> {
        let sql = "SELECT e.seq, e.leaf, e.hash, v.body FROM entry e LEFT JOIN \"view\" v ON v.seq = e.seq
                   WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2";
        let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| unavailable(&error))?;
        let mut rows = statement.query([self.after, limit]).map_err(|error| unavailable(&error))?;
        let mut read = 0;
        let mut chunk = VecDeque::new();
        while let Some(row) = rows.next().map_err(|error| unavailable(&error))? {
            let seq: i64 = row.get(0).map_err(|error| unavailable(&error))?;
            self.after = seq;
            read += 1;
            let entry = match read_entry(seq, row) {
                Some(entry) => self.personal(seq).map(|personal| StoredEntry { personal, ..entry })?,
                None => {
                    let (place, cause) =
                        (format!("entry {seq}"), "its columns are not of their kinds".to_owned());
                    chunk.push_back(Err(SourceError::Malformed { place, cause }));
                    continue;
                }
            };
            chunk.push_back(Ok(entry));
        }
        self.ended = read < CHUNK;
        self.chunk = chunk;
        Ok(())
    }

    /// What is not in the database yet, as far as it was not read.
    fn spilled(&self) -> impl Iterator<Item = StoredEntry> {
        let entries = self.pending.iter().flat_map(|pending| &pending.entries);
        entries.filter(|entry| i64::try_from(entry.seq).is_ok_and(|seq| seq > self.after)).map(|entry| {
            let personal = entry.personal.iter().map(|(field, value)| StoredField {
                field: field.to_string(),
                salt: value.salt.to_vec(),
                value: value.text.clone(),
            });
            StoredEntry {
                seq: entry.seq,
                leaf: entry.leaf.clone().into_bytes(),
                hash: Some(entry.hash),
                view: entry.view.clone(),
                personal: Some(personal.collect()),
                ..StoredEntry::default()
            }
        })
    }

    fn personal(&self, seq: i64) -> Result<Option<Vec<StoredField>>, SourceError> {
        let sql = "SELECT field, salt, value FROM personal WHERE seq = ?1 ORDER BY field";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| unavailable(&error))?;
        let read = |row: &Row<'_>| {
            Ok(StoredField { field: text(row, 0)?, salt: bytes(row, 1)?.to_vec(), value: text(row, 2)? })
        };
        let fields = statement.query_map([seq], read).map_err(|error| unavailable(&error))?;
        fields.collect::<Result<Vec<_>, _>>().map(Some).map_err(|error| unavailable(&error))
    }
}

impl EntrySource for SqliteSource {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        if self.chunk.is_empty() && !self.ended {
            self.fill()?;
        }
        if self.chunk.is_empty() {
            self.chunk = self.spilled().map(Ok).collect();
            self.after = i64::MAX;
        }
        self.chunk.pop_front().transpose()
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        let sql = "SELECT size, note FROM checkpoint WHERE size > ?1 ORDER BY size LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| unavailable(&error))?;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, text(row, 1)?));
        let found = statement.query_row([self.checkpoint_after], read).optional();
        let Some((size, note)) = found.map_err(|error| unavailable(&error))? else { return Ok(None) };
        self.checkpoint_after = size;
        match u64::try_from(size) {
            Ok(size) => Ok(Some(StoredCheckpoint { size, note, time_us: None })),
            Err(_) => {
                let (place, cause) = (format!("checkpoint {size}"), "its size is negative".to_owned());
                Err(SourceError::Malformed { place, cause })
            }
        }
    }

    fn head(&mut self) -> Result<Option<StoredHead>, SourceError> {
        if let Some(pending) = &self.pending {
            let head = &pending.head.head;
            return Ok(Some(StoredHead { size: head.size(), chain: head.chain }));
        }
        let sql = "SELECT size, chain FROM head WHERE one = 1";
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?));
        let malformed = |cause: String| SourceError::Malformed { place: "the head".to_owned(), cause };
        match self.connection.query_row(sql, [], read).optional() {
            Ok(None) => Err(malformed("it is missing".to_owned())),
            Ok(Some((size, chain))) => {
                let size = u64::try_from(size).map_err(|_| malformed("its size is negative".to_owned()))?;
                Ok(Some(StoredHead { size, chain: Digest(chain) }))
            }
            Err(error) => Err(malformed(error.to_string())),
        }
    }
}

/// Begins a reading of the database, with what it lacks at that moment.
fn begin(connection: &Connection, path: &Path) -> Result<Option<Pending>, SourceError> {
    let failed = |error: BackendError| SourceError::Unavailable { cause: error.to_string() };
    let spill = Spill::open_to_read(&spill_path(path)).map_err(failed)?;
    for _ in 0..MOST_LOOKS {
        let looked = spill.as_ref().map(Spill::look).transpose().map_err(failed)?;
        connection.execute_batch("BEGIN").map_err(|error| unavailable(&error))?;
        // A head that cannot be read is a finding of whoever asks for it.
        let sql = "SELECT origin, size, frontier, chain, time_us, seal FROM head WHERE one = 1";
        let head = connection.query_row(sql, [], |row| Ok(read_head(row))).ok().and_then(Result::ok);
        let (Some(spill), Some((mark, frames)), Some(head)) = (&spill, looked, head) else { return Ok(None) };
        if spill.holds(mark).map_err(failed)? {
            return Ok(frame::pending(&frames, mark.turn(), &head.head));
        }
        connection.execute_batch("ROLLBACK").map_err(|error| unavailable(&error))?;
    }
    let cause = format!("`{}` was written to without a pause; read it again", path.display());
    Err(SourceError::Unavailable { cause })
}

/// How often a ledger is looked at before one moment of it is found in which nobody writes.
const MOST_LOOKS: usize = 1_000;

/// A file whose side files cannot be made, for instance on a medium that cannot be written, is read as it stands.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let readable = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let wal = std::fs::metadata(beside(path, "-wal")).map_or(0, |file| file.len());
    if readable.is_ok() || wal > 0 {
        return readable.map(|()| connection);
    }
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)
}

fn read_entry(seq: i64, row: &Row<'_>) -> Option<StoredEntry> {
    let exact = |index: usize| match row.get_ref(index) {
        Ok(ValueRef::Text(text)) => Some(text.to_vec()),
        _ => None,
    };
    let view = match row.get_ref(3) {
        Ok(ValueRef::Null) => None,
        _ => Some(String::from_utf8(exact(3)?).ok()?),
    };
    let hash = Digest(row.get::<_, [u8; 32]>(2).ok()?);
    let (seq, leaf) = (u64::try_from(seq).ok()?, exact(1)?);
    Some(StoredEntry { seq, leaf, hash: Some(hash), view, ..StoredEntry::default() })
}

fn bytes<'row>(row: &'row Row<'_>, index: usize) -> rusqlite::Result<&'row [u8]> {
    Ok(row.get_ref(index)?.as_bytes().unwrap_or_default())
}

/// A text. What is none was put there by somebody else: it is read as an empty one, and so found.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8(bytes(row, index)?.to_vec()).unwrap_or_default())
}

fn unavailable(error: &rusqlite::Error) -> SourceError {
    SourceError::Unavailable { cause: error.to_string() }
}

fn named(path: &Path, error: &rusqlite::Error) -> SourceError {
    SourceError::Unavailable { cause: format!("`{}`: {error}", path.display()) }
}
