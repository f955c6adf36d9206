//! Looking on: spans and metrics of the pipeline.
//!
//! Nothing here decides, and nothing here can change an outcome: what an observer panics with is caught, and nobody
//! waits for one. Without an observer a call pays one comparison.
//!
//! An observer never sees more than [`Step`]s; what leaves the process is named in [`spans`] and [`metrics`], and
//! holds no argument, no result, no reason, no text of an error and no bearer token.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
mod settings;
pub mod spans;
mod step;
mod watch;

pub use metrics::Metrics;
pub use settings::{Telemetry, Traces};
pub use step::{Decided, Ended, Lap, Opening, Step, Waited};
pub use watch::{Observer, Watch, Watcher};
