//! Opening a log: beginning one, or reading it from its beginning.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::checkpoint::{self, Checkpoint};
use placet_audit::seal::{self, Head};
use placet_trust::LedgerError;

use crate::backend::{Access, Backend, Batch, Link, StoredHead};
use crate::engine::{Engine, Log};
use crate::keys::KeyError;
use crate::rotation::Signers;
use crate::settings::KeySource;
use crate::witness::{Claims, Grown, Witness, WitnessError};

impl<B: Backend> Engine<B> {
    /// What the state must know that no record says.
    fn configured(&self, mut log: Log) -> Log {
        log.working.approvals.set_reviewers(self.settings.reviewers.clone());
        log
    }

    pub(crate) fn open_log(&mut self) -> Result<Log, LedgerError> {
        if let Some(stored) = self.begin(Access::Read)? {
            return self.reopen(&stored);
        }
        self.end();
        match self.begin(Access::Durable)? {
            Some(stored) => self.reopen(&stored),
            None => self.start(),
        }
    }

    fn reopen(&mut self, stored: &StoredHead) -> Result<Log, LedgerError> {
        let (log, claims) = self.replay(stored)?;
        claims.left(log.committed.head.size()).map_err(|finding| self.freeze(finding))?;
        Ok(log)
    }

    /// Begins a log.
    fn start(&mut self) -> Result<Log, LedgerError> {
        let mut entries = false;
        let read = self.link()?.leaves(0, &mut |_, _| {
            entries = true;
            false
        });
        read.map_err(|error| self.failed("read", error))?;
        if entries {
            return Err(self.freeze("its head is gone"));
        }
        let keys = self.settings.keys.clone();
        let key = keys.log_key(true).map_err(|error| self.unavailable("open", error))?;
        let origin = keys.new_origin();
        let now = (self.settings.clock)();
        let signing = keys.signers(&origin, true, now).map_err(|error| self.unavailable("open", error))?;
        let head = Head::empty(origin);
        let witnesses = self.witnesses(&head.origin);
        self.claims(&witnesses, &signing)?.left(0).map_err(|finding| self.freeze(finding))?;
        let stored = StoredHead { seal: seal::seal(&key, &head), head };
        let batch = Batch::of(stored.clone());
        let link = self.link()?;
        let written = link.append(&batch).and_then(|()| link.commit());
        written.map_err(|error| self.failed("append", error))?;
        Ok(self.configured(Log::new(stored, key, signing, witnesses)))
    }

    /// Reads a log from its beginning and holds it against its seal and every checkpoint that is known. What copies of
    /// checkpoints cover beyond its end is left.
    pub(crate) fn replay(&mut self, stored: &StoredHead) -> Result<(Log, Claims), LedgerError> {
        let keys = self.settings.keys.clone();
        let key = keys.log_key(false).map_err(|error| self.key_failed(error))?;
        if !seal::holds(&key, &stored.head, &stored.seal) {
            let advice = "its head was edited, or the key folder is that of another ledger";
            return Err(self.freeze(format!("the seal of its head does not hold: {advice}")));
        }
        let origin = stored.head.origin.clone();
        let now = (self.settings.clock)();
        let signing = keys.signers(&origin, false, now).map_err(|error| self.key_failed(error))?;
        let witnesses = self.witnesses(&origin);
        let mut claims = self.claims(&witnesses, &signing)?;
        let note = self.link()?.note().map_err(|error| self.failed("read", error))?;
        let mut signed = 0;
        if let Some(note) = note {
            let checkpoint = checkpoint::verify(&note, &signing.verifiers);
            let checkpoint =
                checkpoint.map_err(|error| self.freeze(format!("its last checkpoint: {error}")))?;
            signed = checkpoint.size;
            if signed > stored.head.size() {
                let size = stored.head.size();
                return Err(self
                    .freeze(format!("it has {size} entries, and its own last checkpoint covers {signed}")));
            }
            claims.add(checkpoint, "its last checkpoint".to_owned(), "ledger");
        }
        let empty = Head::empty(origin);
        let start = StoredHead { seal: seal::seal(&key, &empty), head: empty };
        let mut log = self.configured(Log::new(start, key, signing, witnesses));
        log.signed = signed;
        claims.at(&log.committed.head.frontier).map_err(|finding| self.freeze(finding))?;
        self.follow(&mut log, stored, &mut |record, log| {
            log.replay(&record);
            claims.give_up(&log.given_up);
            claims.at(&log.committed.head.frontier)
        })?;
        log.grown = Grown::from(log.committed.head.frontier.clone());
        Ok((log, claims))
    }

    fn key_failed(&mut self, error: KeyError) -> LedgerError {
        self.unavailable("open", error)
    }

    fn witnesses(&self, origin: &str) -> Vec<Witness> {
        let mut witnesses = Vec::new();
        if let KeySource::Folder(folder) = &self.settings.keys {
            witnesses.push(Witness {
                path: folder.checkpoint_path(origin),
                called: "checkpoint in the key folder",
                kept: "key_folder",
            });
        }
        if let Some(path) = &self.settings.anchor {
            witnesses.push(Witness { path: path.clone(), called: "anchor", kept: "anchor" });
        }
        witnesses
    }

    fn claims(&mut self, witnesses: &[Witness], key: &Signers) -> Result<Claims, LedgerError> {
        let mut claims = Claims::default();
        for witness in witnesses {
            if let Some(checkpoint) = self.witnessed(witness, key)? {
                claims.add(checkpoint, witness.name(), witness.kept);
            }
        }
        Ok(claims)
    }

    pub(crate) fn witnessed(
        &mut self,
        witness: &Witness,
        key: &Signers,
    ) -> Result<Option<Checkpoint>, LedgerError> {
        witness.read(&key.verifiers).map_err(|error| match error {
            WitnessError::Unusable(cause) => self.unavailable("open", cause),
            WitnessError::Foreign(finding) => self.freeze(finding),
        })
    }
}
