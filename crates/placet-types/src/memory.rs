//! What is remembered for agents: tiers of trust, and the operation that writes a memory.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, Micros, RecordId};

/// How far the origin of a memory is trusted. Ordered: later ones are trusted more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustTier {
    /// Nobody answers for it.
    Untrusted,
    /// What a tool returned.
    External,
    /// What another agent wrote on this one's behalf.
    Delegated,
    /// What the program itself wrote.
    Internal,
    /// What the operator wrote.
    Trusted,
}

impl TrustTier {
    /// Every tier, from the least trusted.
    pub const ALL: [Self; 5] =
        [Self::Untrusted, Self::External, Self::Delegated, Self::Internal, Self::Trusted];

    /// The word in records, on wires and in Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::External => "external",
            Self::Delegated => "delegated",
            Self::Internal => "internal",
            Self::Trusted => "trusted",
        }
    }

    /// Whether what it holds is cleaned of injections before it is stored. Everything is when it is read.
    #[must_use]
    pub fn is_cleaned(self) -> bool {
        self < Self::Internal
    }
}

impl fmt::Display for TrustTier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no tier of trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tier of trust; use trusted, internal, delegated, external or untrusted")]
pub struct ParseTrustTierError(pub String);

impl FromStr for TrustTier {
    type Err = ParseTrustTierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|tier| tier.name() == text);
        known.ok_or_else(|| ParseTrustTierError(text.to_owned()))
    }
}

/// Something remembered. Its record says for which tenant and session, and by which agent; the key, the value and the
/// source are personal fields beside the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryWrite {
    /// HMAC of the key under the tenant's key.
    pub key: Digest,
    /// How far its origin is trusted.
    pub tier: TrustTier,
    /// The decision whose result it holds, if it comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RecordId>,
    /// Whether something was taken out of the value before it was stored.
    pub sanitized: bool,
    /// From when on it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_us: Option<Micros>,
}

/// The personal fields of a memory's record.
pub mod fields {
    /// The key as it was given.
    pub const KEY: &str = "memory.key";
    /// The value.
    pub const VALUE: &str = "memory.value";
    /// Where it comes from, in words.
    pub const SOURCE: &str = "memory.source";
    /// All three.
    pub const ALL: [&str; 3] = [KEY, VALUE, SOURCE];
}

/// Whose memory: the tenant and the session that it belongs to; without a session it is the tenant's, shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MemorySpace {
    /// The tenant.
    pub tenant: Option<Arc<str>>,
    /// The session.
    pub session: Option<Arc<str>>,
}
