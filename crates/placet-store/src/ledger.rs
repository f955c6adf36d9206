//! The ledger over any place.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use placet_audit::view::SaltedValue;
use placet_trust::{
    Freshness, Ledger, LedgerError, Proposal, Recalled, Receipt, Refusal, State, StateKey, TenantKey, Vault,
};
use placet_types::record::{ARCHIVED, ErasureFact};
use placet_types::{Ack, Fact, Record, process};

use crate::archive::ViewKeys;
use crate::backend::{Backend, Erase};
use crate::batch::{Entry, Work};
use crate::issuer::IssuerFolder;
use crate::keys::KeyError;
use crate::process::Process;
use crate::recovery::{Acceptance, Accepted, Rollback, RollbackError};
use crate::settings::{KeySource, Settings};

/// A ledger. Nothing is opened before it is first used, and then in each process anew.
pub struct LogLedger<B: Backend> {
    pub(crate) backend: Arc<B>,
    pub(crate) settings: Arc<Settings>,
    process: ArcSwap<Process<B>>,
}

impl<B: Backend> LogLedger<B> {
    /// The ledger in this place.
    #[must_use]
    pub fn new(backend: B, settings: Settings) -> Self {
        process::notice_forks();
        let (backend, settings) = (Arc::new(backend), Arc::new(settings));
        let process = ArcSwap::from_pointee(Process::new(backend.clone(), settings.clone(), None));
        Self { backend, settings, process }
    }

    /// The place.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Opens the ledger now, and checks all of it, instead of on first use.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(&self) -> Result<(), LedgerError> {
        self.process().submit(Work::Refresh).map(|_| ())
    }

    /// Signs a checkpoint now if anything is new.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn sign(&self) -> Result<(), LedgerError> {
        self.process().sign()
    }

    /// Why the last checkpoint, mirror or housekeeping failed, if it did. Commits are complete without them.
    #[must_use]
    pub fn trouble(&self) -> Option<LedgerError> {
        let process = self.process();
        process.keeper.trouble().or_else(|| process.mirror_trouble())
    }

    /// Erases views or personal fields, and records that it did, in one transaction. The records themselves stay.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was erased.
    pub fn erase(&self, record: Record, erasure: ErasureFact) -> Result<Receipt, LedgerError> {
        self.wipe(record, erasure).map(|wiped| wiped.receipt)
    }

    /// As [`LogLedger::erase`], and tells where the text may still stand.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was erased.
    pub fn wipe(&self, mut record: Record, erasure: ErasureFact) -> Result<Wiped, LedgerError> {
        let whole = |seq: &u64| Erase { seq: *seq, fields: erasure.fields.clone() };
        let erase = erasure.records.iter().map(whole).collect();
        // What stays in the archive keeps its keys there; fields are not archived.
        let keyed = erasure.fields.is_empty() && &*erasure.basis != ARCHIVED;
        let gone = if keyed { erasure.records.clone() } else { Vec::new() };
        record.fact = Fact::Erasure(erasure);
        let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
        let receipt = self.submit(proposal, erase, Ack::Durable)?;
        let process = self.process();
        let forgotten = if receipt.refused.is_none() { self.forget(&gone) } else { Ok(()) };
        let left = process.fold(true).and(forgotten).err().or_else(|| process.mirror_trouble());
        Ok(Wiped { receipt, left })
    }

    /// The keys of archived views; none for a ledger whose keys lie in no folder.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn view_keys(&self) -> Result<ViewKeys, LedgerError> {
        self.open()?;
        let (KeySource::Folder(folder), Some(origin)) = (&self.settings.keys, self.process().origin()) else {
            return Ok(ViewKeys::default());
        };
        ViewKeys::read(folder, &origin).map_err(|error| self.keys_failed(&error))
    }

    /// Erases the keys of archived views.
    fn forget(&self, records: &[u64]) -> Result<(), LedgerError> {
        self.view_keys()?.forget(records).map(|_| ()).map_err(|error| self.keys_failed(&error))
    }

    fn keys_failed(&self, error: &KeyError) -> LedgerError {
        let cause = format!("the keys of archived views: {error}");
        LedgerError::Unavailable { ledger: self.backend.name(), action: "append", cause }
    }

    /// Makes ready for a fork: waits for the writer, closes what is open, and keeps it so until the guard is dropped
    /// in the parent. In the child the guard does nothing, and the ledger opens anew.
    ///
    /// A ledger that was open when the process forked without this refuses everything in the child: SQLite keeps
    /// locks by process, and the child would lose commits; a PostgreSQL connection would be shared.
    #[must_use]
    pub fn before_fork(&self) -> ForkGuard<B> {
        let process = self.process();
        process.pause();
        ForkGuard { process: Some(process) }
    }

    /// Signs the last checkpoint and closes everything. The next use opens it again.
    pub fn close(&self) {
        let process = self.process.load_full();
        if process.id != std::process::id() {
            std::mem::forget(process);
            return;
        }
        let fresh = Process::new(self.backend.clone(), self.settings.clone(), None);
        let process = self.process.swap(Arc::new(fresh));
        process.shut();
    }

    /// What belongs to this process. A forked child forgets what it inherited: closing it would harm the parent.
    fn process(&self) -> Arc<Process<B>> {
        self.process_of(std::process::id())
    }

    fn process_of(&self, id: u32) -> Arc<Process<B>> {
        let process = self.process.load_full();
        if process.id == id {
            return process;
        }
        let unusable = (B::INHERITS_LOCKS && process.is_connected()).then(|| self.forked());
        let fresh = Process::new(self.backend.clone(), self.settings.clone(), unusable);
        self.process.compare_and_swap(&process, Arc::new(fresh));
        std::mem::forget(process);
        self.process.load_full()
    }

    fn forked(&self) -> LedgerError {
        LedgerError::Unavailable {
            ledger: self.backend.name(),
            action: "open",
            cause:
                "it was open when this process was forked, and would share the locks of the other process; \
                    call `before_fork` first, or start the process anew"
                    .to_owned(),
        }
    }

    fn submit(&self, proposal: Proposal, erase: Vec<Erase>, ack: Ack) -> Result<Receipt, LedgerError> {
        let failed =
            |cause: String| LedgerError::Unavailable { ledger: self.backend.name(), action: "append", cause };
        let entry = Entry::new(proposal, erase, ack).map_err(|error| failed(error.to_string()))?;
        let process = self.process();
        let receipt = process.submit(Work::Commit(Box::new(entry)))?;
        let receipt = receipt.ok_or_else(|| failed("it gave no receipt".to_owned()))?;
        process.keeper.notice(&process, receipt.seq.saturating_add(1));
        Ok(receipt)
    }
}

impl<B: Backend> Process<B> {
    /// Signs what is not signed yet and stops the thread behind the ledger.
    fn shut(&self) {
        self.background.end();
        self.keeper.stop();
        self.watcher.stop();
        if self.is_connected() {
            // What cannot be signed now is reported as unsigned by whoever verifies the log.
            let _ = self.sign();
            // Another process that is at work will do it.
            let _ = self.fold(true);
        }
    }
}

impl<B: Backend> Ledger for LogLedger<B> {
    fn commit(&self, proposal: Proposal, ack: Ack) -> Result<Receipt, LedgerError> {
        self.submit(proposal, Vec::new(), ack)
    }

    fn read(&self, freshness: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        let mut process = self.process_of(process::id());
        if freshness == Freshness::Now || !process.readers.is_fresh() {
            process = self.process();
            process.submit(Work::Refresh)?;
        }
        process.readers.look(look);
        Ok(())
    }

    fn trouble(&self) -> Option<LedgerError> {
        Self::trouble(self)
    }

    fn find_view(
        &self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, LedgerError> {
        let process = self.process();
        process.submit(Work::Refresh)?;
        process.find_view(wanted)
    }

    fn compare(
        &self,
        keys: &mut dyn FnMut(&State) -> Vec<StateKey>,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        self.process().compare(keys)
    }

    fn tenant_key(&self, tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        if let Some(key) = self.process_of(process::id()).tenant_key(tenant) {
            return Ok(key);
        }
        let process = self.process();
        process.submit(Work::Refresh)?;
        process.tenant_key(tenant).ok_or_else(|| LedgerError::Unavailable {
            ledger: self.backend.name(),
            action: "open",
            cause: "its key was not read".to_owned(),
        })
    }

    fn wait(&self, seen: u64, until: Instant) -> Result<u64, LedgerError> {
        let process = self.process();
        if until <= Instant::now() {
            process.submit(Work::Refresh)?;
            return Ok(process.readers.size());
        }
        process.watcher.wait(&process, seen, until)
    }
}

impl<B: Backend> Vault for LogLedger<B> {
    fn personal(&self, seq: u64) -> Result<Vec<Recalled>, LedgerError> {
        let edited = || LedgerError::Tampered {
            ledger: self.backend.name(),
            finding: format!("a personal field of entry {seq} is no JSON"),
        };
        let recalled = |(field, value): (Arc<str>, SaltedValue)| {
            let commitment = value.commitment();
            let value = serde_json::from_str(&value.text).map_err(|_| edited())?;
            Ok(Recalled { field, value, commitment })
        };
        self.process().personal(seq)?.into_iter().map(recalled).collect()
    }

    fn forget(&self, record: Record, erasure: ErasureFact) -> Result<Receipt, LedgerError> {
        self.erase(record, erasure)
    }
}

/// A ledger whatever its place, with what belongs to the life of a process.
pub trait Store: Vault {
    /// As [`LogLedger::before_fork`]: the fork happens while the guard is held.
    fn guard_fork(&self) -> Box<dyn Paused>;

    /// As [`LogLedger::close`].
    fn shut(&self);

    /// As [`LogLedger::sign`].
    ///
    /// # Errors
    /// [`LedgerError`].
    fn sign(&self) -> Result<(), LedgerError>;

    /// As [`LogLedger::view_keys`].
    ///
    /// # Errors
    /// [`LedgerError`].
    fn view_keys(&self) -> Result<ViewKeys, LedgerError>;

    /// The keys with which its credentials are signed; `None` for a ledger whose keys lie in no folder.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn issuer(&self) -> Result<Option<IssuerFolder>, LedgerError>;

    /// As [`LogLedger::wipe`].
    ///
    /// # Errors
    /// [`LedgerError`]: nothing was erased.
    fn erase(&self, record: Record, erasure: ErasureFact) -> Result<Wiped, LedgerError>;

    /// As [`LogLedger::rollback`].
    ///
    /// # Errors
    /// [`LedgerError`].
    fn rollback(&self) -> Result<Option<Rollback>, LedgerError>;

    /// As [`LogLedger::accept_rollback`].
    ///
    /// # Errors
    /// [`RollbackError`]: nothing was committed.
    fn accept_rollback(&self, acceptance: &Acceptance) -> Result<Accepted, RollbackError>;
}

/// An erasure that was committed.
#[derive(Debug, Clone)]
pub struct Wiped {
    /// Its receipt.
    pub receipt: Receipt,
    /// Why the text may still stand in a side file or a mirror for a while; `None` when it is gone.
    pub left: Option<LedgerError>,
}

/// A ledger that is closed around a fork, until this is dropped.
pub trait Paused: Send {}

impl<B: Backend> Paused for ForkGuard<B> {}

impl<B: Backend> Store for LogLedger<B> {
    fn guard_fork(&self) -> Box<dyn Paused> {
        Box::new(self.before_fork())
    }

    fn shut(&self) {
        self.close();
    }

    fn sign(&self) -> Result<(), LedgerError> {
        self.process().sign()
    }

    fn view_keys(&self) -> Result<ViewKeys, LedgerError> {
        Self::view_keys(self)
    }

    fn issuer(&self) -> Result<Option<IssuerFolder>, LedgerError> {
        self.open()?;
        let (KeySource::Folder(folder), Some(origin)) = (&self.settings.keys, self.process().origin()) else {
            return Ok(None);
        };
        Ok(Some(IssuerFolder::new(folder.clone(), origin)))
    }

    fn erase(&self, record: Record, erasure: ErasureFact) -> Result<Wiped, LedgerError> {
        self.wipe(record, erasure)
    }

    fn rollback(&self) -> Result<Option<Rollback>, LedgerError> {
        Self::rollback(self)
    }

    fn accept_rollback(&self, acceptance: &Acceptance) -> Result<Accepted, RollbackError> {
        Self::accept_rollback(self, acceptance)
    }
}

impl<B: Backend> Drop for LogLedger<B> {
    fn drop(&mut self) {
        let process = self.process.load_full();
        if process.id == std::process::id() {
            process.shut();
        } else {
            // One count too many keeps what the parent owns from being closed here.
            std::mem::forget(process);
        }
    }
}

/// Keeps a ledger closed around a fork.
pub struct ForkGuard<B: Backend> {
    process: Option<Arc<Process<B>>>,
}

impl<B: Backend> Drop for ForkGuard<B> {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        if process.id == std::process::id() {
            process.resume();
        } else {
            std::mem::forget(process);
        }
    }
}
