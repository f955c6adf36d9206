//! What agents remember, over any ledger: cleaned when it is written and when it is read, with its provenance.
//!
//! It decides nothing: whether an agent may read or write is for policies to say about the call that does so. What it
//! holds by itself is that a session sees its own keys only, that a lower tier never takes the place of a higher one,
//! and that nobody is shown what somebody edited in the database.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_content::Sanitizer;
use placet_trust::memory::Version;
use placet_trust::{Freshness, LedgerError, Personal, Proposal, Recalled, Refusal, Vault};
use placet_types::memory::{MemorySpace, MemoryWrite, TrustTier, fields};
use placet_types::record::{ChangeFact, ErasureFact};
use placet_types::{Ack, Digest, Fact, LedgerOp, Micros, Record, RecordId, Value};

use crate::clock::{Clock, SystemClock};
use crate::digest::digest;
use crate::refusal::new_id;

/// The most bytes of a key and of a source.
pub const MAX_NAME_BYTES: usize = 512;

/// The most bytes of a value.
pub const MAX_VALUE_BYTES: usize = 64 * 1_024;

/// How often a reading that an erasure crossed is tried.
const TRIES: usize = 3;

/// What is to be remembered.
#[derive(Debug, Clone, Copy)]
pub struct NewMemory<'a> {
    /// Under which key.
    pub key: &'a str,
    /// What.
    pub value: &'a str,
    /// How far its origin is trusted. Whoever writes on an agent's behalf says this, never the agent.
    pub tier: TrustTier,
    /// Where it comes from, in words: `tool:search`, `user`.
    pub source: &'a str,
    /// The agent that writes.
    pub agent: Option<&'a str>,
    /// The decision whose result it holds.
    pub from: Option<&'a str>,
    /// How long it is remembered; for good when absent.
    pub ttl_seconds: Option<u32>,
}

/// Something remembered, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Its key.
    pub key: String,
    /// Its value, cleaned; `None` when it was erased or has expired.
    pub value: Option<String>,
    /// How far its origin is trusted.
    pub tier: TrustTier,
    /// Where it comes from, in words; `None` when it was erased.
    pub source: Option<String>,
    /// The agent that wrote it.
    pub agent: Option<Arc<str>>,
    /// The decision whose result it holds.
    pub from: Option<RecordId>,
    /// Whether something was taken out of the value, when it was written or now.
    pub sanitized: bool,
    /// When its key was first written.
    pub created_us: Micros,
    /// When it was written.
    pub written_us: Micros,
    /// From when on it is forgotten.
    pub expires_us: Option<Micros>,
    /// The record that holds it.
    pub record: RecordId,
}

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A key or a source that cannot be kept.
    #[error(
        "the {what} of a memory must be a text of 1 to {MAX_NAME_BYTES} bytes without control characters or instructions"
    )]
    Name {
        /// `key` or `source`.
        what: &'static str,
    },
    /// A value that is too large.
    #[error(
        "a memory of {actual_bytes} bytes is past the limit of {MAX_VALUE_BYTES} bytes; keep it elsewhere, and remember where"
    )]
    TooLarge {
        /// Its size.
        actual_bytes: usize,
    },
    /// The key holds what is trusted more, or another precondition does not hold; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger failed; nothing may be assumed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is stored is not what was written.
    #[error("the memory of record `{record}` was edited in the database; run `placet audit verify`")]
    Tampered {
        /// The record.
        record: RecordId,
    },
}

/// Memories in a ledger.
#[derive(Clone)]
pub struct MemoryStore {
    vault: Arc<dyn Vault>,
    sanitizer: Sanitizer,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// The memories in this ledger, cleaned with the builtin patterns.
    #[must_use]
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, sanitizer: Sanitizer::builtin(), clock: Arc::new(SystemClock::default()) }
    }

    /// With other patterns.
    #[must_use]
    pub fn sanitizer(self, sanitizer: Sanitizer) -> Self {
        Self { sanitizer, ..self }
    }

    /// With another clock, for what expires.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Remembers something, and returns it as it is kept.
    ///
    /// # Errors
    /// [`MemoryError`]; then nothing was written.
    pub fn write(&self, space: &MemorySpace, new: &NewMemory<'_>) -> Result<Memory, MemoryError> {
        self.check_name("key", new.key)?;
        self.check_name("source", new.source)?;
        if new.value.len() > MAX_VALUE_BYTES {
            return Err(MemoryError::TooLarge { actual_bytes: new.value.len() });
        }
        let cleaned = new.tier.is_cleaned().then(|| self.sanitizer.clean_text(new.value));
        let (value, sanitized) = match &cleaned {
            Some(cleaned) => (&*cleaned.text, !cleaned.findings.is_empty()),
            None => (new.value, false),
        };
        let key = self.key(space, new.key)?;
        let by: Arc<str> = new.agent.unwrap_or("system").into();
        let mut record = Record::new(RecordId(new_id().0), Fact::Change(ChangeFact { by }));
        record.tenant = space.tenant.clone();
        record.session = space.session.clone();
        record.agent = new.agent.map(Arc::from);
        record.ops.push(LedgerOp::Remember(MemoryWrite {
            key,
            tier: new.tier,
            from: new.from.map(RecordId::from),
            sanitized,
            expires_us: new.ttl_seconds.map(|ttl| self.now().plus_seconds(ttl)),
        }));
        let texts = [(fields::KEY, new.key), (fields::VALUE, value), (fields::SOURCE, new.source)];
        let personal = texts.map(|(field, text)| Personal { field: field.into(), value: text.into() });
        let view = serde_json::Map::from_iter([("event".to_owned(), "memory_written".into())]);
        let id = record.id.clone();
        let proposal =
            Proposal { record, view: Some(view.into()), personal: personal.into(), fallback: None };
        let receipt = self.vault.commit(proposal, Ack::Durable)?;
        if let Some(refusal) = receipt.refused {
            return Err(refusal.into());
        }
        let written = self.versions(space, &key)?.1.into_iter().find(|version| version.record == id);
        let written = written.ok_or(MemoryError::Tampered { record: id })?;
        self.show(space, &key, &written, false)
    }

    /// The memory under a key; `None` when there is none, or it has expired or was erased.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn read(&self, space: &MemorySpace, key: &str) -> Result<Option<Memory>, MemoryError> {
        let key = self.key(space, key)?;
        for _ in 0..TRIES {
            let (_, versions) = self.versions(space, &key)?;
            let now = self.now();
            let Some(current) = versions.last().filter(|version| version.is_live(now)) else {
                return Ok(None);
            };
            match self.show(space, &key, current, true) {
                // Perhaps it was erased between the two looks.
                Err(MemoryError::Tampered { .. }) => {}
                shown => return shown.map(Some),
            }
        }
        let (_, versions) = self.versions(space, &key)?;
        match versions.last().filter(|version| version.is_live(self.now())) {
            Some(current) => self.show(space, &key, current, true).map(Some),
            None => Ok(None),
        }
    }

    /// The live memories of a space, the latest first.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn list(&self, space: &MemorySpace) -> Result<Vec<Memory>, MemoryError> {
        let now = self.now();
        let mut versions = Vec::new();
        self.vault.read(Freshness::Now, &mut |state| {
            versions = state.memory.live(space, now).into_iter().cloned().collect();
        })?;
        versions.iter().map(|version| self.show(space, &version.write.key, version, true)).collect()
    }

    /// Every version of a key that is still known, oldest first; those that were erased without their values.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn history(&self, space: &MemorySpace, key: &str) -> Result<Vec<Memory>, MemoryError> {
        let key_digest = self.key(space, key)?;
        let (_, versions) = self.versions(space, &key_digest)?;
        let shown = |version: &Arc<Version>| {
            let mut memory = self.show(space, &key_digest, version, true)?;
            key.clone_into(&mut memory.key);
            Ok(memory)
        };
        versions.iter().map(shown).collect()
    }

    /// Erases every version of a key, and records who asked for it and on which ground. Returns how many.
    ///
    /// # Errors
    /// [`MemoryError`]; then nothing was erased.
    pub fn erase(&self, space: &MemorySpace, key: &str, by: &str, basis: &str) -> Result<usize, MemoryError> {
        let (_, versions) = self.versions(space, &self.key(space, key)?)?;
        let records: Vec<u64> =
            versions.iter().filter(|version| !version.erased).map(|version| version.seq).collect();
        let count = records.len();
        if count == 0 {
            return Ok(0);
        }
        let fields = fields::ALL.iter().map(|field| Arc::from(*field)).collect();
        let erasure = ErasureFact { records, fields, by: by.into(), basis: basis.into() };
        let mut record = Record::new(RecordId(new_id().0), Fact::Erasure(erasure.clone()));
        record.tenant = space.tenant.clone();
        record.session = space.session.clone();
        self.vault.forget(record, erasure)?;
        Ok(count)
    }

    fn now(&self) -> Micros {
        Micros(self.clock.now().as_microsecond())
    }

    /// The key as records have it.
    fn key(&self, space: &MemorySpace, key: &str) -> Result<Digest, MemoryError> {
        let digest = Digest(digest(&Value::from(&*format!("placet.memory.key\0{key}"))));
        Ok(self.vault.tenant_key(space.tenant.as_deref())?.mac(&digest))
    }

    fn check_name(&self, what: &'static str, name: &str) -> Result<(), MemoryError> {
        let is_plain = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
        match is_plain && self.sanitizer.clean_text(name).findings.is_empty() {
            true => Ok(()),
            false => Err(MemoryError::Name { what }),
        }
    }

    fn versions(
        &self,
        space: &MemorySpace,
        key: &Digest,
    ) -> Result<(Micros, Vec<Arc<Version>>), MemoryError> {
        let mut found = (Micros::default(), Vec::new());
        self.vault.read(Freshness::Now, &mut |state| {
            if let Some(slot) = state.memory.slot(space, key) {
                found = (slot.created_us, slot.versions().cloned().collect());
            }
        })?;
        Ok(found)
    }

    /// A version with what lies beside its record, which must be what was recorded. What is shown is cleaned again: the
    /// patterns may have learnt since it was written, and the highest tiers were never cleaned.
    fn show(
        &self,
        space: &MemorySpace,
        key: &Digest,
        version: &Arc<Version>,
        clean: bool,
    ) -> Result<Memory, MemoryError> {
        let (created_us, _) = self.versions(space, key)?;
        let mut memory = Memory {
            key: String::new(),
            value: None,
            tier: version.write.tier,
            source: None,
            agent: version.agent.clone(),
            from: version.write.from.clone(),
            sanitized: version.write.sanitized,
            created_us,
            written_us: version.at_us,
            expires_us: version.write.expires_us,
            record: version.record.clone(),
        };
        if version.erased {
            return Ok(memory);
        }
        let stored = self.vault.personal(version.seq)?;
        let text = |field: &str| recorded(version, &stored, field);
        memory.key = text(fields::KEY)?;
        memory.source = Some(text(fields::SOURCE)?);
        let value = text(fields::VALUE)?;
        memory.value = Some(match clean {
            true => {
                let cleaned = self.sanitizer.clean_text(&value);
                memory.sanitized |= !cleaned.findings.is_empty();
                cleaned.text.into_owned()
            }
            false => value,
        });
        if !version.is_live(self.now()) {
            memory.value = None;
        }
        Ok(memory)
    }
}

/// The text of a field, if it is the one to which the record is committed.
fn recorded(version: &Version, stored: &[Recalled], field: &str) -> Result<String, MemoryError> {
    let found = stored.iter().find(|recalled| &*recalled.field == field);
    let text = found
        .filter(|recalled| version.commitments.get(field) == Some(&recalled.commitment))
        .and_then(|recalled| recalled.value.as_str());
    text.map(str::to_owned).ok_or_else(|| MemoryError::Tampered { record: version.record.clone() })
}
