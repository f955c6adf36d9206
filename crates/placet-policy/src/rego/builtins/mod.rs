//! Builtin functions that the interpreter lacks, or that must behave otherwise here.
//!
//! Every function behaves as OPA's: a wrong type or a bad value makes the call undefined. Nothing here reads a
//! clock or the network.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod crypto;
mod deprecated;
mod globs;
mod jwt;
mod jwt_keys;
mod net;
mod operators;
mod text;
mod time;

use std::collections::BTreeSet;

use regorus::unstable::BUILTINS;
use regorus::{Engine, Value};

use super::parse::Dialect;

pub(super) use time::with_clock;

/// Why a builtin gave no value.
pub(super) enum Failure {
    /// A wrong type or a bad value: the call is undefined, as in OPA.
    Undefined,
    /// A limit was passed: the evaluation stops and the unit denies.
    Stop(String),
}

type Outcome = Result<Value, Failure>;
type Implementation = fn(&[Value]) -> Outcome;

/// A function that this module adds.
pub(super) struct Added {
    pub(super) name: &'static str,
    pub(super) arity: u8,
    run: Implementation,
    /// Only v0 modules may call it; OPA refuses it in v1.
    v0_only: bool,
}

impl Added {
    const fn new(name: &'static str, arity: u8, run: Implementation) -> Self {
        Self { name, arity, run, v0_only: false }
    }

    const fn old(name: &'static str, arity: u8, run: Implementation) -> Self {
        Self { name, arity, run, v0_only: true }
    }
}

/// Functions with effects or without a fixed answer: an error at load unless allowed by name.
pub(super) const RESTRICTED: [(&str, u8); 5] =
    [("http.send", 1), ("net.lookup_ip_addr", 1), ("opa.runtime", 0), ("rand.intn", 2), ("uuid.rfc4122", 1)];

/// What a name in a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The interpreter has it; this many arguments.
    Native(usize),
    /// This module adds it; this many arguments. Calls go through a wrapper function.
    Added(usize),
    /// It has effects; this many arguments.
    Restricted(usize),
    /// OPA removed it from v1.
    RemovedInV1,
    /// It takes any number of arguments (`print`).
    Variadic,
}

/// Looks a builtin up by its dotted name.
pub(super) fn known(name: &str, dialect: Dialect) -> Option<Known> {
    if name == "print" {
        return Some(Known::Variadic);
    }
    if name.starts_with("__") {
        return None;
    }
    if let Some((_, arity)) = RESTRICTED.iter().find(|(restricted, _)| *restricted == name) {
        return Some(Known::Restricted(usize::from(*arity)));
    }
    if let Some(added) = additions().find(|added| added.name == name) {
        if added.v0_only && dialect == Dialect::V1 {
            return Some(Known::RemovedInV1);
        }
        // A function that the interpreter knows under the same name can be mocked without a wrapper.
        let arity = usize::from(added.arity);
        return Some(if BUILTINS.contains_key(name) { Known::Native(arity) } else { Known::Added(arity) });
    }
    let (_, arity) = BUILTINS.get(name)?;
    (!name.starts_with("test.")).then_some(Known::Native(usize::from(*arity)))
}

/// Every name that may be called, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUILTINS.keys().copied().chain(additions().map(|added| added.name))
}

fn additions() -> impl Iterator<Item = &'static Added> {
    [
        crypto::ADDED,
        deprecated::ADDED,
        globs::ADDED,
        jwt::ADDED,
        net::ADDED,
        operators::ADDED,
        text::ADDED,
        time::ADDED,
    ]
    .into_iter()
    .flatten()
}

/// The function of the wrapper module that stands for an added builtin.
pub(super) fn wrapper_name(builtin: &str) -> String {
    format!("data.{WRAPPER_PACKAGE}.{}", wrapper_rule(builtin))
}

/// The prefix keeps a wrapper of `all` from calling itself.
fn wrapper_rule(builtin: &str) -> String {
    format!("call__{}", builtin.replace('.', "__"))
}

const WRAPPER_PACKAGE: &str = "placet_builtin";

/// The module of wrapper functions for these builtins, in v1; nothing when there are none.
///
/// The interpreter finds the arity of a call's output argument, and the target of `with`, only for its own
/// builtins and for Rego functions.
pub(super) fn wrappers(used: &BTreeSet<String>) -> Option<String> {
    if used.is_empty() {
        return None;
    }
    let mut text = format!("package {WRAPPER_PACKAGE}\n");
    for name in used {
        let arity = match known(name, Dialect::V0) {
            Some(Known::Added(arity) | Known::Restricted(arity)) => arity,
            _ => continue,
        };
        let arguments = (0..arity).map(|index| format!("a{index}")).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("{}({arguments}) := {name}({arguments})\n", wrapper_rule(name)));
    }
    Some(text)
}

/// Adds every function to an engine.
///
/// # Errors
///
/// The interpreter's message when a name is taken.
pub(super) fn install(engine: &mut Engine) -> Result<(), String> {
    for added in additions() {
        let run = added.run;
        let call = move |arguments: Vec<Value>| -> anyhow::Result<Value> {
            match run(&arguments) {
                Ok(value) => Ok(value),
                Err(Failure::Undefined) => Ok(Value::Undefined),
                Err(Failure::Stop(message)) => Err(anyhow::Error::msg(message)),
            }
        };
        engine
            .add_extension(added.name.to_owned(), added.arity, Box::new(call))
            .map_err(|error| error.to_string())?;
    }
    for (name, arity) in RESTRICTED {
        // rand and uuid are the interpreter's own; the others have no effect to offer here.
        if BUILTINS.contains_key(name) {
            continue;
        }
        let call = move |_: Vec<Value>| -> anyhow::Result<Value> {
            Err(anyhow::Error::msg(format!(
                "`{name}` was called, and deciding has no network and no runtime to ask"
            )))
        };
        engine.add_extension(name.to_owned(), arity, Box::new(call)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn string(value: Option<&Value>) -> Result<&str, Failure> {
    match value {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Failure::Undefined),
    }
}

fn undefined<T, E>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|_| Failure::Undefined)
}
