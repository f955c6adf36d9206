//! What a request shows, held against its digests before anybody sees it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::trust::approvals::{Approval, display};
use placet_store::query::each;

use crate::failure::Failure;
use crate::log::{self, Log};

/// What is shown of a request.
pub(super) struct Shown {
    /// The text, or why there is none that can be trusted.
    pub(super) text: Result<String, String>,
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
        return Ok(Shown { text: Err("the decision that asked is not in the ledger".to_owned()), seq: None });
    };
    let seq = Some(stored.seq);
    if stored.view_edited {
        let edited = "what it shows was edited; run `placet audit verify`".to_owned();
        return Ok(Shown { text: Err(edited), seq });
    }
    let checked = display::checked(stored.view().as_ref(), &approval.entry);
    Ok(Shown { text: checked.map(|checked| checked.text).map_err(|error| error.to_string()), seq })
}
