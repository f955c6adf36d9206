//! The tools that a gate governs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Event, Field, Value, refusal};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::bind::{Call as BoundCall, Signature};
use crate::call::{Call, Course};
use crate::context::{Context, texts};
use crate::decision::PolicyDecision;
use crate::error;
use crate::event::as_dict;
use crate::freeze::FreezeError;
use crate::gate::Engine;

/// A tool under governance: its signature, and everything of its events that is known beforehand.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Tool {
    name: String,
    signature: Signature,
    template: Event,
    paths: Vec<String>,
    engine: Py<Engine>,
    /// What a partial binds beforehand.
    bound: (Py<PyTuple>, Py<PyDict>),
}

#[pymethods]
impl Tool {
    #[new]
    #[pyo3(signature = (*, name, action, parameters, bound, context, engine, tags, target, transport, paths, classification, description))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `governed`")]
    fn new(
        name: String,
        action: &str,
        parameters: &Bound<'_, PyList>,
        bound: (Py<PyTuple>, Py<PyDict>),
        context: &Bound<'_, PyAny>,
        engine: Py<Engine>,
        tags: &Bound<'_, PyAny>,
        target: Option<&str>,
        transport: Option<&str>,
        paths: &Bound<'_, PyAny>,
        classification: Option<&str>,
        description: Option<&str>,
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
        let signature = Signature::new(parameters)?;
        if let Some(description) = description {
            engine.get().describe(&name, description);
        }
        let paths = strings("paths", paths)?;
        let paths = paths.as_array().unwrap_or_default().iter().filter_map(Value::as_str);
        let paths: Vec<String> = paths.map(str::to_owned).collect();
        // A misspelt name would leave a path that no guard looks at.
        if let Some(unknown) = paths.iter().find(|path| !signature.takes(path)) {
            let message = format!("`paths` names `{unknown}`, which is no parameter of `{name}`; correct it");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self { name, signature, template, paths, engine, bound })
    }

    /// Binds, freezes, decides and records a call, and spends its permit; returns what the tool is to be called with
    /// and the call, which owes an outcome, or None where nothing is recorded. Raises unless it is allowed.
    fn begin<'py>(&self, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>) -> PyResult<Begun<'py>> {
        let py = args.py();
        let engine = self.engine.get();
        if engine.is_bare() {
            let BoundCall { args, positional, keywords } =
                self.bind(args, kwargs).map_err(|error| self.invalid(py, error))?;
            error::refuse_tool(py, &self.name, engine.question_of(py, self.event(args)))?;
            return Ok((positional, keywords, None));
        }
        let call = self.freeze(args, kwargs)?;
        call.decide_and_spend(py)?;
        let (positional, keywords) = call.called_with(py)?;
        Ok((positional, keywords, Some(Bound::new(py, call)?)))
    }

    /// Binds and freezes a call, and decides nothing yet. One that cannot be bound is refused when it is decided.
    fn freeze<'py>(&self, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>) -> PyResult<Call> {
        let py = args.py();
        let engine = self.engine.get();
        let course = engine.course(py, Some(&self.name), true);
        let BoundCall { args, positional, keywords } = match self.bind(args, kwargs) {
            Ok(bound) => bound,
            Err(error) => return Ok(self.refused(py, course, error)),
        };
        let named = if engine.is_external() {
            Some(self.signature.names(&positional, &keywords)?.unbind())
        } else {
            None
        };
        let mut event = self.event(args);
        if let Err(decision) = engine.tell_time(py, &mut event) {
            return Ok(Call::invalid(course, &self.name, event, *decision));
        }
        let frozen = (positional.unbind(), keywords.unbind());
        Ok(Call::of_tool(course, &self.name, event, frozen, named))
    }

    /// Turns arguments by name into positional and keyword arguments; a call that refuses them when it is decided,
    /// where they do not fit.
    fn spread<'py>(&self, args: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let spread = as_dict(args).and_then(|dict| {
            let dict = dict.cast_into::<PyDict>().map_err(PyErr::from)?;
            self.signature.spread(&dict, self.bound.0.bind(py).len())
        });
        match spread {
            Ok(spread) => Ok(spread.into_pyobject(py)?.into_any()),
            Err(error) => {
                let course = self.engine.get().course(py, Some(&self.name), true);
                Ok(Bound::new(py, self.refused(py, course, error))?.into_any())
            }
        }
    }
}

/// What a tool is to be called with, and the call that owes an outcome.
type Begun<'py> = (Bound<'py, PyTuple>, Bound<'py, PyDict>, Option<Bound<'py, Call>>);

impl Tool {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn tags(&self) -> &[Value] {
        self.template.get(Field::ToolTags).as_array().unwrap_or_default()
    }

    fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> Result<BoundCall<'py>, FreezeError> {
        let py = args.py();
        let (before, defaults) = (self.bound.0.bind(py), self.bound.1.bind(py));
        if !before.is_empty() || !defaults.is_empty() {
            let args = before.as_sequence().concat(args.as_sequence())?.to_tuple()?;
            let all = defaults.copy()?;
            all.update(kwargs.as_mapping())?;
            return self.signature.bind(&args, &all);
        }
        self.signature.bind(args, kwargs)
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

    fn decision_on(&self, py: Python<'_>, error: FreezeError) -> placet::Decision {
        let engine = self.engine.get();
        let version = if engine.is_external() { "".into() } else { engine.gate().policy_version() };
        refusal::invalid(error.reason(py), version)
    }

    /// A call that could not be bound or frozen.
    fn refused(&self, py: Python<'_>, course: Course, error: FreezeError) -> Call {
        let decision = self.decision_on(py, error);
        Call::invalid(course, &self.name, self.event(placet::Object::new()), decision)
    }

    fn invalid(&self, py: Python<'_>, error: FreezeError) -> PyErr {
        error::refuse_tool(py, &self.name, PolicyDecision::new(self.decision_on(py, error)))
            .map_or_else(|error| error, |()| PyTypeError::new_err("an invalid call was not refused"))
    }
}

fn strings(name: &str, given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if given.is_none() {
        return Ok(Value::Array(Vec::new()));
    }
    texts(given)?.ok_or_else(|| PyTypeError::new_err(format!("`{name}` must be a list of strings")))
}
