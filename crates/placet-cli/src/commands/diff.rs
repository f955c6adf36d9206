//! `placet diff`: what changed between two sets of policies, and what it changes.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod decisions;
mod document;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use placet::config::Paths;
use placet::{Config, Gate, GateOptions};

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::project::DecideArgs;
use document::{Changes, Policies};

/// Compare two sets of policies: rules, defaults and, over events, decisions
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The policies before: a file, a folder, or a folder with a `placet.yaml`
    old: PathBuf,
    /// The policies after
    new: PathBuf,
    /// Decide these events, one JSON text a line, under both
    #[arg(long, value_name = "FILE")]
    events: Option<String>,
    /// Exit with 1 when anything differs
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    decide: DecideArgs,
    #[command(flatten)]
    output: FormatArgs,
}

pub(crate) fn run(args: &DiffArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (old, new) = (side(&args.old, args)?, side(&args.new, args)?);
    let changes = Changes::between(&Policies::read(&old)?, &Policies::read(&new)?);
    let decisions = match &args.events {
        None => None,
        Some(events) => {
            let gates = [Gate::open(old)?, Gate::open(new)?];
            Some(decisions::compare(&gates, events, console)?)
        }
    };
    if args.output.is_json() {
        console.json(&report::json(&changes, decisions.as_ref()))?;
    } else {
        let text = report::text(&changes, decisions.as_ref(), console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    let differs = !changes.is_empty() || decisions.as_ref().is_some_and(|decisions| decisions.changed > 0);
    let bad = decisions.as_ref().is_some_and(|decisions| decisions.bad_lines > 0);
    Ok(match (bad, differs && args.fail) {
        (true, _) => Exit::Error,
        (false, true) => Exit::Negative,
        (false, false) => Exit::Ok,
    })
}

/// One side as options of a gate: a project of its own, or policies under the settings of this project.
fn side(path: &Path, args: &DiffArgs) -> Result<GateOptions, Failure> {
    let config = path.join("placet.yaml");
    let mut project = args.decide.project.clone();
    if config.is_file() {
        project.config = Some(config);
        return DecideArgs { project, now: args.decide.now }.options_of_side();
    }
    project.policies = vec![path.to_owned()];
    let options = DecideArgs { project, now: args.decide.now }.options()?;
    // Library modules of this project are part of neither side's text, but of both sides' decisions.
    let config = Config { policies: Paths::One(path.to_owned()), ..options.config };
    Ok(GateOptions { config, ..options })
}
