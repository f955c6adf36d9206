//! The JSONL mirror: one JSON object a line, readable with `grep` and `jq`, verifiable without the database.
//!
//! A line is canonical JSON. Beside `seq`, the `leaf` as text, its `hash` and the `view` as text, it has readable
//! members that follow from leaf and view alone, so that editing one shows. Lines of checkpoints have `event`
//! `checkpoint` and the signed `note`. Personal fields are left out unless the caller adds them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{BufRead, Read};

use data_encoding::BASE64;
use placet_types::record::{DecisionFact, OutcomeFact};
use placet_types::{Digest, Fact, Micros, Record};
use serde_json::{Map, Value, json};

use crate::verify::{EntrySource, SourceError, StoredCheckpoint, StoredEntry, StoredField};
use crate::{canonical, leaf, tree};

/// The longest line that is read, in bytes.
pub const MAX_LINE_BYTES: u64 = 64 << 20;

/// The member of a view that holds the reason of a decision.
pub const REASON_MEMBER: &str = "reason";

/// Why there is no line, or a line is none of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The leaf is no record.
    #[error(transparent)]
    Leaf(#[from] leaf::LeafError),
    /// It is not a line of a mirror.
    #[error("it is no line of a mirror: {cause}")]
    Malformed {
        /// What is wrong.
        cause: String,
    },
    /// The record's time is no date.
    #[error("the time of {time_us} microseconds is no date; correct the clock")]
    Time {
        /// The time.
        time_us: i64,
    },
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An entry; its `fault` says when a readable member is not what follows from leaf and view.
    Entry(StoredEntry),
    /// A checkpoint.
    Checkpoint(StoredCheckpoint),
}

/// The line of an entry, without its line end.
///
/// # Errors
/// [`MirrorError`].
pub fn entry_line(
    seq: u64,
    leaf: &[u8],
    view: Option<&str>,
    personal: Option<&[StoredField]>,
) -> Result<String, MirrorError> {
    let record = leaf::decode(leaf)?;
    let text = std::str::from_utf8(leaf).map_err(|_| leaf::LeafError::NotCanonical)?;
    let mut line = readable(&record, view)?;
    line.insert("seq".into(), json!(seq));
    line.insert("leaf".into(), json!(text));
    line.insert("hash".into(), json!(tree::leaf_hash(leaf)));
    if let Some(view) = view {
        line.insert("view".into(), json!(view));
    }
    if let Some(fields) = personal {
        let field = |one: &StoredField| json!({"field": one.field, "salt": BASE64.encode(&one.salt), "value": one.value});
        line.insert("personal".into(), fields.iter().map(field).collect());
    }
    Ok(canonical::object(&line))
}

/// The line of an entry whose view is kept under a key that stands elsewhere, without its line end.
///
/// # Errors
/// [`MirrorError`].
pub fn sealed_line(seq: u64, leaf: &[u8], sealed: &str) -> Result<String, MirrorError> {
    let mut line: Map<String, Value> = match serde_json::from_str(&entry_line(seq, leaf, None, None)?) {
        Ok(line) => line,
        Err(error) => return Err(MirrorError::Malformed { cause: error.to_string() }),
    };
    line.insert("sealed".into(), json!(sealed));
    Ok(canonical::object(&line))
}

/// The line of a checkpoint, without its line end. The time is that of the last entry it covers.
///
/// # Errors
/// [`MirrorError::Time`].
pub fn checkpoint_line(size: u64, note: &str, time_us: Micros) -> Result<String, MirrorError> {
    let timestamp = timestamp(time_us)?;
    Ok(canonical::text(&json!({"event": "checkpoint", "size": size, "note": note, "timestamp": timestamp})))
}

/// Reads one line, without its line end.
///
/// # Errors
/// [`MirrorError::Malformed`].
pub fn decode(line: &str) -> Result<Line, MirrorError> {
    let malformed = |cause: &str| MirrorError::Malformed { cause: cause.to_owned() };
    let map: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| MirrorError::Malformed { cause: error.to_string() })?;
    let text = |member: &str| map.get(member).and_then(Value::as_str);
    if text("event") == Some("checkpoint") && !map.contains_key("leaf") {
        let size = map.get("size").and_then(Value::as_u64).ok_or_else(|| malformed("it has no `size`"))?;
        let note = text("note").ok_or_else(|| malformed("it has no `note`"))?;
        let time_us = text("timestamp").and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let time_us = time_us.map(|time| Micros(time.as_microsecond()));
        let time_us = time_us.ok_or_else(|| malformed("it has no `timestamp`"))?;
        if checkpoint_line(size, note, time_us)? != line {
            return Err(malformed("it was edited"));
        }
        return Ok(Line::Checkpoint(StoredCheckpoint {
            size,
            note: note.to_owned(),
            time_us: Some(time_us),
        }));
    }
    let mut entry = StoredEntry {
        seq: map.get("seq").and_then(Value::as_u64).ok_or_else(|| malformed("it has no `seq`"))?,
        leaf: text("leaf").ok_or_else(|| malformed("it has no `leaf`"))?.as_bytes().to_vec(),
        hash: text("hash").and_then(|hash| hash.parse::<Digest>().ok()),
        view: text("view").map(str::to_owned),
        sealed: text("sealed").map(str::to_owned),
        personal: map.get("personal").map(personal).transpose()?,
        fault: None,
    };
    entry.fault = fault(line, &entry);
    Ok(Line::Entry(entry))
}

/// What is wrong with the readable members. A leaf that is no record has none to compare; that is found elsewhere.
fn fault(line: &str, entry: &StoredEntry) -> Option<String> {
    let expected = match &entry.sealed {
        Some(sealed) => sealed_line(entry.seq, &entry.leaf, sealed),
        None => entry_line(entry.seq, &entry.leaf, entry.view.as_deref(), entry.personal.as_deref()),
    };
    match expected {
        Ok(expected) if expected == line => None,
        // Then the hash is wrong, and is found by itself.
        Ok(expected) if entry.hash.is_some_and(|hash| expected == rehashed(line, &hash, &entry.leaf)) => None,
        Ok(_) => Some("the readable members of the line are not those of its leaf and view".to_owned()),
        Err(MirrorError::Leaf(_)) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn rehashed(line: &str, stated: &Digest, leaf: &[u8]) -> String {
    line.replacen(&format!("\"hash\":\"{stated}\""), &format!("\"hash\":\"{}\"", tree::leaf_hash(leaf)), 1)
}

fn personal(fields: &Value) -> Result<Vec<StoredField>, MirrorError> {
    let malformed = || MirrorError::Malformed { cause: "its `personal` is no list of fields".to_owned() };
    let one = |field: &Value| {
        let text = |member: &str| field.get(member).and_then(Value::as_str).map(str::to_owned);
        let salt = BASE64.decode(text("salt")?.as_bytes()).ok()?;
        Some(StoredField { field: text("field")?, salt, value: text("value")? })
    };
    let fields = fields.as_array().ok_or_else(malformed)?;
    fields.iter().map(|field| one(field).ok_or_else(malformed)).collect()
}

fn readable(record: &Record, view: Option<&str>) -> Result<Map<String, Value>, MirrorError> {
    let mut line = Map::new();
    line.insert("id".into(), json!(record.id));
    line.insert("timestamp".into(), json!(timestamp(record.time_us)?));
    for (name, value) in [("tenant", &record.tenant), ("session", &record.session), ("agent", &record.agent)]
    {
        if let Some(value) = value {
            line.insert(name.into(), json!(value));
        }
    }
    let event = match &record.fact {
        Fact::Decision(decision) => {
            decided(&mut line, decision, view);
            &*decision.event_type
        }
        Fact::Outcome(outcome) => {
            ended(&mut line, outcome);
            "outcome"
        }
        other => other.kind(),
    };
    line.insert("event".into(), json!(event));
    Ok(line)
}

fn decided(line: &mut Map<String, Value>, decision: &DecisionFact, view: Option<&str>) {
    let view = view.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let reason = view.as_ref().and_then(|view| view.get(REASON_MEMBER)).filter(|reason| reason.is_string());
    line.insert("action".into(), json!(decision.action));
    line.insert("tool".into(), json!(decision.tool));
    line.insert("policy_version".into(), json!(decision.policy_version));
    let verdict = &*decision.verdict;
    let summary = json!({
        "allow": verdict == "allow",
        "deny": verdict == "deny",
        "requires_hitl": verdict == "escalate",
        "verdict": verdict,
        "hard": decision.hard,
        "code": decision.code,
        "reason": reason,
        "risk_tier": decision.risk_tier,
        "rules": decision.rules,
    });
    line.insert("decision".into(), summary);
}

fn ended(line: &mut Map<String, Value>, outcome: &OutcomeFact) {
    line.insert("decision_id".into(), json!(outcome.decision));
    line.insert("status".into(), json!(outcome.status));
    line.insert("error".into(), json!(outcome.error));
    line.insert("elapsed_us".into(), json!(outcome.elapsed_us));
}

/// RFC 3339 in UTC with microseconds.
fn timestamp(time_us: Micros) -> Result<String, MirrorError> {
    let time = jiff::Timestamp::from_microsecond(time_us.0);
    time.map(|time| format!("{time:.6}")).map_err(|_| MirrorError::Time { time_us: time_us.0 })
}

/// A mirror as a log to be verified: two readers of the same file.
pub struct MirrorSource<R> {
    entries: Lines<R>,
    checkpoints: Lines<R>,
}

impl<R: BufRead> MirrorSource<R> {
    /// Both readers stand at the beginning of the file.
    pub fn new(entries: R, checkpoints: R) -> Self {
        Self {
            entries: Lines { reader: entries, count: 0 },
            checkpoints: Lines { reader: checkpoints, count: 0 },
        }
    }
}

impl<R: BufRead> EntrySource for MirrorSource<R> {
    fn next_entry(&mut self) -> Result<Option<StoredEntry>, SourceError> {
        loop {
            match self.entries.next()? {
                None => return Ok(None),
                Some(Ok(Line::Entry(entry))) => return Ok(Some(entry)),
                Some(Ok(Line::Checkpoint(_))) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    fn next_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, SourceError> {
        loop {
            match self.checkpoints.next()? {
                None => return Ok(None),
                Some(Ok(Line::Checkpoint(checkpoint))) => return Ok(Some(checkpoint)),
                // What is wrong with an entry's line is found among the entries.
                Some(Ok(Line::Entry(_)) | Err(_)) => {}
            }
        }
    }
}

struct Lines<R> {
    reader: R,
    count: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<Result<Line, SourceError>>, SourceError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| SourceError::Unavailable { cause: error.to_string() })?;
        if read == 0 {
            return Ok(None);
        }
        self.count += 1;
        let cause = match bytes.pop() {
            Some(b'\n') => match String::from_utf8(bytes) {
                Ok(line) => match decode(&line) {
                    Ok(line) => return Ok(Some(Ok(line))),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            },
            _ => "the line has no end, or is too long".to_owned(),
        };
        Ok(Some(Err(SourceError::Malformed { place: format!("line {}", self.count), cause })))
    }
}
