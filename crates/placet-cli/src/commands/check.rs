//! `placet check`: decides one event.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::project::DecideArgs;
use crate::{input, render};

/// Decide one event; the exit code tells the verdict
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// JSON text, a file, or `-` for stdin
    event: String,
    #[command(flatten)]
    decide: DecideArgs,
    #[command(flatten)]
    output: FormatArgs,
}

pub(crate) fn run(args: &CheckArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let event = input::event(&args.event, console)?;
    let decision = args.decide.gate()?.decide(event);
    if args.output.is_json() {
        console.json(&decision)?;
    } else {
        let text = render::decision(&decision, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::of(&decision.verdict))
}
