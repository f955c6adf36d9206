//! A record as the bytes that are hashed: RFC 8785 JSON, integers only.
//!
//! One record has one leaf and one leaf one record: what is not in canonical form is refused, not repaired.
// SPDX-License-Identifier: MIT OR Apache-2.0

pub(crate) mod writer;

use placet_types::Record;
use placet_types::record::RECORD_FORMAT;
use serde_json::Value;

use writer::Stop;

/// The longest leaf, in bytes: C2SP `tlog-tiles` counts the bytes of an entry in 16 bits.
pub const MAX_LEAF_BYTES: usize = 65_535;

/// The largest integer that every JSON reader keeps exactly: 2^53 - 1.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why a record has no leaf, or bytes are no leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// The leaf is longer than an entry may be.
    #[error(
        "the record is {actual_bytes} bytes; the limit is {MAX_LEAF_BYTES} bytes; keep long texts in the view"
    )]
    TooLarge {
        /// Its length in bytes.
        actual_bytes: usize,
    },
    /// It holds a number that a leaf may not hold.
    #[error(
        "the record holds the number `{number}`; a leaf holds whole numbers of at most {MAX_INTEGER}; write it as text"
    )]
    Number {
        /// The number.
        number: String,
    },
    /// It has another format than this release knows.
    #[error(
        "the record has format `{found}`; this release reads format {RECORD_FORMAT}; use a newer release"
    )]
    Format {
        /// The format it states.
        found: String,
    },
    /// It is no record.
    #[error("the leaf is no record: {cause}; it was not written by this release, or was edited")]
    Shape {
        /// What is wrong.
        cause: String,
    },
    /// It is a record, but in other bytes than its canonical ones.
    #[error("the leaf is not in canonical form; it was not written by this release, or was edited")]
    NotCanonical,
}

/// The leaf of a record.
///
/// # Errors
/// [`LeafError::TooLarge`] and [`LeafError::Number`]: the record cannot be kept, so what it stands for must not happen.
pub fn encode(record: &Record) -> Result<String, LeafError> {
    let text = writer::text(record).map_err(|stop| match stop {
        Stop::Number(number) => LeafError::Number { number },
        Stop::Shape(cause) => LeafError::Shape { cause },
    })?;
    if text.len() > MAX_LEAF_BYTES {
        return Err(LeafError::TooLarge { actual_bytes: text.len() });
    }
    Ok(text)
}

/// The record of a leaf.
///
/// # Errors
/// [`LeafError`] for any bytes that [`encode`] does not write.
pub fn decode(leaf: &[u8]) -> Result<Record, LeafError> {
    if leaf.len() > MAX_LEAF_BYTES {
        return Err(LeafError::TooLarge { actual_bytes: leaf.len() });
    }
    let record: Record = match serde_json::from_slice(leaf) {
        Ok(record) => record,
        Err(error) => return Err(misread(leaf, &error)),
    };
    if record.v != RECORD_FORMAT {
        return Err(LeafError::Format { found: record.v.to_string() });
    }
    if encode(&record)?.as_bytes() != leaf {
        return Err(LeafError::NotCanonical);
    }
    Ok(record)
}

/// A record of a later format may have fields that this release does not know; say that first.
fn misread(leaf: &[u8], error: &serde_json::Error) -> LeafError {
    let stated = serde_json::from_slice::<Value>(leaf).ok().and_then(|value| value.get("v").cloned());
    match stated {
        Some(version) if version.as_u64() != Some(u64::from(RECORD_FORMAT)) => {
            LeafError::Format { found: version.to_string() }
        }
        _ => LeafError::Shape { cause: error.to_string() },
    }
}
