//! Chains of signed tokens: shown, narrowed, proven and verified.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::PathBuf;

use clap::Args;
use placet::pipeline::SystemRandom;
use placet::record::ids::{Digest, Micros};
use placet::trust::credentials::broker::{BrokerError, DelegateRequest, HeldChain};
use placet::trust::credentials::keys::KeySet;
use placet::trust::credentials::token::{Chain, ProofRequest, ReplayWindow, TokenError, VerifiedLeaf};
use placet::{digest::digest, json as strict};
use serde_json::json;

use super::{CommonArgs, LimitArgs, Office, deliver, failure, given, refused, render};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::paint::{GREEN, RED, visible_line};

/// What is narrowed, for whom.
#[derive(Debug, Args)]
pub(super) struct DelegateArgs {
    /// The chain: its text, a file, or `-`
    chain: String,
    /// Your key: the file that `keygen` made
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Public key of the next holder, or a file with one
    #[arg(long, value_name = "KEY")]
    holder: String,
    #[command(flatten)]
    limits: LimitArgs,
    /// How deep the chain may become, counted from its first token
    #[arg(long, value_name = "NUMBER")]
    max_depth: Option<u32>,
}

/// What is proven.
#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    /// The chain: its text, a file, or `-`
    chain: String,
    /// Your key: the file that `keygen` made
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    call: CallArgs,
    /// Write it to this new file, which only its owner can read [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One call.
#[derive(Debug, Args)]
pub(super) struct CallArgs {
    /// Tool that is called
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Its arguments as it gets them: JSON text, a file, or `-` [default: none]
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// Name of the enforcement point, where it demands one
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
}

impl CallArgs {
    /// The digest of the arguments.
    fn digest(&self, console: &mut Console<'_>) -> Result<Digest, Failure> {
        let Input { origin, bytes } = Input::read(self.args.as_deref().unwrap_or("{}"), console)?;
        let value =
            strict::parse(&bytes).map_err(|source| Failure::Event { origin: origin.clone(), source })?;
        if value.as_object().is_none() {
            return Err(Failure::Usage(format!("`--args`, {origin}: the arguments must be an object")));
        }
        Ok(Digest(digest(&value)))
    }
}

/// What is verified, and by which keys.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The chain, with a proof or without: its text, a file, or `-`
    chain: String,
    /// Public keys of the issuer, as `keys -o` wrote them: then no ledger is read, and revocation is not looked at
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    call: CallArgs,
}

pub(super) fn show(given: &str, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (chain, proof) = given::chain(given, console)?;
    let claimed = chain.claimed().map_err(|error| Failure::Negative(error.to_string()))?;
    if common.is_json() {
        let shown = render::in_json(&claimed).map_err(|error| Failure::Negative(error.to_string()))?;
        console.json(&json!({"verified": false, "tokens": shown, "has_proof": proof.is_some()}))?;
        return Ok(Exit::Ok);
    }
    let text = render::text(&claimed, console.paint);
    console.out.write_all(text.as_bytes())?;
    let proof = if proof.is_some() { ", and a proof for one call" } else { "" };
    console.say(&format!(
        "this is what it says{proof}; nothing of it was verified: `placet credentials verify` does"
    ));
    Ok(Exit::Ok)
}

fn held(chain: Chain, key: &std::path::Path) -> Result<HeldChain, Failure> {
    HeldChain::new(chain, given::secret(key)?).map_err(|error| Failure::Negative(error.to_string()))
}

fn now() -> Micros {
    Micros(jiff::Timestamp::now().as_microsecond())
}

pub(super) fn delegate(
    args: &DelegateArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (chain, _) = given::chain(&args.chain, console)?;
    let limits = &args.limits;
    let request = DelegateRequest {
        ttl_seconds: limits.ttl,
        agent: limits.agent.as_deref().map(Into::into),
        max_depth: args.max_depth,
        tools: limits.tools(console)?,
        budgets: limits.budgets(),
        ..DelegateRequest::new(limits.session.as_str(), limits.scopes())
    };
    let holder = given::holder(&args.holder)?;
    let made = match held(chain, &args.key)?.delegate(&request, holder, now(), &SystemRandom) {
        Ok(made) => made,
        Err(error) => return refused(&error, common, console),
    };
    let changes: Vec<String> = made.changes.iter().map(ToString::to_string).collect();
    let (text, output) = (made.chain.to_text(), limits.output.as_deref());
    if common.is_json() && output.is_none() {
        console.json(&json!({"chain": text, "changes": changes}))?;
        return Ok(Exit::Ok);
    }
    deliver(&text, output, console)?;
    if common.is_json() {
        console.json(&json!({"file": output, "changes": changes}))?;
        return Ok(Exit::Ok);
    }
    console.say(if changes.is_empty() {
        "the child may do all that its parent may"
    } else {
        "the child differs from its parent:"
    });
    changes.iter().for_each(|line| console.say(&format!("  {}", visible_line(line))));
    Ok(Exit::Ok)
}

pub(super) fn prove(
    args: &ProveArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let tool = args.call.tool.as_deref();
    let tool =
        tool.ok_or_else(|| Failure::Usage("`--tool` is missing; name the tool of the call".to_owned()))?;
    let (chain, _) = given::chain(&args.chain, console)?;
    let digest = args.call.digest(console)?;
    let request = ProofRequest { tool, args: &digest, audience: args.call.audience.as_deref() };
    let shown = held(chain, &args.key)?.prove(&request, now(), &SystemRandom);
    let shown = shown.map_err(|error| failure(&error))?.to_text();
    if common.is_json() && args.output.is_none() {
        console.json(&json!({"token_id": shown}))?;
        return Ok(Exit::Ok);
    }
    deliver(&shown, args.output.as_deref(), console)?;
    console.say("good for one call within a minute");
    Ok(Exit::Ok)
}

pub(super) fn verify(
    args: &VerifyArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let (chain, proof) = given::chain(&args.chain, console)?;
    let checked = match &args.keys {
        Some(path) => chain.verify(&key_set(path)?, now()).map_err(BrokerError::from),
        None => Office::open(common, "cli")?.registrar.broker().inspected(&chain.to_text()),
    };
    let proven = match (&checked, &proof) {
        (Ok(leaf), Some(proof)) => Some(check_proof(leaf, proof, &args.call, console)?),
        _ => None,
    };
    let refusal = match (&checked, &proven) {
        (Err(error), _) => {
            if failure(error).exit() != Exit::Negative {
                return Err(failure(error));
            }
            Some(error.to_string())
        }
        (Ok(_), Some(Err(error))) => Some(error.to_string()),
        (Ok(_), _) => None,
    };
    let revocation = if args.keys.is_some() { "not checked" } else { "checked" };
    let claimed = chain.claimed().unwrap_or_default();
    let exit = if refusal.is_none() { Exit::Ok } else { Exit::Negative };
    let proof = match (&proof, &proven) {
        (None, _) => "none shown",
        (Some(_), Some(Ok(()))) => "holds for this call",
        (Some(_), Some(Err(_))) => "does not hold",
        (Some(_), None) => "not checked",
    };
    if common.is_json() {
        let tokens = render::in_json(&claimed).unwrap_or_default();
        console.json(&json!({
            "verified": refusal.is_none(), "reason": refusal, "revocation": revocation, "proof": proof,
            "tokens": tokens,
        }))?;
        return Ok(exit);
    }
    let paint = console.paint;
    match &refusal {
        Some(reason) => writeln!(console.out, "{}  {}", paint.paint(RED, "INVALID"), visible_line(reason))?,
        None => {
            writeln!(console.out, "{}  a chain of {}", paint.paint(GREEN, "VALID"), claimed.len())?;
            console.out.write_all(render::text(&claimed, paint).as_bytes())?;
        }
    }
    writeln!(console.out, "revocation  {revocation}\nproof       {proof}")?;
    Ok(exit)
}

fn key_set(path: &std::path::Path) -> Result<KeySet, Failure> {
    let what = || format!("the keys `{}`", path.display());
    let text = fs::read_to_string(path).map_err(|source| Failure::Read { what: what(), source })?;
    KeySet::from_text(&text).map_err(|error| Failure::Ledger(format!("{}: {error}", what())))
}

fn check_proof(
    leaf: &VerifiedLeaf,
    proof: &str,
    call: &CallArgs,
    console: &mut Console<'_>,
) -> Result<Result<(), TokenError>, Failure> {
    let missing = || Failure::Usage("a proof is for one call: name it with `--tool` and `--args`".to_owned());
    let tool = call.tool.as_deref().ok_or_else(missing)?;
    let digest = call.digest(console)?;
    let request = ProofRequest { tool, args: &digest, audience: call.audience.as_deref() };
    Ok(leaf.check_proof(proof, &request, now(), &mut ReplayWindow::new(1)).map(|_| ()))
}
