//! `placet explain`: decides one event and shows why.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use clap::Args;
use placet::{Decision, Gate, RuleRef, SourceFile, export};
use serde::Serialize;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::paint::{BOLD, DIM, Paint, verdict_style, visible};
use crate::project::DecideArgs;
use crate::render::{self, Cell};

/// Decide one event and show why: rules with their source, tiers, values looked at
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// JSON text, a file, or `-` for stdin
    event: String,
    #[command(flatten)]
    decide: DecideArgs,
    #[command(flatten)]
    output: FormatArgs,
}

/// Longest excerpt of a rule, in lines.
const MAX_EXCERPT_LINES: usize = 24;

/// A decision with what operators may see besides.
#[derive(Serialize)]
struct Explanation<'a> {
    #[serde(flatten)]
    decision: &'a Decision,
    inputs: &'a [placet::InputSeen],
    sources: Vec<Excerpt<'a>>,
}

/// The source of one rule.
#[derive(Serialize)]
struct Excerpt<'a> {
    name: &'a str,
    file: &'a str,
    line: u32,
    text: String,
}

pub(crate) fn run(args: &ExplainArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let event = input::event(&args.event, console)?;
    let options = args.decide.options()?;
    let sources: Vec<SourceFile> =
        placet::read_sources(&options)?.into_iter().map(|(_, file)| readable(file)).collect();
    let decision = Gate::open(options)?.decide(event);
    let excerpts: Vec<Excerpt<'_>> = decision.rules.iter().map(|rule| excerpt(rule, &sources)).collect();
    if args.output.is_json() {
        console.json(&Explanation { decision: &decision, inputs: &decision.inputs, sources: excerpts })?;
    } else {
        let text = text(&decision, &excerpts, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::of(&decision.verdict))
}

/// A file as its author wrote it: an exported one is shown as the YAML it was made of, as it is decided with.
fn readable(file: SourceFile) -> SourceFile {
    export::source_of(&file.text).map_or(file, |exported| exported.source)
}

fn text(decision: &Decision, excerpts: &[Excerpt<'_>], paint: Paint) -> String {
    let mut out = render::decision(decision, paint);
    for (rule, excerpt) in decision.rules.iter().zip(excerpts) {
        let _ = writeln!(out, "\n{}", render::rule_place(rule, paint));
        let width = (excerpt.line as usize + excerpt.text.lines().count()).to_string().len();
        for (line, text) in (excerpt.line..).zip(excerpt.text.lines()) {
            let gutter = paint.paint(DIM, &format!("{line:>width$} |"));
            let _ = writeln!(out, "  {gutter} {}", visible(text));
        }
    }
    let _ = writeln!(out, "\n{}", paint.paint(BOLD, "tiers"));
    out.push_str(&render::table(&tiers(decision), paint));
    if !decision.inputs.is_empty() {
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "values looked at"));
        out.push_str(&render::table(&inputs(decision), paint));
    }
    let _ = writeln!(out, "\n{}", paint.paint(DIM, &decision.policy_version));
    out
}

fn tiers(decision: &Decision) -> Vec<Vec<Cell>> {
    let row = |step: &placet::TraceStep| {
        let outcome = if step.hard { format!("{} (hard)", step.outcome) } else { step.outcome.to_owned() };
        let style =
            if matches!(step.outcome, "abstain" | "skipped") { DIM } else { verdict_style(step.outcome) };
        vec![
            Cell::left(step.tier.name()),
            Cell::left(outcome).styled(style),
            Cell::left(step.rule_matched.as_deref().unwrap_or_default()),
            Cell::left(&*step.reason),
        ]
    };
    decision.trace.iter().map(row).collect()
}

fn inputs(decision: &Decision) -> Vec<Vec<Cell>> {
    let row = |input: &placet::InputSeen| {
        let value = if input.value.is_null() {
            Cell::left("absent").styled(DIM)
        } else {
            Cell::left(serde_json::to_string(&input.value).unwrap_or_default())
        };
        let unknown = input.unknown.as_ref().map(|unknown| format!("unknown: {unknown}"));
        vec![Cell::left(&*input.field), value, Cell::left(unknown.unwrap_or_default()).styled(DIM)]
    };
    decision.inputs.iter().map(row).collect()
}

/// The lines of a rule: from its first line to the end of its block.
fn excerpt<'a>(rule: &'a RuleRef, sources: &[SourceFile]) -> Excerpt<'a> {
    let file = sources.iter().find(|file| file.path == rule.file);
    let first = (rule.line as usize).checked_sub(1);
    let text = match (file, first) {
        (Some(file), Some(first)) if rule.file.ends_with(".rego") => block(&file.text, first, ends_rego),
        (Some(file), Some(first)) => block(&file.text, first, ends_yaml),
        _ => String::new(),
    };
    Excerpt { name: &rule.name, file: &rule.file, line: rule.line, text }
}

/// How a following line ends a block.
#[derive(PartialEq, Eq)]
enum End {
    /// It does not.
    No,
    /// It is the last line of the block.
    With,
    /// The block ended before it.
    Before,
}

fn block(text: &str, first: usize, ends: fn(&str, &str) -> End) -> String {
    let mut lines = text.lines().skip(first);
    let Some(head) = lines.next() else { return String::new() };
    let mut taken = vec![head];
    for line in lines.take(MAX_EXCERPT_LINES - 1) {
        match ends(head, line) {
            End::Before => break,
            End::With => {
                taken.push(line);
                break;
            }
            End::No => taken.push(line),
        }
    }
    while taken.last().is_some_and(|line| line.trim().is_empty()) {
        taken.pop();
    }
    taken.join("\n")
}

/// A YAML block goes on as long as its lines are indented deeper than its dash.
fn ends_yaml(head: &str, line: &str) -> End {
    let depth = |line: &str| line.len() - line.trim_start().len();
    if line.trim().is_empty() || depth(line) > depth(head) { End::No } else { End::Before }
}

/// A Rego rule goes on to its closing brace, or to the next blank line when it has no body.
fn ends_rego(head: &str, line: &str) -> End {
    match line {
        _ if !head.trim_end().ends_with('{') => End::Before,
        "}" => End::With,
        _ => End::No,
    }
}
