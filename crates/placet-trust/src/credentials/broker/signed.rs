//! Signed chains: exported for another process, taken over from one, narrowed without the issuer.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::CredentialEntry;
use placet_types::{CredentialId, Digest, Micros};
use sha2::{Digest as _, Sha256};

use super::{Bearer, Broker, BrokerError, DelegateRequest, IssueRequest, SessionToken, bound, narrow};
use crate::credentials::authority::{Authority, Line, diff};
use crate::credentials::keys::{IssuerKeys, NoIssuer, NoRandom, PublicKey, Random, SecretKey};
use crate::credentials::token::{
    Chain, Derived, Grant, Identity, Presentation, ProofId, ProofRequest, TokenError, VerifiedLeaf,
};
use crate::credentials::{MAX_LIFETIME_SECONDS, Why};
use crate::ledger::Freshness;

/// A chain with the key of its holder, who narrows it and proves to hold it without asking anybody.
#[derive(Debug, Clone)]
pub struct HeldChain {
    chain: Chain,
    key: Arc<SecretKey>,
}

/// A chain that was narrowed for another holder.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegation {
    /// The chain, one token longer.
    pub chain: Chain,
    /// How the new leaf differs from the one before, for people.
    pub changes: Vec<Line>,
}

/// A credential that was shown with a proof of possession.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented {
    /// The leaf, as it is registered.
    pub entry: CredentialEntry,
    /// The proof; give it back when the call did not happen.
    pub proof: ProofId,
}

impl HeldChain {
    /// The chain in the hands of its holder. Whether its signatures hold is for whoever it is shown to.
    ///
    /// # Errors
    /// [`TokenError`] for a chain that cannot be read, or the key of another.
    pub fn new(chain: Chain, key: impl Into<Arc<SecretKey>>) -> Result<Self, TokenError> {
        let (key, claimed) = (key.into(), chain.claimed()?);
        match claimed.last() {
            Some(leaf) if leaf.holder == key.public() => Ok(Self { chain, key }),
            _ => Err(TokenError::Proof("the key is not that of the token's holder")),
        }
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The holder's key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Signs a narrower token for another holder, who is known by the public key alone.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was signed. What exceeds this token is named, with an example where there is one.
    pub fn delegate(
        &self,
        request: &DelegateRequest,
        holder: PublicKey,
        now: Micros,
        random: &dyn Random,
    ) -> Result<Delegation, BrokerError> {
        let claimed = self.chain.claimed()?;
        let leaf = claimed.last().ok_or(Why::Missing)?;
        let mut authority = narrow::narrowed(&leaf.authority, request, now, MAX_LIFETIME_SECONDS)?;
        // A token ends at a whole second.
        authority.expires.0 = authority.expires.0.div_euclid(1_000_000).saturating_mul(1_000_000);
        let changes = diff(&leaf.authority, &authority);
        let identity = Identity {
            session: request.session.clone(),
            tenant: leaf.identity.tenant.clone(),
            agent: request.agent.clone(),
            role: leaf.identity.role.clone(),
        };
        let grant = Grant { jti: new_jti(random)?, issued: now, identity, authority, holder };
        Ok(Delegation { chain: self.chain.attenuate(&grant, &self.key)?, changes })
    }

    /// Signs a proof for one call.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was signed.
    pub fn prove(
        &self,
        request: &ProofRequest<'_>,
        now: Micros,
        random: &dyn Random,
    ) -> Result<Presentation, BrokerError> {
        Ok(self.chain.prove(request, &new_jti(random)?, now, &self.key)?)
    }
}

impl Broker<'_> {
    /// Issues a credential that only the holder of a key can use. No bearer secret is ever told.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was issued.
    pub fn issue_signed(
        &self,
        request: &IssueRequest,
        holder: &PublicKey,
    ) -> Result<(SessionToken, Chain), BrokerError> {
        // First, so that nothing is registered that cannot be signed.
        self.issuer()?.signer(self.clock.now())?;
        let token = self.issue(request)?;
        let chain = self.sign(&token.entry, holder)?;
        Ok((token, chain))
    }

    /// The signed form of a token for the holder of a key: the same credential, revoked with it and spending the same
    /// budgets, for use in another process.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was signed.
    pub fn signed(&self, token: &str, holder: &PublicKey) -> Result<Chain, BrokerError> {
        self.sign(&self.look(token)?.entry, holder)
    }

    fn sign(&self, entry: &CredentialEntry, holder: &PublicKey) -> Result<Chain, BrokerError> {
        let now = self.clock.now();
        let (key, issuer) = self.issuer()?.signer(now)?;
        let whole = self.authority(entry)?;
        // A chain counts its depth from its root.
        let max_depth = whole.max_depth.saturating_sub(entry.depth);
        let grant = Grant {
            jti: new_jti(self.random)?,
            issued: now,
            identity: identity(entry),
            authority: Authority { max_depth, ..(*whole).clone() },
            holder: *holder,
        };
        Ok(Chain::issue_for(&entry.id, &grant, &issuer, &key)?)
    }

    /// Takes a chain over whose holder lives in this process, and gives the handle by which code here uses it. The
    /// handle holds in this process only.
    ///
    /// # Errors
    /// [`BrokerError`]: the chain does not hold, or the key is not its holder's.
    pub fn hold(&self, held: &HeldChain) -> Result<SessionToken, BrokerError> {
        let leaf = self.verified(&held.chain.to_text())?;
        if held.key.public() != *leaf.holder() {
            return Err(TokenError::Proof("the key is not that of the token's holder").into());
        }
        let entry = self.admitted(&leaf)?;
        let bearer = Bearer::generate(self.random)?;
        self.memory.hold(bearer.id(), leaf, self.clock.now());
        Ok(SessionToken { bearer, entry })
    }

    /// The credential of a chain that another process shows for one call, with the proof that it holds the key. A
    /// token that is seen for the first time is registered; a proof is good for one call.
    ///
    /// # Errors
    /// [`BrokerError`] says what does not hold.
    pub fn present(
        &self,
        shown: &str,
        session: &str,
        claimed: &[Arc<str>],
        request: &ProofRequest<'_>,
    ) -> Result<Presented, BrokerError> {
        let (chain, proof) = Presentation::split(shown).ok_or(BrokerError::Unproven)?;
        let leaf = self.verified(chain)?;
        let proof = leaf.check_proof(proof, request, self.clock.now(), &mut self.memory.proofs())?;
        // A proof that leads nowhere is not used up.
        let entry = self.admitted(&leaf).and_then(|entry| bound(&entry, session, claimed).map(|()| entry));
        match entry {
            Ok(entry) => Ok(Presented { entry, proof }),
            Err(error) => {
                self.memory.give_back(&proof);
                Err(error)
            }
        }
    }

    /// Verifies the text of a chain: its signatures, its links, its time, and that its root is live in the registry
    /// and says what is registered. No token of it is registered.
    ///
    /// # Errors
    /// [`BrokerError`]: the first thing that does not hold.
    pub fn verified(&self, chain: &str) -> Result<VerifiedLeaf, BrokerError> {
        let now = self.clock.now();
        let keys = self.issuer()?.trusted(now)?;
        let digest = Digest(Sha256::digest(chain.as_bytes()).into());
        if let Some(leaf) = self.memory.chain(&digest) {
            leaf.still_trusted(&keys, now)?;
            return if leaf.in_time(now) { Ok(leaf) } else { Err(TokenError::Time(leaf.depth()).into()) };
        }
        let leaf = Chain::parse(chain)?.verify(&keys, now)?;
        let root = self.root(&leaf)?;
        self.is_registered(&leaf, &root)?;
        self.memory.keep(digest, leaf.clone(), now);
        Ok(leaf)
    }

    /// As [`Broker::verified`], and looks up whether any token of the chain was revoked, seen here or not.
    ///
    /// # Errors
    /// [`BrokerError`]: the first thing that does not hold.
    pub fn inspected(&self, chain: &str) -> Result<VerifiedLeaf, BrokerError> {
        let leaf = self.verified(chain)?;
        let root = self.root(&leaf)?;
        let derived = leaf.derived(root.depth)?;
        let mut held = Ok(());
        self.ledger.read(Freshness::Now, &mut |state| {
            let at = self.clock.now().max(state.credentials.last_change());
            held = derived.iter().try_for_each(|one| state.credentials.holds(&one.entry, at));
        })?;
        held?;
        Ok(leaf)
    }

    /// The registered credential that the root stands for, which must be live.
    fn root(&self, leaf: &VerifiedLeaf) -> Result<CredentialEntry, BrokerError> {
        self.live_entry(leaf.chain().first().ok_or(Why::Missing)?)
    }

    /// The issuer signed what is registered; whoever edits the one or signs the other alone gets nothing.
    fn is_registered(&self, leaf: &VerifiedLeaf, root: &CredentialEntry) -> Result<(), BrokerError> {
        let given = leaf.root_authority().cloned().ok_or(Why::Missing)?;
        let max_depth = given.max_depth.saturating_add(root.depth);
        let given = Authority { max_depth, ..given };
        if *leaf.root_identity() == identity(root) && given.within(&*self.authority(root)?) {
            return Ok(());
        }
        let problem = "is registered with less than its signed token says; get a new token from the issuer";
        Err(Why::Malformed { id: root.id.clone(), problem }.into())
    }

    /// The live entry of a leaf; the tokens of its chain that are not known yet are registered first.
    pub(super) fn admitted(&self, leaf: &VerifiedLeaf) -> Result<CredentialEntry, BrokerError> {
        let id = leaf.chain().last().ok_or(Why::Missing)?;
        match self.live(id, Freshness::Seen)? {
            Err(Why::Unknown(_)) => {}
            other => return Ok(other?),
        }
        let root = self.root(leaf)?;
        for derived in leaf.derived(root.depth)? {
            match self.live(&derived.entry.id, Freshness::Now)? {
                Ok(_) => {}
                Err(Why::Unknown(_)) => self.admit(&derived)?,
                Err(why) => return Err(why.into()),
            }
        }
        self.live_entry(id)
    }

    fn admit(&self, derived: &Derived) -> Result<(), BrokerError> {
        let Derived { entry, above, authority } = derived;
        match self.enter(entry, authority.clone(), &diff(above, authority)) {
            // Another process may have been faster.
            Err(BrokerError::Refused(refusal)) => match self.live(&entry.id, Freshness::Now)? {
                Ok(_) => Ok(()),
                Err(_) => Err(BrokerError::Refused(refusal)),
            },
            other => other,
        }
    }

    /// The credential behind a handle: that of the chain that is held under it, else its own.
    pub(super) fn held(&self, handle: CredentialId) -> Result<CredentialId, BrokerError> {
        let Some(leaf) = self.memory.held(&handle) else { return Ok(handle) };
        let now = self.clock.now();
        leaf.still_trusted(&*self.issuer()?.trusted(now)?, now)?;
        Ok(leaf.chain().last().cloned().unwrap_or(handle))
    }

    /// The public id that a text stands for: a token, the leaf of a chain, or a public id itself. What a chain says of
    /// itself is not verified here.
    #[must_use]
    pub fn id_of(&self, text: &str) -> Option<CredentialId> {
        if let Some(bearer) = Bearer::parse(text) {
            let handle = bearer.id();
            let leaf = self.memory.held(&handle).and_then(|leaf| leaf.chain().last().cloned());
            return Some(leaf.unwrap_or(handle));
        }
        if is_chain(text) {
            let claimed = Chain::parse(text_of(text)).and_then(|chain| chain.claimed()).ok()?;
            return claimed.last().map(|leaf| leaf.id.clone());
        }
        let is_id = text.starts_with("crd_") || text.starts_with("aat_");
        is_id.then(|| CredentialId::from(text))
    }

    fn issuer(&self) -> Result<&dyn IssuerKeys, BrokerError> {
        let none =
            "this broker has no issuer's keys, so that it neither signs nor verifies chains; give it some";
        self.issuer.ok_or_else(|| NoIssuer(none.to_owned()).into())
    }
}

/// Whether a text is meant as a chain of signed tokens.
#[must_use]
pub(super) fn is_chain(text: &str) -> bool {
    text.contains('.')
}

/// The chain of what may have a proof behind it.
pub(super) fn text_of(shown: &str) -> &str {
    Presentation::split(shown).map_or(shown, |(chain, _)| chain)
}

fn identity(entry: &CredentialEntry) -> Identity {
    Identity {
        session: entry.session.clone(),
        tenant: entry.tenant.clone(),
        agent: entry.agent.clone(),
        role: entry.role.clone(),
    }
}

fn new_jti(random: &dyn Random) -> Result<Arc<str>, NoRandom> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(hex::encode(bytes).into())
}
