//! What `placet.yaml` says of telemetry. All of it is off by default.
// SPDX-License-Identifier: MIT OR Apache-2.0

use serde::Deserialize;

/// Spans and metrics.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Whether spans are made, and where they go.
    pub traces: Traces,
    /// The collector to which `otlp` exports, for instance `http://localhost:4318`; what the variables `OTEL_…` say
    /// when absent.
    pub otlp_endpoint: Option<String>,
    /// Whether metrics are kept.
    pub metrics: bool,
    /// The tools that metrics name; all others count without a name.
    pub tool_names: Vec<String>,
}

/// Where spans go.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Traces {
    /// None are made.
    #[default]
    Off,
    /// To the tracer provider that the program has set up.
    Provider,
    /// To a collector, over OTLP/HTTP.
    Otlp,
}

impl Traces {
    /// Its word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Provider => "provider",
            Self::Otlp => "otlp",
        }
    }
}
