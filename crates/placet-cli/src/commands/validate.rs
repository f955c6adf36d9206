//! `placet validate`: loads everything and says everything that is wrong at once.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use placet::{Diagnostics, PolicySet, SourceFile, Tier};
use serde::Serialize;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{BOLD, CYAN, DIM, GREEN, RED};
use crate::project::ProjectArgs;
use crate::render::{self, Cell, FindingJson};

/// Load all policies and report everything that is wrong with them
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Policy files or folders; the same as `--policies`
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: FormatArgs,
}

/// What was found, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    policy_version: Option<&'a str>,
    files: Vec<FileReport<'a>>,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FileReport<'a> {
    tier: Tier,
    file: &'a str,
    rules: usize,
}

pub(crate) fn run(args: &ValidateArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let options = args.project.with_paths(&args.paths).options()?;
    let sources = placet::read_sources(&options)?;
    let loaded = PolicySet::load(&sources, &options.load_options());
    let (set, found) = match loaded {
        Ok((set, found)) => (Some(set), found),
        Err(found) => (None, found),
    };
    let files = files(&sources, set.as_ref());
    if args.output.is_json() {
        let version = set.as_ref().map(|set| &**set.version());
        console.json(&Report {
            valid: set.is_some(),
            policy_version: version,
            files,
            findings: FindingJson::all(&found),
        })?;
    } else {
        let text = text(set.as_ref(), &files, &found, console);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(if set.is_some() { Exit::Ok } else { Exit::Negative })
}

/// The files that the user gave, with the rules each holds.
fn files<'a>(sources: &'a [(Tier, SourceFile)], set: Option<&PolicySet>) -> Vec<FileReport<'a>> {
    let mut rules: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for (_, rule) in set.into_iter().flat_map(PolicySet::rules) {
        *rules.entry(&rule.file).or_default() += 1;
    }
    let own = sources.iter().filter(|(_, file)| !is_builtin(&file.path));
    own.map(|(tier, file)| FileReport {
        tier: *tier,
        file: &file.path,
        rules: rules.get(&file.path).copied().unwrap_or(0),
    })
    .collect()
}

/// Whether a file is part of Placet itself.
pub(crate) fn is_builtin(path: &str) -> bool {
    path.starts_with("placet:")
}

fn text(
    set: Option<&PolicySet>,
    files: &[FileReport<'_>],
    found: &Diagnostics,
    console: &Console<'_>,
) -> String {
    let paint = console.paint;
    let mut out = render::findings(found, paint);
    if !out.is_empty() {
        out.push('\n');
    }
    let count = render::counted(files.len() as u64, "policy file");
    let Some(set) = set else {
        let verdict = paint.paint(RED, "invalid");
        return format!("{out}{verdict}: {} in {count}\n", render::counts(found));
    };
    let rules: usize = files.iter().map(|file| file.rules).sum();
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|file| {
            vec![
                Cell::left(file.file).styled(CYAN),
                Cell::left(file.tier.name()).styled(DIM),
                Cell::right(if file.file.ends_with(".rego") {
                    "Rego".to_owned()
                } else {
                    render::counted(file.rules as u64, "rule")
                }),
            ]
        })
        .collect();
    out.push_str(&render::table(&rows, paint));
    let verdict = paint.paint(GREEN, "valid");
    let findings = if found.0.is_empty() { String::new() } else { format!("; {}", render::counts(found)) };
    let version = paint.paint(DIM, set.version());
    let rules = paint.paint(BOLD, &render::counted(rules as u64, "rule"));
    format!("{out}{verdict}: {rules} in {count}{findings}\n{version}\n")
}
