//! Expectation suites: events and what is expected of the decision on each, written in YAML beside a policy.
//!
//! A suite names its policies and holds tests; reading those policies is the caller's part, so nothing here
//! touches a file. Defaults (`event`, `context`) fill what a test leaves out: a field of the event document is
//! taken whole, and the keys of `context`, `session` and `parent` one by one.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod compare;
mod parse;

use std::sync::Arc;

use placet_types::{Decision, DecisionId, Event};

use crate::diagnostic::Diagnostics;
use crate::request::Request;
use crate::set::PolicySet;
use crate::source::SourceFile;

pub use compare::Expected;

/// A suite, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its name; the file's name when it gives none.
    pub name: Arc<str>,
    /// The file it was read from.
    pub file: Arc<str>,
    /// Policy files or folders under test, relative to the suite's folder; empty means those of the project.
    pub policies: Vec<Arc<str>>,
    /// Library modules under test.
    pub library: Vec<Arc<str>>,
    /// Its tests, in file order; never empty.
    pub tests: Vec<Test>,
}

/// One event and what is expected of the decision on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name; `test 1` and so on when it gives none.
    pub name: Arc<str>,
    /// The line on which it begins.
    pub line: u32,
    /// The event with the defaults of the suite filled in.
    pub event: Event,
    /// What is expected.
    pub expected: Expected,
}

/// What came of one test.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// The test's name.
    pub name: Arc<str>,
    /// The line on which the test begins.
    pub line: u32,
    /// What was decided; its rules are the ones that the test covers.
    pub decision: Decision,
    /// What is not as expected, each as `what: expected x, got y`; empty when the test passed.
    pub differences: Vec<String>,
}

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its place: unknown keys, wrong types, events that the document does
    /// not allow, tests that expect nothing, no test at all.
    pub fn parse(file: &SourceFile) -> Result<Self, Diagnostics> {
        parse::suite(file)
    }

    /// Decides every event of the suite and compares. The policies are those given; their clock is the events' `now`.
    #[must_use]
    pub fn run(&self, policies: &PolicySet) -> Vec<CaseResult> {
        self.run_with(|event| policies.decide(&Request::new(event), DecisionId(self.name.clone())))
    }

    /// Puts every event of the suite to `decide` and compares, for callers that decide through something else
    /// than a bare policy set.
    #[must_use]
    pub fn run_with(&self, mut decide: impl FnMut(Event) -> Decision) -> Vec<CaseResult> {
        self.tests.iter().map(|test| test.judge(decide(test.event.clone()))).collect()
    }
}

impl Test {
    /// Compares a decision with what the test expects.
    #[must_use]
    pub fn judge(&self, decision: Decision) -> CaseResult {
        let differences = self.expected.differences(&decision);
        CaseResult { name: self.name.clone(), line: self.line, decision, differences }
    }
}

impl CaseResult {
    /// Whether everything is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }

    /// `PASS name`, or `FAIL name: ` with what differs and the reason that was given.
    #[must_use]
    pub fn line(&self) -> String {
        if self.passed() {
            return format!("PASS {}", self.name);
        }
        let differences = self.differences.join("; ");
        format!("FAIL {}: {differences}; the reason was: {}", self.name, self.decision.reason)
    }
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
