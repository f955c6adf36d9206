//! `POST /v1/approvals/{id}/approve`, `/deny` and `/claim`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use placet::ReviewerGroup;
use placet::channels::{ApprovalId, ApproverId, Micros, RecordId};
use placet::record::ledger::{ApprovalClaim, ApprovalEntry, Vote, VoteStrength};
use placet::trust::Freshness;
use placet::trust::approvals::notices::MAX_CLAIM_SECONDS;
use placet::trust::approvals::{Approval, ApprovalError, Approvals};
use serde::Deserialize;

use super::input::{Id, Object, body};
use super::{refused, standing, view};
use crate::auth::Reviewer;
use crate::conditions::Tags;
use crate::problem::Problem;
use crate::shared::Shared;

/// The most characters of a reason.
const MAX_REASON_CHARS: usize = 2_000;

/// How long a claim lasts when nobody says.
const DEFAULT_CLAIM_SECONDS: u32 = 900;

/// An answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// Why, in the reviewer's words.
    #[serde(default, alias = "notes")]
    reason: Option<String>,
    /// The reviewer's signature, for a vote of strength `signed`.
    #[serde(default)]
    signed: Option<Object<Signed>>,
}

/// What was signed elsewhere, with the key of the reviewer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    /// When it was signed, in microseconds since 1970.
    at_us: i64,
    /// The signature in base64.
    signature: String,
    /// The id of the key; all of the reviewer's keys are tried without it.
    #[serde(default)]
    key: Option<String>,
}

/// A claim.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// For how long.
    #[serde(default)]
    seconds: Option<u32>,
    /// Gives it back.
    #[serde(default)]
    release: bool,
}

pub(super) async fn approve(
    State(shared): State<Arc<Shared>>,
    who: Reviewer,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    answer(shared, who, id, true, request).await
}

pub(super) async fn deny(
    State(shared): State<Arc<Shared>>,
    who: Reviewer,
    id: Id,
    request: Request,
) -> Result<Response, Problem> {
    answer(shared, who, id, false, request).await
}

async fn answer(
    shared: Arc<Shared>,
    Reviewer(who): Reviewer,
    Id(id): Id,
    yes: bool,
    request: Request,
) -> Result<Response, Problem> {
    let tags = Tags::if_match(request.headers())?;
    let answer: Answer = body(&shared, request).await?;
    let length = answer.reason.as_deref().map_or(0, |reason| reason.chars().count());
    if length > MAX_REASON_CHARS {
        let text =
            format!("the reason has {length} characters; the limit is {MAX_REASON_CHARS}, so shorten it");
        return Err(Problem::unprocessable(text));
    }
    let done = shared.blocking(move |shared| shared.vote(&id, &who, yes, &answer, tags.as_ref()));
    let (after, now) = done.await??;
    Ok(standing(&after, now))
}

pub(super) async fn claim(
    State(shared): State<Arc<Shared>>,
    Reviewer(who): Reviewer,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let tags = Tags::if_match(request.headers())?;
    let claim: Claim = body(&shared, request).await?;
    let seconds = match (claim.release, claim.seconds) {
        (true, None) => 0,
        (false, None) => DEFAULT_CLAIM_SECONDS,
        (false, Some(seconds)) if (1..=MAX_CLAIM_SECONDS).contains(&seconds) => seconds,
        (true, Some(_)) => {
            return Err(Problem::unprocessable(
                "a claim is given back or lasts; send `release` or `seconds`",
            ));
        }
        (false, Some(seconds)) => {
            let text = format!("`seconds` is {seconds}; a claim lasts from 1 to {MAX_CLAIM_SECONDS} s");
            return Err(Problem::unprocessable(text));
        }
    };
    let done = shared.blocking(move |shared| shared.claim(&id, &who, seconds, tags.as_ref()));
    let (after, now) = done.await??;
    Ok(standing(&after, now))
}

impl Shared {
    fn vote(
        &self,
        id: &ApprovalId,
        who: &ApproverId,
        yes: bool,
        answer: &Answer,
        tags: Option<&Tags>,
    ) -> Result<(Approval, Micros), Problem> {
        let now = self.service.host.now();
        let (approval, vote) = self.examined(id, now, |approvals, approval| {
            let groups = approvals.reviewers().groups_of(who);
            let vote = self.ballot(
                &approval.entry,
                who,
                groups,
                yes,
                answer.signed.as_ref().map(|Object(signed)| signed),
                now,
            );
            approvals.check_vote(&vote, now).map(|()| vote)
        })?;
        if yes {
            let shown = self.questions.of(self.service.ledger.as_ref(), &approval.entry)?;
            if let Err(problem) = shown {
                let detail = format!("nobody can approve `{id}`: {problem}");
                return Err(Problem::new(StatusCode::CONFLICT, "not_shown", detail));
            }
        }
        unless_stale(&approval, now, tags)?;
        let strength = vote.strength;
        let after = self.queue().vote(vote, answer.reason.as_deref());
        let after = after.map_err(|error| self.lost(error, approval))?;
        let word = if yes { "yes" } else { "no" };
        self.say(&format!("`{id}`: {word} of {who} ({strength}); it is {}", after.state));
        Ok((after, self.service.host.now()))
    }

    fn claim(
        &self,
        id: &ApprovalId,
        who: &ApproverId,
        seconds: u32,
        tags: Option<&Tags>,
    ) -> Result<(Approval, Micros), Problem> {
        let now = self.service.host.now();
        let claim =
            ApprovalClaim { approval: id.clone(), by: who.clone(), until_us: now.plus_seconds(seconds) };
        let (approval, ()) = self.examined(id, now, |approvals, _| approvals.check_claim(&claim, now))?;
        unless_stale(&approval, now, tags)?;
        let queue = self.queue();
        let after = match seconds {
            0 => queue.release(id, who),
            _ => queue.claim(id, who, Duration::from_secs(u64::from(seconds))),
        };
        let after = after.map_err(|error| self.lost(error, approval))?;
        Ok((after, self.service.host.now()))
    }

    /// The request, once a look at the log has found nothing against what is to be done with it. The ledger examines
    /// it again when it commits: this is for the order in which problems are told.
    fn examined<T>(
        &self,
        id: &ApprovalId,
        now: Micros,
        examine: impl Fn(&Approvals, &Approval) -> Result<T, ApprovalError>,
    ) -> Result<(Approval, T), Problem> {
        let mut found = None;
        self.service.ledger.read(Freshness::Now, &mut |state| {
            let approval = state.approvals.get(id);
            found = approval.map(|approval| (approval.clone(), examine(&state.approvals, approval)));
        })?;
        let (approval, examined) = found.ok_or_else(|| Problem::unknown(&id.0))?;
        match examined {
            Ok(done) => Ok((approval, done)),
            Err(error) => Err(refused::of(&error, &approval, now)),
        }
    }

    /// What was refused at the last moment, with the request as it stands now.
    fn lost(&self, error: placet::trust::approvals::queue::QueueError, before: Approval) -> Problem {
        let now_is = self.queue().get(&before.entry.id).ok().flatten().unwrap_or(before);
        refused::problem(error, &now_is, self.service.host.now())
    }

    fn ballot(
        &self,
        entry: &ApprovalEntry,
        who: &ApproverId,
        groups: Vec<ReviewerGroup>,
        approve: bool,
        signed: Option<&Signed>,
        now: Micros,
    ) -> Vote {
        Vote {
            approval: entry.id.clone(),
            digest: entry.digest,
            approver: who.clone(),
            groups,
            approve,
            strength: signed.map_or(VoteStrength::Session, |_| VoteStrength::Signed),
            channel: "api".into(),
            at_us: signed.map_or(now, |signed| Micros(signed.at_us)),
            record: RecordId::from(self.service.host.new_id()),
            signature: signed.map(|signed| signed.signature.as_str().into()),
            key: signed.and_then(|signed| signed.key.as_deref()).map(Into::into),
        }
    }
}

/// Refuses who has seen another state of the request. Looked at last: a condition only ever stops what would be done.
fn unless_stale(approval: &Approval, now: Micros, tags: Option<&Tags>) -> Result<(), Problem> {
    let (body, tag) = view::tagged(approval, now);
    if tags.is_none_or(|tags| tags.strongly(&tag)) {
        return Ok(());
    }
    let detail =
        format!("`{}` has changed since you read it; look at it again, then answer", approval.entry.id);
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail).with("approval", body))
}
