//! Differences for people and as JSON.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use placet::RuleRef;
use serde::Serialize;
use serde_json::Value;

use super::decisions::{Decisions, Side};
use super::document::{Changes, ValueChange};
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, verdict_style, visible_line};
use crate::render::{self, Cell};

/// The report as JSON.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    rules: &'a Changes,
    #[serde(skip_serializing_if = "Option::is_none")]
    decisions: Option<&'a Decisions>,
}

pub(super) fn json<'a>(changes: &'a Changes, decisions: Option<&'a Decisions>) -> Report<'a> {
    Report { rules: changes, decisions }
}

pub(super) fn text(changes: &Changes, decisions: Option<&Decisions>, paint: Paint) -> String {
    let mut out = String::new();
    if changes.is_empty() {
        out.push_str("the policies say the same\n");
    }
    let mut rules = |sign: &str, style, rules: &[RuleRef], note: &str| {
        for rule in rules {
            let _ = writeln!(out, "{} {}{note}", paint.paint(style, sign), render::rule_place(rule, paint));
        }
    };
    rules("+", GREEN, &changes.added, "");
    rules("-", RED, &changes.removed, "");
    rules(">", YELLOW, &changes.moved, "  moved among the rules; the first that matches counts");
    for change in &changes.changed {
        let _ = writeln!(out, "{} {}", paint.paint(YELLOW, "~"), render::rule_place(&change.rule, paint));
        values(&mut out, &change.changes, paint);
    }
    for change in &changes.defaults {
        let file = paint.paint(BOLD, &visible_line(&change.file));
        let _ = writeln!(out, "{} defaults of {file}", paint.paint(YELLOW, "~"));
        values(&mut out, &change.changes, paint);
    }
    for change in &changes.rego {
        let file = paint.paint(BOLD, &visible_line(&change.file));
        let _ = writeln!(out, "{} {file}  Rego file {}", paint.paint(YELLOW, "~"), change.change);
    }
    if let Some(decisions) = decisions {
        decided(&mut out, decisions, paint);
    }
    out
}

fn values(out: &mut String, changes: &[ValueChange], paint: Paint) {
    let shown =
        |value: &Value| if value.is_null() { "none".to_owned() } else { visible_line(&value.to_string()) };
    for change in changes {
        let (old, new) = (paint.paint(RED, &shown(&change.old)), paint.paint(GREEN, &shown(&change.new)));
        let _ = writeln!(out, "    {}: {old} -> {new}", visible_line(&change.path));
    }
}

fn decided(out: &mut String, decisions: &Decisions, paint: Paint) {
    let events = render::counted(decisions.events, "event");
    let _ = writeln!(out, "\n{}: {} changed", paint.paint(BOLD, &events), decisions.changed);
    let rows: Vec<Vec<Cell>> = decisions
        .transitions
        .iter()
        .map(|((old, new), count)| {
            let word = |word: &str| Cell::left(word.to_uppercase()).styled(verdict_style(word));
            let same = if old == new { Cell::left("") } else { Cell::left("changed").styled(YELLOW) };
            vec![Cell::right(count.to_string()), word(old), Cell::left("->"), word(new), same]
        })
        .collect();
    out.push_str(&render::table(&rows, paint));
    for changed in &decisions.listed {
        let side = |side: &Side| {
            let hard = if side.hard { " (hard)" } else { "" };
            let rule =
                side.rule.as_deref().map(|rule| format!(" {}", visible_line(rule))).unwrap_or_default();
            format!("{}{hard}{rule}", paint.paint(verdict_style(side.verdict), &side.verdict.to_uppercase()))
        };
        let line = paint.paint(DIM, &format!("line {}", changed.line));
        let action = visible_line(&changed.action);
        let _ = writeln!(out, "{line}  {action}: {} -> {}", side(&changed.old), side(&changed.new));
    }
    let hidden = decisions.changed - decisions.listed.len() as u64;
    if hidden > 0 {
        let _ = writeln!(out, "and {} more", render::counted(hidden, "changed event"));
    }
}
