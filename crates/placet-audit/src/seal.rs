//! The head of a log and its seal under a key that is not in the database.
//!
//! Whoever can write the database but not read the key cannot append, cut or rewrite without breaking the seal.
//! Putting back an older head with its seal is not seen by the seal alone; running processes and anchors see it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use placet_types::{Digest, Micros};
use sha2::Sha256;

use crate::tree::Frontier;
use crate::{RandomError, chain};

const SEAL_DOMAIN: &[u8] = b"placet head seal v1\n";
const TENANT_DOMAIN: &[u8] = b"placet tenant key v1\n";

/// The secret of one log: it seals the head and gives each tenant's key. It never stands in the database.
///
/// ```
/// let key = placet_audit::seal::LogKey::from_bytes([7; 32]);
/// assert_eq!(format!("{key:?}"), "LogKey(***)");
/// ```
#[derive(Clone)]
pub struct LogKey {
    bytes: [u8; 32],
    /// HMAC with this key taken in, which would else be done for every head.
    mac: Hmac<Sha256>,
}

impl fmt::Debug for LogKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogKey(***)")
    }
}

/// A text that is no log key. The text is not shown: it may be a damaged secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log key is no key; its file holds 32 bytes in base64; restore the file from a copy")]
pub struct ParseLogKeyError;

impl LogKey {
    /// A new key.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate() -> Result<Self, RandomError> {
        crate::random().map(Self::from_bytes)
    }

    /// A key from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        // HMAC pads a short key with zeros to the block; doing so here leaves no length to fail on.
        let mut block = [0; 64];
        block.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self { bytes, mac: Hmac::<Sha256>::new(&block.into()) }
    }

    /// Reads what [`Self::reveal`] wrote.
    ///
    /// # Errors
    /// [`ParseLogKeyError`].
    pub fn parse(text: &str) -> Result<Self, ParseLogKeyError> {
        let bytes = BASE64.decode(text.trim_end().as_bytes()).map_err(|_| ParseLogKeyError)?;
        bytes.try_into().map(Self::from_bytes).map_err(|_| ParseLogKeyError)
    }

    /// The secret as text, for its file and nothing else.
    #[must_use]
    pub fn reveal(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    /// The key under which a tenant's digests of arguments are kept; `None` is the deployment without tenants.
    #[must_use]
    pub fn tenant_key(&self, tenant: Option<&str>) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(TENANT_DOMAIN);
        match tenant {
            None => mac.update(&[0]),
            Some(name) => {
                mac.update(&[1]);
                mac.update(name.as_bytes());
            }
        }
        mac.finalize().into_bytes().into()
    }
}

/// Where a log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The name of the log, as in its checkpoints.
    pub origin: Arc<str>,
    /// The tree over all entries.
    pub frontier: Frontier,
    /// The chain over all entries.
    pub chain: Digest,
    /// The time of the last entry.
    pub time_us: Micros,
}

impl Head {
    /// The head of the log without entries.
    #[must_use]
    pub fn empty(origin: impl Into<Arc<str>>) -> Self {
        Self {
            origin: origin.into(),
            frontier: Frontier::new(),
            chain: chain::START,
            time_us: Micros::default(),
        }
    }

    /// Appends an entry by its leaf hash and time.
    pub fn push(&mut self, leaf: Digest, time_us: Micros) {
        self.chain = chain::next(&self.chain, &leaf);
        self.frontier.push(leaf);
        self.time_us = time_us;
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }
}

/// The seal of a head.
#[must_use]
pub fn seal(key: &LogKey, head: &Head) -> Digest {
    Digest(over(key, head).finalize().into_bytes().into())
}

/// Whether a seal is that of this head; compared in constant time.
#[must_use]
pub fn holds(key: &LogKey, head: &Head, seal: &Digest) -> bool {
    over(key, head).verify_slice(&seal.0).is_ok()
}

fn over(key: &LogKey, head: &Head) -> Hmac<Sha256> {
    let mut mac = key.mac.clone();
    mac.update(SEAL_DOMAIN);
    // Parts of varying length carry their length, so that none can be moved into its neighbour.
    let length = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes();
    mac.update(&length(head.origin.len()));
    mac.update(head.origin.as_bytes());
    mac.update(&length(head.frontier.count_bytes()));
    head.frontier.each_part(|part| mac.update(part));
    mac.update(&head.chain.0);
    mac.update(&head.time_us.0.to_be_bytes());
    mac
}
