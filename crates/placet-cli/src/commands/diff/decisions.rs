//! The same events under both sides.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use placet::{Decision, Event, Field, Gate};
use serde::Serialize;

use crate::batch::{self, Decide, Done};
use crate::console::Console;
use crate::failure::Failure;
use crate::paint::{RED, visible_line};

/// Most changed events that are listed one by one.
const MAX_LISTED: usize = 1_000;

/// What changed over some events.
#[derive(Default, Serialize)]
pub(super) struct Decisions {
    pub(super) events: u64,
    pub(super) changed: u64,
    pub(super) bad_lines: u64,
    /// How many events went from one verdict to another, unchanged ones included.
    #[serde(serialize_with = "transitions")]
    pub(super) transitions: BTreeMap<(&'static str, &'static str), u64>,
    /// The first events whose decision changed.
    pub(super) listed: Vec<Changed>,
    #[serde(skip)]
    bad: Vec<(u64, String)>,
}

/// An event whose verdict or hardness changed.
#[derive(Serialize)]
pub(super) struct Changed {
    pub(super) line: u64,
    pub(super) action: String,
    pub(super) old: Side,
    pub(super) new: Side,
}

/// One side's decision on it.
#[derive(Serialize)]
pub(super) struct Side {
    pub(super) verdict: &'static str,
    pub(super) hard: bool,
    pub(super) rule: Option<String>,
    pub(super) reason: String,
}

impl Side {
    fn of(decision: &Decision) -> Self {
        Self {
            verdict: decision.verdict.word(),
            hard: decision.verdict.is_hard(),
            rule: decision.rule_matched().map(ToString::to_string),
            reason: decision.reason.to_string(),
        }
    }
}

fn transitions<S: serde::Serializer>(
    counts: &BTreeMap<(&'static str, &'static str), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let one = |((old, new), count): (&(&str, &str), &u64)| serde_json::json!({ "old": old, "new": new, "count": count });
    serializer.collect_seq(counts.iter().map(one))
}

struct Both<'a>(&'a [Gate; 2]);

impl Decide for Both<'_> {
    type Result = Decisions;

    fn line(&self, line: u64, event: Result<Event, String>, into: &mut Decisions) {
        let event = match event {
            Ok(event) => event,
            Err(message) => {
                into.bad_lines += 1;
                into.bad.push((line, message));
                return;
            }
        };
        let action = event.get(Field::Action).as_str().unwrap_or_default().to_owned();
        let [old, new] = self.0;
        let (old, new) = (Side::of(&old.decide(event.clone())), Side::of(&new.decide(event)));
        into.events += 1;
        *into.transitions.entry((old.verdict, new.verdict)).or_default() += 1;
        if (old.verdict, old.hard) != (new.verdict, new.hard) {
            into.changed += 1;
            into.listed.push(Changed { line, action, old, new });
        }
    }
}

/// Decides every event of a file under both gates.
pub(super) fn compare(
    gates: &[Gate; 2],
    source: &str,
    console: &mut Console<'_>,
) -> Result<Decisions, Failure> {
    let unreadable =
        |source_error: io::Error| Failure::Read { what: format!("`{source}`"), source: source_error };
    let input: Box<dyn Read + Send + '_> = if source == "-" {
        std::mem::replace(&mut console.stdin, Box::new(io::empty()))
    } else {
        Box::new(File::open(source).map_err(unreadable)?)
    };
    let mut total = Decisions::default();
    let receive = |done: Done<Decisions>| {
        for (line, message) in &done.result.bad {
            let error = console.paint_err.paint(RED, "error:");
            console.say(&format!("{error} line {line}: {}", visible_line(message)));
        }
        total.add(done.result);
        Ok::<(), Failure>(())
    };
    batch::run(input, &Both(gates), receive, unreadable)?;
    Ok(total)
}

impl Decisions {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.changed += other.changed;
        self.bad_lines += other.bad_lines;
        for (transition, count) in other.transitions {
            *self.transitions.entry(transition).or_default() += count;
        }
        let room = MAX_LISTED.saturating_sub(self.listed.len());
        self.listed.extend(other.listed.into_iter().take(room));
    }
}
