//! The state that a log stands for.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod ids;
mod things;

use std::sync::Arc;

use placet_types::ledger::{BudgetKey, BudgetScope, BudgetUnit, Revocation, RevocationTarget};
use placet_types::record::{DecisionFact, RecoveryFact};
use placet_types::{ApprovalId, CredentialId, DenyCause, Fact, LedgerOp, Micros, Record, ReservationId};

use crate::approvals::Approvals;
use crate::budgets::Budgets;
use crate::credentials::Credentials;
use crate::memory::Memories;
use crate::sessions::{SessionFacts, SessionKey, Sessions};

use ids::RecordIds;

/// A precondition that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The cause of the deny that follows.
    pub cause: DenyCause,
    /// What failed, on which thing, against which limit, and what to do next.
    pub reason: Arc<str>,
}

impl Refusal {
    /// A refusal with its reason.
    #[must_use]
    pub fn new(cause: DenyCause, reason: impl Into<Arc<str>>) -> Self {
        Self { cause, reason: reason.into() }
    }
}

/// One thing in the state that a database caches as a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateKey {
    /// A credential.
    Credential(CredentialId),
    /// A revocation by session, agent or tenant.
    Revocation(RevocationTarget),
    /// A budget.
    Budget(BudgetKey),
    /// An open reservation.
    Reservation(ReservationId),
    /// An approval request with its votes.
    Approval(ApprovalId),
}

/// How a key looks as a row: a kind, an id, and a body in JSON, both always written the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    /// `credential`, `revocation`, `budget`, `reservation` or `approval`.
    pub kind: &'static str,
    /// The id within its kind.
    pub id: String,
    /// The body; `None` when there is no such thing (any more).
    pub body: Option<String>,
}

/// Everything that the operations of a log add up to.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Credentials and revocations.
    pub credentials: Credentials,
    /// Budgets and reservations.
    pub budgets: Budgets,
    /// Approval requests and votes.
    pub approvals: Approvals,
    /// What sessions did.
    pub sessions: Sessions,
    /// What is remembered.
    pub memory: Memories,
    /// The records that there are.
    ids: RecordIds,
}

impl State {
    /// Checks every operation of a record and applies them: all or none. The record's time is the time.
    ///
    /// Operations are checked against the state before the record, so a record with two operations that change the
    /// same thing is refused.
    ///
    /// # Errors
    /// The first precondition that does not hold; the state is unchanged.
    pub fn admit(&mut self, record: &Record) -> Result<(), Refusal> {
        let id = self.ids.hash(&record.id);
        if self.ids.has(id) {
            let reason = format!(
                "a record `{}` stands in the log already; give each record an id of its own",
                record.id
            );
            return Err(Refusal::new(DenyCause::InvalidRequest, reason));
        }
        things::check_distinct(&record.ops)?;
        for op in &record.ops {
            self.check(op, record)?;
        }
        self.ids.add(id);
        self.repeat(record);
        Ok(())
    }

    /// Applies a record of the log, whose preconditions held when it was committed.
    pub fn replay(&mut self, record: &Record) {
        self.ids.add(self.ids.hash(&record.id));
        self.repeat(record);
    }

    /// Applies a record whose id this state has: to the older state of an [`Self::exchange`].
    pub fn repeat(&mut self, record: &Record) {
        for op in &record.ops {
            self.apply(op, record);
        }
        if let Fact::Decision(decision) = &record.fact {
            let root = self.root(record, decision);
            self.sessions.saw(record, decision, root.as_ref());
        }
        self.memory.saw(record);
    }

    /// A copy for those who only read: without the ids of records, which only [`Self::admit`] asks for and which are
    /// many. Those that are added to this state from now on are taken back by [`Self::go_back`].
    pub fn share(&mut self) -> Self {
        self.ids.settle();
        let Self { credentials, budgets, approvals, sessions, memory, ids: _ } = &*self;
        Self {
            credentials: credentials.clone(),
            budgets: budgets.clone(),
            approvals: approvals.clone(),
            sessions: sessions.clone(),
            memory: memory.clone(),
            ids: RecordIds::default(),
        }
    }

    /// Gives this state to those who only read, and takes the older one that they had. The ids of records stay here:
    /// what is newer is applied by [`Self::repeat`].
    pub fn exchange(&mut self, shown: &mut Self) {
        std::mem::swap(self, shown);
        std::mem::swap(&mut self.ids, &mut shown.ids);
        self.ids.settle();
    }

    /// Becomes the state that readers have: nothing since the last [`Self::share`] or [`Self::exchange`] was committed.
    pub fn go_back(&mut self, shown: Self) {
        let mut ids = std::mem::take(&mut self.ids);
        ids.undo();
        *self = Self { ids, ..shown };
    }

    /// The root of the lineage of the credential that a record presents, or that its decision names. The registry
    /// says which; a chain in a record may begin further down.
    fn root(&self, record: &Record, decision: &DecisionFact) -> Option<CredentialId> {
        let presented = record.ops.iter().find_map(|op| match op {
            LedgerOp::Present(chain) => chain.last(),
            _ => None,
        });
        let holder = presented.or(decision.credential.as_ref())?;
        self.credentials.lineage(holder).into_iter().next().or_else(|| Some(holder.clone()))
    }

    /// What policies may know of a session. Cheap: its history is shared, not copied.
    #[must_use]
    pub fn facts(&self, session: &SessionKey) -> SessionFacts {
        let mut facts = self.sessions.facts(session);
        let owner = session.0.clone();
        let mut key =
            BudgetKey { scope: BudgetScope::Session, owner, unit: BudgetUnit::Tokens, window: None };
        let mut used = |unit| {
            key.unit = unit;
            // A budget without a window stands the same at every moment; holds are not yet spent.
            self.budgets
                .standing(&key, Micros::default())
                .map_or(0, |standing| standing.spent.saturating_add(standing.in_flight))
        };
        facts.tokens_spent = used(BudgetUnit::Tokens);
        facts.api_calls = used(BudgetUnit::ApiCalls);
        facts.cost_micros = used(BudgetUnit::CostMicros);
        facts.compute_millis = used(BudgetUnit::ComputeMillis);
        facts
    }

    fn check(&self, op: &LedgerOp, record: &Record) -> Result<(), Refusal> {
        let at = record.time_us;
        match op {
            LedgerOp::Issue(_) | LedgerOp::Present(_) | LedgerOp::Revoke(_) => self.credentials.check(op, at),
            LedgerOp::SetBudget(_) | LedgerOp::Reserve(_) | LedgerOp::Settle(_) | LedgerOp::Release(_) => {
                self.budgets.check(op, at, &record.fact)
            }
            LedgerOp::Ask(_)
            | LedgerOp::Vote(_)
            | LedgerOp::Close(_)
            | LedgerOp::Consume(_)
            | LedgerOp::Claim(_)
            | LedgerOp::Mark(_)
            | LedgerOp::Told(_) => self.approvals.check(op, at),
            LedgerOp::Remember(write) => self.memory.check(write, record),
            LedgerOp::AcceptRollback(_) => check_rollback(record),
        }
    }

    fn apply(&mut self, op: &LedgerOp, record: &Record) {
        let at = record.time_us;
        match op {
            LedgerOp::Issue(_) | LedgerOp::Present(_) | LedgerOp::Revoke(_) => self.credentials.apply(op, at),
            LedgerOp::SetBudget(_) | LedgerOp::Reserve(_) | LedgerOp::Settle(_) | LedgerOp::Release(_) => {
                self.budgets.apply(op, at, &record.fact);
            }
            LedgerOp::Ask(_)
            | LedgerOp::Vote(_)
            | LedgerOp::Close(_)
            | LedgerOp::Consume(_)
            | LedgerOp::Claim(_)
            | LedgerOp::Mark(_)
            | LedgerOp::Told(_) => self.approvals.apply(op, at),
            LedgerOp::Remember(write) => self.memory.apply(write, record),
            LedgerOp::AcceptRollback(terms) => {
                self.approvals.apply(op, at);
                if terms.burn_budgets {
                    self.budgets.burn(at);
                }
            }
        }
    }

    /// The things that a record's operations read or change, whose cached rows must be as the state has them.
    #[must_use]
    pub fn keys(&self, record: &Record) -> Vec<StateKey> {
        // Most records reserve or settle an amount or two.
        let mut keys = Vec::with_capacity(8);
        for op in &record.ops {
            self.credentials.keys(op, &mut keys);
            self.budgets.keys(op, &mut keys);
            self.approvals.keys(op, &mut keys);
        }
        keys.sort();
        keys.dedup();
        keys
    }

    /// The row of a key as the database must have it.
    #[must_use]
    pub fn row(&self, key: &StateKey) -> StateRow {
        match key {
            StateKey::Credential(_) | StateKey::Revocation(_) => self.credentials.row(key),
            StateKey::Budget(_) | StateKey::Reservation(_) => self.budgets.row(key),
            StateKey::Approval(_) => self.approvals.row(key),
        }
    }

    /// The row of a key that had this one before: its kind and id stay.
    #[must_use]
    pub fn row_after(&self, key: &StateKey, before: StateRow) -> StateRow {
        match key {
            StateKey::Budget(_) | StateKey::Reservation(_) => {
                StateRow { body: self.budgets.body(key), ..before }
            }
            _ => self.row(key),
        }
    }
}

/// Whether a record that accepts a rollback does that and ends every credential, and nothing else.
fn check_rollback(record: &Record) -> Result<(), Refusal> {
    let accepts = matches!(&record.fact, Fact::Recovery(RecoveryFact { rollback: Some(_), .. }));
    let ends_all =
        |op: &LedgerOp| matches!(op, LedgerOp::Revoke(Revocation { target: RevocationTarget::All, .. }));
    match &record.ops[..] {
        [revoke, LedgerOp::AcceptRollback(_)] if accepts && ends_all(revoke) => Ok(()),
        _ => Err(Refusal::new(
            DenyCause::InvalidRequest,
            "a rollback is accepted by a record of its own that says so and ends every credential",
        )),
    }
}
