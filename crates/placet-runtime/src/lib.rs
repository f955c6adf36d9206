//! Placet's pipeline: the only crate that orders the steps.
//!
//! A [`Gate`] owns the policies of one deployment: it reads them, reloads them when their files change, and
//! decides events under a clock. It opens nothing until it is asked to.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub mod channels;
pub mod clock;
pub mod config;
pub mod digest;
pub mod environment;
pub mod features;
pub mod files;
pub mod gate;
pub mod memory;
pub mod opa;
pub mod pipeline;
pub mod refusal;
pub mod registrar;
mod registry;
mod server;
pub mod telemetry;
pub mod tiers;

pub use clock::{Clock, FixedClock, SystemClock};
pub use config::{Config, ConfigError};
pub use files::FileError;
pub use gate::{Gate, GateError, GateOptions, read_sources};
pub use opa::{OpaClient, OpaError, OpaOptions};
pub use pipeline::{Begun, Effect, Outcome, Permit, Pipeline, PipelineOptions, Prepared, Refused, Started};
pub use registrar::Registrar;
