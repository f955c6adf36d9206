//! `placet audit export`: the log as JSON lines, or one session with proofs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use placet::audit::proof::inclusion;
use placet::audit::verify::{EntrySource, StoredCheckpoint};
use placet::audit::{chain, leaf, mirror, tree};
use placet::record::ids::{Digest, Micros};
use serde::{Deserialize, Serialize};

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, Log};
use crate::output;

/// What is written.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// One session as a report with proofs, which `placet audit check` checks offline
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The kind of a session report.
pub(super) const REPORT: &str = "placet-session-report-v1";

/// One session with the proof that its records are in the signed log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionReport {
    pub(super) kind: String,
    pub(super) session: String,
    /// The chain over the leaf hashes of the records here, in order.
    pub(super) integrity: Digest,
    /// The signed checkpoint under which the proofs hold.
    pub(super) checkpoint: Option<String>,
    pub(super) records: Vec<ReportRecord>,
}

/// One record of a report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportRecord {
    pub(super) seq: u64,
    pub(super) leaf: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) view: Option<String>,
    /// From the leaf's sibling to the child of the root; absent where no checkpoint covers the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proof: Option<Vec<Digest>>,
}

pub(super) fn run(
    args: &ExportArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let log = common.ledger.log()?;
    let report = args.session.as_ref().map(|session| report(session, &log)).transpose()?;
    let write = |out: &mut dyn Write| match &report {
        None => lines(&log, out),
        Some(report) => {
            let text = serde_json::to_string_pretty(report).map_err(io::Error::other)?;
            Ok(writeln!(out, "{text}")?)
        }
    };
    let Some(path) = &args.output else {
        write(&mut console.out)?;
        return Ok(Exit::Ok);
    };
    let failed = |source| Failure::Write { what: format!("`{}`", path.display()), source };
    let mut file = BufWriter::new(output::create(path)?);
    write(&mut file)?;
    file.flush().map_err(failed)?;
    console.say(&format!("written to `{}`", path.display()));
    Ok(Exit::Ok)
}

/// The log in the mirror's format.
fn lines(log: &Log, out: &mut dyn Write) -> Result<(), Failure> {
    let mut source = log.open()?;
    let failed = |error: mirror::MirrorError| Failure::Ledger(format!("{error}; run `placet audit verify`"));
    let mut next = source.next_checkpoint().map_err(|error| log::unreadable(&error))?;
    let mut last = Micros::default();
    while let Some(entry) = source.next_entry().map_err(|error| log::unreadable(&error))? {
        while let Some(note) = next.take_if(|note| note.size <= entry.seq) {
            write_note(&note, last, out)?;
            next = source.next_checkpoint().map_err(|error| log::unreadable(&error))?;
        }
        let line = mirror::entry_line(entry.seq, &entry.leaf, entry.view.as_deref(), None).map_err(failed)?;
        writeln!(out, "{line}")?;
        last = leaf::decode(&entry.leaf).map(|record| record.time_us).unwrap_or(last);
    }
    while let Some(note) = next {
        write_note(&note, last, out)?;
        next = source.next_checkpoint().map_err(|error| log::unreadable(&error))?;
    }
    Ok(())
}

fn write_note(note: &StoredCheckpoint, last: Micros, out: &mut dyn Write) -> Result<(), Failure> {
    let line = mirror::checkpoint_line(note.size, &note.note, last)
        .map_err(|error| Failure::Ledger(error.to_string()))?;
    Ok(writeln!(out, "{line}")?)
}

fn report(session: &str, log: &Log) -> Result<SessionReport, Failure> {
    let mut source = log.open()?;
    let mut records = BTreeMap::new();
    let mut hashes = Vec::new();
    while let Some(entry) = source.next_entry().map_err(|error| log::unreadable(&error))? {
        hashes.push(tree::leaf_hash(&entry.leaf));
        let record = leaf::decode(&entry.leaf).map_err(|error| {
            Failure::Ledger(format!("record {}: {error}; run `placet audit verify`", entry.seq))
        })?;
        if record.session.as_deref() == Some(session) {
            records.insert(entry.seq, (entry.leaf, entry.view));
        }
    }
    if records.is_empty() {
        return Err(Failure::Negative(format!("the ledger has no record of the session `{session}`")));
    }
    let checkpoint = last_checkpoint(source.as_mut())?;
    let size = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    let mut integrity = chain::START;
    let mut reported = Vec::new();
    for (seq, (leaf, view)) in records {
        integrity = chain::next(&integrity, &tree::leaf_hash(&leaf));
        let proof = (seq < size).then(|| prove(&hashes, seq, size)).transpose()?;
        let leaf = String::from_utf8(leaf).map_err(|error| Failure::Ledger(error.to_string()))?;
        reported.push(ReportRecord { seq, leaf, view, proof });
    }
    Ok(SessionReport {
        kind: REPORT.to_owned(),
        session: session.to_owned(),
        integrity,
        checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
        records: reported,
    })
}

/// The last checkpoint that a log has.
pub(super) fn last_checkpoint(source: &mut dyn EntrySource) -> Result<Option<StoredCheckpoint>, Failure> {
    let mut last = None;
    while let Some(next) = source.next_checkpoint().map_err(|error| log::unreadable(&error))? {
        last = Some(next);
    }
    Ok(last)
}

/// The hashes that lead from a record to the root.
pub(super) fn prove(hashes: &[Digest], seq: u64, size: u64) -> Result<Vec<Digest>, Failure> {
    inclusion(hashes, seq, size).map_err(|error| {
        Failure::Ledger(format!(
            "{error:?}: the log is shorter than its checkpoint; run `placet audit verify`"
        ))
    })
}
