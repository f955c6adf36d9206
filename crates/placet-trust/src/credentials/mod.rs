//! Credentials: who holds which authority, for how long, from whom, and whether it was revoked.
//!
//! The registry here is what the log says. It holds no bearer secret and no key, opens no file and asks no clock.
//! Around it: [`authority`] compares authorities and shows how they differ, [`token`] signs and verifies chains of
//! tokens, [`keys`] rotates the issuer's keys, [`broker`] is the interface that programs use.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod authority;
pub mod broker;
pub mod keys;
mod registry;
#[cfg(test)]
mod registry_tests;
pub mod token;
mod why;

use crate::canonical;

pub use broker::public_id;
pub use registry::{Credentials, HARD_MAX_DEPTH, MAX_LIFETIME_SECONDS, MAX_SCOPES};
pub use why::Why;
