//! `placet keys`: the keys that sign a ledger's checkpoints, and its credentials.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp};
use placet::audit::keys::VerifierKey;
use placet::record::ids::Micros;
use placet_store::IssuerFolder;
use placet_store::rotation::{KeyState, rotate};
use serde_json::{Value, json};

use crate::args::Format;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, LedgerArgs};
use crate::moment;
use crate::paint::{DIM, GREEN, YELLOW};
use crate::render::{self, Cell};

/// List or change the keys that sign the ledger's checkpoints, or its credentials
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    ledger: LedgerArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", global = true)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// List the keys, the newest first, and whether they sign
    List,
    /// Bring in a new key; the old one signs beside it for a while, and then no more
    Rotate {
        /// How long both sign, so that those who verify can be given the new key (`30d`, `12h`, `0s`)
        #[arg(long, default_value = "30d", value_parser = span, value_name = "TIME")]
        overlap: Span,
        /// Who changes it, for the record
        #[arg(long, required = true, value_name = "NAME")]
        by: String,
        /// Change the key that signs credentials instead: what the old one signed verifies through the overlap
        #[arg(long)]
        credentials: bool,
    },
}

fn span(text: &str) -> Result<Span, String> {
    let span = text.trim().parse::<Span>().ok().filter(|span| !span.is_negative());
    span.ok_or_else(|| format!("`{text}` is no length of time; write it like `30d`, `12h` or `0s`"))
}

pub(crate) fn run(args: &KeysArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    match &args.command {
        KeysCommand::List => list(args, Micros(now.as_microsecond()), console),
        KeysCommand::Rotate { overlap, by, credentials } => {
            let utc = now.to_zoned(jiff::tz::TimeZone::UTC);
            let until = utc.checked_add(*overlap).map_err(|error| Failure::Usage(error.to_string()))?;
            let moments = [now.as_microsecond(), until.timestamp().as_microsecond()].map(Micros);
            if *credentials { issuer(args, moments, by, console) } else { change(args, moments, by, console) }
        }
    }
}

fn list(args: &KeysArgs, now: Micros, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (folder, origin) = log::keys_of(&args.ledger)?;
    let states = folder.states(&origin, now).map_err(|error| Failure::Ledger(error.to_string()))?;
    if args.format == Format::Json {
        let keys: Vec<Value> = states.iter().map(|(key, state)| shown(key, *state)).collect();
        console.json(&json!({"log": origin, "folder": folder.path(), "keys": keys}))?;
        return Ok(Exit::Ok);
    }
    let line = |(key, state): &(VerifierKey, KeyState)| {
        let (style, until) = match state {
            KeyState::Signs => (GREEN, String::new()),
            KeyState::SignsUntil(at) => (YELLOW, format!(" until {}", moment::short(*at))),
            KeyState::Retired => (DIM, String::new()),
        };
        vec![Cell::left(format!("{}{until}", word(*state))).styled(style), Cell::left(key.to_string())]
    };
    let cells: Vec<Vec<Cell>> = states.iter().map(line).collect();
    let text = render::table(&cells, console.paint);
    console.out.write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Signs | KeyState::SignsUntil(_) => "signs",
        KeyState::Retired => "retired",
    }
}

fn shown(key: &VerifierKey, state: KeyState) -> Value {
    let until = match state {
        KeyState::SignsUntil(at) => Some(moment::exact(at)),
        KeyState::Signs | KeyState::Retired => None,
    };
    json!({"key": key.to_string(), "state": word(state), "until": until})
}

fn change(
    args: &KeysArgs,
    [now, until]: [Micros; 2],
    by: &str,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (folder, origin) = log::keys_of(&args.ledger)?;
    let store = log::store(&args.ledger, &args.ledger.config()?)?;
    let new = rotate(store.as_ref(), &folder, &origin, now, until, by);
    let new = new.map_err(|error| Failure::Ledger(error.to_string()))?;
    // Closing it signs with the new key.
    drop(store);
    if args.format == Format::Json {
        console
            .json(&json!({"log": origin, "key": new.to_string(), "overlap_until": moment::exact(until)}))?;
    } else {
        writeln!(console.out, "{new}")?;
    }
    let both = if until > now {
        format!(" the old key signs beside it until {};", moment::short(until))
    } else {
        String::new()
    };
    console.say(&format!(
        "the new key signs from now on;{both} give it to those who verify (`placet audit key`), beside the old one"
    ));
    Ok(Exit::Ok)
}

/// Another key for the issuer of credentials.
fn issuer(
    args: &KeysArgs,
    [now, until]: [Micros; 2],
    by: &str,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let seconds = u32::try_from(until.0.saturating_sub(now.0) / 1_000_000);
    let seconds = seconds.map_err(|_| Failure::Usage("the overlap is longer than 136 years".to_owned()))?;
    let (folder, origin) = log::keys_of(&args.ledger)?;
    let store = log::store(&args.ledger, &args.ledger.config()?)?;
    let set = IssuerFolder::new(folder, origin.as_str()).rotate(store.as_ref(), now, seconds, by);
    let set = set.map_err(|error| Failure::Ledger(error.to_string()))?;
    let new = set.newest().map(ToString::to_string).unwrap_or_default();
    if args.format == Format::Json {
        console.json(&json!({"issuer": origin, "key": new, "overlap_until": moment::exact(until)}))?;
    } else {
        writeln!(console.out, "{new}")?;
    }
    let old = if seconds > 0 {
        format!("what the old one signed verifies until {}", moment::short(until))
    } else {
        "what the old one signed is refused from now on".to_owned()
    };
    console.say(&format!(
        "the new key signs credentials from now on; {old}; give those who verify elsewhere the new keys (`placet credentials keys -o FILE`)"
    ));
    Ok(Exit::Ok)
}
