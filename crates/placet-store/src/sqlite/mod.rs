//! A log in an SQLite file, shared by several processes.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod frame;
mod known;
mod lock;
mod side;
mod source;
mod spill;
mod turns;
mod window;
mod zeros;

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use placet_audit::seal::Head;
use placet_audit::tree::Frontier;
use placet_audit::view::SaltedValue;
use placet_trust::StateRow;
use placet_types::{Digest, Micros};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use crate::backend::{Access, Backend, BackendError, Batch, Erase, Link, NewEntry, StoredHead};

use known::KnownRows;
use lock::{Helpers, LockFile};
use side::SideFile;
use spill::{Mark, Spill};
use turns::{Left, Spilling, Standing, Turn};

pub use source::SqliteSource;

/// Marks a file as a ledger of Placet: `plct`.
pub const APPLICATION_ID: i32 = 0x706c_6374;

/// The schema that this release writes.
pub const SCHEMA_VERSION: i32 = 1;

/// How large the pages of a new ledger are. A commit writes three or more of them whole, and most records are shorter
/// than half of what SQLite would take: what is flushed is halved. A ledger with other pages keeps them.
const PAGE_BYTES: i32 = 2_048;

/// How long a foreign program may hold the database before a commit is refused.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Steps from one schema version to the next; the last one leads to [`SCHEMA_VERSION`].
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// A log in an SQLite file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    helpers: Arc<Helpers>,
}

impl Sqlite {
    /// The log in this file, which is made on first use.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), helpers: Arc::default() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Backend for Sqlite {
    type Link = SqliteLink;

    const INHERITS_LOCKS: bool = true;

    fn name(&self) -> Arc<str> {
        self.path.display().to_string().into()
    }

    fn open(&self) -> Result<SqliteLink, BackendError> {
        make_file(&self.path)?;
        let mut lock = LockFile::open(beside(&self.path, ".lock"), self.helpers.clone())?;
        lock.take()?;
        let opened = connect(&self.path).and_then(|connection| {
            migrate(&connection, &self.path)?;
            Ok(connection)
        });
        lock.give_back();
        let mut connection = opened?;
        let side =
            SideFile::watch(&mut connection, beside(&self.path, "-wal")).map_err(|error| failed(&error))?;
        Ok(SqliteLink {
            connection,
            lock,
            full: None,
            version: None,
            side,
            spill: None,
            spill_path: spill_path(&self.path),
            seen: None,
            left: None,
            buffer: Vec::new(),
            standing: None,
            known_rows: KnownRows::default(),
            known_version: 0,
            turn: Turn::Nobody,
        })
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Where the batches of a ledger wait that are not in its database yet.
fn spill_path(path: &Path) -> PathBuf {
    beside(path, "-spill")
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// Makes the file before SQLite does, so that nobody else may read it.
fn make_file(path: &Path) -> Result<(), BackendError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> BackendError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    BackendError::Failed(format!(
        "`{}` cannot be opened for writing ({error}); let this user write to the folder `{}`, or set `ledger` to another path",
        path.display(),
        folder.display()
    ))
}

fn connect(path: &Path) -> Result<Connection, BackendError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    let set = || -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        // Closing must be quick before a fork; what is in the side file stays there.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(())
    };
    set().map_err(|error| failed(&error))?;
    Ok(connection)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), BackendError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let version = number("user_version").map_err(|error| failed(&error))?;
    let application = number("application_id").map_err(|error| failed(&error))?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| failed(&error))?;
    let named = format!("`{}`", path.display());
    if application != APPLICATION_ID && (tables > 0 || application != 0) {
        let advice = "set `ledger` to a path of its own";
        return Err(BackendError::Failed(format!("{named} is a database of another program; {advice}")));
    }
    let known = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(steps) = MIGRATIONS.get(known..) else {
        return Err(BackendError::Failed(format!(
            "{named} has schema version {version}; this release knows {SCHEMA_VERSION}; use a newer release"
        )));
    };
    if steps.is_empty() {
        return Ok(());
    }
    let script = format!(
        "PRAGMA application_id = {APPLICATION_ID}; BEGIN IMMEDIATE; {}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;",
        steps.join(";\n")
    );
    connection.execute_batch(&script).map_err(|error| failed(&error))
}

/// A connection to an SQLite log, and its lock file.
#[derive(Debug)]
pub struct SqliteLink {
    connection: Connection,
    lock: LockFile,
    /// How the connection flushes at present.
    full: Option<bool>,
    version: Option<i64>,
    side: SideFile,
    /// Once there is one.
    spill: Option<Spill>,
    spill_path: PathBuf,
    /// The mark when this connection last looked, if it is known.
    seen: Option<Mark>,
    /// The database as this connection left it.
    left: Option<Left>,
    /// Where the frame of the next batch is put together.
    buffer: Vec<u8>,
    /// What this connection left behind, where it need not look again unless somebody wrote since.
    standing: Option<Standing>,
    /// Cached rows as they stand, while nobody else writes.
    known_rows: KnownRows,
    /// The version of the database at which they stood so.
    known_version: i64,
    turn: Turn,
}

impl SqliteLink {
    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, BackendError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.execute(params).map_err(|error| failed(&error))
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, BackendError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.query_row(params, read).optional().map_err(|error| failed(&error))
    }

    fn flush_fully(&mut self, full: bool) -> Result<(), BackendError> {
        if self.full != Some(full) {
            self.full = None;
            let level = if full { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", level).map_err(|error| failed(&error))?;
            self.full = Some(full);
        }
        Ok(())
    }

    /// Waits for its turn among all processes; [`Link::release`] gives it back.
    fn take_lock(&mut self) -> Result<(), BackendError> {
        self.lock.take()
    }

    fn head(&self) -> Result<Option<StoredHead>, BackendError> {
        let sql = "SELECT origin, size, frontier, chain, time_us, seal FROM head WHERE one = 1";
        self.one(sql, [], |row| Ok(read_head(row)))?.transpose()
    }

    fn insert(&self, entry: &NewEntry) -> Result<(), BackendError> {
        let seq = signed(entry.seq)?;
        self.run("INSERT INTO entry VALUES (?1, ?2, ?3)", params![seq, entry.leaf, entry.hash.0])?;
        if let Some(view) = &entry.view {
            self.run("INSERT INTO \"view\" VALUES (?1, ?2)", params![seq, view])?;
        }
        for (field, value) in &entry.personal {
            let sql = "INSERT INTO personal VALUES (?1, ?2, ?3, ?4)";
            self.run(sql, params![seq, field, value.salt, value.text])?;
        }
        Ok(())
    }

    fn erase(&self, erase: &Erase) -> Result<(), BackendError> {
        let seq = signed(erase.seq)?;
        if erase.fields.is_empty() {
            self.run("DELETE FROM \"view\" WHERE seq = ?1", [seq])?;
            self.run("DELETE FROM personal WHERE seq = ?1", [seq])?;
        }
        for field in &erase.fields {
            self.run("DELETE FROM personal WHERE seq = ?1 AND field = ?2", params![seq, field])?;
        }
        Ok(())
    }

    /// Writes a batch into the open transaction.
    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        batch.entries.iter().try_for_each(|entry| self.insert(entry))?;
        let last = signed(batch.head.head.size().saturating_sub(1))?;
        for row in &batch.rows {
            self.write_row(row.kind, &row.id, row.body.as_deref(), last)?;
        }
        batch.erase.iter().try_for_each(|erase| self.erase(erase))?;
        if let Some((size, note)) = &batch.note {
            self.run("INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2)", params![signed(*size)?, note])?;
        }
        self.write_head(&batch.head)
    }

    fn write_row(&self, kind: &str, id: &str, body: Option<&str>, last: i64) -> Result<(), BackendError> {
        let Some(body) = body else {
            return self.run("DELETE FROM state WHERE kind = ?1 AND id = ?2", [kind, id]).map(|_| ());
        };
        let sql = "INSERT INTO state VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, seq = excluded.seq";
        self.run(sql, params![kind, id, body, last]).map(|_| ())
    }

    fn write_head(&self, StoredHead { head, seal }: &StoredHead) -> Result<(), BackendError> {
        let (frontier, size) = (head.frontier.to_bytes(), signed(head.size())?);
        let values = params![head.origin, size, frontier, head.chain.0, head.time_us.0, seal.0];
        let sql = "UPDATE head SET origin = ?1, size = ?2, frontier = ?3, chain = ?4, time_us = ?5, seal = ?6 WHERE one = 1";
        if self.run(sql, values)? == 0 {
            self.run("INSERT INTO head VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)", values)?;
        }
        Ok(())
    }

    fn data_version(&self) -> Result<i64, BackendError> {
        let version = self.one("PRAGMA data_version", [], |row| row.get(0))?;
        version.ok_or_else(|| BackendError::Failed("it tells no data version".to_owned()))
    }
}

impl Link for SqliteLink {
    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        let begun = match access {
            Access::Read => self.begin_reading(),
            Access::Written | Access::Durable => {
                self.take_lock()?;
                self.begin_writing(access)
            }
        };
        begun.inspect_err(|_| self.release())
    }

    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError> {
        self.use_database()?;
        let sql = "SELECT seq, leaf FROM entry WHERE seq >= ?1 OR seq < 0 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        let mut rows = statement.query([signed(from)?]).map_err(|error| failed(&error))?;
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            let seq: i64 = row.get(0).map_err(|error| failed(&error))?;
            let leaf = row.get_ref(1).ok().and_then(|value| value.as_bytes().ok());
            let leaf = leaf.ok_or_else(|| BackendError::Foreign(format!("entry {seq} is no text")))?;
            let seq = unsigned(seq)?;
            if !each(seq, leaf) {
                break;
            }
        }
        Ok(())
    }

    fn row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        if matches!(self.turn, Turn::Spill(_)) {
            return Ok(self.known_row(kind, id)?.map(str::to_owned));
        }
        self.use_database()?;
        self.stored_row(kind, id)
    }

    fn agrees(&mut self, rows: &[Cow<'_, StateRow>]) -> Result<Vec<bool>, BackendError> {
        if matches!(self.turn, Turn::Spill(_)) {
            let agrees =
                |row: &Cow<'_, StateRow>| Ok(self.known_row(row.kind, &row.id)? == row.body.as_deref());
            return rows.iter().map(agrees).collect();
        }
        rows.iter().map(|row| Ok(self.row(row.kind, &row.id)? == row.body)).collect()
    }

    fn view(&mut self, seq: u64) -> Result<Option<String>, BackendError> {
        self.use_database()?;
        self.one("SELECT body FROM \"view\" WHERE seq = ?1", [signed(seq)?], |row| row.get(0))
    }

    fn personal(&mut self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, BackendError> {
        self.use_database()?;
        let sql = "SELECT field, salt, value FROM personal WHERE seq = ?1 ORDER BY field";
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        // A row of other types is none of ours; whoever reads finds the field missing.
        let read = |row: &Row<'_>| {
            let field = row.get::<_, String>(0).ok().map(Arc::from);
            let value = row.get(1).ok().zip(row.get(2).ok());
            Ok(field.zip(value.map(|(salt, text)| SaltedValue { salt, text })))
        };
        let fields = statement.query_map([signed(seq)?], read).map_err(|error| failed(&error))?;
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
        Ok(fields.into_iter().flatten().collect())
    }

    fn note(&mut self) -> Result<Option<String>, BackendError> {
        self.one("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1", [], |row| row.get(0))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), BackendError> {
        if !batch.erase.is_empty() || batch.note.is_some() {
            self.use_database()?;
        }
        match &mut self.turn {
            Turn::Spill(spilling) => {
                let turn = self.standing.as_ref().map_or(0, Standing::turn);
                let buffer = std::mem::take(&mut self.buffer);
                let frame = frame::frame(batch, turn, buffer, |row| self.known_rows.before(row))?;
                *spilling = Some(Spilling { frame, head: batch.head.clone() });
                // If the commit fails, the connection is given up with what it knew.
                batch.rows.iter().for_each(|row| self.known_rows.spill(row));
                return Ok(());
            }
            Turn::Database(open) => open.head = Some(batch.head.clone()),
            Turn::Nobody => {}
        }
        batch.rows.iter().for_each(|row| self.known_rows.store(row));
        self.write(batch)
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        match std::mem::replace(&mut self.turn, Turn::Nobody) {
            Turn::Spill(Some(spilling)) => self.commit_frame(spilling),
            Turn::Database(open) => self.commit_database(open),
            Turn::Spill(None) | Turn::Nobody => Ok(()),
        }
    }

    fn release(&mut self) {
        self.turn = Turn::Nobody;
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.lock.give_back();
    }

    fn changed(&mut self) -> Result<bool, BackendError> {
        let version = self.data_version()?;
        let spilled = self.was_spilled()?;
        Ok(self.version.replace(version) != Some(version) || spilled)
    }

    fn is_untidy(&mut self) -> bool {
        self.side.is_untidy()
    }

    fn tidy(&mut self, thorough: bool) -> Result<(), BackendError> {
        self.flush_fully(true)?;
        if thorough {
            self.clear_spill()?;
            let busy =
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            return match busy.map_err(|error| failed(&error))? {
                0 => Ok(()),
                _ => Err(BackendError::Failed(format!(
                    "another program is reading; `{}-wal` keeps what was erased until the last one closes the ledger",
                    self.connection.path().unwrap_or_default()
                ))),
            };
        }
        self.fold_side()
    }
}

fn read_head(row: &Row<'_>) -> Result<StoredHead, BackendError> {
    let damaged =
        |error: &dyn std::fmt::Display| BackendError::Foreign(format!("its head is damaged: {error}"));
    let read = || -> rusqlite::Result<_> {
        let hashes = (row.get::<_, [u8; 32]>(3)?, row.get::<_, [u8; 32]>(5)?);
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get(4)?, hashes))
    };
    let (origin, size, frontier, time_us, (chain, seal)) = read().map_err(|error| damaged(&error))?;
    let frontier = Frontier::from_bytes(&frontier).map_err(|error| damaged(&error))?;
    if i64::try_from(frontier.size()) != Ok(size) {
        return Err(damaged(&format!("it states {size} entries, and its tree has {}", frontier.size())));
    }
    let head = Head { origin: origin.into(), frontier, chain: Digest(chain), time_us: Micros(time_us) };
    Ok(StoredHead { head, seal: Digest(seal) })
}

fn signed(seq: u64) -> Result<i64, BackendError> {
    i64::try_from(seq).map_err(|_| BackendError::Failed(format!("position {seq} is past what it can hold")))
}

fn unsigned(seq: i64) -> Result<u64, BackendError> {
    u64::try_from(seq).map_err(|_| BackendError::Foreign(format!("there is an entry {seq}")))
}

/// What SQLite said. A broken constraint or file is not an outage: somebody wrote what Placet does not.
fn failed(error: &rusqlite::Error) -> BackendError {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(ConstraintViolation) => {
            BackendError::Foreign(format!("an entry stands past its head ({error})"))
        }
        Some(DatabaseCorrupt | NotADatabase) => {
            BackendError::Foreign(format!("its file is damaged ({error})"))
        }
        _ => BackendError::Failed(error.to_string()),
    }
}
