//! The steps of a plan, with what is known of their tools.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Value, normal_form};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple};

use crate::tool::Tool;

/// A copy of a step that also carries the tags of its tool, under any spelling of its name.
///
/// What is no step, and tags that are no list, stay as they are: unknown to every rule.
#[pyfunction]
pub(crate) fn tagged_step<'py>(
    step: &Bound<'py, PyAny>,
    tools: Vec<PyRef<'py, Tool>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Ok(given) = step.cast::<PyMapping>() else { return Ok(step.clone()) };
    let step = PyDict::new(step.py());
    step.update(given)?;
    let mut names = Vec::new();
    for key in ["tool_name", "tool"] {
        let name = step.get_item(key)?.and_then(|name| name.extract::<String>().ok());
        names.extend(name.map(|name| normal_form(&name).into_owned()));
    }
    let held = match step.get_item("tool_tags")? {
        None => PyList::empty(step.py()),
        Some(held) if held.is_none() => PyList::empty(step.py()),
        Some(held) if held.is_instance_of::<PyList>() || held.is_instance_of::<PyTuple>() => {
            PyList::new(step.py(), held.try_iter()?.collect::<PyResult<Vec<_>>>()?)?
        }
        Some(_) => return Ok(step.into_any()),
    };
    let known = tools.iter().filter(|tool| names.iter().any(|name| *name == normal_form(tool.name())));
    for tag in known.flat_map(|tool| tool.tags()).filter_map(Value::as_str) {
        if !held.contains(tag)? {
            held.append(tag)?;
        }
    }
    step.set_item("tool_tags", held)?;
    Ok(step.into_any())
}
