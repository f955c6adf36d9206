//! Verifying a chain.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::CredentialEntry;
use placet_types::{CredentialId, Micros};

use super::claims::Claims;
use super::{Identity, MAX_SKEW_SECONDS, TokenError, credential_id, jws};
use crate::credentials::authority::Authority;
use crate::credentials::keys::{Distrust, KeySet, PublicKey};

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
    root: Identity,
    authorities: Vec<Authority>,
    authority: Authority,
    /// The id of the key that signed the root.
    signer: Arc<str>,
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

    /// Whose the root is.
    #[must_use]
    pub fn root_identity(&self) -> &Identity {
        &self.0.root
    }

    /// The tokens as the registry keeps them where the root stands for a credential that is registered at a depth of
    /// its own: those after the root, each with its parent's authority and its own.
    ///
    /// # Errors
    /// [`TokenError::Authority`].
    pub fn derived(&self, root_depth: u32) -> Result<Vec<Derived>, TokenError> {
        let deeper = |authority: &Authority| Authority {
            max_depth: authority.max_depth.saturating_add(root_depth),
            ..authority.clone()
        };
        let pairs = self.0.authorities.windows(2).zip(self.0.entries.iter().skip(1));
        pairs
            .map(|(pair, entry)| {
                let (Some(parent), Some(own)) = (pair.first(), pair.last()) else {
                    return Err(TokenError::Malformed { depth: entry.depth, problem: "is missing" });
                };
                let (above, authority) = (deeper(parent), deeper(own));
                let depth = entry.depth;
                let digest = authority.digest().map_err(|source| TokenError::Authority { depth, source })?;
                let entry = CredentialEntry {
                    depth: depth.saturating_add(root_depth),
                    max_depth: authority.max_depth,
                    authority: digest,
                    ..entry.clone()
                };
                Ok(Derived { entry, above, authority })
            })
            .collect()
    }

    /// What the root gives.
    #[must_use]
    pub fn root_authority(&self) -> Option<&Authority> {
        self.0.authorities.first()
    }

    /// Whether the key that signed the root is trusted at this moment.
    ///
    /// # Errors
    /// [`TokenError::Untrusted`] or [`TokenError::Retired`].
    pub fn still_trusted(&self, keys: &KeySet, at: Micros) -> Result<(), TokenError> {
        trusted(keys, &self.0.signer, at).map(|_| ())
    }

    pub(super) fn jti(&self) -> &str {
        &self.0.jti
    }

    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.0.hash
    }
}

/// A token that a holder signed, as the registry keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// Its entry.
    pub entry: CredentialEntry,
    /// What its parent gives.
    pub above: Authority,
    /// What it gives.
    pub authority: Authority,
}

fn trusted<'a>(keys: &'a KeySet, id: &str, at: Micros) -> Result<&'a PublicKey, TokenError> {
    keys.trust(id, at, MAX_SKEW_SECONDS).map_err(|distrust| match distrust {
        Distrust::Unknown => TokenError::Untrusted,
        Distrust::Retired(since) => TokenError::Retired { key: id.into(), since },
    })
}

pub(super) fn chain(tokens: &[String], keys: &KeySet, at: Micros) -> Result<VerifiedLeaf, TokenError> {
    let mut above: Option<(Claims, [u8; 32])> = None;
    let mut root: Option<(Identity, Arc<str>)> = None;
    let mut entries: Vec<CredentialEntry> = Vec::with_capacity(tokens.len());
    let mut authorities = Vec::with_capacity(tokens.len());
    for (depth, token) in (0u32..).zip(tokens) {
        let parts = jws::split(token, depth)?;
        let kid = parts.kid("aat+jwt")?;
        let key = match &above {
            Some((parent, _)) => parent.holder,
            None => *trusted(keys, kid.as_deref().ok_or(TokenError::Untrusted)?, at)?,
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
        let id = claims.credential.clone().unwrap_or_else(|| credential_id(&hash));
        entries.push(entry(&claims, id, parent)?);
        root.get_or_insert_with(|| (claims.identity.clone(), kid.unwrap_or_default().into()));
        authorities.push(claims.authority.clone());
        above = Some((claims, hash));
    }
    let missing = TokenError::Malformed { depth: 0, problem: "is missing" };
    let ((claims, hash), (root, signer)) = above.zip(root).ok_or(missing)?;
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
        root,
        authorities,
        authority: claims.authority,
        signer,
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
