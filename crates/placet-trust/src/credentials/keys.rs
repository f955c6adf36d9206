//! Keys: those of holders, those of the issuer with their rotation, and their text forms. No file is touched here.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use placet_types::Micros;
use sha2::{Digest as _, Sha256};

/// Where random bytes come from. Programs pass the system's; tests pass a counter.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// When there are none; then nothing may be issued.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandom>;
}

/// The source of random bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes; nothing can be issued until it does")]
pub struct NoRandom;

/// Most keys of one set: the one in use and those on their way out.
pub const MAX_KEYS: usize = 8;

const SECRET_PREFIX: &str = "PLACET-SECRET-KEY-1:";
const SET_PREFIX: &str = "placet-key-1";

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is made wrongly. The text is not shown, since it may be a secret.
    #[error("the {what} is {problem}; make a new one, or restore it from a copy")]
    Shape {
        /// `secret key`, `public key` or `key set`.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The set is full.
    #[error("the key set of `{0}` holds {MAX_KEYS} keys, its limit; wait until one ends")]
    Full(Arc<str>),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

fn shape(what: &'static str, problem: &'static str) -> KeyError {
    KeyError::Shape { what, problem }
}

/// A private key of Ed25519. It is never shown, written or copied but through [`SecretKey::to_secret_text`].
///
/// ```
/// use placet_trust::credentials::keys::SecretKey;
/// let key = SecretKey::from_seed([7; 32]);
/// assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.public().id()));
/// ```
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SecretKey({})", self.public().id())
    }
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn generate(random: &dyn Random) -> Result<Self, NoRandom> {
        let mut seed = [0; 32];
        random.fill(&mut seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The secret as text, for a file that only its owner may read.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64URL_NOPAD.encode(self.0.as_bytes()))
    }

    /// Reads what [`SecretKey::to_secret_text`] wrote.
    ///
    /// # Errors
    /// [`KeyError`], which never holds the text.
    pub fn from_secret_text(text: &str) -> Result<Self, KeyError> {
        let wrong = shape("secret key", "not of the form that `to_secret_text` writes");
        let encoded = text.trim().strip_prefix(SECRET_PREFIX).ok_or(wrong)?;
        Ok(Self::from_seed(bytes("secret key", encoded)?))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A public key of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The key as in a JWK's `x`: base64url without padding.
impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&BASE64URL_NOPAD.encode(self.0.as_bytes()))
    }
}

impl PublicKey {
    /// Reads a JWK's `x`.
    ///
    /// # Errors
    /// [`KeyError`] for what is no key, or one of the weak keys under which everything verifies.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes("public key", text)?)
            .map_err(|_| shape("public key", "no point of the curve"))?;
        if key.is_weak() { Err(shape("public key", "weak")) } else { Ok(Self(key)) }
    }

    /// Its id: the thumbprint of its JWK.
    ///
    /// Source: RFC 7638, RFC 8037.
    #[must_use]
    pub fn id(&self) -> String {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{self}"}}"#);
        BASE64URL_NOPAD.encode(&Sha256::digest(jwk.as_bytes()))
    }

    /// Its thumbprint as a URI, by which a token names who signed it.
    ///
    /// Source: RFC 9278.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{}", self.id())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

fn bytes(what: &'static str, text: &str) -> Result<[u8; 32], KeyError> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| shape(what, "not in base64url"))?;
    bytes.try_into().map_err(|_| shape(what, "not 32 bytes long"))
}

/// Why a key is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It is no key of the issuer, or not yet.
    Unknown,
    /// It was retired then.
    Retired(Micros),
}

/// Where the keys of this deployment's issuer come from. The secret half never leaves the program.
pub trait IssuerKeys: Send + Sync {
    /// The keys by which tokens of the issuer are trusted.
    ///
    /// # Errors
    /// [`NoIssuer`]: no token can be verified.
    fn trusted(&self, now: Micros) -> Result<Arc<KeySet>, NoIssuer>;

    /// The key that signs, made on first use, and the name of the issuer.
    ///
    /// # Errors
    /// [`NoIssuer`]: nothing can be signed.
    fn signer(&self, now: Micros) -> Result<(Arc<SecretKey>, Arc<str>), NoIssuer>;
}

/// The issuer's keys cannot be used; the text says why and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoIssuer(pub String);

/// The public keys of one issuer: whoever verifies trusts exactly these, each for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    issuer: Arc<str>,
    keys: Vec<DatedKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DatedKey {
    key: PublicKey,
    id: String,
    from: Micros,
    until: Option<Micros>,
}

impl KeySet {
    /// A set with one key.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, key: PublicKey, from: Micros) -> Self {
        Self { issuer: issuer.into(), keys: vec![DatedKey { key, id: key.id(), from, until: None }] }
    }

    /// The issuer's URI.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// Brings in a new key. The others verify for `overlap_seconds` more; of the ended ones as many are kept as there is
    /// room for, so that what they signed is called retired and not unknown.
    ///
    /// # Errors
    /// [`KeyError::Full`] when too many keys are still on their way out.
    pub fn rotate(&mut self, key: PublicKey, at: Micros, overlap_seconds: u32) -> Result<(), KeyError> {
        let mut keys: Vec<_> = self.keys.iter().filter(|old| old.key != key).cloned().collect();
        let end = at.plus_seconds(overlap_seconds);
        for old in &mut keys {
            old.until = Some(old.until.map_or(end, |until| until.min(end)));
        }
        while keys.len() >= MAX_KEYS {
            let ended = keys.iter().filter_map(|old| old.until.filter(|until| *until <= at)).min();
            let first = keys.iter().position(|old| old.until.is_some() && old.until == ended);
            match first {
                Some(first) => drop(keys.remove(first)),
                None => return Err(KeyError::Full(self.issuer.clone())),
            }
        }
        keys.push(DatedKey { key, id: key.id(), from: at, until: None });
        self.keys = keys;
        Ok(())
    }

    /// The key with this id, if it may be trusted at this moment. A key may come `skew_seconds` early, never late.
    #[must_use]
    pub fn find(&self, id: &str, at: Micros, skew_seconds: u32) -> Option<&PublicKey> {
        self.trust(id, at, skew_seconds).ok()
    }

    /// As [`KeySet::find`], and says why the key is not trusted.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn trust(&self, id: &str, at: Micros, skew_seconds: u32) -> Result<&PublicKey, Distrust> {
        let held = self.keys.iter().find(|held| held.id == id).ok_or(Distrust::Unknown)?;
        match held.until {
            _ if at.plus_seconds(skew_seconds) < held.from => Err(Distrust::Unknown),
            Some(until) if at >= until => Err(Distrust::Retired(until)),
            _ => Ok(&held.key),
        }
    }

    /// The key that signs: the newest.
    #[must_use]
    pub fn newest(&self) -> Option<&PublicKey> {
        self.keys.last().map(|held| &held.key)
    }

    /// Every key, the newest first, with the time from which it is trusted and the time at which it was or will be
    /// retired.
    pub fn dated(&self) -> impl Iterator<Item = (&PublicKey, Micros, Option<Micros>)> {
        self.keys.iter().rev().map(|held| (&held.key, held.from, held.until))
    }

    /// SHA-256 of the text form: caches of verdicts keep it with them.
    #[must_use]
    pub fn digest(&self) -> placet_types::Digest {
        placet_types::Digest(Sha256::digest(self.to_text().as_bytes()).into())
    }

    /// The set as text, one line for each key. It holds no secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let line = |held: &DatedKey| {
            let until = held.until.map_or("-".to_owned(), |until| until.0.to_string());
            format!("{SET_PREFIX} {} {} {} {until}\n", self.issuer, held.key, held.from.0)
        };
        self.keys.iter().map(line).collect()
    }

    /// Reads what [`KeySet::to_text`] wrote.
    ///
    /// # Errors
    /// [`KeyError`] for an empty set, more than one issuer, or a line that is no key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let wrong = |problem| shape("key set", problem);
        let mut set: Option<Self> = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let [SET_PREFIX, issuer, key, from, until] = *line.split(' ').collect::<Vec<_>>() else {
                return Err(wrong("written wrongly in a line"));
            };
            let moment =
                |text: &str| text.parse().map(Micros).map_err(|_| wrong("without whole microseconds"));
            let until = if until == "-" { None } else { Some(moment(until)?) };
            let key = PublicKey::parse(key)?;
            let held = DatedKey { key, id: key.id(), from: moment(from)?, until };
            let set = set.get_or_insert_with(|| Self { issuer: issuer.into(), keys: Vec::new() });
            if *set.issuer != *issuer {
                return Err(wrong("of two issuers"));
            }
            if set.keys.len() >= MAX_KEYS {
                return Err(KeyError::Full(set.issuer.clone()));
            }
            set.keys.push(held);
        }
        set.ok_or_else(|| wrong("empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_8037() {
        let key = PublicKey::parse("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn secrets_are_masked_and_survive_their_text_form() {
        let secret = SecretKey::from_seed([9; 32]);
        let text = secret.to_secret_text();
        assert_eq!(SecretKey::from_secret_text(&text).unwrap().public(), secret.public());
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap();
        assert!(!format!("{secret:?}").contains(encoded));
        for wrong in [encoded, &text[..60], "PLACET-SECRET-KEY-1:!"] {
            let error = SecretKey::from_secret_text(wrong).unwrap_err().to_string();
            assert!(!error.contains(&encoded[..12]), "{error}");
        }
        let weak = BASE64URL_NOPAD.encode(&[1].into_iter().chain([0; 31]).collect::<Vec<u8>>());
        assert!(PublicKey::parse(&weak).unwrap_err().to_string().contains("weak"));
    }

    #[test]
    fn rotation_overlaps_and_ends() {
        let at = |seconds: i64| Micros(seconds * 1_000_000);
        let mut set = KeySet::new("https://issuer.example", key(1), at(0));
        set.rotate(key(2), at(100), 60).unwrap();
        let trusts = |set: &KeySet, seed, seconds| set.find(&key(seed).id(), at(seconds), 0).is_some();
        assert!(trusts(&set, 1, 159) && !trusts(&set, 1, 160));
        assert!(!trusts(&set, 2, 99) && trusts(&set, 2, 100) && trusts(&set, 2, 1_000_000));
        assert!(!trusts(&set, 3, 100));
        assert_eq!(KeySet::from_text(&set.to_text()).unwrap(), set);
        set.rotate(key(3), at(110), 1_000).unwrap();
        assert!(!trusts(&set, 1, 160), "a later rotation does not lengthen an end");
        set.rotate(key(4), at(200), 60).unwrap();
        assert_eq!(set.to_text().lines().count(), 4, "the first has ended, and is called retired");
        let first = key(1).id();
        assert_eq!(set.trust(&first, at(200), 0), Err(Distrust::Retired(at(160))));
        assert_eq!(set.trust(&key(40).id(), at(200), 0), Err(Distrust::Unknown));
        assert_eq!(set.newest(), Some(&key(4)));
        for seed in 5..10 {
            set.rotate(key(seed), at(200), 60).unwrap();
        }
        assert_eq!(set.trust(&first, at(200), 0), Err(Distrust::Unknown), "no room is left for what ended");
        assert!(matches!(set.rotate(key(10), at(200), 60), Err(KeyError::Full(_))));
        for wrong in
            ["", "placet-key-1 a b", "placet-key-2 a b 0 -", &set.to_text().replacen("https", "http", 1)]
        {
            assert!(KeySet::from_text(wrong).is_err(), "{wrong}");
        }
    }
}
