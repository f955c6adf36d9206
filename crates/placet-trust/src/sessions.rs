//! What sessions did: the tools they were allowed to call, oldest first, the plan that binds them, and how often they
//! were decided on.
//!
//! A session is known by the root of its credential's lineage where it shows a credential, so that a session id of the
//! caller's choice gives no fresh history.
//!
//! What grows: one entry for each session, with the names of its latest [`HISTORY_LIMIT`] calls, 16 bytes a call;
//! equal names share their text.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::{Borrow, Cow};
use std::collections::VecDeque;
use std::sync::Arc;

use ahash::{HashMap, HashSet};
use placet_types::record::DecisionFact;
use placet_types::{CredentialId, Record};

/// How many allowed calls of a session are remembered, at least.
pub const HISTORY_LIMIT: usize = 1_024;

/// How many names lie in one shared slice.
const CHUNK: usize = 64;

/// Under which name a session's history and budgets are kept; the owner of its session budgets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub Arc<str>);

impl SessionKey {
    /// A session that shows a credential: the root of its lineage.
    #[must_use]
    pub fn lineage(root: &CredentialId) -> Self {
        Self(credential_owner(root))
    }

    /// A session that shows none: the id that it states, within its tenant.
    #[must_use]
    pub fn stated(tenant: Option<&str>, session: &str) -> Self {
        Self(owner(tenant, session))
    }
}

impl Borrow<str> for SessionKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The session of a record: of the lineage when there is one, else the stated one.
fn session_of<'r>(record: &'r Record, root: Option<&CredentialId>) -> Option<Cow<'r, str>> {
    match (root, &record.session) {
        (Some(root), _) => Some(credential_name(root).into()),
        (None, Some(session)) => Some(name_within(record.tenant.as_deref(), session)),
        (None, None) => None,
    }
}

/// The budget owner that stands for one credential.
pub(crate) fn credential_owner(id: &CredentialId) -> Arc<str> {
    credential_name(id).into()
}

fn credential_name(id: &CredentialId) -> String {
    ["credential:", &*escaped(&id.0)].concat()
}

/// The budget owner that stands for a name within a tenant: no two pairs give the same one.
pub(crate) fn owner(tenant: Option<&str>, name: &str) -> Arc<str> {
    name_within(tenant, name).into()
}

fn name_within<'n>(tenant: Option<&str>, name: &'n str) -> Cow<'n, str> {
    match tenant {
        Some(tenant) => [&*escaped(tenant), "/", &*escaped(name)].concat().into(),
        None => escaped(name),
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| matches!(byte, b'%' | b'/' | b':')) {
        true => text.replace('%', "%25").replace('/', "%2F").replace(':', "%3A").into(),
        false => text.into(),
    }
}

/// What policies may know of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// The tools that it was allowed to call, oldest first.
    pub tool_history: ToolHistory,
    /// How many events of it were decided, with whatever outcome.
    pub decisions: u64,
    /// The tools that its latest allowed plan names; `None` when no plan binds it.
    pub plan: Option<Arc<[Arc<str>]>>,
    /// Model tokens spent, and those that open calls may be spending.
    pub tokens_spent: u64,
    /// Calls made and open.
    pub api_calls: u64,
    /// Cost in millionths of the currency unit.
    pub cost_micros: u64,
    /// Computing in milliseconds.
    pub compute_millis: u64,
}

impl SessionFacts {
    /// The cost in cents, rounded up.
    #[must_use]
    pub fn cost_cents(&self) -> u64 {
        self.cost_micros.div_ceil(10_000)
    }

    /// Computing in seconds, rounded up.
    #[must_use]
    pub fn compute_seconds(&self) -> u64 {
        self.compute_millis.div_ceil(1_000)
    }
}

/// The latest tools that a session was allowed to call: a shared snapshot, whose clone is one count.
#[derive(Debug, Clone, Default)]
pub struct ToolHistory(Option<Arc<Calls>>);

/// Calls in slices. A copy is made only where one is added while somebody still holds a snapshot; slices stay shared.
#[derive(Debug, Clone, Default)]
struct Calls {
    /// Full slices, oldest first.
    full: VecDeque<Arc<[Arc<str>]>>,
    /// The latest, fewer than a full slice.
    latest: Vec<Arc<str>>,
}

impl ToolHistory {
    /// The names, oldest first: all when there are few, else at least the latest [`HISTORY_LIMIT`].
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().flat_map(|calls| calls.iter())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |calls| calls.len())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, name: Arc<str>) {
        Arc::make_mut(self.0.get_or_insert_default()).push(name);
    }
}

impl Calls {
    fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.full.iter().flat_map(|slice| slice.iter()).chain(&self.latest)
    }

    fn len(&self) -> usize {
        self.full.len().saturating_mul(CHUNK).saturating_add(self.latest.len())
    }

    fn push(&mut self, name: Arc<str>) {
        self.latest.push(name);
        if self.latest.len() < CHUNK {
            return;
        }
        self.full.push_back(std::mem::take(&mut self.latest).into());
        if self.full.len() > HISTORY_LIMIT / CHUNK {
            self.full.pop_front();
        }
    }
}

impl PartialEq for ToolHistory {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ToolHistory {}

/// Sessions of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    sessions: HashMap<SessionKey, Session>,
    /// Every tool's name once, so that histories share it.
    names: HashSet<Arc<str>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Session {
    history: ToolHistory,
    decisions: u64,
    plan: Option<Arc<[Arc<str>]>>,
}

impl Sessions {
    /// Takes note of a decision; `root` is the root of the lineage of its credential.
    pub(crate) fn saw(&mut self, record: &Record, decision: &DecisionFact, root: Option<&CredentialId>) {
        let Some(key) = session_of(record, root) else { return };
        let called = decision
            .tool
            .as_ref()
            .filter(|_| &*decision.verdict == "allow" && &*decision.event_type == "tool_call");
        let name = called.map(|tool| self.shared(tool));
        let plan: Vec<Arc<str>> = decision.plan.iter().map(|tool| self.shared(tool)).collect();
        if !self.sessions.contains_key(&*key) {
            self.sessions.insert(SessionKey((&*key).into()), Session::default());
        }
        let Some(session) = self.sessions.get_mut(&*key) else { return };
        session.decisions = session.decisions.saturating_add(1);
        if let Some(name) = name {
            session.history.push(name);
        }
        // A plan that names no tools says nothing of them: the one before it still binds.
        if &*decision.verdict == "allow" && !plan.is_empty() {
            session.plan = Some(plan.into());
        }
    }

    /// The facts of a session that stand here; budgets have the rest.
    pub(crate) fn facts(&self, key: &SessionKey) -> SessionFacts {
        self.sessions.get(key).map_or_else(SessionFacts::default, |session| SessionFacts {
            tool_history: session.history.clone(),
            decisions: session.decisions,
            plan: session.plan.clone(),
            ..SessionFacts::default()
        })
    }

    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }
}
