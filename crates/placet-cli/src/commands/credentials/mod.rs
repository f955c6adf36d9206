//! `placet credentials`: issue, show, narrow, prove, verify, revoke and list the credentials of agents.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod chain;
mod given;
mod issue;
mod keys;
mod registry;
mod render;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use placet::trust::credentials::broker::{BrokerError, BrokerLimits};
use placet::{Registrar, SystemClock};
use placet_store::{LedgerIssuer, Store, secret_file};
use serde_json::json;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, CommonArgs};
use crate::paint::{RED, visible_line};

use given::LimitArgs;

/// Issue, show, narrow, verify and revoke the credentials of agents
#[derive(Debug, Args)]
pub(crate) struct CredentialsArgs {
    #[command(subcommand)]
    command: CredentialsCommand,
    #[command(flatten)]
    common: CommonArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    /// Make the key pair of a holder: the secret half into a file, the public half to stdout
    Keygen {
        /// File for the secret half, which must not exist
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Issue a credential, bound to the key of its holder
    Issue(issue::IssueArgs),
    /// Show what a chain says and how each token narrows the one before, without verifying it
    Show {
        /// The chain: its text, a file, or `-`
        chain: String,
    },
    /// Sign a narrower token for another holder, asking nobody
    Delegate(chain::DelegateArgs),
    /// Sign what to show for one call: the chain with a proof that you hold it
    Prove(chain::ProveArgs),
    /// Verify a chain: signatures, links, time, and that nothing of it was revoked
    Verify(chain::VerifyArgs),
    /// Revoke a credential with all below it, or everything of a session, an agent or a tenant
    Revoke(registry::RevokeArgs),
    /// List the credentials that are registered and live
    List(registry::ListArgs),
    /// Show the public keys of the issuer
    Keys {
        /// Write them to this file, for `verify --keys` on another machine
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &CredentialsArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let common = &args.common;
    match &args.command {
        CredentialsCommand::Keygen { output } => keys::generate(output, common, console),
        CredentialsCommand::Issue(args) => issue::run(args, common, console),
        CredentialsCommand::Show { chain } => chain::show(chain, common, console),
        CredentialsCommand::Delegate(args) => chain::delegate(args, common, console),
        CredentialsCommand::Prove(args) => chain::prove(args, common, console),
        CredentialsCommand::Verify(args) => chain::verify(args, common, console),
        CredentialsCommand::Revoke(args) => registry::revoke(args, common, console),
        CredentialsCommand::List(args) => registry::list(args, common, console),
        CredentialsCommand::Keys { output } => keys::show(output.as_deref(), common, console),
    }
}

/// The credentials of a ledger, in the name of whoever runs this.
struct Office {
    registrar: Registrar,
    issuer: Arc<LedgerIssuer>,
}

impl Office {
    /// The office of a ledger that exists.
    fn open(common: &CommonArgs, by: &str) -> Result<Self, Failure> {
        Ok(Self::over(log::store(&common.ledger, &common.ledger.config()?)?, by))
    }

    /// As [`Office::open`]; the ledger is made where there is none: credentials come before the first call.
    fn found(common: &CommonArgs, by: &str) -> Result<Self, Failure> {
        let settings = log::place_settings(&common.ledger.config()?);
        let store = settings.store(Path::new(""), |name| env::var_os(name).map(PathBuf::from));
        let store = store.map_err(|error| Failure::Ledger(error.to_string()))?;
        let off = || Failure::Ledger("`ledger` is off; credentials need one to be registered in".to_owned());
        Ok(Self::over(store.ok_or_else(off)?, by))
    }

    fn over(store: Arc<dyn Store>, by: &str) -> Self {
        let issuer = Arc::new(LedgerIssuer::new(store.clone()));
        let clock = Arc::new(SystemClock::default());
        let registrar = Registrar::new(store, clock, BrokerLimits::default(), by.into());
        Self { registrar: registrar.issuer(issuer.clone()), issuer }
    }
}

/// What a refusal by the broker is for the command: an answer, or an error.
fn failure(error: &BrokerError) -> Failure {
    match error {
        BrokerError::Ledger(_) | BrokerError::NoIssuer(_) | BrokerError::NoRandom(_) => {
            Failure::Ledger(error.to_string())
        }
        BrokerError::Ttl { .. }
        | BrokerError::Scope(_)
        | BrokerError::NoScopes
        | BrokerError::NoSession
        | BrokerError::Authority(_) => Failure::Usage(error.to_string()),
        _ => Failure::Negative(error.to_string()),
    }
}

/// Tells why something was refused: in what it exceeds the parent, line by line, and what it would have allowed.
fn refused(error: &BrokerError, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let told = failure(error);
    if told.exit() != Exit::Negative {
        return Err(told);
    }
    let lines: Vec<String> = error.lines().iter().map(ToString::to_string).collect();
    let example = error.witness().map(ToString::to_string);
    if common.is_json() {
        let answer = json!({"refused": error.to_string(), "exceeds": lines, "example": example});
        console.json(&answer)?;
        return Ok(Exit::Negative);
    }
    if lines.is_empty() {
        return Err(told);
    }
    let paint = console.paint_err;
    console.say(&format!("{} the child would exceed its parent:", paint.paint(RED, "REFUSED ")));
    lines.iter().for_each(|line| console.say(&format!("  {}", visible_line(line))));
    if let Some(example) = example {
        let text = format!("  for instance, the child could do this and the parent could not: {example}");
        console.say(&visible_line(&text));
    }
    Ok(Exit::Negative)
}

/// Writes a token to a file that only its owner may read, or to stdout.
fn deliver(text: &str, output: Option<&Path>, console: &mut Console<'_>) -> Result<(), Failure> {
    let Some(path) = output else {
        writeln!(console.out, "{text}")?;
        return Ok(());
    };
    new_secret(path, &format!("{text}\n"))?;
    console.say(&format!("written to `{}`", path.display()));
    Ok(())
}

fn new_secret(path: &Path, text: &str) -> Result<(), Failure> {
    secret_file::create(path, text).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::Exists(format!("`{}` exists and is not overwritten", path.display()))
        }
        _ => Failure::Write { what: "the file".to_owned(), source },
    })
}
