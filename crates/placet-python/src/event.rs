//! From `ToolCallInput` and `GovernanceEvent` to the event document.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Decision, Event, Field, Request, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::context::Context;
use crate::decision::PolicyDecision;
use crate::freeze::{FreezeError, Freezer};
use crate::thaw::thaw;

/// An event that nobody can change any more, with a copy of its arguments as Python objects.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct FrozenEvent {
    event: Event,
    args: Py<PyDict>,
    pub(crate) is_tool_call: bool,
}

impl FrozenEvent {
    pub(crate) fn new(event: Event, args: Py<PyDict>, is_tool_call: bool) -> Self {
        Self { event, args, is_tool_call }
    }

    pub(crate) fn args(&self, py: Python<'_>) -> Py<PyDict> {
        self.args.clone_ref(py)
    }

    /// A decision about this event.
    pub(crate) fn decided(&self, decision: Decision) -> PolicyDecision {
        PolicyDecision::of_request(decision, Request::new(self.event.clone()))
    }

    /// The tool, where it is a call of one.
    pub(crate) fn tool(&self) -> Option<String> {
        self.event.get(Field::ToolName).as_str().filter(|_| self.is_tool_call).map(str::to_owned)
    }

    pub(crate) fn event(&self) -> Event {
        self.event.clone()
    }
}

#[pymethods]
impl FrozenEvent {
    /// Whether it came as a tool call, and not as an event.
    #[getter]
    fn is_tool_call(&self) -> bool {
        self.is_tool_call
    }

    /// What stands otherwise in this event than in the context that it came with.
    fn context_changes<'py>(&self, context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        Context::inside(context)?.get().changes(context.py(), &self.event)
    }

    /// The fields of the object it was made of, as copies: for code that is not to be trusted with what will run.
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        let more = if self.is_tool_call { &[] } else { EVENT_FIELDS };
        for (name, field) in CALL_FIELDS.iter().chain(more) {
            fields.set_item(name, thaw(py, self.event.get(*field))?)?;
        }
        let frozen = Freezer::default().freeze(self.args.bind(py));
        let (_, copy) = frozen.map_err(|error| PyValueError::new_err(error.reason(py)))?;
        fields.set_item("args", copy)?;
        Ok(fields)
    }
}

/// What a caller may say about a tool call, and where it goes.
const CALL_FIELDS: &[(&str, Field)] = &[
    ("action", Field::Action),
    ("tool_name", Field::ToolName),
    ("resource_path", Field::ResourcePath),
    ("target", Field::Target),
    ("tool_tags", Field::ToolTags),
    ("transport", Field::Transport),
    ("data_classification", Field::DataClassification),
];

/// What a caller may say about an event besides that.
const EVENT_FIELDS: &[(&str, Field)] = &[
    ("event_type", Field::EventType),
    ("requested_capabilities", Field::RequestedCapabilities),
    ("delegation_target", Field::DelegationTarget),
    ("steps", Field::Steps),
];

/// Freezes a `ToolCallInput` in a context.
pub(crate) fn of_call(
    call: &Bound<'_, PyAny>,
    context: &Bound<'_, PyAny>,
) -> Result<FrozenEvent, FreezeError> {
    let mut event = Context::inside(context)?.get().event();
    event.set(Field::EventType, "tool_call");
    read(call, CALL_FIELDS, &mut event)?;
    finish(event, &call.getattr("args")?, true)
}

/// Freezes a `GovernanceEvent`.
pub(crate) fn of_event(given: &Bound<'_, PyAny>) -> Result<FrozenEvent, FreezeError> {
    let context = given.getattr("context")?;
    let mut event = Context::inside(&context)?.get().event();
    let session = given.getattr("session_id")?.extract::<String>()?;
    if event.get(Field::SessionId).as_str() != Some(&session) {
        let message =
            format!("the event is of session `{session}`, but its context of another; use one session");
        return Err(FreezeError::Refused(message));
    }
    read(given, CALL_FIELDS, &mut event)?;
    read(given, EVENT_FIELDS, &mut event)?;
    finish(event, &given.getattr("args")?, false)
}

fn read(from: &Bound<'_, PyAny>, fields: &[(&str, Field)], event: &mut Event) -> Result<(), FreezeError> {
    let mut freezer = Freezer::default();
    for (name, field) in fields {
        let (value, _) = freezer.freeze(&from.getattr(*name)?)?;
        event.set(*field, value);
    }
    Ok(())
}

fn finish(mut event: Event, args: &Bound<'_, PyAny>, is_tool_call: bool) -> Result<FrozenEvent, FreezeError> {
    let (value, copy) = Freezer::default().freeze(&as_dict(args)?)?;
    if !matches!(value, Value::Object(_)) {
        let message = "`args` must be a dict with string keys".to_owned();
        return Err(FreezeError::Refused(message));
    }
    event.set(Field::Args, value);
    event.complete();
    let args = copy.cast_into::<PyDict>().map_err(PyErr::from)?.unbind();
    Ok(FrozenEvent { event, args, is_tool_call })
}

/// A mapping as a dict: arguments may come in any mapping.
pub(crate) fn as_dict<'py>(args: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, FreezeError> {
    if args.cast_exact::<PyDict>().is_ok() {
        return Ok(args.clone());
    }
    let Ok(mapping) = args.cast::<PyMapping>() else {
        let found = args.get_type().name()?;
        return Err(FreezeError::Refused(format!("`args` must be a dict with string keys, got {found}")));
    };
    let dict = PyDict::new(args.py());
    dict.update(mapping)?;
    Ok(dict.into_any())
}
