//! What a request shows, held against its digests before anybody sees it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::record::ids::Digest;
use placet::trust::approvals::{Approval, ApprovalSubject, display};
use placet_store::query::each;
use serde_json::Value;

use crate::failure::Failure;
use crate::log::{self, Log};

/// What is shown of a request.
pub(super) struct Shown {
    /// The text, or why there is none that can be trusted.
    pub(super) text: Result<String, &'static str>,
    /// The position of the decision that asked.
    pub(super) seq: Option<u64>,
}

/// Finds what the request shows, and checks it against the digests in the request.
pub(super) fn of(approval: &Approval, log: &Log) -> Result<Shown, Failure> {
    let mut found = None;
    let read = each(log.open()?.as_mut(), |stored| {
        if stored.record.id == approval.entry.decision {
            found = Some(stored);
        }
        found.is_none()
    });
    read.map_err(|error| log::unreadable(&error))?;
    let Some(stored) = found else {
        return Ok(Shown { text: Err("the decision that asked is not in the ledger"), seq: None });
    };
    let seq = Some(stored.seq);
    if stored.view_edited {
        return Ok(Shown { text: Err("what it shows was edited; run `placet audit verify`"), seq });
    }
    let question = stored.view().and_then(|mut view| view.remove("approval"));
    let text = question.ok_or("what it shows was erased").and_then(|question| check(&question, approval));
    Ok(Shown { text, seq })
}

fn check(question: &Value, approval: &Approval) -> Result<String, &'static str> {
    let member = |name: &str| question.get(name).and_then(Value::as_str);
    let (Some(text), Some(salt)) =
        (member("text"), member("salt").and_then(|salt| salt.parse::<Digest>().ok()))
    else {
        return Err("what it shows was erased");
    };
    if display::digest(&salt, text) != approval.entry.displayed {
        return Err("what it shows is not what was asked; run `placet audit verify`");
    }
    let subject = question.get("subject").cloned().map(serde_json::from_value::<ApprovalSubject>);
    match subject {
        Some(Ok(subject)) if subject.is_of(&approval.entry) => Ok(text.to_owned()),
        _ => Err("the call that it describes is not the one that was asked; run `placet audit verify`"),
    }
}
