//! Environment variables that override `placet.yaml`.
//!
//! This module does not read the environment: programs hand it over, at their edge. One table says which setting
//! has which variable and what it accepts; the name is `PLACET_` and the setting's key, in capitals.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use placet_policy::library;
use serde::de::DeserializeOwned;

use crate::config::{Config, ConfigError, Global, Mode, Paths};

/// What every variable of ours begins with.
const PREFIX: &str = "PLACET_";

/// Most letters in which a misspelt name may differ from a setting's.
const MAX_DISTANCE: usize = 2;

/// One setting that a variable overrides.
pub struct Setting {
    /// Its key in `placet.yaml`, dotted: `limits.max_plan_steps`.
    pub key: &'static str,
    kind: Kind,
}

/// How a value is read, and where it goes.
enum Kind {
    Paths(fn(&mut Config, Paths)),
    Names(fn(&mut Config, Vec<String>)),
    Library,
    Flag(fn(&mut Config, bool)),
    Count(fn(&mut Config, u32)),
    Seconds(fn(&mut Config, u64)),
    Mode,
    Tools,
    Ledger,
    NewFile(fn(&mut Config, PathBuf)),
    Ack,
    Rotation,
    Budgets,
    Approvals,
    Server,
    Patterns,
    Traces,
    Address(fn(&mut Config, String)),
}

/// Every setting that has a variable, in the order of `placet.yaml`.
pub const SETTINGS: &[Setting] = &[
    setting("policies", Kind::Paths(|config, paths| config.policies = paths)),
    setting("global.policies", Kind::Paths(|config, paths| global(config).policies = paths)),
    setting("global.mode", Kind::Mode),
    setting("library", Kind::Library),
    setting("lifecycle", Kind::Flag(|config, flag| config.lifecycle = Some(flag))),
    setting(
        "limits.max_spawn_depth",
        Kind::Count(|config, count| config.limits.max_spawn_depth = Some(count)),
    ),
    setting(
        "limits.max_delegate_depth",
        Kind::Count(|config, count| config.limits.max_delegate_depth = Some(count)),
    ),
    setting("limits.max_plan_steps", Kind::Count(|config, count| config.limits.max_plan_steps = Some(count))),
    setting(
        "limits.blocked_plan_tools",
        Kind::Names(|config, names| config.limits.blocked_plan_tools = Some(names)),
    ),
    setting("limits.code_tools", Kind::Names(|config, names| config.limits.code_tools = Some(names))),
    setting("tools", Kind::Tools),
    setting("strict_rego", Kind::Flag(|config, flag| config.strict_rego = flag)),
    setting("allowed_builtins", Kind::Names(|config, names| config.allowed_builtins = names)),
    setting(
        "max_policy_age_seconds",
        Kind::Seconds(|config, seconds| config.max_policy_age_seconds = Some(seconds)),
    ),
    setting("ledger", Kind::Ledger),
    setting("audit_log", Kind::NewFile(|config, path| config.audit_log = Some(path))),
    setting("audit_log_rotation", Kind::Rotation),
    setting("keys", Kind::NewFile(|config, path| config.keys = Some(path))),
    setting("anchor", Kind::NewFile(|config, path| config.anchor = Some(path))),
    setting("ack", Kind::Ack),
    setting("redaction", Kind::Patterns),
    setting("budgets", Kind::Budgets),
    setting("approvals", Kind::Approvals),
    setting("telemetry.traces", Kind::Traces),
    setting(
        "telemetry.otlp_endpoint",
        Kind::Address(|config, url| config.telemetry.otlp_endpoint = Some(url)),
    ),
    setting("telemetry.metrics", Kind::Flag(|config, flag| config.telemetry.metrics = flag)),
    setting("telemetry.tool_names", Kind::Names(|config, names| config.telemetry.tool_names = names)),
    setting("server", Kind::Server),
];

const fn setting(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind }
}

fn global(config: &mut Config) -> &mut Global {
    config.global.get_or_insert(Global { policies: Paths::None, mode: Mode::Guard })
}

impl Setting {
    /// The name of its variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", path(self))
    }

    /// What the variable accepts, in words.
    #[must_use]
    pub fn accepts(&self) -> String {
        match self.kind {
            Kind::Paths(_) => {
                format!("paths of policy files or folders, separated by `{PATH_SEPARATOR}`")
            }
            Kind::Names(_) => "names separated by commas; nothing means none".to_owned(),
            Kind::Library => {
                let modules = library::NAMES.join(", ");
                format!("modules separated by commas, nothing means none: {modules}")
            }
            Kind::Flag(_) => "`true` or `false`".to_owned(),
            Kind::Count(_) => format!("a whole number from 0 to {}", u32::MAX),
            Kind::Seconds(_) => "a whole number of seconds".to_owned(),
            Kind::Mode => "`guard` or `grant`".to_owned(),
            Kind::Tools => {
                "an object as under `tools:`, for instance `{\"pay\": {\"tags\": [\"finance\"]}}`".to_owned()
            }
            Kind::Patterns => format!("paths of pattern files, separated by `{PATH_SEPARATOR}`"),
            Kind::Ledger => "a file, a PostgreSQL address, `memory` or `off`".to_owned(),
            Kind::NewFile(_) => "a path".to_owned(),
            Kind::Ack => "`durable`, `written` or `published`".to_owned(),
            Kind::Budgets => {
                "a list as under `budgets:`, for instance `[{\"scope\": \"session\", \"api_calls\": 10}]`"
                    .to_owned()
            }
            Kind::Rotation => {
                "an object as under `audit_log_rotation:`, for instance `{\"max_bytes\": 100000000}`"
                    .to_owned()
            }
            Kind::Approvals => "an object as under `approvals:`, for instance `{\"quorum\": 2}`".to_owned(),
            Kind::Server => {
                "an object as under `server:`, for instance `{\"listen\": \"127.0.0.1:8470\"}`".to_owned()
            }
            Kind::Traces => "`off`, `provider` or `otlp`".to_owned(),
            Kind::Address(_) => "an address that begins with `http://` or `https://`".to_owned(),
        }
    }

    /// Sets it; relative paths start at `folder`. `None` when the value is not accepted, with what is wrong.
    fn apply(&self, config: &mut Config, value: &str, folder: &Path) -> Result<(), String> {
        let word = value.trim();
        match self.kind {
            Kind::Paths(set) => set(config, paths(value, folder)?),
            Kind::Names(set) => set(config, names(value)?),
            Kind::Library => {
                let names = names(value)?;
                if let Some(unknown) = names.iter().find(|name| !library::NAMES.contains(&name.as_str())) {
                    return Err(format!("there is no module `{unknown}`"));
                }
                config.library = names;
            }
            Kind::Flag(set) => set(config, word.parse().map_err(|_| String::new())?),
            Kind::Count(set) => set(config, digits(word)?),
            Kind::Seconds(set) => set(config, digits(word)?),
            Kind::Mode => {
                global(config).mode = match word {
                    "guard" => Mode::Guard,
                    "grant" => Mode::Grant,
                    _ => return Err(String::new()),
                }
            }
            Kind::Tools => config.tools = document(word)?,
            Kind::Patterns => config.redaction = paths(value, folder)?,
            Kind::Ledger => config.ledger = Some(ledger(word, folder)?),
            Kind::NewFile(set) => set(config, new_file(value, folder)?),
            Kind::Ack => config.ack = Some(document(word)?),
            Kind::Budgets => config.budgets = document(word)?,
            Kind::Rotation => config.audit_log_rotation = document(word)?,
            Kind::Approvals => config.approvals = document(word)?,
            Kind::Server => config.server = document(word)?,
            Kind::Traces => config.telemetry.traces = document(word)?,
            Kind::Address(set) => set(config, address(word)?),
        }
        Ok(())
    }
}

/// What stands between the paths of a list, as in `PATH`.
const PATH_SEPARATOR: char = if cfg!(windows) { ';' } else { ':' };

fn paths(value: &str, folder: &Path) -> Result<Paths, String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in env::split_paths(value) {
        if path.as_os_str().is_empty() {
            return Err("a path is empty".to_owned());
        }
        let path = folder.join(path);
        if !path.exists() {
            return Err(format!("there is no `{}`", path.display()));
        }
        paths.push(path);
    }
    Ok(Paths::Many(paths))
}

fn names(value: &str) -> Result<Vec<String>, String> {
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) { Err("a name is empty".to_owned()) } else { Ok(names) }
}

/// Digits only: a sign, a blank or a point is no count.
fn digits<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(String::new());
    }
    word.parse().map_err(|_| String::new())
}

/// A value in YAML, of which JSON is a part.
fn document<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    if word.is_empty() {
        return Err(String::new());
    }
    yaml_serde::from_str(word).map_err(|error| error.to_string())
}

/// A file that need not exist yet.
fn new_file(value: &str, folder: &Path) -> Result<PathBuf, String> {
    if value.trim().is_empty() { Err("the path is empty".to_owned()) } else { Ok(folder.join(value)) }
}

fn address(word: &str) -> Result<String, String> {
    let has_host = |rest: &str| !rest.is_empty() && !rest.starts_with('/');
    let host = word.strip_prefix("http://").or_else(|| word.strip_prefix("https://"));
    if host.is_some_and(has_host) { Ok(word.to_owned()) } else { Err(String::new()) }
}

fn ledger(word: &str, folder: &Path) -> Result<String, String> {
    if matches!(word, "off" | "memory") || word.contains("://") {
        return Ok(word.to_owned());
    }
    Ok(new_file(word, folder)?.to_string_lossy().into_owned())
}

impl Config {
    /// Lays environment variables over the configuration; each replaces the whole value of its setting. Relative
    /// paths start at `folder`. Variables of others are left alone.
    ///
    /// # Errors
    /// [`ConfigError::Variable`] for a value that is not accepted, [`ConfigError::UnknownVariable`] for a name
    /// that is likely meant as a setting and is none.
    pub fn override_from(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        folder: &Path,
    ) -> Result<(), ConfigError> {
        // In order of their names, so that the same environment gives the same error.
        let ours: BTreeMap<String, OsString> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.to_uppercase().starts_with(PREFIX))
            .collect();
        for (name, value) in &ours {
            match SETTINGS.iter().find(|setting| setting.variable() == *name) {
                Some(setting) => set(self, setting, name, value, folder)?,
                None => refuse_likely(name)?,
            }
        }
        Ok(())
    }
}

fn set(
    config: &mut Config,
    setting: &Setting,
    name: &str,
    value: &OsStr,
    folder: &Path,
) -> Result<(), ConfigError> {
    let applied = match value.to_str() {
        Some(text) => setting.apply(config, text, folder),
        None => Err("it is not UTF-8".to_owned()),
    };
    applied.map_err(|wrong| ConfigError::Variable {
        variable: name.to_owned(),
        value: value.to_string_lossy().into_owned(),
        wrong: if wrong.is_empty() { wrong } else { format!(": {wrong}") },
        accepts: setting.accepts(),
    })
}

/// Refuses a name that is likely meant as a setting: one that is misspelt, that lacks the part before its last word,
/// or whose first word is a setting's. Other names are no business of ours.
fn refuse_likely(name: &str) -> Result<(), ConfigError> {
    let upper = name.to_uppercase();
    let given = upper.strip_prefix(PREFIX).unwrap_or(&upper);
    if is_of_a_service(given) {
        return Ok(());
    }
    let by_distance = |setting: &&Setting| distance(given, &path(setting));
    let near = |part: fn(&str) -> &str, word: &str| {
        let alike = SETTINGS.iter().filter(|setting| is_near(word, part(&path(setting))));
        alike.min_by_key(by_distance)
    };
    let last = |setting: &&Setting| {
        setting.key.split_once('.').is_some_and(|(_, last)| is_near(given, &last.to_uppercase()))
    };
    let likely = near(|whole| whole, given)
        .or_else(|| SETTINGS.iter().find(last))
        .or_else(|| near(first_word, first_word(given)));
    match likely {
        Some(near) => Err(ConfigError::UnknownVariable { variable: name.to_owned(), near: near.variable() }),
        None => Ok(()),
    }
}

/// The variable of a setting without what all begin with.
fn path(setting: &Setting) -> String {
    setting.key.to_uppercase().replace('.', "_")
}

/// Orchestrators make such variables for a service called `placet` or `placet-tools`: `PLACET_SERVICE_HOST`,
/// `PLACET_TOOLS_PORT_80_TCP`.
fn is_of_a_service(given: &str) -> bool {
    let words: Vec<&str> = given.split('_').collect();
    words.contains(&"PORT") || words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
}

fn first_word(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

/// Whether a name is likely another one misspelt: few letters differ, and whether one is a plural does not count.
fn is_near(given: &str, known: &str) -> bool {
    let allowed = match known.len() {
        0..5 => 0,
        5..8 => 1,
        _ => MAX_DISTANCE,
    };
    distance(given, known) <= allowed
}

fn distance(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(&singular(one), &singular(other))
}

fn singular(name: &str) -> String {
    let letters = name.replace('_', "");
    match (letters.strip_suffix("IES"), letters.strip_suffix('S')) {
        (Some(stem), _) => format!("{stem}Y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => letters,
    }
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
