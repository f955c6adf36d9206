//! `placet compile`: exports a YAML policy to Rego that any Open Policy Agent understands.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use placet::{SourceFile, export, files};

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{CYAN, GREEN, visible_line};

/// Export a YAML policy to Rego that decides the same on any Open Policy Agent
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The YAML policy, or a folder of them
    input: PathBuf,
    /// Where the Rego goes; `-` is stdout [default: beside the policy, as `NAME.rego`]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Write nothing; exit with 1 when the policy is invalid or the Rego made of it is out of date
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    format: FormatArgs,
}

/// One policy and its Rego.
struct Job {
    input: PathBuf,
    output: PathBuf,
    rego: String,
}

pub(crate) fn run(args: &CompileArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let jobs = jobs(args)?;
    if args.output.as_deref() == Some(Path::new("-")) {
        for job in &jobs {
            console.out.write_all(job.rego.as_bytes())?;
        }
        return Ok(Exit::Ok);
    }
    let mut stale = 0;
    let mut done = Vec::new();
    for job in &jobs {
        let current = current(job)?;
        let is_current = current.as_deref() == Some(&job.rego);
        let state = match (args.check, is_current, current.as_deref()) {
            (_, true, _) => "current",
            (true, false, None) => "valid",
            (true, false, Some(_)) => "stale",
            (false, false, Some(held)) if !export::is_export(held) => return Err(by_hand(job)),
            (false, false, _) => {
                write(job)?;
                "compiled"
            }
        };
        stale += usize::from(state == "stale");
        done.push((job, state));
    }
    report(&done, args, console)?;
    Ok(if stale > 0 { Exit::Negative } else { Exit::Ok })
}

fn report(done: &[(&Job, &str)], args: &CompileArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    if args.format.is_json() {
        let one = |(job, state): &(&Job, &str)| serde_json::json!({ "input": job.input, "output": job.output, "state": state });
        console.json(&done.iter().map(one).collect::<Vec<_>>())?;
        return Ok(());
    }
    for (job, state) in done {
        let paint = console.paint;
        let word = paint.paint(GREEN, &format!("{state:<8}"));
        let [from, to] = [&job.input, &job.output].map(|path| visible_line(&path.display().to_string()));
        writeln!(console.out, "{word}  {} -> {}", from, paint.paint(CYAN, &to))?;
    }
    Ok(())
}

/// Compiles everything before anything is written, and reports everything that is wrong at once.
fn jobs(args: &CompileArgs) -> Result<Vec<Job>, Failure> {
    let sources: Vec<SourceFile> = if args.input.is_dir() {
        let is_yaml = |file: &SourceFile| !file.path.ends_with(".rego");
        files::read_policies(&args.input)?.into_iter().filter(is_yaml).collect()
    } else {
        vec![files::read(&args.input)?]
    };
    let mut jobs = Vec::new();
    let mut found = Vec::new();
    for source in &sources {
        let input = PathBuf::from(&*source.path);
        match export::compile(source) {
            Ok(rego) => jobs.push(Job { output: output(args, &input), input, rego }),
            Err(wrong) => found.extend(wrong.0),
        }
    }
    if found.is_empty() { Ok(jobs) } else { Err(Failure::Policy(placet::Diagnostics(found))) }
}

fn output(args: &CompileArgs, input: &Path) -> PathBuf {
    match &args.output {
        Some(output) if args.input.is_dir() || output.is_dir() => {
            let below = input.strip_prefix(&args.input).ok().filter(|below| !below.as_os_str().is_empty());
            let name = below.or_else(|| input.file_name().map(Path::new)).unwrap_or(input);
            output.join(name).with_extension("rego")
        }
        Some(output) => output.clone(),
        None => input.with_extension("rego"),
    }
}

/// What stands at the output now.
fn current(job: &Job) -> Result<Option<String>, Failure> {
    match fs::read(&job.output) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::Read { what: format!("`{}`", job.output.display()), source }),
    }
}

fn by_hand(job: &Job) -> Failure {
    let path = job.output.display();
    Failure::Exists(format!(
        "`{path}` was not made by `placet compile`, or was edited since; move it away or name another output with `-o`"
    ))
}

fn write(job: &Job) -> Result<(), Failure> {
    let failed = |source| Failure::Write { what: format!("`{}`", job.output.display()), source };
    if let Some(folder) = job.output.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Written beside and moved into place: a server that watches the folder never reads half a policy.
    let beside = job.output.with_extension("rego.new");
    fs::write(&beside, &job.rego).map_err(failed)?;
    fs::rename(&beside, &job.output).map_err(failed)
}
