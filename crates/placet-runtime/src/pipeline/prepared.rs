//! What is settled of an event before policies are asked: who it is, what its session did, and whether that refuses it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Instant;

use placet_trust::Refusal;
use placet_trust::sessions::ToolHistory;
use placet_types::{Event, Field, Value};

use super::Pipeline;
use super::facts::{SESSION_FACTS, add_history, on_plan};
use super::identity::Holder;
use crate::telemetry::Lap;

/// An event whose identity and attributes are settled, ready to be decided.
pub struct Prepared {
    event: Event,
    pub(super) settled: Settled,
}

/// What is settled of an event, besides what is written into it.
pub(super) struct Settled {
    pub(super) holder: Option<Holder>,
    /// Why it is refused whatever policies say, if it is.
    pub(super) refusal: Option<Refusal>,
    /// What its session called before, where that is not written into the event yet.
    pub(super) history: Option<ToolHistory>,
    /// Whether its `now` is no time.
    pub(super) bad_now: bool,
    /// When all of this was done, and when the credential was verified; only where somebody looks on.
    pub(super) done: Option<Lap>,
    pub(super) verified: Option<Lap>,
}

impl Prepared {
    /// The event as policies see it.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Whether it is refused whatever policies say, and why.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.settled.refusal.as_ref()
    }
}

/// The fields of an event that [`Pipeline::begin`] writes anew from the clock and the credential; those that the ledger
/// fills in are [`SESSION_FACTS`].
const WRITTEN: [Field; 12] = [
    Field::Now,
    Field::TokenId,
    Field::ParentTokenId,
    Field::DelegationDepth,
    Field::ParentDepth,
    Field::TenantId,
    Field::Tenant,
    Field::AgentId,
    Field::UserRole,
    Field::AgentRole,
    Field::SessionSelfId,
    Field::Scopes,
];

/// What a caller stated in the fields that [`Pipeline::begin`] writes anew. It is kept instead of the whole event, so
/// that a call begins again as it came when people have decided.
pub struct Stated(Kept);

#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and stands on the stack")]
enum Kept {
    Written([Value; WRITTEN.len()], [Value; SESSION_FACTS.len()]),
    Whole(Event),
}

impl Stated {
    /// What an event states before it begins.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        if is_odd(event) {
            return Self(Kept::Whole(event.clone()));
        }
        let stated = |field| event.get(field).clone();
        Self(Kept::Written(WRITTEN.map(stated), SESSION_FACTS.map(stated)))
    }

    /// The event that began, to begin again: what else was done to it follows from the event alone, and is done to it
    /// again without a change.
    #[must_use]
    pub fn put_back(self, begun: &Event) -> Event {
        match self.0 {
            Kept::Whole(event) => event,
            Kept::Written(written, facts) => {
                let mut event = begun.clone();
                let values = WRITTEN.into_iter().zip(written).chain(SESSION_FACTS.into_iter().zip(facts));
                values.for_each(|(field, value)| event.set(field, value));
                event
            }
        }
    }
}

/// Whether a value of the wrong type is looked into before the request is closed, after which nothing can: a proof of
/// possession is for the arguments as they came, and a declared resource stands among the resources as it came.
fn is_odd(event: &Event) -> bool {
    !matches!(event.get(Field::Args), Value::Object(_) | Value::Unknown(_) | Value::Null)
        || !matches!(event.get(Field::ResourcePath), Value::String(_) | Value::Unknown(_) | Value::Null)
}

impl Pipeline {
    /// The first half of [`Pipeline::begin`], for enforcement points whose policies are decided elsewhere: settles
    /// identity and attributes.
    #[must_use]
    pub fn prepare(&self, event: Event) -> Prepared {
        self.prepare_timed(event, false)
    }

    pub(super) fn prepare_timed(&self, mut event: Event, timed: bool) -> Prepared {
        let mut settled = self.settle_identity(&mut event, timed);
        add_history(&mut event, settled.history.take().as_ref());
        Prepared { event, settled }
    }

    pub(super) fn settle_identity(&self, event: &mut Event, timed: bool) -> Settled {
        let begun = timed.then(Instant::now);
        event.complete();
        let bad_now = self.gate.tell_time(event);
        let began = (timed && self.options.credentials.is_some()).then(Instant::now);
        let (holder, refusal) = match self.identify(event) {
            Ok(holder) => (holder, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let verified = began.map(Lap::since);
        let (facts, refusal) = match refusal {
            Some(refusal) => (None, Some(refusal)),
            None => match self.add_facts(event, holder.as_ref()) {
                Ok(facts) => (facts, None),
                Err(refusal) => (None, Some(refusal)),
            },
        };
        let refusal = refusal
            .or_else(|| on_plan(event, facts.as_ref()?).err())
            .or_else(|| self.check_authority(event, holder.as_ref()).err());
        let history = facts.map(|facts| facts.tool_history);
        Settled { holder, refusal, history, bad_now, done: begun.map(Lap::since), verified }
    }
}
