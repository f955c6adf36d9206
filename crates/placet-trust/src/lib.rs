//! Credentials, budgets and approvals: state machines over the operations of the ledger.
//!
//! Nothing here opens a file, asks a clock or starts a thread. A caller proposes a [`Record`](placet_types::Record)
//! with operations; [`State::admit`] checks their preconditions and applies them, all or none. The same function
//! replays a log into the state it stands for, so that rows in a database are never more than a cache.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod approvals;
pub mod budgets;
mod canonical;
pub mod credentials;
mod ledger;
pub mod memory;
pub mod sessions;
mod state;

pub use ledger::{
    Fallback, Freshness, Ledger, LedgerError, Personal, Proposal, Recalled, Receipt, TenantKey, Vault, View,
};
pub use state::{Refusal, State, StateKey, StateRow};
