//! `placet init`: a project that decides at once.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use placet::core_bundle::{self, CoreLimits};
use placet::{GlobalMode, SourceFile, export};

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{BOLD, CYAN, GREEN, visible_line};

const POLICY: &str = include_str!("../../templates/policy.yaml");
const CONFIG: &str = include_str!("../../templates/placet.yaml");
const AGENT: &str = include_str!("../../templates/agent.py");
const COMPOSE: &str = include_str!("../../templates/docker-compose.yml");

/// Create a project: policies, settings and an agent that runs at once
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder; it is created when it does not exist
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Add what an Open Policy Agent server needs: docker-compose.yml and the guards as Rego
    #[arg(long)]
    opa: bool,
    #[command(flatten)]
    output: FormatArgs,
}

/// A file to be written: its path below the folder and its text.
type Target = (PathBuf, String);

pub(crate) fn run(args: &InitArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let targets = targets(args.opa)?;
    refuse_existing(&args.folder, &targets)?;
    let mut created = Vec::with_capacity(targets.len());
    for (path, text) in &targets {
        let written = write(&args.folder.join(path), text);
        if let Err(failure) = written {
            // Half a project helps nobody: what this run made goes away again.
            created.iter().for_each(|path: &PathBuf| drop(fs::remove_file(path)));
            return Err(failure);
        }
        created.push(args.folder.join(path));
    }
    if args.output.is_json() {
        let created: Vec<String> = created.iter().map(|path| path.display().to_string()).collect();
        console.json(&serde_json::json!({ "created": created }))?;
        return Ok(Exit::Ok);
    }
    let paint = console.paint;
    writeln!(console.out, "{}", paint.paint(GREEN, "Created"))?;
    for path in &created {
        writeln!(console.out, "  {}", visible_line(&path.display().to_string()))?;
    }
    writeln!(console.out, "\n{}", paint.paint(BOLD, "Next steps"))?;
    for (command, why) in next_steps(args) {
        writeln!(console.out, "  {}  {why}", paint.paint(CYAN, &format!("{command:<26}")))?;
    }
    Ok(Exit::Ok)
}

fn next_steps(args: &InitArgs) -> Vec<(String, &'static str)> {
    let mut steps = Vec::new();
    if args.folder != Path::new(".") {
        steps.push((format!("cd {}", visible_line(&args.folder.display().to_string())), "go there"));
    }
    steps.push(("python agent.py".to_owned(), "see two calls allowed and one blocked"));
    steps.push(("placet validate".to_owned(), "after every change of a policy"));
    if args.opa {
        steps.push(("docker compose up -d".to_owned(), "start the policy server on port 8181"));
    }
    steps
}

fn targets(opa: bool) -> Result<Vec<Target>, Failure> {
    let policy = SourceFile::new("policies/policy.yaml", POLICY);
    let rego = export::compile(&policy).map_err(Failure::Policy)?;
    let mut targets: Vec<Target> = vec![
        ("policies/policy.yaml".into(), POLICY.to_owned()),
        ("policies/policy.rego".into(), rego),
        ("agent.py".into(), AGENT.to_owned()),
        ("placet.yaml".into(), CONFIG.to_owned()),
    ];
    if opa {
        targets.push(("docker-compose.yml".into(), COMPOSE.to_owned()));
        let mut sources = core_bundle::guards(&CoreLimits::default());
        sources.push(core_bundle::lifecycle());
        let bundle = export::bundle(&sources, GlobalMode::Guard).map_err(Failure::Policy)?;
        targets.extend(bundle.into_iter().map(|(name, text)| (Path::new("opa").join(name), text)));
    }
    Ok(targets)
}

/// Nothing is written when anything is in the way, a dangling link included.
fn refuse_existing(folder: &Path, targets: &[Target]) -> Result<(), Failure> {
    let taken: Vec<String> = targets
        .iter()
        .map(|(path, _)| folder.join(path))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    let verb = if taken.len() == 1 { "exists" } else { "exist" };
    let list = taken.join(", ");
    Err(Failure::Exists(format!(
        "{list} {verb} already; nothing was written; choose another folder or move them away"
    )))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source: io::Error| {
        let what = format!("`{}`", path.display());
        if source.kind() == io::ErrorKind::AlreadyExists {
            return Failure::Exists(format!("{what} exists already; nothing was written"));
        }
        Failure::Write { what, source }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Created anew or not at all: what appeared since we looked is not ours to overwrite.
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}
