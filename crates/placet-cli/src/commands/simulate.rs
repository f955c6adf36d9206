//! `placet simulate`: decides many events.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod items;
mod output;
mod tally;

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::FormatArgs;
use crate::batch::{self, Done};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::{DIM, RED};
use crate::project::DecideArgs;
use crate::render;
use output::{Answers, Simulation};
use tally::Tally;

/// Decide many events: a JSON Lines file, or actions written out
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    /// A file with one event a line, `-` for stdin, or actions as `type:target`
    #[arg(required = true, value_name = "FILE|TYPE:TARGET")]
    source: Vec<String>,
    /// Arguments of the actions written out, as a JSON object
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Print one line for each event before the summary
    #[arg(long)]
    each: bool,
    /// Verdicts that make the exit code 1 (deny) or 3 (escalate); without it the exit code is 0
    #[arg(long, value_delimiter = ',', value_name = "VERDICTS")]
    fail_on: Vec<FailOn>,
    #[command(flatten)]
    decide: DecideArgs,
    #[command(flatten)]
    output: FormatArgs,
}

/// A verdict that fails the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A deny
    Deny,
    /// An escalation
    Escalate,
}

/// Most bad lines that are named one by one.
const MAX_NAMED_LINES: u64 = 100;

pub(crate) fn run(args: &SimulateArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    if items::are_items(&args.source) {
        return items::run(args, console);
    }
    let [source] = args.source.as_slice() else {
        return Err(Failure::Usage("give one file, or only actions as `type:target`".to_owned()));
    };
    if args.params.is_some() {
        let message =
            "`--params` belongs to actions as `type:target`; events of a file carry their own `args`";
        return Err(Failure::Usage(message.to_owned()));
    }
    let gate = args.decide.gate()?;
    let (input, length) = open(source, console)?;
    let simulation = Simulation { gate: &gate, args, paint: console.paint };
    let bar = progress(length, args, console);
    let started = Instant::now();
    let mut total = Tally::default();
    let receive = |done: Done<Answers>| {
        console.out.write_all(&done.result.out)?;
        console.out.flush()?;
        let bad = &done.result.bad;
        bar.suspend(|| name_bad_lines(bad, total.bad_lines, console));
        total.bad_lines += bad.len() as u64;
        total.add(done.result.tally);
        bar.inc(done.bytes);
        Ok(())
    };
    let result = batch::run(input, &simulation, receive, |error| unreadable(source, error));
    bar.finish_and_clear();
    result?;
    if !args.output.is_json() {
        let text = total.summary(console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    finish(args, &total, started.elapsed(), console)
}

type Source<'s> = (Box<dyn Read + Send + 's>, Option<u64>);

/// The stream, and its length where that is known.
fn open<'s>(source: &str, console: &mut Console<'s>) -> Result<Source<'s>, Failure> {
    if source == "-" {
        return Ok((std::mem::replace(&mut console.stdin, Box::new(io::empty())), None));
    }
    let file = File::open(source).map_err(|error| unreadable(source, error))?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|data| data.len());
    Ok((Box::new(file), length))
}

fn unreadable(source: &str, error: io::Error) -> Failure {
    let what = if source == "-" { "stdin".to_owned() } else { format!("`{source}`") };
    Failure::Read { what, source: error }
}

/// A bar on stderr while events are decided; hidden where stderr is no terminal or stdout is in the way.
fn progress(length: Option<u64>, args: &SimulateArgs, console: &Console<'_>) -> ProgressBar {
    if !console.progress || args.each || args.output.is_json() && console.paint.is_on() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::new(length), "{bar:32.cyan/dim} {percent:>3}%  {binary_bytes_per_sec}  {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes}  {binary_bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn name_bad_lines(bad: &[(u64, String)], named: u64, console: &mut Console<'_>) {
    let room = MAX_NAMED_LINES.saturating_sub(named);
    for (line, message) in bad.iter().take(usize::try_from(room).unwrap_or(usize::MAX)) {
        let error = console.paint_err.paint(RED, "error:");
        console.say(&format!("{error} line {line}: {}", crate::paint::visible_line(message)));
    }
}

fn finish(
    args: &SimulateArgs,
    total: &Tally,
    elapsed: Duration,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if total.bad_lines > MAX_NAMED_LINES {
        let error = console.paint_err.paint(RED, "error:");
        console.say(&format!("{error} {} more lines like these", total.bad_lines - MAX_NAMED_LINES));
    }
    if total.bad_lines > 0 {
        let error = console.paint_err.paint(RED, "error:");
        let bad = render::counted(total.bad_lines, "line");
        console
            .say(&format!("{error} {bad} held no event and counted as denied; correct them and run again"));
    }
    console.say(&console.paint_err.paint(DIM, &speed(total.events(), elapsed)));
    Ok(exit(args, total))
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn speed(events: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = events as f64 / seconds.max(1e-9);
    format!("{} in {seconds:.3} s, {rate:.0} a second", render::counted(events, "event"))
}

fn exit(args: &SimulateArgs, total: &Tally) -> Exit {
    if total.bad_lines > 0 {
        Exit::Error
    } else if args.fail_on.contains(&FailOn::Deny) && total.denied > 0 {
        Exit::Negative
    } else if args.fail_on.contains(&FailOn::Escalate) && total.escalated > 0 {
        Exit::Escalate
    } else {
        Exit::Ok
    }
}
