//! `placet lint`: what is likely a mistake, though it loads.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;

use clap::Args;
use placet::{Diagnostics, PolicySet, Severity};
use serde::Serialize;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{GREEN, YELLOW};
use crate::project::ProjectArgs;
use crate::render::{self, FindingJson};

/// Report what is likely a mistake in the policies
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// Policy files or folders; the same as `--policies`
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: FormatArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    clean: bool,
    findings: Vec<FindingJson<'a>>,
}

pub(crate) fn run(args: &LintArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let options = args.project.with_paths(&args.paths).options()?;
    let sources = placet::read_sources(&options)?;
    let found = match PolicySet::load(&sources, &options.load_options()) {
        Ok((_, found)) | Err(found) => found,
    };
    let is_clean = found.0.iter().all(|finding| finding.severity == Severity::Note);
    if args.output.is_json() {
        console.json(&Report { clean: is_clean, findings: FindingJson::all(&found) })?;
    } else {
        let text = text(&found, is_clean, console);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(if is_clean { Exit::Ok } else { Exit::Negative })
}

fn text(found: &Diagnostics, is_clean: bool, console: &Console<'_>) -> String {
    let paint = console.paint;
    let mut out = render::findings(found, paint);
    if !out.is_empty() {
        out.push('\n');
    }
    let word = if is_clean { paint.paint(GREEN, "clean") } else { paint.paint(YELLOW, "findings") };
    format!("{out}{word}: {}\n", render::counts(found))
}
