//! Reading records for people: lists, single records, and rows in the columns of older audit logs.
//!
//! It reads a log entry by entry, and shows no view that does not have the digest in its record. It does not verify a
//! log, opens nothing for writing, and knows no policy.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod row;
mod select;
mod words;

use placet_audit::verify::{EntrySource, SourceError};
use placet_audit::{leaf, view};
use placet_types::{Micros, Record};
use serde_json::{Map, Value};

pub use row::{Ended, Row};
pub use select::{Found, Query, rows};
pub use words::{Level, Outcome, Status};

/// One record as it is stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its position, from 0.
    pub seq: u64,
    /// Its leaf.
    pub leaf: Vec<u8>,
    /// What the leaf says.
    pub record: Record,
    /// The text of its view, unless it was erased or does not have the digest in the record.
    pub view: Option<String>,
    /// Whether a view stands there that does not have the digest in the record.
    pub view_edited: bool,
}

impl Stored {
    /// The view, without its salt.
    #[must_use]
    pub fn view(&self) -> Option<Map<String, Value>> {
        let mut map: Map<String, Value> = serde_json::from_str(self.view.as_deref()?).ok()?;
        map.remove(view::SALT_MEMBER);
        Some(map)
    }
}

/// Reads every record in order until `each` says no. Returns the positions at which no record could be read.
///
/// # Errors
/// [`SourceError::Unavailable`]: the log cannot be read.
pub fn each(
    source: &mut dyn EntrySource,
    mut each: impl FnMut(Stored) -> bool,
) -> Result<Vec<u64>, SourceError> {
    let (mut bad, mut next) = (Vec::new(), 0);
    loop {
        let entry = match source.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(bad),
            Err(SourceError::Malformed { .. }) => {
                bad.push(next);
                next += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        next = entry.seq.saturating_add(1);
        let Ok(record) = leaf::decode(&entry.leaf) else {
            bad.push(entry.seq);
            continue;
        };
        let holds = |text: &String| record.view == Some(view::digest(text));
        let view_edited = entry.view.as_ref().is_some_and(|text| !holds(text));
        if view_edited {
            bad.push(entry.seq);
        }
        let view = entry.view.filter(holds);
        if !each(Stored { seq: entry.seq, leaf: entry.leaf, record, view, view_edited }) {
            return Ok(bad);
        }
    }
}

/// RFC 3339 in UTC with microseconds and `+00:00`, as older audit logs write it.
pub(crate) fn timestamp(at: Micros) -> String {
    let days = at.0.div_euclid(86_400_000_000);
    let micros = at.0.rem_euclid(86_400_000_000);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}+00:00")
}

/// The date of a day since 1970. Source: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_its_date() {
        assert_eq!(timestamp(Micros(0)), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(timestamp(Micros(1_709_210_096_000_007)), "2024-02-29T12:34:56.000007+00:00");
        assert_eq!(timestamp(Micros(-1)), "1969-12-31T23:59:59.999999+00:00");
    }
}
