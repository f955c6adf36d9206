//! The keys of holders and of the issuer.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::Path;

use placet::pipeline::SystemRandom;
use placet::record::ids::Micros;
use placet::trust::credentials::keys::{IssuerKeys, KeySet, PublicKey, SecretKey};
use serde_json::{Value, json};

use super::{CommonArgs, Office, new_secret};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment;
use crate::paint::{DIM, GREEN, YELLOW};
use crate::render::{self, Cell};

pub(super) fn generate(
    output: &Path,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let key = SecretKey::generate(&SystemRandom).map_err(|error| Failure::Ledger(error.to_string()))?;
    new_secret(output, &format!("{}\n", key.to_secret_text()))?;
    let public = key.public().to_string();
    if common.is_json() {
        console.json(&json!({"public_key": public, "file": output}))?;
        return Ok(Exit::Ok);
    }
    writeln!(console.out, "{public}")?;
    console.say(&format!(
        "the secret half is in `{}` and never leaves its holder; give the public half, above, to whoever issues or delegates",
        output.display()
    ));
    Ok(Exit::Ok)
}

pub(super) fn show(
    output: Option<&Path>,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let office = Office::open(common, "cli")?;
    let now = office.registrar.time();
    let keys = office.issuer.trusted(now).map_err(|error| Failure::Ledger(error.to_string()))?;
    if let Some(path) = output {
        let written = fs::write(path, keys.to_text());
        written.map_err(|source| Failure::Write { what: format!("`{}`", path.display()), source })?;
        console.say(&format!(
            "the public keys of `{}` are in `{}`, for `placet credentials verify --keys`",
            keys.issuer(),
            path.display()
        ));
        return Ok(Exit::Ok);
    }
    if common.is_json() {
        let shown: Vec<Value> = keys.dated().map(|key| in_json(&keys, key, now)).collect();
        console.json(&json!({"issuer": keys.issuer(), "keys": shown, "text": keys.to_text()}))?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<Vec<Cell>> = keys.dated().map(|key| row(&keys, key, now)).collect();
    console.out.write_all(render::table(&rows, console.paint).as_bytes())?;
    Ok(Exit::Ok)
}

type Dated<'k> = (&'k PublicKey, Micros, Option<Micros>);

fn state(keys: &KeySet, (key, _, until): Dated<'_>, now: Micros) -> &'static str {
    match until {
        Some(until) if until <= now => "retired",
        _ if keys.newest() == Some(key) => "signs",
        _ => "verifies",
    }
}

fn in_json(keys: &KeySet, key: Dated<'_>, now: Micros) -> Value {
    let (public, from, until) = key;
    json!({
        "key": public.to_string(), "id": public.id(), "state": state(keys, key, now),
        "from": moment::exact(from), "until": until.map(moment::exact),
    })
}

fn row(keys: &KeySet, key: Dated<'_>, now: Micros) -> Vec<Cell> {
    let (public, from, until) = key;
    let state = state(keys, key, now);
    let (style, word) = match (state, until) {
        ("signs", _) => (GREEN, format!("signs since {}", moment::short(from))),
        ("verifies", Some(until)) => (YELLOW, format!("verifies until {}", moment::short(until))),
        (_, Some(until)) => (DIM, format!("retired at {}", moment::short(until))),
        _ => (YELLOW, state.to_owned()),
    };
    vec![Cell::left(word).styled(style), Cell::left(public.to_string())]
}
