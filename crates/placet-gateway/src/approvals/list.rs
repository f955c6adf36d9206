//! `GET /v1/approvals`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use placet::channels::{ApprovalState, Micros};
use placet::trust::Freshness;
use placet::trust::approvals::{Approval, Approvals};
use serde::Deserialize;
use serde_json::json;

use super::input::Asked;
use super::{json as json_response, view};
use crate::auth::Reviewer;
use crate::problem::Problem;
use crate::shared::Shared;

/// How many requests a page has when nobody says.
const DEFAULT_LIMIT: usize = 50;

/// How many requests a page has at most.
const MAX_LIMIT: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    session: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Which requests.
#[derive(Debug)]
struct Page {
    /// `None` for all.
    state: Option<ApprovalState>,
    session: Option<String>,
    limit: usize,
    /// Only those asked later than this one.
    after: Option<u64>,
}

/// The requests, oldest first, a page at a time.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    _: Reviewer,
    Asked(query): Asked<ListQuery>,
) -> Result<Response, Problem> {
    let page = Page::of(query)?;
    let body = shared.blocking(move |shared| {
        let now = shared.service.host.now();
        let mut found = Vec::new();
        shared
            .service
            .ledger
            .read(Freshness::Now, &mut |state| found = page.of_state(&state.approvals, now))?;
        let more = found.len() > page.limit;
        found.truncate(page.limit);
        let next = found.last().filter(|_| more).map(|last| last.order.to_string());
        let approvals: Vec<_> = found.iter().map(|approval| view::tagged(approval, now).0).collect();
        Ok::<_, Problem>(json!({ "approvals": approvals, "next_cursor": next }))
    });
    Ok(json_response(&body.await??))
}

impl Page {
    fn of(query: ListQuery) -> Result<Self, Problem> {
        let state = match query.state.as_deref().unwrap_or("pending") {
            "all" => None,
            word => Some(state(word)?),
        };
        let limit = match &query.limit {
            None => DEFAULT_LIMIT,
            Some(text) => number(text).filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                Problem::malformed(format!("`limit={text}` is no whole number from 1 to {MAX_LIMIT}"))
            })?,
        };
        let after = query.cursor.as_deref().map(|text| {
            let wrong =
                || Problem::malformed("the cursor is none; send `next_cursor` of the page before as it came");
            number(text).and_then(|after| u64::try_from(after).ok()).ok_or_else(wrong)
        });
        Ok(Self { state, session: query.session, limit, after: after.transpose()? })
    }

    /// One more than the page has, so that it is known whether there is another.
    fn of_state(&self, approvals: &Approvals, now: Micros) -> Vec<Approval> {
        let wanted = |approval: &&Approval| {
            self.after.is_none_or(|after| approval.order > after)
                && self.state.is_none_or(|state| approval.state_at(now) == state)
                && self
                    .session
                    .as_ref()
                    .is_none_or(|session| approval.entry.session.as_deref() == Some(session))
        };
        if self.state == Some(ApprovalState::Pending) {
            return approvals.pending(now).filter(wanted).take(self.limit + 1).cloned().collect();
        }
        let mut found: Vec<&Approval> = approvals.iter().filter(wanted).collect();
        found.sort_unstable_by_key(|approval| approval.order);
        found.into_iter().take(self.limit + 1).cloned().collect()
    }
}

fn state(word: &str) -> Result<ApprovalState, Problem> {
    let known: Result<ApprovalState, serde_json::Error> = serde_json::from_value(word.into());
    known.map_err(|_| {
        let all = "`pending`, `approved`, `denied`, `expired`, `cancelled`, `consumed` or `all`";
        Problem::malformed(format!("`state={word}` is none; ask for {all}"))
    })
}

/// Digits only.
fn number(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
