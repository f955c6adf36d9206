//! Freezing: one walk over foreign objects makes both what policies see and what the tool will receive.
//!
//! Containers are copied before they are looked into, each in one step of the interpreter, so that no other
//! thread can change them between the look and the copy. Exact types only: a subclass may lie about itself.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Object, Value, digest};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple,
    PyType,
};
use smol_str::SmolStr;

/// Deepest nesting of containers in one call.
const MAX_DEPTH: usize = 64;

/// Largest content of one call, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// What one value costs besides its text, in bytes, so that many small values are bounded too.
const NODE_BYTES: usize = 16;

/// Why a call could not be frozen.
pub(crate) enum FreezeError {
    /// The call is refused; the text says why.
    Refused(String),
    /// The interpreter failed.
    Python(PyErr),
}

impl From<PyErr> for FreezeError {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl FreezeError {
    /// The reason for the decision.
    pub(crate) fn reason(self, py: Python<'_>) -> String {
        match self {
            Self::Refused(reason) => reason,
            Self::Python(error) => format!("the arguments could not be read: {}", describe(py, &error)),
        }
    }
}

/// An exception as one line, without running a faulty `__str__` into the ground.
pub(crate) fn describe(py: Python<'_>, error: &PyErr) -> String {
    let name = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    match error.value(py).str() {
        Ok(text) if text.len().is_ok_and(|length| length > 0) => format!("{name}: {text}"),
        _ => name,
    }
}

/// A value for policies and the object for the tool.
pub(crate) type Frozen<'py> = (Value, Bound<'py, PyAny>);

/// One walk over the arguments of one call.
#[derive(Default)]
pub(crate) struct Freezer {
    depth: usize,
    bytes: usize,
}

impl Freezer {
    /// How much it has frozen.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Freezes one object.
    pub(crate) fn freeze<'py>(&mut self, object: &Bound<'py, PyAny>) -> Result<Frozen<'py>, FreezeError> {
        self.spend(NODE_BYTES)?;
        if let Ok(text) = object.cast_exact::<PyString>() {
            return Ok((self.text(text)?, object.clone()));
        }
        if object.cast_exact::<PyInt>().is_ok() {
            return Ok((integer(object)?, object.clone()));
        }
        if let Ok(number) = object.cast_exact::<PyFloat>() {
            return Ok((Value::from_f64(number.value()), object.clone()));
        }
        if let Ok(flag) = object.cast_exact::<PyBool>() {
            return Ok((Value::Bool(flag.is_true()), object.clone()));
        }
        if object.is_none() {
            return Ok((Value::Null, object.clone()));
        }
        if let Ok(dict) = object.cast_exact::<PyDict>() {
            return self.below(|walk| walk.dict(&dict.copy()?));
        }
        if let Ok(list) = object.cast_exact::<PyList>() {
            return self.below(|walk| walk.list(&list.get_slice(0, list.len())));
        }
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            return self.below(|walk| walk.tuple(tuple));
        }
        self.other(object)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), FreezeError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            let message = format!(
                "the arguments are larger than the limit of {MAX_BYTES} bytes; pass a reference instead"
            );
            return Err(FreezeError::Refused(message));
        }
        Ok(())
    }

    fn below<T>(&mut self, walk: impl FnOnce(&mut Self) -> Result<T, FreezeError>) -> Result<T, FreezeError> {
        if self.depth >= MAX_DEPTH {
            let message = format!(
                "the arguments contain themselves or are nested deeper than {MAX_DEPTH} levels; flatten them"
            );
            return Err(FreezeError::Refused(message));
        }
        self.depth += 1;
        let done = walk(self);
        self.depth -= 1;
        done
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> Result<Value, FreezeError> {
        match text.to_str() {
            Ok(content) => {
                self.spend(content.len())?;
                Ok(Value::String(content.into()))
            }
            // Lone surrogates: Python can hold such a text, JSON cannot.
            Err(_) => {
                let encoded = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
                self.leaf("surrogate_string", encoded.extract::<Vec<u8>>()?)
            }
        }
    }

    fn leaf(&mut self, type_name: &str, content: Vec<u8>) -> Result<Value, FreezeError> {
        self.spend(content.len())?;
        Ok(Value::unknown(type_name, content))
    }

    /// Freezes a dict that nobody else holds, in place.
    fn dict<'py>(&mut self, own: &Bound<'py, PyDict>) -> Result<Frozen<'py>, FreezeError> {
        let mut pairs: Vec<(SmolStr, Value)> = Vec::with_capacity(own.len());
        let mut changed: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = Vec::new();
        for (key, member) in own.iter() {
            let Some(name) = key.cast_exact::<PyString>().ok().and_then(|key| key.to_str().ok()) else {
                return self.mapping(own);
            };
            self.spend(name.len())?;
            let (value, copy) = self.freeze(&member)?;
            if !copy.is(&member) {
                changed.push((key.clone(), copy));
            }
            pairs.push((name.into(), value));
        }
        for (key, copy) in changed {
            own.set_item(key, copy)?;
        }
        // The keys of a dict are unique, so nothing can occur twice here.
        let object = Object::from_pairs(pairs).map_err(|key| twice(&key))?;
        Ok((Value::Object(object), own.clone().into_any()))
    }

    /// A dict with keys that are no strings is no JSON object, but it can be copied.
    fn mapping<'py>(&mut self, own: &Bound<'py, PyDict>) -> Result<Frozen<'py>, FreezeError> {
        let copy = PyDict::new(own.py());
        let mut pairs = Vec::with_capacity(own.len());
        for (key, member) in own.iter() {
            let (name, key) = self.freeze(&key)?;
            let (value, member) = self.freeze(&member)?;
            pairs.push(Value::Array(vec![name, value]));
            copy.set_item(key, member)?;
        }
        Ok((unordered("mapping", pairs), copy.into_any()))
    }

    /// Freezes a list that nobody else holds, in place.
    fn list<'py>(&mut self, own: &Bound<'py, PyList>) -> Result<Frozen<'py>, FreezeError> {
        let mut values = Vec::with_capacity(own.len());
        for index in 0..own.len() {
            let member = own.get_item(index)?;
            let (value, copy) = self.freeze(&member)?;
            if !copy.is(&member) {
                own.set_item(index, copy)?;
            }
            values.push(value);
        }
        Ok((Value::Array(values), own.clone().into_any()))
    }

    fn tuple<'py>(&mut self, tuple: &Bound<'py, PyTuple>) -> Result<Frozen<'py>, FreezeError> {
        let mut values = Vec::with_capacity(tuple.len());
        let mut copies = Vec::with_capacity(tuple.len());
        let mut changed = false;
        for member in tuple.iter() {
            let (value, copy) = self.freeze(&member)?;
            changed |= !copy.is(&member);
            values.push(value);
            copies.push(copy);
        }
        let copy = if changed { PyTuple::new(tuple.py(), copies)? } else { tuple.clone() };
        Ok((Value::Array(values), copy.into_any()))
    }

    /// Values that JSON lacks.
    fn other<'py>(&mut self, object: &Bound<'py, PyAny>) -> Result<Frozen<'py>, FreezeError> {
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return Ok((self.leaf("bytes", bytes.as_bytes().to_vec())?, object.clone()));
        }
        if object.is_exact_instance_of::<PyByteArray>() {
            let content = object.cast::<PyByteArray>().map_err(PyErr::from)?.to_vec();
            let copy = PyByteArray::new(object.py(), &content);
            return Ok((self.leaf("bytearray", content)?, copy.into_any()));
        }
        if object.is_exact_instance_of::<PySet>() {
            let own = object.call_method0("copy")?;
            return self.below(|walk| walk.set("set", own));
        }
        if object.is_exact_instance_of::<PyFrozenSet>() {
            return self.below(|walk| walk.set("frozenset", object.clone()));
        }
        let kind = object.get_type();
        let known = Known::of(object.py())?;
        if known.is(&known.paths, &kind) {
            return self.path(object, &kind);
        }
        let name = full_name(&kind);
        if known.is(&known.immutable, &kind) {
            let content = object.repr()?.to_string().into_bytes();
            return Ok((self.leaf(&name, content)?, object.clone()));
        }
        Ok((Value::by_reference(&name), object.clone()))
    }

    /// The members of a set can be hashed; they are kept as they are, so what is not plain is by reference.
    fn set<'py>(&mut self, name: &str, own: Bound<'py, PyAny>) -> Result<Frozen<'py>, FreezeError> {
        let mut values = Vec::new();
        for member in own.try_iter()? {
            values.push(self.freeze(&member?)?.0);
        }
        Ok((unordered(name, values), own))
    }

    /// A path is decided as its text, and the tool receives a fresh path of that text.
    fn path<'py>(
        &mut self,
        object: &Bound<'py, PyAny>,
        kind: &Bound<'py, PyType>,
    ) -> Result<Frozen<'py>, FreezeError> {
        let text = object.str()?;
        Ok((self.text(&text)?, kind.call1((text,))?))
    }
}

fn twice(key: &str) -> FreezeError {
    FreezeError::Refused(format!("two arguments are named `{key}`; rename one"))
}

/// A number: small ones as they are, others by their digits.
fn integer(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(number) = object.extract::<i64>() {
        return Ok(Value::from_i128(number.into()));
    }
    if let Ok(number) = object.extract::<i128>() {
        return Ok(Value::from_i128(number));
    }
    // Decimal digits of a huge number take quadratic time, and Python refuses them.
    let digits = object.call_method1("__format__", ("x",))?.extract::<String>()?;
    Ok(Value::unknown("big_number", digits.into_bytes()))
}

/// A leaf whose content does not depend on the order of its members.
fn unordered(type_name: &str, members: Vec<Value>) -> Value {
    if members.iter().any(Value::has_by_reference) {
        return Value::by_reference(type_name);
    }
    let mut encoded: Vec<Vec<u8>> = members.iter().map(digest::encode).collect();
    encoded.sort();
    Value::unknown(type_name, encoded.concat())
}

fn full_name(kind: &Bound<'_, PyType>) -> String {
    kind.fully_qualified_name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// Types of the standard library that are known to be immutable, or to be rebuilt from their text.
struct Known {
    immutable: Vec<Py<PyType>>,
    paths: Vec<Py<PyType>>,
}

impl Known {
    fn of(py: Python<'_>) -> PyResult<&'static Self> {
        static KNOWN: PyOnceLock<Known> = PyOnceLock::new();
        KNOWN.get_or_try_init(py, || {
            Ok(Self {
                immutable: types(
                    py,
                    &[
                        ("datetime", &["datetime", "date", "time", "timedelta", "timezone"][..]),
                        ("decimal", &["Decimal"]),
                        ("fractions", &["Fraction"]),
                        ("uuid", &["UUID"]),
                        ("builtins", &["complex", "range", "ellipsis"]),
                    ],
                )?,
                paths: types(
                    py,
                    &[("pathlib", &["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"][..])],
                )?,
            })
        })
    }

    fn is(&self, kinds: &[Py<PyType>], kind: &Bound<'_, PyType>) -> bool {
        kinds.iter().any(|known| known.is(kind))
    }
}

fn types(py: Python<'_>, modules: &[(&str, &[&str])]) -> PyResult<Vec<Py<PyType>>> {
    let mut found = Vec::new();
    for (module, names) in modules {
        let module = py.import(*module)?;
        for name in *names {
            // `ellipsis` has no name in `builtins` on every version.
            if let Ok(kind) = module.getattr(*name) {
                found.push(kind.cast_into::<PyType>().map_err(PyErr::from)?.unbind());
            }
        }
    }
    Ok(found)
}
