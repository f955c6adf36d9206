//! What is registered: listed and revoked.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;
use placet::record::ids::{CredentialId, Micros};
use placet::record::ledger::{CredentialEntry, RevocationTarget};
use placet::trust::Freshness;
use placet::trust::credentials::broker::Broker;
use serde_json::{Value, json};

use super::{CommonArgs, Office, failure, given};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment;
use crate::paint::{DIM, GREEN, RED, visible_line};
use crate::render::{self, Cell};

/// What is revoked.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("target").required(true).args(["credential", "session", "agent", "tenant"])))]
pub(super) struct RevokeArgs {
    /// A public id (`crd_…`, `aat_…`), a handle (`tok_…`), or a chain: its text, a file, or `-`
    credential: Option<String>,
    /// Everything that a session has now
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Everything that an agent has now
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Everything of a tenant now
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Who revokes, for the record
    #[arg(long, required = true, value_name = "NAME")]
    by: String,
}

/// What is listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Also those that expired or were revoked
    #[arg(long)]
    all: bool,
    /// Only those of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
}

pub(super) fn revoke(
    args: &RevokeArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let office = Office::open(common, &args.by)?;
    let broker = office.registrar.broker();
    let target = match (&args.credential, &args.session, &args.agent, &args.tenant) {
        (_, Some(session), ..) => RevocationTarget::Session(session.as_str().into()),
        (_, _, Some(agent), _) => RevocationTarget::Agent(agent.as_str().into()),
        (_, _, _, Some(tenant)) => RevocationTarget::Tenant(tenant.as_str().into()),
        (Some(given), ..) => {
            let id = match broker.id_of(given).filter(|_| !given.contains('.')) {
                Some(id) => id,
                None => leaf(&broker, given, console)?,
            };
            RevocationTarget::Credential(id)
        }
        _ => return Err(Failure::Usage("nothing says what to revoke".to_owned())),
    };
    let mut ended = Vec::new();
    let look = &mut |state: &placet::trust::State| ended = state.credentials.covered(&target);
    let read = office.registrar.ledger().read(Freshness::Now, look);
    read.map_err(|error| Failure::Ledger(error.to_string()))?;
    broker.revoke_all(target.clone()).map_err(|error| failure(&error))?;
    if common.is_json() {
        console.json(&json!({"revoked": target, "ended": ended}))?;
        return Ok(Exit::Ok);
    }
    for id in &ended {
        writeln!(console.out, "{id}")?;
    }
    let count = render::counted(ended.len() as u64, "credential");
    console.say(&format!(
        "revoked with {count} that were live or unexpired; it holds everywhere within a second, also for tokens that nobody has shown yet"
    ));
    Ok(Exit::Ok)
}

/// The leaf of a chain, which must verify: what a forged one names is not revoked.
fn leaf(broker: &Broker<'_>, given: &str, console: &mut Console<'_>) -> Result<CredentialId, Failure> {
    let (chain, _) = given::chain(given, console)?;
    let leaf = broker.verified(&chain.to_text()).map_err(|error| failure(&error))?;
    let none = || Failure::Negative("the chain is empty".to_owned());
    leaf.chain().last().cloned().ok_or_else(none)
}

/// An entry, and how it stands.
struct Standing {
    entry: CredentialEntry,
    state: &'static str,
    why: Option<String>,
}

pub(super) fn list(args: &ListArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let office = Office::open(common, "cli")?;
    let now = office.registrar.time();
    let mut found = Vec::new();
    let read = office.registrar.ledger().read(Freshness::Now, &mut |state| {
        let standing = |entry: &CredentialEntry| {
            let revoked = state.credentials.revoked(&entry.id);
            let at = now.max(state.credentials.last_change());
            let (state, why) = match (revoked, state.credentials.live(&entry.id, at)) {
                (Some((at, by, _)), _) => ("revoked", Some(format!("{} by {by}", moment::short(at)))),
                (None, Ok(_)) => ("live", None),
                (None, Err(_)) if at < entry.expires_us => ("not yet valid", None),
                (None, Err(_)) => ("expired", None),
            };
            Standing { entry: entry.clone(), state, why }
        };
        found = state.credentials.all().map(standing).collect();
    });
    read.map_err(|error| Failure::Ledger(error.to_string()))?;
    found.retain(|one| args.all || one.state == "live");
    found.retain(|one| args.session.as_deref().is_none_or(|session| *one.entry.session == *session));
    found.sort_by(|a, b| {
        (a.entry.issued_us, a.entry.depth, &a.entry.id).cmp(&(b.entry.issued_us, b.entry.depth, &b.entry.id))
    });
    if common.is_json() {
        let shown: Vec<Value> = found.iter().map(in_json).collect();
        console.json(&json!({"credentials": shown}))?;
        return Ok(Exit::Ok);
    }
    if found.is_empty() {
        console.say(if args.all { "no credential is registered" } else { "no credential is live" });
        return Ok(Exit::Ok);
    }
    let heading = ["CREDENTIAL", "STATE", "DEPTH", "SESSION", "AGENT", "SCOPES", "EXPIRES"];
    let mut rows = vec![heading.iter().map(|word| Cell::left(*word).styled(DIM)).collect()];
    rows.extend(found.iter().map(row));
    console.out.write_all(render::table(&rows, console.paint).as_bytes())?;
    Ok(Exit::Ok)
}

fn in_json(one: &Standing) -> Value {
    let Standing { entry, state, why } = one;
    let at = |at: Micros| moment::exact(at);
    json!({
        "credential": entry.id, "parent": entry.parent, "state": state, "revoked": why, "depth": entry.depth,
        "max_depth": entry.max_depth, "session": entry.session, "tenant": entry.tenant, "agent": entry.agent,
        "role": entry.role, "scopes": entry.scopes, "issued": at(entry.issued_us), "expires": at(entry.expires_us),
    })
}

fn row(one: &Standing) -> Vec<Cell> {
    let Standing { entry, state, why } = one;
    let style = match *state {
        "live" => GREEN,
        "revoked" => RED,
        _ => DIM,
    };
    let state = why.as_ref().map_or_else(|| (*state).to_owned(), |why| format!("{state} {why}"));
    vec![
        Cell::left(entry.id.to_string()),
        Cell::left(state).styled(style),
        Cell::left(entry.depth.to_string()),
        Cell::left(visible_line(&entry.session)),
        Cell::left(visible_line(entry.agent.as_deref().unwrap_or("-"))),
        Cell::left(visible_line(&entry.scopes.join(", "))),
        Cell::left(moment::short(entry.expires_us)),
    ]
}
