//! Results for people and as JSON.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use placet::RuleRef;
use serde::Serialize;

use super::coverage::Coverage;
use super::{Case, Outcome};
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, visible_line};
use crate::render;

pub(super) fn text(cases: &[Case], coverage: Option<&Coverage>, paint: Paint) -> String {
    let mut out = String::new();
    let mut file = "";
    for case in cases {
        if &*case.file != file {
            file = &case.file;
            let _ = writeln!(out, "{}", paint.paint(BOLD, &visible_line(file)));
        }
        let style = match case.outcome {
            Outcome::Passed => GREEN,
            Outcome::Skipped => YELLOW,
            Outcome::Failed(_) | Outcome::Errored(_) => RED,
        };
        let word = paint.paint(style, &format!("{:<5}", case.outcome.word().to_uppercase()));
        let time = paint.paint(DIM, &format!("{:.1?}", case.duration));
        let _ = writeln!(out, "  {word}  {}  {time}", visible_line(&case.name));
        if let Some(message) = case.outcome.message() {
            let _ = writeln!(out, "         {}:{}: {}", visible_line(file), case.line, visible_line(message));
        }
        for line in &case.prints {
            let _ = writeln!(out, "         {}", paint.paint(DIM, &visible_line(line)));
        }
    }
    let _ = writeln!(out, "{}", totals(cases, paint));
    if let Some(coverage) = coverage {
        out.push_str(&covered(coverage, paint));
    }
    out
}

fn count(cases: &[Case], word: &str) -> u64 {
    cases.iter().filter(|case| case.outcome.word() == word).count() as u64
}

fn totals(cases: &[Case], paint: Paint) -> String {
    let parts = [
        ("pass", "passed", GREEN),
        ("fail", "failed", RED),
        ("error", "broken", RED),
        ("skip", "skipped", YELLOW),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(word, said, style)| (count(cases, word), said, style))
        .filter(|(count, ..)| *count > 0)
        .map(|(count, said, style)| paint.paint(style, &format!("{count} {said}")))
        .collect();
    format!("{}: {}", render::counted(cases.len() as u64, "test"), parts.join(", "))
}

fn covered(coverage: &Coverage, paint: Paint) -> String {
    let (met, total) = (coverage.met(), coverage.total());
    let mut out = format!(
        "coverage: {met} of {} ({:.0} %)\n",
        render::counted(total as u64, "YAML rule"),
        coverage.percent()
    );
    for rule in coverage.missed() {
        let _ = writeln!(out, "  {}  {}", paint.paint(YELLOW, "not met"), render::rule_place(rule, paint));
    }
    out
}

/// The report as JSON.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    passed: u64,
    failed: u64,
    errored: u64,
    skipped: u64,
    tests: Vec<TestJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<CoverageJson<'a>>,
}

#[derive(Serialize)]
struct TestJson<'a> {
    file: &'a str,
    line: u32,
    name: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    duration_ms: f64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    prints: &'a [String],
}

#[derive(Serialize)]
struct CoverageJson<'a> {
    percent: f64,
    met: usize,
    total: usize,
    missed: Vec<&'a RuleRef>,
}

pub(super) fn json<'a>(cases: &'a [Case], coverage: Option<&'a Coverage>) -> Report<'a> {
    let test = |case: &'a Case| TestJson {
        file: &case.file,
        line: case.line,
        name: &case.name,
        outcome: case.outcome.word(),
        message: case.outcome.message(),
        duration_ms: case.duration.as_secs_f64() * 1e3,
        prints: &case.prints,
    };
    Report {
        passed: count(cases, "pass"),
        failed: count(cases, "fail"),
        errored: count(cases, "error"),
        skipped: count(cases, "skip"),
        tests: cases.iter().map(test).collect(),
        coverage: coverage.map(|coverage| CoverageJson {
            percent: coverage.percent(),
            met: coverage.met(),
            total: coverage.total(),
            missed: coverage.missed().collect(),
        }),
    }
}
