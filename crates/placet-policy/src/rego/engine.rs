//! Running the interpreter: bounded, isolated from panics, shared by threads without waiting.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Rc, Value};

use super::builtins::{install, with_clock, wrappers};
use super::model::RegoLimits;
use super::parse::{Dialect, EnginePlace, LENGTHS};

/// One module as the interpreter gets it.
pub(super) struct ModuleText {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) dialect: Dialect,
}

/// Work units between two looks at the clock.
const CHECK_INTERVAL: std::num::NonZeroU32 = match std::num::NonZeroU32::new(64) {
    Some(interval) => interval,
    None => std::num::NonZeroU32::MIN,
};

/// Engines kept for reuse; more threads than this clone one each time.
const MAX_IDLE: usize = 64;

/// The package of the generated entry rules.
pub(super) const ENTRY_PACKAGE: &str = "placet_entry";

/// Engines with the same modules: each evaluation takes one, so threads never wait for each other.
pub(super) struct Pool {
    prototype: Engine,
    idle: Mutex<Vec<Engine>>,
}

/// Builds an engine with these modules, unprepared.
///
/// # Errors
///
/// The interpreter's text, with the place.
pub(super) fn engine(
    modules: &[ModuleText],
    used: &BTreeSet<String>,
    limits: &RegoLimits,
) -> Result<Engine, String> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(false);
    engine.set_policy_length_config(LENGTHS);
    engine.set_gather_prints(true);
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: limits.time,
        check_interval: CHECK_INTERVAL,
    });
    install(&mut engine)?;
    for module in modules {
        engine.set_rego_v0(module.dialect != Dialect::V1);
        engine.add_policy(module.path.clone(), module.text.clone()).map_err(|error| error.to_string())?;
    }
    engine.set_rego_v0(false);
    if let Some(text) = wrappers(used) {
        engine.add_policy("<builtins>".to_owned(), text).map_err(|error| error.to_string())?;
    }
    Ok(engine)
}

impl Pool {
    /// Compiles the modules; `entries` are rules of the entry package, one per line, in v1.
    ///
    /// # Errors
    ///
    /// The interpreter's text, with the place: what it finds only when all modules are together.
    pub(super) fn build(
        modules: &[ModuleText],
        used: &BTreeSet<String>,
        entries: &[String],
        limits: &RegoLimits,
    ) -> Result<Self, String> {
        let build = || -> Result<Self, String> {
            let mut prototype = engine(modules, used, limits)?;
            let text = format!("package {ENTRY_PACKAGE}\nready := true\n{}\n", entries.join("\n"));
            prototype.add_policy("<entries>".to_owned(), text).map_err(|error| error.to_string())?;
            let ready = Rc::from(format!("data.{ENTRY_PACKAGE}.ready").as_str());
            prototype.compile_with_entrypoint(&ready).map_err(|error| error.to_string())?;
            Ok(Self { prototype, idle: Mutex::new(Vec::new()) })
        };
        catch_unwind(AssertUnwindSafe(build))
            .unwrap_or_else(|_| Err("error: the Rego compiler stopped on these files".to_owned()))
    }

    /// Evaluates one entry rule.
    ///
    /// # Errors
    ///
    /// The interpreter's text: a conflict, an error, a limit, a panic. The engine is then thrown away.
    pub(super) fn evaluate(&self, entry: &str, input: &Value, now_ns: i128) -> Result<Value, String> {
        let taken = self.lock().pop();
        let run = || {
            let mut engine = taken.unwrap_or_else(|| self.prototype.clone());
            engine.set_input(input.clone());
            let value = with_clock(now_ns, || engine.eval_rule(format!("data.{ENTRY_PACKAGE}.{entry}")))
                .map_err(|error| error.to_string())?;
            // Nothing of this event stays behind.
            engine.set_input(Value::Undefined);
            let _ = engine.take_prints();
            Ok((value, engine))
        };
        let (value, engine) = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err("error: the Rego interpreter stopped".to_owned()))?;
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(engine);
        }
        Ok(value)
    }

    /// Adds an extension and the entry `boom` that calls it.
    #[cfg(test)]
    pub(super) fn add_for_test(&mut self, name: &str, run: fn(Vec<Value>) -> anyhow::Result<Value>) {
        self.prototype.add_extension(name.to_owned(), 1, Box::new(run)).unwrap();
        let text = format!("package {ENTRY_PACKAGE}\nboom := {name}(1)\n");
        self.prototype.add_policy("<boom>".to_owned(), text).unwrap();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Engine>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error of the interpreter means, in our words, with its place.
pub(super) fn explain(text: &str, limits: &RegoLimits) -> EnginePlace {
    let mut place = EnginePlace::read(text);
    if text.contains("exceeded time limit") {
        place.message =
            format!("the evaluation took longer than the limit of {} ms", limits.time.as_millis());
    }
    place
}

/// A reference to a rule below `data`, every component quoted where needed.
pub(super) fn data_reference(path: &[String]) -> String {
    let mut text = "data".to_owned();
    for component in path {
        let mut characters = component.chars();
        let plain = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|character| character.is_ascii_alphanumeric() || character == '_');
        if plain {
            text.push('.');
            text.push_str(component);
        } else {
            text.push_str(&format!("[{}]", serde_json::Value::from(component.as_str())));
        }
    }
    text
}
