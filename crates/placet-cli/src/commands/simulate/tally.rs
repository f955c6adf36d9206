//! How often what was said.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::fmt::Write;

use placet::{Decision, Verdict};

use crate::paint::{BOLD, DIM, Paint, verdict_style};
use crate::render::{self, Cell};

/// Most different rows that are kept; what comes after them is counted as one.
const MAX_KEPT_ROWS: usize = 10_000;

/// Most rows that are shown.
const MAX_SHOWN_ROWS: usize = 40;

/// What was decided, counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) escalated: u64,
    pub(super) bad_lines: u64,
    rows: HashMap<Row, u64>,
    not_kept: u64,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    verdict: &'static str,
    action: String,
    rule: String,
}

impl Tally {
    /// Counts one decision; rows are needed only where a summary is printed.
    pub(super) fn count(&mut self, decision: &Decision, action: Option<&str>) {
        match decision.verdict {
            Verdict::Allow => self.allowed += 1,
            Verdict::Deny { .. } => self.denied += 1,
            Verdict::Escalate { .. } => self.escalated += 1,
        }
        if let Some(action) = action {
            let rule = decision.rule_matched().map_or(decision.verdict.code(), |rule| &**rule);
            let row =
                Row { verdict: decision.verdict.word(), action: action.to_owned(), rule: rule.to_owned() };
            self.add_row(row, 1);
        }
    }

    fn add_row(&mut self, row: Row, count: u64) {
        if self.rows.len() >= MAX_KEPT_ROWS && !self.rows.contains_key(&row) {
            self.not_kept += count;
        } else {
            *self.rows.entry(row).or_default() += count;
        }
    }

    /// Adds another count.
    pub(super) fn add(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.escalated += other.escalated;
        self.bad_lines += other.bad_lines;
        self.not_kept += other.not_kept;
        other.rows.into_iter().for_each(|(row, count)| self.add_row(row, count));
    }

    pub(super) fn events(&self) -> u64 {
        self.allowed + self.denied + self.escalated
    }

    /// The rows, most frequent first, and one line with the totals.
    pub(super) fn summary(&self, paint: Paint) -> String {
        let mut rows: Vec<(&Row, u64)> = self.rows.iter().map(|(row, count)| (row, *count)).collect();
        rows.sort_by(|(one, count), (two, other)| other.cmp(count).then(one.cmp(two)));
        let mut cells = vec![heading()];
        cells.extend(rows.iter().take(MAX_SHOWN_ROWS).map(|(row, count)| {
            vec![
                Cell::right(count.to_string()),
                Cell::left(row.verdict.to_uppercase()).styled(verdict_style(row.verdict)),
                Cell::left(row.action.as_str()),
                Cell::left(row.rule.as_str()),
            ]
        }));
        let mut out = if rows.is_empty() { String::new() } else { render::table(&cells, paint) };
        let hidden = rows.iter().skip(MAX_SHOWN_ROWS).map(|(_, count)| count).sum::<u64>() + self.not_kept;
        if hidden > 0 {
            let note = format!("  and {} in rarer rows", render::counted(hidden, "event"));
            let _ = writeln!(out, "{}", paint.paint(DIM, &note));
        }
        let _ = writeln!(out, "{}", self.totals(paint));
        out
    }

    /// One line with the totals.
    pub(super) fn totals(&self, paint: Paint) -> String {
        let part = |count: u64, word: &str| {
            let text = format!("{count} {word} ({})", percent(count, self.events()));
            if count == 0 { paint.paint(DIM, &text) } else { paint.paint(verdict_style(word), &text) }
        };
        format!(
            "{}: {}, {}, {}",
            paint.paint(BOLD, &render::counted(self.events(), "event")),
            part(self.allowed, "allow"),
            part(self.escalated, "escalate"),
            part(self.denied, "deny"),
        )
    }
}

fn heading() -> Vec<Cell> {
    let cells =
        [Cell::right("count"), Cell::left("verdict"), Cell::left("action"), Cell::left("rule or code")];
    cells.into_iter().map(|cell| cell.styled(DIM)).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(count: u64, of: u64) -> String {
    if of == 0 { "0 %".to_owned() } else { format!("{:.0} %", count as f64 * 100.0 / of as f64) }
}
