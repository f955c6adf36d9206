//! Changing the keys that sign a log's checkpoints: the old key signs beside the new one for a while, and then no
//! more; its public half stays, so that what it signed verifies for good.
//!
//! The key that seals heads and gives the tenants' keys is not changed: digests in the log depend on it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use placet_audit::keys::{NewKeyError, SigningKey, VerifierKey};
use placet_trust::{Ledger, LedgerError, Proposal};
use placet_types::record::KeyFact;
use placet_types::{Ack, Fact, Micros, Record, RecordId};
use uuid::Uuid;

use crate::keys::{KeyError, KeyFolder, damaged, replace, unusable};

/// How many keys may sign at once: what the checkpoints of a log bear is read by others.
const MOST_SIGNERS: usize = 4;

const UNTIL: &str = "until ";

/// What signs a log at a moment, and what verifies what was ever signed.
#[derive(Debug, Clone)]
pub(crate) struct Signers {
    /// The newest first.
    signing: Vec<SigningKey>,
    pub(crate) verifiers: Vec<VerifierKey>,
}

impl Signers {
    pub(crate) fn of(key: SigningKey) -> Self {
        Self { verifiers: vec![key.verifier().clone()], signing: vec![key] }
    }

    pub(crate) fn keys(&self) -> Vec<&SigningKey> {
        self.signing.iter().collect()
    }
}

/// Whether a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It signs.
    Signs,
    /// It signs beside a newer one until then.
    SignsUntil(Micros),
    /// It signs no more; what it signed verifies.
    Retired,
}

/// Why keys were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no new key.
    #[error(transparent)]
    New(#[from] NewKeyError),
    /// The issuer's keys take no other.
    #[error(transparent)]
    Issuer(#[from] placet_trust::credentials::keys::KeyError),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] placet_trust::credentials::keys::NoRandom),
    /// The ledger did not take the record.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger refused the record.
    #[error("the ledger refused to record the new key: {0}")]
    Refused(String),
    /// Too many keys sign at once.
    #[error("{MOST_SIGNERS} keys sign at once already; wait until the overlap of one ends, or shorten it")]
    TooMany,
}

/// A key on its way out.
struct Leaving {
    key: SigningKey,
    until: Micros,
}

impl KeyFolder {
    pub(crate) fn signers(&self, origin: &str, make: bool, now: Micros) -> Result<Signers, KeyError> {
        let current = self.signing_key(origin, make)?;
        let mut verifiers = self.verifiers(origin)?;
        let mut signing = vec![current];
        for leaving in self.leaving(origin)? {
            let known = signing.iter().any(|key| key.verifier() == leaving.key.verifier());
            if leaving.until > now && !known {
                signing.push(leaving.key);
            }
        }
        for key in &signing {
            if !verifiers.contains(key.verifier()) {
                verifiers.push(key.verifier().clone());
            }
        }
        Ok(Signers { signing, verifiers })
    }

    /// Every key of a log and whether it signs, the newest first.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn states(&self, origin: &str, now: Micros) -> Result<Vec<(VerifierKey, KeyState)>, KeyError> {
        let current = self.signing_key(origin, false)?;
        let leaving = self.leaving(origin)?;
        let state = |key: &VerifierKey| {
            if key == current.verifier() {
                return KeyState::Signs;
            }
            let leaving = leaving.iter().find(|leaving| leaving.key.verifier() == key);
            match leaving.filter(|leaving| leaving.until > now) {
                Some(leaving) => KeyState::SignsUntil(leaving.until),
                None => KeyState::Retired,
            }
        };
        let keys = self.verifiers(origin)?.into_iter();
        Ok(keys
            .map(|key| {
                let state = state(&key);
                (key, state)
            })
            .collect())
    }

    /// The keys that sign beside the current one, or did until lately.
    fn leaving(&self, origin: &str) -> Result<Vec<Leaving>, KeyError> {
        let mut found = Vec::new();
        for key in self.verifiers(origin)? {
            let path = self.leaving_path(origin, &key);
            if !path.exists() {
                continue;
            }
            let text = self.secret(&path, false, || Err::<String, _>("it is not made anew"))?;
            found.push(parse_leaving(&path, &text)?);
        }
        Ok(found)
    }

    fn leaving_path(&self, origin: &str, key: &VerifierKey) -> std::path::PathBuf {
        self.of(origin, &format!("{}.key", HEXLOWER.encode(&key.id())))
    }

    /// Deletes the secrets of keys that sign no more.
    fn forget(&self, origin: &str, now: Micros) -> Result<usize, KeyError> {
        let leaving = self.leaving(origin)?;
        let gone: Vec<_> = leaving.iter().filter(|leaving| leaving.until <= now).collect();
        for leaving in &gone {
            let path = self.leaving_path(origin, leaving.key.verifier());
            fs::remove_file(&path).map_err(|cause| unusable(&path, "deleted", cause))?;
        }
        Ok(leaving.len().saturating_sub(gone.len()))
    }

    /// Puts a new key in place of the current one. A crash in between leaves the current one in its place.
    fn install(&self, origin: &str, new: &SigningKey, until: Micros) -> Result<(), KeyError> {
        let current = self.signing_key(origin, false)?;
        let put = |path: &Path, text: String, mode: u32| {
            replace(path, text.as_bytes(), mode).map_err(|cause| unusable(path, "made", cause))
        };
        let leave = |key: &SigningKey| {
            let path = self.leaving_path(origin, key.verifier());
            put(&path, format!("{}\n{UNTIL}{}\n", key.reveal(), until.0), 0o600)
        };
        leave(&current)?;
        // Whoever changes a key at once wants none before it to sign on.
        let earlier = self.leaving(origin)?;
        earlier.iter().filter(|earlier| earlier.until > until).try_for_each(|earlier| leave(&earlier.key))?;
        let mut public = format!("{}\n", new.verifier());
        self.verifiers(origin)?.iter().for_each(|key| public.push_str(&format!("{key}\n")));
        put(&self.verifier_path(origin), public, 0o644)?;
        put(&self.current_path(origin), format!("{}\n", new.reveal()), 0o600)
    }
}

fn parse_leaving(path: &Path, text: &str) -> Result<Leaving, KeyError> {
    let mut lines = text.lines();
    let key = SigningKey::parse(lines.next().unwrap_or_default()).map_err(|error| damaged(path, &error))?;
    let until = lines.next().and_then(|line| line.strip_prefix(UNTIL)?.parse().ok());
    let until = until.ok_or_else(|| damaged(path, &"it does not say until when it signs"))?;
    Ok(Leaving { key, until: Micros(until) })
}

/// Brings in a new key: first on record, then in the folder. Those before it sign beside it until `until` at most.
///
/// Running processes sign with the new key from their next checkpoint on.
///
/// # Errors
/// [`RotateError`]; then the old key signs on.
pub fn rotate(
    ledger: &dyn Ledger,
    keys: &KeyFolder,
    origin: &str,
    now: Micros,
    until: Micros,
    by: &str,
) -> Result<VerifierKey, RotateError> {
    let path = keys.of(origin, "rotation.lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let locked = |result: io::Result<()>| result.map_err(|cause| unusable(&path, "locked", cause));
    let lock = lock.map_err(|cause| unusable(&path, "made", cause))?;
    locked(lock.lock())?;
    if keys.forget(origin, now)?.saturating_add(2) > MOST_SIGNERS {
        return Err(RotateError::TooMany);
    }
    let new = SigningKey::generate(origin)?;
    let fact = KeyFact {
        signs: "checkpoints".into(),
        added: Arc::from(new.verifier().to_string()),
        overlap_until_us: until,
        by: by.into(),
    };
    let record = Record::new(RecordId(Uuid::now_v7().to_string().into()), Fact::Keys(fact));
    let proposal = Proposal { record, view: None, personal: Vec::new(), fallback: None };
    if let Some(refusal) = ledger.commit(proposal, Ack::Durable)?.refused {
        return Err(RotateError::Refused(refusal.to_string()));
    }
    keys.install(origin, &new, until)?;
    keys.forget(origin, now)?;
    Ok(new.verifier().clone())
}
