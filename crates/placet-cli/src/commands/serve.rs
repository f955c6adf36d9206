//! `placet serve`: the HTTP service, until the process is told to end.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Args;
use placet::Config;
use placet::channels::Stop;
use placet::telemetry::Metrics;
use placet::trust::{Freshness, Ledger};
use placet_gateway::{DEFAULT_LISTEN, Limits, Server, Service, Tokens};
use placet_store::Store;
use serde_json::json;

use super::approvals::Process;
use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, LedgerArgs};

/// How many lines may wait to be printed; more are dropped rather than holding up answers.
const MAX_LINES: usize = 1_024;

/// How often it is looked whether the service has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Serve approvals and metrics over HTTP, until interrupted
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port [default: what `server.listen` says, else 127.0.0.1:8470]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Serve without TLS also on an address that other machines reach
    #[arg(long)]
    allow_plain_http: bool,
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &ServeArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let config = args.ledger.config()?;
    let tokens = Tokens::of_config(&config, &|name| env::var_os(name));
    let tokens = tokens.map_err(|error| Failure::Ledger(error.to_string()))?;
    let named = config.ledger.as_deref().unwrap_or_default();
    if Path::new(named).extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl")) {
        return Err(Failure::Usage("a mirror cannot be written to; name the ledger".to_owned()));
    }
    if matches!(named, "off" | "memory") {
        let text =
            "`ledger` says that nothing is kept where others reach it; name a ledger with `--ledger PATH`";
        return Err(Failure::Ledger(text.to_owned()));
    }
    let store = log::made_or_found(&config)?;
    // A log that cannot be read is said at once, not with the first request.
    store.read(Freshness::Now, &mut |_| {}).map_err(|error| Failure::Ledger(error.to_string()))?;
    let reviewers = config.server.reviewers.len();
    if tokens.is_empty() {
        console.say("`server.reviewers` names nobody, so nobody can answer over HTTP");
    }
    let (said, lines) = mpsc::sync_channel(MAX_LINES);
    let service = service(&config, &store, tokens, said)?;
    let address = args.listen.or(config.server.listen).unwrap_or(DEFAULT_LISTEN);
    let plain = args.allow_plain_http || config.server.allow_plain_http;
    let server = Server::bind(service, address, plain).map_err(|error| Failure::Ledger(error.to_string()))?;
    let url = format!("http://{}", server.address());
    if args.format.is_json() {
        // One line, for a program that waits for it.
        writeln!(console.out, "{}", json!({ "listening": url, "tokens": reviewers }))?;
    }
    console.out.flush()?;
    console.say(&format!("serves {url}"));
    let running = thread::spawn(move || server.run(&Stop::default()));
    while !running.is_finished() {
        if let Ok(line) = lines.recv_timeout(LOOK_EVERY) {
            console.say(&line);
        }
    }
    lines.try_iter().for_each(|line| console.say(&line));
    let served = running.join();
    // Signs what is not signed yet.
    store.shut();
    match served {
        Ok(Ok(())) => Ok(Exit::Ok),
        Ok(Err(error)) => Err(Failure::Ledger(error.to_string())),
        Err(_) => Err(Failure::Ledger("the service failed; what it recorded is in the ledger".to_owned())),
    }
}

fn service(
    config: &Config,
    store: &Arc<dyn Store>,
    tokens: Tokens,
    said: mpsc::SyncSender<String>,
) -> Result<Service, Failure> {
    let limits = Limits::default();
    let limits = match config.server.max_connections {
        Some(most) => limits.connections(usize::try_from(most).unwrap_or(usize::MAX)),
        None => limits,
    };
    let ledger: Arc<dyn Ledger> = store.clone();
    Ok(Service {
        ledger,
        host: Arc::new(Process),
        tokens,
        metrics: Arc::new(Metrics::default()),
        notifiers: config.approvals.notifiers()?,
        limits,
        say: Box::new(move |text| drop(said.try_send(text.to_owned()))),
    })
}
