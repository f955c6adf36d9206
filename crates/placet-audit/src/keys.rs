//! Ed25519 keys in the text forms of C2SP `signed-note` and of Go's `note` package.
//!
//! A verifier's key is `name+hash+base64`, a signer's `PRIVATE+KEY+name+hash+base64`. The name of a log's key is the
//! log's origin. Keys come from the caller, never from a log.
//!
//! Sources: <https://c2sp.org/signed-note>, <https://pkg.go.dev/golang.org/x/mod/sumdb/note>.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::RandomError;

/// The signature type of plain Ed25519 in `signed-note`.
const ED25519: u8 = 0x01;
const PRIVATE: &str = "PRIVATE+KEY+";

/// A text that is no key. The text is not shown: it may be a damaged secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseKeyError {
    /// It does not have the parts of a key.
    #[error("the key is not of the form `{form}`; copy it whole")]
    Form {
        /// The form it should have.
        form: &'static str,
    },
    /// Its name is no key name.
    #[error("the key's name is empty or holds a space, a `+` or a control character; choose another name")]
    Name,
    /// Its kind is not Ed25519, or its length is not that of such a key.
    #[error("the key is no Ed25519 key of type 1; this release uses no other kind")]
    Kind,
    /// Its hash is not that of its name and public key.
    #[error("the key's hash does not fit its name and its public key; copy the key whole")]
    Hash,
    /// It is a point of low order, under which anything can be signed.
    #[error("the public key is no point that a signature can be trusted under; use another key")]
    Weak,
}

/// The short id that stands before a signature.
pub type KeyId = [u8; 4];

/// Whose signatures are believed.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: Arc<str>,
    id: KeyId,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: &str, key: VerifyingKey) -> Result<Self, ParseKeyError> {
        if !is_name(name) {
            return Err(ParseKeyError::Name);
        }
        if key.is_weak() {
            return Err(ParseKeyError::Weak);
        }
        Ok(Self { name: name.into(), id: key_id(name, &key), key })
    }

    /// The name of the key, which for a log's key is the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether the signature of a text is by this key; strict, so that a signature has one form only.
    #[must_use]
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(formatter, &self.name, &self.id, self.key.as_bytes())
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for VerifierKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hash, bytes) = parts(text, "name+hash+base64")?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| ParseKeyError::Weak)?;
        checked(Self::new(name, key)?, hash)
    }
}

/// What signs.
///
/// ```
/// let key = placet_audit::keys::SigningKey::from_seed("log.example", [7; 32]).unwrap();
/// assert!(!format!("{key:?}").contains(&key.reveal()));
/// assert!(format!("{key:?}").starts_with("SigningKey(log.example+"));
/// ```
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`NewKeyError`].
    pub fn generate(name: &str) -> Result<Self, NewKeyError> {
        Ok(Self::from_seed(name, crate::random()?)?)
    }

    /// A key from its secret seed.
    ///
    /// # Errors
    /// [`ParseKeyError::Name`].
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, ParseKeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let verifier = VerifierKey::new(name, key.verifying_key())?;
        Ok(Self { key, verifier })
    }

    /// Reads what [`Self::reveal`] wrote.
    ///
    /// # Errors
    /// [`ParseKeyError`].
    pub fn parse(text: &str) -> Result<Self, ParseKeyError> {
        let form = "PRIVATE+KEY+name+hash+base64";
        let rest = text.strip_prefix(PRIVATE).ok_or(ParseKeyError::Form { form })?;
        let (name, hash, seed) = parts(rest, form)?;
        let key = Self::from_seed(name, seed)?;
        checked(key.verifier.clone(), hash)?;
        Ok(key)
    }

    /// The secret as text, for its file and nothing else.
    #[must_use]
    pub fn reveal(&self) -> String {
        struct Secret<'a>(&'a SigningKey);
        impl fmt::Display for Secret<'_> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_key(formatter, &self.0.verifier.name, &self.0.verifier.id, &self.0.key.to_bytes())
            }
        }
        format!("{PRIVATE}{}", Secret(self))
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signature of a text.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.key.sign(text).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({}+{}+***)", self.verifier.name, HEXLOWER.encode(&self.verifier.id))
    }
}

/// Why there is no new key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NewKeyError {
    /// The name is no key name.
    #[error(transparent)]
    Name(#[from] ParseKeyError),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Whether a text can be the name of a key: not empty, no white space, no plus, no control character.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control())
}

fn key_id(name: &str, key: &VerifyingKey) -> KeyId {
    let hash: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

fn write_key(out: &mut fmt::Formatter<'_>, name: &str, id: &KeyId, bytes: &[u8; 32]) -> fmt::Result {
    let mut typed = vec![ED25519];
    typed.extend_from_slice(bytes);
    write!(out, "{name}+{}+{}", HEXLOWER.encode(id), BASE64.encode(&typed))
}

fn parts<'a>(text: &'a str, form: &'static str) -> Result<(&'a str, &'a str, [u8; 32]), ParseKeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(base64)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ParseKeyError::Form { form });
    };
    let typed = BASE64.decode(base64.as_bytes()).map_err(|_| ParseKeyError::Form { form })?;
    match typed.split_first() {
        Some((&ED25519, bytes)) => Ok((name, hash, bytes.try_into().map_err(|_| ParseKeyError::Kind)?)),
        _ => Err(ParseKeyError::Kind),
    }
}

fn checked(key: VerifierKey, hash: &str) -> Result<VerifierKey, ParseKeyError> {
    if HEXLOWER.encode(&key.id) == hash { Ok(key) } else { Err(ParseKeyError::Hash) }
}
