//! The plain data of Placet: values, events, decisions, risk tiers, records, ledger operations.
//!
//! Nothing here decides, stores, hashes or talks to anything. One concept has one type, and storage, wire,
//! Python and screens derive from it.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod decision;
pub mod event;
pub mod ids;
pub mod json;
pub mod ledger;
pub mod memory;
pub mod process;
pub mod record;
pub mod schema;
pub mod value;

pub use decision::{
    Decision, DecisionId, DenyCause, Identity, InputSeen, ParseRiskTierError, ReviewerGroup, RiskTier,
    RuleRef, Tier, TraceStep, Verdict,
};
pub use event::{Event, Field};
pub use ids::{ApprovalId, ApproverId, CredentialId, Digest, Micros, RecordId, ReservationId};
pub use json::JsonError;
pub use ledger::LedgerOp;
pub use record::{Ack, Fact, Record};
pub use value::{Object, UnknownLeaf, Value};
