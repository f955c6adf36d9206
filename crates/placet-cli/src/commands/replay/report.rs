//! What would change, for people and for programs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;
use std::sync::Arc;

use placet::Decision;
use placet::record::DecisionFact;
use placet_store::query::Stored;
use serde::Serialize;

use crate::moment;
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, verdict_style};
use crate::render::{self, Cell, counted};

/// How many examples a person is shown.
const SHOWN: usize = 20;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    policy_version: Arc<str>,
    pub(super) decisions: u64,
    pub(super) unchanged: u64,
    pub(super) changed: u64,
    /// Recorded as allowed, and denied now.
    pub(super) newly_denied: u64,
    /// Credentials, budgets or failures decided, and no policy.
    pub(super) not_decided_by_policy: u64,
    pub(super) changes: Vec<Change>,
    pub(super) undecidable: Vec<Undecided>,
    pub(super) unreadable: Vec<u64>,
}

/// One decision that would be another.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    seq: u64,
    id: Arc<str>,
    timestamp: String,
    session: Option<Arc<str>>,
    tool: Arc<str>,
    from: String,
    to: String,
    reason: Arc<str>,
    rules: Vec<String>,
}

/// One decision of which nobody can tell.
#[derive(Debug, Serialize)]
pub(super) struct Undecided {
    seq: u64,
    id: Arc<str>,
    tool: Arc<str>,
    from: String,
    cause: &'static str,
}

fn word(verdict: &str, hard: bool) -> String {
    if hard { format!("{verdict} (hard)") } else { verdict.to_owned() }
}

fn tool(decision: &DecisionFact) -> Arc<str> {
    decision.tool.clone().unwrap_or_else(|| decision.action.clone())
}

impl Change {
    pub(super) fn new(stored: &Stored, before: &DecisionFact, now: &Decision) -> Self {
        let rules = now.rules.iter().map(|rule| format!("{} ({})", rule.name, render::place(rule)));
        Self {
            seq: stored.seq,
            id: stored.record.id.0.clone(),
            timestamp: moment::exact(stored.record.time_us),
            session: stored.record.session.clone(),
            tool: tool(before),
            from: word(&before.verdict, before.hard),
            to: word(now.verdict.word(), now.verdict.is_hard()),
            reason: now.reason.clone(),
            rules: rules.collect(),
        }
    }
}

impl Undecided {
    pub(super) fn new(stored: &Stored, before: &DecisionFact, cause: &'static str) -> Self {
        let id = stored.record.id.0.clone();
        Self { seq: stored.seq, id, tool: tool(before), from: word(&before.verdict, before.hard), cause }
    }
}

impl Report {
    pub(super) fn new(policy_version: Arc<str>) -> Self {
        Self {
            policy_version,
            decisions: 0,
            unchanged: 0,
            changed: 0,
            newly_denied: 0,
            not_decided_by_policy: 0,
            changes: Vec::new(),
            undecidable: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn text(&self, paint: Paint) -> String {
        let style = if self.newly_denied > 0 {
            RED
        } else if self.changed > 0 {
            YELLOW
        } else {
            GREEN
        };
        let decisions = counted(self.decisions, "decision");
        let mut out =
            format!("{} of {decisions} would change\n", paint.paint(style, &self.changed.to_string()));
        let mut counts = vec![(self.unchanged, "unchanged"), (self.newly_denied, "allowed then, denied now")];
        counts
            .push((self.not_decided_by_policy, "refused by credentials, budgets or a failure, which stands"));
        counts.push((self.undecidable.len() as u64, "undecidable"));
        counts.push((self.unreadable.len() as u64, "edited or unreadable; run `placet audit verify`"));
        let rows: Vec<Vec<Cell>> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| vec![Cell::right(count.to_string()), Cell::left(*what)])
            .collect();
        out.push_str(&render::table(&rows, paint));
        self.changes(&mut out, paint);
        self.undecided(&mut out, paint);
        let _ = writeln!(out, "\n{}", paint.paint(DIM, &self.policy_version));
        out
    }

    fn changes(&self, out: &mut String, paint: Paint) {
        if self.changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "what would change"));
        let cell = |verdict: &str| {
            let style = verdict_style(verdict.split(' ').next().unwrap_or_default());
            Cell::left(verdict).styled(style)
        };
        let rows: Vec<Vec<Cell>> = self
            .changes
            .iter()
            .take(SHOWN)
            .map(|change| {
                vec![
                    Cell::right(change.seq.to_string()),
                    Cell::left(&*change.tool),
                    cell(&change.from),
                    Cell::left("->").styled(DIM),
                    cell(&change.to),
                    Cell::left(change.rules.first().map_or("", |rule| rule)),
                    Cell::left(&*change.reason).styled(DIM),
                ]
            })
            .collect();
        out.push_str(&render::table(&rows, paint));
        more(out, self.changes.len());
    }

    fn undecided(&self, out: &mut String, paint: Paint) {
        if self.undecidable.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "undecidable"));
        let row = |one: &Undecided| {
            vec![
                Cell::right(one.seq.to_string()),
                Cell::left(&*one.tool),
                Cell::left(&*one.from),
                Cell::left(one.cause),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.undecidable.iter().take(SHOWN).map(row).collect();
        out.push_str(&render::table(&rows, paint));
        more(out, self.undecidable.len());
    }
}

fn more(out: &mut String, count: usize) {
    if count > SHOWN {
        let _ = writeln!(out, "  {} more; `--format json` lists them", count - SHOWN);
    }
}
