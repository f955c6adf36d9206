//! What happens to requests besides being answered: who works on them, what time does, who was told.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ApprovalId, ApproverId, Micros};

/// Something that happened to a request and of which people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalEvent {
    /// People were asked.
    Asked,
    /// Its reviewers are reminded.
    Reminded,
    /// A further group may answer too.
    Escalated,
    /// An answer is overdue.
    Breached,
    /// Enough people said yes, or one said no.
    Decided,
    /// It ended without use.
    Ended,
}

impl ApprovalEvent {
    /// Its word in records and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Reminded => "reminded",
            Self::Escalated => "escalated",
            Self::Breached => "breached",
            Self::Decided => "decided",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for ApprovalEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A person works on a request: until then nobody else can say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalClaim {
    /// Which request.
    pub approval: ApprovalId,
    /// Who.
    pub by: ApproverId,
    /// Until when; a moment that is past gives it back.
    pub until_us: Micros,
}

/// What time did to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalMark {
    /// Which request.
    pub approval: ApprovalId,
    /// What: `reminded`, `escalated` or `breached`.
    pub event: ApprovalEvent,
    /// When, by the terms of the request.
    pub at_us: Micros,
}

/// A channel was told of something, or is about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalTold {
    /// Which request.
    pub approval: ApprovalId,
    /// What had happened.
    pub event: ApprovalEvent,
    /// The name of the channel.
    pub channel: Arc<str>,
    /// Absent once it was told. Until this moment somebody tells it, and nobody else needs to; one that is past says
    /// that they failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<Micros>,
}
