//! Actions written on the command line: `type:target`, with `--params`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::Path;
use std::time::Instant;

use placet::{Event, Field, JsonError, Value, json};

use super::output::{Answers, Simulation};
use super::{SimulateArgs, finish};
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Whether the arguments are actions: each has a colon and is no file.
pub(super) fn are_items(source: &[String]) -> bool {
    source.iter().all(|item| item.contains(':') && !Path::new(item).exists())
}

pub(super) fn run(args: &SimulateArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let params = args.params.as_deref().map(parameters).transpose()?;
    let gate = args.decide.gate()?;
    let each = SimulateArgs { each: true, ..args.clone() };
    let simulation = Simulation { gate: &gate, args: &each, paint: console.paint };
    let started = Instant::now();
    let mut answers = Answers::default();
    for (number, item) in (1..).zip(&args.source) {
        simulation.event(number, event(item, params.as_ref()), &mut answers);
    }
    console.out.write_all(&answers.out)?;
    if !args.output.is_json() {
        let totals = answers.tally.totals(console.paint);
        writeln!(console.out, "{totals}")?;
    }
    finish(args, &answers.tally, started.elapsed(), console)
}

fn parameters(text: &str) -> Result<Value, Failure> {
    let origin = || "`--params`".to_owned();
    let value = json::parse(text.as_bytes()).map_err(|source| Failure::Event { origin: origin(), source })?;
    if value.as_object().is_none() {
        let source =
            JsonError::Refused { message: "give a JSON object, for instance `{\"amount\": 5}`".to_owned() };
        return Err(Failure::Event { origin: origin(), source });
    }
    Ok(value)
}

/// The action before the first colon, its target behind; no target is an unknown one. The event is one of the
/// first agent, so its depth is 0.
fn event(item: &str, params: Option<&Value>) -> Event {
    let (action, target) = item.split_once(':').unwrap_or((item, ""));
    let mut event = Event::default();
    event.set(Field::Action, action);
    event.set(Field::DelegationDepth, Value::Int(0));
    if !target.is_empty() {
        event.set(Field::Target, target);
    }
    if let Some(params) = params {
        event.set(Field::Args, params.clone());
    }
    event.complete();
    event
}
