//! The policy decision point (PDP).
//!
//! Two YAML dialects lower to one intermediate form and run as an indexed program; Rego runs on an embedded
//! interpreter. Deciding is pure: no clock, no files, no network. What this crate does not do: read credentials,
//! count budgets, write records, ask people.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod clock;
mod combine;
pub mod core_bundle;
pub mod diagnostic;
mod dialect;
mod doubt;
mod eval;
pub mod expect;
pub mod export;
pub mod glob;
pub mod hidden;
pub mod ir;
mod kind;
pub mod library;
pub mod lint;
mod program;
pub mod reading;
pub mod rego;
pub mod request;
pub mod set;
pub mod source;
pub mod voice;
mod yaml;

/// The JSON Schema of a policy file.
pub mod schema {
    pub use crate::dialect::schema::policy;
}

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use export::is_export;
pub use rego::{RegoLimits, RegoOptions};
pub use request::Request;
pub use set::{GlobalMode, LoadOptions, PolicySet};
pub use source::{Position, SourceFile};
pub use voice::{Effect, Statement, Voice};
