//! The clerk that keeps the time of requests and tells people, a turn at a time.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use placet::channels::outbox::{Notifier, Outbox, Told};
use placet::channels::{WebhookNotifier, notice_body};
use placet::trust::approvals::notices::Owed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::approvals::{Stop, failed, webhook_options};
use crate::freeze::describe;
use crate::gate::Engine;
use crate::ledger::wait;
use crate::thaw::thaw;

/// How often a rest looks whether it was ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The least time between two turns.
const REST: Duration = Duration::from_millis(100);

/// A way to tell people.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Receiver(Arc<dyn Notifier>);

#[pymethods]
impl Receiver {
    /// Tells a web server.
    #[staticmethod]
    fn webhook(
        timeout_seconds: f64,
        url: String,
        headers: Vec<(String, String)>,
        key: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        let options = webhook_options(timeout_seconds, url, headers, key)?;
        let made = WebhookNotifier::new(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self(Arc::new(made)))
    }

    /// Tells a callable, which gets a dict.
    #[staticmethod]
    fn callback(channel: &str, callable: Py<PyAny>) -> Self {
        let function = move |notice: &Owed| call_back(&callable, notice);
        Self(Arc::new(Told::new(channel, function)))
    }
}

/// Tells the callable; its failure in words.
fn call_back(callable: &Py<PyAny>, notice: &Owed) -> Result<(), String> {
    let body =
        placet::json::parse(notice_body(notice).to_string().as_bytes()).map_err(|error| error.to_string())?;
    Python::attach(|py| {
        let told = thaw(py, &body).and_then(|body| callable.bind(py).call1((body,)));
        told.map(|_| ()).map_err(|error| describe(py, &error))
    })
}

/// Keeps the time and tells, for the ledger of one gate.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Clerk {
    outbox: Mutex<Outbox>,
}

#[pymethods]
impl Clerk {
    /// A clerk for a gate, who tells these and those of its configuration; None when there is nobody to tell.
    #[staticmethod]
    fn of(engine: &Engine, receivers: Vec<PyRef<'_, Receiver>>) -> Option<Self> {
        let mut notifiers = engine.notifiers().to_vec();
        notifiers.extend(receivers.iter().map(|receiver| receiver.0.clone()));
        if notifiers.is_empty() {
            return None;
        }
        let outbox = Outbox::of_pipeline(engine.pipeline(), notifiers)?;
        Some(Self { outbox: Mutex::new(outbox) })
    }

    /// Does what is due now. Raises when the ledger fails; then it is done in a later turn.
    fn turn(&self, py: Python<'_>) -> PyResult<()> {
        let done = wait(py, || self.outbox.lock().keep_time());
        done.map_err(|error| failed(py, &error))?;
        loop {
            let task = wait(py, || self.outbox.lock().take()).map_err(|error| failed(py, &error))?;
            let Some(task) = task else { return Ok(()) };
            // Outside of `wait`: a fork need not wait for a web server.
            let told = py.detach(|| task.tell());
            if let Err(problem) = &told {
                let notice = task.id();
                tracing::warn!(target: "placet::approvals", %notice, %problem, "a notice was not delivered; it is tried again");
            }
            let settled = wait(py, || self.outbox.lock().settle(&task, &told));
            settled.map_err(|error| failed(py, &error))?;
        }
    }

    /// Rests until the next turn has something to do, or it is ended.
    fn rest(&self, py: Python<'_>, stop: &Stop) {
        let begun = Instant::now();
        let seen = wait(py, || self.outbox.lock().news(0, begun)).unwrap_or(0);
        let until = wait(py, || self.outbox.lock().next_turn()).unwrap_or(begun + Duration::from_secs(1));
        while !stop.is_stopped() && Instant::now() < until {
            let slice = until.min(Instant::now() + LOOK_EVERY);
            py.detach(|| std::thread::sleep(slice.saturating_duration_since(Instant::now())));
            let size = wait(py, || self.outbox.lock().news(seen, Instant::now()));
            if size.is_ok_and(|size| size > seen) && begun.elapsed() >= REST {
                return;
            }
        }
    }
}
