//! The records that the broker commits, and what people read beside them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::{CredentialEntry, RevocationTarget};
use placet_types::record::ChangeFact;
use placet_types::{Fact, LedgerOp, Micros, Record, RecordId};
use serde_json::{Map, Value, json};

use super::BrokerError;
use crate::credentials::authority::{Authority, Line};
use crate::credentials::keys::{NoRandom, Random};

pub(super) type View = Map<String, Value>;

pub(super) fn change(
    at: Micros,
    random: &dyn Random,
    by: &Arc<str>,
    op: LedgerOp,
) -> Result<Record, NoRandom> {
    let mut record = Record::new(record_id(at, random)?, Fact::Change(ChangeFact { by: by.clone() }));
    record.ops.push(op);
    Ok(record)
}

/// A UUIDv7 of this moment.
///
/// Source: RFC 9562.
fn record_id(at: Micros, random: &dyn Random) -> Result<RecordId, NoRandom> {
    let mut low = [0; 10];
    random.fill(&mut low)?;
    let millis = u64::try_from(at.0.div_euclid(1_000)).unwrap_or(0) & 0xffff_ffff_ffff;
    let [a, b, c, d, node @ ..] = low;
    let version = 0x7000 | (u16::from_be_bytes([a, b]) & 0x0fff);
    let variant = 0x8000 | (u16::from_be_bytes([c, d]) & 0x3fff);
    let (high, middle) = (millis >> 16, millis & 0xffff);
    Ok(format!("{high:08x}-{middle:04x}-{version:04x}-{variant:04x}-{}", hex::encode(node)).into())
}

pub(super) fn issue_view(
    entry: &CredentialEntry,
    authority: &Authority,
    changes: &[Line],
) -> Result<View, BrokerError> {
    let event = if entry.parent.is_some() { "credential_delegated" } else { "credential_issued" };
    let mut view = View::new();
    view.insert("event".to_owned(), json!(event));
    view.insert("credential".to_owned(), json!(entry));
    view.insert("authority".to_owned(), authority.details()?);
    if entry.parent.is_some() {
        let lines: Vec<_> = changes.iter().map(Line::to_string).collect();
        view.insert("changes".to_owned(), json!(lines));
    }
    Ok(view)
}

/// The authority in the view of an issue, if it is the one whose digest the entry has.
pub(super) fn authority(view: &View, entry: &CredentialEntry) -> Option<Authority> {
    let text = view.get("authority")?.to_string();
    let details = placet_types::json::parse(text.as_bytes()).ok()?;
    let read = Authority::from_details(&details, entry.max_depth, entry.expires_us).ok()?;
    read.digest().is_ok_and(|digest| digest == entry.authority).then_some(read)
}

pub(super) fn revocation_view(target: &RevocationTarget) -> View {
    let mut view = View::new();
    view.insert("event".to_owned(), json!("credential_revoked"));
    view.insert("target".to_owned(), json!(target));
    view
}
