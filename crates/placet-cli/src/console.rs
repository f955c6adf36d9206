//! Where the command reads and writes: data to stdout, talk to stderr.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, IsTerminal, Read, Write};

use anstream::{AutoStream, ColorChoice};

use crate::paint::Paint;

/// The streams of one run of the command, and what they can show.
pub struct Streams<'s> {
    /// What is read for `-`.
    pub stdin: Box<dyn Read + Send + 's>,
    /// Where data goes.
    pub stdout: Box<dyn Write + Send + 's>,
    /// Where talk goes: errors, warnings, progress.
    pub stderr: Box<dyn Write + Send + 's>,
    /// Whether colour may be written to stdout.
    pub colour_stdout: bool,
    /// Whether colour may be written to stderr.
    pub colour_stderr: bool,
    /// Whether a progress bar may be drawn on the process' own stderr.
    pub progress: bool,
}

impl Streams<'_> {
    /// The streams of this process. Colour follows the terminal, `NO_COLOR` and `CLICOLOR_FORCE`.
    #[must_use]
    pub fn of_process() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            colour_stdout: AutoStream::choice(&stdout) != ColorChoice::Never,
            colour_stderr: AutoStream::choice(&stderr) != ColorChoice::Never,
            progress: stderr.is_terminal(),
            stdin: Box::new(io::stdin()),
            stdout: Box::new(AutoStream::new(stdout, ColorChoice::AlwaysAnsi)),
            stderr: Box::new(AutoStream::new(stderr, ColorChoice::AlwaysAnsi)),
        }
    }
}

/// The streams with their colours settled, as commands use them.
pub(crate) struct Console<'s> {
    pub(crate) stdin: Box<dyn Read + Send + 's>,
    pub(crate) out: Box<dyn Write + Send + 's>,
    pub(crate) err: Box<dyn Write + Send + 's>,
    pub(crate) paint: Paint,
    pub(crate) paint_err: Paint,
    pub(crate) progress: bool,
}

impl<'s> Console<'s> {
    pub(crate) fn new(streams: Streams<'s>, colour: Option<bool>) -> Self {
        Self {
            stdin: streams.stdin,
            out: streams.stdout,
            err: streams.stderr,
            paint: Paint::new(colour.unwrap_or(streams.colour_stdout)),
            paint_err: Paint::new(colour.unwrap_or(streams.colour_stderr)),
            progress: streams.progress,
        }
    }

    /// Writes one JSON document and a line end to stdout.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }

    /// Writes to stderr. Talk that nobody hears changes no answer, so a closed stderr is no failure.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }
}
