//! The broker: issues, shows, narrows and revokes the credentials of sessions.
//!
//! It keeps no tokens: the log does. Clock and random bytes come from outside.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod bearer;
mod error;
mod records;
mod request;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use placet_types::ledger::{CredentialEntry, Revocation, RevocationTarget};
use placet_types::{Ack, CredentialId, Digest, LedgerOp, Micros, Record};

pub use bearer::{Bearer, SessionToken, public_id};
pub use error::BrokerError;
pub use request::{BrokerLimits, DelegateRequest, IssueRequest};

use super::authority::{Authority, Tools, diff, excess, witness};
use super::keys::Random;
use super::{HARD_MAX_DEPTH, MAX_LIFETIME_SECONDS, Why};
use crate::budgets::CredentialLimits;
use crate::ledger::{Freshness, Ledger, Proposal};
use crate::state::State;

/// The life of a token unless its issuer says otherwise.
pub const DEFAULT_TTL_SECONDS: i64 = 3_600;

/// The longest life of a token unless the deployment says otherwise.
pub const DEFAULT_MAX_TTL_SECONDS: u32 = 86_400;

/// Authorities with limits that are remembered before ended ones are looked for.
const REMEMBERED: usize = 1_024;

/// Longest scope, in bytes.
const MAX_SCOPE_BYTES: usize = 256;

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
}

/// What one process remembers for its brokers: authorities with limits, which records hold only as digests.
#[derive(Debug, Default)]
pub struct BrokerMemory(Mutex<HashMap<Digest, Arc<Authority>>>);

impl BrokerMemory {
    fn known(&self, digest: &Digest) -> Option<Arc<Authority>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn remember(&self, digest: Digest, authority: Authority, now: Micros) -> Arc<Authority> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= REMEMBERED {
            memory.retain(|_, held| held.expires > now);
        }
        let authority = Arc::new(authority);
        memory.insert(digest, authority.clone());
        authority
    }
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
        Self { ledger, clock, random, limits, by, memory }
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`BrokerError`]: nothing was issued.
    pub fn issue(&self, request: &IssueRequest) -> Result<SessionToken, BrokerError> {
        let scopes = self.checked(&request.session, &request.scopes, BrokerError::NoScopes)?;
        let (now, issued) = self.moment()?;
        let authority = Authority {
            tools: request.tools.clone(),
            budgets: request.budgets.clone(),
            ..Authority::of_scopes(
                scopes,
                self.limits.max_depth,
                now.plus_seconds(self.ttl(request.ttl_seconds)?),
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
        let id = bearer.id();
        let entry = match self.live(&id, Freshness::Seen)? {
            // Another process may have issued it a moment ago.
            Err(Why::Unknown(_)) => self.live(&id, Freshness::Now)??,
            other => other?,
        };
        Ok(SessionToken { bearer, entry })
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
        if *token.entry.session != *session {
            let id = token.entry.id.clone();
            return Err(Why::OtherSession { id, issued: token.entry.session, shown: session.into() }.into());
        }
        match extra(claimed.iter(), &token.entry.scopes) {
            extra if extra.is_empty() => Ok(token),
            extra => Err(BrokerError::Scopes(extra)),
        }
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
        let scopes = self.checked(&request.session, &request.scopes, BrokerError::NothingDelegated)?;
        let forbidden = extra(scopes.iter(), &parent.scopes);
        if !forbidden.is_empty() {
            return Err(BrokerError::Scopes(forbidden));
        }
        let (now, issued) = self.moment()?;
        let above = self.authority(&parent)?;
        let mut authority = Authority { scopes, ..(*above).clone() };
        if let Some(ttl) = request.ttl_seconds {
            authority.expires = authority.expires.min(now.plus_seconds(self.ttl(ttl)?));
        }
        authority.max_depth = request.max_depth.unwrap_or(above.max_depth);
        authority.budgets.extend(request.budgets.iter().map(|(name, limit)| (name.clone(), *limit)));
        if let Some(tools) = &request.tools {
            authority.tools = tools.clone();
        }
        let lines = excess(&above, &authority);
        if !lines.is_empty() {
            return Err(BrokerError::Exceeds { lines, found: witness(&above, &authority) });
        }
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
        let Some(id) = Bearer::parse(token).map(|bearer| bearer.id()) else { return Ok(false) };
        let mut known = false;
        self.ledger.read(Freshness::Now, &mut |state| known = state.credentials.entry(&id).is_some())?;
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

    fn checked(
        &self,
        session: &str,
        scopes: &[Arc<str>],
        none: BrokerError,
    ) -> Result<BTreeSet<Arc<str>>, BrokerError> {
        if session.trim().is_empty() {
            return Err(BrokerError::NoSession);
        }
        let wrong = |scope: &&Arc<str>| scope.trim().is_empty() || scope.len() > MAX_SCOPE_BYTES;
        match scopes.iter().find(wrong) {
            Some(scope) => Err(BrokerError::Scope(scope.clone())),
            None if scopes.is_empty() => Err(none),
            None => Ok(scopes.iter().cloned().collect()),
        }
    }

    fn ttl(&self, asked: i64) -> Result<u32, BrokerError> {
        let limit = self.limits.max_ttl_seconds;
        let seconds = u32::try_from(asked).ok().filter(|seconds| (1..=limit).contains(seconds));
        seconds.ok_or(BrokerError::Ttl { asked, limit })
    }

    /// The whole authority of an entry: from its scopes alone, as this process remembers it, or as the log has it.
    fn authority(&self, entry: &CredentialEntry) -> Result<Arc<Authority>, BrokerError> {
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
        let entry = &token.entry;
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
        Ok(token)
    }

    fn commit(&self, record: Record, view: records::View) -> Result<(), BrokerError> {
        let proposal = Proposal { record, view: Some(view.into()), personal: Vec::new(), fallback: None };
        match self.ledger.commit(proposal, Ack::Durable)?.refused {
            None => Ok(()),
            Some(refusal) => Err(BrokerError::Refused(refusal)),
        }
    }
}

fn extra<'s>(asked: impl Iterator<Item = &'s Arc<str>>, given: &[Arc<str>]) -> Vec<Arc<str>> {
    let extra: BTreeSet<_> = asked.filter(|scope| !given.contains(scope)).cloned().collect();
    extra.into_iter().collect()
}
