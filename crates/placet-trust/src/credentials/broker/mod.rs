//! The broker: issues, shows, narrows and revokes the credentials of sessions.
//!
//! It keeps no tokens: the log does. Clock and random bytes come from outside.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod bearer;
mod error;
mod memory;
mod narrow;
mod records;
mod request;
mod signed;
#[cfg(test)]
mod signed_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use placet_types::ledger::{CredentialEntry, Revocation, RevocationTarget};
use placet_types::{Ack, CredentialId, LedgerOp, Micros, Record};

pub use bearer::{Bearer, SessionToken, public_id};
pub use error::BrokerError;
pub use memory::BrokerMemory;
pub use request::{BrokerLimits, DelegateRequest, IssueRequest};
pub use signed::{Delegation, HeldChain, Presented};

use super::authority::{Authority, Tools, diff};
use super::keys::{IssuerKeys, Random};
use super::{HARD_MAX_DEPTH, MAX_LIFETIME_SECONDS, Why};
use crate::budgets::CredentialLimits;
use crate::ledger::{Freshness, Ledger, Proposal};
use crate::state::State;

/// The life of a token unless its issuer says otherwise.
pub const DEFAULT_TTL_SECONDS: i64 = 3_600;

/// The longest life of a token unless the deployment says otherwise.
pub const DEFAULT_MAX_TTL_SECONDS: u32 = 86_400;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Micros;
}

/// A credential in the hands of code of this process: no secret, nothing to steal from a log.
#[derive(Debug, Clone)]
pub struct Handle {
    id: CredentialId,
    authority: Arc<Authority>,
}

impl Handle {
    /// The public id.
    #[must_use]
    pub fn id(&self) -> &CredentialId {
        &self.id
    }

    /// What it gives.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What it gives, shared.
    #[must_use]
    pub fn shared_authority(&self) -> Arc<Authority> {
        self.authority.clone()
    }

    /// Whether it is live.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check<'state>(&self, state: &'state State, at: Micros) -> Result<&'state CredentialEntry, Why> {
        state.credentials.live(&self.id, at)
    }
}

/// Issues, shows, narrows and revokes credentials over a ledger.
pub struct Broker<'a> {
    ledger: &'a dyn Ledger,
    clock: &'a dyn Clock,
    random: &'a dyn Random,
    limits: BrokerLimits,
    by: Arc<str>,
    memory: &'a BrokerMemory,
    issuer: Option<&'a dyn IssuerKeys>,
}

impl<'a> Broker<'a> {
    /// A broker; `by` is who issues and revokes, as records name it.
    #[must_use]
    pub fn new(
        ledger: &'a dyn Ledger,
        clock: &'a dyn Clock,
        random: &'a dyn Random,
        memory: &'a BrokerMemory,
        limits: BrokerLimits,
        by: Arc<str>,
    ) -> Self {
        let limits = BrokerLimits {
            max_ttl_seconds: limits.max_ttl_seconds.min(MAX_LIFETIME_SECONDS),
            max_depth: limits.max_depth.min(HARD_MAX_DEPTH),
        };
        Self { ledger, clock, random, limits, by, memory, issuer: None }
    }

    /// With the keys of an issuer, so that it signs and verifies chains of tokens.
    #[must_use]
    pub fn with_issuer(self, issuer: &'a dyn IssuerKeys) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was issued.
    pub fn issue(&self, request: &IssueRequest) -> Result<SessionToken, BrokerError> {
        let scopes = narrow::checked(&request.session, &request.scopes, BrokerError::NoScopes)?;
        let (now, issued) = self.moment()?;
        let authority = Authority {
            tools: request.tools.clone(),
            budgets: request.budgets.clone(),
            ..Authority::of_scopes(
                scopes,
                self.limits.max_depth,
                now.plus_seconds(narrow::ttl(request.ttl_seconds, self.limits.max_ttl_seconds)?),
            )
        };
        let bearer = Bearer::generate(self.random)?;
        let entry = CredentialEntry {
            id: bearer.id(),
            parent: None,
            session: request.session.clone(),
            tenant: request.tenant.clone(),
            agent: request.agent.clone(),
            role: request.role.clone(),
            scopes: authority.scopes.iter().cloned().collect(),
            depth: 0,
            max_depth: authority.max_depth,
            issued_us: issued,
            not_before_us: None,
            expires_us: authority.expires,
            authority: authority.digest()?,
        };
        self.register(SessionToken { bearer, entry }, authority, &[])
    }

    /// The token, if it is live; `None` when it is unknown, expired or revoked.
    ///
    /// # Errors
    /// [`BrokerError::Ledger`] when nobody can know.
    pub fn validate(&self, token: &str) -> Result<Option<SessionToken>, BrokerError> {
        match self.look(token) {
            Ok(token) => Ok(Some(token)),
            Err(BrokerError::Invalid(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The scopes of a live token; none when it is not live.
    ///
    /// # Errors
    /// [`BrokerError::Ledger`] when nobody can know.
    pub fn get_scopes(&self, token: &str) -> Result<Vec<Arc<str>>, BrokerError> {
        Ok(self.validate(token)?.map(|token| token.entry.scopes).unwrap_or_default())
    }

    /// The token, if it is live.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] says why it is not.
    pub fn look(&self, token: &str) -> Result<SessionToken, BrokerError> {
        if token.is_empty() {
            return Err(Why::Missing.into());
        }
        let bearer = Bearer::parse(token).ok_or_else(|| Why::Unknown(bearer::public_id(token)))?;
        let id = self.held(bearer.id())?;
        Ok(SessionToken { bearer, entry: self.live_entry(&id)? })
    }

    /// The token, if it is live, was issued to this session and gives every scope that is claimed.
    ///
    /// # Errors
    /// [`BrokerError`] says why not.
    pub fn bind(
        &self,
        token: &str,
        session: &str,
        claimed: &[Arc<str>],
    ) -> Result<SessionToken, BrokerError> {
        let token = self.look(token)?;
        bound(&token.entry, session, claimed)?;
        Ok(token)
    }

    /// The token as code of this process may hold it.
    ///
    /// # Errors
    /// [`BrokerError`] when it is not live, or its limits were erased from the log.
    pub fn handle(&self, token: &str) -> Result<Handle, BrokerError> {
        let entry = self.look(token)?.entry;
        Ok(Handle { authority: self.authority(&entry)?, id: entry.id })
    }

    /// A credential with its ancestors, from the root, each with the budgets that it states: what a holder spends counts
    /// against all of them.
    ///
    /// # Errors
    /// [`BrokerError`] when the limits of one were erased from the log.
    pub fn lineage(&self, id: &CredentialId) -> Result<Vec<CredentialLimits>, BrokerError> {
        let mut entries = Vec::new();
        self.ledger.read(Freshness::Seen, &mut |state| {
            let line = state.credentials.lineage(id);
            entries = line.iter().filter_map(|id| state.credentials.entry(id)).cloned().collect();
        })?;
        let limits = |entry: &CredentialEntry| {
            Ok(CredentialLimits { id: entry.id.clone(), limits: self.authority(entry)?.limits() })
        };
        entries.iter().map(limits).collect()
    }

    /// Issues a narrower token to another session.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was issued. What exceeds the parent is named, with an example where there is one.
    pub fn delegate(&self, parent: &str, request: &DelegateRequest) -> Result<SessionToken, BrokerError> {
        let parent = self.look(parent).map_err(|error| match error {
            BrokerError::Invalid(why) => BrokerError::Parent { parent: bearer::public_id(parent), why },
            other => other,
        })?;
        let parent = parent.entry;
        let (now, issued) = self.moment()?;
        let above = self.authority(&parent)?;
        let authority = narrow::narrowed(&above, request, now, self.limits.max_ttl_seconds)?;
        let bearer = Bearer::generate(self.random)?;
        let entry = CredentialEntry {
            id: bearer.id(),
            parent: Some(parent.id.clone()),
            session: request.session.clone(),
            agent: request.agent.clone(),
            scopes: authority.scopes.iter().cloned().collect(),
            depth: parent.depth.saturating_add(1),
            max_depth: authority.max_depth,
            issued_us: issued,
            expires_us: authority.expires,
            authority: authority.digest()?,
            ..parent
        };
        let changes = diff(&above, &authority);
        self.register(SessionToken { bearer, entry }, authority, &changes)
    }

    /// Revokes a token with its descendants. Says whether it is known; repeating it changes nothing.
    ///
    /// # Errors
    /// [`BrokerError`]: it may not be revoked.
    pub fn revoke(&self, token: &str) -> Result<bool, BrokerError> {
        let (id, mut known) = match signed::is_chain(token) {
            false => (self.id_of(token), false),
            // A holder signs without telling anybody: what was not seen yet can be revoked, too. What a chain says is
            // believed when it verifies, so that nobody revokes what somebody forged a name of.
            true => match self.verified(signed::text_of(token)) {
                Ok(leaf) => (leaf.chain().last().cloned(), true),
                Err(BrokerError::Invalid(_)) => (None, false),
                Err(error) => return Err(error),
            },
        };
        let Some(id) = id else { return Ok(false) };
        self.ledger.read(Freshness::Now, &mut |state| known |= state.credentials.entry(&id).is_some())?;
        if known {
            self.revoke_all(RevocationTarget::Credential(id))?;
        }
        Ok(known)
    }

    /// Revokes every token that a session has now, with their descendants. Says how many of the session's own were
    /// live until then.
    ///
    /// # Errors
    /// [`BrokerError`]: they may not be revoked.
    pub fn revoke_session(&self, session: &str) -> Result<usize, BrokerError> {
        let target = RevocationTarget::Session(session.into());
        let (mut count, mut any) = (0, false);
        self.ledger.read(Freshness::Now, &mut |state| {
            let at = self.clock.now().max(state.credentials.last_change());
            let covered = state.credentials.covered(&target);
            any = !covered.is_empty();
            let own = |id: &&CredentialId| {
                state.credentials.live(id, at).is_ok_and(|entry| *entry.session == *session)
            };
            count = covered.iter().filter(own).count();
        })?;
        if any {
            self.revoke_all(target)?;
        }
        Ok(count)
    }

    /// Revokes by any property. It holds in this process when this returns, elsewhere within one second.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing may be assumed to be revoked.
    pub fn revoke_all(&self, target: RevocationTarget) -> Result<(), BrokerError> {
        let view = records::revocation_view(&target);
        let revocation = Revocation { target, by: self.by.clone() };
        let record = records::change(self.clock.now(), self.random, &self.by, LedgerOp::Revoke(revocation))?;
        self.commit(record, view)
    }

    fn live(&self, id: &CredentialId, fresh: Freshness) -> Result<Result<CredentialEntry, Why>, BrokerError> {
        let mut found = Err(Why::Unknown(id.clone()));
        self.ledger.read(fresh, &mut |state| {
            let at = self.clock.now().max(state.credentials.last_change());
            found = state.credentials.live(id, at).cloned();
        })?;
        Ok(found)
    }

    /// Now, and a moment after everything that the registry has seen, so that no earlier revocation covers it.
    fn moment(&self) -> Result<(Micros, Micros), BrokerError> {
        let now = self.clock.now();
        let mut issued = now;
        self.ledger.read(Freshness::Seen, &mut |state| {
            issued = now.max(Micros(state.credentials.last_change().0.saturating_add(1)));
        })?;
        Ok((now, issued))
    }

    /// The entry of a credential that is live; another process may have issued it a moment ago.
    fn live_entry(&self, id: &CredentialId) -> Result<CredentialEntry, BrokerError> {
        match self.live(id, Freshness::Seen)? {
            Err(Why::Unknown(_)) => Ok(self.live(id, Freshness::Now)??),
            other => Ok(other?),
        }
    }

    /// The whole authority of an entry: from its scopes alone, as this process remembers it, or as the log has it.
    ///
    /// # Errors
    /// [`BrokerError::UnknownAuthority`] when it was erased from the log.
    pub fn authority(&self, entry: &CredentialEntry) -> Result<Arc<Authority>, BrokerError> {
        let plain = Authority {
            not_before: entry.not_before_us,
            ..Authority::of_scopes(entry.scopes.iter().cloned(), entry.max_depth, entry.expires_us)
        };
        if plain.digest()? == entry.authority {
            return Ok(Arc::new(plain));
        }
        let known = self.memory.known(&entry.authority);
        if let Some(known) = known {
            return Ok(known);
        }
        // Issued by another process, or before this one began: it stands beside the record, whose digest it must have.
        let read = self.recorded(entry)?.ok_or_else(|| BrokerError::UnknownAuthority(entry.id.clone()))?;
        Ok(self.memory.remember(entry.authority, read, self.clock.now()))
    }

    /// The authority of an entry as it was recorded; `None` when it was erased, or is not that of the entry.
    fn recorded(&self, entry: &CredentialEntry) -> Result<Option<Authority>, BrokerError> {
        let issues = |op: &LedgerOp| matches!(op, LedgerOp::Issue(issued) if issued.id == entry.id);
        let view = self.ledger.find_view(&|record| record.ops.iter().any(issues))?;
        Ok(view.and_then(|view| records::authority(&view, entry)))
    }

    fn register(
        &self,
        token: SessionToken,
        authority: Authority,
        changes: &[super::authority::Line],
    ) -> Result<SessionToken, BrokerError> {
        self.enter(&token.entry, authority, changes)?;
        Ok(token)
    }

    fn enter(
        &self,
        entry: &CredentialEntry,
        authority: Authority,
        changes: &[super::authority::Line],
    ) -> Result<(), BrokerError> {
        let view = records::issue_view(entry, &authority, changes)?;
        let op = LedgerOp::Issue(entry.clone());
        let mut record = records::change(self.clock.now(), self.random, &self.by, op)?;
        record.tenant.clone_from(&entry.tenant);
        record.session = Some(entry.session.clone());
        record.agent.clone_from(&entry.agent);
        self.commit(record, view)?;
        if authority.tools != Tools::Any || !authority.budgets.is_empty() {
            self.memory.remember(entry.authority, authority, self.clock.now());
        }
        Ok(())
    }

    fn commit(&self, record: Record, view: records::View) -> Result<(), BrokerError> {
        let proposal = Proposal { record, view: Some(view.into()), personal: Vec::new(), fallback: None };
        match self.ledger.commit(proposal, Ack::Durable)?.refused {
            None => Ok(()),
            Some(refusal) => Err(BrokerError::Refused(refusal)),
        }
    }
}

/// A credential serves the session it was issued to, and the scopes it gives.
fn bound(entry: &CredentialEntry, session: &str, claimed: &[Arc<str>]) -> Result<(), BrokerError> {
    if *entry.session != *session {
        let (id, issued) = (entry.id.clone(), entry.session.clone());
        return Err(Why::OtherSession { id, issued, shown: session.into() }.into());
    }
    match narrow::extra(claimed.iter(), |scope| entry.scopes.contains(scope)) {
        extra if extra.is_empty() => Ok(()),
        extra => Err(BrokerError::Scopes(extra)),
    }
}
