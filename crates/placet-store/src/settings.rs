//! How a ledger is set up, apart from where it is kept.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use placet_audit::keys::{NewKeyError, SigningKey};
use placet_audit::seal::LogKey;
use placet_trust::approvals::Reviewers;
use placet_types::Micros;

use crate::keys::{KeyError, KeyFolder};
use crate::mirrored::MirrorRotation;
use crate::rotation::Signers;

/// Tells the time. The ledger never lets it run backwards within a log.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// How many calls may wait for the ledger before the next is refused.
pub(crate) const DEFAULT_QUEUE_LIMIT: usize = 4_096;

/// How a ledger is set up.
#[derive(Clone)]
pub struct Settings {
    pub(crate) keys: KeySource,
    pub(crate) anchor: Option<PathBuf>,
    pub(crate) mirror: Option<PathBuf>,
    pub(crate) mirror_rotation: MirrorRotation,
    pub(crate) clock: Clock,
    pub(crate) queue_limit: usize,
    pub(crate) reviewers: Arc<Reviewers>,
}

/// Where keys come from.
#[derive(Clone)]
pub(crate) enum KeySource {
    Folder(KeyFolder),
    Given(Box<(LogKey, SigningKey)>),
}

impl Settings {
    /// Keys in a folder, which is made on first use.
    #[must_use]
    pub fn new(keys: KeyFolder) -> Self {
        Self {
            keys: KeySource::Folder(keys),
            anchor: None,
            mirror: None,
            mirror_rotation: MirrorRotation::default(),
            clock: Arc::new(system_time),
            queue_limit: DEFAULT_QUEUE_LIMIT,
            reviewers: Arc::default(),
        }
    }

    /// Keys that live and die with this value: for a log in memory.
    ///
    /// # Errors
    /// [`NewKeyError`] when the system has no randomness.
    pub fn with_passing_keys() -> Result<Self, NewKeyError> {
        let signing = SigningKey::generate(&KeyFolder::new_origin())?;
        let keys = KeySource::Given(Box::new((LogKey::generate()?, signing)));
        Ok(Self { keys, ..Self::new(KeyFolder::new("")) })
    }

    /// Also writes each checkpoint to this file, best on another volume. A log that does not extend it is refused.
    #[must_use]
    pub fn anchor(self, path: impl Into<PathBuf>) -> Self {
        Self { anchor: Some(path.into()), ..self }
    }

    /// Also writes every commit to this JSONL file, in order.
    #[must_use]
    pub fn mirror(self, path: impl Into<PathBuf>) -> Self {
        Self { mirror: Some(path.into()), ..self }
    }

    /// When the file of the mirror is full; by default it grows.
    #[must_use]
    pub fn mirror_rotation(self, mirror_rotation: MirrorRotation) -> Self {
        Self { mirror_rotation, ..self }
    }

    /// Another clock.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Who may answer requests for approval, and with which keys they sign.
    #[must_use]
    pub fn reviewers(self, reviewers: Arc<Reviewers>) -> Self {
        Self { reviewers, ..self }
    }

    /// How many calls may wait; more are refused.
    #[must_use]
    pub fn queue_limit(self, calls: usize) -> Self {
        Self { queue_limit: calls.max(1), ..self }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = &self.queue_limit;
        formatter.debug_struct("Settings").field("anchor", &self.anchor).field("queue_limit", limit).finish()
    }
}

impl KeySource {
    pub(crate) fn log_key(&self, make: bool) -> Result<LogKey, KeyError> {
        match self {
            Self::Folder(folder) => folder.log_key(make),
            Self::Given(keys) => Ok(keys.0.clone()),
        }
    }

    /// What signs the checkpoints of a log at this moment.
    pub(crate) fn signers(&self, origin: &str, make: bool, now: Micros) -> Result<Signers, KeyError> {
        match self {
            Self::Folder(folder) => folder.signers(origin, make, now),
            Self::Given(keys) => Ok(Signers::of(keys.1.clone())),
        }
    }

    pub(crate) fn new_origin(&self) -> String {
        match self {
            Self::Folder(_) => KeyFolder::new_origin(),
            Self::Given(keys) => keys.1.verifier().name().to_owned(),
        }
    }
}

fn system_time() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
