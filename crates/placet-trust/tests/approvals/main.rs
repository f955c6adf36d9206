//! Approvals over a ledger that really admits records.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod answers;
mod common;
mod digest;
mod display;
mod notices;
mod queue;
mod sla;
mod state;
mod votes;
