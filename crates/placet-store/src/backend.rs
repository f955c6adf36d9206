//! What a log needs of the place it is kept in. It knows neither operations nor keys.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use placet_audit::seal::Head;
use placet_audit::view::SaltedValue;
use placet_trust::StateRow;
use placet_types::Digest;

/// A place to keep a log in.
pub trait Backend: Send + Sync + 'static {
    /// A connection to it.
    type Link: Link;

    /// Whether a process that was forked while a link was open cannot open another one safely.
    ///
    /// SQLite keeps its file locks by inode for the whole process: a child that inherits them believes that it holds
    /// locks which only its parent has, and loses commits when others take them.
    const INHERITS_LOCKS: bool;

    /// Whether commits leave housekeeping behind, which is done over a connection of its own.
    const NEEDS_TIDYING: bool = true;

    /// How often it is looked, while anybody waits, whether another process committed.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    /// How the place is called in messages, without passwords.
    fn name(&self) -> Arc<str>;

    /// Connects, and makes the place with its schema if there is none.
    ///
    /// # Errors
    /// [`BackendError`] naming what is missing and what to do.
    fn open(&self) -> Result<Self::Link, BackendError>;
}

/// One connection, used by one thread at a time.
pub trait Link: Send {
    /// Begins a transaction and reads the head; `None` when the log was never begun. A writing transaction holds the
    /// lock of the head against every process.
    ///
    /// # Errors
    /// [`BackendError`]: no transaction is open.
    fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, BackendError>;

    /// Shows the entries from a position on, in order.
    ///
    /// # Errors
    /// [`BackendError`] of the place; `each` stops the reading by returning false.
    fn leaves(&mut self, from: u64, each: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<(), BackendError>;

    /// The stored text of a cached row.
    ///
    /// # Errors
    /// [`BackendError`].
    fn row(&mut self, kind: &str, id: &str) -> Result<Option<String>, BackendError>;

    /// Whether each of these rows is stored as it is here; one without a body is if it is not there. Worth its own
    /// implementation where each question takes an exchange with a server.
    ///
    /// # Errors
    /// [`BackendError`].
    fn agrees(&mut self, rows: &[Cow<'_, StateRow>]) -> Result<Vec<bool>, BackendError> {
        let agrees = |row: &Cow<'_, StateRow>| Ok(self.row(row.kind, &row.id)? == row.body);
        rows.iter().map(agrees).collect()
    }

    /// The stored view of an entry.
    ///
    /// # Errors
    /// [`BackendError`].
    fn view(&mut self, seq: u64) -> Result<Option<String>, BackendError>;

    /// The stored personal fields of an entry, by their paths.
    ///
    /// # Errors
    /// [`BackendError`].
    fn personal(&mut self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, BackendError>;

    /// The last signed checkpoint.
    ///
    /// # Errors
    /// [`BackendError`].
    fn note(&mut self) -> Result<Option<String>, BackendError>;

    /// Writes a batch within the open transaction.
    ///
    /// # Errors
    /// [`BackendError`]: the transaction must be given up.
    fn append(&mut self, batch: &Batch) -> Result<(), BackendError>;

    /// Makes the transaction last. The lock of the head stays until [`Link::release`].
    ///
    /// # Errors
    /// [`BackendError`]: it is unknown whether the batch lasts.
    fn commit(&mut self) -> Result<(), BackendError>;

    /// Ends the transaction, undoing what was not committed, and gives the lock back.
    fn release(&mut self);

    /// Whether somebody else committed since the last call or transaction; may say yes without cause.
    ///
    /// # Errors
    /// [`BackendError`].
    fn changed(&mut self) -> Result<bool, BackendError>;

    /// Whether commits left so much housekeeping behind that it should not wait.
    fn is_untidy(&mut self) -> bool {
        false
    }

    /// Does the housekeeping that commits leave behind; `thorough` also removes what was erased from side files.
    ///
    /// # Errors
    /// [`BackendError`]: nothing is lost, and it can be tried again.
    fn tidy(&mut self, thorough: bool) -> Result<(), BackendError>;
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A consistent reading.
    Read,
    /// Appending, so that the batch survives the end of the process.
    Written,
    /// Appending, so that the batch survives a power cut.
    Durable,
}

/// A head as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// Where the log stands.
    pub head: Head,
    /// Its seal.
    pub seal: Digest,
}

/// What one transaction writes.
#[derive(Debug)]
pub struct Batch {
    /// New entries, in order.
    pub entries: Vec<NewEntry>,
    /// Cached rows as they are from now on; without a body the row goes.
    pub rows: Vec<StateRow>,
    /// Views and personal fields that go.
    pub erase: Vec<Erase>,
    /// A signed checkpoint with its size.
    pub note: Option<(u64, String)>,
    /// The head from now on.
    pub head: StoredHead,
}

impl Batch {
    /// A batch that writes nothing but a head.
    #[must_use]
    pub fn of(head: StoredHead) -> Self {
        Self { entries: Vec::new(), rows: Vec::new(), erase: Vec::new(), note: None, head }
    }
}

/// A new entry.
#[derive(Debug)]
pub struct NewEntry {
    /// Its position.
    pub seq: u64,
    /// Its leaf: canonical JSON.
    pub leaf: String,
    /// The leaf's hash.
    pub hash: Digest,
    /// Its readable view.
    pub view: Option<String>,
    /// Its personal fields by their paths.
    pub personal: Vec<(Arc<str>, SaltedValue)>,
}

/// What is erased beside an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    /// Which entry.
    pub seq: u64,
    /// Which personal fields; empty means the view and all fields.
    pub fields: Vec<Arc<str>>,
}

/// Why the place could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It failed: full disk, read-only file, lost connection.
    #[error("{0}")]
    Failed(String),
    /// What is stored cannot have been written by Placet.
    #[error("{0}")]
    Foreign(String),
}
