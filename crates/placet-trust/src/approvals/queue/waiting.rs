//! Waiting until people have decided.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use placet_types::ApprovalId;
use placet_types::ledger::ApprovalState;

use super::{Queue, QueueError};
use crate::approvals::{Approval, ApprovalError};
use crate::ledger::Freshness;

impl Queue<'_> {
    /// Waits until the request is no longer pending, by whatever process, or until `until`, and returns it as it
    /// stands then; it may still be pending.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn wait(&self, id: &ApprovalId, until: Instant) -> Result<Approval, QueueError> {
        self.wait_on(id, &mut None, until)
    }

    /// As [`Queue::wait`], for a wait that is taken in steps: `seen` is kept from one to the next, and `None` at first.
    /// A step that brings no news asks the ledger nothing.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn wait_on(
        &self,
        id: &ApprovalId,
        seen: &mut Option<u64>,
        until: Instant,
    ) -> Result<Approval, QueueError> {
        // The length is taken before the look, so that what comes between the two ends the wait.
        let mut size = match *seen {
            Some(size) => size,
            None => self.ledger.wait(0, self.host.instant())?,
        };
        loop {
            *seen = Some(size);
            let approval = self.look(Freshness::Seen, |approvals| approvals.get(id).cloned())?;
            let approval = approval.ok_or_else(|| ApprovalError::Unknown(id.clone()))?;
            let (now, instant) = (self.host.now(), self.host.instant());
            if approval.state_at(now) != ApprovalState::Pending || instant >= until {
                return Ok(approval);
            }
            let left_us = approval.entry.expires_us.0.saturating_sub(now.0);
            let expiry = instant.checked_add(Duration::from_micros(left_us.unsigned_abs()));
            size = self.ledger.wait(size, expiry.map_or(until, |expiry| expiry.min(until)))?;
        }
    }

    /// As [`Queue::wait`], but a request that nobody decided by `until` ends as expired.
    ///
    /// # Errors
    /// [`QueueError`].
    pub fn wait_for_decision(&self, id: &ApprovalId, until: Instant) -> Result<Approval, QueueError> {
        let approval = self.wait(id, until)?;
        if approval.state != ApprovalState::Pending {
            return Ok(approval);
        }
        let code = if self.host.now() >= approval.entry.expires_us { "expired" } else { "timeout" };
        match self.close(&approval, "system", ApprovalState::Expired, code) {
            // Somebody decided in the last moment, and was first.
            Ok(()) | Err(QueueError::Approval(ApprovalError::State { .. })) => self.known(id),
            Err(error) => Err(error),
        }
    }
}
