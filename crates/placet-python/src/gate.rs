//! The embedded engine, and the tools that it governs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::path::{Path, PathBuf, absolute};

use jiff::Timestamp;
use parking_lot::Mutex;
use placet::{Config, DenyCause, Event, Field, Gate, GateOptions, Value, refusal};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::bind::{Call, Signature};
use crate::context::{Context, texts};
use crate::decision::PolicyDecision;
use crate::diagnostic::Diagnostic;
use crate::error;
use crate::event::{FrozenEvent, as_dict, of_call, of_event};
use crate::freeze::{FreezeError, describe};

/// The policies in force, embedded.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Engine {
    gate: Gate,
    clock: Option<Py<PyAny>>,
    latest: Mutex<Option<Timestamp>>,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (policies, global_policies, config, clock))]
    fn new(
        py: Python<'_>,
        policies: Vec<PathBuf>,
        global_policies: Vec<PathBuf>,
        config: Option<PathBuf>,
        clock: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let mut config = match config {
            Some(path) => Config::read(&rooted(&path)?).map_err(|error| error::config(py, &error))?,
            None => Config::default(),
        };
        let file = config.clone();
        // Without a current folder only absolute paths can be meant. Threads of the interpreter that set variables
        // hold its lock, as we do.
        let folder = env::current_dir().unwrap_or_default();
        let overridden = config.override_from(env::vars_os(), &folder);
        overridden.map_err(|error| error::config(py, &error))?;
        // What the program says itself stands above the environment.
        if !policies.is_empty() {
            config.policies = file.policies;
        }
        if let (Some(global), false) = (&mut config.global, global_policies.is_empty()) {
            global.policies = file.global.map(|global| global.policies).unwrap_or_default();
        }
        let options = GateOptions {
            policies: policies.iter().map(|path| rooted(path)).collect::<PyResult<_>>()?,
            global_policies: global_policies.iter().map(|path| rooted(path)).collect::<PyResult<_>>()?,
            config,
            ..GateOptions::default()
        };
        // Reading and compiling files takes long enough to let other threads go on.
        let gate = py.detach(|| Gate::open(options)).map_err(|error| error::gate(py, &error))?;
        Ok(Self { gate, clock, latest: Mutex::new(None) })
    }

    /// Decides a frozen event.
    fn decide(&self, py: Python<'_>, event: &FrozenEvent) -> PolicyDecision {
        self.judge(py, event.event())
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
            Ok(event) if event.get(Field::Now).is_null() => self.judge(py, event),
            Ok(event) => {
                let (decision, request) = self.gate.judge(event);
                PolicyDecision::of_request(decision, request)
            }
            Err(reason) => {
                PolicyDecision::new(self.gate.refuse(&format!("the document is no event: {reason}")))
            }
        })
    }

    #[getter]
    fn policy_version(&self) -> String {
        self.gate.policy_version().to_string()
    }

    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.gate.findings().0.into_iter().map(Diagnostic).collect::<Vec<_>>())
    }

    #[getter]
    fn reload_failure(&self) -> Option<String> {
        self.gate.reload_failure().map(|message| message.to_string())
    }
}

/// Relative paths start where the process was when the gate was made, wherever it goes later.
fn rooted(path: &Path) -> PyResult<PathBuf> {
    absolute(path).map_err(|error| PyValueError::new_err(format!("`{}`: {error}", path.display())))
}

impl Engine {
    fn judge(&self, py: Python<'_>, mut event: Event) -> PolicyDecision {
        match self.now(py) {
            Ok(None) => {}
            Ok(Some(now)) => event.set(Field::Now, &*now.to_string()),
            Err(error) => {
                let reason = format!("the gate's clock failed: {}; correct `clock`", describe(py, &error));
                let version = self.gate.policy_version();
                return PolicyDecision::new(refusal::failure(DenyCause::EvaluatorFailure, reason, version));
            }
        }
        let (decision, request) = self.gate.judge(event);
        PolicyDecision::of_request(decision, request)
    }

    /// The time of the caller's clock, never earlier than a time told before.
    fn now(&self, py: Python<'_>) -> PyResult<Option<Timestamp>> {
        let Some(clock) = &self.clock else { return Ok(None) };
        let told = clock.bind(py).call0()?;
        let text = told.call_method0("isoformat")?.extract::<String>()?;
        let told: Timestamp = text.parse().map_err(|_| {
            PyValueError::new_err(format!("`clock` must return a datetime with a time zone, got {text}"))
        })?;
        let mut latest = self.latest.lock();
        let now = latest.map_or(told, |latest| latest.max(told));
        *latest = Some(now);
        Ok(Some(now))
    }
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

/// A tool under governance: its signature, and everything of its events that is known beforehand.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Tool {
    name: String,
    signature: Signature,
    template: Event,
    paths: Vec<String>,
    engine: Option<Py<Engine>>,
    /// What a partial binds beforehand.
    bound: (Py<PyTuple>, Py<PyDict>),
}

#[pymethods]
impl Tool {
    #[new]
    #[pyo3(signature = (*, name, action, parameters, bound, context, engine, tags, target, transport, paths, classification))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `governed`")]
    fn new(
        name: String,
        action: &str,
        parameters: &Bound<'_, PyList>,
        bound: (Py<PyTuple>, Py<PyDict>),
        context: &Bound<'_, PyAny>,
        engine: Option<Py<Engine>>,
        tags: &Bound<'_, PyAny>,
        target: Option<&str>,
        transport: Option<&str>,
        paths: &Bound<'_, PyAny>,
        classification: Option<&str>,
    ) -> PyResult<Self> {
        let mut template = Context::inside(context)?.get().event();
        template.set(Field::EventType, "tool_call");
        template.set(Field::Action, action);
        template.set(Field::ToolName, &*name);
        template.set(Field::ToolTags, strings("tags", tags)?);
        for (field, value) in [(Field::Target, target), (Field::DataClassification, classification)] {
            template.set(field, value.map_or(Value::Null, Value::from));
        }
        if let Some(transport) = transport {
            if !["local", "mcp", "http"].contains(&transport) {
                let message = format!("`{transport}` is no transport; use local, mcp or http");
                return Err(PyValueError::new_err(message));
            }
            template.set(Field::Transport, transport);
        }
        let paths = strings("paths", paths)?;
        let paths = paths.as_array().unwrap_or_default().iter().filter_map(Value::as_str);
        Ok(Self {
            name,
            signature: Signature::new(parameters)?,
            template,
            paths: paths.map(str::to_owned).collect(),
            engine,
            bound,
        })
    }

    /// Binds, freezes and decides a call; returns what the tool is to be called with, or raises.
    fn begin<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let py = args.py();
        let Call { args, positional, keywords } = self.bind(args, kwargs)?;
        let Some(engine) = &self.engine else {
            return Err(PyTypeError::new_err("this tool is not decided by the embedded engine"));
        };
        let decision = engine.get().judge(py, self.event(args));
        error::refuse_tool(py, &self.name, decision)?;
        Ok((positional, keywords))
    }

    /// Binds and freezes a call; returns its event and what the tool is to be called with, or raises.
    fn freeze<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<(FrozenEvent, Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let Call { args, positional, keywords } = self.bind(args, kwargs)?;
        let named = self.signature.names(&positional, &keywords)?;
        let mut event = self.event(args);
        event.complete();
        Ok((FrozenEvent::of_call(event, named.unbind()), positional, keywords))
    }

    /// Raises unless a decision allows this tool.
    fn refuse(&self, py: Python<'_>, decision: PolicyDecision) -> PyResult<()> {
        error::refuse_tool(py, &self.name, decision)
    }

    /// Turns arguments by name into positional and keyword arguments, or raises.
    fn spread<'py>(&self, args: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let py = args.py();
        let spread = as_dict(args).and_then(|dict| {
            let dict = dict.cast_into::<PyDict>().map_err(PyErr::from)?;
            self.signature.spread(&dict, self.bound.0.bind(py).len())
        });
        spread.map_err(|error| self.invalid(py, error))
    }
}

impl Tool {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tags(&self) -> &[Value] {
        self.template.get(Field::ToolTags).as_array().unwrap_or_default()
    }

    fn bind<'py>(&self, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>) -> PyResult<Call<'py>> {
        let py = args.py();
        let (before, defaults) = (self.bound.0.bind(py), self.bound.1.bind(py));
        if !before.is_empty() || !defaults.is_empty() {
            let args = before.as_sequence().concat(args.as_sequence())?.to_tuple()?;
            let all = defaults.copy()?;
            all.update(kwargs.as_mapping())?;
            return self.signature.bind(&args, &all).map_err(|error| self.invalid(py, error));
        }
        self.signature.bind(args, kwargs).map_err(|error| self.invalid(py, error))
    }

    fn event(&self, args: placet::Object) -> Event {
        let mut event = self.template.clone();
        if !self.paths.is_empty() {
            let named = self.paths.iter().filter_map(|name| args.get(name)).filter(|value| !value.is_null());
            let resources = named.flat_map(|value| match value {
                Value::Array(several) => several.clone(),
                one => vec![one.clone()],
            });
            event.set(Field::Resources, Value::Array(resources.collect()));
        }
        event.set(Field::Args, args);
        event
    }

    fn invalid(&self, py: Python<'_>, error: FreezeError) -> PyErr {
        let version = self.engine.as_ref().map(|engine| engine.get().gate.policy_version());
        let decision = refusal::invalid(error.reason(py), version.unwrap_or_default());
        error::refuse_tool(py, &self.name, PolicyDecision::new(decision))
            .map_or_else(|error| error, |()| PyTypeError::new_err("an invalid call was not refused"))
    }
}

fn strings(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if given.is_none() {
        return Ok(Value::Array(Vec::new()));
    }
    texts(given)?.ok_or_else(|| PyTypeError::new_err(format!("`{name}` must be a list of strings")))
}
