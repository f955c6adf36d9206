//! The commands, one module each.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod lint;
pub(crate) mod replay;
pub(crate) mod sanitize;
pub(crate) mod schema;
#[cfg(feature = "server")]
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod test;
pub(crate) mod validate;
pub(crate) mod version;

use crate::args::Command;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Runs one command.
pub(crate) fn dispatch(command: Command, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(&args, console),
        Command::Compile(args) => compile::run(&args, console),
        Command::Validate(args) => validate::run(&args, console),
        Command::Lint(args) => lint::run(&args, console),
        Command::Test(args) => test::run(&args, console),
        Command::Check(args) => check::run(&args, console),
        Command::Explain(args) => explain::run(&args, console),
        Command::Simulate(args) => simulate::run(&args, console),
        Command::Diff(args) => diff::run(&args, console),
        Command::Audit(args) => audit::run(&args, console),
        Command::Approvals(args) => approvals::run(&args, console),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(&args, console),
        Command::Keys(args) => keys::run(&args, console),
        Command::Replay(args) => replay::run(&args, console),
        Command::Eval(args) => eval::run(&args, console),
        Command::Sanitize(args) => sanitize::run(&args, console),
        Command::Schema(args) => schema::run(args, console),
        Command::Version(args) => version::run(args, console),
        Command::Completions(args) => completions::run(args, console),
    }
}
