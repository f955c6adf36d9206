//! `placet approvals watch`: requests as they come and go.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::time::{Duration, Instant};

use placet::record::ledger::ApprovalState;
use placet::trust::approvals::queue::Host;

use super::{CommonArgs, Desk, Process, render};
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// After how long the clock is looked at for requests that expired, although nothing was committed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Desk {
    /// Prints what waits, and then each change.
    pub(super) fn watch(&self, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
        let failed = |error: placet::trust::LedgerError| Failure::Ledger(error.to_string());
        let mut known = HashMap::new();
        let mut first = true;
        loop {
            let seen = self.ledger.wait(0, Instant::now()).map_err(failed)?;
            let now = Process.now();
            for approval in self.requests()? {
                let (word, style) = render::standing(&approval, now);
                let before = known.insert(approval.entry.id.clone(), word.clone());
                let waits = approval.state_at(now) == ApprovalState::Pending;
                let is_news = before.as_ref() != Some(&word) && (!first || waits);
                if !is_news {
                    continue;
                }
                if common.is_json() {
                    writeln!(console.out, "{}", render::json(&approval, now))?;
                } else {
                    writeln!(console.out, "{}", render::line(&approval, &word, style, now, console.paint))?;
                }
            }
            console.out.flush()?;
            first = false;
            self.ledger.wait(seen, Instant::now() + LOOK_EVERY).map_err(failed)?;
        }
    }
}
