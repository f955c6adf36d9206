//! Rego policies, on the interpreter of the `regorus` crate.
//!
//! A file is read as v1, else v0, else v0 with the future keywords. Files below the package roots `placet` and
//! `kitelogik` are units; each says what it says about an event as a [`Voice`](crate::Voice). What this module does
//! not do: combine voices, read files, look at a clock, reach the network.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod builtins;
mod check;
mod classify;
mod decision;
mod engine;
mod lints;
mod load;
mod model;
mod names;
mod parse;
mod query;
mod rewrite;
mod spans;
mod terms;
mod testing;
mod voices;
mod walk;

#[cfg(test)]
mod tests;

pub use load::RegoSet;
pub use model::{RegoEvent, RegoFile, RegoInput, RegoLimits, RegoOptions, UnitKind};
pub use parse::Dialect;
pub use query::{QueryError, query};
pub use testing::{TestOutcome, TestReport, TestResult, run_tests};
