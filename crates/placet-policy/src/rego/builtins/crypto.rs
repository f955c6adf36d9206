//! Hashes and message authentication codes.
// SPDX-License-Identifier: MIT OR Apache-2.0

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use regorus::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Added, Failure, Outcome, string};

pub(super) const ADDED: &[Added] = &[
    Added::new("crypto.md5", 1, hash::<Md5>),
    Added::new("crypto.sha1", 1, hash::<Sha1>),
    Added::new("crypto.sha256", 1, hash::<Sha256>),
    Added::new("crypto.hmac.md5", 2, mac::<Hmac<Md5>>),
    Added::new("crypto.hmac.sha1", 2, mac::<Hmac<Sha1>>),
    Added::new("crypto.hmac.sha256", 2, mac::<Hmac<Sha256>>),
    Added::new("crypto.hmac.sha512", 2, mac::<Hmac<Sha512>>),
    Added::new("crypto.hmac.equal", 2, equal),
];

fn hash<D: Digest>(arguments: &[Value]) -> Outcome {
    let text = string(arguments.first())?;
    Ok(Value::from(hex::encode(D::digest(text.as_bytes()))))
}

fn mac<M: Mac + KeyInit>(arguments: &[Value]) -> Outcome {
    let (message, key) = (string(arguments.first())?, string(arguments.get(1))?);
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).map_err(|_| Failure::Undefined)?;
    mac.update(message.as_bytes());
    Ok(Value::from(hex::encode(mac.finalize().into_bytes())))
}

/// Compares without an early exit.
fn equal(arguments: &[Value]) -> Outcome {
    let (left, right) = (string(arguments.first())?.as_bytes(), string(arguments.get(1))?.as_bytes());
    let same = left.len() == right.len()
        && left.iter().zip(right).fold(0_u8, |difference, (left, right)| difference | (left ^ right)) == 0;
    Ok(Value::from(same))
}
