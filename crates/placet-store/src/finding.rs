//! Finding one record's view in the log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_audit::{leaf, view};
use placet_trust::LedgerError;
use placet_types::{Digest, Record};
use serde_json::{Map, Value};

use crate::backend::{Access, Backend, BackendError, Link};
use crate::engine::Engine;

impl<B: Backend> Engine<B> {
    /// The view of the first record that is wanted; a view that is not the one that was recorded is none.
    pub(crate) fn find_view(
        &mut self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<Map<String, Value>>, LedgerError> {
        self.begin(Access::Read)?;
        let found = self.link().map(|link| look(link, wanted));
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

/// The view of the record, with the digest that the record has of it.
fn look<L: Link>(
    link: &mut L,
    wanted: &dyn Fn(&Record) -> bool,
) -> Result<Option<(Digest, String)>, BackendError> {
    let mut found = None;
    link.leaves(0, &mut |seq, bytes| {
        // What cannot be read is not what is wanted; opening the log has refused it.
        found = leaf::decode(bytes).ok().filter(wanted).map(|record| (seq, record.view));
        found.is_none()
    })?;
    let Some((seq, Some(digest))) = found else { return Ok(None) };
    Ok(link.view(seq)?.map(|text| (digest, text)))
}
