//! `placet audit seal` and `prune`: segments of the log in files of their own, and old views out of the ledger.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;

use clap::Args;
use placet_store::archive::{Archive, Segment};
use placet_store::erase;
use serde_json::json;

use super::CommonArgs;
use super::erase::{failure, report};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log;
use crate::moment::{self, Moment};
use crate::render::counted;

/// Where segments are kept.
#[derive(Debug, Args)]
pub(super) struct SealArgs {
    /// Folder of the archive, made on first use
    #[arg(long, required = true, value_name = "FOLDER")]
    archive: PathBuf,
}

/// Which views go.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Folder of the archive; only views that can be read there go
    #[arg(long, required = true, value_name = "FOLDER")]
    archive: PathBuf,
    /// Views before this time: RFC 3339, a day in UTC, or how long ago (`90d`)
    #[arg(long, required = true, value_parser = moment::parse, value_name = "TIME")]
    before: Moment,
    /// Who asks for it
    #[arg(long, required = true, value_name = "NAME")]
    by: String,
}

pub(super) fn seal(args: &SealArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (keys, origin) = log::keys_of(&common.ledger)?;
    let store = log::store(&common.ledger, &common.ledger.config()?)?;
    // The last record of a segment is covered by a checkpoint.
    store.sign().map_err(|error| Failure::Ledger(error.to_string()))?;
    drop(store);
    let archive = Archive::new(&args.archive, &origin);
    let sealed = archive.seal(common.ledger.log()?.ledger()?.as_mut(), &keys);
    let Some(Segment { from, to, path }) = sealed.map_err(|error| Failure::Ledger(error.to_string()))? else {
        if common.is_json() {
            console.json(&json!({"sealed": null}))?;
        }
        console.say("nothing is new since the last segment");
        return Ok(Exit::Ok);
    };
    if common.is_json() {
        console.json(&json!({"sealed": {"from": from, "to": to, "file": path}}))?;
    } else {
        let records = counted(to.saturating_sub(from), "record");
        writeln!(console.out, "sealed {records}, {from} to {}: `{}`", to.saturating_sub(1), path.display())?;
    }
    Ok(Exit::Ok)
}

pub(super) fn prune(
    args: &PruneArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let log = common.ledger.log()?;
    if log.is_mirror() {
        return Err(Failure::Usage("name the ledger, not its mirror or archive".to_owned()));
    }
    let store = log::store(&common.ledger, &common.ledger.config()?)?;
    let (live, archived) = (log.ledger()?, log.archive(&args.archive)?);
    let pruned = erase::prune(store.as_ref(), live, archived, args.before.first(), &args.by);
    let pruned = pruned.map_err(failure)?;
    drop(store);
    if pruned.records.is_empty() {
        return Err(Failure::Negative(
            "no view in the ledger is that old and in the archive; `placet audit seal` archives".to_owned(),
        ));
    }
    report(&pruned, common, console)?;
    Ok(Exit::Ok)
}
