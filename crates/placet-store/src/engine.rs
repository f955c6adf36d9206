//! The writer's view of a log: its connection, its head, and the state it adds up to.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::sync::Arc;

use ahash::HashMap;
use placet_audit::checkpoint::{self, Checkpoint, Earlier};
use placet_audit::seal::{self, Head, LogKey};
use placet_audit::{leaf, tree};
use placet_trust::{LedgerError, State, StateKey, StateRow};
use placet_types::record::{LostCheckpoint, RecoveryFact};
use placet_types::{Digest, Fact, Micros, Record};

use crate::backend::{Access, Backend, BackendError, Batch, Link, NewEntry, StoredHead};
use crate::mirror::Mirror;
use crate::rotation::Signers;
use crate::settings::Settings;
use crate::witness::{Grown, Witness, WitnessError};

/// How many leaf hashes are kept in a process that only reads, and so signs nothing that would let them go.
const MOST_SINCE: usize = 1 << 16;

/// With so many new entries a log that is being opened is near enough to those who write to it.
const NEAR: u64 = 512;

/// The writer's view of a log. One thread at a time uses it.
pub(crate) struct Engine<B: Backend> {
    pub(crate) backend: Arc<B>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) link: Option<B::Link>,
    pub(crate) log: Option<Log>,
    frozen: Option<LedgerError>,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) unspread: Option<Unspread>,
    /// Why the mirror lags, if it does.
    pub(crate) mirror_trouble: Option<LedgerError>,
}

/// What was read of the log.
pub(crate) struct Log {
    /// The head that is known to be committed.
    pub(crate) committed: StoredHead,
    /// The state at the committed head, while no batch is being written.
    pub(crate) working: State,
    /// A batch failed: `working` is worth nothing.
    pub(crate) dirty: bool,
    /// Cached rows as they were last written here.
    pub(crate) rows: Rows,
    /// Whether the clock's going back was recorded.
    pub(crate) clock_flagged: bool,
    pub(crate) key: LogKey,
    signing: Signers,
    pub(crate) grown: Grown,
    /// The size of the last checkpoint.
    pub(crate) signed: u64,
    witnesses: Vec<Witness>,
    /// Checkpoints that the log was allowed not to extend.
    pub(crate) given_up: Vec<LostCheckpoint>,
}

/// Cached rows as they were last written, so that they need not be made anew to be compared. Nothing else changed the
/// state since.
#[derive(Debug, Default)]
pub(crate) struct Rows(HashMap<StateKey, StateRow>);

/// How many rows are kept at most.
const MOST_ROWS: usize = 4_096;

impl Rows {
    /// The row of a key as the database must have it.
    pub(crate) fn row(&self, key: &StateKey, state: &State) -> Cow<'_, StateRow> {
        self.0.get(key).map_or_else(|| Cow::Owned(state.row(key)), Cow::Borrowed)
    }

    /// The row of a key after a change.
    pub(crate) fn changed(&mut self, key: &StateKey, state: &State) -> StateRow {
        match self.0.remove(key) {
            Some(before) => state.row_after(key, before),
            None => state.row(key),
        }
    }

    /// They were written.
    pub(crate) fn keep(&mut self, rows: impl Iterator<Item = (StateKey, StateRow)>) {
        if self.0.len() > MOST_ROWS {
            self.0.clear();
        }
        // What is gone does not come back under its id, but for budgets, which are never gone.
        self.0.extend(rows.filter(|(_, row)| row.body.is_some()));
    }
}

/// A step was taken before [`Engine::ensure_open`].
pub(crate) fn closed() -> LedgerError {
    LedgerError::Unavailable { ledger: "ledger".into(), action: "open", cause: "it is closed".to_owned() }
}

/// Shows new records to readers.
pub(crate) trait Publish {
    /// Takes the state at a head in [exchange](State::exchange) for the one that readers had before.
    fn show(&self, state: &mut State, head: &Head);

    /// A copy of the state that readers have.
    fn copy(&self) -> State;
}

impl<B: Backend> Engine<B> {
    pub(crate) fn new(backend: Arc<B>, settings: Arc<Settings>) -> Self {
        let mirror = settings.mirror.clone().map(|path| Mirror::new(path, settings.mirror_rotation));
        Self {
            backend,
            settings,
            link: None,
            log: None,
            frozen: None,
            mirror,
            unspread: None,
            mirror_trouble: None,
        }
    }

    pub(crate) fn unavailable(&self, action: &'static str, cause: impl ToString) -> LedgerError {
        LedgerError::Unavailable { ledger: self.backend.name(), action, cause: cause.to_string() }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.backend.name()
    }

    /// Somebody edited the log: this process uses it no more.
    pub(crate) fn freeze(&mut self, finding: impl Into<String>) -> LedgerError {
        let error = LedgerError::Tampered { ledger: self.backend.name(), finding: finding.into() };
        self.frozen = Some(error.clone());
        error
    }

    pub(crate) fn failed(&mut self, action: &'static str, error: BackendError) -> LedgerError {
        match error {
            BackendError::Failed(cause) => self.unavailable(action, cause),
            BackendError::Foreign(finding) => self.freeze(finding),
        }
    }

    /// Connects and reads the whole log, if that was not done yet.
    pub(crate) fn ensure_open(&mut self, publish: &dyn Publish) -> Result<(), LedgerError> {
        if let Some(error) = &self.frozen {
            return Err(error.clone());
        }
        if self.link.is_none() {
            let link = self.backend.open();
            self.link = Some(link.map_err(|error| self.failed("open", error))?);
        }
        if self.log.is_none() {
            let opened = self.open_log();
            self.end();
            let mut log = opened?;
            publish.show(&mut log.working.share(), &log.committed.head);
            self.log = Some(log);
            self.draw_near(publish)?;
            self.mirror_opened()?;
        }
        Ok(())
    }

    /// Takes in what others committed while the log was read, as long as that gets less: whoever takes in much under the
    /// lock makes them wait.
    fn draw_near(&mut self, publish: &dyn Publish) -> Result<(), LedgerError> {
        let mut before = u64::MAX;
        loop {
            let known = self.size();
            let stored = self.begin(Access::Read)?;
            let followed = self.catch_up(stored, publish);
            self.end();
            followed?;
            let new = self.size().saturating_sub(known);
            if new <= NEAR || new >= before {
                return Ok(());
            }
            before = new;
        }
    }

    fn size(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.committed.head.size())
    }

    /// The connection; only after [`Self::ensure_open`].
    pub(crate) fn link(&mut self) -> Result<&mut B::Link, LedgerError> {
        self.link.as_mut().ok_or_else(closed)
    }

    /// Ends the transaction, if one is open.
    pub(crate) fn end(&mut self) {
        if let Some(link) = &mut self.link {
            link.release();
        }
    }

    /// Forgets a connection that failed, and what a batch left behind.
    pub(crate) fn give_up(&mut self) {
        self.end();
        self.link = None;
        if let Some(log) = &mut self.log {
            log.dirty = true;
        }
    }

    pub(crate) fn begin(&mut self, access: Access) -> Result<Option<StoredHead>, LedgerError> {
        let action = if access == Access::Read { "read" } else { "append" };
        self.link()?.begin(access).map_err(|error| self.failed(action, error))
    }

    /// Reads the entries between what is known and a stored head, and checks that they lead there.
    pub(crate) fn follow(
        &mut self,
        log: &mut Log,
        stored: &StoredHead,
        each: &mut dyn FnMut(Record, &mut Log) -> Result<(), String>,
    ) -> Result<(), LedgerError> {
        if *stored == log.committed {
            return Ok(());
        }
        let (known, size) = (log.committed.head.size(), stored.head.size());
        if size < known {
            let cut = format!("it has {size} entries and had {known}: it was cut, or an older copy put back");
            return Err(self.freeze(cut));
        }
        if stored.head.origin != log.committed.head.origin {
            return Err(self.freeze("another log stands in its place"));
        }
        let mut finding = None;
        let read = self.link()?.leaves(known, &mut |seq, leaf| {
            let taken = log.take(seq, size, leaf).and_then(|record| each(record, log));
            finding = taken.err();
            finding.is_none()
        });
        read.map_err(|error| self.failed("read", error))?;
        if let Some(finding) = finding {
            return Err(self.freeze(finding));
        }
        let reached = &log.committed.head;
        if reached.size() != size {
            let (reached, finding) = (reached.size(), "entries are missing");
            return Err(self.freeze(format!("{finding}: it states {size} and has {reached}")));
        }
        if *reached != stored.head || !seal::holds(&log.key, reached, &stored.seal) {
            return Err(self.freeze(format!("its entries after {known} do not lead to its sealed head")));
        }
        log.committed.seal = stored.seal;
        Ok(())
    }

    /// Takes in what other processes committed, within an open transaction.
    pub(crate) fn catch_up(
        &mut self,
        stored: Option<StoredHead>,
        publish: &dyn Publish,
    ) -> Result<(), LedgerError> {
        let Some(stored) = stored else { return Err(self.freeze("its head is gone")) };
        let Some(log) = &mut self.log else { return Err(closed()) };
        if log.dirty {
            log.working.go_back(publish.copy());
            log.rows = Rows::default();
            log.dirty = false;
        }
        if stored == log.committed {
            return Ok(());
        }
        let Some(mut log) = self.log.take() else { return Err(closed()) };
        log.rows = Rows::default();
        let before = (log.committed.clone(), log.grown.since.len());
        let mut records = Vec::new();
        let followed = self.follow(&mut log, &stored, &mut |record, log| {
            log.replay(&record);
            records.push(record);
            Ok(())
        });
        if followed.is_ok() {
            log.publish(&records, publish);
            if log.grown.since.len() > MOST_SINCE {
                log.grown = Grown::from(log.committed.head.frontier.clone());
            }
        } else {
            // Entries that lead to no sealed head are shown to nobody.
            log.committed = before.0;
            log.grown.since.truncate(before.1);
            log.dirty = true;
        }
        self.log = Some(log);
        followed
    }

    /// Signs a checkpoint of a head that is about to be committed, after holding the log against the copies of the
    /// last one.
    pub(crate) fn sign(&mut self, head: &Head, new: &[NewEntry]) -> Result<(u64, String), LedgerError> {
        let Some(mut log) = self.log.take() else { return Err(closed()) };
        let signed = self.sign_log(&mut log, head, new);
        self.log = Some(log);
        signed
    }

    fn sign_log(
        &mut self,
        log: &mut Log,
        head: &Head,
        new: &[NewEntry],
    ) -> Result<(u64, String), LedgerError> {
        // Keys may have been changed since by another process.
        let signing = self.settings.keys.signers(&head.origin, false, (self.settings.clock)());
        log.signing = signing.map_err(|error| self.unavailable("append", error))?;
        for witness in log.witnesses.clone() {
            let Some(copy) = self.witnessed(&witness, &log.signing)? else { continue };
            let agrees = log.has_given_up(&copy)
                || copy.size < log.grown.base.size()
                || log.grown.root_at(copy.size) == Some(copy.root);
            if !agrees {
                let (size, name) = (copy.size, witness.name());
                return Err(self.freeze(format!("it does not extend the {size} entries that {name} covers")));
            }
        }
        let (origin, base) = (head.origin.clone(), &log.grown.base);
        let next = Checkpoint { origin: origin.clone(), size: head.size(), root: head.frontier.root() };
        let before = Checkpoint { origin, size: base.size(), root: base.root() };
        let mut leaves = log.grown.since.iter().copied().chain(new.iter().map(|entry| entry.hash));
        let earlier = Earlier::Grown { checkpoint: &before, frontier: base, leaves: &mut leaves };
        match checkpoint::sign(&next, earlier, &log.signing.keys()) {
            Ok(note) => Ok((next.size, note)),
            Err(error) => Err(self.freeze(error.to_string())),
        }
    }

    /// Brings the mirror up to the log under the lock of the head.
    fn mirror_opened(&mut self) -> Result<(), LedgerError> {
        let (Some(log), true) = (&self.log, self.mirror.is_some()) else { return Ok(()) };
        let batch = Batch::of(log.committed.clone());
        let stored = self.begin(Access::Written)?;
        // Entries that others have added since are written when they are taken in.
        if stored.as_ref() == Some(&batch.head) {
            self.mirror(&batch);
        }
        self.end();
        Ok(())
    }

    /// Adds a committed batch to the mirror. The ledger is complete without it: what fails is told and made up for.
    pub(crate) fn mirror(&mut self, batch: &Batch) {
        let (Some(mirror), Some(link)) = (&mut self.mirror, &mut self.link) else { return };
        let failure = mirror.follow(link, batch).err();
        self.mirror_trouble = failure.map(|failure| self.unavailable("append", failure));
    }

    /// A checkpoint was committed. It is kept in its other places now if somebody waits for that, else by the next
    /// [`Unspread::spread`], which needs no lock.
    pub(crate) fn signed(&mut self, size: u64, note: &str, awaited: bool) -> Result<(), LedgerError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.signed = size;
        if size == log.committed.head.size() {
            log.grown = Grown::from(log.committed.head.frontier.clone());
        }
        let (ledger, witnesses) = (self.backend.name(), log.witnesses.clone());
        let unspread = Unspread { ledger, witnesses, note: note.to_owned() };
        if awaited {
            self.unspread = None;
            return unspread.spread();
        }
        self.unspread = Some(unspread);
        Ok(())
    }
}

/// A committed checkpoint that is not yet in its other places.
pub(crate) struct Unspread {
    ledger: Arc<str>,
    witnesses: Vec<Witness>,
    note: String,
}

impl Unspread {
    pub(crate) fn spread(&self) -> Result<(), LedgerError> {
        let failed = self.witnesses.iter().filter_map(|witness| witness.keep(&self.note).err()).next();
        match failed {
            None => Ok(()),
            Some(WitnessError::Unusable(cause) | WitnessError::Foreign(cause)) => {
                Err(LedgerError::Unavailable { ledger: self.ledger.clone(), action: "append", cause })
            }
        }
    }
}

impl Log {
    pub(crate) fn new(committed: StoredHead, key: LogKey, signing: Signers, witnesses: Vec<Witness>) -> Self {
        let grown = Grown::from(committed.head.frontier.clone());
        Self {
            committed,
            working: State::default(),
            dirty: false,
            rows: Rows::default(),
            clock_flagged: false,
            key,
            signing,
            grown,
            signed: 0,
            witnesses,
            given_up: Vec::new(),
        }
    }

    /// Takes in what a record says.
    pub(crate) fn replay(&mut self, record: &Record) {
        self.working.replay(record);
        if let Fact::Recovery(RecoveryFact { rollback: Some(rollback), .. }) = &record.fact {
            self.given_up.extend(rollback.lost.iter().cloned());
        }
    }

    fn has_given_up(&self, copy: &Checkpoint) -> bool {
        self.given_up.iter().any(|lost| lost.size == copy.size && lost.root == copy.root)
    }

    /// Takes one more entry into the head.
    fn take(&mut self, seq: u64, size: u64, bytes: &[u8]) -> Result<Record, String> {
        let next = self.committed.head.size();
        if seq != next {
            return Err(format!("entry {next} is missing: entry {seq} follows"));
        }
        if seq >= size {
            return Err(format!("entry {seq} stands past its head of {size}"));
        }
        let record = leaf::decode(bytes).map_err(|error| format!("entry {seq}: {error}"))?;
        if record.time_us < self.committed.head.time_us {
            return Err(format!("entry {seq} is older than the one before"));
        }
        let hash = tree::leaf_hash(bytes);
        self.committed.head.push(hash, record.time_us);
        self.grown.since.push(hash);
        Ok(record)
    }

    /// The head with its seal.
    pub(crate) fn sealed(&self, head: Head) -> StoredHead {
        StoredHead { seal: seal::seal(&self.key, &head), head }
    }

    /// A batch was committed.
    pub(crate) fn committed(&mut self, head: StoredHead, leaves: impl Iterator<Item = Digest>) {
        self.committed = head;
        self.grown.since.extend(leaves);
    }

    /// Shows the working state to readers, and brings the one they had up to it.
    pub(crate) fn publish(&mut self, records: &[Record], publish: &dyn Publish) {
        publish.show(&mut self.working, &self.committed.head);
        for record in records {
            self.working.repeat(record);
        }
    }

    pub(crate) fn time(&self) -> Micros {
        self.committed.head.time_us
    }
}
