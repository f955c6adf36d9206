//! `placet eval`: answers a Rego query.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use placet::rego::{QueryError, RegoOptions};
use placet::{SourceFile, files};
use serde_json::{Map, Value};

use crate::args::Format;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::paint::visible;
use crate::render::{self, Cell};

/// Answer a Rego query, as `opa eval` does
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The query, for instance `data.placet.main.allow`
    query: String,
    /// Rego file, data document (JSON or YAML), or folder of Rego files; may be repeated
    #[arg(short, long, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// The input: JSON text, a file, or `-` for stdin
    #[arg(short, long, value_name = "INPUT")]
    input: Option<String>,
    /// Exit with 1 when the answer is undefined
    #[arg(long)]
    fail: bool,
    /// What `time.now_ns` tells, as RFC 3339 [default: the system's clock]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Json, value_name = "FORMAT")]
    format: Format,
}

pub(crate) fn run(args: &EvalArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut data = Value::Object(Map::new());
    let mut modules = Vec::new();
    for path in &args.data {
        load(path, &mut modules, &mut data)?;
    }
    let input = args.input.as_deref().map(|input| read_input(input, console)).transpose()?;
    let now = args.now.unwrap_or_else(Timestamp::now).as_nanosecond();
    let options = RegoOptions::default();
    let answer =
        placet::rego::query(&modules, &data, input.as_ref(), &args.query, &options, now).map_err(failure)?;
    let results = answer.get("result").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match args.format {
        Format::Json => console.json(&answer)?,
        Format::Text => {
            let text = text(results, console);
            console.out.write_all(text.as_bytes())?;
        }
    }
    Ok(if args.fail && results.is_empty() { Exit::Negative } else { Exit::Ok })
}

/// A single value as JSON; several, or bindings, as a table.
fn text(results: &[Value], console: &Console<'_>) -> String {
    let expressions = |result: &Value| -> Vec<Value> {
        let list = result.get("expressions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|expression| expression.get("value").cloned()).collect()
    };
    match results {
        [] => "undefined\n".to_owned(),
        [only] if only.get("bindings").and_then(Value::as_object).is_none_or(Map::is_empty) => {
            let values = expressions(only);
            let line = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
            visible(&values.iter().map(line).collect::<String>()).into_owned()
        }
        several => {
            let row = |result: &Value| -> Vec<Cell> {
                let bindings = result.get("bindings").and_then(Value::as_object);
                let bound = bindings
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| Cell::left(format!("{name} = {value}")));
                let values = expressions(result);
                bound.chain(values.iter().map(|value| Cell::left(value.to_string()))).collect()
            };
            render::table(&several.iter().map(row).collect::<Vec<_>>(), console.paint)
        }
    }
}

fn failure(error: QueryError) -> Failure {
    match error {
        QueryError::Load(found) => Failure::Policy(found),
        other => Failure::Usage(other.to_string()),
    }
}

/// A file by its name: Rego is a module, JSON and YAML are data. Of a folder, the Rego files below it count.
fn load(path: &Path, modules: &mut Vec<SourceFile>, data: &mut Value) -> Result<(), Failure> {
    if path.is_dir() {
        for file in files::list(path)?.iter().filter(|file| has_extension(file, &["rego"])) {
            modules.push(files::read(file)?);
        }
        return Ok(());
    }
    let file = files::read(path)?;
    if has_extension(path, &["rego"]) {
        modules.push(file);
        return Ok(());
    }
    let invalid =
        |message: String| Failure::Usage(format!("`{}` is no data document: {message}", path.display()));
    let document: Value = if has_extension(path, &["yaml", "yml"]) {
        yaml_serde::from_str(&file.text).map_err(|error| invalid(error.to_string()))?
    } else {
        serde_json::from_str(&file.text).map_err(|error| invalid(error.to_string()))?
    };
    if !document.is_object() {
        return Err(invalid("it must be an object, because its keys become `data.…`".to_owned()));
    }
    merge(data, document)
        .map_err(|key| invalid(format!("`{key}` is given by another document too; remove one")))
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().is_some_and(|extension| known.iter().any(|known| extension == *known))
}

/// Joins two documents; the same key with two values is the author's mistake.
fn merge(into: &mut Value, from: Value) -> Result<(), String> {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return Ok(()) };
    for (key, value) in from {
        match into.get_mut(&key) {
            Some(held) if held.is_object() && value.is_object() => merge(held, value)?,
            Some(held) if *held != value => return Err(key),
            Some(_) => {}
            None => drop(into.insert(key, value)),
        }
    }
    Ok(())
}

fn read_input(argument: &str, console: &mut Console<'_>) -> Result<Value, Failure> {
    let input = Input::read(argument, console)?;
    serde_json::from_slice(&input.bytes)
        .map_err(|error| Failure::Usage(format!("the input is no JSON: {}: {error}", input.origin)))
}
