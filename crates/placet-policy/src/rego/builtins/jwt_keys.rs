//! Keys that verify tokens: secrets, certificates, public keys, JSON Web Keys.
// SPDX-License-Identifier: MIT OR Apache-2.0

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Supported, DecodingKey};
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};

use super::{Failure, undefined};

/// A signature algorithm of RFC 7518 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// The algorithm that a token's header names.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    fn supported(self) -> Option<Supported> {
        Some(match self {
            Self::Hs256 => Supported::HS256,
            Self::Hs384 => Supported::HS384,
            Self::Hs512 => Supported::HS512,
            Self::Rs256 => Supported::RS256,
            Self::Rs384 => Supported::RS384,
            Self::Rs512 => Supported::RS512,
            Self::Ps256 => Supported::PS256,
            Self::Ps384 => Supported::PS384,
            Self::Ps512 => Supported::PS512,
            Self::Es256 => Supported::ES256,
            Self::Es384 => Supported::ES384,
            Self::EdDsa => Supported::EdDSA,
            Self::Es512 => return None,
        })
    }
}

/// One key, with the id and the algorithm that its set states.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Option<String>,
    key: DecodingKey,
}

impl Key {
    /// Whether this key made the signature. A key of another kind did not.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &[u8]) -> bool {
        if algorithm == Algorithm::Es512 {
            return self.verifies_p521(message, signature);
        }
        let Some(algorithm) = algorithm.supported() else { return false };
        if !self.key.family().algorithms().contains(&algorithm) {
            return false;
        }
        let signature = BASE64URL_NOPAD.encode(signature);
        jsonwebtoken::crypto::verify(&signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }

    fn verifies_p521(&self, message: &str, signature: &[u8]) -> bool {
        let Ok(point) = self.key.try_get_as_bytes() else { return false };
        let (Ok(key), Ok(signature)) =
            (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify(message.as_bytes(), &signature).is_ok()
    }
}

/// A symmetric key.
pub(super) fn secret(text: &str) -> Key {
    Key { id: None, algorithm: None, key: DecodingKey::from_secret(text.as_bytes()) }
}

/// The keys in a PEM certificate, a PEM public key, a JSON Web Key or a set of them.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, Failure> {
    if text.contains("-----BEGIN ") {
        return pem(text).map(|key| vec![Key { id: None, algorithm: None, key }]);
    }
    let document: serde_json::Value = undefined(serde_json::from_str(text))?;
    let members: Vec<&serde_json::Value> = match document.get("keys") {
        Some(serde_json::Value::Array(members)) => members.iter().collect(),
        Some(_) => return Err(Failure::Undefined),
        None => vec![&document],
    };
    let text_of = |member: &serde_json::Value, name: &str| {
        member.get(name).and_then(serde_json::Value::as_str).map(str::to_owned)
    };
    let mut found = Vec::new();
    for member in members {
        let (id, algorithm) = (text_of(member, "kid"), text_of(member, "alg"));
        if algorithm.as_deref().is_some_and(|name| Algorithm::by_name(name).is_none()) {
            continue;
        }
        // The library knows no ES512; only the key material matters to it.
        let mut member = member.clone();
        if let Some(fields) = member.as_object_mut() {
            fields.remove("alg");
            fields.remove("use");
            fields.remove("key_ops");
        }
        let jwk: Jwk = undefined(serde_json::from_value(member))?;
        found.push(Key { id, algorithm, key: undefined(DecodingKey::from_jwk(&jwk))? });
    }
    Ok(found)
}

fn pem(text: &str) -> Result<DecodingKey, Failure> {
    let kind = text.trim_start().strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"));
    let Some(("CERTIFICATE" | "PUBLIC KEY", _)) = kind else { return Err(Failure::Undefined) };
    if text.matches("-----BEGIN ").count() > 1 {
        return Err(Failure::Undefined);
    }
    let bytes = text.as_bytes();
    DecodingKey::from_rsa_pem(bytes)
        .or_else(|_| DecodingKey::from_ec_pem(bytes))
        .or_else(|_| DecodingKey::from_ed_pem(bytes))
        .map_err(|_| Failure::Undefined)
}
