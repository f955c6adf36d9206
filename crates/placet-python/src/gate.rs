//! The embedded engine, and the tools that it governs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::env;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use placet::channels::outbox::Notifier;
use placet::config::{AuditLogRotation, Telemetry};
use placet::telemetry::Opening;
use placet::trust::Ledger;
use placet::{
    Config, Decision, DenyCause, Event, Field, Gate, GateOptions, Pipeline, PipelineOptions, Request, Value,
    refusal,
};
use placet_store::{MirrorRotation, Place, PlaceSettings};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::audit::Log;
use crate::call::{Call, Course};
use crate::clock::PyClock;
use crate::content::{SanitizedResponse, sanitize_tool_output};
use crate::context::Context;
use crate::credentials::Broker;
use crate::decision::PolicyDecision;
use crate::diagnostic::Diagnostic;
use crate::error;
use crate::event::{FrozenEvent, of_call, of_event};
use crate::freeze::{FreezeError, describe};
use crate::ledger::{self, Opened, wait};
use crate::telemetry::{METRICS, Trace};

/// The policies in force, embedded.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Engine {
    pipeline: Arc<Pipeline>,
    clock: Option<Arc<PyClock>>,
    /// Whether anything is recorded or shown: otherwise a decision is all that there is to a call.
    records: bool,
    /// Whether recording waits for a disk.
    waits: bool,
    external: bool,
    demands_credentials: bool,
    place: Option<Place>,
    notifiers: Vec<Arc<dyn Notifier>>,
    /// An object of `placet._tracing`, where spans are made.
    tracer: Option<Py<PyAny>>,
    metered: bool,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (policies, global_policies, config, clock, ledger, audit_log, audit_log_rotation, keys, broker, external, tracing))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `PolicyGate`")]
    fn new(
        py: Python<'_>,
        policies: Vec<PathBuf>,
        global_policies: Vec<PathBuf>,
        config: Option<PathBuf>,
        clock: Option<Py<PyAny>>,
        ledger: Option<PathBuf>,
        audit_log: Option<PathBuf>,
        audit_log_rotation: Option<BTreeMap<String, Option<u64>>>,
        keys: Option<PathBuf>,
        broker: Option<PyRef<'_, Broker>>,
        external: bool,
        tracing: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let mut config = configured(py, config, &policies, &global_policies, external)?;
        if let Some(ledger) = ledger {
            config.ledger = Some(place_name(&ledger)?);
        }
        config.audit_log = audit_log.map(|path| rooted(&path)).transpose()?.or(config.audit_log);
        if let Some(rotation) = audit_log_rotation {
            config.audit_log_rotation = rotation_of(rotation)?;
        }
        config.keys = keys.map(|path| rooted(&path)).transpose()?.or(config.keys);
        let opened = open_ledger(py, &config)?;
        let waits = opened.as_ref().is_some_and(|opened| opened.waits)
            || broker.as_ref().is_some_and(|broker| broker.waits());
        let place = opened.as_ref().map(|opened| opened.place.clone());
        let ledger = opened.map(|opened| opened.store as Arc<dyn Ledger>);
        let options =
            PipelineOptions::of_config(&config, ledger).map_err(|error| error::config(py, &error))?;
        let mut options =
            PipelineOptions { credentials: broker.map(|broker| broker.registrar().clone()), ..options };
        let notifiers = config.approvals.notifiers().map_err(|error| error::config(py, &error))?;
        let demands_credentials = options.credentials.is_some();
        let Telemetry { traces, otlp_endpoint, metrics: metered, tool_names } = &config.telemetry;
        let (metered, tracer) = (*metered, tracing.call1((traces.word(), otlp_endpoint))?);
        let tracer = (!tracer.is_none()).then(|| tracer.unbind());
        if metered {
            options.observers.push(METRICS.observer(tool_names, options.ledger.as_ref()));
        }
        // What looks on sees steps of the pipeline, so calls go through it even where nothing is recorded.
        let records = options.ledger.is_some() || demands_credentials || metered || tracer.is_some();
        let clock = clock.map(|callable| Arc::new(PyClock::new(callable)));
        let mut gate = GateOptions {
            policies: policies.iter().map(|path| rooted(path)).collect::<PyResult<_>>()?,
            global_policies: global_policies.iter().map(|path| rooted(path)).collect::<PyResult<_>>()?,
            config,
            ..GateOptions::default()
        };
        if let Some(clock) = &clock {
            gate.clock = clock.clone();
        }
        // Reading and compiling files takes long enough to let other threads go on.
        let gate = wait(py, || if external { Gate::external(gate) } else { Gate::open(gate) });
        let gate = gate.map_err(|error| error::gate(py, &error))?;
        let pipeline = Arc::new(Pipeline::new(gate, options));
        Ok(Self {
            pipeline,
            clock,
            records,
            waits,
            external,
            demands_credentials,
            place,
            notifiers,
            tracer,
            metered,
        })
    }

    /// Whether it decides itself; otherwise another evaluator does, and this records.
    #[getter]
    pub(crate) fn is_external(&self) -> bool {
        self.external
    }

    /// Whether calls are recorded or shown to anybody, or credentials demanded.
    #[getter]
    fn records(&self) -> bool {
        self.records
    }

    /// Whether recording waits for a disk.
    #[getter]
    fn waits(&self) -> bool {
        self.waits
    }

    /// Whether spans are made.
    #[getter]
    fn traces(&self) -> bool {
        self.tracer.is_some()
    }

    /// Cleans one text that no call returned.
    fn sanitize(&self, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<SanitizedResponse> {
        let began = Instant::now();
        let cleaned = sanitize_tool_output(text)?;
        if self.metered {
            METRICS.cleaned(cleaned.count());
        }
        if let Some(trace) = self.tracer.as_ref().and_then(|tracer| Trace::of_question(py, tracer)) {
            trace.cleaned(py, began, cleaned.count());
            trace.end(py);
        }
        Ok(cleaned)
    }

    /// The log, where it outlives this process.
    #[getter]
    fn log(&self) -> Option<Log> {
        self.place.clone().filter(|place| !matches!(place, Place::Off | Place::Memory)).map(Log)
    }

    /// A question without an effect, for another evaluator.
    fn question(&self, py: Python<'_>, event: &FrozenEvent) -> Call {
        let tool = event.tool();
        Call::question(py, self.course(py, tool.as_deref(), false), event)
    }

    /// Records the refusal of something that is no event.
    fn note_invalid(
        &self,
        py: Python<'_>,
        decision: &PolicyDecision,
        context: &Bound<'_, PyAny>,
        event_type: &str,
        action: &Bound<'_, PyAny>,
    ) -> PyResult<PolicyDecision> {
        if !self.records {
            return Ok(decision.clone());
        }
        let mut event = Context::inside(context)?.get().event();
        event.set(Field::EventType, event_type);
        event.set(Field::Action, action.extract::<String>().map_or(Value::Null, |text| Value::from(&*text)));
        Ok(self.note_decided(py, event, decision.decision().clone()))
    }

    /// Decides a frozen event, and records the decision.
    fn decide(&self, py: Python<'_>, event: &FrozenEvent) -> PolicyDecision {
        self.question_of(py, event.event())
    }

    /// Decides a frozen event by the policies alone: as a tier of another gate, which records what comes of it. A gate
    /// that demands credentials demands them here too.
    fn judge(&self, py: Python<'_>, event: &FrozenEvent) -> PolicyDecision {
        if self.demands_credentials {
            return self.question_of(py, event.event());
        }
        let mut event = event.event();
        match self.tell_time(py, &mut event) {
            Ok(()) => {
                let (decision, request) = self.gate().judge(event);
                PolicyDecision::of_request(decision, request)
            }
            Err(decision) => PolicyDecision::new(*decision),
        }
    }

    /// Decides a whole event given as JSON text; one that carries its own `now` happens then.
    #[pyo3(signature = (document, /))]
    fn decide_document(&self, py: Python<'_>, document: &Bound<'_, PyAny>) -> PyResult<PolicyDecision> {
        let read = if let Ok(bytes) = document.cast::<PyBytes>() {
            Event::from_json(bytes.as_bytes()).map_err(|error| error.to_string())
        } else if let Ok(text) = document.cast::<PyString>() {
            match text.to_cow() {
                Ok(text) => Event::from_json(text.as_bytes()).map_err(|error| error.to_string()),
                Err(_) => Err("the text holds lone surrogates; send Unicode text".to_owned()),
            }
        } else {
            let found = document.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "`document` must be JSON as str or bytes, got {found}"
            )));
        };
        Ok(match read {
            Ok(event) if event.get(Field::Now).is_null() => self.question_of(py, event),
            Ok(event) => self.answer(py, event),
            Err(reason) => {
                PolicyDecision::new(self.gate().refuse(&format!("the document is no event: {reason}")))
            }
        })
    }

    #[getter]
    fn policy_version(&self) -> String {
        self.gate().policy_version().to_string()
    }

    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.gate().findings().0.into_iter().map(Diagnostic).collect::<Vec<_>>())
    }

    #[getter]
    fn reload_failure(&self) -> Option<String> {
        self.gate().reload_failure().map(|message| message.to_string())
    }
}

/// Relative paths start where the process was when the gate was made, wherever it goes later.
fn rooted(path: &Path) -> PyResult<PathBuf> {
    absolute(path).map_err(|error| PyValueError::new_err(format!("`{}`: {error}", path.display())))
}

impl Engine {
    /// Says what a tool is for.
    pub(crate) fn describe(&self, tool: &str, description: &str) {
        self.pipeline.describe(tool, description);
    }

    pub(crate) fn gate(&self) -> &Gate {
        self.pipeline.gate()
    }

    pub(crate) fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Whom the configuration tells of requests.
    pub(crate) fn notifiers(&self) -> &[Arc<dyn Notifier>] {
        &self.notifiers
    }

    /// Whether the embedded policies decide, and nothing is recorded.
    pub(crate) fn is_bare(&self) -> bool {
        !self.records && !self.external
    }

    /// Decides an event and records the decision; no effect follows.
    pub(crate) fn question_of(&self, py: Python<'_>, mut event: Event) -> PolicyDecision {
        match self.tell_time(py, &mut event) {
            Ok(()) => self.answer(py, event),
            Err(decision) if !self.records => PolicyDecision::new(*decision),
            Err(decision) => {
                // Told by the clock of the system, since the other one fails.
                event.set(Field::Now, &*Timestamp::now().to_string());
                self.note_decided(py, event, *decision)
            }
        }
    }

    fn answer(&self, py: Python<'_>, event: Event) -> PolicyDecision {
        if !self.records {
            let (decision, request) = self.gate().judge(event);
            return PolicyDecision::of_request(decision, request);
        }
        let Course { pipeline, watch, trace } = self.course(py, event.get(Field::ToolName).as_str(), false);
        let refused = wait(py, || pipeline.ask_watched(event, &watch));
        if let Some(trace) = trace {
            trace.end(py);
        }
        PolicyDecision::of_refused(refused)
    }

    /// Records a decision that was made beforehand.
    fn note_decided(&self, py: Python<'_>, event: Event, decision: Decision) -> PolicyDecision {
        let Course { pipeline, watch, trace } = self.course(py, event.get(Field::ToolName).as_str(), false);
        let refused = wait(py, || {
            let prepared = pipeline.prepare(event);
            let request = Request::new(prepared.event().clone());
            pipeline.note_watched(prepared, decision, request, &watch)
        });
        if let Some(trace) = trace {
            trace.end(py);
        }
        PolicyDecision::of_refused(refused)
    }

    /// The way of a call or a question, with those who look on.
    pub(crate) fn course(&self, py: Python<'_>, tool: Option<&str>, acts: bool) -> Course {
        let trace = self.tracer.as_ref().and_then(|tracer| match tool.filter(|_| acts) {
            Some(tool) => Trace::of_call(py, tracer, tool),
            None => Trace::of_question(py, tracer),
        });
        let watch = Trace::join(trace.as_ref(), self.pipeline.watch(&Opening { tool, acts }));
        Course { pipeline: self.pipeline.clone(), watch, trace }
    }

    /// Sets the time of the caller's clock; the decision that refuses when it fails.
    pub(crate) fn tell_time(&self, py: Python<'_>, event: &mut Event) -> Result<(), Box<Decision>> {
        let Some(clock) = &self.clock else { return Ok(()) };
        match clock.ask(py) {
            Ok(now) => {
                event.set(Field::Now, &*now.to_string());
                Ok(())
            }
            Err(error) => {
                let reason = format!("the gate's clock failed: {}; correct `clock`", describe(py, &error));
                let version = self.gate().policy_version();
                Err(Box::new(refusal::failure(DenyCause::EvaluatorFailure, reason, version)))
            }
        }
    }
}

/// The settings: what the program says stands above the environment, which stands above the file.
fn configured(
    py: Python<'_>,
    config: Option<PathBuf>,
    policies: &[PathBuf],
    global_policies: &[PathBuf],
    external: bool,
) -> PyResult<Config> {
    let mut config = match config {
        Some(path) => Config::read(&rooted(&path)?).map_err(|error| error::config(py, &error))?,
        None => Config::default(),
    };
    if external
        && (!config.policies.to_vec().is_empty() || config.global.is_some() || !config.library.is_empty())
    {
        return Err(PyValueError::new_err(
            "`opa_client` decides alone, and `config` names policies; leave `policies`, `global` and `library` out of it",
        ));
    }
    let file = config.clone();
    // Without a current folder only absolute paths can be meant. Threads of the interpreter that set variables
    // hold its lock, as we do.
    let folder = env::current_dir().unwrap_or_default();
    let overridden = config.override_from(env::vars_os(), &folder);
    overridden.map_err(|error| error::config(py, &error))?;
    if !policies.is_empty() {
        config.policies = file.policies;
    }
    if let (Some(global), false) = (&mut config.global, global_policies.is_empty()) {
        global.policies = file.global.map(|global| global.policies).unwrap_or_default();
    }
    Ok(config)
}

/// The ledger that the settings name.
pub(crate) fn open_ledger(py: Python<'_>, config: &Config) -> PyResult<Option<Opened>> {
    let reviewers = config.approvals.reviewers().map_err(|error| error::config(py, &error))?;
    let settings = PlaceSettings {
        reviewers: Arc::new(reviewers),
        ledger: config.ledger.clone(),
        audit_log: config.audit_log.clone(),
        audit_log_rotation: MirrorRotation {
            max_bytes: config.audit_log_rotation.max_bytes,
            max_age_seconds: config.audit_log_rotation.max_age_seconds,
        },
        keys: config.keys.clone(),
        anchor: config.anchor.clone(),
    };
    let folder = env::current_dir().unwrap_or_default();
    ledger::open(&settings, &folder).map_err(|error| error::place(py, &error))
}

/// `audit_log_rotation` as a keyword.
fn rotation_of(given: BTreeMap<String, Option<u64>>) -> PyResult<AuditLogRotation> {
    let mut rotation = AuditLogRotation::default();
    for (key, value) in given {
        let most = value.map(|most| {
            let wrong =
                || PyValueError::new_err(format!("`audit_log_rotation`: `{key}` is 0; write 1 or more"));
            NonZeroU64::new(most).ok_or_else(wrong)
        });
        match key.as_str() {
            "max_bytes" => rotation.max_bytes = most.transpose()?,
            "max_age_seconds" => rotation.max_age_seconds = most.transpose()?,
            _ => {
                let known = "`max_bytes` and `max_age_seconds`";
                return Err(PyValueError::new_err(format!(
                    "`audit_log_rotation` has {known}, and no `{key}`"
                )));
            }
        }
    }
    Ok(rotation)
}

/// `ledger` as settings write it.
pub(crate) fn place_name(path: &Path) -> PyResult<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| PyValueError::new_err("`ledger` is not UTF-8"))
}

/// The frozen event of a tool call, or the decision that refuses it.
#[pyfunction]
pub(crate) fn freeze_call<'py>(
    call: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    event_or_refusal(call.py(), of_call(call, context))
}

/// The frozen event, or the decision that refuses it.
#[pyfunction]
pub(crate) fn freeze_event<'py>(event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    event_or_refusal(event.py(), of_event(event))
}

fn event_or_refusal(py: Python<'_>, frozen: Result<FrozenEvent, FreezeError>) -> PyResult<Bound<'_, PyAny>> {
    match frozen {
        Ok(event) => Ok(Bound::new(py, event)?.into_any()),
        Err(FreezeError::Python(error)) => Err(error),
        Err(refused) => {
            let decision = refusal::invalid(refused.reason(py), "".into());
            Ok(Bound::new(py, PolicyDecision::new(decision))?.into_any())
        }
    }
}
