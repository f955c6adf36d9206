//! `placet audit prove` and `check`: that a record is in the signed log, shown offline.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use placet::audit::checkpoint::Checkpoint;
use placet::audit::keys::VerifierKey;
use placet::audit::tlog_proof::TlogProof;
use placet::audit::{chain, leaf, tree, view};
use serde_json::json;

use super::CommonArgs;
use super::export::{REPORT, SessionReport, last_checkpoint, prove};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::paint::GREEN;
use crate::{log, output, render};

/// What is proved.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    /// Position of the record
    seq: u64,
    /// Write the proof to this file [default: `SEQ.tlog-proof`, `-` is stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the record itself to this file: `check` needs both
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
}

/// What is checked.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// `.tlog-proof` file, or session report
    proof: PathBuf,
    /// The record that the proof is of; a session report has its own
    #[arg(long, value_name = "FILE")]
    leaf: Option<PathBuf>,
    /// Public key of the log, or a file with it; may be repeated
    #[arg(long, required = true, value_name = "VKEY|FILE")]
    key: Vec<String>,
}

pub(super) fn run(args: &ProveArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut source = common.ledger.log()?.open()?;
    let (mut hashes, mut wanted) = (Vec::new(), None);
    while let Some(entry) = source.next_entry().map_err(|error| log::unreadable(&error))? {
        hashes.push(tree::leaf_hash(&entry.leaf));
        if entry.seq == args.seq {
            wanted = Some(entry.leaf);
        }
    }
    let Some(leaf) = wanted else {
        let entries = render::counted(hashes.len() as u64, "record");
        return Err(Failure::Negative(format!(
            "record {} is not in the ledger, which has {entries}",
            args.seq
        )));
    };
    let checkpoint = last_checkpoint(source.as_mut())?.filter(|checkpoint| checkpoint.size > args.seq);
    let Some(checkpoint) = checkpoint else {
        let text = "no checkpoint covers it yet; one is signed a second after a commit, and when the ledger is closed";
        return Err(Failure::Negative(format!("record {} cannot be proved: {text}", args.seq)));
    };
    let hashes = prove(&hashes, args.seq, checkpoint.size)?;
    let proof = TlogProof { extra: None, index: args.seq, hashes, checkpoint: checkpoint.note };
    agrees(&proof, &leaf)?;
    let default = PathBuf::from(format!("{}.tlog-proof", args.seq));
    let to = args.output.as_ref().unwrap_or(&default);
    if let Some(path) = &args.leaf {
        output::write(path, &leaf)?;
    }
    if to == Path::new("-") {
        console.out.write_all(proof.to_text().as_bytes())?;
        return Ok(Exit::Ok);
    }
    output::write(to, proof.to_text().as_bytes())?;
    if common.is_json() {
        console.json(&json!({"seq": args.seq, "proof": to, "leaf": args.leaf, "size": checkpoint.size}))?;
    } else {
        writeln!(console.out, "record {} of {} proved: `{}`", args.seq, checkpoint.size, to.display())?;
    }
    Ok(Exit::Ok)
}

/// Holds the proof against the text of its checkpoint, so that none is handed out which cannot hold.
fn agrees(proof: &TlogProof, leaf: &[u8]) -> Result<(), Failure> {
    let text = proof.checkpoint.split_once("\n\n").map_or("", |(text, _)| text);
    let checkpoint = Checkpoint::parse(&format!("{text}\n"))
        .map_err(|error| Failure::Ledger(format!("the last checkpoint: {error}")))?;
    let leaf = tree::leaf_hash(leaf);
    let holds = placet::audit::proof::verify_inclusion(
        proof.index,
        checkpoint.size,
        &leaf,
        &proof.hashes,
        &checkpoint.root,
    );
    let text = "the records are not those that the last checkpoint was signed for; run `placet audit verify`";
    if holds { Ok(()) } else { Err(Failure::Negative(text.to_owned())) }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| Failure::Read { what: format!("`{}`", path.display()), source })
}

pub(super) fn check(
    args: &CheckArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let keys = args.key.iter().map(|given| log::public_keys(given)).collect::<Result<Vec<_>, _>>()?.concat();
    let text = String::from_utf8(read(&args.proof)?)
        .map_err(|_| Failure::Negative(format!("`{}` is no text", args.proof.display())))?;
    let proved = if text.trim_start().starts_with('{') {
        report(&text, &keys)?
    } else {
        let Some(path) = &args.leaf else {
            return Err(Failure::Usage("name the record that the proof is of with `--leaf FILE`".to_owned()));
        };
        single(&text, &read(path)?, &keys)?
    };
    if common.is_json() {
        console.json(&json!({"ok": true, "proved": proved}))?;
    } else {
        writeln!(console.out, "{}  {proved}", console.paint.paint(GREEN, "OK"))?;
    }
    Ok(Exit::Ok)
}

fn single(text: &str, bytes: &[u8], keys: &[VerifierKey]) -> Result<String, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::Negative(error.to_string());
    let proof = TlogProof::parse(text).map_err(|error| refused(&error))?;
    // An editor may have put a line end behind the record; canonical JSON has none.
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let checkpoint = proof.verify(bytes, keys).map_err(|error| refused(&error))?;
    Ok(format!("it is record {} of {} of `{}`", proof.index, checkpoint.size, checkpoint.origin))
}

fn report(text: &str, keys: &[VerifierKey]) -> Result<String, Failure> {
    let refused = |message: String| Failure::Negative(message);
    let report: SessionReport =
        serde_json::from_str(text).map_err(|error| refused(format!("it is no session report: {error}")))?;
    if report.kind != REPORT {
        return Err(refused(format!("it is a `{}`, and no `{REPORT}`", report.kind)));
    }
    let mut integrity = chain::START;
    for record in &report.records {
        let at = |problem: &str| refused(format!("record {}: {problem}", record.seq));
        let leaf = record.leaf.as_bytes();
        integrity = chain::next(&integrity, &tree::leaf_hash(leaf));
        let (Some(hashes), Some(checkpoint)) = (&record.proof, &report.checkpoint) else {
            return Err(at("no checkpoint covers it, so nothing proves it; export again after the next one"));
        };
        let proof = TlogProof {
            extra: None,
            index: record.seq,
            hashes: hashes.clone(),
            checkpoint: checkpoint.clone(),
        };
        proof.verify(leaf, keys).map_err(|error| at(&error.to_string()))?;
        let decoded = leaf::decode(leaf).map_err(|error| at(&error.to_string()))?;
        if decoded.session.as_deref() != Some(&*report.session) {
            return Err(at("it is of another session"));
        }
        if record.view.as_ref().is_some_and(|text| decoded.view != Some(view::digest(text))) {
            return Err(at("its readable view was edited"));
        }
    }
    if integrity != report.integrity {
        return Err(refused("the integrity hash is not that of the records".to_owned()));
    }
    let count = render::counted(report.records.len() as u64, "record");
    Ok(format!("{count} of the session `{}`, unedited and in the signed log", report.session))
}
