//! The exception classes, which are written in Python, and how to raise them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::trust::LedgerError;
use placet::trust::credentials::broker::BrokerError;
use placet::{ConfigError, DenyCause, Diagnostics, FileError, GateError};
use placet_store::PlaceError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::decision::PolicyDecision;
use crate::diagnostic::Diagnostic;

macro_rules! classes {
    ($($function:ident = $name:literal,)+) => {
        $(pub(crate) fn $function(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
            static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
            CLASS.import(py, "placet._errors", $name)
        })+
    };
}

classes! {
    governance_error = "GovernanceError",
    policy_error = "PolicyError",
    config_error = "ConfigError",
    credential_error = "CredentialError",
    audit_error = "AuditError",
}

/// Raises `GovernanceError` with the decision attached.
pub(crate) fn governance(py: Python<'_>, message: String, decision: PolicyDecision) -> PyErr {
    let error = governance_error(py).and_then(|class| class.call1((message, decision)));
    error.map_or_else(|error| error, PyErr::from_value)
}

/// Raises `GovernanceError` for a tool call unless it is allowed.
pub(crate) fn refuse_tool(py: Python<'_>, tool: &str, decision: PolicyDecision) -> PyResult<()> {
    match placet::refusal::of_tool(tool, decision.decision()) {
        None => Ok(()),
        Some(message) => Err(governance(py, message, decision)),
    }
}

/// Raises `PolicyError` or `ConfigError` for a gate that could not be opened.
pub(crate) fn gate(py: Python<'_>, error: &GateError) -> PyErr {
    let message = error.to_string();
    let error = match error {
        GateError::Policy(found) => return policy(py, found),
        GateError::File(_) => plain(py, policy_error, message, "policy_unavailable"),
        GateError::NoPolicy => plain(py, policy_error, message, "policy_missing"),
        GateError::UnknownLibrary { .. } => plain(py, config_error, message, "unknown_library"),
        GateError::Config(_) => plain(py, config_error, message, "config_invalid"),
        _ => plain(py, policy_error, message, "policy_unavailable"),
    };
    error.unwrap_or_else(|error| error)
}

/// Raises `ConfigError`.
pub(crate) fn config(py: Python<'_>, error: &ConfigError) -> PyErr {
    plain(py, config_error, error.to_string(), "config_invalid").unwrap_or_else(|error| error)
}

/// Raises `ConfigError` for a ledger that cannot be set up.
pub(crate) fn place(py: Python<'_>, error: &PlaceError) -> PyErr {
    plain(py, config_error, error.to_string(), "config_invalid").unwrap_or_else(|error| error)
}

/// Raises `CredentialError`.
pub(crate) fn credential(py: Python<'_>, error: &BrokerError) -> PyErr {
    let cause = match error {
        BrokerError::Ledger(LedgerError::Tampered { .. }) => DenyCause::StateTampered,
        BrokerError::Ledger(_) => DenyCause::AuditUnavailable,
        _ => DenyCause::CredentialValidation,
    };
    let lines: Vec<String> = error.lines().iter().map(ToString::to_string).collect();
    let example = error.witness().map(ToString::to_string);
    let made =
        credential_error(py).and_then(|class| class.call1((error.to_string(), cause.code(), lines, example)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Raises `CredentialError` for what is no credential.
pub(crate) fn refused_credential(py: Python<'_>, message: String) -> PyErr {
    let code = DenyCause::CredentialValidation.code();
    plain(py, credential_error, message, code).unwrap_or_else(|error| error)
}

/// Raises `AuditError`.
pub(crate) fn audit(py: Python<'_>, message: &str) -> PyErr {
    let code = DenyCause::AuditUnavailable.code();
    plain(py, audit_error, message.to_owned(), code).unwrap_or_else(|error| error)
}

/// Raises `PolicyError` for a file that cannot be read.
pub(crate) fn file(py: Python<'_>, error: &FileError) -> PyErr {
    plain(py, policy_error, error.to_string(), "policy_unavailable").unwrap_or_else(|error| error)
}

/// Raises `PolicyError` with every finding.
pub(crate) fn policy(py: Python<'_>, found: &Diagnostics) -> PyErr {
    let diagnostics: Vec<Diagnostic> = found.0.iter().cloned().map(Diagnostic).collect();
    let error =
        policy_error(py).and_then(|class| class.call1((found.to_string(), "policy_invalid", diagnostics)));
    error.map_or_else(|error| error, PyErr::from_value)
}

fn plain(
    py: Python<'_>,
    class: fn(Python<'_>) -> PyResult<&Bound<'_, PyType>>,
    message: String,
    code: &str,
) -> PyResult<PyErr> {
    Ok(PyErr::from_value(class(py)?.call1((message, code))?))
}
