//! The two ends of an event with observers looking on. Nothing here decides: each step is done, timed and shown.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Instant;

use placet_policy::Request;
use placet_types::{ApprovalId, Decision, Event, Field};

use super::prepared::Settled;
use super::{Begun, Pipeline, Prepared, Refused, Started, text_of};
use crate::telemetry::{Decided, Lap, Opening, Step, Waited, Watch};

impl Pipeline {
    /// Those who look on at one event; nobody unless the options name observers.
    #[must_use]
    pub fn watch(&self, opening: &Opening<'_>) -> Watch {
        Watch::open(&self.options.observers, opening)
    }

    pub(crate) fn watch_event(&self, event: &Event, acts: bool) -> Watch {
        if self.options.observers.is_empty() {
            return Watch::off();
        }
        self.watch(&Opening { tool: tool_of(event), acts })
    }

    /// Decides an event whose effect is to follow.
    pub fn begin(self: &Arc<Self>, event: Event) -> Begun {
        let watch = self.watch_event(&event, true);
        self.begin_watched(event, &watch)
    }

    /// As [`Pipeline::begin`], with those who look on given.
    pub fn begin_watched(self: &Arc<Self>, mut event: Event, watch: &Watch) -> Begun {
        let settled = self.settle_identity(&mut event, watch.is_on());
        let (decision, request) = self.judge(event, &settled);
        self.concluded(settled, decision, request, watch)
    }

    /// Decides an event and records the decision; gives no permit, since the caller only asks.
    pub fn ask(self: &Arc<Self>, event: Event) -> Refused {
        let watch = self.watch_event(&event, false);
        self.ask_watched(event, &watch)
    }

    /// As [`Pipeline::ask`], with those who look on given.
    pub fn ask_watched(self: &Arc<Self>, mut event: Event, watch: &Watch) -> Refused {
        let settled = self.settle_identity(&mut event, watch.is_on());
        let (decision, request) = self.judge(event, &settled);
        self.noted(settled, decision, request, watch)
    }

    /// As [`Pipeline::prepare`], timed for those who look on.
    pub fn prepare_watched(&self, event: Event, watch: &Watch) -> Prepared {
        self.prepare_timed(event, watch.is_on())
    }

    /// As [`Pipeline::conclude`], shown to those who look on; what became of the permit will be too.
    pub fn conclude_watched(
        self: &Arc<Self>,
        prepared: Prepared,
        decision: Decision,
        request: Request,
        watch: &Watch,
    ) -> Begun {
        self.concluded(prepared.settled, decision, request, watch)
    }

    fn concluded(
        self: &Arc<Self>,
        settled: Settled,
        decision: Decision,
        request: Request,
        watch: &Watch,
    ) -> Begun {
        let laps = Laps::of(&settled, watch);
        let begun = self.commit_case(self.case(settled, decision, request, true));
        let Some(laps) = laps else { return begun };
        match begun {
            Begun::Refused(refused) => {
                let Refused { decision, request, approval } = &refused;
                laps.show(watch, request, decision, approval.as_ref(), self.recorded_since(laps.concluded));
                Begun::Refused(refused)
            }
            Begun::Started(Started { decision, request, permit }) => {
                laps.show(watch, &request, &decision, None, self.recorded_since(laps.concluded));
                let tool = tool_of(request.event()).map(Arc::from);
                let permit = permit.watched(watch.clone(), tool);
                Begun::Started(Started { decision, request, permit })
            }
        }
    }

    /// As [`Pipeline::note`], shown to those who look on.
    pub fn note_watched(
        self: &Arc<Self>,
        prepared: Prepared,
        decision: Decision,
        request: Request,
        watch: &Watch,
    ) -> Refused {
        self.noted(prepared.settled, decision, request, watch)
    }

    fn noted(
        self: &Arc<Self>,
        settled: Settled,
        decision: Decision,
        request: Request,
        watch: &Watch,
    ) -> Refused {
        let laps = Laps::of(&settled, watch);
        let refused = self.commit_note(self.case(settled, decision, request, false));
        let Some(laps) = laps else { return refused };
        let Refused { decision, request, approval } = &refused;
        laps.show(watch, request, decision, approval.as_ref(), self.recorded_since(laps.concluded));
        refused
    }

    /// The end of a wait for people, shown to those who look on; `refused` is what came of it, unless they decided.
    pub fn waited(watch: &Watch, began: Instant, approval: Option<&ApprovalId>, refused: Option<&Refused>) {
        if watch.is_on() {
            let refused = refused.map(|refused| (refused.request.event(), &refused.decision));
            watch.saw(&Step::Waited(Waited { lap: Lap::since(began), approval, refused }));
        }
    }

    fn recorded_since(&self, concluded: Instant) -> Option<Lap> {
        self.options.ledger.is_some().then(|| Lap::since(concluded))
    }
}

/// The tool, where the event is a call of one; also before it is complete.
fn tool_of(event: &Event) -> Option<&str> {
    let is_call = text_of(event, Field::EventType).is_none_or(|kind| kind == "tool_call");
    let name = || text_of(event, Field::ToolName).or_else(|| text_of(event, Field::Action));
    is_call.then(name).flatten()
}

/// When the parts of a decision were done.
struct Laps {
    settled: Option<Lap>,
    verified: Option<Lap>,
    judged: Option<Lap>,
    concluded: Instant,
}

impl Laps {
    fn of(known: &Settled, watch: &Watch) -> Option<Self> {
        if !watch.is_on() {
            return None;
        }
        let concluded = Instant::now();
        let judged = known.done.filter(|_| known.refusal.is_none());
        let judged = judged.map(|settled| Lap { began: settled.ended, ended: concluded });
        Some(Self { settled: known.done, verified: known.verified, judged, concluded })
    }

    fn show(
        &self,
        watch: &Watch,
        request: &Request,
        decision: &Decision,
        approval: Option<&ApprovalId>,
        recorded: Option<Lap>,
    ) {
        let settled = self.settled.unwrap_or(Lap { began: self.concluded, ended: self.concluded });
        watch.saw(&Step::Decided(Decided {
            event: request.event(),
            decision,
            whole: Lap::since(settled.began),
            settled,
            verified: self.verified,
            judged: self.judged,
            recorded,
            approval,
        }));
    }
}
