//! `placet audit list`: decisions in a table.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use placet::RiskTier;
use placet_store::query::{Found, Level, Outcome, Query, Row, Status, rows};
use serde_json::{Map, Value, json};

use super::{CommonArgs, warn_unreadable};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log;
use crate::moment::{self, Moment};
use crate::output;
use crate::paint::{DIM, GREEN, Paint, RED, YELLOW, verdict_style};
use crate::render::{self, Cell};

/// Which decisions.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Of this tool or action
    #[arg(long, alias = "action-type", value_name = "NAME")]
    tool: Option<String>,
    /// Of this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    #[arg(
        long,
        help = "Decided so: allowed, blocked, soft_denied, hitl_queued, hitl_approved, hitl_denied",
        value_delimiter = ',',
        value_name = "OUTCOMES"
    )]
    outcome: Vec<Outcome>,
    /// With this verdict: allow, deny, escalate
    #[arg(long, value_delimiter = ',', value_parser = verdict, value_name = "VERDICTS")]
    verdict: Vec<String>,
    /// Of this level (low, medium, high, critical) or risk tier
    #[arg(long, alias = "risk-level", value_delimiter = ',', value_parser = risk, value_name = "RISKS")]
    risk: Vec<Tiers>,
    #[arg(
        long,
        help = "Which ended so: success, failed, cancelled, not_started, unknown, blocked, denied, pending",
        value_delimiter = ',',
        value_name = "STATUSES"
    )]
    status: Vec<Status>,
    /// Not before: RFC 3339, a day in UTC, or how long ago (`2h`)
    #[arg(long, value_parser = moment::parse, value_name = "TIME")]
    since: Option<Moment>,
    /// Not after; a day counts to its end
    #[arg(long, value_parser = moment::parse, value_name = "TIME")]
    until: Option<Moment>,
    /// The newest so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    limit: Option<usize>,
    /// Also each step of a call about which a person was asked, not only the last
    #[arg(long)]
    every_step: bool,
    /// Write the rows to this file, one JSON object a line, in the columns of the view `audit_log`
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// Risk tiers named by one word.
#[derive(Debug, Clone)]
struct Tiers(Vec<RiskTier>);

fn risk(text: &str) -> Result<Tiers, String> {
    Level::tiers(text).map(Tiers).map_err(|error| error.to_string())
}

fn verdict(text: &str) -> Result<String, String> {
    let word = text.trim().to_lowercase();
    match &*word {
        "allow" | "deny" | "escalate" => Ok(word),
        _ => Err(format!("`{text}` is none of allow, deny, escalate")),
    }
}

impl ListArgs {
    fn query(&self) -> Query {
        Query {
            session: self.session.clone(),
            tool: self.tool.clone(),
            agent: self.agent.clone(),
            outcomes: self.outcome.clone(),
            verdicts: self.verdict.clone(),
            risks: self.risk.iter().flat_map(|tiers| tiers.0.clone()).collect(),
            statuses: self.status.clone(),
            since: self.since.map(Moment::first),
            until: self.until.map(Moment::last),
            limit: self.limit,
            every_step: self.every_step,
        }
    }
}

pub(super) fn run(args: &ListArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut source = common.ledger.log()?.open()?;
    let found = rows(source.as_mut(), &args.query()).map_err(|error| log::unreadable(&error))?;
    warn_unreadable(&found.unreadable, console);
    if let Some(path) = &args.export {
        export(path, &found)?;
        if common.is_json() {
            console.json(&json!({"exported": found.rows.len(), "file": path}))?;
        } else {
            let count = render::counted(found.rows.len() as u64, "decision");
            writeln!(console.out, "{count} written to `{}`", path.display())?;
        }
    } else if common.is_json() {
        let rows: Vec<Map<String, Value>> = found.rows.iter().map(Row::columns).collect();
        console.json(&rows)?;
    } else if found.rows.is_empty() {
        console.say("no decision matches");
    } else {
        let text = text(&found.rows, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

fn export(path: &Path, found: &Found) -> Result<(), Failure> {
    let failed = |source| Failure::Write { what: format!("`{}`", path.display()), source };
    let mut out = BufWriter::new(output::create(path)?);
    for row in &found.rows {
        writeln!(out, "{}", Value::Object(row.columns())).map_err(failed)?;
    }
    out.flush().map_err(failed)
}

fn text(rows: &[Row], paint: Paint) -> String {
    let head = ["seq", "time", "verdict", "status", "risk", "tool", "target", "session", "rule"];
    let mut cells = vec![head.map(|name| Cell::left(name).styled(DIM)).into()];
    cells.extend(rows.iter().map(line));
    render::table(&cells, paint)
}

fn line(row: &Row) -> Vec<Cell> {
    let status = row.status();
    let rule = row.decision.rules.first().map_or(&*row.decision.code, |rule| rule);
    vec![
        Cell::right(row.seq.to_string()),
        Cell::left(moment::short(row.time_us)).styled(DIM),
        Cell::left(row.decision.verdict.to_uppercase()).styled(verdict_style(&row.decision.verdict)),
        Cell::left(status.word()).styled(status_style(status)),
        Cell::left(Level::of(row.decision.risk_tier).word().to_lowercase()),
        Cell::left(row.tool()),
        Cell::left(shortened(row.text("target").unwrap_or_default())),
        Cell::left(shortened(row.session.as_deref().unwrap_or_default())),
        Cell::left(rule),
    ]
}

pub(super) fn status_style(status: Status) -> clap::builder::styling::Style {
    match status {
        Status::Success => GREEN,
        Status::Pending | Status::Unknown | Status::Cancelled => YELLOW,
        Status::NotStarted => DIM,
        Status::Failed | Status::Blocked | Status::Denied => RED,
    }
}

/// A cell of a bearable width.
pub(super) fn shortened(text: &str) -> String {
    const WIDTH: usize = 28;
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(WIDTH - 1).collect();
    short.push('…');
    short
}
