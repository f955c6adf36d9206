//! Writing a batch in one exchange with the server.
// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::backend::{BackendError, Batch, StoredHead};

use super::{PostgresLink, signed};

/// Every part is written by the same statement; no two parts touch the same row.
const WRITE: &str = "
WITH entries AS (INSERT INTO entry SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])),
  views AS (INSERT INTO view SELECT * FROM unnest($4::bigint[], $5::text[])),
  fields AS (INSERT INTO personal SELECT * FROM unnest($6::bigint[], $7::text[], $8::bytea[], $9::text[])),
  gone AS (DELETE FROM state USING unnest($10::text[], $11::text[]) AS gone (kind, id)
           WHERE state.kind = gone.kind AND state.id = gone.id),
  kept AS (INSERT INTO state
           SELECT kind, id, body, $12::bigint FROM unnest($13::text[], $14::text[], $15::text[]) AS kept (kind, id, body)
           ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, seq = excluded.seq)
INSERT INTO head VALUES (1, $16, $17, $18, $19, $20, $21) ON CONFLICT (one) DO UPDATE SET
  origin = $16, size = $17, frontier = $18, chain = $19, time_us = $20, seal = $21";

/// Columns of what is written.
#[derive(Default)]
struct Columns<'a> {
    entries: (Vec<i64>, Vec<&'a str>, Vec<&'a [u8]>),
    views: (Vec<i64>, Vec<&'a str>),
    fields: (Vec<i64>, Vec<&'a str>),
    values: (Vec<&'a [u8]>, Vec<&'a str>),
    gone: (Vec<&'a str>, Vec<&'a str>),
    kept: (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>),
}

impl<'a> Columns<'a> {
    fn of(batch: &'a Batch) -> Result<Self, BackendError> {
        let mut columns = Self::default();
        for entry in &batch.entries {
            let seq = signed(entry.seq)?;
            columns.entries.0.push(seq);
            columns.entries.1.push(&entry.leaf);
            columns.entries.2.push(&entry.hash.0);
            if let Some(view) = &entry.view {
                columns.views.0.push(seq);
                columns.views.1.push(view);
            }
            for (field, value) in &entry.personal {
                columns.fields.0.push(seq);
                columns.fields.1.push(field);
                columns.values.0.push(&value.salt);
                columns.values.1.push(&value.text);
            }
        }
        for row in &batch.rows {
            if let Some(body) = &row.body {
                columns.kept.0.push(row.kind);
                columns.kept.1.push(&row.id);
                columns.kept.2.push(body);
            } else {
                columns.gone.0.push(row.kind);
                columns.gone.1.push(&row.id);
            }
        }
        Ok(columns)
    }
}

impl PostgresLink {
    /// Writes the entries with what stands beside them, the cached rows and the head.
    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), BackendError> {
        let Columns { entries, views, fields, values, gone, kept } = Columns::of(batch)?;
        let StoredHead { head, seal } = &batch.head;
        let (frontier, size) = (head.frontier.to_bytes(), signed(head.size())?);
        let last = size.saturating_sub(1);
        let (chain, seal) = (&head.chain.0[..], &seal.0[..]);
        self.run(
            WRITE,
            &[
                &entries.0,
                &entries.1,
                &entries.2,
                &views.0,
                &views.1,
                &fields.0,
                &fields.1,
                &values.0,
                &values.1,
                &gone.0,
                &gone.1,
                &last,
                &kept.0,
                &kept.1,
                &kept.2,
                &&*head.origin,
                &size,
                &frontier,
                &chain,
                &head.time_us.0,
                &seal,
            ],
        )
    }
}
