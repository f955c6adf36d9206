//! `placet test`: runs the tests that policies bring, in Rego and as YAML suites.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod coverage;
mod junit;
mod report;
mod suite;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use placet::rego::{TestOutcome, TestResult, run_tests};
use placet::{Diagnostics, GateOptions, SourceFile, files};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::project::DecideArgs;
use coverage::Coverage;

/// Run the policies' tests: `_test.rego` files and `_test.yaml` suites
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Policy files or folders; the same as `--policies`
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Run only tests whose name contains this text
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
    /// Report which YAML rules no suite met
    #[arg(long)]
    coverage: bool,
    /// Fail when fewer than this share of the YAML rules is covered, in per cent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_under: Option<u8>,
    #[command(flatten)]
    decide: DecideArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = TestFormat::Text, value_name = "FORMAT")]
    format: TestFormat,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For continuous integration
    Junit,
}

/// One test and what came of it.
struct Case {
    file: Arc<str>,
    name: String,
    line: u32,
    outcome: Outcome,
    duration: Duration,
    /// What it printed.
    prints: Vec<String>,
}

/// What came of a test.
#[derive(PartialEq, Eq)]
enum Outcome {
    Passed,
    /// It is wrong about the policies, or they are wrong: why.
    Failed(String),
    /// It could not be run: why.
    Errored(String),
    Skipped,
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Failed(_) => "fail",
            Self::Errored(_) => "error",
            Self::Skipped => "skip",
        }
    }

    fn message(&self) -> Option<&str> {
        match self {
            Self::Failed(message) | Self::Errored(message) => Some(message),
            Self::Passed | Self::Skipped => None,
        }
    }
}

pub(crate) fn run(args: &TestArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let decide = DecideArgs { project: args.decide.project.with_paths(&args.paths), now: args.decide.now };
    let options = decide.options()?;
    let tests = tests(&options)?;
    let mut cases = rego(&tests, &options)?;
    let wants_coverage = args.coverage || args.fail_under.is_some();
    let mut coverage = wants_coverage.then(|| Coverage::new(&options)).transpose()?;
    for file in tests.iter().filter(|file| !file.path.ends_with(".rego")) {
        cases.extend(suite::run(file, &decide, args, coverage.as_mut())?);
    }
    if let Some(wanted) = &args.run {
        cases.retain(|case| case.name.contains(wanted.as_str()));
    }
    if cases.is_empty() {
        let message = "no test was found; write `NAME_test.rego` or `NAME_test.yaml` beside the policies";
        return Err(Failure::Usage(message.to_owned()));
    }
    match args.format {
        TestFormat::Text => {
            let text = report::text(&cases, coverage.as_ref(), console.paint);
            console.out.write_all(text.as_bytes())?;
        }
        TestFormat::Json => console.json(&report::json(&cases, coverage.as_ref()))?,
        TestFormat::Junit => console.out.write_all(junit::write(&cases).as_bytes())?,
    }
    let failed = cases.iter().any(|case| case.outcome.message().is_some());
    let too_low = match (args.fail_under, &coverage) {
        (Some(least), Some(coverage)) if coverage.percent() < f64::from(least) => {
            console
                .say(&format!("coverage is {:.0} %; the limit is {least} %; add tests", coverage.percent()));
            true
        }
        _ => false,
    };
    Ok(if failed || too_low { Exit::Negative } else { Exit::Ok })
}

/// The test files below all policy paths, each once.
fn tests(options: &GateOptions) -> Result<Vec<SourceFile>, Failure> {
    let global = options.config.global.as_ref().map(|global| global.policies.to_vec()).unwrap_or_default();
    let mut tests: Vec<SourceFile> = Vec::new();
    for path in options.config.policies.to_vec().iter().chain(&global) {
        for file in files::read_tests(path)? {
            if !tests.iter().any(|known| known.path == file.path) {
                tests.push(file);
            }
        }
    }
    Ok(tests)
}

fn rego(tests: &[SourceFile], options: &GateOptions) -> Result<Vec<Case>, Failure> {
    let is_rego = |file: &&SourceFile| file.path.ends_with(".rego");
    if !tests.iter().any(|file| is_rego(&file)) {
        return Ok(Vec::new());
    }
    let sources = placet::read_sources(options)?;
    let policies = sources.iter().map(|(_, file)| file).filter(is_rego);
    let files: Vec<SourceFile> = policies.chain(tests.iter().filter(is_rego)).cloned().collect();
    let now = options.clock.now().as_nanosecond();
    let report = run_tests(&files, &serde_json::Value::Null, &options.load_options().rego, now);
    let found = Diagnostics(report.diagnostics);
    if found.has_errors() {
        return Err(Failure::Policy(found));
    }
    Ok(report.results.into_iter().map(case).collect())
}

fn case(result: TestResult) -> Case {
    let name = format!("{}.{}", result.package, result.name);
    let outcome = match result.outcome {
        TestOutcome::Passed => Outcome::Passed,
        TestOutcome::Failed => Outcome::Failed("the test is false or undefined".to_owned()),
        TestOutcome::Errored(message) => Outcome::Errored(message),
        TestOutcome::Skipped => Outcome::Skipped,
    };
    Case {
        file: result.file,
        name,
        line: result.line,
        outcome,
        duration: result.duration,
        prints: result.prints,
    }
}
