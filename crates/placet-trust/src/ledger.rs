//! What the pipeline needs of a ledger. `placet-store` implements it over memory, SQLite and PostgreSQL.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, Mac};
use placet_types::record::ErasureFact;
use placet_types::{Ack, Digest, Micros, Record};
use sha2::Sha256;

use crate::approvals::keyed;
use crate::state::{Refusal, State, StateKey};

/// The one place where state is written, and from which it is read.
pub trait Ledger: Send + Sync {
    /// Commits one record with its operations, its view and its personal fields: all or nothing.
    ///
    /// Under the lock of the log's head it catches up with other processes, sets the record's time, compares the
    /// cached rows that the operations touch with the state of the log, checks the preconditions, and appends.
    /// Returns only when `ack` holds. Calls of many threads share one flush.
    ///
    /// If a precondition fails, the fallback's record is committed instead, and the receipt says why; without a
    /// fallback nothing is committed.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing may be assumed to have been committed, and the caller must not act.
    fn commit(&self, proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError>;

    /// Shows the state. The closure must be quick: commits wait for it.
    ///
    /// # Errors
    /// [`LedgerError`] when the log cannot be read or disagrees with what was read before.
    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError>;

    /// Waits until the log is longer than `seen`, by this process or another, or until `until`. Returns its length.
    /// News of this process wake at once, those of others as soon as a look at
    /// the place shows them: every few milliseconds, by one thread for all who wait.
    ///
    /// # Errors
    /// [`LedgerError`] when the log cannot be read.
    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError>;

    /// Why the last checkpoint, mirror or housekeeping failed, if it did. Commits are complete without them.
    fn trouble(&self) -> Option<LedgerError> {
        None
    }

    /// The readable view of the one record that is wanted, as it was recorded; `None` when there is none, it was
    /// erased, or this ledger shows no views. Looks through the log from its end: for what is asked once, not in each call.
    ///
    /// # Errors
    /// [`LedgerError`] when the log cannot be read.
    fn find_view(
        &self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, LedgerError> {
        let _ = wanted;
        Ok(None)
    }

    /// Holds the cached rows of these things against the log, for a caller that refuses by what the log says and wants
    /// to know whether somebody edited the rows: whatever is allowed is compared by [`Ledger::commit`].
    ///
    /// A ledger without rows has nothing to compare.
    ///
    /// # Errors
    /// [`LedgerError`] when they cannot be read.
    fn compare(
        &self,
        keys: &mut dyn FnMut(&State) -> Vec<StateKey>,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        let _ = keys;
        Ok(Ok(()))
    }

    /// The key under which a tenant's digests are kept, so that nobody without it can guess what was digested.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger's keys cannot be read.
    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError>;
}

/// A ledger that also gives back, and erases, the personal fields beside its records.
pub trait Vault: Ledger {
    /// The personal fields of a record, as they are stored; whoever asks compares their commitments with the record's.
    ///
    /// # Errors
    /// [`LedgerError`] when the log cannot be read.
    fn personal(&self, seq: u64) -> Result<Vec<Recalled>, LedgerError>;

    /// Erases views or personal fields, and records that it did, in one transaction. The records themselves stay.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was erased.
    fn forget(&self, record: Record, erasure: ErasureFact) -> Result<Receipt, LedgerError>;
}

/// A personal field as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// Its dotted path.
    pub field: Arc<str>,
    /// Its value.
    pub value: serde_json::Value,
    /// What a record says of this value with its salt.
    pub commitment: Digest,
}

/// The key of a tenant's digests. It is never shown or written down.
#[derive(Clone)]
pub struct TenantKey {
    bytes: [u8; 32],
    /// Ready to be fed.
    mac: Hmac<Sha256>,
}

impl TenantKey {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, mac: keyed(&bytes) }
    }

    /// The bytes, for deriving a digest.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// HMAC-SHA-256 of a digest under this key.
    #[must_use]
    pub fn mac(&self, digest: &Digest) -> Digest {
        let mut mac = self.mac.clone();
        mac.update(&digest.0);
        Digest(mac.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for TenantKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TenantKey(…)")
    }
}

/// One record to be committed.
pub struct Proposal {
    /// The record; its time, view digest and commitments are set by the ledger.
    pub record: Record,
    /// The readable view, redacted before it comes here.
    pub view: Option<View>,
    /// Personal fields, kept apart from the view so that they can be erased alone.
    pub personal: Vec<Personal>,
    /// What is committed when a precondition fails.
    pub fallback: Option<Fallback>,
}

/// The readable view of a record: a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// Its members, which the ledger writes down with a salt.
    Members(serde_json::Map<String, serde_json::Value>),
    /// Its canonical text with a blank for its salt, which the ledger puts in; see `placet_audit::view`.
    Text(String),
}

impl View {
    /// Its members.
    ///
    /// # Errors
    /// The text is no JSON object.
    pub fn members(&self) -> serde_json::Result<serde_json::Map<String, serde_json::Value>> {
        match self {
            Self::Members(members) => Ok(members.clone()),
            Self::Text(text) => serde_json::from_str(text),
        }
    }
}

impl From<serde_json::Map<String, serde_json::Value>> for View {
    fn from(members: serde_json::Map<String, serde_json::Value>) -> Self {
        Self::Members(members)
    }
}

/// Makes the record and view that are committed when a precondition fails; they must hold no operation that can fail.
pub type Fallback = Box<dyn FnOnce(&Refusal) -> (Record, Option<View>) + Send>;

/// One personal field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Personal {
    /// Its dotted path in the view, for instance `args.email`.
    pub field: Arc<str>,
    /// Its value.
    pub value: serde_json::Value,
}

/// A committed record.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// Its position in the log, from 0.
    pub seq: u64,
    /// When it was committed.
    pub time_us: Micros,
    /// Its leaf hash.
    pub leaf: Digest,
    /// Why the fallback was committed, or nothing; `None` when the record itself was.
    pub refused: Option<Refusal>,
}

/// How fresh a reading must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As this process last saw it; at most one second behind other processes.
    Seen,
    /// With everything that any process has committed.
    Now,
}

/// Why the ledger could not do it. In every case nothing may happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store failed: full disk, read-only file, lost connection.
    #[error("the ledger `{ledger}` cannot {action}: {cause}; nothing runs until it can")]
    Unavailable {
        /// Which ledger, as it was configured, without passwords.
        ledger: Arc<str>,
        /// What it could not do: `open`, `append`, `read`.
        action: &'static str,
        /// What the store said.
        cause: String,
    },
    /// The database disagrees with the log, or the log with its seal or its last checkpoint.
    #[error(
        "the ledger `{ledger}` was edited: {finding}; run `placet audit verify`, and restore it from a copy"
    )]
    Tampered {
        /// Which ledger.
        ledger: Arc<str>,
        /// What was found.
        finding: String,
    },
    /// The record is larger than the log takes.
    #[error(
        "a record of {actual_bytes} bytes is past the limit of {limit_bytes} bytes; nothing was recorded"
    )]
    TooLarge {
        /// Its size.
        actual_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// More calls wait for the ledger than it takes.
    #[error("{waiting} calls already wait for the ledger `{ledger}`, its limit; try again later")]
    Busy {
        /// Which ledger.
        ledger: Arc<str>,
        /// How many wait.
        waiting: usize,
    },
}
