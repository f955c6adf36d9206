//! `placet audit erase`: what people wrote goes, the records stay.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use placet_store::erase::{EraseError, Erased, Request, Selection, erase};
use serde_json::json;

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log;
use crate::moment::{self, Moment};
use crate::paint::YELLOW;
use crate::render::counted;

/// How many records are named to a person.
const SHOWN: usize = 20;

/// Whose text goes, who asks, and why. Several filters must all hold.
#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// These records, by position or id
    #[arg(long, value_delimiter = ',', value_name = "SEQ|ID")]
    record: Vec<String>,
    /// Records of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Records of this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Records of this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Records whose view names this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Records in which this text stands, in any case: a name, an address, a number
    #[arg(long, value_name = "TEXT")]
    containing: Option<String>,
    /// Records before this time: RFC 3339, a day in UTC, or how long ago (`90d`)
    #[arg(long, value_parser = moment::parse, value_name = "TIME")]
    before: Option<Moment>,
    /// Only these personal fields, instead of all that can be erased
    #[arg(long, value_delimiter = ',', value_name = "FIELDS")]
    field: Vec<Arc<str>>,
    /// Folder of the log's archive, whose views are then searched too
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// Who asks for it
    #[arg(long, required = true, value_name = "NAME")]
    by: Arc<str>,
    /// On which ground, for instance `gdpr-17` or `retention`
    #[arg(long, required = true, value_name = "GROUND")]
    basis: Arc<str>,
    /// Erase; without it the records are only listed. There is no way back
    #[arg(long)]
    yes: bool,
}

impl EraseArgs {
    fn selection(&self) -> Selection {
        Selection {
            records: self.record.clone(),
            tenant: self.tenant.clone(),
            session: self.session.clone(),
            agent: self.agent.clone(),
            user: self.user.clone(),
            containing: self.containing.clone(),
            before: self.before.map(Moment::first),
            fields: self.field.clone(),
        }
    }
}

pub(super) fn run(args: &EraseArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let log = common.ledger.log()?;
    if log.is_mirror() {
        return Err(Failure::Usage(
            "a mirror cannot be written to; name the ledger, and its mirror follows".to_owned(),
        ));
    }
    let keys = log.view_keys()?;
    let by_text = args.containing.is_some() || args.user.is_some();
    if by_text && args.archive.is_none() && !keys.is_empty() {
        let warning = console.paint_err.paint(YELLOW, "warning:");
        console
            .say(&format!("{warning} archived views are not searched; name their folder with `--archive`"));
    }
    let mut source = log.open_with(args.archive.as_ref())?;
    let found = args.selection().find(source.as_mut(), &keys).map_err(failure)?;
    drop((source, keys));
    if found.is_empty() {
        return Err(Failure::Negative("no record holds what can be erased so".to_owned()));
    }
    if !args.yes {
        if common.is_json() {
            console.json(&json!({"erased": false, "records": found}))?;
        } else {
            writeln!(
                console.out,
                "{} would be erased: {}",
                counted(found.len() as u64, "record"),
                shown(&found)
            )?;
        }
        console.say("nothing was erased; `--yes` erases, and there is no way back");
        return Ok(Exit::Escalate);
    }
    let config = common.ledger.config()?;
    let store = log::store(&common.ledger, &config)?;
    let request = Request { by: args.by.clone(), basis: args.basis.clone() };
    let erased = erase(store.as_ref(), &found, &args.field, &request).map_err(failure)?;
    // Closing it signs the erasure.
    drop(store);
    report(&erased, common, console)?;
    Ok(Exit::Ok)
}

pub(super) fn report(erased: &Erased, common: &CommonArgs, console: &mut Console<'_>) -> Result<(), Failure> {
    let left = erased.left.as_ref().map(ToString::to_string);
    if common.is_json() {
        let Erased { records, said_by, .. } = erased;
        console.json(&json!({"erased": true, "records": records, "said_by": said_by, "left": left}))?;
    } else {
        let records = counted(erased.records.len() as u64, "record");
        writeln!(console.out, "erased what people wrote in {records}: {}", shown(&erased.records))?;
        writeln!(console.out, "on record at {}", shown(&erased.said_by))?;
    }
    if let Some(left) = left {
        let warning = console.paint_err.paint(YELLOW, "warning:");
        console.say(&format!("{warning} the text may still stand in a side file: {left}"));
    }
    Ok(())
}

fn shown(records: &[u64]) -> String {
    let some: Vec<String> = records.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if records.len() > SHOWN { " …" } else { "" };
    format!("{}{more}", some.join(", "))
}

pub(super) fn failure(error: EraseError) -> Failure {
    match error {
        EraseError::Nothing | EraseError::Unsaid(_) | EraseError::Reserved => {
            Failure::Usage(error.to_string())
        }
        other => Failure::Ledger(other.to_string()),
    }
}
