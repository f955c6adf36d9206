//! The policy decision point (PDP).
//!
//! Two YAML dialects lower to one intermediate form and run as an indexed program; Rego runs on an embedded
//! interpreter. Deciding is pure: no clock, no files, no network. What this crate does not do: read credentials,
//! count budgets, write records, ask people.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod diagnostic;
pub mod rego;
pub mod source;
pub mod voice;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use source::{Position, SourceFile};
pub use voice::{Effect, Statement, Voice};
