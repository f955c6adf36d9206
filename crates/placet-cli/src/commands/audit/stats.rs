//! `placet audit stats`: counts.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashSet};

use placet_store::query::{Level, Query, Row, rows};
use serde::Serialize;

use super::{CommonArgs, warn_unreadable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{BOLD, DIM, Paint};
use crate::render::{self, Cell};
use crate::{log, moment};

/// How many tools, rules and codes are named.
const NAMED: usize = 10;

#[derive(Serialize)]
struct Stats {
    decisions: u64,
    sessions: usize,
    agents: usize,
    first: Option<String>,
    last: Option<String>,
    verdicts: Vec<Count>,
    statuses: Vec<Count>,
    risks: Vec<Count>,
    codes: Vec<Count>,
    denied_tools: Vec<Count>,
    denying_rules: Vec<Count>,
    policy_versions: Vec<Count>,
}

#[derive(Serialize)]
struct Count {
    name: String,
    count: u64,
}

pub(super) fn run(common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut source = common.ledger.log()?.open()?;
    let query = Query { every_step: true, ..Query::default() };
    let found = rows(source.as_mut(), &query).map_err(|error| log::unreadable(&error))?;
    warn_unreadable(&found.unreadable, console);
    let stats = Stats::of(&found.rows);
    if common.is_json() {
        console.json(&stats)?;
    } else {
        let text = text(&stats, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

impl Stats {
    fn of(rows: &[Row]) -> Self {
        let denied = || rows.iter().filter(|row| &*row.decision.verdict == "deny");
        let time = |row: Option<&Row>| row.map(|row| moment::exact(row.time_us));
        let rules = denied().flat_map(|row| row.decision.rules.iter().map(ToString::to_string));
        Self {
            decisions: rows.len() as u64,
            sessions: rows.iter().filter_map(|row| row.session.as_ref()).collect::<HashSet<_>>().len(),
            agents: rows.iter().filter_map(|row| row.agent.as_ref()).collect::<HashSet<_>>().len(),
            first: time(rows.first()),
            last: time(rows.last()),
            verdicts: count(rows.iter().map(|row| row.decision.verdict.to_string())),
            statuses: count(rows.iter().map(|row| row.status().to_string())),
            risks: count(rows.iter().map(|row| Level::of(row.decision.risk_tier).word().to_lowercase())),
            codes: count(rows.iter().map(|row| row.decision.code.to_string())),
            denied_tools: count(denied().map(|row| row.tool().to_owned())),
            denying_rules: count(rules),
            policy_versions: count(rows.iter().map(|row| row.decision.policy_version.to_string())),
        }
    }
}

/// The most frequent first.
fn count(names: impl Iterator<Item = String>) -> Vec<Count> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    let mut counts: Vec<Count> = counts.into_iter().map(|(name, count)| Count { name, count }).collect();
    counts.sort_by_key(|one| std::cmp::Reverse(one.count));
    counts.truncate(NAMED);
    counts
}

fn text(stats: &Stats, paint: Paint) -> String {
    let decisions = render::counted(stats.decisions, "decision");
    let sessions = render::counted(stats.sessions as u64, "session");
    let mut out = format!("{} in {sessions}\n", paint.paint(BOLD, &decisions));
    if let (Some(first), Some(last)) = (&stats.first, &stats.last) {
        out.push_str(&paint.paint(DIM, &format!("{first} to {last}")));
        out.push('\n');
    }
    for (title, counts) in [
        ("verdicts", &stats.verdicts),
        ("what became of them", &stats.statuses),
        ("risk", &stats.risks),
        ("codes", &stats.codes),
        ("denied tools", &stats.denied_tools),
        ("denying rules", &stats.denying_rules),
    ] {
        if counts.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}\n", paint.paint(BOLD, title)));
        let rows: Vec<Vec<Cell>> = counts
            .iter()
            .map(|one| vec![Cell::right(one.count.to_string()), Cell::left(&*one.name)])
            .collect();
        out.push_str(&render::table(&rows, paint));
    }
    out
}
