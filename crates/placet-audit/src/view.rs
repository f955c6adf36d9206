//! The readable view of a record, and personal fields apart from it: what can be erased while the record stays.
//!
//! A record holds the digest of the view's text and, for each personal field, a commitment. Both are over random
//! salts that are erased with the text, so that nobody can confirm a guess from what is left.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod sorted;

use data_encoding::HEXLOWER;
use placet_types::Digest;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::leaf::writer;
use crate::salt::salt;
use crate::{RandomError, canonical};

pub use sorted::Sorted;

/// The member of a view that holds its salt, as 32 hexadecimal digits. What a caller put there is replaced.
pub const SALT_MEMBER: &str = "_salt";

/// The bytes of a personal field's salt. Another length is no salt: the end of the salt must not be movable.
pub const SALT_BYTES: usize = 32;

/// The text of a view as it is stored: canonical JSON with a new salt in it.
///
/// # Errors
/// [`RandomError`]: there is no salt, so nothing may be stored.
pub fn text(mut view: Map<String, Value>) -> Result<String, RandomError> {
    let salt = HEXLOWER.encode(&salt()?);
    view.insert(SALT_MEMBER.to_owned(), Value::String(salt));
    Ok(canonical::object(&view))
}

/// As [`text`], of a view that was written by [`unsalted`] or [`Sorted`], or of any other object in canonical JSON whose keys stand
/// after the salt's.
///
/// # Errors
/// [`RandomError`]: there is no salt, so nothing may be stored.
pub fn salted(mut unsalted: String) -> Result<String, RandomError> {
    let mut salt_text = [0; 32];
    let salt = HEXLOWER.encode_mut_str(&salt()?, &mut salt_text);
    if unsalted.starts_with(BLANK) {
        let end = BLANK.len() - 1;
        unsalted.replace_range(end - salt.len()..end, salt);
        return Ok(unsalted);
    }
    let members = unsalted.get(1..).unwrap_or("}");
    let comma = if members.starts_with('}') { "" } else { "," };
    Ok(["{\"", SALT_MEMBER, "\":\"", salt, "\"", comma, members].concat())
}

/// How a text begins whose salt is not there yet, and what stands in its place: a salt is put in without moving the
/// text.
const BLANK: &str = "{\"_salt\":\"00000000000000000000000000000000\"";

/// A view in canonical JSON with a blank for its salt: a value that is written as an object whose keys begin with
/// lower-case letters, before which the salt's stands.
///
/// # Errors
/// [`ViewError`] for another value.
pub fn unsalted(view: &impl Serialize) -> Result<String, ViewError> {
    let mut text = String::with_capacity(USUAL_BYTES);
    text.push_str(BLANK);
    let mut text = writer::any_text(view, text).map_err(|stop| ViewError(stop.to_string()))?;
    // The salt is a member of the object that follows it.
    let opened = BLANK.len()..BLANK.len() + 1;
    match text.as_bytes().get(BLANK.len()..) {
        Some([b'{', b'"', b'a'..=b'z', ..]) => text.replace_range(opened, ","),
        Some([b'{', b'}']) => text.replace_range(opened, ""),
        _ => return Err(ViewError("it is no object with lower-case keys".to_owned())),
    }
    Ok(text)
}

/// The room that a usual view needs, in bytes.
const USUAL_BYTES: usize = 2_048;

/// A value that is no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the view cannot be written: {0}; this is a fault in the program")]
pub struct ViewError(String);

/// What a record keeps of a view: SHA-256 of its stored text.
#[must_use]
pub fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

/// A personal field as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaltedValue {
    /// Its salt.
    pub salt: [u8; SALT_BYTES],
    /// Its value in canonical JSON.
    pub text: String,
}

impl SaltedValue {
    /// A value with a new salt.
    ///
    /// # Errors
    /// [`RandomError`]: there is no salt, so nothing may be stored.
    pub fn new(value: &Value) -> Result<Self, RandomError> {
        Ok(Self { salt: crate::random()?, text: canonical::text(value) })
    }

    /// What a record keeps of it.
    #[must_use]
    pub fn commitment(&self) -> Digest {
        commitment(&self.salt, &self.text)
    }
}

/// What a record keeps of a personal field: SHA-256 over its salt and the text of its value.
#[must_use]
pub fn commitment(salt: &[u8; SALT_BYTES], text: &str) -> Digest {
    Digest(Sha256::new().chain_update(salt).chain_update(text.as_bytes()).finalize().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_salt_is_put_into_every_text_once() {
        for view in [json!({}), json!({"args": {"_salt": "x"}, "z": 1})] {
            let blank = unsalted(&view).unwrap();
            let plain = canonical::text(&view);
            for text in [blank, plain] {
                let (one, two) = (salted(text.clone()).unwrap(), salted(text).unwrap());
                assert_ne!(one, two);
                let mut members: Map<String, Value> = serde_json::from_str(&one).unwrap();
                assert_eq!(one, canonical::object(&members), "it is canonical");
                let salt = members.remove(SALT_MEMBER).unwrap();
                assert_eq!(Value::Object(members), view);
                assert_eq!(salt.as_str().map(str::len), Some(32));
                assert_ne!(salt, json!("0".repeat(32)));
            }
        }
        assert!(unsalted(&json!({"A": 1})).is_err() && unsalted(&json!([])).is_err());
    }
}
