//! Asking people: through a terminal, a function, a web server, and waiting for votes made elsewhere.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod callback;
mod common;
mod meanwhile;
mod outbox;
#[cfg(unix)]
mod terminal;
mod waiting;
mod webhook;
