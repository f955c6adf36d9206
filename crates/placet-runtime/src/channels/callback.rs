//! Asking a function. Only `true` approves.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::approvals::answer::{self, NoReason};
use placet_types::{ApproverId, Value};

use super::{Channel, Ending, Question, Reply};

type Function = dyn Fn(&Question, &Ending) -> Result<Value, String> + Send + Sync;

/// A channel that asks a function of the program.
pub struct Callback {
    approver: ApproverId,
    function: Box<Function>,
}

impl Callback {
    /// Asks this function, whose answers are recorded as of `approver`. An error is its failure in words.
    pub fn new(
        approver: ApproverId,
        function: impl Fn(&Question, &Ending) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        Self { approver, function: Box::new(function) }
    }
}

impl Channel for Callback {
    fn name(&self) -> &'static str {
        "callback"
    }

    fn ask(&self, question: &Question, ending: &Ending) -> Reply {
        match (self.function)(question, ending) {
            Ok(value) => Reply::asserted(&self.approver, answer::callback(&value)),
            Err(problem) => Reply::refused(&self.approver, NoReason::Failed { channel: "callback", problem }),
        }
    }
}
