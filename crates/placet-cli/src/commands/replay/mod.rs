//! `placet replay`: what the policies of today would have said to what was recorded.
//!
//! Nothing is guessed: where an answer depends on what was redacted, it is undecidable, and counted as such.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod event;
mod report;
mod run;
mod simulation;

use std::path::PathBuf;

use clap::Args;
use placet::Gate;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, LedgerArgs};
use crate::moment::{self, Moment};
use crate::project::ProjectArgs;
use run::Replay;

/// Decide recorded events again under the policies and budgets of today: what would change
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Ledger, or a mirror of one (`.jsonl`) [default: what `placet.yaml` or PLACET_LEDGER says, else `placet_audit.db`]
    #[arg(long, alias = "audit-db", value_name = "PATH")]
    ledger: Option<PathBuf>,
    /// Only the decisions of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only those not before: RFC 3339, a day in UTC, or how long ago (`7d`)
    #[arg(long, value_parser = moment::parse, value_name = "TIME")]
    since: Option<Moment>,
    /// Only those not after; a day counts to its end
    #[arg(long, value_parser = moment::parse, value_name = "TIME")]
    until: Option<Moment>,
    /// Exit with 1 when a recorded allowed action would be denied, with 3 when nobody can tell whether one would
    #[arg(long)]
    ci: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: FormatArgs,
}

pub(crate) fn run(args: &ReplayArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let ledger = LedgerArgs { ledger: args.ledger.clone(), config: args.project.config.clone() };
    let log = ledger.log()?;
    let options = args.project.options()?;
    let budgets = options.config.budgets.clone();
    let gate = Gate::open(options)?;
    // Without the key, what was redacted is told by its marks alone.
    let key = log::key_folder(&ledger.config()?).ok().and_then(|keys| keys.log_key(false).ok());
    let mut replay = Replay::new(&gate, budgets, key, args);
    let read = placet_store::query::each(log.open()?.as_mut(), |stored| {
        replay.take(&stored);
        true
    });
    let unreadable = read.map_err(|error| log::unreadable(&error))?;
    let report = replay.finish(unreadable);
    if args.output.is_json() {
        console.json(&report)?;
    } else {
        let text = report.text(console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(match (args.ci, report.newly_denied, report.perhaps_denied) {
        (false, ..) | (true, 0, 0) => Exit::Ok,
        (true, 0, _) => Exit::Escalate,
        (true, ..) => Exit::Negative,
    })
}
