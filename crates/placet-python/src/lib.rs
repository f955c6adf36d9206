//! The compiled module `placet._core`: what the Python package needs of the Rust crates, and nothing to decide.
//!
//! Everything here is private to the package `placet`; users import from there.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod bind;
mod context;
mod decision;
mod diagnostic;
mod error;
mod event;
mod freeze;
mod gate;
mod thaw;

use pyo3::prelude::*;

/// The module.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::context::Context;
    #[pymodule_export]
    use crate::decision::{PolicyDecision, ResolutionStep, RuleRef};
    #[pymodule_export]
    use crate::diagnostic::Diagnostic;
    #[pymodule_export]
    use crate::event::FrozenEvent;
    #[pymodule_export]
    use crate::gate::{Engine, Tool, freeze_call, freeze_event};

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
