//! Binding a call to the signature of a tool, and freezing what was bound.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Object, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use smol_str::SmolStr;

use crate::freeze::{FreezeError, Freezer};

/// How a parameter may be given; the order is that of `inspect.Parameter.kind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    PositionalOnly,
    Positional,
    Rest,
    Keyword,
    RestByName,
}

/// One parameter of the tool.
struct Parameter {
    name: Py<PyString>,
    key: SmolStr,
    kind: Kind,
    default: Option<Py<PyAny>>,
    /// Whether this is the object a method belongs to: passed on, and no argument.
    is_receiver: bool,
}

/// The parameters of a tool, read once.
pub(crate) struct Signature {
    parameters: Vec<Parameter>,
    has_rest_by_name: bool,
}

/// A bound call: what policies see, and what the tool receives.
pub(crate) struct Call<'py> {
    pub(crate) args: Object,
    pub(crate) positional: Bound<'py, PyTuple>,
    pub(crate) keywords: Bound<'py, PyDict>,
}

/// A call while it is bound.
struct Binding<'py> {
    freezer: Freezer,
    pairs: Vec<(SmolStr, Value)>,
    positional: Vec<Bound<'py, PyAny>>,
    keywords: Bound<'py, PyDict>,
    /// How many of the given keyword arguments have found their parameter.
    used: usize,
}

impl<'py> Binding<'py> {
    /// Freezes an argument, says it to policies under its name, and returns what the tool receives.
    fn take(
        &mut self,
        parameter: &Parameter,
        given: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>, FreezeError> {
        if parameter.is_receiver {
            return Ok(given.clone());
        }
        let (value, copy) = self.freezer.freeze(given)?;
        self.pairs.push((parameter.key.clone(), value));
        Ok(copy)
    }
}

fn refuse<T>(reason: String) -> Result<T, FreezeError> {
    Err(FreezeError::Refused(reason))
}

impl Signature {
    /// Reads `(name, kind, default or None, has default, is receiver)` for each parameter.
    pub(crate) fn new(table: &Bound<'_, PyList>) -> PyResult<Self> {
        let mut parameters = Vec::with_capacity(table.len());
        for row in table.iter() {
            let (name, kind, has_default, default, is_receiver): (
                Bound<'_, PyString>,
                u8,
                bool,
                Bound<'_, PyAny>,
                bool,
            ) = row.extract()?;
            parameters.push(Parameter {
                key: name.to_str()?.into(),
                name: name.unbind(),
                kind: match kind {
                    0 => Kind::PositionalOnly,
                    1 => Kind::Positional,
                    2 => Kind::Rest,
                    3 => Kind::Keyword,
                    _ => Kind::RestByName,
                },
                default: has_default.then(|| default.unbind()),
                is_receiver,
            });
        }
        let has_rest_by_name = parameters.iter().any(|parameter| parameter.kind == Kind::RestByName);
        Ok(Self { parameters, has_rest_by_name })
    }

    /// Binds a call as Python would, applies defaults, and freezes every argument.
    pub(crate) fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> Result<Call<'py>, FreezeError> {
        let py = args.py();
        let mut binding = Binding {
            freezer: Freezer::default(),
            pairs: Vec::with_capacity(self.parameters.len()),
            positional: Vec::with_capacity(self.parameters.len()),
            keywords: PyDict::new(py),
            used: 0,
        };
        let mut given = args.iter();
        for parameter in &self.parameters {
            self.bind_one(parameter, &mut given, kwargs, &mut binding)?;
        }
        if given.next().is_some() {
            return refuse(format!("too many positional arguments: {} were given", args.len()));
        }
        if !self.has_rest_by_name && binding.used < kwargs.len() {
            return self.refuse_unexpected(kwargs);
        }
        let args = Object::from_pairs(binding.pairs)
            .or_else(|key| refuse(format!("two arguments are named `{key}`; rename one")))?;
        Ok(Call { args, positional: PyTuple::new(py, binding.positional)?, keywords: binding.keywords })
    }

    fn bind_one<'py>(
        &self,
        parameter: &Parameter,
        given: &mut impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
        kwargs: &Bound<'py, PyDict>,
        binding: &mut Binding<'py>,
    ) -> Result<(), FreezeError> {
        let py = kwargs.py();
        match parameter.kind {
            Kind::Rest => {
                let rest = PyTuple::new(py, given.collect::<Vec<_>>())?;
                let copy = binding.take(parameter, rest.as_any())?;
                binding.positional.extend(copy.cast::<PyTuple>().map_err(PyErr::from)?.iter());
            }
            Kind::RestByName => self.bind_rest(kwargs, binding)?,
            Kind::PositionalOnly | Kind::Positional | Kind::Keyword => {
                let positional = parameter.kind != Kind::Keyword;
                let first = if positional { given.next() } else { None };
                let object = match first {
                    Some(object) => object,
                    None => parameter.named_or_default(kwargs, binding)?,
                };
                let copy = binding.take(parameter, &object)?;
                if positional {
                    binding.positional.push(copy);
                } else {
                    binding.keywords.set_item(parameter.name.bind(py), copy)?;
                }
            }
        }
        Ok(())
    }

    /// Spreads the remaining keyword arguments: policies see each under its own name.
    fn bind_rest<'py>(
        &self,
        kwargs: &Bound<'py, PyDict>,
        binding: &mut Binding<'py>,
    ) -> Result<(), FreezeError> {
        let mut spread = 0;
        for (key, object) in kwargs.iter() {
            let name = key.cast::<PyString>().map_err(PyErr::from)?.to_str()?;
            if self.named(name).is_some() {
                continue;
            }
            let (value, copy) = binding.freezer.freeze(&object)?;
            binding.pairs.push((name.into(), value));
            // A subclass of `str` may call itself equal to another name: the tool gets the name that was decided.
            binding.keywords.set_item(PyString::new(key.py(), name), copy)?;
            spread += 1;
        }
        binding.used += spread;
        if binding.used < kwargs.len() { self.refuse_unexpected(kwargs) } else { Ok(()) }
    }

    /// Whether an argument of this name can be in a call, as policies see it.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.has_rest_by_name || self.parameters.iter().any(|known| known.key == name && !known.is_receiver)
    }

    /// The parameter that a keyword argument of this name belongs to.
    fn named(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| {
            parameter.key == name && matches!(parameter.kind, Kind::Positional | Kind::Keyword)
        })
    }

    /// Some keyword argument found no parameter, or its parameter was given by position.
    fn refuse_unexpected<T>(&self, kwargs: &Bound<'_, PyDict>) -> Result<T, FreezeError> {
        let mut twice = None;
        for key in kwargs.keys() {
            let name = key.extract::<String>()?;
            if self.named(&name).is_none() && !self.has_rest_by_name {
                return refuse(format!("there is no argument named `{name}`"));
            }
            twice = twice.or(Some(name));
        }
        refuse(format!(
            "an argument was given twice, by position and by name (`{}`)",
            twice.unwrap_or_default()
        ))
    }

    /// The bound arguments by name, as policies see them, from what the tool will receive.
    pub(crate) fn names<'py>(
        &self,
        positional: &Bound<'py, PyTuple>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = keywords.py();
        let named = PyDict::new(py);
        let mut given = positional.iter();
        for parameter in &self.parameters {
            let name = parameter.name.bind(py);
            match parameter.kind {
                Kind::PositionalOnly | Kind::Positional => {
                    let object = given.next();
                    if let (Some(object), false) = (object, parameter.is_receiver) {
                        named.set_item(name, object)?;
                    }
                }
                Kind::Rest => named.set_item(name, PyList::new(py, given.by_ref().collect::<Vec<_>>())?)?,
                Kind::Keyword | Kind::RestByName => {}
            }
        }
        named.update(keywords.as_mapping())?;
        Ok(named)
    }

    /// Turns arguments by name into a call: also for parameters that Python takes by position only. The first
    /// `bound` parameters are given already.
    pub(crate) fn spread<'py>(
        &self,
        args: &Bound<'py, PyDict>,
        bound: usize,
    ) -> Result<(Bound<'py, PyTuple>, Bound<'py, PyDict>), FreezeError> {
        let py = args.py();
        let keywords = args.copy()?;
        let mut positional = Vec::new();
        let rest = self.parameters.iter().find(|parameter| parameter.kind == Kind::Rest);
        let rest =
            rest.and_then(|parameter| keywords.get_item(parameter.name.bind(py)).transpose()).transpose()?;
        // Whatever stands before `*rest` must go by position, too, once there is a rest.
        for parameter in self.parameters.iter().skip(bound) {
            let by_position = parameter.kind == Kind::PositionalOnly
                || (parameter.kind == Kind::Positional && rest.is_some());
            let name = parameter.name.bind(py);
            if by_position {
                match (keywords.get_item(name)?, &parameter.default) {
                    (Some(object), _) => positional.push(object),
                    (None, Some(default)) => positional.push(default.bind(py).clone()),
                    (None, None) => return refuse(format!("the argument `{}` is missing", parameter.key)),
                }
                if keywords.contains(name)? {
                    keywords.del_item(name)?;
                }
            } else if let (Kind::Rest, Some(rest)) = (parameter.kind, &rest) {
                let Ok(items) = rest.cast::<PyList>() else {
                    return refuse(format!("`{}` must be a list", parameter.key));
                };
                positional.extend(items.iter());
                keywords.del_item(name)?;
            }
        }
        Ok((PyTuple::new(py, positional)?, keywords))
    }
}

impl Parameter {
    fn named_or_default<'py>(
        &self,
        kwargs: &Bound<'py, PyDict>,
        binding: &mut Binding<'py>,
    ) -> Result<Bound<'py, PyAny>, FreezeError> {
        let py = kwargs.py();
        if self.kind != Kind::PositionalOnly
            && !kwargs.is_empty()
            && let Some(object) = kwargs.get_item(self.name.bind(py))?
        {
            binding.used += 1;
            return Ok(object);
        }
        match &self.default {
            Some(default) => Ok(default.bind(py).clone()),
            None => refuse(format!("the argument `{}` is missing", self.key)),
        }
    }
}
