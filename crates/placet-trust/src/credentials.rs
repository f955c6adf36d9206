//! Credentials.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{DenyCause, LedgerOp, Micros};

use crate::state::{Refusal, StateKey, StateRow};

/// Credentials of a log.
#[derive(Debug, Clone, Default)]
pub struct Credentials {}

impl Credentials {
    /// Checks the precondition of an operation.
    ///
    /// # Errors
    /// The precondition that does not hold.
    pub(crate) fn check(&self, _op: &LedgerOp, _at: Micros) -> Result<(), Refusal> {
        Err(Refusal::new(DenyCause::AuditUnavailable, "not built"))
    }

    pub(crate) fn apply(&mut self, _op: &LedgerOp, _at: Micros) {}

    pub(crate) fn keys(&self, _op: &LedgerOp, _keys: &mut Vec<StateKey>) {}

    pub(crate) fn row(&self, key: &StateKey) -> StateRow {
        StateRow { kind: "credentials", id: format!("{key:?}"), body: None }
    }
}
