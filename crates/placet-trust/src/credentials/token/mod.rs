//! Signed tokens: chains in which each holder signs a narrower token for the next.
//!
//! A profile of the Attenuating Authorization Tokens: Ed25519 only, at most 9 tokens and 32 KiB a chain. Beside the
//! draft's entry of `authorization_details` stands one of Placet's with scopes, budgets and counts, and the claim
//! `placet` says whose the token is; both narrow from token to token as the rest does. A proof of possession covers
//! the digest of the frozen arguments (`hta_s256`) instead of the arguments (`hta`).
//!
//! Nothing is fetched, cached or stored here. Whether a token was revoked is the registry's to say: the issuer
//! registers a root when it signs it, an enforcement point registers a derived token when it first sees it.
//!
//! Source: draft-niyikiza-oauth-attenuating-agent-tokens.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod claims;
mod jws;
mod proof;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use placet_types::{CredentialId, Digest, Micros};
use sha2::{Digest as _, Sha256};

pub use proof::{PROOF_WINDOW_SECONDS, ProofId, ProofRequest, ReplayWindow};
pub use verify::{Derived, VerifiedLeaf};

use super::authority::{Authority, AuthorityError, Line, Witness, excess, witness};
use super::keys::{KeySet, PublicKey, SecretKey};
use claims::Claims;

/// Largest chain, in bytes.
pub const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// How far a token's or a proof's time of issue may lie in the future. Ends have no such tolerance.
pub const MAX_SKEW_SECONDS: u32 = 30;

/// The depth of delegation that an issuer allows unless it says otherwise.
pub const DEFAULT_MAX_DEPTH: u32 = 3;

/// What stands between two tokens of a chain's text.
const SEPARATOR: char = '~';

/// What stands between a chain's text and a proof.
const BEFORE_PROOF: &str = "~~";

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The session.
    pub session: Arc<str>,
    /// The tenant; the same for a whole chain.
    pub tenant: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The role; the parent's or none.
    pub role: Option<Arc<str>>,
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// A unique id.
    pub jti: Arc<str>,
    /// When it is issued.
    pub issued: Micros,
    /// Whose it is.
    pub identity: Identity,
    /// What it gives. Its end is cut to whole seconds.
    pub authority: Authority,
    /// The public key of its holder, whose private key never leaves the holder.
    pub holder: PublicKey,
}

/// Why a token is not signed, or not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The chain is larger than is read.
    #[error(
        "the chain of tokens is {actual_bytes} bytes; the limit is {MAX_CHAIN_BYTES} bytes; name fewer tools"
    )]
    TooLarge {
        /// Its size.
        actual_bytes: usize,
    },
    /// It is not made as a token must be.
    #[error("the token at depth {depth} {problem}")]
    Malformed {
        /// At which depth.
        depth: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// Its authority is not made as one must be.
    #[error("the token at depth {depth} has no usable authority: {source}")]
    Authority {
        /// At which depth.
        depth: u32,
        /// What is wrong.
        #[source]
        source: AuthorityError,
    },
    /// The issuer or its key is not trusted at this time.
    #[error(
        "the root token was signed by nobody who is trusted now; get one from the issuer of this deployment"
    )]
    Untrusted,
    /// The issuer's key was retired.
    #[error(
        "the root token was signed with the issuer's key `{key}`, which was retired at {since}; get a new token from the issuer",
        since = moment(*since)
    )]
    Retired {
        /// Its id.
        key: Arc<str>,
        /// Since when.
        since: Micros,
    },
    /// A signature does not hold.
    #[error("the signature of the token at depth {0} does not hold; use the token as it was issued")]
    Signature(u32),
    /// A link of the chain breaks an invariant of the draft.
    #[error("the token at depth {depth} breaks {invariant}: {problem}")]
    Invariant {
        /// At which depth.
        depth: u32,
        /// `I1` to `I5`.
        invariant: &'static str,
        /// In what.
        problem: &'static str,
    },
    /// A token gives more than its parent.
    #[error("the token at depth {depth} exceeds its parent (I4): {}{}", joined(lines), example(found.as_ref()))]
    Exceeds {
        /// At which depth.
        depth: u32,
        /// In what.
        lines: Vec<Line>,
        /// Something that the child could do and the parent could not.
        found: Option<Witness>,
    },
    /// Outside its life.
    #[error("the token at depth {0} is not valid at this time; get a new one")]
    Time(u32),
    /// The proof of possession does not hold (I6).
    #[error("the proof of possession does not hold (I6): {0}")]
    Proof(&'static str),
}

fn moment(at: Micros) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0);
    at.map_or_else(|_| "another time".to_owned(), |at| format!("{at:.0}"))
}

fn joined(lines: &[Line]) -> String {
    lines.iter().map(Line::to_string).collect::<Vec<_>>().join("; ")
}

fn example(found: Option<&Witness>) -> String {
    found.map(|witness| format!("; it would allow {witness}")).unwrap_or_default()
}

/// Tokens from the root to the leaf, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    tokens: Vec<String>,
}

impl Chain {
    /// Splits the text form of a chain.
    ///
    /// # Errors
    /// [`TokenError`] when it is too large, empty or too long.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_CHAIN_BYTES {
            return Err(TokenError::TooLarge { actual_bytes: text.len() });
        }
        let tokens: Vec<_> = text.split(SEPARATOR).map(str::to_owned).collect();
        if tokens.len() > super::HARD_MAX_DEPTH as usize + 1 {
            let depth = super::HARD_MAX_DEPTH + 1;
            return Err(TokenError::Invariant {
                depth,
                invariant: "I2",
                problem: "no chain is deeper than 8",
            });
        }
        Ok(Self { tokens })
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.tokens.join(&SEPARATOR.to_string())
    }

    /// SHA-256 of the text form, by which a verified chain can be found again.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.to_text().as_bytes()).into())
    }

    /// Signs a root token.
    ///
    /// # Errors
    /// [`TokenError`] when the grant is none that would be accepted.
    pub fn issue(grant: &Grant, issuer: &str, key: &SecretKey) -> Result<Self, TokenError> {
        let claims = Claims::of(grant, issuer.into(), 0, None);
        claims.check_alone(0, grant.issued)?;
        Self { tokens: vec![jws::sign(&claims.text()?, &jws::root_header(&key.public()), key)] }.fits()
    }

    /// Signs a root token that stands for a credential of the registry: revoked with it, and spending its budgets.
    ///
    /// # Errors
    /// [`TokenError`] when the grant is none that would be accepted.
    pub fn issue_for(
        credential: &CredentialId,
        grant: &Grant,
        issuer: &str,
        key: &SecretKey,
    ) -> Result<Self, TokenError> {
        let claims =
            Claims { credential: Some(credential.clone()), ..Claims::of(grant, issuer.into(), 0, None) };
        claims.check_alone(0, grant.issued)?;
        Self { tokens: vec![jws::sign(&claims.text()?, &jws::root_header(&key.public()), key)] }.fits()
    }

    /// What the tokens say, from the root. Nothing is verified: it may all be a lie.
    ///
    /// # Errors
    /// [`TokenError`] for a chain that cannot be read.
    pub fn claimed(&self) -> Result<Vec<Claimed>, TokenError> {
        (0u32..)
            .zip(&self.tokens)
            .map(|(depth, token)| {
                let parts = jws::split(token, depth)?;
                let kid = parts.kid("aat+jwt")?;
                let claims = Claims::read(&parts.payload()?, depth)?;
                let id = claims.credential.clone();
                Ok(Claimed {
                    id: id.unwrap_or_else(|| credential_id(&jws::hash(parts.input))),
                    signer: kid.map(Arc::from),
                    issuer: claims.iss,
                    issued: Micros(claims.iat.saturating_mul(1_000_000)),
                    depth: claims.depth,
                    holder: claims.holder,
                    identity: claims.identity,
                    authority: claims.authority,
                })
            })
            .collect()
    }

    /// Signs a proof for one call with the key of the leaf's holder. Whether the chain itself holds is not looked at.
    ///
    /// # Errors
    /// [`TokenError`] for a chain that cannot be read, or a key of another.
    pub fn prove(
        &self,
        request: &ProofRequest<'_>,
        jti: &str,
        at: Micros,
        key: &SecretKey,
    ) -> Result<Presentation, TokenError> {
        let (claims, hash) = self.leaf()?;
        let signs = proof::Signs { holder: &claims.holder, hash: &hash, jti: &claims.jti };
        Ok(Presentation { proof: signs.prove(request, jti, at, key)?, chain: self.clone() })
    }

    /// Signs a narrower token for the next holder with the key of the leaf's holder.
    ///
    /// # Errors
    /// [`TokenError`] when the key is not the holder's, or the grant exceeds the leaf; that error holds a readable
    /// difference and an example.
    pub fn attenuate(&self, grant: &Grant, key: &SecretKey) -> Result<Self, TokenError> {
        let depth = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        let (above, hash) = self.leaf()?;
        let claims = Claims::of(grant, key.public().uri().into(), depth, Some(hash));
        claims.check_alone(depth, grant.issued)?;
        claims.check_link(&above, &hash, depth)?;
        let mut tokens = self.tokens.clone();
        tokens.push(jws::sign(&claims.text()?, jws::HEADER, key));
        Self { tokens }.fits()
    }

    /// What the leaf says, which may be a lie, and its hash.
    fn leaf(&self) -> Result<(Claims, [u8; 32]), TokenError> {
        let depth = u32::try_from(self.tokens.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let last = self.tokens.last().ok_or(TokenError::Malformed { depth: 0, problem: "is missing" })?;
        let parts = jws::split(last, depth)?;
        Ok((Claims::read(&parts.payload()?, depth)?, jws::hash(parts.input)))
    }

    fn fits(self) -> Result<Self, TokenError> {
        Self::parse(&self.to_text())
    }

    /// Verifies the chain: I1 to I5, and every token by itself.
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that does not hold.
    pub fn verify(&self, keys: &KeySet, at: Micros) -> Result<VerifiedLeaf, TokenError> {
        verify::chain(&self.tokens, keys, at)
    }
}

/// What one token says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its public id: that of the registered credential it stands for, or what follows from what was signed.
    pub id: CredentialId,
    /// The id of the issuer's key, in a root.
    pub signer: Option<Arc<str>>,
    /// Who signed it: the issuer, or the thumbprint of the holder above.
    pub issuer: Arc<str>,
    /// When.
    pub issued: Micros,
    /// How many delegations lie between it and the root.
    pub depth: u32,
    /// The key of its holder.
    pub holder: PublicKey,
    /// Whose it is.
    pub identity: Identity,
    /// What it gives; depths are counted from the root.
    pub authority: Authority,
}

/// A chain with the proof that whoever shows it holds the key of its leaf, for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    /// The chain.
    pub chain: Chain,
    /// The proof.
    pub proof: String,
}

impl Presentation {
    /// The texts of the chain and of the proof; `None` for anything without both. Neither is looked at.
    #[must_use]
    pub fn split(text: &str) -> Option<(&str, &str)> {
        text.split_once(BEFORE_PROOF)
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}{BEFORE_PROOF}{}", self.chain.to_text(), self.proof)
    }
}

/// The public id of a token: it follows from what was signed.
fn credential_id(hash: &[u8; 32]) -> CredentialId {
    let short: String = hex::encode(hash).chars().take(32).collect();
    CredentialId::from(format!("aat_{short}"))
}
