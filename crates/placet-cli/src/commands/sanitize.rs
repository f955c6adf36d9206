//! `placet sanitize`: takes prompt injection out of text.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write as _;

use clap::{Args, ValueEnum};
use placet::content::{CleanedBytes, CleanedValue, Finding, Mode, Pack, Sanitizer, combined_score};
use serde::Serialize;

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::paint::{DIM, RED, YELLOW, visible_line};
use crate::render;

/// Take prompt injection out of text; clean text comes out byte for byte as it went in
#[derive(Debug, Args)]
pub(crate) struct SanitizeArgs {
    /// A file, or `-` for stdin
    #[arg(default_value = "-")]
    file: String,
    /// Read one JSON value a line and clean the strings and keys in it
    #[arg(long)]
    jsonl: bool,
    /// What happens to what is found
    #[arg(long, value_enum, default_value_t = Handling::Redact, value_name = "MODE")]
    mode: Handling,
    /// Exit with 1 when something was found
    #[arg(long)]
    fail: bool,
    #[command(flatten)]
    output: FormatArgs,
}

/// What happens to what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Handling {
    /// Replace the matched spans
    Redact,
    /// Leave the text as it is and report
    Flag,
    /// Print nothing of a text in which something was found
    Block,
}

impl From<Handling> for Mode {
    fn from(handling: Handling) -> Self {
        match handling {
            Handling::Redact => Self::Redact,
            Handling::Flag => Self::Flag,
            Handling::Block => Self::Block,
        }
    }
}

/// What a run found.
#[derive(Default)]
struct Total {
    findings: u64,
    bad_lines: u64,
}

pub(crate) fn run(args: &SanitizeArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let sanitizer = Sanitizer::new(Pack::builtin(), args.mode.into());
    let input = Input::read_file(&args.file, console)?;
    let total = if args.jsonl {
        lines(&sanitizer, &input.bytes, args, console)?
    } else {
        whole(&sanitizer, &input.bytes, args, console)?
    };
    Ok(if total.bad_lines > 0 {
        Exit::Error
    } else if args.fail && total.findings > 0 {
        Exit::Negative
    } else {
        Exit::Ok
    })
}

/// A report on one text, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    text: Option<String>,
    was_modified: bool,
    blocked: bool,
    score: f64,
    findings: &'a [Finding],
}

fn whole(
    sanitizer: &Sanitizer,
    bytes: &[u8],
    args: &SanitizeArgs,
    console: &mut Console<'_>,
) -> Result<Total, Failure> {
    let cleaned = sanitizer.clean_bytes(bytes);
    if args.output.is_json() {
        let text = (!cleaned.blocked).then(|| String::from_utf8_lossy(&cleaned.bytes).into_owned());
        console.json(&Report {
            text,
            was_modified: cleaned.was_modified,
            blocked: cleaned.blocked,
            score: combined_score(&cleaned.findings),
            findings: &cleaned.findings,
        })?;
    } else if !cleaned.blocked {
        console.out.write_all(&cleaned.bytes)?;
    }
    report(bytes, &cleaned, console);
    Ok(Total { findings: cleaned.findings.len() as u64, bad_lines: 0 })
}

/// One line of talk for each finding, and one with what was done.
fn report(original: &[u8], cleaned: &CleanedBytes<'_>, console: &mut Console<'_>) {
    let paint = console.paint_err;
    for finding in &cleaned.findings {
        let before = original.get(..finding.span.start).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count() + 1;
        let label = paint.paint(YELLOW, &visible_line(&finding.label));
        let score = paint.paint(DIM, &format!("score {:.2}", finding.score));
        console.say(&format!("{line}:{column}: {label}  {score}"));
    }
    done(cleaned.findings.len() as u64, cleaned.was_modified, cleaned.blocked, console);
}

fn done(findings: u64, was_modified: bool, blocked: bool, console: &mut Console<'_>) {
    if findings == 0 {
        return;
    }
    let what = match (blocked, was_modified) {
        (true, _) => "the text is withheld",
        (false, true) => "the matched spans were replaced",
        (false, false) => "the text is unchanged",
    };
    console.say(&format!("{}; {what}", render::counted(findings, "finding")));
}

fn lines(
    sanitizer: &Sanitizer,
    bytes: &[u8],
    args: &SanitizeArgs,
    console: &mut Console<'_>,
) -> Result<Total, Failure> {
    let mut total = Total::default();
    let mut out = Vec::with_capacity(bytes.len());
    for (number, line) in (1_u64..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let text = line.trim_ascii();
        if text.is_empty() {
            out.extend_from_slice(line);
            continue;
        }
        match read(text) {
            Ok(value) => {
                let cleaned = sanitizer.clean_json(&value);
                for found in &cleaned.findings {
                    let label = console.paint_err.paint(YELLOW, &visible_line(&found.finding.label));
                    console.say(&format!("line {number}: {label}  {}", visible_line(&found.path)));
                }
                total.findings += cleaned.findings.len() as u64;
                write_line(sanitizer, line, &cleaned, args, &mut out)?;
            }
            Err(error) => {
                // A line that is no JSON is still cleaned, as text, so that nothing slips through.
                total.bad_lines += 1;
                let word = console.paint_err.paint(RED, "error:");
                console.say(&format!("{word} line {number}: {error}; it was cleaned as text"));
                let cleaned = sanitizer.clean_bytes(line);
                total.findings += cleaned.findings.len() as u64;
                if !cleaned.blocked {
                    out.write_all(&cleaned.bytes)?;
                }
            }
        }
    }
    console.out.write_all(&out)?;
    done(total.findings, args.mode == Handling::Redact, args.mode == Handling::Block, console);
    Ok(total)
}

/// Reads a line as strictly as an event is read, so that no reader behind us sees another value.
fn read(text: &[u8]) -> Result<serde_json::Value, String> {
    placet::json::parse(text).map_err(|error| error.to_string())?;
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

fn write_line(
    sanitizer: &Sanitizer,
    line: &[u8],
    cleaned: &CleanedValue,
    args: &SanitizeArgs,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if args.output.is_json() {
        serde_json::to_writer(&mut *out, cleaned).map_err(std::io::Error::other)?;
        out.push(b'\n');
    } else if cleaned.blocked {
        // Nothing of it is passed on.
    } else if !cleaned.was_modified {
        out.extend_from_slice(line);
    } else if cleaned.findings.iter().any(|found| found.in_key) {
        serde_json::to_writer(&mut *out, &cleaned.value).map_err(std::io::Error::other)?;
        out.push(b'\n');
    } else {
        splice(sanitizer, line, out);
    }
    Ok(())
}

/// Replaces what was found inside the strings of a line of JSON and leaves every other byte as it is.
fn splice(sanitizer: &Sanitizer, line: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(start) = memchr::memchr(b'"', rest) {
        let (before, from) = rest.split_at(start);
        let (token, after) = from.split_at(string_end(from));
        out.extend_from_slice(before);
        let text = serde_json::from_slice::<String>(token);
        let cleaned = text.as_deref().map(|text| sanitizer.clean_text(text));
        match cleaned {
            Ok(cleaned) if cleaned.was_modified => {
                out.extend_from_slice(serde_json::Value::from(&*cleaned.text).to_string().as_bytes());
            }
            _ => out.extend_from_slice(token),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// How long the JSON string at the beginning of a text is, quotes included.
fn string_end(text: &[u8]) -> usize {
    let mut bytes = text.iter().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
