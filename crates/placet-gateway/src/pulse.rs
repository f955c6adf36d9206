//! News of the log: one thread looks, any number of requests wait.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use placet::channels::Stop;
use placet::trust::Ledger;
use tokio::sync::watch;

/// How long a look at the log takes at most.
const LOOK: Duration = Duration::from_millis(250);

/// The least time between two pulses, so that a busy log does not keep every waiting request busy.
const REST: Duration = Duration::from_millis(50);

/// Sends the length of the log whenever it has grown, by whatever process, until it is stopped.
pub(crate) fn run(ledger: &Arc<dyn Ledger>, news: &watch::Sender<u64>, stop: &Stop) {
    let mut seen = 0;
    while !stop.is_stopped() {
        match ledger.wait(seen, Instant::now() + LOOK) {
            Ok(size) if size > seen => {
                seen = size;
                news.send_replace(size);
                std::thread::sleep(REST);
            }
            Ok(_) => {}
            // Requests that wait find out by themselves when they look.
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
