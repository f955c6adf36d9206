//! The client of an OPA server.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use placet::{OpaClient, OpaOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::decision::PolicyDecision;
use crate::event::FrozenEvent;
use crate::ledger::wait;

/// Asks one OPA server; the interpreter goes on while it waits.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Opa(OpaClient);

#[pymethods]
impl Opa {
    #[new]
    fn new(base_url: String, package: String, timeout_seconds: f64, token: Option<String>) -> PyResult<Self> {
        let timeout = Duration::try_from_secs_f64(timeout_seconds)
            .map_err(|_| PyValueError::new_err("`timeout_seconds` must be a positive number"))?;
        let client = OpaClient::new(OpaOptions { base_url, package, timeout, token });
        Ok(Self(client.map_err(|error| PyValueError::new_err(error.to_string()))?))
    }

    #[getter]
    fn url(&self) -> &str {
        self.0.url()
    }

    fn decide(&self, py: Python<'_>, event: &FrozenEvent) -> PolicyDecision {
        let question = event.event();
        event.decided(wait(py, || self.0.decide(question)))
    }

    fn health(&self, py: Python<'_>) -> bool {
        wait(py, || self.0.is_healthy())
    }

    fn close(&self) {
        self.0.close();
    }
}
