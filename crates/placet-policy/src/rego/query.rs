//! One query over files, data and an input, as `opa eval` answers it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use regorus::unstable::LiteralStmt;

use super::builtins::with_clock;
use super::check;
use super::engine::{engine, explain};
use super::load::{compile_error, module_texts, parse_into};
use super::model::RegoOptions;
use super::names::Names;
use super::parse::{EnginePlace, Parsed, query_module};
use super::rewrite::{Fate, rewrite_query};
use crate::{Diagnostic, Diagnostics, Severity, SourceFile};

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The files do not load.
    #[error("{0}")]
    Load(#[source] Diagnostics),
    /// The query is no Rego.
    #[error("query:{line}:{column}: {message}")]
    Query {
        /// Line of the query, from 1; 0 when unknown.
        line: u32,
        /// Column of the query, from 1; 0 when unknown.
        column: u32,
        /// What is wrong.
        message: String,
    },
    /// Evaluating failed: a conflict, an error, a limit.
    #[error("{}evaluation failed: {message}", .file.as_ref().map(|file| format!("{file}:{line}: ")).unwrap_or_default())]
    Evaluation {
        /// The file, where one is to blame.
        file: Option<String>,
        /// Its line, from 1; 0 when unknown.
        line: u32,
        /// What went wrong.
        message: String,
    },
}

impl From<EnginePlace> for QueryError {
    fn from(place: EnginePlace) -> Self {
        let file = place.file.filter(|file| !file.starts_with('<'));
        Self::Evaluation { file, line: place.line, message: place.message }
    }
}

/// Answers a query in Rego v1 over files (tests included), a data document and an input.
///
/// The answer has the shape of `opa eval --format json`: `{"result": [{"expressions": […], "bindings": …}]}`, or `{}`
/// when the query is undefined. `now_ns` is the clock, in nanoseconds since the epoch.
///
/// # Errors
///
/// The files do not load, the query is no Rego, or evaluating it failed.
pub fn query(
    files: &[SourceFile],
    data: &serde_json::Value,
    input: Option<&serde_json::Value>,
    query: &str,
    options: &RegoOptions,
    now_ns: i128,
) -> Result<serde_json::Value, QueryError> {
    let parsed = parse(files, options)?;
    let modules: Vec<&Parsed> = parsed.iter().collect();
    let names = Names::new(&parsed);
    let (question, statements) = query_module(query).map_err(|place| QueryError::Query {
        line: place.line,
        column: place.column,
        message: place.message,
    })?;
    let rewritten = rewrite_query(&question, &names, &statements.stmts);
    let (texts, mut used) = module_texts(&modules, &names, &|_, _| Fate::Keep);
    used.extend(rewritten.used);
    let run = || -> Result<serde_json::Value, EnginePlace> {
        let place = |text: String| explain(&text, &options.limits);
        let mut engine = engine(&texts, &used, &options.limits).map_err(place)?;
        if !data.is_null() {
            let data = serde_json::from_value(data.clone()).map_err(|error| place(error.to_string()))?;
            engine.add_data(data).map_err(|error| place(error.to_string()))?;
        }
        if let Some(input) = input {
            let input = serde_json::from_value(input.clone()).map_err(|error| place(error.to_string()))?;
            engine.set_input(input);
        }
        let answer = with_clock(now_ns, || engine.eval_query(rewritten.text.clone(), false))
            .map_err(|error| place(error.to_string()))?;
        serde_json::to_value(answer).map_err(|error| EnginePlace::only(&error.to_string()))
    };
    let mut answer = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(EnginePlace::only("the Rego interpreter stopped")))?;
    restore(&mut answer, &statements.stmts);
    Ok(answer)
}

fn parse(files: &[SourceFile], options: &RegoOptions) -> Result<Vec<Parsed>, QueryError> {
    let (mut parsed, mut found) = (Vec::new(), Vec::new());
    for file in files {
        parse_into(file, options, &mut parsed, &mut found);
    }
    if found.is_empty() {
        found.extend(problems(&parsed.iter().collect::<Vec<_>>(), options));
    }
    match found.iter().any(|finding| finding.severity == Severity::Error) {
        true => Err(QueryError::Load(Diagnostics(found))),
        false => Ok(parsed),
    }
}

/// What is wrong with modules that run together.
pub(super) fn problems(modules: &[&Parsed], options: &RegoOptions) -> Vec<Diagnostic> {
    let names = Names::new(modules.iter().copied());
    let mut found = Vec::new();
    for module in modules {
        check::file(module, &names, options, &mut found);
    }
    check::recursion(modules, &names, options, &mut found);
    if found.is_empty() {
        let (texts, used) = module_texts(modules, &names, &|_, _| Fate::Keep);
        if let Err(text) = super::engine::Pool::build(&texts, &used, &[], &options.limits) {
            found.push(compile_error(modules, &text));
        }
    }
    found
}

/// Takes the traces of rewriting out of an answer.
fn restore(answer: &mut serde_json::Value, statements: &[LiteralStmt]) {
    let is_ours = |text: &str| text.starts_with("__placet_");
    let results = answer.get_mut("result").and_then(serde_json::Value::as_array_mut);
    for result in results.into_iter().flatten() {
        if let Some(bindings) = result.get_mut("bindings").and_then(serde_json::Value::as_object_mut) {
            bindings.retain(|name, _| !is_ours(name));
        }
        if result
            .get("bindings")
            .and_then(serde_json::Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
            && let Some(fields) = result.as_object_mut()
        {
            fields.remove("bindings");
        }
        let Some(expressions) = result.get_mut("expressions").and_then(serde_json::Value::as_array_mut)
        else {
            continue;
        };
        expressions.retain(|expression| {
            !expression.get("text").and_then(serde_json::Value::as_str).is_some_and(is_ours)
        });
        let some: BTreeSet<usize> = statements
            .iter()
            .enumerate()
            .filter(|(_, statement)| matches!(statement.literal, regorus::unstable::Literal::SomeVars { .. }))
            .map(|(index, _)| index)
            .collect();
        let stated = statements.iter().enumerate().filter(|(index, _)| !some.contains(index));
        if expressions.len() != statements.len() - some.len() {
            continue;
        }
        for (expression, (_, statement)) in expressions.iter_mut().zip(stated) {
            let Some(fields) = expression.as_object_mut() else { continue };
            fields.insert("text".to_owned(), statement.span.text().into());
            fields.insert(
                "location".to_owned(),
                serde_json::json!({"row": statement.span.line, "col": statement.span.col}),
            );
        }
    }
}
