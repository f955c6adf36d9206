//! What a command line says of credentials: holders, chains and limits.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::{Span, SpanRelativeTo, Unit};
use placet::json;
use placet::trust::credentials::authority::Tools;
use placet::trust::credentials::keys::{PublicKey, SecretKey};
use placet::trust::credentials::token::{Chain, Presentation};
use placet_store::secret_file;

use crate::console::Console;
use crate::failure::Failure;
use crate::input::Input;

/// What a token is to give.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Session that it is for
    #[arg(long, value_name = "ID")]
    pub(super) session: String,
    /// Scope that it gives; say it again for more
    #[arg(long = "scope", required = true, value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
    /// How long it lives (`15m`, `2h`)
    #[arg(long, value_parser = seconds, value_name = "TIME")]
    pub(super) ttl: Option<i64>,
    /// Agent that gets it
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// Tools that it covers, with the limits of their arguments: JSON text, a file, or `-` [default: any, policies decide]
    #[arg(long, value_name = "JSON")]
    tools: Option<String>,
    /// How often a tool may be called
    #[arg(long = "calls", value_parser = pair, value_name = "TOOL=NUMBER")]
    calls: Vec<(String, u64)>,
    /// The most that it and all below it may spend: tokens, api_calls, cost_micros, compute_millis
    #[arg(long = "budget", value_parser = pair, value_name = "NAME=AMOUNT")]
    budgets: Vec<(String, u64)>,
    /// Write the chain to this new file, which only its owner can read [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl LimitArgs {
    pub(super) fn scopes(&self) -> Vec<Arc<str>> {
        self.scopes.iter().map(|scope| Arc::from(scope.as_str())).collect()
    }

    pub(super) fn budgets(&self) -> BTreeMap<Arc<str>, u64> {
        named(&self.budgets)
    }

    pub(super) fn tools(&self, console: &mut Console<'_>) -> Result<Option<Tools>, Failure> {
        let Some(given) = &self.tools else {
            if self.calls.is_empty() {
                return Ok(None);
            }
            return Err(Failure::Usage("`--calls` limits tools that `--tools` does not name".to_owned()));
        };
        let Input { origin, bytes } = Input::read(given, console)?;
        let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("`--tools`, {origin}: {error}"));
        let value = json::parse(&bytes).map_err(|error| wrong(&error))?;
        Tools::read(&value, &named(&self.calls)).map(Some).map_err(|error| wrong(&error))
    }
}

fn named(pairs: &[(String, u64)]) -> BTreeMap<Arc<str>, u64> {
    pairs.iter().map(|(name, amount)| (Arc::from(name.as_str()), *amount)).collect()
}

fn pair(text: &str) -> Result<(String, u64), String> {
    let pair = text.split_once('=').and_then(|(name, amount)| Some((name.to_owned(), amount.parse().ok()?)));
    pair.ok_or_else(|| format!("`{text}` must be a name, `=` and a whole number"))
}

fn seconds(text: &str) -> Result<i64, String> {
    let span = text.trim().parse::<Span>().ok();
    let seconds = span.and_then(|span| span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).ok());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole seconds are meant; the broker checks the range"
    )]
    let seconds = seconds.filter(|seconds| *seconds >= 1.0).map(|seconds| seconds as i64);
    seconds.ok_or_else(|| format!("`{text}` is no length of time; write it like `15m` or `2h`"))
}

/// The public key of a holder: its text, or a file with it.
pub(super) fn holder(given: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = PublicKey::parse(given.trim()) {
        return Ok(key);
    }
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!(
            "`--holder {given}` is neither a public key nor a file with one: {error}; `placet credentials keygen` makes one"
        ))
    };
    let text = fs::read_to_string(given).map_err(|error| wrong(&error))?;
    PublicKey::parse(text.trim()).map_err(|error| wrong(&error))
}

/// The secret key in a file that [`super::keys::generate`] made.
pub(super) fn secret(path: &Path) -> Result<SecretKey, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Ledger(format!("`{}`: {error}", path.display()));
    let text = secret_file::read(path).map_err(|error| Failure::Ledger(error.to_string()))?;
    SecretKey::from_secret_text(&text).map_err(|error| wrong(&error))
}

/// What was given as a chain, with the proof behind it if there is one: text, a file, or `-`.
pub(super) fn chain(given: &str, console: &mut Console<'_>) -> Result<(Chain, Option<String>), Failure> {
    let text = if given.contains('.') && given.starts_with("ey") {
        given.to_owned()
    } else {
        let Input { origin, bytes } = Input::read_file(given, console)?;
        let text = String::from_utf8(bytes);
        text.map_err(|_| Failure::Negative(format!("{origin} is no chain of tokens: it is no text")))?
    };
    let text = text.trim();
    let (chain, proof) =
        Presentation::split(text).map_or((text, None), |(chain, proof)| (chain, Some(proof)));
    let chain = Chain::parse(chain).map_err(|error| Failure::Negative(error.to_string()))?;
    Ok((chain, proof.map(str::to_owned)))
}
