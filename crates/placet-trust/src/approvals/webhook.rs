//! Signatures of webhooks: of the request that we send and of the answer that comes back.
//!
//! The signature is HMAC-SHA-256 under a key that both sides know, over one line each for the purpose, the time in
//! seconds since 1970 and the digest of the request for approval, and then the body:
//!
//! ```text
//! placet.webhook.v1.request        (or placet.webhook.v1.answer, placet.webhook.v1.notice)
//! 1764132117
//! 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
//! {"approved":true}
//! ```
//!
//! In an answer the `nonce` that the request's body brought stands in a line of its own before the body. The signature
//! is written `t=1764132117,v1=<64 hexadecimal digits>`. Since purpose and digest are in it, our own request cannot
//! be sent back as an answer, and an answer serves no other request; since the nonce is, it serves that question only,
//! and who captured it cannot send it again when the same call asks anew.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;

use placet_types::{Digest, Micros};

use super::encoding::{mac, mac_holds};

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "Placet-Signature";

/// How far the time of a signature may lie from ours, in seconds.
pub const REPLAY_WINDOW_SECONDS: i64 = 300;

/// Fewest bytes of a key.
pub const KEY_BYTES: usize = 16;

/// The key that both sides know. Neither [`Debug`](fmt::Debug) nor any serialisation shows it.
///
/// ```
/// let key = placet_trust::approvals::webhook::WebhookKey::new(b"0123456789abcdef".to_vec())?;
/// assert_eq!(format!("{key:?}"), "WebhookKey(…)");
/// # Ok::<(), placet_trust::approvals::webhook::WebhookError>(())
/// ```
#[derive(Clone)]
pub struct WebhookKey(Vec<u8>);

impl fmt::Debug for WebhookKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookKey(…)")
    }
}

/// What a signed body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction<'a> {
    /// What we send.
    Request,
    /// What comes back.
    Answer {
        /// What the request brought, and no other did.
        nonce: &'a str,
    },
    /// What we tell, and which brings nothing back.
    Notice,
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The key is too short.
    #[error(
        "the webhook's key has {actual_bytes} bytes; the least is {KEY_BYTES}; make it with `openssl rand -hex 32`"
    )]
    ShortKey {
        /// Its length.
        actual_bytes: usize,
    },
    /// The header is not as it must be.
    #[error(
        "the signature is not of the form `t=<seconds>,v1=<64 hexadecimal digits>`; sign the answer as documented"
    )]
    Malformed,
    /// It was signed too long ago, or by a clock that is ahead.
    #[error(
        "the signature is {age_seconds} seconds old; the limit is {REPLAY_WINDOW_SECONDS} either way; check the clocks"
    )]
    Stale {
        /// Its age.
        age_seconds: i64,
    },
    /// It is not the signature of this body for this request.
    #[error("the signature does not fit the body, the request and its nonce; check the key on both sides")]
    Wrong,
}

impl WebhookKey {
    /// A key from its bytes.
    ///
    /// # Errors
    /// [`WebhookError::ShortKey`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, WebhookError> {
        if bytes.len() < KEY_BYTES {
            return Err(WebhookError::ShortKey { actual_bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Signs a body: the value of [`SIGNATURE_HEADER`].
    #[must_use]
    pub fn sign(&self, direction: Direction<'_>, approval: &Digest, at: Micros, body: &[u8]) -> String {
        let seconds = seconds(at);
        let signature = mac(&self.0, &message(direction, approval, seconds, body));
        format!("t={seconds},v1={signature}")
    }

    /// Checks the signature of a body, in constant time, and that it is fresh.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn verify(
        &self,
        direction: Direction<'_>,
        approval: &Digest,
        now: Micros,
        header: &str,
        body: &[u8],
    ) -> Result<(), WebhookError> {
        let (signed_at, given) = parse(header).ok_or(WebhookError::Malformed)?;
        if !mac_holds(&self.0, &message(direction, approval, signed_at, body), &given) {
            return Err(WebhookError::Wrong);
        }
        let age_seconds = seconds(now).saturating_sub(signed_at);
        if age_seconds.saturating_abs() > REPLAY_WINDOW_SECONDS {
            return Err(WebhookError::Stale { age_seconds });
        }
        Ok(())
    }
}

fn seconds(at: Micros) -> i64 {
    at.0.div_euclid(1_000_000)
}

fn message(direction: Direction<'_>, approval: &Digest, seconds: i64, body: &[u8]) -> Vec<u8> {
    let (purpose, nonce) = match direction {
        Direction::Request => ("request", None),
        Direction::Answer { nonce } => ("answer", Some(nonce)),
        Direction::Notice => ("notice", None),
    };
    let mut message = format!("placet.webhook.v1.{purpose}\n{seconds}\n{approval}\n").into_bytes();
    if let Some(nonce) = nonce {
        message.extend_from_slice(nonce.as_bytes());
        message.push(b'\n');
    }
    message.extend_from_slice(body);
    message
}

fn parse(header: &str) -> Option<(i64, Digest)> {
    let (time, signature) = header.trim().split_once(',')?;
    let time = time.strip_prefix("t=")?;
    let signature = signature.strip_prefix("v1=")?;
    if !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((time.parse().ok()?, signature.parse().ok()?))
}
