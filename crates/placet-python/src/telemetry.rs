//! Spans for Python's OpenTelemetry, and the metrics of the process.
//!
//! The pipeline's steps are kept beside the call, off the interpreter's lock, and handed to `placet._tracing` when the
//! lock is held anyway. Nothing that Python does with them comes back.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use placet::telemetry::spans::{self, Attribute, Span};
use placet::telemetry::{Lap, Metrics, Step, Watch, Watcher};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::ledger::wait;

/// The metrics of the process, shared by its gates; kept only for gates that ask for them.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// The metrics of this process as text, for Prometheus. Reads the ledgers in use, so it may wait for a disk.
#[pyfunction]
pub(crate) fn metrics(py: Python<'_>) -> String {
    wait(py, || METRICS.render())
}

/// Counts spans that found no room on their way to an exporter.
#[pyfunction]
#[pyo3(signature = (count, /))]
pub(crate) fn spans_dropped(count: u64) {
    METRICS.spans_dropped(count);
}

/// What a call's steps become until Python takes them.
#[derive(Default)]
struct Kept(Mutex<Vec<Span>>);

impl Watcher for Kept {
    fn saw(&self, step: &Step<'_>) {
        self.0.lock().extend(spans::of(step));
    }
}

/// The spans of one call or question, on their way to Python.
pub(crate) struct Trace {
    /// An object of `placet._tracing`.
    event: Py<PyAny>,
    kept: Arc<Kept>,
    ended: AtomicBool,
}

impl Trace {
    /// Begins the span of a governed call, under what is current here.
    pub(crate) fn of_call(py: Python<'_>, tracer: &Py<PyAny>, tool: &str) -> Option<Self> {
        let (effect, of_effect) = spans::of_effect(Some(tool));
        let opened = dict(py, &spans::of_call(tool)).and_then(|attributes| {
            let of_effect = dict(py, &of_effect)?;
            tracer.call_method1(py, "call", (spans::TOOL_CALL, attributes, &*effect, of_effect))
        });
        Self::opened(py, opened)
    }

    /// For a question, whose spans stand under what is current here.
    pub(crate) fn of_question(py: Python<'_>, tracer: &Py<PyAny>) -> Option<Self> {
        Self::opened(py, tracer.call_method0(py, "question"))
    }

    fn opened(py: Python<'_>, event: PyResult<Py<PyAny>>) -> Option<Self> {
        let event = event.inspect_err(|error| report(py, error)).ok()?;
        Some(Self { event, kept: Arc::default(), ended: AtomicBool::new(false) })
    }

    /// Those who look on, and this.
    pub(crate) fn join(trace: Option<&Self>, watch: Watch) -> Watch {
        match trace {
            Some(trace) => watch.with(trace.kept.clone()),
            None => watch,
        }
    }

    /// The object of `placet._tracing`.
    pub(crate) fn event(&self, py: Python<'_>) -> Py<PyAny> {
        self.event.clone_ref(py)
    }

    /// Hands over what was kept.
    pub(crate) fn tell(&self, py: Python<'_>) {
        let kept = std::mem::take(&mut *self.kept.0.lock());
        if !kept.is_empty() {
            self.hand_over(py, &kept);
        }
    }

    /// Hands over what was kept, and says that nothing follows.
    pub(crate) fn end(&self, py: Python<'_>) {
        self.tell(py);
        if !self.ended.swap(true, Ordering::AcqRel)
            && let Err(error) = self.event.call_method0(py, "end")
        {
            report(py, &error);
        }
    }

    /// Hands over the span of cleaning a text.
    pub(crate) fn cleaned(&self, py: Python<'_>, began: Instant, found: usize) {
        self.hand_over(py, &[spans::of_cleaning(&Lap::since(began), found)]);
    }

    fn hand_over(&self, py: Python<'_>, kept: &[Span]) {
        let told = list(py, kept).and_then(|spans| self.event.call_method1(py, "saw", (spans,)));
        if let Err(error) = told {
            report(py, &error);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.ended.load(Ordering::Acquire) {
            let _ = Python::try_attach(|py| self.end(py));
        }
    }
}

/// Whatever goes wrong here is no business of the call.
fn report(py: Python<'_>, error: &PyErr) {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) {
        // It was meant for the program, which hears it at its next step.
        let _ = py.import("_thread").and_then(|thread| thread.call_method0("interrupt_main"));
        return;
    }
    tracing::warn!(target: "placet::telemetry", %error, "spans were lost");
}

fn list<'py>(py: Python<'py>, spans: &[Span]) -> PyResult<Bound<'py, PyList>> {
    let spans: Vec<_> = spans.iter().map(|span| tuple(py, span)).collect::<PyResult<_>>()?;
    PyList::new(py, spans)
}

/// A span as `placet._tracing` reads it: name, begin and end in nanoseconds, attributes, type of error, children.
fn tuple<'py>(py: Python<'py>, span: &Span) -> PyResult<Bound<'py, PyTuple>> {
    let attributes = dict(py, &span.attributes)?;
    let children = list(py, &span.children)?;
    (
        &*span.name,
        nanoseconds(span.began),
        nanoseconds(span.ended),
        attributes,
        span.error.as_deref(),
        children,
    )
        .into_pyobject(py)
}

fn nanoseconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn dict<'py>(py: Python<'py>, attributes: &[(&'static str, Attribute)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in attributes {
        match value {
            Attribute::Text(text) => dict.set_item(key, &**text),
            Attribute::Texts(texts) => {
                dict.set_item(key, texts.iter().map(|text| &**text).collect::<Vec<_>>())
            }
            Attribute::Count(count) => dict.set_item(key, count),
            Attribute::Number(number) => dict.set_item(key, number),
            Attribute::Flag(flag) => dict.set_item(key, flag),
        }?;
    }
    Ok(dict)
}
