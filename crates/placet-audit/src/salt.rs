//! Salts, drawn many at once.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;

use placet_types::process;

use crate::{RandomError, random};

thread_local! {
    static AHEAD: RefCell<Ahead> = const {
        RefCell::new(Ahead { bytes: [0; AHEAD_BYTES], used: AHEAD_BYTES, process: 0 })
    };
}

/// How many bytes are drawn at once: a salt for each record would be a system call for each.
const AHEAD_BYTES: usize = 512;

/// Bytes that were drawn and not used yet, in one thread of one process.
struct Ahead {
    bytes: [u8; AHEAD_BYTES],
    used: usize,
    process: u32,
}

impl Ahead {
    fn take(&mut self) -> Result<[u8; 16], RandomError> {
        let process = process::id();
        if self.process != process || self.bytes.len().saturating_sub(self.used) < 16 {
            self.bytes = random()?;
            (self.used, self.process) = (0, process);
        }
        let salt = self.bytes.get(self.used..).and_then(|rest| rest.first_chunk()).copied();
        self.used += 16;
        salt.map_or_else(random, Ok)
    }
}

/// A salt: 16 bytes that nobody can guess and nobody had before.
pub(crate) fn salt() -> Result<[u8; 16], RandomError> {
    AHEAD.with(|ahead| ahead.try_borrow_mut().map_or_else(|_| random(), |mut ahead| ahead.take()))
}
