//! YAML suites: read and judged by the policy crate, decided here through a gate.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;
use std::time::Instant;

use placet::config::Paths;
use placet::expect::Suite;
use placet::{Gate, SourceFile};

use super::coverage::Coverage;
use super::{Case, Outcome, TestArgs};
use crate::failure::Failure;
use crate::project::DecideArgs;

/// Runs one suite.
pub(super) fn run(
    file: &SourceFile,
    decide: &DecideArgs,
    args: &TestArgs,
    mut coverage: Option<&mut Coverage>,
) -> Result<Vec<Case>, Failure> {
    let suite = Suite::parse(file).map_err(Failure::Suite)?;
    let gate = gate(&suite, file, decide)?;
    let wanted = |name: &str| args.run.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    let mut cases = Vec::with_capacity(suite.tests.len());
    for test in suite.tests.iter().filter(|test| wanted(&test.name)) {
        let event = test.event.clone();
        let started = Instant::now();
        let decision = gate.decide(event);
        let duration = started.elapsed();
        if let Some(coverage) = &mut coverage {
            coverage.meet(&decision);
        }
        let result = test.judge(decision);
        let outcome = if result.passed() {
            Outcome::Passed
        } else {
            let differences = result.differences.join("; ");
            Outcome::Failed(format!("{differences}; the reason was: {}", result.decision.reason))
        };
        let name = test.name.to_string();
        cases.push(Case {
            file: file.path.clone(),
            name,
            line: test.line,
            outcome,
            duration,
            prints: Vec::new(),
        });
    }
    Ok(cases)
}

/// The gate under test: that of the project, or of the policies that the suite names.
fn gate(suite: &Suite, file: &SourceFile, decide: &DecideArgs) -> Result<Gate, Failure> {
    let mut options = decide.options()?;
    if !suite.policies.is_empty() || !suite.library.is_empty() {
        let folder = Path::new(&*file.path).parent().unwrap_or(Path::new(""));
        let paths = suite.policies.iter().map(|path| folder.join(&**path)).collect();
        options.config.policies = Paths::Many(paths);
        options.config.library = suite.library.iter().map(ToString::to_string).collect();
    }
    Ok(Gate::open(options)?)
}
