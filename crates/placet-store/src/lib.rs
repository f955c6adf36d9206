//! Placet's ledger over memory, SQLite and PostgreSQL.
//!
//! The log is the truth: on open every entry is read, checked and replayed into the state that preconditions are
//! checked against. Rows in the database are a cache for readers; one that differs from the log stops what needs it.
//! The feature `postgres` adds the ledger in PostgreSQL; it changes no other ledger.
//!
//! This crate decides nothing and knows no policy; it does not migrate or repair a log that fails its checks.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")
)]

mod address;
pub mod archive;
pub mod backend;
mod background;
mod batch;
mod compare;
mod engine;
pub mod erase;
mod finding;
mod issuer;
mod keeper;
mod keys;
mod ledger;
mod memory;
mod mirror;
mod mirrored;
mod open;
mod place;
#[cfg(feature = "postgres")]
mod postgres;
mod process;
pub mod query;
mod queue;
mod read;
pub mod recovery;
pub mod rotation;
pub mod secret_file;
mod settings;
mod sqlite;
mod views;
mod watcher;
mod witness;

pub use address::Address;
pub use issuer::{IssuerFolder, LedgerIssuer};
pub use keys::{KeyError, KeyFolder};
pub use ledger::{ForkGuard, LogLedger, Paused, Store, Wiped};
pub use memory::{Memory, MemoryLink};
pub use mirrored::{MirrorLog, MirrorRotation, is_mirror_there, open_mirror};
pub use place::{DEFAULT_FILE, Place, PlaceError, PlaceSettings};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresLink, PostgresSource};
pub use read::Reader;
pub use settings::{Clock, Settings};
pub use sqlite::{APPLICATION_ID, SCHEMA_VERSION, Sqlite, SqliteLink, SqliteSource};
pub use views::ApprovalViews;
