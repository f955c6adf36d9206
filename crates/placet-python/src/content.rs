//! The sanitiser over Python objects.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::sync::LazyLock;

use parking_lot::Mutex;
use placet::content::{DistinctKeys, Finding, Sanitizer, Stream, labels};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple};

/// The built-in patterns, compiled when something is cleaned for the first time.
static SANITIZER: LazyLock<Sanitizer> = LazyLock::new(Sanitizer::builtin);

/// Deepest nesting that is looked into; what lies deeper is replaced, so that depth hides nothing.
const MAX_DEPTH: usize = 256;

/// What stands in place of what lies too deep.
const TOO_DEEP: &str = "[REDACTED: nested too deep]";

/// A text after cleaning.
#[pyclass(frozen, module = "placet")]
pub(crate) struct SanitizedResponse {
    content: Py<PyString>,
    was_modified: bool,
    findings: Vec<Finding>,
    /// Where each byte offset of a finding lies in characters.
    spans: Vec<(usize, usize)>,
}

impl SanitizedResponse {
    /// How many spans were found.
    pub(crate) fn count(&self) -> usize {
        self.findings.len()
    }
}

#[pymethods]
impl SanitizedResponse {
    #[getter]
    fn content(&self, py: Python<'_>) -> Py<PyString> {
        self.content.clone_ref(py)
    }

    #[getter]
    fn was_modified(&self) -> bool {
        self.was_modified
    }

    /// The labels found, each once.
    #[getter]
    fn injection_patterns_found(&self) -> Vec<String> {
        labels(&self.findings).iter().map(ToString::to_string).collect()
    }

    /// Every finding as label, score, start and end; positions are characters of the original.
    #[getter]
    fn findings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let rows = self.findings.iter().zip(&self.spans);
        PyTuple::new(
            py,
            rows.map(|(found, (start, end))| (&*found.label, found.score, *start, *end)).collect::<Vec<_>>(),
        )
    }

    /// All findings as one number between 0 and 1.
    #[getter]
    fn score(&self) -> f64 {
        placet::content::combined_score(&self.findings)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let found = self.injection_patterns_found().join(", ");
        let found = if found.is_empty() { "clean".to_owned() } else { found };
        Ok(format!("<SanitizedResponse {found}: {}>", self.content.bind(py).repr()?))
    }
}

/// Cleans one text.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn sanitize_tool_output(text: &Bound<'_, PyAny>) -> PyResult<SanitizedResponse> {
    let Ok(text) = text.cast::<PyString>() else {
        let found = text.get_type().name()?;
        return Err(PyTypeError::new_err(format!("sanitize_tool_output takes a str, got {found}")));
    };
    let own = readable(text);
    let cleaned = SANITIZER.clean_text(&own);
    let spans = cleaned.findings.iter().map(|found| characters(&own, &found.span)).collect();
    let content =
        if cleaned.was_modified { PyString::new(text.py(), &cleaned.text) } else { text.clone() }.unbind();
    Ok(SanitizedResponse { content, was_modified: cleaned.was_modified, findings: cleaned.findings, spans })
}

fn characters(text: &str, span: &std::ops::Range<usize>) -> (usize, usize) {
    let start = text.get(..span.start).unwrap_or_default().chars().count();
    (start, start + text.get(span.clone()).unwrap_or_default().chars().count())
}

/// Cleans a tool's schema; returns it with the labels found. The schema given stays as it is.
#[pyfunction]
#[pyo3(signature = (schema, /))]
pub(crate) fn sanitize_tool_schema<'py>(
    schema: &Bound<'py, PyDict>,
) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
    let mut cleaner = Cleaner::default();
    let cleaned = cleaner.value(schema.as_any())?;
    let found = labels(&cleaner.findings).iter().map(ToString::to_string).collect();
    Ok((cleaned.unwrap_or_else(|| schema.clone().into_any()), found))
}

/// Cleans a result of any type; returns the same object when nothing was found.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn clean<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Ok(Cleaner::default().value(value)?.unwrap_or_else(|| value.clone()))
}

/// As `clean`, and returns how many spans were found.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn clean_counted<'py>(value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let mut cleaner = Cleaner::default();
    let cleaned = cleaner.value(value)?.unwrap_or_else(|| value.clone());
    Ok((cleaned, cleaner.findings.len()))
}

/// A text as Rust can read it; lone surrogates become replacement characters.
fn readable<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    text.to_string_lossy()
}

#[derive(Default)]
struct Cleaner {
    findings: Vec<Finding>,
    /// The containers being looked into, from the outside in.
    inside: Vec<usize>,
}

impl Cleaner {
    /// The cleaned object, or `None` when there was nothing to clean.
    fn value<'py>(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Ok(text) = value.cast::<PyString>() {
            return Ok(self.text(text).map(Bound::into_any));
        }
        if let Ok(bytes) = value.cast::<PyBytes>() {
            let cleaned = self.bytes(bytes.as_bytes());
            return Ok(cleaned.map(|bytes| PyBytes::new(value.py(), &bytes).into_any()));
        }
        if let Ok(bytes) = value.cast::<PyByteArray>() {
            let cleaned = self.bytes(&bytes.to_vec());
            return Ok(cleaned.map(|bytes| PyByteArray::new(value.py(), &bytes).into_any()));
        }
        let is_container = value.is_instance_of::<PyDict>()
            || value.is_instance_of::<PyList>()
            || value.is_instance_of::<PyTuple>()
            || value.is_instance_of::<PySet>()
            || value.is_instance_of::<PyFrozenSet>();
        // Something that contains itself is looked into once.
        let address = value.as_ptr() as usize;
        if !is_container || self.inside.contains(&address) {
            return Ok(None);
        }
        if self.inside.len() >= MAX_DEPTH {
            return Ok(Some(PyString::new(value.py(), TOO_DEEP).into_any()));
        }
        self.inside.push(address);
        let cleaned = self.container(value);
        self.inside.pop();
        cleaned
    }

    fn container<'py>(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.dict(dict);
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            let Some(items) = self.items(tuple.iter())? else { return Ok(None) };
            // A named tuple keeps its type; its constructor takes one argument per field.
            if value.hasattr("_fields")? && value.hasattr("_make")? {
                return value.get_type().call_method1("_make", (items,)).map(Some);
            }
            return Ok(Some(PyTuple::new(value.py(), items)?.into_any()));
        }
        let copy: Vec<Bound<'py, PyAny>> = value.try_iter()?.collect::<PyResult<_>>()?;
        let Some(items) = self.items(copy.into_iter())? else { return Ok(None) };
        let items = PyList::new(value.py(), items)?.into_any();
        if value.is_instance_of::<PyList>() {
            return Ok(Some(items));
        }
        let kind = if value.is_instance_of::<PySet>() { "set" } else { "frozenset" };
        value.py().import("builtins")?.getattr(kind)?.call1((items,)).map(Some)
    }

    fn items<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
    ) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        let mut changed = false;
        let mut cleaned = Vec::new();
        for item in items {
            let clean = self.value(&item)?;
            changed |= clean.is_some();
            cleaned.push(clean.unwrap_or(item));
        }
        Ok(changed.then_some(cleaned))
    }

    /// No member is lost: where two keys become equal, the later one gets a number.
    fn dict<'py>(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let own = dict.copy()?;
        let mut distinct = DistinctKeys::default();
        let cleaned = PyDict::new(dict.py());
        let mut changed = false;
        for (key, member) in own.iter() {
            let value = self.value(&member)?;
            let new_key = self.value(&key)?;
            changed |= value.is_some() || new_key.is_some();
            let key = match new_key {
                None => key,
                Some(wanted) => match wanted.cast::<PyString>() {
                    Err(_) => wanted,
                    Ok(wanted) => {
                        let taken = |name: &str| {
                            own.contains(name).unwrap_or(true) || cleaned.contains(name).unwrap_or(true)
                        };
                        PyString::new(dict.py(), &distinct.choose(&wanted.to_string_lossy(), taken))
                            .into_any()
                    }
                },
            };
            cleaned.set_item(key, value.unwrap_or(member))?;
        }
        Ok(changed.then(|| cleaned.into_any()))
    }

    fn text<'py>(&mut self, text: &Bound<'py, PyString>) -> Option<Bound<'py, PyString>> {
        let own = readable(text);
        let cleaned = SANITIZER.clean_text(&own);
        let replaced = cleaned.was_modified.then(|| PyString::new(text.py(), &cleaned.text));
        self.findings.extend(cleaned.findings);
        replaced
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let cleaned = SANITIZER.clean_bytes(bytes);
        self.findings.extend(cleaned.findings);
        cleaned.was_modified.then(|| cleaned.bytes.into_owned())
    }
}

/// A text that arrives in pieces; one window of it is held back, so that no match is cut in two.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct TextStream(Mutex<Stream>);

#[pymethods]
impl TextStream {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(SANITIZER.stream()))
    }

    /// Takes a piece and returns what is ready.
    fn push<'py>(&self, piece: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        let py = piece.py();
        if let Ok(text) = piece.to_str() {
            return Ok(PyString::new(py, &self.0.lock().push(text)));
        }
        // Lone surrogates cannot stand in the window, so such a piece ends the text before it.
        let clean = Cleaner::default().text(piece).unwrap_or_else(|| piece.clone());
        let rest = PyString::new(py, &self.finish());
        Ok(rest.add(clean)?.cast_into::<PyString>()?)
    }

    /// Returns the rest; the next piece begins a new text.
    fn finish(&self) -> String {
        let mut stream = self.0.lock();
        let rest = stream.finish();
        *stream = SANITIZER.stream();
        rest
    }
}
