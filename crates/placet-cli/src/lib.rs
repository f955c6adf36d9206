//! The `placet` command as a library, so that the binary and the Python wheel are one and the same command.
//!
//! [`run`] never prints to the process' streams itself and never ends the process.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod args;
mod batch;
mod commands;
mod console;
mod failure;
mod input;
mod log;
mod moment;
mod paint;
mod project;
mod render;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use console::Streams;
pub use failure::Exit;

use args::Cli;
use console::Console;
use failure::Failure;
use paint::RED;

/// Runs the command with its arguments, the program's name first, on the given streams.
pub fn run(arguments: impl IntoIterator<Item = OsString>, streams: Streams<'_>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(not(feature = "server"))]
    if arguments.get(1).is_some_and(|command| command == "serve") {
        let text = "`placet serve` is not part of the Python package; build the Rust program: `cargo install --path \
                    crates/placet-cli`";
        return report(&Failure::Usage(text.to_owned()), &mut Console::new(streams, None));
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut Console::new(streams, None)),
    };
    let mut console = Console::new(streams, cli.color.choice());
    let result = match cli.command {
        Some(command) => commands::dispatch(command, &mut console),
        None => help(&mut console),
    };
    let result = result.and_then(|exit| console.out.flush().map(|()| exit).map_err(Failure::from));
    result.unwrap_or_else(|failure| report(&failure, &mut console))
}

/// Runs the command on the streams of this process.
pub fn run_process(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    run(arguments, Streams::of_process())
}

/// The definition of the command line, for completions and the reference page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn help(console: &mut Console<'_>) -> Result<Exit, Failure> {
    let text = command().render_help();
    let text = if console.paint.is_on() { text.ansi().to_string() } else { text.to_string() };
    console.out.write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}

/// `--help` and `--version` are data; everything else is a usage error.
fn usage(error: &clap::Error, console: &mut Console<'_>) -> Exit {
    let is_data = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let paint = if is_data { console.paint } else { console.paint_err };
    let text = error.render();
    let text = if paint.is_on() { text.ansi().to_string() } else { text.to_string() };
    let stream = if is_data { &mut console.out } else { &mut console.err };
    // Nothing is left to do when even this cannot be written.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    if is_data { Exit::Ok } else { Exit::Error }
}

fn report(failure: &Failure, console: &mut Console<'_>) -> Exit {
    if failure.is_broken_pipe() {
        return failure.exit();
    }
    // What was answered before the failure comes first.
    let _ = console.out.flush();
    let paint = console.paint_err;
    let error = paint.paint(RED, "error:");
    match failure {
        Failure::Policy(found) | Failure::Suite(found) => {
            let what = if matches!(failure, Failure::Policy(_)) { "policies were" } else { "test suite was" };
            let text = render::findings(found, paint);
            console.say(&format!("{text}{error} the {what} refused: {}", render::counts(found)));
        }
        other => console.say(&format!("{error} {}", paint::visible(&other.to_string()))),
    }
    failure.exit()
}
