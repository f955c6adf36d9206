//! The claims of one token, and what must hold between a token and its parent.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{CredentialId, Micros, Value};
use serde_json::json;

use super::{Grant, Identity, MAX_SKEW_SECONDS, TokenError, excess, jws, witness};
use crate::credentials::authority::Authority;
use crate::credentials::keys::PublicKey;
use crate::credentials::{HARD_MAX_DEPTH, MAX_LIFETIME_SECONDS, canonical};

const SECOND: i64 = 1_000_000;
/// Longest `jti`, `iss` or name, in bytes.
const MAX_TEXT_BYTES: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) jti: Arc<str>,
    pub(super) iss: Arc<str>,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) depth: u32,
    pub(super) par_hash: Option<[u8; 32]>,
    pub(super) holder: PublicKey,
    pub(super) identity: Identity,
    /// The registered credential that a root stands for.
    pub(super) credential: Option<CredentialId>,
    pub(super) authority: Authority,
}

impl Claims {
    pub(super) fn of(grant: &Grant, iss: Arc<str>, depth: u32, par_hash: Option<[u8; 32]>) -> Self {
        let exp = grant.authority.expires.0.div_euclid(SECOND);
        let mut authority = grant.authority.clone();
        authority.expires = Micros(exp.saturating_mul(SECOND));
        Self {
            jti: grant.jti.clone(),
            iss,
            iat: grant.issued.0.div_euclid(SECOND),
            exp,
            depth,
            par_hash,
            holder: grant.holder,
            identity: grant.identity.clone(),
            credential: None,
            authority,
        }
    }

    /// The payload in canonical form.
    pub(super) fn text(&self) -> Result<String, TokenError> {
        let details = self.authority.details();
        let details = details.map_err(|source| TokenError::Authority { depth: self.depth, source })?;
        let mut whose = json!({ "session": self.identity.session });
        let rest = [
            ("tenant", &self.identity.tenant),
            ("agent", &self.identity.agent),
            ("role", &self.identity.role),
            ("credential", &self.credential.as_ref().map(|id| id.0.clone())),
        ];
        let mut payload = json!({
            "authorization_details": details,
            "cnf": { "jwk": { "crv": "Ed25519", "kty": "OKP", "x": self.holder.to_string() } },
            "del_depth": self.depth,
            "del_max_depth": self.authority.max_depth,
            "exp": self.exp,
            "iat": self.iat,
            "iss": self.iss,
            "jti": self.jti,
        });
        if let Some(whose) = whose.as_object_mut() {
            whose.extend(
                rest.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?)))),
            );
        }
        if let Some(payload) = payload.as_object_mut() {
            payload.insert("placet".to_owned(), whose);
            payload.extend(self.par_hash.map(|hash| ("par_hash".to_owned(), json!(jws::encode(&hash)))));
        }
        canonical::text(&payload).map_err(|_| self.malformed("cannot be written as JSON"))
    }

    /// Reads the payload of a token whose signature was verified.
    pub(super) fn read(payload: &Value, depth: u32) -> Result<Self, TokenError> {
        let missing = |problem| TokenError::Malformed { depth, problem };
        let text = |name: &str, problem| text(payload, name).ok_or(missing(problem));
        let whole = |name: &str, problem| match payload.get(name) {
            Some(Value::Int(number)) => Ok(*number),
            _ => Err(missing(problem)),
        };
        let small = |number: i64, problem| u32::try_from(number).map_err(|_| missing(problem));
        let exp = whole("exp", "has no whole exp")?;
        let max_depth = small(whole("del_max_depth", "has no del_max_depth")?, "has a wrong del_max_depth")?;
        let details = payload.get("authorization_details").unwrap_or(&Value::Null);
        let expires = Micros(exp.saturating_mul(SECOND));
        let authority = Authority::from_details(details, max_depth, expires)
            .map_err(|source| TokenError::Authority { depth, source })?;
        let par_hash = match payload.get("par_hash") {
            None => None,
            Some(hash) => Some(hash.as_str().and_then(jws::decode).ok_or(missing("has a wrong par_hash"))?),
        };
        Ok(Self {
            jti: text("jti", "has no jti")?,
            iss: text("iss", "has no iss")?,
            iat: whole("iat", "has no whole iat")?,
            exp,
            depth: small(whole("del_depth", "has no del_depth")?, "has a wrong del_depth")?,
            par_hash,
            holder: holder(payload)
                .ok_or(missing("has no cnf with a public key of Ed25519 and nothing else"))?,
            identity: identity(payload).ok_or(missing("does not say whose it is in the claim placet"))?,
            credential: credential(payload),
            authority,
        })
    }

    fn malformed(&self, problem: &'static str) -> TokenError {
        TokenError::Malformed { depth: self.depth, problem }
    }

    /// What must hold of a token by itself.
    pub(super) fn check_alone(&self, depth: u32, at: Micros) -> Result<(), TokenError> {
        let breaks = |invariant, problem| Err(TokenError::Invariant { depth, invariant, problem });
        let latest = at.plus_seconds(MAX_SKEW_SECONDS).0.div_euclid(SECOND);
        if self.depth != depth {
            return breaks("I2", "del_depth must be its place in the chain");
        }
        if self.par_hash.is_some() != (depth > 0) {
            return breaks("I5", "par_hash stands in every token but the root's");
        }
        if self.credential.as_ref().is_some_and(|id| depth > 0 || !fits(&id.0)) {
            return Err(self.malformed("names a registered credential, which only a root may"));
        }
        if self.depth > self.authority.max_depth || self.authority.max_depth > HARD_MAX_DEPTH {
            return breaks("I2", "del_depth must not exceed del_max_depth, nor that 8");
        }
        if self.exp <= self.iat || self.exp > self.iat.saturating_add(i64::from(MAX_LIFETIME_SECONDS)) {
            return breaks("I3", "a token must end after its issue, and within 90 days");
        }
        if self.iat > latest {
            return breaks("I3", "it was issued more than 30 s in the future");
        }
        if at >= self.authority.expires {
            return Err(TokenError::Time(depth));
        }
        if self.authority.scopes.is_empty() {
            return Err(self.malformed("has no scopes; name at least one"));
        }
        let texts = [&self.jti, &self.iss, &self.identity.session];
        if texts.into_iter().all(|text| fits(text)) {
            return Ok(());
        }
        Err(self.malformed("has an empty or overlong jti, iss or session"))
    }

    /// What must hold between a token and its parent.
    pub(super) fn check_link(
        &self,
        parent: &Self,
        parent_hash: &[u8; 32],
        depth: u32,
    ) -> Result<(), TokenError> {
        let breaks = |invariant, problem| Err(TokenError::Invariant { depth, invariant, problem });
        if *self.iss != *parent.holder.uri() {
            return breaks("I1", "it was not signed by the holder of its parent");
        }
        if self.depth > parent.authority.max_depth {
            return breaks("I2", "its parent may not delegate any deeper");
        }
        if self.iat < parent.iat {
            return breaks("I3", "it was issued before its parent");
        }
        if self.par_hash.as_ref() != Some(parent_hash) {
            return breaks("I5", "par_hash is that of another parent");
        }
        if self.identity.tenant != parent.identity.tenant {
            return breaks("I4", "it is of another tenant than its parent");
        }
        if self.identity.role.is_some() && self.identity.role != parent.identity.role {
            return breaks("I4", "it has another role than its parent");
        }
        let lines = excess(&parent.authority, &self.authority);
        if lines.is_empty() {
            return Ok(());
        }
        let found = witness(&parent.authority, &self.authority);
        Err(TokenError::Exceeds { depth, lines, found })
    }
}

fn fits(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= MAX_TEXT_BYTES
}

fn text(value: &Value, name: &str) -> Option<Arc<str>> {
    value.get(name)?.as_str().map(Arc::from)
}

fn holder(payload: &Value) -> Option<PublicKey> {
    let jwk = payload.get("cnf")?.get("jwk")?;
    // A private part (`d`) or another key type is refused, not ignored.
    let plain = jwk.as_object()?.len() == 3;
    let right = text(jwk, "kty")?.as_ref() == "OKP" && text(jwk, "crv")?.as_ref() == "Ed25519";
    if plain && right { PublicKey::parse(&text(jwk, "x")?).ok() } else { None }
}

fn credential(payload: &Value) -> Option<CredentialId> {
    text(payload.get("placet")?, "credential").map(CredentialId)
}

fn identity(payload: &Value) -> Option<Identity> {
    let whose = payload.get("placet")?;
    let known = ["session", "tenant", "agent", "role", "credential"];
    let strings = whose
        .as_object()?
        .iter()
        .all(|(name, value)| known.contains(&name.as_str()) && value.as_str().is_some());
    strings.then_some(())?;
    Some(Identity {
        session: text(whose, "session")?,
        tenant: text(whose, "tenant"),
        agent: text(whose, "agent"),
        role: text(whose, "role"),
    })
}
