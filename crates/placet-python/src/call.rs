//! One governed call on its way: bound and frozen, decided and recorded, run, and its outcome recorded.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use placet::channels::{Step, Waited, Waiting};
use placet::pipeline::{Begun, Effect, Outcome, Permit, Pipeline, Prepared, Refused, Started, Stated};
use placet::telemetry::Watch;
use placet::trust::Refusal;
use placet::{Decision, DecisionId, DenyCause, Event, Request, Value, refusal};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use smol_str::SmolStr;

use crate::approvals::{Asker, Stop};
use crate::decision::PolicyDecision;
use crate::error;
use crate::event::FrozenEvent;
use crate::freeze::{Freezer, describe};
use crate::ledger::wait;
use crate::telemetry::Trace;

/// Largest result that is kept in the log, in bytes as the freezer counts them.
const KEPT_BYTES: usize = 64 << 10;

/// Where a call stands.
enum Stage {
    /// Not decided yet; a decision made beforehand refuses it.
    Asked(Event, Option<Box<Decision>>),
    /// Identity and attributes are settled; another evaluator decides. With the event as it came, to begin again.
    Prepared(Box<Prepared>, Event),
    Granted(Permit),
    Running(Effect),
    Over,
}

/// The stage of a call. When a call is dropped on its way, what it owes is recorded.
struct Owing(Mutex<Stage>);

impl Owing {
    fn set(&self, stage: Stage) {
        *self.0.lock() = stage;
    }

    fn take(&self) -> Stage {
        std::mem::replace(&mut *self.0.lock(), Stage::Over)
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        let stage = self.take();
        if matches!(stage, Stage::Granted(_) | Stage::Running(_)) {
            // A commit must not wait with the interpreter's lock in hand: whoever writes may need it.
            let _ = Python::try_attach(|py| wait(py, || drop(stage)));
        }
    }
}

/// Through which pipeline a call goes, and who looks on.
pub(crate) struct Course {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) watch: Watch,
    pub(crate) trace: Option<Trace>,
}

/// A call on its way through the pipeline.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Call {
    pipeline: Arc<Pipeline>,
    watch: Watch,
    /// The tool, as refusals name it; empty where only a question is asked.
    tool: SmolStr,
    stage: Owing,
    frozen: Option<(Py<PyTuple>, Py<PyDict>)>,
    args: Option<Py<PyDict>>,
    is_tool_call: bool,
    decision: Mutex<Option<DecisionId>>,
    /// Whether the caller went away: a permit that comes later goes back.
    abandoned: AtomicBool,
    /// How long it waits for people, once it does.
    until: Mutex<Option<Instant>>,
    /// Dropped after the stage, so that it hears of what was still owed.
    trace: Option<Trace>,
}

impl Call {
    /// A call of a tool, bound and frozen.
    pub(crate) fn of_tool(
        course: Course,
        tool: &str,
        event: Event,
        frozen: (Py<PyTuple>, Py<PyDict>),
        args: Option<Py<PyDict>>,
    ) -> Self {
        let stage = Stage::Asked(event, None);
        Self { frozen: Some(frozen), args, ..Self::new(course, tool, stage, true) }
    }

    /// A call that could not be bound or frozen: refused, and recorded as such.
    pub(crate) fn invalid(course: Course, tool: &str, event: Event, decision: Decision) -> Self {
        Self::new(course, tool, Stage::Asked(event, Some(Box::new(decision))), true)
    }

    /// A question without an effect.
    pub(crate) fn question(py: Python<'_>, course: Course, event: &FrozenEvent) -> Self {
        let stage = Stage::Asked(event.event(), None);
        Self { args: Some(event.args(py)), ..Self::new(course, "", stage, event.is_tool_call) }
    }

    fn new(course: Course, tool: &str, stage: Stage, is_tool_call: bool) -> Self {
        let Course { pipeline, watch, trace } = course;
        Self {
            pipeline,
            watch,
            tool: tool.into(),
            stage: Owing(Mutex::new(stage)),
            frozen: None,
            args: None,
            is_tool_call,
            decision: Mutex::new(None),
            abandoned: AtomicBool::new(false),
            until: Mutex::new(None),
            trace,
        }
    }

    /// Tells those who look on from Python what was done.
    fn tell(&self, py: Python<'_>) {
        if let Some(trace) = &self.trace {
            trace.tell(py);
        }
    }

    /// As [`Self::tell`], and that nothing follows.
    fn end(&self, py: Python<'_>) {
        if let Some(trace) = &self.trace {
            trace.end(py);
        }
    }

    /// Decides the call, records the decision, and keeps the permit; or raises.
    pub(crate) fn decide(&self, py: Python<'_>) -> PyResult<()> {
        let begun = match self.stage.take() {
            Stage::Asked(event, None) => wait(py, || self.pipeline.begin_watched(event, &self.watch)),
            Stage::Asked(event, Some(decision)) => Begun::Refused(wait(py, || self.note(event, *decision))),
            other => return self.out_of_turn(other),
        };
        self.take_up(py, begun)
    }

    /// [`Self::decide`], then [`Self::spend`]: in one wait, where nothing of Python's comes between.
    pub(crate) fn decide_and_spend(&self, py: Python<'_>) -> PyResult<()> {
        let event = match self.stage.take() {
            Stage::Asked(event, None) if self.trace.is_none() => event,
            stage => {
                self.stage.set(stage);
                self.decide(py)?;
                return self.spend(py);
            }
        };
        let begun = wait(py, || match self.pipeline.begin_watched(event, &self.watch) {
            Begun::Refused(refused) => Err(Box::new(refused)),
            Begun::Started(Started { decision, permit, .. }) => {
                Ok((decision.decision_id, permit.call().map(|call| permit.spend(&call))))
            }
        });
        match begun {
            Err(refused) => self.take_up(py, Begun::Refused(*refused)),
            Ok((decision, spent)) => {
                *self.decision.lock() = Some(decision);
                self.take_effect(py, spent)
            }
        }
    }

    /// As [`Self::decide`]; where people have to decide, asks them and waits. Signals are heeded meanwhile.
    pub(crate) fn decide_waiting(&self, py: Python<'_>, waiting: &Waiting) -> PyResult<()> {
        let mut event = match self.stage.take() {
            Stage::Asked(event, None) => event,
            stage => {
                self.stage.set(stage);
                return self.decide(py);
            }
        };
        loop {
            let stated = Stated::of(&event);
            let refused = match wait(py, || self.pipeline.begin_watched(event, &self.watch)) {
                Begun::Refused(refused) => refused,
                started @ Begun::Started(_) => return self.take_up(py, started),
            };
            self.tell(py);
            event = match self.people_decided(py, refused, waiting, |begun| stated.put_back(begun))? {
                Ok(event) => event,
                Err(refused) => return self.take_up(py, Begun::Refused(*refused)),
            };
        }
    }

    /// Waits for people; when they decided, the event to begin again with, else what is refused in the end.
    fn people_decided(
        &self,
        py: Python<'_>,
        refused: Refused,
        waiting: &Waiting,
        again: impl FnOnce(&Event) -> Event,
    ) -> PyResult<Result<Event, Box<Refused>>> {
        let (began, approval) = (Instant::now(), refused.approval.clone());
        let (event, mut step) = match self.pipeline.waits(refused, waiting) {
            Ok(wait) => (again(wait.event()), Step::Waits(Box::new(wait))),
            Err(refused) => return Ok(Err(refused)),
        };
        let waited = |refused| Pipeline::waited(&self.watch, began, approval.as_ref(), refused);
        loop {
            step = match step {
                Step::Waits(waits) => {
                    py.check_signals()?;
                    // In steps, so that a fork need not wait for people.
                    wait(py, || waits.step())
                }
                Step::Ended(Waited::Decided) => {
                    waited(None);
                    return Ok(Ok(event));
                }
                Step::Ended(Waited::Refused(refused)) => {
                    waited(Some(&refused));
                    return Ok(Err(Box::new(refused)));
                }
            };
        }
    }

    fn note(&self, event: Event, decision: Decision) -> Refused {
        let prepared = self.pipeline.prepare(event);
        let request = Request::new(prepared.event().clone());
        self.pipeline.note_watched(prepared, decision, request, &self.watch)
    }

    fn take_up(&self, py: Python<'_>, begun: Begun) -> PyResult<()> {
        match begun {
            Begun::Refused(refused) => self.refuse(py, PolicyDecision::of_refused(refused)),
            Begun::Started(Started { decision, permit, .. }) => {
                *self.decision.lock() = Some(decision.decision_id);
                self.stage.set(Stage::Granted(permit));
                self.tell(py);
                if self.abandoned.load(Ordering::SeqCst) {
                    self.give_up(py);
                }
                Ok(())
            }
        }
    }

    fn give_up(&self, py: Python<'_>) {
        let stage = self.stage.take();
        wait(py, || drop(stage));
        self.end(py);
    }

    fn refuse(&self, py: Python<'_>, decision: PolicyDecision) -> PyResult<()> {
        self.end(py);
        error::refuse_tool(py, &self.tool, decision)
    }

    fn out_of_turn<T>(&self, stage: Stage) -> PyResult<T> {
        self.stage.set(stage);
        Err(pyo3::exceptions::PyRuntimeError::new_err("a governed call was continued out of turn"))
    }

    /// Spends the permit: from here on the effect runs.
    pub(crate) fn spend(&self, py: Python<'_>) -> PyResult<()> {
        let permit = match self.stage.take() {
            Stage::Granted(permit) => permit,
            other => return self.out_of_turn(other),
        };
        let spent = permit.call().map(|call| wait(py, || permit.spend(&call)));
        self.take_effect(py, spent)
    }

    /// The effect of a permit that was spent; None where it had been before.
    fn take_effect(&self, py: Python<'_>, spent: Option<Result<Effect, Refusal>>) -> PyResult<()> {
        match spent {
            None => self.out_of_turn(Stage::Over),
            Some(Ok(effect)) => {
                self.stage.set(Stage::Running(effect));
                Ok(())
            }
            Some(Err(Refusal { cause, reason, .. })) => self.refuse(py, self.failed(cause, &reason)),
        }
    }

    /// A deny of this call for a reason that came up after its decision.
    fn failed(&self, cause: DenyCause, reason: &str) -> PolicyDecision {
        let mut decision = refusal::failure(cause, reason, self.pipeline.gate().policy_version());
        if let Some(id) = self.decision.lock().clone() {
            decision.decision_id = id;
        }
        PolicyDecision::new(decision)
    }

    fn settle(&self, py: Python<'_>, outcome: Outcome) -> PyResult<()> {
        let effect = match self.stage.take() {
            Stage::Running(effect) => effect,
            Stage::Over => return Ok(()),
            // What never began has nothing to tell.
            other => {
                wait(py, || drop(other));
                return Ok(());
            }
        };
        let finished = wait(py, || effect.finish(outcome));
        self.end(py);
        finished.or_else(|error| {
            let reason =
                format!("what became of the call could not be recorded, so its result is withheld: {error}");
            self.refuse(py, self.failed(DenyCause::AuditUnavailable, &reason))
        })
    }
}

#[pymethods]
impl Call {
    /// Decides and records; returns what the tool is to be called with, or raises. May wait for a disk.
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        self.decide(py)
    }

    /// As `begin`; where people have to decide, asks them and waits.
    fn begin_waiting(&self, py: Python<'_>, asker: &Asker, stop: &Stop) -> PyResult<()> {
        self.decide_waiting(py, &asker.waiting(stop))
    }

    /// Begins the effect; returns what the tool is to be called with.
    pub(crate) fn start<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        self.spend(py)?;
        self.called_with(py)
    }

    /// Settles identity and attributes; returns the event for another evaluator, or None when it is refused already.
    fn prepare(&self, py: Python<'_>) -> PyResult<Option<FrozenEvent>> {
        let (event, decided) = match self.stage.take() {
            Stage::Asked(event, decided) => (event, decided),
            other => return self.out_of_turn(other),
        };
        let original = event.clone();
        let prepared = wait(py, || {
            let mut event = event;
            self.pipeline.gate().complete(&mut event);
            self.pipeline.prepare_watched(event, &self.watch)
        });
        let refused = decided.is_some() || prepared.refusal().is_some();
        let event = prepared.event().clone();
        self.stage.set(Stage::Prepared(Box::new(prepared), original));
        let args = self.args.as_ref().filter(|_| !refused);
        Ok(args.map(|args| FrozenEvent::new(event, args.clone_ref(py), self.is_tool_call)))
    }

    /// Records what another evaluator decided, and keeps the permit; or raises. None stands for what refused it before.
    fn conclude(&self, py: Python<'_>, decision: Option<&PolicyDecision>) -> PyResult<()> {
        let (begun, _) = self.concluded(py, decision)?;
        self.take_up(py, begun)
    }

    /// As `conclude`; where people have to decide, asks them and waits. False when they decided: then the call is to be
    /// prepared and judged again, since much may have changed meanwhile.
    fn conclude_waiting(
        &self,
        py: Python<'_>,
        decision: Option<&PolicyDecision>,
        asker: &Asker,
        stop: &Stop,
    ) -> PyResult<bool> {
        let (begun, event) = self.concluded(py, decision)?;
        let refused = match begun {
            Begun::Refused(refused) => refused,
            started @ Begun::Started(_) => return self.take_up(py, started).map(|()| true),
        };
        let until = *self.until.lock().get_or_insert_with(|| asker.waiting(stop).until);
        let waiting = Waiting { until, ..asker.waiting(stop) };
        match self.people_decided(py, refused, &waiting, |_| event)? {
            Err(refused) => self.take_up(py, Begun::Refused(*refused)).map(|()| true),
            Ok(event) => {
                self.stage.set(Stage::Asked(event, None));
                Ok(false)
            }
        }
    }

    /// Records what another evaluator answered to a mere question.
    fn note_decision(&self, py: Python<'_>, decision: Option<&PolicyDecision>) -> PyResult<PolicyDecision> {
        let prepared = match self.stage.take() {
            Stage::Prepared(prepared, _) => prepared,
            other => return self.out_of_turn(other),
        };
        let decision = self.decided(&prepared, decision);
        let request = Request::new(prepared.event().clone());
        let refused = wait(py, || self.pipeline.note_watched(*prepared, decision, request, &self.watch));
        self.end(py);
        Ok(PolicyDecision::of_refused(refused))
    }

    /// Records that the effect returned. Raises when that cannot be recorded: the result is withheld.
    fn succeed(&self, py: Python<'_>, result: &Bound<'_, PyAny>, injections: u32) -> PyResult<()> {
        let mut outcome = Outcome::succeeded(Some(shown(result)));
        outcome.injections = injections;
        self.settle(py, outcome)
    }

    /// Records that the effect raised, or was cancelled or closed.
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = error.get_type();
        let outcome = if error.is_instance_of::<PyException>() {
            let name = kind.name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
            Outcome::failed(&name, &describe(py, &PyErr::from_value(error.clone())))
        } else {
            Outcome::cancelled()
        };
        self.settle(py, outcome)
    }

    /// Says that the effect itself is over, and that what follows is cleaning its result.
    fn returned(&self) {
        if let Stage::Running(effect) = &mut *self.stage.0.lock() {
            effect.returned();
        }
    }

    /// The object of `placet._tracing` that makes its spans, where spans are made.
    #[getter]
    fn trace(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.trace.as_ref().map(|trace| trace.event(py))
    }

    /// Gives up whatever is still owed, for instance because the caller was cancelled while it waited.
    fn abandon(&self, py: Python<'_>) {
        self.abandoned.store(true, Ordering::SeqCst);
        self.give_up(py);
    }
}

impl Call {
    /// What the tool is to be called with.
    pub(crate) fn called_with<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        match &self.frozen {
            Some((positional, keywords)) => Ok((positional.bind(py).clone(), keywords.bind(py).clone())),
            None => self.out_of_turn(Stage::Over),
        }
    }

    /// Commits what another evaluator decided; with the event as it came.
    fn concluded(&self, py: Python<'_>, decision: Option<&PolicyDecision>) -> PyResult<(Begun, Event)> {
        let (prepared, event) = match self.stage.take() {
            Stage::Prepared(prepared, event) => (prepared, event),
            other => return self.out_of_turn(other),
        };
        let decision = self.decided(&prepared, decision);
        let request = Request::new(prepared.event().clone());
        Ok((wait(py, || self.pipeline.conclude_watched(*prepared, decision, request, &self.watch)), event))
    }

    fn decided(&self, prepared: &Prepared, decision: Option<&PolicyDecision>) -> Decision {
        match (decision, prepared.refusal()) {
            (Some(decision), _) => decision.decision().clone(),
            (None, Some(Refusal { cause, reason, .. })) => {
                refusal::precondition(*cause, reason.clone(), self.pipeline.gate().policy_version())
            }
            (None, None) => refusal::failure(
                DenyCause::EvaluatorFailure,
                "the evaluator gave no decision",
                self.pipeline.gate().policy_version(),
            ),
        }
    }
}

/// A result as the log shows it.
fn shown(result: &Bound<'_, PyAny>) -> Value {
    let mut freezer = Freezer::default();
    match freezer.freeze(result) {
        Ok((value, _)) if freezer.bytes() <= KEPT_BYTES => value,
        Ok(_) => Value::from(&*format!("(a result of {} bytes, not kept)", freezer.bytes())),
        Err(error) => Value::from(&*format!("(not kept: {})", error.reason(result.py()))),
    }
}
