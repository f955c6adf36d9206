//! `GET /v1/approvals/{id}`: exactly what would run, now or once it was decided.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use placet::channels::{ApprovalId, ApprovalState, ApproverId, Micros};
use placet::trust::Freshness;
use placet::trust::approvals::Approval;
use placet::trust::approvals::display::Checked;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::input::{Asked, Id, duration};
use super::{refused, tagged, view};
use crate::auth::Reviewer;
use crate::conditions::Tags;
use crate::problem::Problem;
use crate::shared::Shared;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookQuery {
    wait: Option<String>,
}

/// A request at a moment, for one who may see it.
struct Seen {
    approval: Approval,
    now: Micros,
    shown: Result<Arc<Checked>, String>,
}

pub(super) async fn look(
    State(shared): State<Arc<Shared>>,
    Reviewer(who): Reviewer,
    Id(id): Id,
    Asked(query): Asked<LookQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = Tags::if_none_match(&headers)?;
    let wait =
        query.wait.as_deref().map(|text| duration(text, shared.service.limits.wait_time)).transpose()?;
    let seen = match wait {
        None => seen(&shared, &id, &who).await?,
        Some(wait) => wait_for(&shared, &id, &who, wait, known.as_ref()).await?,
    };
    let (mut body, tag) = view::tagged(&seen.approval, seen.now);
    if known.is_some_and(|known| known.weakly(&tag)) {
        let mut response = tagged(&Value::Null, &tag);
        *response.body_mut() = axum::body::Body::empty();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        return Ok(response);
    }
    if let Some(map) = body.as_object_mut() {
        map.insert("would_run".to_owned(), would_run(&seen));
    }
    Ok(tagged(&body, &tag).into_response())
}

/// The text, with everything by which a client can check it and the digest anew.
fn would_run(seen: &Seen) -> Value {
    match &seen.shown {
        Ok(shown) => json!({
            "text": shown.text,
            "checked": true,
            "salt": shown.salt,
            "subject": shown.subject,
            "entry": seen.approval.entry,
        }),
        Err(problem) => json!({ "text": null, "checked": false, "problem": problem }),
    }
}

async fn seen(shared: &Arc<Shared>, id: &ApprovalId, who: &ApproverId) -> Result<Seen, Problem> {
    let (id, who) = (id.clone(), who.clone());
    shared.blocking(move |shared| shared.seen(&id, &who)).await?
}

impl Shared {
    fn seen(&self, id: &ApprovalId, who: &ApproverId) -> Result<Seen, Problem> {
        let now = self.service.host.now();
        let mut found = None;
        self.service.ledger.read(Freshness::Now, &mut |state| {
            let groups = state.approvals.reviewers().groups_of(who);
            found = state.approvals.get(id).map(|approval| (approval.clone(), groups));
        })?;
        let (approval, groups) = found.ok_or_else(|| Problem::unknown(&id.0))?;
        refused::unless_may_see(&approval.entry, who, &groups)?;
        let shown = self.questions.of(self.service.ledger.as_ref(), &approval.entry)?;
        Ok(Seen { approval, now, shown })
    }
}

/// Waits until the request is decided or ended, or no longer has the tag that the client knows, or the time is over.
async fn wait_for(
    shared: &Arc<Shared>,
    id: &ApprovalId,
    who: &ApproverId,
    wait: Duration,
    known: Option<&Tags>,
) -> Result<Seen, Problem> {
    let until = Instant::now() + wait;
    let Ok(_room) = shared.waiting.try_acquire() else {
        let most = shared.service.limits.waiting;
        let detail =
            format!("{most} requests already wait for decisions, the limit; ask without `wait`, or later");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_waiting", detail);
        return Err(problem.header(header::RETRY_AFTER, "1"));
    };
    let (mut news, mut ending) = (shared.news.clone(), shared.ending.clone());
    loop {
        // Marked before the look, so that what comes between the two ends the wait.
        news.mark_unchanged();
        let seen = seen(shared, id, who).await?;
        let waits = seen.approval.state_at(seen.now) == ApprovalState::Pending;
        let is_news = known.is_some_and(|known| !known.weakly(&view::tagged(&seen.approval, seen.now).1));
        if !waits || is_news || Instant::now() >= until || *ending.borrow_and_update() {
            return Ok(seen);
        }
        let next = next_change(&seen).map_or(until, |left| until.min(Instant::now() + left));
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return Ok(seen) },
            _ = ending.changed() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// After how long time itself changes the request.
fn next_change(seen: &Seen) -> Option<Duration> {
    let entry = &seen.approval.entry;
    let escalates = entry.escalate.as_ref().map(|further| further.at_us);
    let claimed = seen.approval.claimed(seen.now).map(|claim| claim.until_us);
    let moments = [Some(entry.expires_us), entry.due_us, escalates, claimed];
    let next = moments.into_iter().flatten().filter(|at| *at > seen.now).min()?;
    Some(Duration::from_micros(next.0.saturating_sub(seen.now.0).unsigned_abs()))
}
