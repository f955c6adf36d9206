//! `placet audit tail`: the newest records, and those to come.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use placet::record::Fact;
use placet_store::query::{Stored, each};
use serde_json::json;

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, Log};
use crate::moment;
use crate::paint::{DIM, Paint, verdict_style, visible_line};
use crate::render::counted;

/// How often a followed ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// How much.
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// So many of the newest records
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    lines: usize,
    /// Go on with the records that come, until interrupted
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(args: &TailArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let log = common.ledger.log()?;
    if args.follow && log.is_mirror() {
        return Err(Failure::Usage("`-f` follows a ledger; follow a mirror with `tail -f`".to_owned()));
    }
    let mut newest = VecDeque::new();
    let mut last = None;
    let read = each(log.open()?.as_mut(), |stored| {
        last = Some(stored.seq);
        newest.push_back(stored);
        if newest.len() > args.lines {
            newest.pop_front();
        }
        true
    });
    read.map_err(|error| log::unreadable(&error))?;
    newest.iter().try_for_each(|stored| print(stored, common, console))?;
    console.out.flush()?;
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        last = news(&log, last, common, console)?;
    }
}

/// Prints what came after a position. Returns the last one.
fn news(
    log: &Log,
    last: Option<u64>,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Option<u64>, Failure> {
    let mut source = log.ledger()?;
    if let Some(last) = last {
        source.seek(last);
    }
    let (mut reached, mut printed) = (last, Ok(()));
    let read = each(source.as_mut(), |stored| {
        reached = Some(stored.seq);
        printed = print(&stored, common, console);
        printed.is_ok()
    });
    read.map_err(|error| log::unreadable(&error))?;
    printed?;
    console.out.flush()?;
    Ok(reached)
}

fn print(stored: &Stored, common: &CommonArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    if common.is_json() {
        let line = json!({"seq": stored.seq, "timestamp": moment::exact(stored.record.time_us), "record": stored.record, "view": stored.view()});
        writeln!(console.out, "{line}")?;
    } else {
        writeln!(console.out, "{}", line(stored, console.paint))?;
    }
    Ok(())
}

fn line(stored: &Stored, paint: Paint) -> String {
    let record = &stored.record;
    let of_view = |member: &str| {
        let view = stored.view();
        view.and_then(|view| Some(view.get(member)?.as_str()?.to_owned())).unwrap_or_default()
    };
    let (word, style, what) = match &record.fact {
        Fact::Decision(decision) => {
            let tool = decision.tool.as_deref().unwrap_or(&decision.action);
            (
                decision.verdict.to_uppercase(),
                verdict_style(&decision.verdict),
                format!("{tool}  {}", of_view("reason")),
            )
        }
        Fact::Outcome(outcome) => {
            let status = serde_json::to_value(outcome.status).unwrap_or_default();
            let took = moment::duration(outcome.elapsed_us);
            (
                status.as_str().unwrap_or_default().to_owned(),
                DIM,
                format!("of {}, took {took}", outcome.decision),
            )
        }
        Fact::Change(change) => {
            ("change".to_owned(), DIM, format!("by {}  {}", change.by, of_view("reason")))
        }
        Fact::Erasure(erasure) => {
            let records = counted(erasure.records.len() as u64, "record");
            let what = format!("of {records}, asked by {}, on the ground `{}`", erasure.by, erasure.basis);
            ("erasure".to_owned(), DIM, what)
        }
        Fact::Keys(change) => ("keys".to_owned(), DIM, format!("a new key, brought in by {}", change.by)),
        other => (other.kind().to_owned(), DIM, String::new()),
    };
    let session = record.session.as_deref().map(|session| format!("  session {session}")).unwrap_or_default();
    let head = paint.paint(DIM, &format!("{:>6}  {}", stored.seq, moment::short(record.time_us)));
    format!(
        "{head}  {}  {}{}",
        paint.paint(style, &format!("{word:<9}")),
        visible_line(what.trim_end()),
        paint.paint(DIM, &visible_line(&session))
    )
}
