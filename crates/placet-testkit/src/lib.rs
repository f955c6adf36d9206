//! Fixtures and the naive oracle evaluator for Placet's tests.
//!
//! For tests only: nothing here is fast, and no product crate depends on it.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod conformance;
pub mod events;
pub mod exported;
pub mod oracle;
pub mod policies;
