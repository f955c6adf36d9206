//! Compact JWS with one algorithm.
//!
//! Source: RFC 7515, RFC 8037, RFC 9864.
// SPDX-License-Identifier: MIT OR Apache-2.0

use data_encoding::BASE64URL_NOPAD;
use placet_types::{Value, json};
use sha2::{Digest as _, Sha256};

use super::TokenError;
use crate::credentials::keys::{PublicKey, SecretKey};

/// The header of a derived token.
pub(super) const HEADER: &str = r#"{"alg":"Ed25519","typ":"aat+jwt"}"#;
/// The header of a proof of possession.
pub(super) const PROOF_HEADER: &str = r#"{"alg":"Ed25519","typ":"aat-pop+jwt"}"#;

/// The header of a root token, which names the issuer's key.
pub(super) fn root_header(key: &PublicKey) -> String {
    format!(r#"{{"alg":"Ed25519","kid":"{}","typ":"aat+jwt"}}"#, key.id())
}

pub(super) fn sign(payload: &str, header: &str, key: &SecretKey) -> String {
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
    let signature = encode(&key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// A token in its parts; nothing about it is known to be true.
pub(super) struct Parts<'a> {
    /// What was signed.
    pub(super) input: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: [u8; 64],
    depth: u32,
}

pub(super) fn split(token: &str, depth: u32) -> Result<Parts<'_>, TokenError> {
    let malformed = |problem| TokenError::Malformed { depth, problem };
    let three = malformed("is no compact JWS of three parts");
    let (input, signature) = token.rsplit_once('.').ok_or(three.clone())?;
    let (header, payload) = input.split_once('.').ok_or(three.clone())?;
    if payload.contains('.') {
        return Err(three);
    }
    let mut bytes = [0; 64];
    let fits = BASE64URL_NOPAD.decode_len(signature.len()) == Ok(bytes.len());
    let decoded = fits && BASE64URL_NOPAD.decode_mut(signature.as_bytes(), &mut bytes).is_ok();
    if !decoded {
        return Err(malformed("has a signature of another form; only Ed25519 is accepted"));
    }
    Ok(Parts { input, header, payload, signature: bytes, depth })
}

impl Parts<'_> {
    /// Checks the header and returns the id of the key that it names.
    pub(super) fn kid(&self, wanted_type: &str) -> Result<Option<String>, TokenError> {
        let malformed = |problem| TokenError::Malformed { depth: self.depth, problem };
        let header = self.json(self.header)?;
        let is = |name: &str, wanted: &str| header.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("alg", "Ed25519") {
            return Err(malformed("is not signed with Ed25519, the only algorithm accepted"));
        }
        if !is("typ", wanted_type) {
            return Err(malformed("is of another type"));
        }
        if header.get("crit").is_some() {
            return Err(malformed("has critical header parameters, which are not known here"));
        }
        match header.get("kid") {
            None => Ok(None),
            Some(kid) => Ok(Some(kid.as_str().ok_or(malformed("has a kid that is no string"))?.to_owned())),
        }
    }

    pub(super) fn verified(&self, key: &PublicKey) -> Result<(), TokenError> {
        let holds = key.verifies(self.input.as_bytes(), &self.signature);
        if holds { Ok(()) } else { Err(TokenError::Signature(self.depth)) }
    }

    /// The payload. Read it after the signature was verified.
    pub(super) fn payload(&self) -> Result<Value, TokenError> {
        self.json(self.payload)
    }

    fn json(&self, part: &str) -> Result<Value, TokenError> {
        let malformed = |problem| TokenError::Malformed { depth: self.depth, problem };
        let bytes = BASE64URL_NOPAD
            .decode(part.as_bytes())
            .map_err(|_| malformed("is not in base64url without padding"))?;
        json::parse(&bytes).map_err(|_| malformed("holds JSON that is refused, or none"))
    }
}

/// SHA-256 of what was signed: `par_hash` and `aat_hash`.
pub(super) fn hash(input: &str) -> [u8; 32] {
    Sha256::digest(input.as_bytes()).into()
}

pub(super) fn encode(bytes: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<[u8; 32]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}
