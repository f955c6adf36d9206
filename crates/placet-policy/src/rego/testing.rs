//! Running the tests that policies bring: rules named `test_…`, as `opa test` runs them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regorus::unstable::{Expr, Ref, Rule, RuleHead};
use regorus::{Engine, Value};

use super::builtins::with_clock;
use super::classify::event_type;
use super::decision::is_decision;
use super::engine::{data_reference, engine, explain};
use super::load::{module_texts, parse_into};
use super::model::RegoOptions;
use super::names::{Names, overlaps};
use super::parse::{Parsed, head_reference, rule_name, static_path};
use super::query::problems;
use super::rewrite::Fate;
use crate::{Diagnostic, SourceFile};

/// What came of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestOutcome {
    /// It was true.
    Passed,
    /// It was false, undefined or no boolean.
    Failed,
    /// It could not be evaluated; the message says why.
    Errored(String),
    /// Its name starts with `todo_test_`.
    Skipped,
}

/// One test and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The package, without `data`.
    pub package: Arc<str>,
    /// The rule; a second rule of the same name gets `#01` and so on.
    pub name: Arc<str>,
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// What came of it.
    pub outcome: TestOutcome,
    /// How long it took.
    pub duration: Duration,
    /// What it printed, a line each with its place.
    pub prints: Vec<String>,
}

/// The tests of a run, in file order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestReport {
    /// The tests.
    pub results: Vec<TestResult>,
    /// Why files could not be tested; with errors here the run has failed.
    pub diagnostics: Vec<Diagnostic>,
}

impl TestReport {
    /// Whether every file loaded and every test that ran passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        let fine = |result: &TestResult| matches!(result.outcome, TestOutcome::Passed | TestOutcome::Skipped);
        self.diagnostics.is_empty() && self.results.iter().all(fine)
    }
}

/// Runs every rule named `test_…` in the files; rules named `todo_test_…` are skipped.
///
/// Policies and tests are loaded together, as `opa test` does. Where several files have a `decision` in one package
/// (each is a unit of its own), the test file `x_test.rego` runs with `x.rego` of them. `data` is the data document,
/// `now_ns` the clock in nanoseconds since the epoch.
#[must_use]
pub fn run_tests(
    files: &[SourceFile],
    data: &serde_json::Value,
    options: &RegoOptions,
    now_ns: i128,
) -> TestReport {
    let mut report = TestReport::default();
    let mut parsed = Vec::new();
    for file in files {
        parse_into(file, options, &mut parsed, &mut report.diagnostics);
    }
    if !report.diagnostics.is_empty() {
        return report;
    }
    for file in parsed.iter().filter(|file| file.module.policy.iter().any(|rule| is_test(rule))) {
        run_file(file, &parsed, data, options, now_ns, &mut report);
    }
    report
}

fn is_test(rule: &Rule) -> bool {
    matches!(rule, Rule::Spec { .. })
        && rule_name(rule).is_some_and(|name| name.starts_with("test_") || name.starts_with("todo_test_"))
}

fn run_file(
    file: &Parsed,
    all: &[Parsed],
    data: &serde_json::Value,
    options: &RegoOptions,
    now_ns: i128,
    report: &mut TestReport,
) {
    let modules = companions(file, all);
    let found = problems(&modules, options);
    if !found.is_empty() {
        report
            .diagnostics
            .extend(found.into_iter().filter(|new| !report.diagnostics.contains(new)).collect::<Vec<_>>());
        return;
    }
    let names = Names::new(modules.iter().copied());
    let tests = numbered(file);
    let (texts, used) = module_texts(&modules, &names, &|module, rule| {
        let same = |test: &&Test<'_>| std::ptr::eq(module, file) && std::ptr::eq(test.rule.as_ref(), rule);
        match tests.iter().find(same) {
            Some(test) if test.rule_name != test.evaluated => Fate::Rename(test.evaluated.clone()),
            _ => Fate::Keep,
        }
    });
    let ready = engine(&texts, &used, &options.limits).and_then(|mut engine| {
        if !data.is_null() {
            let data = serde_json::from_value(data.clone()).map_err(|error| error.to_string())?;
            engine.add_data(data).map_err(|error| error.to_string())?;
        }
        // Compiles once; each test takes a clone.
        engine.eval_query("true".to_owned(), false).map_err(|error| error.to_string())?;
        Ok(engine)
    });
    for test in &tests {
        let started = Instant::now();
        let (outcome, prints) = match &ready {
            _ if test.rule_name.starts_with("todo_") => (TestOutcome::Skipped, Vec::new()),
            Ok(engine) => run_one(engine, file, test, options, now_ns),
            Err(text) => (TestOutcome::Errored(explain(text, &options.limits).message), Vec::new()),
        };
        report.results.push(TestResult {
            package: Arc::from(file.package_name()),
            name: Arc::from(test.shown.as_str()),
            file: file.file.path.clone(),
            line: test.rule.span().line,
            outcome,
            duration: started.elapsed(),
            prints,
        });
    }
}

struct Test<'a> {
    rule: &'a Ref<Rule>,
    /// As written.
    rule_name: String,
    /// As evaluated: unique.
    evaluated: String,
    /// As shown: `test_x#01`.
    shown: String,
}

/// Gives rules of the same name names of their own, so that none hides another's failure.
fn numbered(file: &Parsed) -> Vec<Test<'_>> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    file.module
        .policy
        .iter()
        .filter(|rule| is_test(rule))
        .filter_map(|rule| {
            let rule_name = rule_name(rule)?;
            let count = seen.entry(rule_name.clone()).and_modify(|count| *count += 1).or_insert(0);
            let (evaluated, shown) = match *count {
                0 => (rule_name.clone(), rule_name.clone()),
                count => (format!("{rule_name}__placet_{count}"), format!("{rule_name}#{count:02}")),
            };
            Some(Test { rule, rule_name, evaluated, shown })
        })
        .collect()
}

fn run_one(
    engine: &Engine,
    file: &Parsed,
    test: &Test<'_>,
    options: &RegoOptions,
    now_ns: i128,
) -> (TestOutcome, Vec<String>) {
    let plain = matches!(
        test.rule.as_ref(),
        Rule::Spec { head: RuleHead::Compr { .. }, .. } if matches!(head_reference(test.rule).as_ref(), Expr::Var { .. })
    );
    if !plain {
        let message = "cases in the head of a test (`test_x[case]`) cannot be told from cases that are missing; \
                       write one rule per case";
        return (TestOutcome::Errored(message.to_owned()), Vec::new());
    }
    let mut path = file.package.clone();
    path.push(test.evaluated.clone());
    let run = || {
        let mut engine = engine.clone();
        let value = with_clock(now_ns, || engine.eval_rule(data_reference(&path)));
        (value.map_err(|error| error.to_string()), engine.take_prints().unwrap_or_default())
    };
    let (value, prints) = catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| (Err("error: the Rego interpreter stopped".to_owned()), Vec::new()));
    let outcome = match value {
        Ok(Value::Bool(true)) => TestOutcome::Passed,
        Ok(_) => TestOutcome::Failed,
        Err(text) => {
            let place = explain(&text, &options.limits);
            let at = place.file.map(|file| format!("{file}:{}: ", place.line)).unwrap_or_default();
            TestOutcome::Errored(format!("{at}{}", place.message))
        }
    };
    (outcome, prints)
}

/// The modules that a test file runs with.
fn companions<'a>(file: &'a Parsed, all: &'a [Parsed]) -> Vec<&'a Parsed> {
    let decides = |module: &Parsed| {
        event_type(&module.package).is_some() && module.module.policy.iter().any(|rule| is_decision(rule))
    };
    let stem =
        |module: &Parsed| module.file.path.strip_suffix(".rego").unwrap_or(&module.file.path).to_owned();
    let wanted = stem(file);
    let wanted = wanted.strip_suffix("_test").unwrap_or(&wanted);
    let units =
        |package: &[String]| all.iter().filter(|module| module.package == package && decides(module)).count();
    let named =
        |package: &[String]| all.iter().any(|module| module.package == package && stem(module) == wanted);
    all.iter()
        .filter(|module| {
            if std::ptr::eq(*module, file) || !decides(module) || units(&module.package) < 2 {
                return true;
            }
            match named(&module.package) {
                true => stem(module) == wanted,
                false => refers_to(file, &module.package),
            }
        })
        .collect()
}

fn refers_to(file: &Parsed, package: &[String]) -> bool {
    let imported =
        file.imports.values().any(|path| path.get(1..).is_some_and(|path| overlaps(path, package)));
    let mut named = file.package == package;
    for rule in &file.module.policy {
        super::walk::walk_expressions(rule, &mut |expression| {
            let path = static_path(expression).map(|(path, _)| path).unwrap_or_default();
            named |= path.first().is_some_and(|root| root == "data")
                && path.get(1..).is_some_and(|path| overlaps(path, package));
        });
    }
    imported || named
}
