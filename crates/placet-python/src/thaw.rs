//! From values back to Python objects.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::Value;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// The object for a value; a leaf that JSON lacks becomes `{"$unknown": type}`, as in JSON.
pub(crate) fn thaw<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(thaw(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(object) => {
            let dict = PyDict::new(py);
            for (key, value) in object.iter() {
                dict.set_item(key.as_str(), thaw(py, value)?)?;
            }
            dict.into_any()
        }
        Value::Unknown(leaf) => {
            let dict = PyDict::new(py);
            dict.set_item("$unknown", leaf.type_name.as_str())?;
            dict.into_any()
        }
    })
}
