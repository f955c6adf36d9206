//! What requests show, held against their digests before anybody sees it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use placet::channels::ApprovalId;
use placet::record::ledger::ApprovalEntry;
use placet::trust::approvals::display::{self, Checked};
use placet::trust::{Ledger, LedgerError};

/// For how long what was read is kept: reading it means looking through the log.
const KEPT: Duration = Duration::from_secs(60);

/// How many are kept.
const MOST: usize = 256;

type Known = HashMap<ApprovalId, (Instant, Arc<Checked>)>;

/// What requests show, as it was read a moment ago.
#[derive(Default)]
pub(crate) struct Questions(Mutex<Known>);

impl Questions {
    /// What a request shows, or why it shows nothing that can be trusted.
    pub(crate) fn of(
        &self,
        ledger: &dyn Ledger,
        entry: &ApprovalEntry,
    ) -> Result<Result<Arc<Checked>, String>, LedgerError> {
        let now = Instant::now();
        if let Some((read, known)) = self.known().get(&entry.id)
            && now.saturating_duration_since(*read) < KEPT
        {
            return Ok(Ok(known.clone()));
        }
        let view = match ledger.find_view(&|record| record.id == entry.decision) {
            Ok(view) => view,
            Err(error @ LedgerError::Tampered { .. }) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let checked = match display::checked(view.as_ref(), entry) {
            Ok(checked) => Arc::new(checked),
            Err(problem) => return Ok(Err(problem.to_string())),
        };
        let mut known = self.known();
        known.retain(|_, (read, _)| now.saturating_duration_since(*read) < KEPT);
        if known.len() < MOST {
            known.insert(entry.id.clone(), (now, checked.clone()));
        }
        Ok(Ok(checked))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
