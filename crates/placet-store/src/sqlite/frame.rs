//! Batches as they stand in the spill file, each in a frame of its own.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_audit::seal::Head;
use placet_audit::tree::Frontier;
use placet_audit::view::SaltedValue;
use placet_trust::StateRow;
use placet_types::{Digest, Micros};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize, Serializer};

use crate::backend::{BackendError, Batch, NewEntry, StoredHead};

/// Length and checksum before each frame. Where no frame follows, both are zero.
pub(super) const PREFIX: usize = 8;

/// What tells whether anybody wrote.
pub(super) type Tail = [u8; 24];

/// One batch, as it stands in the file, with its entries and rows.
#[derive(Serialize, Deserialize)]
struct Frame<'f, E, R> {
    turn: u64,
    entries: E,
    rows: R,
    origin: &'f str,
    frontier: &'f [u8],
    chain: &'f [u8],
    time_us: i64,
    seal: &'f [u8],
}

#[derive(Serialize, Deserialize)]
struct Entry<'f> {
    seq: u64,
    leaf: &'f str,
    hash: &'f [u8],
    #[serde(borrow)]
    view: Option<&'f str>,
    #[serde(borrow)]
    personal: Vec<(&'f str, &'f [u8], &'f str)>,
}

#[derive(Serialize, Deserialize)]
struct FrameRow<'f> {
    kind: &'f str,
    id: &'f str,
    #[serde(borrow)]
    body: Option<&'f str>,
    /// What the database held, in the first frame that has this row.
    #[serde(borrow)]
    before: Option<Option<&'f str>>,
}

/// A batch that was read from the file.
type ReadFrame<'f> = Frame<'f, Vec<Entry<'f>>, Vec<FrameRow<'f>>>;

/// What is written one after the other, without a list of it.
struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// Batches that are not in the database, in order, with the head of the last.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) entries: Vec<NewEntry>,
    pub(super) rows: Vec<PendingRow>,
    pub(super) head: StoredHead,
}

/// A cached row that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingRow {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: Option<String>,
    /// What the database held, where this is the first that was spilled of the row since it was written there.
    pub(super) before: Option<Option<String>>,
}

/// The tail that stands behind a batch.
fn tail_of(seal: &Digest) -> Tail {
    join(&[&[0; PREFIX], &seal.0])
}

/// The parts one after the other, as far as there is room, and zeros.
pub(super) fn join(parts: &[&[u8]]) -> Tail {
    let mut tail = Tail::default();
    tail.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(byte, part)| *byte = *part);
    tail
}

/// The number that begins there.
pub(super) fn number(bytes: &[u8], from: usize) -> u64 {
    bytes.get(from..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Whether a frame states this turn.
pub(super) fn states(body: &[u8], turn: u64) -> bool {
    postcard::take_from_bytes(body).is_ok_and(|(stated, _): (u64, _)| stated == turn)
}

/// A buffer that takes what is serialised as a whole, not byte by byte.
struct Buffer(Vec<u8>);

impl Flavor for Buffer {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// The bytes of a batch in the file with the tail behind them, in a buffer that may have held others; `before` tells
/// what the database holds where the row was not spilled yet.
pub(super) fn frame<'f>(
    batch: &'f Batch,
    turn: u64,
    buffer: Vec<u8>,
    before: impl Fn(&StateRow) -> Option<Option<&'f str>> + Copy,
) -> Result<Vec<u8>, BackendError> {
    let StoredHead { head, seal } = &batch.head;
    let frontier = head.frontier.to_bytes();
    let entries = batch.entries.iter().map(|entry| Entry {
        seq: entry.seq,
        leaf: &entry.leaf,
        hash: &entry.hash.0,
        view: entry.view.as_deref(),
        personal: entry
            .personal
            .iter()
            .map(|(field, value)| (&**field, &value.salt[..], &*value.text))
            .collect(),
    });
    let rows = batch.rows.iter().map(move |row| FrameRow {
        kind: row.kind,
        id: &row.id,
        body: row.body.as_deref(),
        before: before(row),
    });
    let frame = Frame {
        turn,
        entries: Each(entries),
        rows: Each(rows),
        origin: &head.origin,
        frontier: &frontier,
        chain: &head.chain.0,
        time_us: head.time_us.0,
        seal: &seal.0,
    };
    let mut bytes = buffer;
    bytes.clear();
    bytes.extend_from_slice(&[0; PREFIX]);
    let mut bytes = postcard::serialize_with_flavor(&frame, Buffer(bytes))
        .map_err(|error| BackendError::Failed(format!("a batch cannot be spilled: {error}")))?;
    let body = bytes.get(PREFIX..).unwrap_or_default();
    let length = u32::try_from(body.len())
        .map_err(|_| BackendError::Failed("a batch is past 4 GiB, and cannot be spilled".to_owned()))?;
    let prefix = u64::from(length) | u64::from(crc32fast::hash(body)) << 32;
    bytes.iter_mut().zip(prefix.to_le_bytes()).for_each(|(byte, part)| *byte = part);
    bytes.extend_from_slice(&tail_of(seal));
    Ok(bytes)
}

/// The batches of these bytes that follow a head, up to the first that is torn, of another turn or follows nothing.
pub(super) fn pending(mut bytes: &[u8], turn: u64, stored: &Head) -> Option<Pending> {
    let mut found: Option<Pending> = None;
    while let Some((frame, rest)) = next_frame(bytes).filter(|(frame, _)| frame.turn == turn) {
        bytes = rest;
        let size = found.as_ref().map_or(stored.size(), |found| found.head.head.size());
        let ours = frame.origin == &*stored.origin;
        let last = frame.entries.last().map(|entry| entry.seq);
        if ours && last.is_some_and(|last| last < size) {
            // It was taken into the database by a program that ended before it could say so.
            continue;
        }
        let batch = frame.batch().filter(|batch| ours && follow(&batch.entries, &batch.head, size));
        let Some(batch) = batch else { break };
        match &mut found {
            Some(found) => {
                found.entries.extend(batch.entries);
                found.rows.extend(batch.rows);
                found.head = batch.head;
            }
            None => found = Some(batch),
        }
    }
    found
}

/// Whether entries lead from a size to a head.
fn follow(entries: &[NewEntry], head: &StoredHead, size: u64) -> bool {
    let numbers = entries.iter().map(|entry| entry.seq);
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let end = size.saturating_add(count);
    numbers.eq(size..end) && head.head.size() == end
}

fn next_frame(bytes: &[u8]) -> Option<(ReadFrame<'_>, &[u8])> {
    let (body, rest) = next_body(bytes)?;
    Some((postcard::from_bytes(body).ok()?, rest))
}

/// The first frame without its prefix, if it is whole.
pub(super) fn next_body(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let prefix = number(prefix, 0);
    let (body, rest) = rest.split_at_checked(usize::try_from(prefix & u64::from(u32::MAX)).ok()?)?;
    (!body.is_empty() && prefix >> 32 == u64::from(crc32fast::hash(body))).then_some((body, rest))
}

/// Whether what follows may be a frame of which only the first bytes were read.
pub(super) fn is_cut(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u32::from_le_bytes(*length));
    length.is_none_or(|length| {
        length > 0 && usize::try_from(length).is_ok_and(|length| length + PREFIX > bytes.len())
    })
}

impl ReadFrame<'_> {
    fn batch(&self) -> Option<Pending> {
        let frontier = Frontier::from_bytes(self.frontier).ok()?;
        let (chain, time_us) = (digest(self.chain)?, Micros(self.time_us));
        let head = Head { origin: self.origin.into(), frontier, chain, time_us };
        let rows = self.rows.iter().map(|row| PendingRow {
            kind: row.kind.to_owned(),
            id: row.id.to_owned(),
            body: row.body.map(str::to_owned),
            before: row.before.map(|before| before.map(str::to_owned)),
        });
        let entries = self.entries.iter().map(Entry::new_entry).collect::<Option<_>>()?;
        Some(Pending { entries, rows: rows.collect(), head: StoredHead { head, seal: digest(self.seal)? } })
    }
}

impl Entry<'_> {
    fn new_entry(&self) -> Option<NewEntry> {
        let personal = |&(field, salt, text): &(&str, &[u8], &str)| {
            let salt = salt.try_into().ok()?;
            Some((Arc::from(field), SaltedValue { salt, text: text.to_owned() }))
        };
        Some(NewEntry {
            seq: self.seq,
            leaf: self.leaf.to_owned(),
            hash: digest(self.hash)?,
            view: self.view.map(str::to_owned),
            personal: self.personal.iter().map(personal).collect::<Option<_>>()?,
        })
    }
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::sqlite) fn batch(before: &Head, count: u64) -> Batch {
        let mut head = before.clone();
        let entries = (0..count).map(|nth| {
            let (seq, leaf) = (head.size(), format!("leaf {nth}"));
            let hash = placet_audit::tree::leaf_hash(leaf.as_bytes());
            head.push(hash, Micros(7));
            let view = (nth % 2 == 0).then(|| format!("view {nth}"));
            let personal = (0..nth).map(|field| {
                (Arc::from(format!("field {field}")), SaltedValue { salt: [9; 32], text: "1".to_owned() })
            });
            NewEntry { seq, leaf, hash, view, personal: personal.collect() }
        });
        let entries = entries.collect();
        let rows = vec![
            StateRow { kind: "budget", id: "a".to_owned(), body: Some("{}".to_owned()) },
            StateRow { kind: "reservation", id: "b".to_owned(), body: None },
        ];
        let head = StoredHead { head, seal: Digest([3; 32]) };
        Batch { entries, rows, ..Batch::of(head) }
    }

    const TURN: u64 = 300;

    fn frames() -> (Head, Vec<u8>, StoredHead) {
        let start = Head::empty("log");
        let first = batch(&start, 3);
        let second = batch(&first.head.head, 2);
        let before = |row: &StateRow| (row.kind == "budget").then_some(Some("{\"old\":1}"));
        let mut bytes = frame(&first, TURN, vec![1; 9], before).unwrap();
        bytes.truncate(bytes.len() - Tail::default().len());
        bytes.extend(frame(&second, TURN, Vec::new(), |_| None).unwrap());
        (start, bytes, second.head)
    }

    #[test]
    fn what_is_written_is_read() {
        let (start, bytes, last) = frames();
        let found = pending(&bytes, TURN, &start).unwrap();
        assert_eq!((found.entries.len(), &found.head), (5, &last));
        assert_eq!(found.rows[0].before, Some(Some("{\"old\":1}".to_owned())));
        assert_eq!((found.rows[1].before.clone(), found.rows[1].body.clone()), (None, None));
        assert_eq!(found.entries[2].personal.len(), 2);
        // What the database has already is left out, and what does not follow it is not read.
        let half = batch(&start, 3).head.head;
        assert_eq!(pending(&bytes, TURN, &half).unwrap().entries.len(), 2);
        assert!(pending(&bytes, TURN, &last.head).is_none());
        assert!(pending(&bytes, TURN, &batch(&start, 1).head.head).is_none());
        assert!(pending(&bytes, TURN, &Head::empty("another log")).is_none());
        assert!(pending(&bytes, TURN + 1, &start).is_none(), "frames of an earlier turn");
    }

    proptest! {
        /// Whatever stands in the file, a whole number of its batches is read.
        #[test]
        fn no_bytes_make_it_fail(edits in prop::collection::vec((0_usize..2_000, any::<u8>()), 0..6), cut in 0_usize..2_000) {
            let (start, mut bytes, _) = frames();
            for (at, byte) in edits {
                bytes.iter_mut().skip(at).take(1).for_each(|slot| *slot = byte);
            }
            bytes.truncate(cut);
            let entries = pending(&bytes, TURN, &start).map_or(0, |found| found.entries.len());
            prop_assert!([0, 3, 5].contains(&entries));
        }

        #[test]
        fn no_foreign_bytes_make_it_fail(bytes: Vec<u8>) {
            prop_assert!(pending(&bytes, 0, &Head::empty("log")).is_none());
        }
    }
}
