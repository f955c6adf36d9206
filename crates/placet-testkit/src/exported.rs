//! Running exported policies: on the embedded interpreter and on a real Open Policy Agent.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use placet_types::Decision;
use serde_json::{Value as Json, json};

/// Why exported policies could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The interpreter refused a module or an input.
    #[error("the interpreter failed on `{name}`: {message}")]
    Interpreter {
        /// Module or query.
        name: String,
        /// What it said.
        message: String,
    },
    /// The `opa` command failed.
    #[error("`opa eval` failed: {0}")]
    Opa(String),
    /// A file could not be written.
    #[error("cannot write the modules for `opa`: {0}")]
    File(#[from] io::Error),
    /// An answer is no JSON of the expected shape.
    #[error("unexpected answer: {0}")]
    Answer(String),
}

/// The start of the sentence for an event that no rule is about; what follows spells the action as JSON, which
/// engines escape differently.
const NO_RULE: &str = "no rule allows the action ";

/// What an exported policy must answer where the engine decided this, in one form with [`answered`].
#[must_use]
pub fn expected(decision: &Decision) -> Json {
    json!({
        "outcome": decision.verdict.word(),
        "hard": decision.verdict.is_hard(),
        "reason": if decision.rules.is_empty() { NO_RULE } else { &decision.reason },
        "rules": decision.rules,
        "risk_tier": decision.risk_tier,
        "reviewers": decision.reviewers(),
    })
}

/// The comparable parts of an answer.
#[must_use]
pub fn answered(answer: &Json) -> Json {
    let part = |name: &str| answer.get(name).cloned().unwrap_or_default();
    let reasons = part("reasons");
    let reasons: Vec<&str> =
        reasons.as_array().map(|list| list.iter().filter_map(Json::as_str).collect()).unwrap_or_default();
    let reason = reasons.join("; ");
    json!({
        "outcome": part("outcome"),
        "hard": part("hard"),
        "reason": if reason.starts_with(NO_RULE) { NO_RULE } else { &reason },
        "rules": part("rules"),
        "risk_tier": part("risk_tier"),
        "reviewers": part("reviewers"),
    })
}

/// One policy set as exported modules, and the inputs to decide.
#[derive(Debug, Clone)]
pub struct Exported {
    /// File name and text of each module.
    pub modules: Vec<(String, String)>,
    /// Input documents.
    pub inputs: Vec<Json>,
}

/// The text limits of the interpreter, lifted as the product lifts them.
const LENGTHS: regorus::PolicyLengthConfig = regorus::PolicyLengthConfig {
    max_col: NonZeroU32::MAX,
    max_file_bytes: NonZeroUsize::MAX,
    max_lines: NonZeroUsize::MAX,
};

/// The decisions of the embedded interpreter, one for each input.
///
/// # Errors
/// [`RunError::Interpreter`] for a module that does not parse and for an evaluation that fails.
pub fn on_interpreter(exported: &Exported) -> Result<Vec<Json>, RunError> {
    let failed = |name: &str| {
        let name = name.to_owned();
        move |error: &dyn std::fmt::Display| RunError::Interpreter { name, message: error.to_string() }
    };
    let mut engine = regorus::Engine::new();
    engine.set_policy_length_config(LENGTHS);
    for (name, text) in &exported.modules {
        engine.add_policy(name.clone(), text.clone()).map_err(|error| failed(name)(&error))?;
    }
    let query = "data.placet.main.decision";
    exported
        .inputs
        .iter()
        .map(|input| {
            let input =
                regorus::Value::from_json_str(&input.to_string()).map_err(|error| failed("input")(&error))?;
            engine.set_input(input);
            let decision = engine.eval_rule(query.to_owned()).map_err(|error| failed(query)(&error))?;
            let text = decision.to_json_str().map_err(|error| failed(query)(&error))?;
            serde_json::from_str(&text).map_err(|error| RunError::Answer(error.to_string()))
        })
        .collect()
}

/// The `opa` command: `$PLACET_OPA`, or on the search path, or where Go installs it.
#[must_use]
pub fn find_opa() -> Option<PathBuf> {
    let named = env::var_os("PLACET_OPA").map(PathBuf::from);
    let searched =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let go = env::var_os("GOPATH")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join("go")));
    let folders = searched.into_iter().chain(go.map(|go| go.join("bin")));
    named.into_iter().chain(folders.map(|folder| folder.join("opa"))).find(|command| command.is_file())
}

/// The decisions of a real OPA for many sets in one run; `folder` must be empty and is left full.
///
/// Each set gets a package of its own, since all sets load together; nothing else of the modules is changed.
///
/// # Errors
/// [`RunError`] when OPA refuses a module, or leaves a decision undefined.
pub fn on_opa(opa: &Path, folder: &Path, sets: &[Exported]) -> Result<Vec<Vec<Json>>, RunError> {
    let modules = folder.join("modules");
    let mut cases = Vec::new();
    for (number, set) in sets.iter().enumerate() {
        let name = format!("set{number}");
        fs::create_dir_all(modules.join(&name))?;
        for (file, text) in &set.modules {
            let text = text.replacen("\npackage placet.main\n", &format!("\npackage placet.{name}\n"), 1);
            fs::write(modules.join(&name).join(file), text)?;
        }
        cases.extend(set.inputs.iter().map(|input| json!({"set": name, "input": input})));
    }
    let input = folder.join("input.json");
    fs::write(&input, json!({"cases": cases}).to_string())?;
    let query = "[[i, decision] | some i, case in input.cases; set := case.set; event := case.input; \
                 decision := data.placet[set].decision with input as event]";
    let run = Command::new(opa)
        .args(["eval", "--format", "raw", "--data"])
        .arg(&modules)
        .arg("--input")
        .arg(&input)
        .arg(query)
        .output()?;
    if !run.status.success() {
        return Err(RunError::Opa(
            String::from_utf8_lossy(&run.stderr).into_owned() + &String::from_utf8_lossy(&run.stdout),
        ));
    }
    let answers: Vec<(usize, Json)> =
        serde_json::from_slice(&run.stdout).map_err(|error| RunError::Answer(error.to_string()))?;
    let mut answers = answers.into_iter();
    let mut expected = 0..;
    let mut next = || match (answers.next(), expected.next()) {
        (Some((number, decision)), Some(wanted)) if number == wanted => Ok(decision),
        (_, wanted) => Err(RunError::Answer(format!("the decision of case {wanted:?} is undefined"))),
    };
    sets.iter().map(|set| set.inputs.iter().map(|_| next()).collect()).collect()
}
