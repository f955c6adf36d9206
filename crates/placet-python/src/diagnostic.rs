//! Findings in policy files.
// SPDX-License-Identifier: MIT OR Apache-2.0

use pyo3::prelude::*;

/// One finding in a policy file: where, what, and what to do.
#[pyclass(frozen, module = "placet")]
pub(crate) struct Diagnostic(pub(crate) placet::Diagnostic);

#[pymethods]
impl Diagnostic {
    #[getter]
    fn severity(&self) -> &'static str {
        self.0.severity.word()
    }

    #[getter]
    fn code(&self) -> String {
        self.0.code.to_string()
    }

    #[getter]
    fn file(&self) -> String {
        self.0.file.to_string()
    }

    #[getter]
    fn line(&self) -> u32 {
        self.0.position.line
    }

    #[getter]
    fn column(&self) -> u32 {
        self.0.position.column
    }

    #[getter]
    fn message(&self) -> String {
        self.0.message.clone()
    }

    #[getter]
    fn help(&self) -> Option<String> {
        self.0.help.clone()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        let found = &self.0;
        format!("<Diagnostic {}:{}: {}>", found.file, found.position.line, found.message)
    }
}
