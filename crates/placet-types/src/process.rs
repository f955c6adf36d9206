//! The process in which this runs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use forkguard::Guard;

/// Whether forks are noticed. Before, nothing is asked that a child might wait for in vain.
static NOTICES: AtomicBool = AtomicBool::new(false);

thread_local! {
    static KNOWN: RefCell<Option<(Guard, u32)>> = const { RefCell::new(None) };
}

/// Has forks noticed from here on, so that [`id`] is cheap. To be called where something long-lived is made, and not
/// while another thread forks.
pub fn notice_forks() {
    if Guard::try_new().is_ok() {
        NOTICES.store(true, Ordering::Release);
    }
}

/// The id of this process, which after [`notice_forks`] costs a system call only once in a thread and after each fork.
///
/// A fork that goes around the C library (a bare `clone`) is not noticed. Where a child that takes itself for its
/// parent could do harm, ask [`std::process::id`].
#[must_use]
pub fn id() -> u32 {
    if !NOTICES.load(Ordering::Acquire) {
        return std::process::id();
    }
    let known = KNOWN.try_with(|known| {
        let mut known = known.try_borrow_mut().ok()?;
        match &mut *known {
            Some((guard, id)) => {
                if guard.detected_fork() {
                    *id = std::process::id();
                }
                Some(*id)
            }
            None => {
                let id = std::process::id();
                *known = Guard::try_new().ok().map(|guard| (guard, id));
                Some(id)
            }
        }
    });
    known.ok().flatten().unwrap_or_else(std::process::id)
}
