//! Finding one record's view in the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::{leaf, view};
use placet_trust::LedgerError;
use placet_types::{Digest, Record};
use serde_json::{Map, Value};

/// How many entries are looked through at a time.
const BLOCK: u64 = 4_096;

use crate::backend::{Access, Backend, BackendError, Link};
use crate::engine::Engine;

impl<B: Backend> Engine<B> {
    /// The view of the record that is wanted; a view that is not the one that was recorded is none.
    pub(crate) fn find_view(
        &mut self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<Map<String, Value>>, LedgerError> {
        let size = self.begin(Access::Read)?.map_or(0, |stored| stored.head.size());
        let found = self.link().map(|link| look(link, size, wanted));
        self.end();
        let found = found?.map_err(|error| self.failed("read", error))?;
        let Some((digest, text)) = found else { return Ok(None) };
        if view::digest(&text) != digest {
            return Err(LedgerError::Tampered {
                ledger: self.name(),
                finding: "the view of a record was edited after it was recorded".to_owned(),
            });
        }
        Ok(serde_json::from_str(&text).ok())
    }
}

/// The view of the record, with the digest that the record has of it. Looks from the end of the log back, block by
/// block: what is asked for was mostly recorded lately.
fn look<L: Link>(
    link: &mut L,
    size: u64,
    wanted: &dyn Fn(&Record) -> bool,
) -> Result<Option<(Digest, String)>, BackendError> {
    let (mut start, mut end) = (size.saturating_sub(BLOCK), u64::MAX);
    loop {
        let mut found = None;
        link.leaves(start, &mut |seq, bytes| {
            if seq < end {
                // What cannot be read is not what is wanted; opening the log has refused it.
                found = leaf::decode(bytes).ok().filter(wanted).map(|record| (seq, record.view));
            }
            seq < end && found.is_none()
        })?;
        match found {
            Some((seq, Some(digest))) => return Ok(link.view(seq)?.map(|text| (digest, text))),
            Some((_, None)) => return Ok(None),
            None if start == 0 => return Ok(None),
            None => (start, end) = (start.saturating_sub(BLOCK), start),
        }
    }
}
