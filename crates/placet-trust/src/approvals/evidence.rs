//! Votes are evidence: who may vote, and whether the votes add up.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey};
use placet_types::decision::ReviewerGroup;
use placet_types::ledger::{ApprovalEntry, Quorum, Vote, VoteStrength};
use placet_types::{ApprovalId, ApproverId, Digest, Micros};

use super::encoding::Fields;
use super::error::ApprovalError;
use super::reviewers::{Reviewers, folded, key_id};
use super::{Approval, Cast};

/// What a person signs: everything that the vote means, bound to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot<'a> {
    /// Which request.
    pub approval: &'a ApprovalId,
    /// The digest of what is approved.
    pub digest: &'a Digest,
    /// Whether it is a yes.
    pub approve: bool,
    /// Who votes.
    pub approver: &'a ApproverId,
    /// When it is given.
    pub issued_us: Micros,
    /// From when on the request is dead.
    pub expires_us: Micros,
}

impl<'a> Ballot<'a> {
    /// The ballot of a vote on a request.
    #[must_use]
    pub fn of(entry: &'a ApprovalEntry, vote: &'a Vote) -> Self {
        Self {
            approval: &vote.approval,
            digest: &vote.digest,
            approve: vote.approve,
            approver: &vote.approver,
            issued_us: vote.at_us,
            expires_us: entry.expires_us,
        }
    }

    /// The bytes that are signed: `placet.approval.vote.v1`, id, digest, verdict, approver, issued, expiry, each
    /// text with its length (8 bytes, big-endian) before it and each moment as 8 bytes, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = Fields::of("placet.approval.vote.v1");
        fields.text(&self.approval.0);
        fields.digest(self.digest);
        fields.text(if self.approve { "approve" } else { "deny" });
        fields.text(&self.approver.0);
        fields.moment(self.issued_us);
        fields.moment(self.expires_us);
        fields.as_bytes().to_vec()
    }

    /// Signs it: the signature in base64 and the id of the key, as a [`Vote`] holds them.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> (std::sync::Arc<str>, std::sync::Arc<str>) {
        let signature = BASE64.encode(&key.sign(&self.to_bytes()).to_bytes());
        (signature.into(), key_id(&key.verifying_key()))
    }
}

/// Checks that a vote may be cast now.
pub(super) fn admissible(
    approval: &Approval,
    vote: &Vote,
    reviewers: &Reviewers,
    at: Micros,
) -> Result<(), ApprovalError> {
    let entry = &approval.entry;
    if vote.at_us >= entry.expires_us {
        return Err(ApprovalError::Expired { id: entry.id.clone(), expires_us: entry.expires_us });
    }
    let groups = reviewers.groups_of(&vote.approver);
    if vote.groups.iter().any(|claimed| !groups.contains(claimed)) {
        return Err(not_reviewer(entry, &vote.approver));
    }
    valid(entry, vote, &vote.groups, reviewers, at)?;
    let same = |cast: &Cast| {
        cast.vote.approve == vote.approve && folded(&cast.vote.approver.0) == folded(&vote.approver.0)
    };
    if approval.votes.iter().any(same) {
        return Err(ApprovalError::Repeated { id: entry.id.clone(), approver: vote.approver.clone() });
    }
    Ok(())
}

/// Checks that an approval stands on votes that are valid and enough under the reviewers configured now.
///
/// The rows and the state say `approved`; this recounts from the votes themselves: each is for this digest, by
/// somebody who may answer and did not ask, strong enough, and signed where it claims to be.
///
/// # Errors
/// The first thing that does not hold.
pub fn evidence(approval: &Approval, reviewers: &Reviewers) -> Result<(), ApprovalError> {
    let entry = &approval.entry;
    let mut counted = Vec::new();
    let mut problem = None;
    for cast in &approval.votes {
        let groups = reviewers.groups_of(&cast.vote.approver);
        match valid(entry, &cast.vote, &groups, reviewers, cast.recorded_us) {
            // A valid no would have ended the request.
            Ok(()) if !cast.vote.approve => {
                return Err(ApprovalError::State {
                    id: entry.id.clone(),
                    state: placet_types::ledger::ApprovalState::Denied,
                    wanted: placet_types::ledger::ApprovalState::Approved,
                });
            }
            Ok(()) => counted.push((cast, groups)),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    unmet(entry, &counted).map_or(Ok(()), |few| Err(problem.unwrap_or(few)))
}

/// The first quorum that these votes do not meet.
fn unmet(entry: &ApprovalEntry, yes: &[(&Cast, Vec<ReviewerGroup>)]) -> Option<ApprovalError> {
    if entry.quorums.is_empty() {
        return Some(ApprovalError::Malformed { id: entry.id.clone(), problem: "names no quorum; name one" });
    }
    for quorum in &entry.quorums {
        let people: BTreeSet<String> = yes
            .iter()
            .filter(|(cast, groups)| counts(entry, quorum, groups, cast.recorded_us))
            .map(|(cast, _)| folded(&cast.vote.approver.0))
            .collect();
        if people.len() < usize::try_from(quorum.count.max(1)).unwrap_or(usize::MAX) {
            return Some(ApprovalError::TooFew {
                id: entry.id.clone(),
                counted: people.len(),
                needed: quorum.count,
                wanted: wanted(quorum),
            });
        }
    }
    None
}

/// Whether the votes as they were recorded decide the request.
pub(super) fn decides(approval: &Approval) -> bool {
    let yes: Vec<_> = approval
        .votes
        .iter()
        .filter(|cast| cast.vote.approve)
        .map(|cast| (cast, cast.vote.groups.clone()))
        .collect();
    unmet(&approval.entry, &yes).is_none()
}

/// Whether a person of these groups counts for a quorum at that moment.
fn counts(entry: &ApprovalEntry, quorum: &Quorum, groups: &[ReviewerGroup], at: Micros) -> bool {
    let further = entry.escalate.as_ref().filter(|escalation| at >= escalation.at_us);
    quorum.any_of.is_empty()
        || groups.iter().any(|group| quorum.any_of.contains(group))
        || further.is_some_and(|escalation| groups.contains(&escalation.group))
}

/// Checks one vote for itself: right request, right person, strong enough, signature holds.
fn valid(
    entry: &ApprovalEntry,
    vote: &Vote,
    groups: &[ReviewerGroup],
    reviewers: &Reviewers,
    at: Micros,
) -> Result<(), ApprovalError> {
    if vote.approval != entry.id || vote.digest != entry.digest {
        return Err(ApprovalError::OtherCall(entry.id.clone()));
    }
    may_answer(entry, &vote.approver, groups, reviewers, vote.strength, at)?;
    // A no needs less proof than a yes.
    if vote.approve && vote.strength < entry.strength {
        return Err(ApprovalError::TooWeak {
            id: entry.id.clone(),
            given: vote.strength,
            needed: entry.strength,
        });
    }
    signature(entry, vote, reviewers)
}

/// Checks that a person of these groups may answer at that moment.
pub(super) fn may_answer(
    entry: &ApprovalEntry,
    approver: &ApproverId,
    groups: &[ReviewerGroup],
    reviewers: &Reviewers,
    strength: VoteStrength,
    at: Micros,
) -> Result<(), ApprovalError> {
    let name = folded(&approver.0);
    if name.is_empty() {
        return Err(not_reviewer(entry, approver));
    }
    if entry.requesters.iter().any(|requester| folded(requester) == name) {
        return Err(ApprovalError::Requester { id: entry.id.clone(), approver: approver.clone() });
    }
    let unknown_may = reviewers.is_empty() && strength == VoteStrength::Asserted;
    let known = reviewers.knows(approver) || unknown_may;
    if !known || !entry.quorums.iter().any(|quorum| counts(entry, quorum, groups, at)) {
        return Err(not_reviewer(entry, approver));
    }
    Ok(())
}

fn signature(entry: &ApprovalEntry, vote: &Vote, reviewers: &Reviewers) -> Result<(), ApprovalError> {
    let wrong = |problem| {
        Err(ApprovalError::Signature { id: entry.id.clone(), approver: vote.approver.clone(), problem })
    };
    let text = match (&vote.signature, vote.strength) {
        (Some(text), VoteStrength::Signed) => text,
        (None, VoteStrength::Signed) => return wrong("has no signature"),
        (Some(_), _) => return wrong("has a signature but does not claim to be signed"),
        (None, _) => return Ok(()),
    };
    let Some(signature) =
        BASE64.decode(text.as_bytes()).ok().and_then(|bytes| Signature::from_slice(&bytes).ok())
    else {
        return wrong("has a signature that is no base64 of 64 bytes");
    };
    let bytes = Ballot::of(entry, vote).to_bytes();
    let mut keys = reviewers.keys_of(&vote.approver, vote.key.as_ref());
    if keys.any(|key| key.verify_strict(&bytes, &signature).is_ok()) {
        return Ok(());
    }
    wrong("has a signature that no known key made")
}

fn not_reviewer(entry: &ApprovalEntry, approver: &ApproverId) -> ApprovalError {
    let wanted = entry.quorums.iter().map(wanted).collect::<Vec<_>>().join(" and ");
    ApprovalError::NotReviewer { id: entry.id.clone(), approver: approver.clone(), wanted }
}

fn wanted(quorum: &Quorum) -> String {
    let groups: Vec<String> = quorum.any_of.iter().map(|group| format!("`{group}`")).collect();
    if groups.is_empty() { "a known approver".to_owned() } else { groups.join(" or ") }
}
