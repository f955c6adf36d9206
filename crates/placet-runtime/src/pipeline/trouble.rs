//! What a ledger has to say besides its answers: a mirror or a checkpoint that fails holds up no call, but is told.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use placet_trust::Ledger;

/// How often a ledger is asked.
const EVERY: Duration = Duration::from_secs(1);

/// What was told last, and when it was asked.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<(Option<Instant>, Option<String>)>);

impl Troubles {
    /// Asks the ledger now and then, and tells each trouble once.
    pub(super) fn look(&self, ledger: &dyn Ledger) {
        let Some(mut told) = self.0.try_lock() else { return };
        if told.0.is_some_and(|asked| asked.elapsed() < EVERY) {
            return;
        }
        told.0 = Some(Instant::now());
        let trouble = ledger.trouble().map(|error| error.to_string());
        if trouble == told.1 {
            return;
        }
        told.1.clone_from(&trouble);
        // Whoever is told may come back here.
        drop(told);
        match trouble {
            Some(error) => tracing::error!(
                target: "placet::ledger", "{error}; records are complete, what follows them is not"
            ),
            None => tracing::info!(target: "placet::ledger", "the ledger has no trouble any more"),
        }
    }
}
