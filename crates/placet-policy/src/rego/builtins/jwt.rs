//! JSON Web Tokens: reading and verifying, never signing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::LazyLock;

use data_encoding::{BASE64URL_NOPAD, Encoding};
use regorus::Value;

use super::jwt_keys::{Algorithm, Key, keys, secret};
use super::{Added, Failure, Outcome, string, time, undefined};

pub(super) const ADDED: &[Added] = &[
    Added::new("io.jwt.decode", 1, decode),
    Added::new("io.jwt.decode_verify", 2, decode_verify),
    Added::new("io.jwt.verify_hs256", 2, |arguments| verify_secret(arguments, Algorithm::Hs256)),
    Added::new("io.jwt.verify_hs384", 2, |arguments| verify_secret(arguments, Algorithm::Hs384)),
    Added::new("io.jwt.verify_hs512", 2, |arguments| verify_secret(arguments, Algorithm::Hs512)),
    Added::new("io.jwt.verify_rs256", 2, |arguments| verify_key(arguments, Algorithm::Rs256)),
    Added::new("io.jwt.verify_rs384", 2, |arguments| verify_key(arguments, Algorithm::Rs384)),
    Added::new("io.jwt.verify_rs512", 2, |arguments| verify_key(arguments, Algorithm::Rs512)),
    Added::new("io.jwt.verify_ps256", 2, |arguments| verify_key(arguments, Algorithm::Ps256)),
    Added::new("io.jwt.verify_ps384", 2, |arguments| verify_key(arguments, Algorithm::Ps384)),
    Added::new("io.jwt.verify_ps512", 2, |arguments| verify_key(arguments, Algorithm::Ps512)),
    Added::new("io.jwt.verify_es256", 2, |arguments| verify_key(arguments, Algorithm::Es256)),
    Added::new("io.jwt.verify_es384", 2, |arguments| verify_key(arguments, Algorithm::Es384)),
    Added::new("io.jwt.verify_es512", 2, |arguments| verify_key(arguments, Algorithm::Es512)),
    Added::new("io.jwt.verify_eddsa", 2, |arguments| verify_key(arguments, Algorithm::EdDsa)),
];

/// Most tokens inside each other.
const MAX_NESTED: usize = 8;

/// Base64url as Go reads it: stray bits at the end and line breaks are ignored.
static BASE64URL: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64URL_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.encoding().unwrap_or(BASE64URL_NOPAD)
});

fn base64url(text: &str) -> Result<Vec<u8>, Failure> {
    undefined(BASE64URL.decode(text.trim_end_matches('=').as_bytes()))
}

fn object(text: &str) -> Result<Value, Failure> {
    let value = undefined(Value::from_json_str(text))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(Failure::Undefined),
    }
}

/// The three parts of a token, the header decoded.
struct Token<'a> {
    /// What is signed.
    message: &'a str,
    payload: &'a str,
    header: Value,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(text: &'a str) -> Result<Self, Failure> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else { return Err(Failure::Undefined) };
        let message = text.get(..header.len() + 1 + payload.len()).unwrap_or("");
        let header = object(&undefined(String::from_utf8(base64url(header)?))?)?;
        // An encrypted token has no claims to read.
        if header["enc"] != Value::Undefined {
            return Err(Failure::Undefined);
        }
        Ok(Self { message, payload, header, signature: base64url(signature)? })
    }

    fn payload_text(&self) -> Result<String, Failure> {
        undefined(String::from_utf8(base64url(self.payload)?))
    }

    fn field(&self, name: &str) -> Result<Option<&str>, Failure> {
        match &self.header[name] {
            Value::Undefined => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => Err(Failure::Undefined),
        }
    }

    /// Whether the header names an algorithm and no critical extension that is unknown here.
    fn header_is_valid(&self) -> Result<bool, Failure> {
        let critical: Vec<Value> = match &self.header["crit"] {
            Value::Undefined => Vec::new(),
            Value::Array(names) if names.iter().next().is_some() => names.iter().cloned().collect(),
            _ => return Err(Failure::Undefined),
        };
        let Value::Object(fields) = &self.header else { return Ok(false) };
        let unknown = fields.iter().any(|(name, _)| {
            let known = ["alg", "kid", "typ", "cty", "crit"].iter().any(|known| *name == Value::from(*known));
            !known && critical.contains(name)
        });
        Ok(self.field("alg")?.is_some_and(|algorithm| !algorithm.is_empty()) && !unknown)
    }
}

fn decode(arguments: &[Value]) -> Outcome {
    let mut text = string(arguments.first())?.to_owned();
    for _ in 0..MAX_NESTED {
        let token = Token::read(&text)?;
        let payload = token.payload_text()?;
        if token.field("cty")? == Some("JWT") {
            text = payload.trim_matches(|character| matches!(character, '"' | '\'')).to_owned();
            continue;
        }
        let signature = Value::from(hex::encode(&token.signature));
        return Ok(Value::from(vec![token.header, object(&payload)?, signature]));
    }
    Err(Failure::Undefined)
}

fn verify_secret(arguments: &[Value], algorithm: Algorithm) -> Outcome {
    let (text, key) = (string(arguments.first())?, string(arguments.get(1))?);
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else { return Err(Failure::Undefined) };
    let message = format!("{header}.{payload}");
    Ok(Value::from(secret(key).verifies(algorithm, &message, &base64url(signature)?)))
}

fn verify_key(arguments: &[Value], algorithm: Algorithm) -> Outcome {
    let token = Token::read(string(arguments.first())?)?;
    let keys = keys(string(arguments.get(1))?)?;
    for name in ["alg", "kid", "typ", "cty"] {
        token.field(name)?;
    }
    Ok(Value::from(any_verifies(&keys, &token, algorithm)?))
}

/// A key with the token's id is the only one tried; else every key is whose algorithm is not another.
fn any_verifies(keys: &[Key], token: &Token<'_>, algorithm: Algorithm) -> Result<bool, Failure> {
    let named = token.field("kid")?.filter(|id| !id.is_empty());
    if let Some(key) = named.and_then(|id| keys.iter().find(|key| key.id.as_deref() == Some(id))) {
        return Ok(key.verifies(algorithm, token.message, &token.signature));
    }
    let stated = token.field("alg")?;
    Ok(keys
        .iter()
        .filter(|key| key.algorithm.is_none() || key.algorithm.as_deref() == stated)
        .any(|key| key.verifies(algorithm, token.message, &token.signature)))
}

/// What a token must satisfy.
struct Constraints {
    keys: Vec<Key>,
    algorithm: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    time_ns: f64,
}

fn constraints(value: Option<&Value>) -> Result<Constraints, Failure> {
    let Some(Value::Object(fields)) = value else { return Err(Failure::Undefined) };
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    let mut time_ns = time::now();
    for (name, value) in fields.iter() {
        match string(Some(name))? {
            "time" => {
                time_ns = float(value)?;
                if time_ns < 0.0 {
                    return Err(Failure::Undefined);
                }
            }
            name @ ("cert" | "secret" | "alg" | "iss" | "aud") => {
                texts.insert(name, string(Some(value))?);
            }
            _ => return Err(Failure::Undefined),
        }
    }
    let given = |name: &str| texts.get(name).filter(|text| !text.is_empty()).map(|text| (*text).to_owned());
    let keys = match (texts.get("cert"), given("secret")) {
        (Some(certificate), None) => keys(certificate)?,
        (None, Some(text)) => vec![secret(&text)],
        _ => return Err(Failure::Undefined),
    };
    Ok(Constraints { keys, algorithm: given("alg"), issuer: given("iss"), audience: given("aud"), time_ns })
}

fn decode_verify(arguments: &[Value]) -> Outcome {
    let constraints = constraints(arguments.get(1))?;
    let refused = || Ok(Value::from(vec![Value::from(false), Value::new_object(), Value::new_object()]));
    let mut text = string(arguments.first())?.to_owned();
    for _ in 0..MAX_NESTED {
        let token = Token::read(&text)?;
        let algorithm = token.field("alg")?;
        let wanted = constraints.algorithm.as_deref();
        if !token.header_is_valid()? || (wanted.is_some() && wanted != algorithm) {
            return refused();
        }
        let verified = match algorithm.and_then(Algorithm::by_name) {
            Some(algorithm) => any_verifies(&constraints.keys, &token, algorithm)?,
            None => false,
        };
        if !verified {
            return refused();
        }
        let payload = token.payload_text()?;
        if token.field("cty")?.is_some_and(|kind| kind.eq_ignore_ascii_case("JWT")) {
            text = payload;
            continue;
        }
        let payload = object(&payload)?;
        if !claims_hold(&payload, &constraints)? {
            return refused();
        }
        return Ok(Value::from(vec![Value::from(true), token.header, payload]));
    }
    Err(Failure::Undefined)
}

/// A number as the nearest floating-point number; the interpreter's own conversion refuses what is not exact.
fn float(value: &Value) -> Result<f64, Failure> {
    match value {
        Value::Number(_) => undefined(undefined(value.to_json_str())?.parse()),
        _ => Err(Failure::Undefined),
    }
}

fn claims_hold(payload: &Value, constraints: &Constraints) -> Result<bool, Failure> {
    if let Some(wanted) = &constraints.issuer {
        match &payload["iss"] {
            Value::String(issuer) if issuer.as_ref() == wanted => {}
            Value::String(_) | Value::Undefined => return Ok(false),
            _ => return Err(Failure::Undefined),
        }
    }
    let wanted = constraints.audience.as_deref().unwrap_or("");
    let is_wanted = |value: &Value| matches!(value, Value::String(text) if text.as_ref() == wanted);
    let audience = match &payload["aud"] {
        Value::Undefined => wanted.is_empty(),
        Value::Array(items) => items.iter().any(is_wanted),
        other => is_wanted(other),
    };
    if !audience {
        return Ok(false);
    }
    let now_seconds = constraints.time_ns / 1e9;
    let seconds = |name: &str| match &payload[name] {
        Value::Undefined => Ok(None),
        value => float(value).map(Some),
    };
    let expired = seconds("exp")?.is_some_and(|expiry| now_seconds >= expiry);
    let early = seconds("nbf")?.is_some_and(|start| now_seconds < start);
    Ok(!expired && !early)
}
