//! Proof of possession: who shows a chain signs each call with the key of its leaf.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use placet_types::{Digest, Micros, Value};
use serde_json::json;

use super::{MAX_SKEW_SECONDS, TokenError, VerifiedLeaf, jws};
use crate::credentials::canonical;
use crate::credentials::keys::{PublicKey, SecretKey};

/// How old a proof may be.
pub const PROOF_WINDOW_SECONDS: u32 = 60;

/// Longest id of a proof, in bytes.
const MAX_JTI_BYTES: usize = 128;

const SECOND: i64 = 1_000_000;

/// What a proof covers.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofRequest<'a> {
    /// The tool.
    pub tool: &'a str,
    /// The digest of the frozen arguments.
    pub args: &'a Digest,
    /// The enforcement point, if it demands to be named.
    pub audience: Option<&'a str>,
}

/// The ids of a leaf and of a proof for it.
pub type ProofId = (Arc<str>, Arc<str>);

/// The proofs that were accepted, for as long as they could be shown again.
#[derive(Debug)]
pub struct ReplayWindow {
    /// With the second from which on each is too old.
    seen: HashMap<ProofId, i64>,
    /// By the second from which on a proof is too old.
    ends: BTreeMap<i64, Vec<ProofId>>,
    capacity: usize,
}

impl ReplayWindow {
    /// A window for at most so many proofs; more than that within one minute are refused.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { seen: HashMap::new(), ends: BTreeMap::new(), capacity }
    }

    /// Forgets a proof whose call did not happen, so that the same call may be tried again with it.
    pub fn give_back(&mut self, proof: &ProofId) {
        self.seen.remove(proof);
    }

    fn accept(&mut self, leaf: &str, jti: &str, iat: i64, now: i64) -> Result<ProofId, TokenError> {
        let current = self.ends.split_off(&now);
        for (end, ids) in std::mem::replace(&mut self.ends, current) {
            for old in ids.into_iter().filter(|old| self.seen.get(old) == Some(&end)).collect::<Vec<_>>() {
                self.seen.remove(&old);
            }
        }
        let id: ProofId = (leaf.into(), jti.into());
        if self.seen.contains_key(&id) {
            return Err(TokenError::Proof("it was used before; sign each call anew"));
        }
        if self.seen.len() >= self.capacity {
            return Err(TokenError::Proof("too many proofs came within a minute; try again later"));
        }
        let end = iat.saturating_add(i64::from(PROOF_WINDOW_SECONDS));
        self.ends.entry(end).or_default().push(id.clone());
        self.seen.insert(id.clone(), end);
        Ok(id)
    }
}

/// What of a leaf a proof names.
pub(super) struct Signs<'a> {
    pub(super) holder: &'a PublicKey,
    pub(super) hash: &'a [u8; 32],
    pub(super) jti: &'a str,
}

impl Signs<'_> {
    pub(super) fn prove(
        &self,
        request: &ProofRequest<'_>,
        jti: &str,
        at: Micros,
        key: &SecretKey,
    ) -> Result<String, TokenError> {
        if key.public() != *self.holder {
            return Err(TokenError::Proof("the key is not that of the token's holder"));
        }
        let mut claims = json!({
            "aat_hash": jws::encode(self.hash),
            "aat_id": self.jti,
            "aat_tool": request.tool,
            "hta_s256": jws::encode(&request.args.0),
            "iat": at.0.div_euclid(SECOND),
            "jti": jti,
        });
        if let (Some(audience), Some(claims)) = (request.audience, claims.as_object_mut()) {
            claims.insert("aat_aud".to_owned(), json!(audience));
        }
        let payload =
            canonical::text(&claims).map_err(|_| TokenError::Proof("it cannot be written as JSON"))?;
        Ok(jws::sign(&payload, jws::PROOF_HEADER, key))
    }
}

impl VerifiedLeaf {
    /// Signs a proof for one call with the key of the leaf's holder.
    ///
    /// # Errors
    /// [`TokenError::Proof`] when the key is another's.
    pub fn prove(
        &self,
        request: &ProofRequest<'_>,
        jti: &str,
        at: Micros,
        key: &SecretKey,
    ) -> Result<String, TokenError> {
        let signs = Signs { holder: self.holder(), hash: self.hash(), jti: self.jti() };
        signs.prove(request, jti, at, key)
    }

    /// Verifies a proof for one call, once, and returns the ids by which the window knows it.
    ///
    /// # Errors
    /// [`TokenError`] when it is not the holder's, covers another call, is too old or was used before.
    pub fn check_proof(
        &self,
        proof: &str,
        request: &ProofRequest<'_>,
        at: Micros,
        window: &mut ReplayWindow,
    ) -> Result<ProofId, TokenError> {
        let wrong = |problem| Err(TokenError::Proof(problem));
        if proof.len() > super::MAX_CHAIN_BYTES {
            return wrong("it is larger than 32 KiB");
        }
        let parts = jws::split(proof, self.depth())?;
        parts.kid("aat-pop+jwt")?;
        if parts.verified(self.holder()).is_err() {
            return wrong("it was not signed by the holder of the token");
        }
        let claims = parts.payload()?;
        let is = |name: &str, wanted: &str| claims.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("aat_id", self.jti()) || !is("aat_hash", &jws::encode(self.hash())) {
            return wrong("it is for another token");
        }
        if !is("aat_tool", request.tool) || !is("hta_s256", &jws::encode(&request.args.0)) {
            return wrong("it is for another call");
        }
        let named = claims.get("aat_aud").and_then(Value::as_str);
        if named != request.audience {
            return wrong("it is for another enforcement point");
        }
        let (Some(Value::Int(iat)), Some(jti)) =
            (claims.get("iat"), claims.get("jti").and_then(Value::as_str))
        else {
            return wrong("it has no iat or no jti");
        };
        if jti.is_empty() || jti.len() > MAX_JTI_BYTES {
            return wrong("its jti is empty or longer than 128 bytes");
        }
        let now = at.0.div_euclid(SECOND);
        let newest = now.saturating_add(i64::from(MAX_SKEW_SECONDS));
        let oldest = now.saturating_sub(i64::from(PROOF_WINDOW_SECONDS));
        if *iat > newest || *iat < oldest {
            return wrong("it is not of this minute; sign each call when it is made");
        }
        if !self.in_time(at) {
            return Err(TokenError::Time(self.depth()));
        }
        window.accept(self.jti(), jti, *iat, now)
    }
}
