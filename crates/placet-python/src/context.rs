//! The part of every event that a `SessionContext` fills: who calls, with which scopes and budgets.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Event, Field, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::freeze::Freezer;
use crate::thaw::thaw;

/// A validated `SessionContext`, as an event with nothing else in it.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Context {
    event: Event,
}

/// Keyword, field, and what the field takes.
const FIELDS: &[(&str, Field, Kind)] = &[
    ("session_id", Field::SessionId, Kind::Text),
    ("user_role", Field::UserRole, Kind::Text),
    ("session_scopes", Field::SessionScopes, Kind::Texts),
    ("sandbox_verified", Field::SandboxVerified, Kind::Flag),
    ("token_id", Field::TokenId, Kind::OptionalText),
    ("delegation_depth", Field::DelegationDepth, Kind::Count),
    ("parent_token_id", Field::ParentTokenId, Kind::OptionalText),
    ("parent_session_id", Field::ParentSessionId, Kind::OptionalText),
    ("tenant_id", Field::TenantId, Kind::OptionalText),
    ("agent_id", Field::AgentId, Kind::OptionalText),
    ("user", Field::User, Kind::OptionalText),
    ("budget_total_tokens", Field::BudgetTotalTokens, Kind::Amount),
    ("budget_used_tokens", Field::BudgetUsedTokens, Kind::Amount),
    ("budget_total_api_calls", Field::BudgetTotalApiCalls, Kind::Amount),
    ("budget_used_api_calls", Field::BudgetUsedApiCalls, Kind::Amount),
    ("budget_total_cost_cents", Field::BudgetTotalCostCents, Kind::Amount),
    ("budget_used_cost_cents", Field::BudgetUsedCostCents, Kind::Amount),
    ("budget_total_compute_seconds", Field::BudgetTotalComputeSeconds, Kind::Amount),
    ("budget_used_compute_seconds", Field::BudgetUsedComputeSeconds, Kind::Amount),
    ("attributes", Field::Attributes, Kind::Mapping),
];

/// Texts that are None when they are absent; the other optional ones are empty.
const OR_NONE: &[&str] = &["tenant_id", "agent_id", "user"];

/// What a field takes.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    OptionalText,
    Texts,
    Flag,
    Count,
    Amount,
    Mapping,
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::OptionalText => "a string or None",
            Self::Texts => "a list of strings",
            Self::Flag => "True or False",
            Self::Count => "an integer of at least 0",
            Self::Amount => "a number of at least 0, or None",
            Self::Mapping => "a dict with string keys, or None",
        }
    }

    /// The value, or `None` when the object is not of this kind.
    fn read(self, object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
        let frozen = match self {
            // An id or a role may be a member of a string enumeration.
            Self::Text | Self::OptionalText => {
                object.extract::<String>().ok().map(|text| Value::from(&*text))
            }
            Self::Texts => texts(object)?,
            Self::Flag | Self::Count | Self::Amount | Self::Mapping => {
                let frozen = Freezer::default().freeze(object);
                Some(frozen.map_err(|error| PyValueError::new_err(error.reason(object.py())))?.0)
            }
        };
        Ok(match (self, frozen) {
            (Self::OptionalText, Some(Value::String(text))) if text.is_empty() => Some(Value::Null),
            (Self::OptionalText | Self::Amount | Self::Mapping, None | Some(Value::Null))
                if object.is_none() =>
            {
                Some(Value::Null)
            }
            (Self::Text | Self::OptionalText, Some(text @ Value::String(_))) => Some(text),
            (Self::Texts, Some(list @ Value::Array(_))) => Some(list),
            (Self::Flag, Some(flag @ Value::Bool(_))) => Some(flag),
            (Self::Count, Some(count @ Value::Int(0..))) => Some(count),
            (Self::Amount, Some(number)) if number.as_number().is_some_and(|number| number >= 0.0) => {
                Some(number)
            }
            (Self::Mapping, Some(object @ Value::Object(_))) => Some(object),
            _ => None,
        })
    }
}

/// A list of strings; one string is not taken for the list of its letters.
pub(crate) fn texts(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    if object.is_instance_of::<PyString>() {
        return Ok(None);
    }
    let mut values = Vec::new();
    for item in object.try_iter()? {
        match item?.extract::<String>() {
            Ok(text) => values.push(Value::from(&*text)),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(Value::Array(values)))
}

impl Context {
    /// The event to fill in.
    pub(crate) fn event(&self) -> Event {
        self.event.clone()
    }

    /// The fields of an event that differ from this, by keyword.
    pub(crate) fn changes<'py>(&self, py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
        let changes = PyDict::new(py);
        for (name, field, kind) in FIELDS {
            let (was, is) = (self.event.get(*field), event.get(*field));
            // Nothing spent is what a context without an amount says, too.
            if was == is || (was.is_null() && is.as_number() == Some(0.0)) {
                continue;
            }
            // Some texts of a context are never None.
            let empty = is.is_null() && matches!(kind, Kind::OptionalText) && !OR_NONE.contains(name);
            let value = if empty { "".into_pyobject(py)?.into_any() } else { thaw(py, is)? };
            changes.set_item(name, value)?;
        }
        Ok(changes)
    }

    /// The template inside a `SessionContext`.
    pub(crate) fn inside<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let inside = context.getattr("_template").and_then(|inside| Ok(inside.cast_into::<Self>()?));
        inside.map_err(|_| {
            let found =
                context.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("`context` must be a SessionContext, got {found}"))
        })
    }
}

#[pymethods]
impl Context {
    /// Takes every field of a `SessionContext` by name.
    #[new]
    fn new(fields: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut event = Event::default();
        for (name, field, kind) in FIELDS {
            let Some(object) = fields.get_item(name)? else { continue };
            let Some(value) = kind.read(&object)? else {
                let message =
                    format!("SessionContext: `{name}` must be {}, got {}", kind.words(), object.repr()?);
                return Err(PyTypeError::new_err(message));
            };
            event.set(*field, value);
        }
        event.complete();
        Ok(Self { event })
    }
}
