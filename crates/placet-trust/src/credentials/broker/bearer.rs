//! Bearer tokens: what a session shows, and what is known of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use placet_types::ledger::CredentialEntry;
use placet_types::{CredentialId, Micros};
use sha2::{Digest as _, Sha256};

use crate::credentials::keys::{NoRandom, Random};

const PREFIX: &str = "tok_";

/// The secret that a session shows: `tok_` and 32 hexadecimal digits, 128 random bits. No record holds it.
///
/// ```
/// use placet_trust::credentials::broker::Bearer;
/// let bearer = Bearer::parse("tok_000102030405060708090a0b0c0d0e0f").unwrap();
/// assert!(!format!("{bearer:?} {bearer}").contains("0001"));
/// assert_eq!(bearer.secret_text(), "tok_000102030405060708090a0b0c0d0e0f");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer([u8; 16]);

impl fmt::Debug for Bearer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for Bearer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("tok_***")
    }
}

impl Bearer {
    pub(super) fn generate(random: &dyn Random) -> Result<Self, NoRandom> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads the secret; `None` for anything of another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let lower = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let mut bytes = [0; 16];
        (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(Self(bytes))
    }

    /// The secret itself, for whoever shows it.
    #[must_use]
    pub fn secret_text(&self) -> String {
        format!("{PREFIX}{}", hex::encode(self.0))
    }

    /// The public id, which stands in records: it does not give the secret away.
    #[must_use]
    pub fn id(&self) -> CredentialId {
        public_id(&self.secret_text())
    }
}

/// The public id of a text that was shown, whether it is a bearer token or not, so that errors never repeat it.
#[must_use]
pub fn public_id(text: &str) -> CredentialId {
    let digest = Sha256::new().chain_update(b"placet.bearer.v1\0").chain_update(text).finalize();
    let short: String = hex::encode(digest).chars().take(32).collect();
    CredentialId::from(format!("crd_{short}"))
}

/// A token as its session gets it. It is a picture: changing it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionToken {
    pub(super) bearer: Bearer,
    pub(super) entry: CredentialEntry,
}

impl SessionToken {
    /// The secret to show.
    #[must_use]
    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// The public id.
    #[must_use]
    pub fn id(&self) -> &CredentialId {
        &self.entry.id
    }

    /// The session it was issued to.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.entry.session
    }

    /// The scopes it gives, sorted.
    #[must_use]
    pub fn scopes(&self) -> &[Arc<str>] {
        &self.entry.scopes
    }

    /// When it was issued.
    #[must_use]
    pub fn issued(&self) -> Micros {
        self.entry.issued_us
    }

    /// From when on it is dead.
    #[must_use]
    pub fn expires(&self) -> Micros {
        self.entry.expires_us
    }

    /// The public id of the token it was delegated from.
    #[must_use]
    pub fn parent(&self) -> Option<&CredentialId> {
        self.entry.parent.as_ref()
    }

    /// How many delegations lie before it.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.entry.depth
    }

    /// Everything the registry keeps of it.
    #[must_use]
    pub fn entry(&self) -> &CredentialEntry {
        &self.entry
    }
}
