//! The commands, one module each.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod simulate;
pub(crate) mod validate;
pub(crate) mod version;

use crate::args::Command;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Runs one command.
pub(crate) fn dispatch(command: Command, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Validate(args) => validate::run(&args, console),
        Command::Check(args) => check::run(&args, console),
        Command::Explain(args) => explain::run(&args, console),
        Command::Simulate(args) => simulate::run(&args, console),
        Command::Version(args) => version::run(args, console),
        Command::Completions(args) => completions::run(args, console),
    }
}
