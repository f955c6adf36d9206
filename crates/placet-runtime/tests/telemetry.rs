//! Spans and metrics of the pipeline: their names, how they nest, what they never hold, and that they change nothing.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod telemetry {
    mod collector;
    mod docs;
    mod metrics;
    mod observers;
    mod spans;
    mod support;
}
