//! The command line and the export of policies, for the wheel.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::OsString;
use std::path::PathBuf;

use placet::{SourceFile, export, files};
use placet_cli::Streams;
use pyo3::exceptions::PyFileNotFoundError;
use pyo3::prelude::*;

use crate::error;

/// Runs the command line, the program's name first, and returns its exit code.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    // The interpreter has nothing to do meanwhile, but its threads may.
    py.detach(|| placet_cli::run_process(arguments) as i32)
}

/// Runs the command line, the program's name first; returns its exit code and what it wrote to stdout and stderr.
#[pyfunction]
pub(crate) fn capture(py: Python<'_>, arguments: Vec<OsString>) -> (i32, String, String) {
    py.detach(|| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams {
            stdin: Box::new(std::io::empty()),
            stdout: Box::new(&mut out),
            stderr: Box::new(&mut err),
            colour_stdout: false,
            colour_stderr: false,
            progress: false,
        };
        let exit = placet_cli::run(arguments, streams) as i32;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (exit, text(out), text(err))
    })
}

/// Exports a YAML policy file to Rego.
#[pyfunction]
#[pyo3(signature = (path, /))]
pub(crate) fn compile_yaml(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    if !path.exists() {
        return Err(PyFileNotFoundError::new_err(format!("Policy file not found: {}", path.display())));
    }
    let file = files::read(&path).map_err(|error| error::file(py, &error))?;
    export::compile(&file).map_err(|found| error::policy(py, &found))
}

/// Exports a YAML policy given as text to Rego.
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn compile_yaml_string(py: Python<'_>, text: &str) -> PyResult<String> {
    let file = SourceFile::new("policy.yaml", text);
    export::compile(&file).map_err(|found| error::policy(py, &found))
}
