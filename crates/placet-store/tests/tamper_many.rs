//! A thousand random edits of real logs, each judged by `placet audit verify` (the function that the command calls) and by
//! `verify/placet_verify.py`, by what promise 8 of the design says. Fixed seeds.
//!
//! What must be found, and by which judge:
//!
//! | edit | both verifiers | the ledger, when it is opened |
//! |---|---|---|
//! | leaf, order, number of records in what a checkpoint covers, made to fit or not | found, named | refused |
//! | the same behind the last checkpoint, not made to fit | found, named | refused |
//! | the same behind the last checkpoint, made to fit without the key | reported as `unsigned` | refused: seal |
//! | view, personal field | found, named | not looked at |
//! | hash beside a leaf | found, named | not looked at |
//! | a checkpoint's text or place | found | refused if it is the last |
//! | a checkpoint taken out | not found: its records are `unsigned`, or covered by `--from` | found by the key folder's copy or the anchor |
//! | size and chain of the head | found | refused |
//! | time, origin, tree and seal of the head | not looked at: they need the log's key | refused |
//! | end cut off, made to fit, with its checkpoints | only with `--from` | refused |
//! | anything, signed anew with the real key | only with `--from` | refused where a copy of a checkpoint is kept |
//! | cached rows (budgets, approvals, credentials) | not looked at: the log is what counts | refused where they are needed |
//!
//! PostgreSQL is read by the first judge as it is, and by the second in the form of `placet audit export`, which holds no
//! personal fields and no stored hashes: edits of those are the first judge's alone.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "tests: helpers outside test functions"
)]
#![allow(unreachable_pub, reason = "modules of a test")]

#[path = "../../placet-audit/tests/support/mod.rs"]
mod audit;
#[cfg(feature = "postgres")]
#[path = "tampering/in_postgres.rs"]
mod in_postgres;
#[path = "tampering/in_sqlite.rs"]
mod in_sqlite;
#[path = "tampering/judges.rs"]
mod judges;
#[path = "tampering/mirrors.rs"]
mod mirrors;
#[cfg(feature = "postgres")]
#[path = "support/server.rs"]
mod server;
#[path = "tampering/shop.rs"]
mod shop;
mod support;
#[path = "tampering/tables.rs"]
mod tables;

use std::sync::atomic::{AtomicU64, Ordering};

use audit::Log;
use audit::edits::{Dice, KINDS, first_difference, mutate};

/// How many threads judge.
const THREADS: u64 = 2;

/// One edit: of which log, what it became, and with which checkpoint from elsewhere it is judged.
struct Case<'a> {
    what: String,
    clean: &'a Log,
    edited: Log,
    first: Option<u64>,
    outside: Option<(u64, String)>,
}

/// Makes so many edits and has each judged. Returns how many there were, and how many changed covered records.
fn judge_many<'a, J>(
    seed: u64,
    count: u64,
    clean: impl Fn(u64) -> &'a Log + Sync,
    judge: impl Fn(u64) -> J + Sync,
) -> (u64, u64)
where
    J: FnMut(&Case<'_>),
{
    let (made, covered) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (made, covered, clean, judge) = (&made, &covered, &clean, &judge);
            scope.spawn(move || {
                let mut judge = judge(thread);
                let clean = clean(thread);
                for number in (thread..count).step_by(usize::try_from(THREADS).unwrap()) {
                    let Some(case) = case(seed, number, clean) else { continue };
                    judge(&case);
                    made.fetch_add(1, Ordering::Relaxed);
                    let signed = case.edited.signed().max(case.outside.as_ref().map_or(0, |mark| mark.0));
                    covered.fetch_add(u64::from(case.first.is_some_and(|at| at < signed)), Ordering::Relaxed);
                }
            });
        }
    });
    (made.into_inner(), covered.into_inner())
}

fn case(seed: u64, number: u64, clean: &Log) -> Option<Case<'_>> {
    let mut dice = Dice(seed << 32 | number);
    let kind = usize::try_from(number % KINDS).unwrap();
    let mut edited = clean.clone();
    mutate(&mut edited, kind, &mut dice);
    // A table holds an entry once, in the order of its numbers.
    edited.entries.sort_by_key(|entry| entry.seq);
    edited.entries.dedup_by_key(|entry| entry.seq);
    let first = first_difference(clean, &edited);
    let same = first.is_none() && clean.head == edited.head && clean.checkpoints == edited.checkpoints;
    if same {
        return None;
    }
    let outside = (dice.below(2) == 0).then(|| {
        let mark = &clean.checkpoints[dice.below(clean.checkpoints.len())];
        (mark.size, mark.note.clone())
    });
    let what = format!("seed {seed}, edit {number}: {}", audit::edits::EDITS[kind].name);
    Some(Case { what, clean, edited, first, outside })
}
