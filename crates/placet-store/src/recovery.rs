//! Going on from an older copy of the log, once a person accepts that the rest is lost.
//!
//! A log that is shorter than a signed checkpoint of it which was kept elsewhere is refused. Here it is told what is
//! lost, and accepted by one commit that holds where it stands, what it does not extend and who says so; that cancels
//! every open request for approval and ends every credential issued until then, also those that only the lost part
//! knew. A log that was edited is refused here too: it is not older but another.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use placet_audit::seal::Head;
use placet_trust::{LedgerError, Proposal, Receipt, Refusal, State, View};
use placet_types::ledger::{Revocation, RevocationTarget, RollbackTerms};
use placet_types::record::{LostCheckpoint, ROLLBACK_ACCEPTED, RecoveryFact, RollbackFact};
use placet_types::{Ack, Digest, Fact, LedgerOp, Micros, Record, RecordId};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::backend::{Access, Backend, StoredHead};
use crate::batch::{self, Entry, Work};
use crate::engine::{Engine, Log, Publish, closed};
use crate::ledger::LogLedger;
use crate::process::locked;

/// A log that is shorter than what is known of it.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The time of the last one.
    pub time_us: Micros,
    /// The checkpoints of more entries, the largest first.
    pub lost: Vec<LostCheckpoint>,
    /// Those who say so, in words.
    pub said_by: Vec<String>,
    /// What the entries that are left add up to.
    pub state: State,
}

/// That a person accepts what [`LogLedger::rollback`] told.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// [`Rollback::size`], so that nothing else is accepted.
    pub size: u64,
    /// [`Rollback::root`].
    pub root: Digest,
    /// Who.
    pub by: Arc<str>,
    /// Why, in words; kept in the view of the record.
    pub reason: String,
    /// Whether budgets count as used up, since nobody knows what the lost part spent.
    pub burn_budgets: bool,
}

/// A rollback that was accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The receipt of the record that says so.
    pub receipt: Receipt,
    /// Where the mirror was moved to that holds more than the log.
    pub mirror: Option<PathBuf>,
    /// Why the new checkpoint is not in all its places yet; the next one goes there too.
    pub left: Option<LedgerError>,
}

/// Why a rollback was not accepted. Nothing was committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// The log cannot be read or written, or was edited.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is nothing to accept.
    #[error(
        "the ledger has {0} entries and extends every checkpoint that is known of it; there is nothing to recover"
    )]
    None(u64),
    /// The log is not the one that was accepted.
    #[error(
        "the ledger has {size} entries with the root {root}, which is not what was accepted; look at it again, and give \
         its size and root"
    )]
    Other {
        /// How many entries it has.
        size: u64,
        /// Its root.
        root: Digest,
    },
    /// The record was refused.
    #[error("the ledger refused the record: {0}")]
    Refused(Refusal),
}

impl<B: Backend> LogLedger<B> {
    /// What is lost, when the log is shorter than a checkpoint of it that was kept elsewhere; `None` when it is not.
    ///
    /// # Errors
    /// [`LedgerError`]; also when the log was edited, and is not merely older.
    pub fn rollback(&self) -> Result<Option<Rollback>, LedgerError> {
        let mut engine = Engine::new(self.backend.clone(), self.settings.clone());
        let found = engine.assess(Access::Read).map(|(rollback, _)| rollback);
        engine.end();
        Ok(found?).map(|rollback| Some(rollback).filter(|rollback| !rollback.lost.is_empty()))
    }

    /// Goes on from the log as it is: one commit records what is lost and who accepts it, cancels open requests for
    /// approval and ends credentials. Checkpoints are signed from there on, and the anchor follows.
    ///
    /// Processes that had seen more refuse until they are started anew.
    ///
    /// # Errors
    /// [`RollbackError`]: nothing was committed.
    pub fn accept_rollback(&self, acceptance: &Acceptance) -> Result<Accepted, RollbackError> {
        let mut engine = Engine::new(self.backend.clone(), self.settings.clone());
        let accepted = engine.accept(acceptance);
        engine.end();
        if accepted.is_ok() {
            // What this process refused until now is looked at anew.
            self.close();
        }
        accepted
    }
}

impl<B: Backend> Engine<B> {
    /// Reads the log within a transaction that stays open.
    fn assess(&mut self, access: Access) -> Result<(Rollback, Log), LedgerError> {
        let link = self.backend.open();
        self.link = Some(link.map_err(|error| self.failed("open", error))?);
        let Some(stored) = self.begin(access)? else {
            return Err(self.unavailable("open", "it holds no log; move the anchor away to begin one"));
        };
        let (log, claims) = self.replay(&stored)?;
        let StoredHead { head, .. } = &log.committed;
        let (mut lost, mut said_by) = (Vec::new(), Vec::new());
        for claim in claims.lost() {
            let (size, root) = (claim.checkpoint.size, claim.checkpoint.root);
            lost.push(LostCheckpoint { kept: claim.kept.into(), size, root });
            said_by.push(claim.by);
        }
        let (size, root, time_us) = (head.size(), head.frontier.root(), head.time_us);
        Ok((Rollback { size, root, time_us, lost, said_by, state: log.working.clone() }, log))
    }

    fn accept(&mut self, acceptance: &Acceptance) -> Result<Accepted, RollbackError> {
        let (rollback, mut log) = self.assess(Access::Durable)?;
        let Rollback { size, root, lost, state, .. } = rollback;
        if lost.is_empty() {
            return Err(RollbackError::None(size));
        }
        if (size, root) != (acceptance.size, acceptance.root) {
            return Err(RollbackError::Other { size, root });
        }
        log.given_up.extend(lost.iter().cloned());
        // The record is the first after what is left; the next batch says it if the clock went back.
        log.clock_flagged = true;
        self.log = Some(log);
        let mirror = self.set_mirror_aside(size)?;
        let entry = Entry::new(proposal(acceptance, lost), Vec::new(), Ack::Durable);
        let entry = entry.map_err(|error| self.unavailable("append", error))?;
        let done = batch::write(self, vec![Work::Commit(Box::new(entry))], true, &Shown(Mutex::new(state)))?;
        let receipt = done.into_iter().next().ok_or_else(closed)??.ok_or_else(closed)?;
        if let Some(refusal) = receipt.refused {
            return Err(RollbackError::Refused(refusal));
        }
        let spread = self.unspread.take().and_then(|unspread| unspread.spread().err());
        Ok(Accepted { receipt, mirror, left: spread.or_else(|| self.mirror_trouble.clone()) })
    }

    fn set_mirror_aside(&mut self, size: u64) -> Result<Option<PathBuf>, LedgerError> {
        let (Some(mirror), Some(link)) = (&mut self.mirror, &mut self.link) else { return Ok(None) };
        let aside = mirror.set_aside(link, size);
        aside.map_err(|failure| self.unavailable("append", failure))
    }
}

fn proposal(acceptance: &Acceptance, lost: Vec<LostCheckpoint>) -> Proposal {
    let Acceptance { size, root, by, reason, burn_budgets } = acceptance.clone();
    let most = lost.first().map_or(size, |lost| lost.size);
    let rollback = Some(Box::new(RollbackFact { size, root, lost, by: by.clone() }));
    let fact = RecoveryFact { code: ROLLBACK_ACCEPTED.into(), count: most.saturating_sub(size), rollback };
    let mut record = Record::new(RecordId(Uuid::now_v7().to_string().into()), Fact::Recovery(fact));
    record.ops = vec![
        LedgerOp::Revoke(Revocation { target: RevocationTarget::All, by }),
        LedgerOp::AcceptRollback(RollbackTerms { burn_budgets }),
    ];
    let view = Map::from_iter([("reason".to_owned(), Value::String(reason))]);
    Proposal { record, view: Some(View::Members(view)), personal: Vec::new(), fallback: None }
}

/// Nobody reads what an engine shows that lives for one commit.
struct Shown(Mutex<State>);

impl Publish for Shown {
    fn show(&self, state: &mut State, _: &Head) {
        state.exchange(&mut locked(&self.0));
    }

    fn copy(&self) -> State {
        locked(&self.0).clone()
    }
}
