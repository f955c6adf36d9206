//! Placet: a governance runtime for AI agents.
//!
//! Everything a Rust program needs, re-exported from the crates that do the work.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub use placet_policy::{
    Diagnostic, Diagnostics, GlobalMode, LoadOptions, PolicySet, Position, Request, Severity, SourceFile,
    core_bundle, export, library, reading::normal_form,
};
pub use placet_runtime::{
    Clock, Config, ConfigError, FileError, FixedClock, Gate, GateError, GateOptions, OpaClient, OpaError,
    OpaOptions, Pipeline, PipelineOptions, Registrar, SystemClock, config, digest, environment, files,
    read_sources, refusal, tiers,
};
pub use placet_types::{
    Decision, DecisionId, DenyCause, Event, Field, Identity, InputSeen, JsonError, Object,
    ParseRiskTierError, ReviewerGroup, RiskTier, RuleRef, Tier, TraceStep, UnknownLeaf, Value, Verdict, json,
};

/// The version of Placet.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The JSON Schemas of events, decisions and policy files, made from the types and tables that read them.
pub mod schema {
    pub use placet_policy::schema::policy;
    pub use placet_types::schema::{decision, event};
}

/// Test suites: events and what is expected of the decision on each.
pub mod expect {
    pub use placet_policy::expect::{CaseResult, Expected, Suite, Test};
}

/// Events of which values are hidden, and what is kept of those.
pub mod hidden {
    pub use placet_policy::Effect;
    pub use placet_policy::hidden::*;
    pub use placet_policy::ir::Truth;
}

/// What the view of a decision keeps of values that redaction changed.
pub mod features {
    pub use placet_runtime::features::*;
}

/// Rego: queries and tests.
pub mod rego {
    pub use placet_policy::rego::{
        QueryError, RegoOptions, TestOutcome, TestReport, TestResult, query, run_tests,
    };
}

/// Asking people, and waiting for what they answer.
pub mod channels {
    pub use placet_runtime::channels::*;
    pub use placet_types::ledger::ApprovalState;
    pub use placet_types::{ApprovalId, ApproverId, Micros, RecordId};
}

/// What agents remember, in tiers of trust.
pub mod memory {
    pub use placet_runtime::memory::*;
    pub use placet_types::memory::*;
}

/// Content inspection: the prompt-injection sanitiser.
pub mod content {
    pub use placet_content::*;
}

/// The pipeline: one event from its credential to its outcome.
pub mod pipeline {
    pub use placet_runtime::pipeline::*;
    pub use placet_runtime::registrar::*;
}

/// Spans and metrics of the pipeline; spans over OpenTelemetry with the feature `otel`.
pub mod telemetry {
    pub use placet_runtime::telemetry::*;
}

/// What audit keeps, and the operations and ids in it.
pub mod record {
    pub use placet_types::record::*;
    pub use placet_types::{Ack, ids, ledger};
}

/// The log: records, checkpoints, proofs, verification.
pub mod audit {
    pub use placet_audit::*;
}

/// Credentials, budgets and approvals over a ledger.
pub mod trust {
    pub use placet_trust::*;
}
