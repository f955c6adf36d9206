//! Verifying a chain.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::CredentialEntry;
use placet_types::{CredentialId, Micros};

use super::claims::Claims;
use super::{Identity, MAX_SKEW_SECONDS, TokenError, credential_id, jws};
use crate::credentials::authority::Authority;
use crate::credentials::keys::{KeySet, PublicKey};

/// A verified chain, as seen from its leaf. Cloning it is cheap.
///
/// It says nothing about revocation: ask the registry for every id of the chain.
#[derive(Debug, Clone)]
pub struct VerifiedLeaf(Arc<Leaf>);

#[derive(Debug)]
struct Leaf {
    chain: Vec<CredentialId>,
    entries: Vec<CredentialEntry>,
    jti: Arc<str>,
    hash: [u8; 32],
    holder: PublicKey,
    identity: Identity,
    authorities: Vec<Authority>,
    authority: Authority,
}

impl VerifiedLeaf {
    /// The public ids of the tokens, from the root.
    #[must_use]
    pub fn chain(&self) -> &[CredentialId] {
        &self.0.chain
    }

    /// The tokens as the registry keeps them, from the root: those it does not know are issued in this order.
    #[must_use]
    pub fn entries(&self) -> &[CredentialEntry] {
        &self.0.entries
    }

    /// Whose the leaf is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What the leaf gives.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Each token with its authority, from the root. Counts and budgets are shared by a whole subtree, so that they
    /// are held against every one of these.
    pub fn hops(&self) -> impl Iterator<Item = (&CredentialId, &Authority)> {
        self.0.chain.iter().zip(&self.0.authorities)
    }

    /// The key of the leaf's holder.
    #[must_use]
    pub fn holder(&self) -> &PublicKey {
        &self.0.holder
    }

    /// How many delegations lie before the leaf.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.0.entries.last().map_or(0, |entry| entry.depth)
    }

    /// Whether the leaf is still within its life; no token of its chain ends before it.
    #[must_use]
    pub fn in_time(&self, at: Micros) -> bool {
        let authority = &self.0.authority;
        at < authority.expires && authority.not_before.is_none_or(|not_before| at >= not_before)
    }

    pub(super) fn jti(&self) -> &str {
        &self.0.jti
    }

    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.0.hash
    }
}

pub(super) fn chain(tokens: &[String], keys: &KeySet, at: Micros) -> Result<VerifiedLeaf, TokenError> {
    let mut above: Option<(Claims, [u8; 32])> = None;
    let mut entries: Vec<CredentialEntry> = Vec::with_capacity(tokens.len());
    let mut authorities = Vec::with_capacity(tokens.len());
    for (depth, token) in (0u32..).zip(tokens) {
        let parts = jws::split(token, depth)?;
        let kid = parts.kid("aat+jwt")?;
        let key = match &above {
            Some((parent, _)) => parent.holder,
            None => {
                let known = kid.and_then(|kid| keys.find(&kid, at, MAX_SKEW_SECONDS));
                *known.ok_or(TokenError::Untrusted)?
            }
        };
        // The claims are looked at only after the signature.
        parts.verified(&key)?;
        let claims = Claims::read(&parts.payload()?, depth)?;
        claims.check_alone(depth, at)?;
        match &above {
            Some((parent, hash)) => claims.check_link(parent, hash, depth)?,
            None if claims.iss != *keys.issuer() => return Err(TokenError::Untrusted),
            None => {}
        }
        let hash = jws::hash(parts.input);
        let parent = entries.last().map(|entry| entry.id.clone());
        entries.push(entry(&claims, credential_id(&hash), parent)?);
        authorities.push(claims.authority.clone());
        above = Some((claims, hash));
    }
    let (claims, hash) = above.ok_or(TokenError::Malformed { depth: 0, problem: "is missing" })?;
    if claims.authority.not_before.is_some_and(|not_before| at < not_before) {
        return Err(TokenError::Time(claims.depth));
    }
    Ok(VerifiedLeaf(Arc::new(Leaf {
        chain: entries.iter().map(|entry| entry.id.clone()).collect(),
        entries,
        jti: claims.jti,
        hash,
        holder: claims.holder,
        identity: claims.identity,
        authorities,
        authority: claims.authority,
    })))
}

fn entry(
    claims: &Claims,
    id: CredentialId,
    parent: Option<CredentialId>,
) -> Result<CredentialEntry, TokenError> {
    let depth = claims.depth;
    let digest = claims.authority.digest().map_err(|source| TokenError::Authority { depth, source })?;
    Ok(CredentialEntry {
        id,
        parent,
        session: claims.identity.session.clone(),
        tenant: claims.identity.tenant.clone(),
        agent: claims.identity.agent.clone(),
        role: claims.identity.role.clone(),
        scopes: claims.authority.scopes.iter().cloned().collect(),
        depth,
        max_depth: claims.authority.max_depth,
        issued_us: Micros(claims.iat.saturating_mul(1_000_000)),
        not_before_us: claims.authority.not_before,
        expires_us: claims.authority.expires,
        authority: digest,
    })
}
