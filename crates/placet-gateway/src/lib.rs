//! The HTTP service of Placet: people answer requests for approval, and programs read metrics.
//!
//! It decides no policy and holds no state: every request reads the ledger, and an answer counts only once it is a
//! vote or a claim that the ledger admitted, under the same rules as one given on the command line. It serves no TLS
//! and no pages, and lets no other web site's script in (it sends no CORS header).
//!
//! Who asks is known by a bearer token from the configuration, kept here as its SHA-256. What waits for the ledger
//! runs on threads of its own, never on those that serve connections. The service opens the ledger and keeps its time:
//! it reminds, escalates and records breaches while it runs.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod approvals;
mod auth;
mod conditions;
mod headers;
mod health;
mod moment;
mod problem;
mod pulse;
mod questions;
mod serve;
mod shared;

pub use auth::{TokenError, Tokens};
pub use serve::{DEFAULT_LISTEN, ServeError, Server};
pub use shared::{Limits, Service};
