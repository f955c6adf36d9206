//! How decisions, findings and tables look to a person.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use clap::builder::styling::Style;
use placet::{Decision, Diagnostic, Diagnostics, RuleRef, Severity, Verdict};

use crate::paint::{BOLD, CYAN, DIM, Paint, RED, YELLOW, visible, visible_line};

/// `DENY  reason`, the first line of every decision.
pub(crate) fn headline(decision: &Decision, paint: Paint) -> String {
    let hard = if decision.verdict.is_hard() { " (hard)" } else { "" };
    format!("{}{hard}  {}", paint.verdict(&decision.verdict), visible_line(&decision.reason))
}

/// A decision in a few lines: the verdict, the author's reason, the rules, the tier, what to do next.
pub(crate) fn decision(decision: &Decision, paint: Paint) -> String {
    let mut out = headline(decision, paint);
    out.push('\n');
    for (index, rule) in decision.rules.iter().enumerate() {
        let label = if index == 0 { "rule" } else { "" };
        field(&mut out, paint, label, &rule_place(rule, paint));
    }
    field(&mut out, paint, "risk", decision.risk_tier.name());
    if !decision.reviewers().is_empty() {
        let groups: Vec<String> = decision.reviewers().iter().map(ToString::to_string).collect();
        field(&mut out, paint, "ask", &visible_line(&groups.join(", ")));
    }
    if let Some(unknown) = decision.unknown() {
        let text = format!("{unknown}; a rule that restricts also fires on what it cannot know");
        field(&mut out, paint, "lacks", &visible_line(&text));
    }
    field(&mut out, paint, "code", decision.verdict.code());
    field(&mut out, paint, "next", next_step(decision));
    out
}

fn field(out: &mut String, paint: Paint, label: &str, value: &str) {
    let _ = writeln!(out, "  {}  {value}", paint.paint(DIM, &format!("{label:<5}")));
}

/// `name  file:line`.
pub(crate) fn rule_place(rule: &RuleRef, paint: Paint) -> String {
    let name = paint.paint(BOLD, &visible_line(&rule.name));
    format!("{name}  {}", paint.paint(CYAN, &place(rule)))
}

/// `file:line`, or the file alone when the engine does not tell the line.
pub(crate) fn place(rule: &RuleRef) -> String {
    let file = visible_line(&rule.file);
    if rule.line > 0 { format!("{file}:{}", rule.line) } else { file }
}

fn next_step(decision: &Decision) -> &'static str {
    match &decision.verdict {
        Verdict::Allow => "the call may run",
        Verdict::Escalate { .. } => "a person approves it, or it does not run",
        Verdict::Deny { hard: true, .. } => "nobody overrides a hard deny; do something else",
        Verdict::Deny { hard: false, .. } => "the agent may adapt the call and try again",
    }
}

/// Findings as a person reads them: place, severity, excerpt, help.
pub(crate) fn findings(found: &Diagnostics, paint: Paint) -> String {
    found.0.iter().map(|found| finding(found, paint)).collect()
}

fn finding(found: &Diagnostic, paint: Paint) -> String {
    let style = severity_style(found.severity);
    let label = format!("{}[{}]", found.severity.word(), found.code);
    let mut out = String::new();
    for (index, line) in found.to_string().lines().enumerate() {
        let line = visible(line);
        let line = match line.split_once(" | ") {
            _ if index == 0 => line.replacen(&label, &paint.paint(style, &label), 1),
            Some((gutter, carets)) if carets.trim_start().starts_with('^') && gutter.trim().is_empty() => {
                format!("{} {}", paint.paint(DIM, &format!("{gutter} |")), paint.paint(style, carets))
            }
            Some((gutter, source)) if gutter.trim().chars().all(|c| c.is_ascii_digit()) => {
                format!("{} {source}", paint.paint(DIM, &format!("{gutter} |")))
            }
            _ if line.starts_with("  help:") => line.replacen("help:", &paint.paint(CYAN, "help:"), 1),
            _ => line.into_owned(),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

pub(crate) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
        Severity::Note => CYAN,
    }
}

/// `2 errors, 1 warning`.
pub(crate) fn counts(found: &Diagnostics) -> String {
    let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (severity, found.of(severity).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| counted(count as u64, severity.word()))
        .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

/// `1 rule`, `3 rules`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A finding as JSON.
#[derive(serde::Serialize)]
pub(crate) struct FindingJson<'a> {
    severity: Severity,
    code: &'a str,
    message: &'a str,
    file: &'a str,
    line: u32,
    column: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

impl<'a> FindingJson<'a> {
    pub(crate) fn all(found: &'a Diagnostics) -> Vec<Self> {
        let one = |found: &'a Diagnostic| Self {
            severity: found.severity,
            code: found.code,
            message: &found.message,
            file: &found.file,
            line: found.position.line,
            column: found.position.column,
            help: found.help.as_deref(),
        };
        found.0.iter().map(one).collect()
    }
}

/// One cell of a table.
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    pub(crate) fn left(text: impl Into<String>) -> Self {
        Self { text: visible_line(&text.into()), style: Style::new(), right: false }
    }

    pub(crate) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    pub(crate) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Aligned columns, two spaces between them, nothing trailing.
pub(crate) fn table(rows: &[Vec<Cell>], paint: Paint) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from("  ");
        let filled = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        for (index, (cell, width)) in row.iter().zip(&widths).take(filled).enumerate() {
            let space = " ".repeat(width.saturating_sub(cell.width()));
            let text = paint.paint(cell.style, &cell.text);
            let gap = if index == 0 { "" } else { "  " };
            let last = index + 1 == filled;
            let _ = match (cell.right, last) {
                (true, _) => write!(line, "{gap}{space}{text}"),
                (false, true) => write!(line, "{gap}{text}"),
                (false, false) => write!(line, "{gap}{text}{space}"),
            };
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_stands_in_them() {
        let rows = [
            vec![Cell::right("1"), Cell::left("größe"), Cell::left("x")],
            vec![Cell::right("10"), Cell::left("a"), Cell::left("")],
        ];
        assert_eq!(table(&rows, Paint::new(false)), "   1  größe  x\n  10  a\n");
    }

    #[test]
    fn counts_have_their_plural() {
        assert_eq!((counted(1, "rule"), counted(2, "rule")), ("1 rule".to_owned(), "2 rules".to_owned()));
        assert_eq!(counts(&Diagnostics::default()), "no findings");
    }
}
