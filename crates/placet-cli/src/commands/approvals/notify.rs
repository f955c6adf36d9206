//! `placet approvals notify`: the clerk that reminds, escalates and tells.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet::channels::Stop;
use placet::channels::outbox::{Notifier, Outbox, Turn};
use placet::trust::approvals::queue::QueueError;
use serde_json::json;

use super::{CommonArgs, Desk, Process};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment;

/// Takes one turn, or turns until it is interrupted.
pub(super) fn run(
    desk: &Desk,
    notifiers: Vec<Arc<dyn Notifier>>,
    once: bool,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if notifiers.is_empty() {
        console.say("`approvals.notify` names nobody to tell; times are still kept");
    }
    let mut clerk = Outbox::new(desk.ledger.clone(), Arc::new(Process), notifiers);
    if once {
        let turn = clerk.turn().map_err(|error| Failure::Ledger(error.to_string()))?;
        report(&turn, common, console)?;
        return Ok(if turn.failed.is_empty() { Exit::Ok } else { Exit::Negative });
    }
    let mut broken = None;
    let stop = Stop::default();
    clerk.run(&stop, |turn: Result<Turn, QueueError>| match turn {
        Ok(turn) => {
            if let Err(error) = report(&turn, common, console) {
                broken = Some(error);
                stop.stop();
            }
        }
        Err(error) => console.say(&format!("{error}; it is tried again")),
    });
    broken.map_or(Ok(Exit::Ok), Err)
}

fn report(turn: &Turn, common: &CommonArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut line = |word: &str, notice: &str, problem: Option<&str>| -> Result<(), Failure> {
        if common.is_json() {
            let line =
                json!({"at": moment::exact(now()), "what": word, "notice": notice, "problem": problem});
            writeln!(console.out, "{line}")?;
        } else {
            let problem = problem.map(|problem| format!("  {problem}")).unwrap_or_default();
            writeln!(console.out, "{}  {word:<8} {notice}{problem}", moment::short(now()))?;
        }
        Ok(())
    };
    for mark in &turn.marked {
        line("recorded", &format!("{}:{}", mark.approval, mark.event), None)?;
    }
    for notice in &turn.told {
        line("told", notice, None)?;
    }
    for (notice, problem) in &turn.failed {
        line("failed", notice, Some(problem))?;
    }
    console.out.flush()?;
    Ok(())
}

fn now() -> placet::record::ids::Micros {
    use placet::trust::approvals::queue::Host;
    Process.now()
}
