//! `placet version`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Print the version
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    output: FormatArgs,
}

pub(crate) fn run(args: VersionArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if args.output.is_json() {
        console.json(&serde_json::json!({ "name": "placet", "version": version }))?;
    } else {
        writeln!(console.out, "placet {version}")?;
    }
    Ok(Exit::Ok)
}
