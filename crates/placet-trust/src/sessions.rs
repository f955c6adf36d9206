//! What sessions did: the tools they were allowed to call, oldest first.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Record;
use placet_types::record::DecisionFact;

/// Sessions of a log.
#[derive(Debug, Clone, Default)]
pub struct Sessions {}

impl Sessions {
    pub(crate) fn saw(&mut self, _record: &Record, _decision: &DecisionFact) {}
}
