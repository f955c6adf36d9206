//! The registry: what the log says about credentials.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use placet_types::ledger::{CredentialEntry, Revocation, RevocationTarget};
use placet_types::{CredentialId, LedgerOp, Micros};
use serde::Serialize;

use super::canonical;
use super::why::Why;
use crate::state::{Refusal, StateKey, StateRow};

/// No credential lies deeper than this, whatever its issuer says.
pub const HARD_MAX_DEPTH: u32 = 8;

/// The longest life of a credential.
pub const MAX_LIFETIME_SECONDS: u32 = 90 * 86_400;

/// Most scopes of one credential.
pub const MAX_SCOPES: usize = 256;

/// How long an expired credential is remembered, so that it is called expired and not unknown.
const REMEMBER_SECONDS: u32 = 86_400;

/// How many expired credentials one issue forgets at most; two, so that the registry shrinks as it is used.
const FORGET_AT_ONCE: usize = 2;

/// Credentials of a log.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    held: HashMap<CredentialId, Held>,
    sessions: HashMap<Arc<str>, Vec<CredentialId>>,
    /// Everything held, in the order in which it may be forgotten: the oldest first, children before parents.
    ageing: BTreeSet<(Micros, Reverse<u32>, CredentialId)>,
    /// Revocations that also end credentials which are shown here for the first time later.
    revocations: HashMap<RevocationTarget, Revoked>,
    /// Those revocations, in the order in which they may be forgotten.
    revocation_ageing: BTreeSet<(Micros, RevocationTarget)>,
    generation: u64,
    now: Micros,
}

#[derive(Debug, Clone)]
struct Held {
    entry: CredentialEntry,
    children: Vec<CredentialId>,
    ended: Option<Revoked>,
}

/// A revocation as a row keeps it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Revoked {
    at_us: Micros,
    by: Arc<str>,
    generation: u64,
    target: RevocationTarget,
    /// The end of the last credential that could hang from one of that time.
    until_us: Micros,
}

#[derive(Serialize)]
struct CredentialRow<'a> {
    #[serde(flatten)]
    entry: &'a CredentialEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<&'a Revoked>,
}

impl Credentials {
    /// The credential, if it is live at this moment: registered, in its time, and neither it nor an ancestor revoked.
    ///
    /// # Errors
    /// Why it is not live.
    pub fn live(&self, id: &CredentialId, at: Micros) -> Result<&CredentialEntry, Why> {
        let held = self.held.get(id).ok_or_else(|| Why::Unknown(id.clone()))?;
        let entry = &held.entry;
        // INVARIANT: a revocation marks the whole subtree, so no ancestor needs to be looked at here.
        if let Some(ended) = &held.ended {
            return Err(Why::Revoked { id: id.clone(), target: ended.target.clone() });
        }
        if at >= entry.expires_us {
            return Err(Why::Expired { id: id.clone(), expires: entry.expires_us, at });
        }
        match entry.not_before_us {
            Some(not_before) if at < not_before => Err(Why::NotYetValid { id: id.clone(), not_before, at }),
            _ => Ok(entry),
        }
    }

    /// The credential as it was registered, live or not; `None` when it is unknown or long expired.
    #[must_use]
    pub fn entry(&self, id: &CredentialId) -> Option<&CredentialEntry> {
        self.held.get(id).map(|held| &held.entry)
    }

    /// The credential with its ancestors, from the root; empty when it is unknown.
    #[must_use]
    pub fn lineage(&self, id: &CredentialId) -> Vec<CredentialId> {
        let mut line = Vec::new();
        let mut next = self.held.get(id);
        while let Some(held) = next {
            line.push(held.entry.id.clone());
            next = held.entry.parent.as_ref().and_then(|parent| self.held.get(parent));
        }
        line.reverse();
        line
    }

    /// Everything registered and not forgotten, in no order.
    pub fn all(&self) -> impl Iterator<Item = &CredentialEntry> {
        self.held.values().map(|held| &held.entry)
    }

    /// How many revocations there were: whoever keeps a verdict about credentials keeps this with it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the registry last changed. Whoever looks at it with a clock that runs behind takes this as the time.
    #[must_use]
    pub fn last_change(&self) -> Micros {
        self.now
    }

    /// The credentials that a revocation would end now, with their descendants.
    #[must_use]
    pub fn covered(&self, target: &RevocationTarget) -> Vec<CredentialId> {
        let matching = |test: &dyn Fn(&CredentialEntry) -> bool| -> Vec<CredentialId> {
            self.held.values().filter(|held| test(&held.entry)).map(|held| held.entry.id.clone()).collect()
        };
        let mut open = match target {
            RevocationTarget::Credential(id) => vec![id.clone()],
            RevocationTarget::Session(session) => self.sessions.get(session).cloned().unwrap_or_default(),
            RevocationTarget::Agent(agent) => matching(&|entry| entry.agent.as_ref() == Some(agent)),
            RevocationTarget::Tenant(tenant) => matching(&|entry| entry.tenant.as_ref() == Some(tenant)),
            RevocationTarget::All => matching(&|_| true),
        };
        let mut covered = BTreeSet::new();
        while let Some(id) = open.pop() {
            // A credential that is revoked already has a revoked subtree.
            let held = self.held.get(&id).filter(|held| held.ended.is_none());
            if let Some(held) = held.filter(|_| covered.insert(id)) {
                open.extend(held.children.iter().cloned());
            }
        }
        covered.into_iter().collect()
    }

    /// Checks the precondition of an operation.
    ///
    /// # Errors
    /// The precondition that does not hold.
    pub(crate) fn check(&self, op: &LedgerOp, at: Micros) -> Result<(), Refusal> {
        match op {
            LedgerOp::Issue(entry) => self.check_issue(entry, at)?,
            LedgerOp::Present(chain) => self.check_chain(chain, at)?,
            _ => {}
        }
        Ok(())
    }

    fn check_issue(&self, entry: &CredentialEntry, at: Micros) -> Result<(), Why> {
        check_shape(entry, at)?;
        if self.held.contains_key(&entry.id) {
            return Err(Why::Taken(entry.id.clone()));
        }
        if let Some(revoked) = self.revoked_unseen(entry) {
            return Err(Why::Revoked { id: entry.id.clone(), target: revoked.target.clone() });
        }
        match &entry.parent {
            Some(parent) => narrower(entry, self.live(parent, at)?),
            None if entry.depth == 0 => Ok(()),
            None => Err(malformed(entry, "has no parent but a depth; a root's depth is 0")),
        }
    }

    /// Whether a credential is live, or would be if it were shown here for the first time now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn holds(&self, entry: &CredentialEntry, at: Micros) -> Result<(), Why> {
        if self.held.contains_key(&entry.id) {
            return self.live(&entry.id, at).map(|_| ());
        }
        match self.revoked_unseen(entry) {
            Some(revoked) => Err(Why::Revoked { id: entry.id.clone(), target: revoked.target.clone() }),
            None => Ok(()),
        }
    }

    /// When a credential was revoked, by whom, and with what; `None` when it was not.
    #[must_use]
    pub fn revoked(&self, id: &CredentialId) -> Option<(Micros, &Arc<str>, &RevocationTarget)> {
        let ended = self.held.get(id)?.ended.as_ref()?;
        Some((ended.at_us, &ended.by, &ended.target))
    }

    /// The revocation that ended a credential before it was first shown here. A holder signs tokens without telling
    /// anybody, so one that was signed before a revocation must not come to life after it.
    fn revoked_unseen(&self, entry: &CredentialEntry) -> Option<&Revoked> {
        let known = targets(entry).filter_map(|target| self.revocations.get(&target));
        let ends = |revoked: &&Revoked| match revoked.target {
            RevocationTarget::Credential(_) => true,
            _ => entry.issued_us <= revoked.at_us,
        };
        known.into_iter().find(ends)
    }

    /// Whether every credential of a chain is live, and each was delegated from the one before it.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check_chain(&self, chain: &[CredentialId], at: Micros) -> Result<(), Why> {
        let mut before: Option<&CredentialId> = None;
        for id in chain {
            let entry = self.live(id, at)?;
            if let Some(before) = before.filter(|before| entry.parent.as_ref() != Some(*before)) {
                return Err(Why::Unlinked { id: id.clone(), before: before.clone() });
            }
            before = Some(id);
        }
        before.map(|_| ()).ok_or(Why::Missing)
    }

    pub(crate) fn apply(&mut self, op: &LedgerOp, at: Micros) {
        match op {
            LedgerOp::Issue(entry) => self.issue(entry),
            LedgerOp::Revoke(revocation) => self.revoke(revocation, at),
            _ => {}
        }
        self.now = self.now.max(at);
    }

    fn issue(&mut self, entry: &CredentialEntry) {
        for id in self.forgettable() {
            self.forget(&id);
        }
        for target in self.forgettable_revocations() {
            if let Some(revoked) = self.revocations.remove(&target) {
                self.revocation_ageing.remove(&(revoked.until_us, target));
            }
        }
        if let Some(parent) = entry.parent.as_ref().and_then(|parent| self.held.get_mut(parent)) {
            parent.children.push(entry.id.clone());
        }
        self.sessions.entry(entry.session.clone()).or_default().push(entry.id.clone());
        self.ageing.insert((entry.expires_us, Reverse(entry.depth), entry.id.clone()));
        let held = Held { entry: entry.clone(), children: Vec::new(), ended: None };
        self.held.insert(entry.id.clone(), held);
    }

    /// What the next issue forgets. It follows from the log alone, so that every process forgets the same.
    fn forgettable(&self) -> Vec<CredentialId> {
        let old = |expires: Micros| expires.plus_seconds(REMEMBER_SECONDS) < self.now;
        let oldest = self.ageing.iter().take(FORGET_AT_ONCE);
        oldest.filter(|(expires, ..)| old(*expires)).map(|(.., id)| id.clone()).collect()
    }

    fn forgettable_revocations(&self) -> Vec<RevocationTarget> {
        let oldest = self.revocation_ageing.iter().take(FORGET_AT_ONCE);
        oldest.filter(|(until, _)| *until < self.now).map(|(_, target)| target.clone()).collect()
    }

    fn forget(&mut self, id: &CredentialId) {
        let Some(Held { entry, .. }) = self.held.remove(id) else { return };
        self.ageing.remove(&(entry.expires_us, Reverse(entry.depth), entry.id.clone()));
        if let Some(parent) = entry.parent.as_ref().and_then(|parent| self.held.get_mut(parent)) {
            parent.children.retain(|child| child != id);
        }
        if let Some(members) = self.sessions.get_mut(&entry.session) {
            members.retain(|member| member != id);
            if members.is_empty() {
                self.sessions.remove(&entry.session);
            }
        }
    }

    fn revoke(&mut self, revocation: &Revocation, at: Micros) {
        let covered = self.covered(&revocation.target);
        let held = self.is_held(&revocation.target);
        if covered.is_empty() && held {
            return;
        }
        self.generation = self.generation.saturating_add(1);
        let latest = match revocation.target {
            // Also of credentials that nothing in the log is known to hang from.
            RevocationTarget::All => at.plus_seconds(MAX_LIFETIME_SECONDS),
            _ => self.ageing.last().map_or(at, |(expires, ..)| *expires),
        };
        let revoked = Revoked {
            at_us: at,
            by: revocation.by.clone(),
            generation: self.generation,
            target: revocation.target.clone(),
            until_us: latest.max(at),
        };
        for id in covered {
            if let Some(held) = self.held.get_mut(&id) {
                held.ended = Some(revoked.clone());
            }
        }
        if !held {
            if let Some(old) = self.revocations.get(&revoked.target) {
                self.revocation_ageing.remove(&(old.until_us, old.target.clone()));
            }
            self.revocation_ageing.insert((revoked.until_us, revoked.target.clone()));
            self.revocations.insert(revoked.target.clone(), revoked);
        }
    }

    /// Whether a revocation is of one credential that is registered, so that its row is enough.
    fn is_held(&self, target: &RevocationTarget) -> bool {
        matches!(target, RevocationTarget::Credential(id) if self.held.contains_key(id))
    }

    pub(crate) fn keys(&self, op: &LedgerOp, keys: &mut Vec<StateKey>) {
        match op {
            LedgerOp::Issue(entry) => {
                self.keys_of(entry, keys);
                keys.extend(self.forgettable().into_iter().map(StateKey::Credential));
                keys.extend(self.forgettable_revocations().into_iter().map(StateKey::Revocation));
                let parent = entry.parent.as_ref().and_then(|parent| self.entry(parent));
                parent.into_iter().for_each(|parent| self.keys_of(parent, keys));
            }
            LedgerOp::Present(chain) => chain.iter().for_each(|id| match self.entry(id) {
                Some(entry) => self.keys_of(entry, keys),
                None => keys.push(StateKey::Credential(id.clone())),
            }),
            LedgerOp::Revoke(revocation) => {
                if !self.is_held(&revocation.target) {
                    keys.push(StateKey::Revocation(revocation.target.clone()));
                }
                keys.extend(self.covered(&revocation.target).into_iter().map(StateKey::Credential));
            }
            _ => {}
        }
    }

    /// The cached rows that say whether a credential is live: its own, its ancestors', and wider revocations.
    #[must_use]
    pub fn rows_of(&self, id: &CredentialId) -> Vec<StateKey> {
        let mut keys = vec![StateKey::Credential(id.clone())];
        let line = self.lineage(id);
        line.iter().filter_map(|id| self.entry(id)).for_each(|entry| self.keys_of(entry, &mut keys));
        keys
    }

    /// The row of a credential, and those of the wider revocations that may have ended it.
    fn keys_of(&self, entry: &CredentialEntry, keys: &mut Vec<StateKey>) {
        keys.push(StateKey::Credential(entry.id.clone()));
        if !self.revocations.is_empty() {
            let known = targets(entry).filter(|target| self.revocations.contains_key(target));
            keys.extend(known.map(StateKey::Revocation));
        }
    }

    pub(crate) fn row(&self, key: &StateKey) -> StateRow {
        match key {
            StateKey::Credential(id) => {
                let held = self.held.get(id);
                let row = held.map(|held| CredentialRow { entry: &held.entry, revoked: held.ended.as_ref() });
                StateRow { kind: "credential", id: id.to_string(), body: canonical::row(row) }
            }
            StateKey::Revocation(target) => {
                let id = row_id(target);
                StateRow { kind: "revocation", id, body: canonical::row(self.revocations.get(target)) }
            }
            // Another component's key has no row here.
            _ => StateRow { kind: "credential", id: String::new(), body: None },
        }
    }
}

/// Everything by which a credential may be revoked.
fn targets(entry: &CredentialEntry) -> impl Iterator<Item = RevocationTarget> {
    [
        Some(RevocationTarget::Credential(entry.id.clone())),
        Some(RevocationTarget::Session(entry.session.clone())),
        entry.agent.clone().map(RevocationTarget::Agent),
        entry.tenant.clone().map(RevocationTarget::Tenant),
        Some(RevocationTarget::All),
    ]
    .into_iter()
    .flatten()
}

fn row_id(target: &RevocationTarget) -> String {
    match target {
        RevocationTarget::Credential(id) => format!("credential:{id}"),
        RevocationTarget::Session(name) => format!("session:{name}"),
        RevocationTarget::Agent(name) => format!("agent:{name}"),
        RevocationTarget::Tenant(name) => format!("tenant:{name}"),
        RevocationTarget::All => "all".to_owned(),
    }
}

fn malformed(entry: &CredentialEntry, problem: &'static str) -> Why {
    Why::Malformed { id: entry.id.clone(), problem }
}

fn check_shape(entry: &CredentialEntry, at: Micros) -> Result<(), Why> {
    let sorted = entry.scopes.windows(2).all(|pair| matches!(pair, [left, right] if left < right));
    let problem = if entry.id.0.is_empty() {
        "has an empty id; give it one"
    } else if entry.session.trim().is_empty() {
        "has an empty session; name the session it is for"
    } else if entry.scopes.is_empty() {
        "has no scopes; name at least one"
    } else if entry.scopes.iter().any(|scope| scope.trim().is_empty()) {
        "has an empty scope; remove it"
    } else if !sorted {
        "has scopes that are not sorted, or one of them twice"
    } else if entry.expires_us > at.plus_seconds(MAX_LIFETIME_SECONDS) {
        "lives longer than 90 days; give it a shorter life"
    } else if entry.not_before_us.is_some_and(|not_before| not_before >= entry.expires_us) {
        "expires before it becomes valid"
    } else {
        ""
    };
    if !problem.is_empty() {
        return Err(malformed(entry, problem));
    }
    if entry.scopes.len() > MAX_SCOPES {
        return Err(Why::TooManyScopes { id: entry.id.clone(), actual: entry.scopes.len() });
    }
    if at >= entry.expires_us {
        return Err(Why::Expired { id: entry.id.clone(), expires: entry.expires_us, at });
    }
    let limit = entry.max_depth.min(HARD_MAX_DEPTH);
    if entry.depth > limit || entry.max_depth > HARD_MAX_DEPTH {
        return Err(Why::TooDeep { id: entry.id.clone(), depth: entry.depth.max(entry.max_depth), limit });
    }
    Ok(())
}

/// Whether a child stays within its parent, as far as the registry knows both.
fn narrower(child: &CredentialEntry, parent: &CredentialEntry) -> Result<(), Why> {
    let exceeds = |what: String| {
        Err(Why::Exceeds { id: child.id.clone(), parent: parent.id.clone(), what: what.into() })
    };
    if child.depth != parent.depth.saturating_add(1) {
        return exceeds(format!("its depth is {} and the parent's {}", child.depth, parent.depth));
    }
    if child.depth > parent.max_depth {
        return Err(Why::TooDeep { id: child.id.clone(), depth: child.depth, limit: parent.max_depth });
    }
    if child.max_depth > parent.max_depth {
        return exceeds(format!(
            "its depth limit is {} and the parent's {}",
            child.max_depth, parent.max_depth
        ));
    }
    if child.expires_us > parent.expires_us {
        let seconds = child.expires_us.0.saturating_sub(parent.expires_us.0) / 1_000_000;
        return exceeds(format!("it would outlive it by {seconds} s"));
    }
    if child.not_before_us.unwrap_or(child.issued_us) < parent.not_before_us.unwrap_or(Micros(i64::MIN)) {
        return exceeds("it would be valid earlier".to_owned());
    }
    if child.tenant != parent.tenant {
        return exceeds("it is of another tenant".to_owned());
    }
    if child.role.is_some() && child.role != parent.role {
        return exceeds("it has another role".to_owned());
    }
    let extra: Vec<_> = child.scopes.iter().filter(|scope| !parent.scopes.contains(scope)).collect();
    if extra.is_empty() { Ok(()) } else { exceeds(format!("it adds the scopes {extra:?}")) }
}
