//! `placet completions`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;
use clap_complete::Shell;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Print the completion script of a shell
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
    #[command(flatten)]
    output: FormatArgs,
}

pub(crate) fn run(args: CompletionsArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "placet", &mut script);
    if args.output.is_json() {
        let script = String::from_utf8_lossy(&script);
        console.json(&serde_json::json!({ "shell": args.shell.to_string(), "script": script }))?;
    } else {
        console.out.write_all(&script)?;
    }
    Ok(Exit::Ok)
}
