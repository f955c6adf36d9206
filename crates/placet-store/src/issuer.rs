//! The keys with which the credentials of a log are signed: in the folder of its keys, made on first use, changed with
//! an overlap. The secret half is never in the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use placet_trust::credentials::keys::{IssuerKeys, KeySet, NoIssuer, NoRandom, Random, SecretKey};
use placet_trust::{Ledger, Proposal};
use placet_types::record::KeyFact;
use placet_types::{Ack, Fact, Micros, Record, RecordId};
use uuid::Uuid;

use crate::keys::{KeyError, KeyFolder, damaged, replace, unusable};
use crate::ledger::Store;
use crate::rotation::RotateError;

/// How often the files are looked at, at most: well within the second in which a retired key must be known everywhere.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The keys of the issuer of one log.
#[derive(Debug)]
pub struct IssuerFolder {
    folder: KeyFolder,
    origin: Arc<str>,
    known: Mutex<Option<Known>>,
}

/// The public keys as they were read.
#[derive(Debug)]
struct Known {
    set: Arc<KeySet>,
    file: Stamp,
    looked: Instant,
}

/// What tells one state of a file from another: files here are replaced, never edited.
type Stamp = (u64, i64, i64, u64);

impl IssuerFolder {
    /// The keys of the issuer of a log.
    #[must_use]
    pub fn new(folder: KeyFolder, origin: impl Into<Arc<str>>) -> Self {
        Self { folder, origin: origin.into(), known: Mutex::new(None) }
    }

    /// Where the secret key stands.
    #[must_use]
    pub fn secret_path(&self) -> PathBuf {
        self.folder.of(&self.origin, "issuer.key")
    }

    /// Where the public keys stand, one a line: what whoever verifies tokens elsewhere needs.
    #[must_use]
    pub fn public_path(&self) -> PathBuf {
        self.folder.of(&self.origin, "issuer.keys")
    }

    /// The public keys; made with the secret one if there are none yet.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn keys(&self, now: Micros) -> Result<Arc<KeySet>, KeyError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.looked.elapsed() < LOOK_EVERY) {
            return Ok(known.set.clone());
        }
        let path = self.public_path();
        if !path.exists() {
            self.make(now)?;
        }
        let file = stamp(&path)?;
        if let Some(known) = known.as_mut().filter(|known| known.file == file) {
            known.looked = Instant::now();
            return Ok(known.set.clone());
        }
        let set = Arc::new(self.read()?);
        *known = Some(Known { set: set.clone(), file, looked: Instant::now() });
        Ok(set)
    }

    fn read(&self) -> Result<KeySet, KeyError> {
        let path = self.public_path();
        let text = fs::read_to_string(&path).map_err(|cause| unusable(&path, "read", cause))?;
        KeySet::from_text(&text).map_err(|error| damaged(&path, &error))
    }

    /// The key that signs.
    ///
    /// # Errors
    /// [`KeyError`]: nothing can be signed.
    pub fn secret(&self, now: Micros) -> Result<SecretKey, KeyError> {
        let set = self.keys(now)?;
        let path = self.secret_path();
        let text = self.folder.secret(&path, false, || Err::<String, _>("it is not made anew"))?;
        let key = SecretKey::from_secret_text(&text).map_err(|error| damaged(&path, &error))?;
        if set.newest() == Some(&key.public()) {
            return Ok(key);
        }
        // The public keys are replaced before the secret one; between the two the old one still signs.
        match set.trust(&key.public().id(), now, 0) {
            Ok(_) => Ok(key),
            Err(_) => Err(damaged(&path, &"its public half is not the newest of the issuer's keys")),
        }
    }

    /// A first key. Whoever comes second takes the one that is there.
    fn make(&self, now: Micros) -> Result<(), KeyError> {
        let path = self.secret_path();
        let made = || SecretKey::generate(&SystemRandom).map(|key| key.to_secret_text());
        let text = self.folder.secret(&path, true, made)?;
        let key = SecretKey::from_secret_text(&text).map_err(|error| damaged(&path, &error))?;
        let set = KeySet::new(self.origin.clone(), key.public(), now);
        self.write(&set)
    }

    fn write(&self, set: &KeySet) -> Result<(), KeyError> {
        let path = self.public_path();
        replace(&path, set.to_text().as_bytes(), 0o644).map_err(|cause| unusable(&path, "made", cause))
    }

    /// Brings in a new key: first on record, then in the folder. What the keys before it signed verifies for
    /// `overlap_seconds` more. A secret key that was lost is thereby replaced.
    ///
    /// Running processes sign with the new key, and know of it, within a second.
    ///
    /// # Errors
    /// [`RotateError`]; then the old key signs on.
    pub fn rotate(
        &self,
        ledger: &dyn Ledger,
        now: Micros,
        overlap_seconds: u32,
        by: &str,
    ) -> Result<Arc<KeySet>, RotateError> {
        let lock = self.locked()?;
        let mut set = if self.public_path().exists() { self.read()? } else { (*self.keys(now)?).clone() };
        let key = SecretKey::generate(&SystemRandom)?;
        set.rotate(key.public(), now, overlap_seconds)?;
        let fact = KeyFact {
            signs: "credentials".into(),
            added: Arc::from(key.public().to_string()),
            overlap_until_us: now.plus_seconds(overlap_seconds),
            by: by.into(),
        };
        let record = Record::new(RecordId(Uuid::now_v7().to_string().into()), Fact::Keys(fact));
        let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
        if let Some(refusal) = ledger.commit(proposal, Ack::Durable)?.refused {
            return Err(RotateError::Refused(refusal.to_string()));
        }
        self.write(&set)?;
        let path = self.secret_path();
        let secret = replace(&path, key.to_secret_text().as_bytes(), 0o600);
        secret.map_err(|cause| unusable(&path, "made", cause))?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(lock);
        Ok(Arc::new(set))
    }

    fn locked(&self) -> Result<fs::File, KeyError> {
        let path = self.folder.of(&self.origin, "issuer.lock");
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(|cause| unusable(&path, "made", cause))?;
        file.lock().map_err(|cause| unusable(&path, "locked", cause))?;
        Ok(file)
    }
}

fn stamp(path: &Path) -> Result<Stamp, KeyError> {
    let found = fs::metadata(path).map_err(|cause| unusable(path, "read", cause))?;
    Ok((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

/// The randomness of the system.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        getrandom::fill(bytes).map_err(|_| NoRandom)
    }
}

/// Says what to do about a key that cannot be used.
fn none(error: &KeyError) -> NoIssuer {
    let advice = match error {
        KeyError::Missing { .. } | KeyError::Damaged { .. } => {
            "; or bring in a new one with `placet keys rotate --credentials`"
        }
        _ => "",
    };
    NoIssuer(format!("no credential can be signed or verified: {error}{advice}"))
}

impl IssuerKeys for IssuerFolder {
    fn trusted(&self, now: Micros) -> Result<Arc<KeySet>, NoIssuer> {
        self.keys(now).map_err(|error| none(&error))
    }

    fn signer(&self, now: Micros) -> Result<(Arc<SecretKey>, Arc<str>), NoIssuer> {
        let key = self.secret(now).map_err(|error| none(&error))?;
        Ok((Arc::new(key), self.origin.clone()))
    }
}

/// The issuer's keys of a ledger that is opened on first use; those of a ledger in memory end with it.
pub struct LedgerIssuer {
    store: Arc<dyn Store>,
    found: OnceLock<IssuerFolder>,
    passing: Mutex<Option<(Arc<SecretKey>, Arc<KeySet>)>>,
}

impl LedgerIssuer {
    /// The issuer of a ledger.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, found: OnceLock::new(), passing: Mutex::new(None) }
    }

    fn folder(&self) -> Result<Option<&IssuerFolder>, NoIssuer> {
        if let Some(found) = self.found.get() {
            return Ok(Some(found));
        }
        let found = self.store.issuer().map_err(|error| NoIssuer(error.to_string()))?;
        Ok(found.map(|folder| self.found.get_or_init(|| folder)))
    }

    fn passing(&self, now: Micros) -> Result<(Arc<SecretKey>, Arc<KeySet>), NoIssuer> {
        let mut held = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((key, set)) = held.as_ref() {
            return Ok((key.clone(), set.clone()));
        }
        let key = SecretKey::generate(&SystemRandom).map_err(|error| NoIssuer(error.to_string()))?;
        let set = KeySet::new(KeyFolder::new_origin(), key.public(), now);
        Ok(held.insert((Arc::new(key), Arc::new(set))).clone())
    }
}

impl IssuerKeys for LedgerIssuer {
    fn trusted(&self, now: Micros) -> Result<Arc<KeySet>, NoIssuer> {
        match self.folder()? {
            Some(folder) => folder.trusted(now),
            None => Ok(self.passing(now)?.1),
        }
    }

    fn signer(&self, now: Micros) -> Result<(Arc<SecretKey>, Arc<str>), NoIssuer> {
        match self.folder()? {
            Some(folder) => folder.signer(now),
            None => {
                let (key, set) = self.passing(now)?;
                Ok((key, set.issuer().clone()))
            }
        }
    }
}
