//! `placet credentials issue`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::Args;
use placet::trust::credentials::broker::{DEFAULT_TTL_SECONDS, IssueRequest, SessionToken};
use serde_json::json;

use super::{CommonArgs, LimitArgs, Office, deliver, given, refused};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::moment;
use crate::paint::visible_line;

/// What is issued.
#[derive(Debug, Args)]
#[command(after_help = "Lives one hour unless `--ttl` says otherwise, and 24 hours at most.")]
pub(super) struct IssueArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Public key of its holder, or a file with one
    #[arg(long, required_unless_present = "bearer", value_name = "KEY")]
    holder: Option<String>,
    /// Tenant that it is of
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Role that it gives
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Print the secret of a handle instead, which whoever has it can use
    #[arg(long, conflicts_with = "holder")]
    bearer: bool,
    /// Who issues it, for the record
    #[arg(long, required = true, value_name = "NAME")]
    by: String,
}

pub(super) fn run(args: &IssueArgs, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let limits = &args.limits;
    let base = IssueRequest::new(limits.session.as_str(), limits.scopes());
    let request = IssueRequest {
        ttl_seconds: limits.ttl.unwrap_or(DEFAULT_TTL_SECONDS),
        tenant: args.tenant.as_deref().map(Into::into),
        agent: limits.agent.as_deref().map(Into::into),
        role: args.role.as_deref().map(Into::into),
        tools: limits.tools(console)?.unwrap_or_else(|| base.tools.clone()),
        budgets: limits.budgets(),
        ..base
    };
    let holder = args.holder.as_deref().map(given::holder).transpose()?;
    let office = Office::found(common, &args.by)?;
    let broker = office.registrar.broker();
    let issued = match &holder {
        Some(holder) => broker.issue_signed(&request, holder).map(|(token, chain)| (token, chain.to_text())),
        None => broker.issue(&request).map(|token| {
            let secret = token.bearer().secret_text();
            (token, secret)
        }),
    };
    match issued {
        Err(error) => refused(&error, common, console),
        Ok((token, text)) => tell(&token, &text, args, common, console),
    }
}

fn tell(
    token: &SessionToken,
    text: &str,
    args: &IssueArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let output = args.limits.output.as_deref();
    if common.is_json() && output.is_none() {
        let name = if args.bearer { "token" } else { "chain" };
        let expires = moment::exact(token.expires());
        console.json(&json!({"credential": token.id(), name: text, "expires": expires}))?;
        return Ok(Exit::Ok);
    }
    deliver(text, output, console)?;
    if common.is_json() {
        console.json(
            &json!({"credential": token.id(), "file": output, "expires": moment::exact(token.expires())}),
        )?;
    }
    let whose = visible_line(&format!("`{}` for the session `{}`", token.id(), token.session()));
    let use_of =
        if args.bearer { "whoever has this secret can use it" } else { "only the holder's key can use it" };
    console.say(&format!("issued {whose}, until {}; {use_of}", moment::short(token.expires())));
    Ok(Exit::Ok)
}
