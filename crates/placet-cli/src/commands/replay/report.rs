//! What would change, for people and for programs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;
use std::sync::Arc;

use placet::Decision;
use placet::hidden::Effect;
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
    /// How many budgets the configuration sets.
    budgets: usize,
    pub(super) decisions: u64,
    pub(super) unchanged: u64,
    pub(super) changed: u64,
    /// Recorded as allowed, and denied now.
    pub(super) newly_denied: u64,
    /// Recorded as allowed, and nobody can tell whether they would be denied.
    pub(super) perhaps_denied: u64,
    /// Credentials or failures decided, and no policy.
    pub(super) not_decided_by_policy: u64,
    /// Calls that would run and never did: they cost what was estimated.
    estimated: u64,
    /// From which verdict to which, and how often.
    transitions: Vec<Transition>,
    pub(super) changes: Vec<Change>,
    pub(super) undecidable: Vec<Undecided>,
    pub(super) unreadable: Vec<u64>,
}

/// From one verdict to another.
#[derive(Debug, Serialize)]
struct Transition {
    from: String,
    to: String,
    count: u64,
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
    code: &'static str,
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
    /// Every verdict that it may be; empty where nothing is known.
    could_be: Vec<String>,
    cause: &'static str,
}

/// Why nobody can tell, and what it may be.
#[derive(Debug)]
pub(super) struct Unclear {
    pub(super) cause: &'static str,
    /// The outcomes that are possible, the weakest first; empty where nothing is known.
    pub(super) could_be: Vec<Effect>,
}

impl Unclear {
    /// Whether it would be denied in any case.
    pub(super) fn is_denied(&self) -> bool {
        self.could_be.first().is_some_and(|weakest| *weakest >= Effect::Deny)
    }

    fn may_be_denied(&self) -> bool {
        self.could_be.last().is_none_or(|strongest| *strongest >= Effect::Deny)
    }
}

fn word(verdict: &str, hard: bool) -> String {
    if hard { format!("{verdict} (hard)") } else { verdict.to_owned() }
}

fn tool(decision: &DecisionFact) -> Arc<str> {
    decision.tool.as_deref().unwrap_or(&decision.action).into()
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
            code: now.verdict.code(),
            reason: now.reason.clone(),
            rules: rules.collect(),
        }
    }
}

impl Undecided {
    pub(super) fn new(stored: &Stored, before: &DecisionFact, unclear: &Unclear) -> Self {
        let word_of = |effect: &Effect| match effect {
            Effect::Allow => word("allow", false),
            Effect::Escalate => word("escalate", false),
            Effect::Deny => word("deny", false),
            Effect::HardDeny => word("deny", true),
        };
        Self {
            seq: stored.seq,
            id: stored.record.id.0.clone(),
            tool: tool(before),
            from: word(&before.verdict, before.hard),
            could_be: unclear.could_be.iter().map(word_of).collect(),
            cause: unclear.cause,
        }
    }

    /// `would be allow or deny`, and why.
    fn told(&self) -> String {
        match self.could_be.as_slice() {
            [first @ .., last] if !first.is_empty() => {
                format!("would be {} or {last}: {}", first.join(", "), self.cause)
            }
            _ => self.cause.to_owned(),
        }
    }
}

impl Report {
    pub(super) fn new(policy_version: Arc<str>, budgets: usize) -> Self {
        Self {
            policy_version,
            budgets,
            decisions: 0,
            unchanged: 0,
            changed: 0,
            newly_denied: 0,
            perhaps_denied: 0,
            not_decided_by_policy: 0,
            estimated: 0,
            transitions: Vec::new(),
            changes: Vec::new(),
            undecidable: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        self.newly_denied += u64::from(change.from == "allow" && change.to.starts_with("deny"));
        let known = self.transitions.iter_mut().find(|one| one.from == change.from && one.to == change.to);
        match known {
            Some(known) => known.count += 1,
            None => {
                let (from, to) = (change.from.clone(), change.to.clone());
                self.transitions.push(Transition { from, to, count: 1 });
            }
        }
        self.changes.push(change);
    }

    pub(super) fn unclear(&mut self, one: Undecided, unclear: &Unclear) {
        if one.from == "allow" {
            self.newly_denied += u64::from(unclear.is_denied());
            self.perhaps_denied += u64::from(unclear.may_be_denied() && !unclear.is_denied());
        }
        self.undecidable.push(one);
    }

    pub(super) fn finish(&mut self, unreadable: Vec<u64>, estimated: u64) {
        self.changed = self.changes.len() as u64;
        self.unreadable = unreadable;
        self.estimated = estimated;
        self.transitions.sort_by_key(|one| std::cmp::Reverse(one.count));
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
        let counts = [
            (self.unchanged, "unchanged"),
            (self.not_decided_by_policy, "refused by credentials or a failure, which stands"),
            (self.undecidable.len() as u64, "undecidable"),
            (self.estimated, "would run and never did; their cost is the estimate"),
            (self.unreadable.len() as u64, "edited or unreadable; run `placet audit verify`"),
        ];
        let rows: Vec<Vec<Cell>> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| vec![Cell::right(count.to_string()), Cell::left(*what)])
            .collect();
        out.push_str(&render::table(&self.transitions(), paint));
        out.push_str(&render::table(&rows, paint));
        self.changes(&mut out, paint);
        self.undecided(&mut out, paint);
        let budgets = counted(self.budgets as u64, "budget");
        let _ = writeln!(out, "\n{}", paint.paint(DIM, &format!("{}, {budgets}", self.policy_version)));
        out
    }

    fn transitions(&self) -> Vec<Vec<Cell>> {
        let row = |one: &Transition| {
            vec![
                Cell::right(one.count.to_string()).styled(BOLD),
                verdict(&one.from),
                Cell::left("->").styled(DIM),
                verdict(&one.to),
            ]
        };
        self.transitions.iter().map(row).collect()
    }

    fn changes(&self, out: &mut String, paint: Paint) {
        if self.changes.is_empty() {
            return;
        }
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "what would change"));
        let rows: Vec<Vec<Cell>> = self
            .changes
            .iter()
            .take(SHOWN)
            .map(|change| {
                vec![
                    Cell::right(change.seq.to_string()),
                    Cell::left(&*change.tool),
                    verdict(&change.from),
                    Cell::left("->").styled(DIM),
                    verdict(&change.to),
                    Cell::left(change.rules.first().map_or(change.code, |rule| rule)),
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
                Cell::left(one.told()),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.undecidable.iter().take(SHOWN).map(row).collect();
        out.push_str(&render::table(&rows, paint));
        more(out, self.undecidable.len());
    }
}

fn verdict(word: &str) -> Cell {
    Cell::left(word).styled(verdict_style(word.split(' ').next().unwrap_or_default()))
}

fn more(out: &mut String, count: usize) {
    if count > SHOWN {
        let _ = writeln!(out, "  {} more; `--format json` lists them", count - SHOWN);
    }
}
