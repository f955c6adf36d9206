//! `placet approvals sign`: an answer signed here, for a service elsewhere.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use placet::record::ids::ApproverId;
use placet::record::ledger::ApprovalEntry;
use placet::trust::approvals::queue::Host;
use placet::trust::approvals::{Ballot, display};
use serde_json::{Map, Value, json};

use super::{Process, key};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::paint::visible;

/// What is signed.
#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The answer
    #[arg(value_enum)]
    answer: Answer,
    /// The request as `GET /v1/approvals/{id}` shows it: JSON text, a file, or `-`
    #[arg(default_value = "-")]
    request: String,
    /// Who answers
    #[arg(long, value_name = "NAME")]
    by: String,
    /// The key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Why; the reason itself is not signed
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// Yes
    Approve,
    /// No
    Deny,
}

/// Checks that the text shown is the one that the digest covers, shows it, and prints the body to send.
pub(super) fn run(args: &SignArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let key = key::read(&args.key)?;
    let input = Input::read(&args.request, console)?;
    let wrong = |problem: String| {
        let advice = "give it the answer of `GET /v1/approvals/{id}` as it came";
        Failure::Usage(format!("{} is no request for approval: {problem}; {advice}", input.origin))
    };
    let shown: Value = serde_json::from_slice(&input.bytes).map_err(|error| wrong(error.to_string()))?;
    let shown = shown.get("would_run").filter(|shown| shown.is_object());
    let shown = shown.ok_or_else(|| wrong("it has no `would_run`".to_owned()))?;
    if let Some(problem) = shown.get("problem").and_then(Value::as_str) {
        return Err(Failure::Negative(format!("nobody can say yes to it: {problem}")));
    }
    let entry: ApprovalEntry = serde_json::from_value(shown.get("entry").cloned().unwrap_or_default())
        .map_err(|error| wrong(error.to_string()))?;
    let view = Map::from_iter([("approval".to_owned(), shown.clone())]);
    let checked = display::checked(Some(&view), &entry)
        .map_err(|problem| Failure::Negative(format!("`{}` is not signed: {problem}", entry.id)))?;
    console.say(visible(&checked.text).trim_end());
    let (approver, at) = (ApproverId::from(args.by.as_str()), Process.now());
    let ballot = Ballot {
        approval: &entry.id,
        digest: &entry.digest,
        approve: args.answer == Answer::Approve,
        approver: &approver,
        issued_us: at,
        expires_us: entry.expires_us,
    };
    let (signature, id) = ballot.sign(&key);
    let mut body = json!({ "signed": { "at_us": at, "signature": signature, "key": id } });
    if let (Some(map), Some(reason)) = (body.as_object_mut(), &args.reason) {
        map.insert("reason".to_owned(), reason.as_str().into());
    }
    console.json(&body)?;
    Ok(Exit::Ok)
}
