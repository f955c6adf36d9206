//! The words by which people filter: those of this release, and those of older audit logs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::str::FromStr;

use placet_types::RiskTier;

/// A text that is none of the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {accepted}")]
pub struct WordError {
    /// What was given.
    pub given: String,
    /// What is accepted.
    pub accepted: String,
}

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $word_doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $word_doc])+ $variant,)+ }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let found = Self::ALL.iter().find(|one| one.word().eq_ignore_ascii_case(text.trim()));
                found.copied().ok_or_else(|| unknown(text, Self::ALL.iter().map(|one| one.word())))
            }
        }
    };
}

words! {
    /// What became of the call.
    Status {
        /// It returned.
        Success = "success",
        /// It raised.
        Failed = "failed",
        /// It was cancelled; what it did by then is unknown.
        Cancelled = "cancelled",
        /// Its permit was given back unspent.
        NotStarted = "not_started",
        /// It was allowed, and no outcome is known.
        Unknown = "unknown",
        /// It was refused.
        Blocked = "blocked",
        /// A person refused it.
        Denied = "denied",
        /// A person has to decide.
        Pending = "pending",
    }
}

words! {
    /// How it was decided.
    Outcome {
        /// Policies allowed it.
        Allowed = "allowed",
        /// A hard deny.
        Blocked = "blocked",
        /// A soft deny.
        SoftDenied = "soft_denied",
        /// A person was asked.
        HitlQueued = "hitl_queued",
        /// A person allowed it.
        HitlApproved = "hitl_approved",
        /// A person refused it.
        HitlDenied = "hitl_denied",
    }
}

words! {
    /// The four risk levels that risk tiers fall into.
    Level {
        /// Informational.
        Low = "LOW",
        /// Operational and small transactions.
        Medium = "MEDIUM",
        /// Large transactions and destructive acts.
        High = "HIGH",
        /// Critical to security.
        Critical = "CRITICAL",
    }
}

impl Level {
    /// The level of a tier.
    #[must_use]
    pub fn of(tier: RiskTier) -> Self {
        match tier {
            RiskTier::Informational => Self::Low,
            RiskTier::Operational | RiskTier::TransactionalLow => Self::Medium,
            RiskTier::TransactionalHigh | RiskTier::Destructive => Self::High,
            RiskTier::SecurityCritical => Self::Critical,
        }
    }

    /// The tiers that a word names: one tier, or those of a level.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn tiers(text: &str) -> Result<Vec<RiskTier>, WordError> {
        let given = text.trim();
        if let Some(tier) = RiskTier::ALL.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(given)) {
            return Ok(vec![tier]);
        }
        match given.parse::<Self>() {
            Ok(level) => Ok(RiskTier::ALL.into_iter().filter(|tier| Self::of(*tier) == level).collect()),
            Err(_) => {
                let levels = Self::ALL.iter().map(|level| level.word());
                Err(unknown(text, levels.chain(RiskTier::ALL.iter().map(|tier| tier.name()))))
            }
        }
    }
}

fn unknown<'a>(given: &str, accepted: impl Iterator<Item = &'a str>) -> WordError {
    WordError { given: given.to_owned(), accepted: accepted.collect::<Vec<_>>().join(", ") }
}
