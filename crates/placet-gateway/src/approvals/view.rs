//! Requests as JSON.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::ReviewerGroup;
use placet::channels::Micros;
use placet::record::ledger::ApprovalEntry;
use placet::trust::approvals::{Approval, Cast};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::moment;

/// How many hexadecimal digits a tag has.
const TAG_DIGITS: usize = 32;

/// A request at a moment, and its tag. The tag changes with everything that somebody who answers must know; whom
/// notices reached is not part of it.
pub(super) fn tagged(approval: &Approval, now: Micros) -> (Value, String) {
    let mut body = body(approval, now);
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(body.to_string().as_bytes()));
    let tag = digest.get(..TAG_DIGITS).unwrap_or(&digest).to_owned();
    if let Some(map) = body.as_object_mut() {
        map.insert("etag".to_owned(), format!("\"{tag}\"").into());
    }
    (body, tag)
}

fn body(approval: &Approval, now: Micros) -> Value {
    let entry = &approval.entry;
    let escalated = entry.escalate.as_ref().is_some_and(|further| now >= further.at_us);
    let claim = approval.claimed(now);
    json!({
        "id": entry.id,
        "state": approval.state_at(now),
        "digest": entry.digest,
        "action": entry.action,
        "tool": entry.tool,
        "session": entry.session,
        "agent": entry.agent,
        "tenant": entry.tenant,
        "risk_tier": entry.risk_tier,
        "rules": entry.rules,
        "policy_version": entry.policy_version,
        "decision_id": entry.decision,
        "ask": entry.quorums.iter().map(|quorum| json!({
            "any_of": quorum.any_of,
            "count": quorum.count,
        })).collect::<Vec<_>>(),
        "may_answer": may_answer(entry, now),
        "strength": entry.strength,
        "asked": moment::text(entry.asked_us),
        "remind": entry.remind_us.and_then(moment::text),
        "due": entry.due_us.and_then(moment::text),
        "breached": approval.is_breached(now),
        "escalate": entry.escalate.as_ref().map(|further| json!({
            "group": further.group,
            "at": moment::text(further.at_us),
        })),
        "escalated": escalated,
        "expires": moment::text(entry.expires_us),
        "claim": claim.map(|claim| json!({ "by": claim.by, "until": moment::text(claim.until_us) })),
        "votes": approval.votes.iter().map(vote).collect::<Vec<_>>(),
        "decision": decision(approval),
        "ended": approval.closed.as_ref().map(|closed| json!({
            "code": closed.code,
            "at": moment::text(closed.at_us),
        })),
        "used": approval.consumed_us.and_then(moment::text),
    })
}

fn vote(cast: &Cast) -> Value {
    let vote = &cast.vote;
    json!({
        "answer": word(vote.approve),
        "by": vote.approver,
        "groups": vote.groups,
        "strength": vote.strength,
        "channel": vote.channel,
        "at": moment::text(cast.recorded_us),
    })
}

/// The vote that decided; `null` while nobody did.
pub(super) fn decision(approval: &Approval) -> Value {
    let Some(decided) = &approval.decided else { return Value::Null };
    let cast = approval.votes.iter().find(|cast| cast.vote.record == decided.record);
    json!({
        "answer": cast.map(|cast| word(cast.vote.approve)),
        "by": decided.by,
        "at": moment::text(decided.at_us),
        "record_id": decided.record,
    })
}

/// The groups of which somebody may answer at a moment; empty means every reviewer.
pub(super) fn may_answer(entry: &ApprovalEntry, now: Micros) -> Vec<ReviewerGroup> {
    if entry.quorums.iter().any(|quorum| quorum.any_of.is_empty()) {
        return Vec::new();
    }
    let mut groups: Vec<_> = entry.quorums.iter().flat_map(|quorum| quorum.any_of.iter().cloned()).collect();
    groups.extend(
        entry.escalate.iter().filter(|further| now >= further.at_us).map(|further| further.group.clone()),
    );
    groups.sort();
    groups.dedup();
    groups
}

fn word(approve: bool) -> &'static str {
    if approve { "approve" } else { "deny" }
}
