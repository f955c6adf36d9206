//! Why an answer did not count, as a problem.
// SPDX-License-Identifier: MIT OR Apache-2.0

use axum::http::StatusCode;
use placet::ReviewerGroup;
use placet::channels::{ApprovalState, ApproverId, Micros};
use placet::record::ledger::ApprovalEntry;
use placet::trust::approvals::queue::QueueError;
use placet::trust::approvals::{Approval, ApprovalError};
use serde_json::json;

use super::view;
use crate::problem::Problem;

/// Refuses those who may answer the request at no time: what would run is none of their business.
pub(super) fn unless_may_see(
    entry: &ApprovalEntry,
    who: &ApproverId,
    groups: &[ReviewerGroup],
) -> Result<(), Problem> {
    let mut wanted = view::may_answer(entry, entry.expires_us);
    if wanted.is_empty() || groups.iter().any(|group| wanted.contains(group)) {
        return Ok(());
    }
    wanted.dedup();
    let names: Vec<String> = wanted.iter().map(|group| format!("`{group}`")).collect();
    let detail =
        format!("`{who}` is no reviewer of `{}`; it is for members of {}", entry.id, names.join(" or "));
    Err(Problem::new(StatusCode::FORBIDDEN, "not_reviewer", detail).with("needed_groups", json!(wanted)))
}

/// What the ledger or the request refused.
pub(super) fn problem(error: QueueError, approval: &Approval, now: Micros) -> Problem {
    match error {
        QueueError::Approval(error) => of(&error, approval, now),
        QueueError::Ledger(error) => error.into(),
        other => Problem::new(StatusCode::CONFLICT, "refused", other.to_string()),
    }
}

/// What the request refused; `approval` as it stands now.
pub(super) fn of(error: &ApprovalError, approval: &Approval, now: Micros) -> Problem {
    let entry = &approval.entry;
    let conflict = |code, detail: String| {
        let problem = Problem::new(StatusCode::CONFLICT, code, detail);
        problem.with("decision", view::decision(approval)).with("approval", view::tagged(approval, now).0)
    };
    let forbidden = |code| Problem::new(StatusCode::FORBIDDEN, code, error.to_string());
    match error {
        ApprovalError::Unknown(id) => Problem::unknown(&id.0),
        ApprovalError::State { .. } | ApprovalError::Expired { .. } => ended(approval, now),
        ApprovalError::Claimed { .. } => conflict("claimed", error.to_string()),
        ApprovalError::Repeated { .. } => conflict("already_answered", error.to_string()),
        ApprovalError::NotReviewer { .. } => {
            forbidden("not_reviewer").with("needed_groups", json!(view::may_answer(entry, now)))
        }
        ApprovalError::Requester { .. } => forbidden("requester"),
        ApprovalError::TooWeak { needed, .. } => {
            let text = "sign it, and send the signature under `signed`";
            let detail = format!("{error}; {text}");
            Problem::new(StatusCode::FORBIDDEN, "too_weak", detail).with("needed_strength", json!(needed))
        }
        ApprovalError::Signature { .. } => forbidden("bad_signature"),
        ApprovalError::Malformed { .. } => Problem::unprocessable(error.to_string()),
        other => conflict("refused", other.to_string()),
    }
}

/// A request that takes no more answers.
fn ended(approval: &Approval, now: Micros) -> Problem {
    let id = &approval.entry.id;
    let by = approval.decided.as_ref().map(|decided| format!(" by `{}`", decided.by)).unwrap_or_default();
    let state = approval.state_at(now);
    let (status, code, detail) = match state {
        ApprovalState::Cancelled => {
            (StatusCode::GONE, "withdrawn", format!("`{id}` was taken back; nothing waits for it"))
        }
        ApprovalState::Expired => {
            (StatusCode::GONE, "expired", format!("`{id}` expired; the agent has to ask anew"))
        }
        ApprovalState::Consumed => {
            let text = format!("`{id}` was approved{by}, and what it allowed has begun");
            (StatusCode::CONFLICT, "already_decided", text)
        }
        _ => {
            let text = format!("`{id}` is {state}{by}; the first decision counts");
            (StatusCode::CONFLICT, "already_decided", text)
        }
    };
    let problem = Problem::new(status, code, detail);
    problem.with("decision", view::decision(approval)).with("approval", view::tagged(approval, now).0)
}
