//! A clock of the caller's, for tests and replays.
// SPDX-License-Identifier: MIT OR Apache-2.0

use jiff::Timestamp;
use parking_lot::Mutex;
use placet::Clock;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A callable that returns a `datetime` with a time zone.
pub(crate) struct PyClock {
    callable: Py<PyAny>,
    latest: Mutex<Option<Timestamp>>,
}

impl PyClock {
    pub(crate) fn new(callable: Py<PyAny>) -> Self {
        Self { callable, latest: Mutex::new(None) }
    }

    /// The time that it tells, never earlier than a time told before.
    pub(crate) fn ask(&self, py: Python<'_>) -> PyResult<Timestamp> {
        let told = self.callable.bind(py).call0()?;
        let text = told.call_method0("isoformat")?.extract::<String>()?;
        let told: Timestamp = text.parse().map_err(|_| {
            PyValueError::new_err(format!("`clock` must return a datetime with a time zone, got {text}"))
        })?;
        let mut latest = self.latest.lock();
        let now = latest.map_or(told, |latest| latest.max(told));
        *latest = Some(now);
        Ok(now)
    }
}

impl Clock for PyClock {
    /// A clock that fails stands still; the gate asks it before each decision, and denies then.
    fn now(&self) -> Timestamp {
        let told = Python::attach(|py| self.ask(py));
        told.unwrap_or_else(|_| self.latest.lock().unwrap_or(Timestamp::MAX))
    }
}
