//! A log in a PostgreSQL schema, shared by several machines.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod source;
mod write;

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use placet_audit::seal::Head;
use placet_audit::tree::Frontier;
use placet_audit::view::SaltedValue;
use placet_trust::StateRow;
use placet_types::{Digest, Micros};
use postgres::config::{Host, SslMode};
use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, Statement};

use crate::backend::{Access, Backend, BackendError, Batch, Erase, Link, StoredHead};

pub use source::PostgresSource;

/// The schema that this release writes.
const SCHEMA_VERSION: i32 = 1;

/// Sets the locks of logs apart from the advisory locks of other programs: `plct`.
const LOCK_SPACE: i32 = 0x706c_6374;

/// How many entries are fetched at once.
const CHUNK: i64 = 1_000;

/// All that a connection asks for has a key. A plan is kept, and one that was made while a table was small would read the
/// whole of it, with the dead rows of each commit since, until the server's housekeeping comes by.
const LOOK_UPS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A log in a PostgreSQL schema. Connections are not encrypted, so one to another machine must be asked for by
/// `sslmode=disable`.
#[derive(Clone)]
pub struct Postgres {
    config: Config,
    schema: Arc<str>,
    name: Arc<str>,
}

impl Postgres {
    /// The log in the schema `placet` of a database, for instance `postgresql://placet@db.example/placet`.
    ///
    /// # Errors
    /// [`BackendError`] when the address is none. It is not shown: it may hold a password.
    pub fn new(url: &str) -> Result<Self, BackendError> {
        Self::with_schema(url, "placet")
    }

    /// The log in another schema, so that one database can hold several.
    ///
    /// # Errors
    /// [`BackendError`] when the address is none, would not be encrypted, or the schema's name is not of `a`–`z`, digits
    /// and `_`.
    pub fn with_schema(url: &str, schema: &str) -> Result<Self, BackendError> {
        let config = Config::from_str(url);
        let mut config =
            config.map_err(|_| BackendError::Failed("the address is no PostgreSQL URL".to_owned()))?;
        config.connect_timeout(CONNECT_TIMEOUT);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if schema.is_empty() || schema.len() > 60 || !schema.bytes().all(plain) {
            return Err(BackendError::Failed(format!("`{schema}` is no schema name; use a-z, 0-9 and _")));
        }
        if config.get_ssl_mode() != SslMode::Disable
            && let Some(host) = config.get_hosts().iter().find_map(remote)
        {
            return Err(BackendError::Failed(format!(
                "connections to `{host}` would not be encrypted, and this release cannot encrypt them; use a Unix \
                 socket or a tunnel to 127.0.0.1, or say `sslmode=disable` where the network is trusted"
            )));
        }
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let name = format!("postgresql:{host}/{}/{schema}", config.get_dbname().unwrap_or_default());
        Ok(Self { config, schema: schema.into(), name: name.into() })
    }
}

/// The host, unless it is this machine.
fn remote(host: &Host) -> Option<&str> {
    match host {
        Host::Tcp(host) => {
            let here =
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            (!here).then_some(host)
        }
        Host::Unix(_) => None,
    }
}

impl Backend for Postgres {
    type Link = PostgresLink;

    /// A child would keep the parent's connection, and with it the lock of the head, alive.
    const INHERITS_LOCKS: bool = true;

    /// The server does its own housekeeping: a process has one connection.
    const NEEDS_TIDYING: bool = false;

    /// Each look is a question to the server, from every process in which somebody waits.
    const LOOK_EVERY: Duration = Duration::from_millis(20);

    fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    fn open(&self) -> Result<PostgresLink, BackendError> {
        let mut client = self.config.connect(NoTls).map_err(|error| failed(&error))?;
        let schema = &self.schema;
        let row = client.query_one("SELECT hashtext($1)", &[&&**schema]).map_err(|error| failed(&error))?;
        let key: i32 = row.try_get(0).map_err(|error| failed(&error))?;
        let set = format!(
            "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s';
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
             SET search_path = {schema}; SET default_transaction_isolation = 'read committed';
             {LOOK_UPS}"
        );
        client.batch_execute(&set).map_err(|error| failed(&error))?;
        let mut link =
            PostgresLink { client, key, open: false, locked: false, seen: None, prepared: HashMap::new() };
        link.lock()?;
        let migrated = link.migrate(schema);
        link.release();
        migrated.map(|()| link)
    }
}

/// A connection to a PostgreSQL log.
pub struct PostgresLink {
    client: Client,
    key: i32,
    open: bool,
    locked: bool,
    /// The seal of the head as it was last seen.
    seen: Option<Vec<u8>>,
    /// What the server has parsed for this connection.
    prepared: HashMap<&'static str, Statement>,
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl PostgresLink {
    fn batch(&mut self, sql: &str) -> Result<(), BackendError> {
        self.client.batch_execute(sql).map_err(|error| failed(&error))
    }

    /// A statement that is parsed once for each connection: one exchange with the server instead of two.
    fn prepared(&mut self, sql: &'static str) -> Result<Statement, BackendError> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).map_err(|error| failed(&error))?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    fn run(&mut self, sql: &'static str, params: Params<'_>) -> Result<(), BackendError> {
        let statement = self.prepared(sql)?;
        self.client.execute(&statement, params).map(|_| ()).map_err(|error| failed(&error))
    }

    fn query(&mut self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, BackendError> {
        let statement = self.prepared(sql)?;
        self.client.query(&statement, params).map_err(|error| failed(&error))
    }

    fn text(&mut self, sql: &'static str, params: Params<'_>) -> Result<Option<String>, BackendError> {
        let row = self.query(sql, params)?.into_iter().next();
        row.map(|row| row.try_get(0)).transpose().map_err(|error| failed(&error))
    }

    fn lock(&mut self) -> Result<(), BackendError> {
        self.batch(&self.locking())?;
        self.locked = true;
        Ok(())
    }

    fn locking(&self) -> String {
        format!("SELECT pg_advisory_lock({LOCK_SPACE}, {})", self.key)
    }

    fn migrate(&mut self, schema: &str) -> Result<(), BackendError> {
        let sql = "SELECT to_regclass($1)::text";
        let table = format!("{schema}.schema_version");
        if self.text_or_null(sql, &table)?.is_none() {
            // Making a schema takes a right that a user of a schema that was made for it need not have.
            let made = self.text_or_null("SELECT to_regnamespace($1)::text", schema)?.is_some();
            let make = if made { String::new() } else { format!("CREATE SCHEMA {schema};") };
            let script = include_str!("schema.sql");
            return self.batch(&format!("BEGIN; {make} {script} COMMIT"));
        }
        let row = self.client.query_one("SELECT version FROM schema_version", &[]);
        let version: i32 = row.and_then(|row| row.try_get(0)).map_err(|error| failed(&error))?;
        match version {
            SCHEMA_VERSION => Ok(()),
            other => Err(BackendError::Failed(format!(
                "it has schema version {other}; this release knows {SCHEMA_VERSION}; use a newer release"
            ))),
        }
    }

    fn text_or_null(&mut self, sql: &str, param: &str) -> Result<Option<String>, BackendError> {
        let row = self.client.query_one(sql, &[&param]).map_err(|error| failed(&error))?;
        row.try_get(0).map_err(|error| failed(&error))
    }

    fn head(&mut self) -> Result<Option<StoredHead>, BackendError> {
        let sql = "SELECT origin, size, frontier, chain, time_us, seal FROM head WHERE one = 1";
        let head = self.query(sql, &[])?.first().map(read_head).transpose()?;
        self.seen = head.as_ref().map(|head| head.seal.0.to_vec());
        Ok(head)
    }

    fn erase(&mut self, erase: &Erase) -> Result<(), BackendError> {
        let seq = signed(erase.seq)?;
        if erase.fields.is_empty() {
            self.run("DELETE FROM view WHERE seq = $1", &[&seq])?;
            return self.run("DELETE FROM personal WHERE seq = $1", &[&seq]);
        }
        let fields: Vec<&str> = erase.fields.iter().map(|field| &**field).collect();
        self.run("DELETE FROM personal WHERE seq = $1 AND field = ANY($2)", &[&seq, &fields])
    }
}

impl Link for PostgresLink {
    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError> {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
            Access::Written => format!("{}; BEGIN; SET LOCAL synchronous_commit = off", self.locking()),
            Access::Durable => format!("{}; BEGIN; SET LOCAL synchronous_commit = on", self.locking()),
        };
        // If the lock is not given in time, nothing was begun; undoing both all the same costs nothing.
        self.locked = access != Access::Read;
        self.open = true;
        let head = self.batch(&begin).and_then(|()| self.head());
        if head.is_err() {
            self.release();
        }
        head
    }

    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError> {
        let sql = "SELECT seq, leaf FROM entry WHERE seq >= $1 ORDER BY seq LIMIT $2";
        let mut from = if from == 0 { i64::MIN } else { signed(from)? };
        loop {
            let rows = self.query(sql, &[&from, &CHUNK])?;
            for row in &rows {
                let seq: i64 = row.try_get(0).map_err(|error| failed(&error))?;
                let leaf: &str = row.try_get(1).map_err(|error| failed(&error))?;
                let at = u64::try_from(seq)
                    .map_err(|_| BackendError::Foreign(format!("there is an entry {seq}")))?;
                if !each(at, leaf.as_bytes()) {
                    return Ok(());
                }
                from = seq.saturating_add(1);
            }
            if i64::try_from(rows.len()).unwrap_or(CHUNK) < CHUNK {
                return Ok(());
            }
        }
    }

    fn row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError> {
        self.text("SELECT body FROM state WHERE kind = $1 AND id = $2", &[&kind, &id])
    }

    fn agrees(&mut self, rows: &[Cow<'_, StateRow>]) -> Result<Vec<bool>, BackendError> {
        match rows {
            [] => return Ok(Vec::new()),
            [row] => return Ok(vec![self.row(row.kind, &row.id)? == row.body]),
            _ => {}
        }
        let sql = "SELECT (SELECT body FROM state WHERE state.kind = wanted.kind AND state.id = wanted.id)
                   FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (kind, id, at) ORDER BY at";
        let (kinds, ids): (Vec<&str>, Vec<&str>) = rows.iter().map(|row| (row.kind, &*row.id)).unzip();
        let stored = self.query(sql, &[&kinds, &ids])?;
        if stored.len() != rows.len() {
            let (asked, told) = (rows.len(), stored.len());
            return Err(BackendError::Failed(format!("it was asked for {asked} rows and told {told}")));
        }
        let agrees = |(row, stored): (&Cow<'_, StateRow>, &Row)| {
            stored.try_get::<_, Option<&str>>(0).map(|body| body == row.body.as_deref())
        };
        rows.iter().zip(&stored).map(agrees).collect::<Result<_, _>>().map_err(|error| failed(&error))
    }

    fn view(&mut self, seq: u64) -> Result<Option<String>, BackendError> {
        self.text("SELECT body FROM view WHERE seq = $1", &[&signed(seq)?])
    }

    fn personal(&mut self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, BackendError> {
        let sql = "SELECT field, salt, value FROM personal WHERE seq = $1 ORDER BY field";
        let rows = self.query(sql, &[&signed(seq)?])?;
        let read = |row: &Row| {
            let (field, salt): (String, Vec<u8>) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            Some((Arc::from(field), SaltedValue { salt: salt.try_into().ok()?, text: row.try_get(2).ok()? }))
        };
        // A row of other types is none of ours; whoever reads finds the field missing.
        Ok(rows.iter().filter_map(read).collect())
    }

    fn note(&mut self) -> Result<Option<String>, BackendError> {
        self.text("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1", &[])
    }

    fn append(&mut self, batch: &Batch) -> Result<(), BackendError> {
        self.write(batch)?;
        batch.erase.iter().try_for_each(|erase| self.erase(erase))?;
        if let Some((size, note)) = &batch.note {
            let sql = "INSERT INTO checkpoint VALUES ($1, $2) ON CONFLICT (size) DO UPDATE SET note = excluded.note";
            self.run(sql, &[&signed(*size)?, note])?;
        }
        self.seen = Some(batch.head.seal.0.to_vec());
        Ok(())
    }

    fn commit(&mut self) -> Result<(), BackendError> {
        self.open = false;
        self.batch("COMMIT")
    }

    fn release(&mut self) {
        // It fails when the connection is lost, and then the server has done both.
        let (open, locked) = (std::mem::take(&mut self.open), std::mem::take(&mut self.locked));
        let unlock = format!("SELECT pg_advisory_unlock({LOCK_SPACE}, {})", self.key);
        let _ = match (open, locked) {
            (true, true) => self.batch(&format!("ROLLBACK; {unlock}")),
            (true, false) => self.batch("ROLLBACK"),
            (false, true) => self.batch(&unlock),
            (false, false) => Ok(()),
        };
    }

    fn changed(&mut self) -> Result<bool, BackendError> {
        let row = self.query("SELECT seal FROM head WHERE one = 1", &[])?.into_iter().next();
        let seal: Option<Vec<u8>> =
            row.map(|row| row.try_get(0)).transpose().map_err(|error| failed(&error))?;
        Ok(seal != self.seen)
    }

    fn tidy(&mut self, _thorough: bool) -> Result<(), BackendError> {
        Ok(())
    }
}

fn read_head(row: &Row) -> Result<StoredHead, BackendError> {
    let damaged = |cause: String| BackendError::Foreign(format!("its head is damaged: {cause}"));
    let hash = |index: usize| -> Result<Digest, BackendError> {
        let bytes: &[u8] = row.try_get(index).map_err(|error| damaged(error.to_string()))?;
        bytes.try_into().map(Digest).map_err(|_| damaged("a hash has another length".to_owned()))
    };
    let read = || -> Result<(String, i64, &[u8], i64), postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(4)?))
    };
    let (origin, size, frontier, time_us) = read().map_err(|error| damaged(error.to_string()))?;
    let frontier = Frontier::from_bytes(frontier).map_err(|error| damaged(error.to_string()))?;
    if i64::try_from(frontier.size()) != Ok(size) {
        return Err(damaged(format!("it states {size} entries, and its tree has {}", frontier.size())));
    }
    let head = Head { origin: origin.into(), frontier, chain: hash(3)?, time_us: Micros(time_us) };
    Ok(StoredHead { head, seal: hash(5)? })
}

fn signed(seq: u64) -> Result<i64, BackendError> {
    i64::try_from(seq).map_err(|_| BackendError::Failed(format!("position {seq} is past what it can hold")))
}

/// What PostgreSQL said. A position that is taken is not an outage: somebody wrote what Placet does not.
fn failed(error: &postgres::Error) -> BackendError {
    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
        return BackendError::Foreign("an entry stands past its head".to_owned());
    }
    let cause = match (error.as_db_error(), error.source()) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    };
    BackendError::Failed(cause)
}
