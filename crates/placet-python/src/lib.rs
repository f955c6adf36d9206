//! The compiled module `placet._core`: what the Python package needs of the Rust crates, and nothing to decide.
//!
//! Everything here is private to the package `placet`; users import from there.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod approvals;
mod audit;
mod bind;
mod call;
mod clock;
mod command;
mod content;
mod context;
mod credentials;
mod decision;
mod diagnostic;
mod error;
mod evaluator;
mod event;
mod freeze;
mod gate;
mod holder;
mod ledger;
mod logging;
mod memory;
mod notify;
mod opa;
mod plan;
mod restore;
mod telemetry;
mod thaw;
mod tool;

use pyo3::prelude::*;

/// The module.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::approvals::{ApprovalQueue, Asker, Stop};
    #[pymodule_export]
    use crate::audit::Log;
    #[pymodule_export]
    use crate::call::Call;
    #[pymodule_export]
    use crate::command::{capture, compile_yaml, compile_yaml_string, main};
    #[pymodule_export]
    use crate::content::{
        SanitizedResponse, TextStream, clean, clean_counted, sanitize_tool_output, sanitize_tool_schema,
    };
    #[pymodule_export]
    use crate::context::Context;
    #[pymodule_export]
    use crate::credentials::Broker;
    #[pymodule_export]
    use crate::decision::{PolicyDecision, ResolutionStep, RuleRef};
    #[pymodule_export]
    use crate::diagnostic::Diagnostic;
    #[pymodule_export]
    use crate::evaluator::{adopt, combine_tiers, failure, normal_form, refusal_of_plan};
    #[pymodule_export]
    use crate::event::FrozenEvent;
    #[pymodule_export]
    use crate::gate::{Engine, freeze_call, freeze_event};
    #[pymodule_export]
    use crate::holder::{HolderKey, Signed};
    #[pymodule_export]
    use crate::ledger::{after_fork, before_fork};
    #[pymodule_export]
    use crate::memory::Memories;
    #[pymodule_export]
    use crate::notify::{Clerk, Receiver};
    #[pymodule_export]
    use crate::opa::Opa;
    #[pymodule_export]
    use crate::plan::tagged_step;
    #[pymodule_export]
    use crate::restore::restore_decision;
    #[pymodule_export]
    use crate::telemetry::{metrics, spans_dropped};
    #[pymodule_export]
    use crate::tool::Tool;

    #[pymodule_init]
    fn init(_module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::logging::forward();
        Ok(())
    }

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
