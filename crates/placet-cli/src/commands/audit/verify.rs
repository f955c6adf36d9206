//! `placet audit verify`: whether anybody touched the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use placet::audit::keys::VerifierKey;
use placet::audit::verify::{Erasure, KeyChange, Report, Rollback, Truncation, verify};

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, visible_line};
use crate::render::counted;

/// How many findings and unknown outcomes are shown to a person.
const SHOWN: usize = 20;

/// What the log is held against.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Public key of the log, or a file with it that does not lie beside the log; may be repeated
    #[arg(long, required = true, value_name = "VKEY|FILE")]
    key: Vec<String>,
    /// Checkpoint that was kept elsewhere: only with one can a cut or exchanged log be told
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
    /// Folder of the log's archive: it must be that of this log, and the views in it are checked too
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Write the last checkpoint that holds to this file, to be kept elsewhere
    #[arg(long, value_name = "FILE")]
    save_checkpoint: Option<PathBuf>,
}

pub(super) fn run(
    args: &VerifyArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let log = common.ledger.log()?;
    let keys = log.keys(&args.key)?;
    let from = args.from.as_ref().map(|path| {
        let what = || format!("the checkpoint `{}`", path.display());
        std::fs::read_to_string(path).map_err(|source| Failure::Read { what: what(), source })
    });
    let from = from.transpose()?;
    let report = verify(log.open_with(args.archive.as_ref())?.as_mut(), &keys, from.as_deref());
    let report = report.map_err(|error| Failure::Ledger(error.to_string()))?;
    if common.is_json() {
        console.json(&report)?;
    } else {
        let text = text(&report, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    if let Some(path) = args.save_checkpoint.as_ref().filter(|_| report.ok) {
        save(path, &report)?;
    }
    warn(&report, &keys, console);
    Ok(if report.ok && !is_unsigned(&report) { Exit::Ok } else { Exit::Negative })
}

/// Whether no checkpoint covers anything: then nothing was shown but that the records fit together.
fn is_unsigned(report: &Report) -> bool {
    report.signed == 0 && report.entries > 0
}

fn save(path: &Path, report: &Report) -> Result<(), Failure> {
    let Some(note) = &report.last_checkpoint else {
        return Err(Failure::Negative("there is no checkpoint to keep yet".to_owned()));
    };
    output::write(path, note.as_bytes())
}

fn warn(report: &Report, keys: &[VerifierKey], console: &mut Console<'_>) {
    let warning = console.paint_err.paint(YELLOW, "warning:");
    let given: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let is_new = |change: &&KeyChange| !given.iter().any(|key| **key == *change.added);
    if let Some(KeyChange { seq, .. }) = report.key_changes.iter().find(is_new).filter(|_| !report.ok) {
        console.say(&format!(
            "{warning} record {seq} brought in a key that was not given: what only that key signed counts as not signed; give it with `--key` too, if you trust it"
        ));
    }
    if report.ok && is_unsigned(report) {
        console.say(&format!(
            "{warning} no checkpoint signed with this key covers any record: whoever can write the log may have written all of it"
        ));
    }
    if report.truncation == Truncation::NotCheckable {
        console.say(&format!(
            "{warning} truncation is not checkable without a checkpoint from elsewhere; keep one with `--save-checkpoint FILE`, and give it with `--from FILE`"
        ));
    }
}

fn text(report: &Report, paint: Paint) -> String {
    let mut out = String::new();
    let entries = counted(report.entries, "record");
    let heading = match (report.ok, is_unsigned(report), &report.first_bad) {
        (true, false, _) => format!("{}  {entries}, nothing is wrong", paint.paint(GREEN, "OK")),
        (true, true, _) => format!("{}  {entries}, none of them signed", paint.paint(RED, "UNSIGNED")),
        (false, _, Some(at)) => format!("{}  first bad: {at}", paint.paint(RED, "TAMPERED")),
        (false, _, None) => paint.paint(RED, "TAMPERED"),
    };
    let _ = writeln!(out, "{heading}");
    let mut field = |label: &str, value: &str| {
        let _ = writeln!(out, "  {}  {}", paint.paint(DIM, &format!("{label:<10}")), visible_line(value));
    };
    field("log", report.origin.as_deref().unwrap_or("not known: nothing in it is signed with this key"));
    field(
        "signed",
        &format!("{} of {entries}, by {}", report.signed, counted(report.checkpoints, "checkpoint")),
    );
    if let Some(unsigned) = &report.unsigned {
        field("unsigned", &format!("{unsigned}: whoever can write the log may have changed them"));
    }
    field("truncation", truncation(report.truncation));
    if report.erased > 0 {
        field(
            "erased",
            &format!("something of {}, as erasures in the log say", counted(report.erased, "record")),
        );
    }
    for erasure in report.erasures.iter().take(SHOWN) {
        field("", &erased(erasure));
    }
    if report.sealed > 0 {
        let views = counted(report.sealed, "archived view");
        field("sealed", &format!("{views}, not checked: their keys are not here"));
    }
    for Rollback { seq, fact } in report.rollbacks.iter().take(SHOWN) {
        let most = fact.lost.first().map_or(fact.size, |lost| lost.size);
        let went_on =
            format!("record {seq}: {} accepted that the log goes on from {} records", fact.by, fact.size);
        field(
            "rollback",
            &format!("{went_on}; checkpoints of up to {most} records made before are not extended"),
        );
    }
    for KeyChange { seq, added, by } in report.key_changes.iter().take(SHOWN) {
        field("key", &format!("since record {seq}, brought in by {by}: {added}"));
    }
    if report.unknown_total > 0 {
        let ids: Vec<String> = report.unknown.iter().take(SHOWN).map(|one| one.seq.to_string()).collect();
        let more = if report.unknown_total > SHOWN as u64 { " …" } else { "" };
        let allowed = counted(report.unknown_total, "allowed call");
        field("unknown", &format!("{allowed} without an outcome, at {}{more}", ids.join(", ")));
    }
    field("root", &report.root.to_string());
    findings(&mut out, report, paint);
    out
}

fn erased(erasure: &Erasure) -> String {
    let Erasure { seq, count, fields, by, basis } = erasure;
    let what = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
    format!("record {seq}: {}{what}, asked by {by}, on the ground `{basis}`", counted(*count, "record"))
}

fn truncation(truncation: Truncation) -> &'static str {
    match truncation {
        Truncation::NotCheckable => "not checkable",
        Truncation::None => "none",
        Truncation::Found => "found: the end of the log was cut off",
    }
}

fn findings(out: &mut String, report: &Report, paint: Paint) {
    if report.findings.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint.paint(BOLD, &counted(report.findings_total, "finding")));
    for finding in report.findings.iter().take(SHOWN) {
        let at = paint.paint(RED, &finding.at.to_string());
        let _ = writeln!(out, "  {at}  {}", visible_line(&finding.message));
    }
    if report.findings_total > SHOWN as u64 {
        let _ = writeln!(out, "  {} more; `--format json` lists them", report.findings_total - SHOWN as u64);
    }
}
