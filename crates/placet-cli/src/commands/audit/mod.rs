//! `placet audit`: what was decided, what became of it, and whether anybody touched the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod archive;
mod erase;
mod export;
mod list;
mod prove;
mod recover;
mod show;
mod stats;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, CommonArgs};
use crate::output;

/// Read, verify and prove the audit log; without a subcommand, list its decisions
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_precedence_over_arg = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: Option<AuditCommand>,
    #[command(flatten)]
    list: list::ListArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List decisions, oldest first
    List(list::ListArgs),
    /// Show one record whole: what was decided and why, the answer of a person, what became of it
    Show {
        /// Position in the log, or id
        #[arg(value_name = "SEQ|ID")]
        record: String,
    },
    /// Show the newest records, and with `-f` those to come
    Tail(tail::TailArgs),
    /// Write the log as JSON lines that `verify` reads, or one session with proofs
    Export(export::ExportArgs),
    /// Erase what people wrote in the records of a subject, and record that it was
    Erase(erase::EraseArgs),
    /// Write what is signed and not archived yet as one more segment of the archive
    Seal(archive::SealArgs),
    /// Take old views out of the ledger that its archive holds, and record it
    Prune(archive::PruneArgs),
    /// Show what is lost when an older copy of the ledger was put back, and go on without it
    Recover(recover::RecoverArgs),
    /// Check the log against its key, and against a checkpoint kept elsewhere
    Verify(verify::VerifyArgs),
    /// Prove that one record is in the signed log
    Prove(prove::ProveArgs),
    /// Check a proof, or a session report, offline
    Check(prove::CheckArgs),
    /// Count decisions, outcomes and denials
    Stats,
    /// Print the public keys of the log, the newest first, to be kept elsewhere
    Key {
        /// Write it to this file, outside the folder of the log
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &AuditArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let common = &args.common;
    match &args.command {
        None => list::run(&args.list, common, console),
        Some(AuditCommand::List(list)) => list::run(list, common, console),
        Some(AuditCommand::Show { record }) => show::run(record, common, console),
        Some(AuditCommand::Tail(tail)) => tail::run(tail, common, console),
        Some(AuditCommand::Export(export)) => export::run(export, common, console),
        Some(AuditCommand::Erase(erase)) => erase::run(erase, common, console),
        Some(AuditCommand::Seal(seal)) => archive::seal(seal, common, console),
        Some(AuditCommand::Prune(prune)) => archive::prune(prune, common, console),
        Some(AuditCommand::Recover(recover)) => recover::run(recover, common, console),
        Some(AuditCommand::Verify(verify)) => verify::run(verify, common, console),
        Some(AuditCommand::Prove(prove)) => prove::run(prove, common, console),
        Some(AuditCommand::Check(check)) => prove::check(check, common, console),
        Some(AuditCommand::Stats) => stats::run(common, console),
        Some(AuditCommand::Key { output }) => key(output.as_ref(), common, console),
    }
}

fn key(output: Option<&PathBuf>, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (folder, origin) = log::keys_of(&common.ledger)?;
    let keys = folder.verifiers(&origin).map_err(|error| Failure::Ledger(error.to_string()))?;
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
    if let Some(file) = output {
        output::write(file, lines.as_bytes())?;
    } else if common.is_json() {
        console.json(&serde_json::json!({"origin": origin, "key": keys.first(), "keys": keys}))?;
    } else {
        write!(console.out, "{lines}")?;
    }
    Ok(Exit::Ok)
}

/// Tells of records that could not be read, once.
fn warn_unreadable(seqs: &[u64], console: &mut Console<'_>) {
    let Some(first) = seqs.first() else { return };
    let word = console.paint_err.paint(crate::paint::RED, "warning:");
    let which = if seqs.len() == 1 {
        format!("record {first} was")
    } else {
        format!("{} records, the first of them {first}, were", seqs.len())
    };
    console.say(&format!("{word} {which} edited or cannot be read; run `placet audit verify`"));
}
