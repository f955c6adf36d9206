//! Permits: the proof that an allow was recorded, spent once; and the effects that they cover.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use placet_trust::{LedgerError, Refusal};
use placet_types::ids::{CredentialId, Digest, RecordId};
use placet_types::{DenyCause, process};

use super::Pipeline;
use super::outcomes::Origin;
use super::recording::Outcome;
use crate::telemetry::{Ended, Lap, Step, Watch};

/// How long a permit may wait to be spent.
pub const PERMIT_SECONDS: u64 = 60;

/// Proof that one event was allowed and recorded. Built only by the pipeline, spent once; it can neither be copied nor
/// written down. Dropping it says that the effect never began.
#[must_use = "an event that was allowed owes an outcome"]
pub struct Permit(Option<Granted>);

/// What a permit stands for.
pub(super) struct Granted {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) origin: Origin,
    pub(super) call: Digest,
    pub(super) policy_version: Arc<str>,
    pub(super) credentials: Vec<CredentialId>,
    pub(super) process: u32,
    pub(super) granted: Instant,
    /// Who looks on, if anybody.
    pub(super) watched: Option<Box<Watched>>,
}

/// Who looks on, and what they call the tool.
pub(super) struct Watched {
    watch: Watch,
    tool: Option<Arc<str>>,
}

impl Permit {
    pub(super) fn new(granted: Granted) -> Self {
        Self(Some(granted))
    }

    /// With those who look on at what becomes of it.
    pub(super) fn watched(mut self, watch: Watch, tool: Option<Arc<str>>) -> Self {
        if let Some(granted) = &mut self.0 {
            granted.watched = Some(Box::new(Watched { watch, tool }));
        }
        self
    }

    /// Gives up a permit that nobody was given: no effect can follow, so no outcome is owed.
    pub(super) fn discard(mut self) {
        self.0 = None;
    }

    /// The id of the decision.
    #[must_use]
    pub fn decision(&self) -> Option<&RecordId> {
        self.0.as_ref().map(|granted| &granted.origin.decision)
    }

    /// The digest of the frozen arguments that it is for.
    #[must_use]
    pub fn call(&self) -> Option<Digest> {
        self.0.as_ref().map(|granted| granted.call)
    }

    /// Begins the effect on the call with this digest of frozen arguments.
    ///
    /// # Errors
    /// The permit is for other arguments, another process or other policies, is past its deadline, or its credential
    /// was revoked since: the effect must not begin.
    pub fn spend(mut self, call: &Digest) -> Result<Effect, Refusal> {
        let Some(granted) = self.0.take() else {
            return Err(Refusal::new(DenyCause::PermitInvalid, "the permit was spent before; ask anew"));
        };
        match granted.check(call) {
            Ok(()) => Ok(Effect { granted: Some(granted), began: Instant::now(), returned: None }),
            Err(refusal) => {
                granted.finish_quietly(Outcome::not_started(), None);
                Err(refusal)
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(granted) = self.0.take() {
            granted.finish_quietly(Outcome::not_started(), None);
        }
    }
}

impl Granted {
    fn check(&self, call: &Digest) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal::new(DenyCause::PermitInvalid, reason));
        if *call != self.call {
            return refuse("the arguments are not those that were decided; ask anew with them");
        }
        if self.process != process::id() {
            return refuse("the permit belongs to another process; ask anew in this one");
        }
        if self.granted.elapsed() > Duration::from_secs(PERMIT_SECONDS) {
            return refuse(&format!("the permit was given more than {PERMIT_SECONDS} seconds ago; ask anew"));
        }
        if *self.pipeline.gate().policy_version() != *self.policy_version {
            return refuse("the policies changed since; ask anew");
        }
        self.pipeline.still_live(&self.credentials)
    }

    fn finish(self, outcome: Outcome, ran: Option<Ran>) -> Result<(), LedgerError> {
        // A child that was forked during the effect has a copy of it; the outcome is its parent's to record.
        if self.process != process::id() {
            return Ok(());
        }
        let elapsed = ran.map_or(Duration::ZERO, |ran| ran.began.elapsed());
        let Self { pipeline, origin, watched, .. } = self;
        let Some(watched) = watched else { return pipeline.settle(origin, outcome, elapsed) };
        let (status, error_type, injections) =
            (outcome.status, outcome.error_type.clone(), outcome.injections);
        let settling = Instant::now();
        let result = pipeline.settle(origin, outcome, elapsed);
        let over = ran.and_then(|ran| ran.returned);
        watched.watch.saw(&Step::Ended(Ended {
            tool: watched.tool.as_deref(),
            ran: ran.map(|ran| Lap { began: ran.began, ended: over.unwrap_or(settling) }),
            cleaned: over.map(|over| Lap { began: over, ended: settling }),
            recorded: pipeline.ledger().is_some().then(|| Lap::since(settling)),
            unrecorded: result.is_err(),
            status,
            error_type,
            injections,
        }));
        result
    }

    /// Where nobody waits for an answer; a failure is kept, and refuses new calls until it is made good.
    fn finish_quietly(self, outcome: Outcome, ran: Option<Ran>) {
        let decision = self.origin.decision.clone();
        if let Err(error) = self.finish(outcome, ran) {
            tracing::error!(target: "placet::pipeline", %error, %decision, "an outcome was not recorded");
        }
    }
}

/// A guarded act that has begun. It owes an outcome; dropping it says that it was cancelled.
#[must_use = "an effect owes an outcome"]
pub struct Effect {
    granted: Option<Granted>,
    began: Instant,
    returned: Option<Instant>,
}

/// When an effect began, and when it was over, where that was said.
#[derive(Clone, Copy)]
struct Ran {
    began: Instant,
    returned: Option<Instant>,
}

impl Effect {
    /// Records how the effect ended.
    ///
    /// # Errors
    /// The outcome could not be recorded: the result must be withheld. New calls are refused until it is.
    pub fn finish(mut self, outcome: Outcome) -> Result<(), LedgerError> {
        let ran = self.ran();
        self.granted.take().map_or(Ok(()), |granted| granted.finish(outcome, Some(ran)))
    }

    /// Says that the effect itself is over, and that what remains until [`Self::finish`] is cleaning its result. Only
    /// observers care.
    pub fn returned(&mut self) {
        self.returned = Some(Instant::now());
    }

    fn ran(&self) -> Ran {
        Ran { began: self.began, returned: self.returned }
    }

    /// The id of the decision.
    #[must_use]
    pub fn decision(&self) -> Option<&RecordId> {
        self.granted.as_ref().map(|granted| &granted.origin.decision)
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        if let Some(granted) = self.granted.take() {
            granted.finish_quietly(Outcome::cancelled(), Some(self.ran()));
        }
    }
}
