//! Random operations against a plain model, and against a replay of what was committed.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use std::collections::BTreeMap;

use common::*;
use placet_trust::{State, StateKey};
use placet_types::ledger::{Amount, BudgetKey, BudgetScope, BudgetUnit, Window};
use placet_types::record::OutcomeStatus;
use placet_types::{Fact, LedgerOp, Micros, Record};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn seeded(cases: u32, seed: u64) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Row F14 and Kite R3: 64 callers, each reserving and then settling, in any order, on a budget of 10.
fn interleaved() -> impl Strategy<Value = Vec<usize>> {
    Just((0..64).flat_map(|caller| [caller, caller]).collect::<Vec<usize>>()).prop_shuffle()
}

proptest! {
    #![proptest_config(seeded(256, 14))]

    #[test]
    fn f14_kite_r3_of_64_interleaved_callers_exactly_10_run(order in interleaved()) {
        let mut state = State::default();
        let calls = calls("s");
        admit(&mut state, 1, change(), set(&calls, 10)).unwrap();
        let mut running = BTreeMap::new();
        let mut ran = 0;
        for (at, caller) in (2..).zip(order) {
            let id = format!("r{caller}");
            match running.remove(&caller) {
                None => {
                    let allowed = admit(&mut state, at, allow(), permit(&id, vec![of(&calls, 1)])).is_ok();
                    ran += u64::from(allowed);
                    running.insert(caller, allowed);
                }
                Some(true) => admit(&mut state, at, succeeded(), settle(&id, vec![])).unwrap(),
                Some(false) => {}
            }
            prop_assert!(spent(&state, &calls, at) <= 10);
        }
        prop_assert_eq!(ran, 10);
        prop_assert_eq!(state.budgets.in_flight().count(), 0);
    }
}

/// What a caller may try.
#[derive(Debug, Clone)]
enum Try {
    Set(usize, u64),
    Hold { id: u8, amounts: Vec<(usize, u64, Option<u64>)>, seconds: i64 },
    Permit { id: u8, amounts: Vec<(usize, u64, Option<u64>)> },
    Settle { id: u8, actual: Vec<(usize, u64)>, status: OutcomeStatus },
    Release { id: u8, status: OutcomeStatus },
}

/// Two budgets that never start anew, two that do each 10 s, a rate over 10 s.
fn budget(index: usize) -> BudgetKey {
    let key = key(BudgetScope::Session, ["a", "b", "c", "d", "e"][index], BudgetUnit::Tokens);
    match index {
        0 | 1 => key,
        2 | 3 => within(key, Window::Fixed(10)),
        _ => within(key, Window::Rolling(10)),
    }
}

fn amounts() -> impl Strategy<Value = Vec<(usize, u64, Option<u64>)>> {
    prop::collection::vec((0..5usize, 0..6u64, prop::option::weighted(0.3, 0..12u64)), 0..4)
}

fn status() -> impl Strategy<Value = OutcomeStatus> {
    prop::sample::select(vec![
        OutcomeStatus::Succeeded,
        OutcomeStatus::Failed,
        OutcomeStatus::Cancelled,
        OutcomeStatus::NotStarted,
    ])
}

/// A try, and how many seconds pass before it.
fn tries() -> impl Strategy<Value = Vec<(i64, Try)>> {
    let id = 0..8u8;
    let one = prop_oneof![
        1 => (0..5usize, 0..20u64).prop_map(|(budget, limit)| Try::Set(budget, limit)),
        2 => (id.clone(), amounts(), 1..8i64)
            .prop_map(|(id, amounts, seconds)| Try::Hold { id, amounts, seconds }),
        4 => (id.clone(), amounts()).prop_map(|(id, amounts)| Try::Permit { id, amounts }),
        3 => (id.clone(), prop::collection::vec((0..5usize, 0..9u64), 0..3), status())
            .prop_map(|(id, actual, status)| Try::Settle { id, actual, status }),
        1 => (id, status()).prop_map(|(id, status)| Try::Release { id, status }),
    ];
    prop::collection::vec((0..4i64, one), 1..60)
}

fn wanted(amounts: &[(usize, u64, Option<u64>)]) -> Vec<Amount> {
    let wanted = |(index, amount, limit): &(usize, u64, Option<u64>)| Amount {
        key: budget(*index),
        amount: *amount,
        limit: *limit,
    };
    amounts.iter().map(wanted).collect()
}

fn operation(attempt: &Try, at: i64) -> (Fact, LedgerOp) {
    match attempt {
        Try::Set(index, limit) => (change(), set(&budget(*index), *limit)),
        Try::Hold { id, amounts, seconds } => {
            (change(), hold(&id.to_string(), wanted(amounts), at + seconds * SECOND))
        }
        Try::Permit { id, amounts } => (allow(), permit(&id.to_string(), wanted(amounts))),
        Try::Settle { id, actual, status } => {
            let actual = actual.iter().map(|(index, amount)| of(&budget(*index), *amount)).collect();
            (outcome(*status), settle(&id.to_string(), actual))
        }
        Try::Release { id, status } => (outcome(*status), release(&id.to_string())),
    }
}

/// The model: everything that was ever taken, in a list, added up anew for every question. Without rates.
#[derive(Debug, Default)]
struct Model {
    limits: BTreeMap<usize, u64>,
    taken: Vec<Taken>,
    /// Budget, moment, amount.
    spent: Vec<(usize, i64, u64)>,
}

#[derive(Debug)]
struct Taken {
    id: u8,
    amounts: Vec<(usize, u64, Option<u64>)>,
    at: i64,
    /// `None` when its permit was given.
    expires: Option<i64>,
}

impl Model {
    fn same_window(index: usize, one: i64, other: i64) -> bool {
        index < 2 || one.div_euclid(10 * SECOND) == other.div_euclid(10 * SECOND)
    }

    fn used(&self, index: usize, at: i64, without: Option<u8>) -> u64 {
        let open = self.taken.iter().filter(|taken| Some(taken.id) != without).map(|taken| {
            let counts = match taken.expires {
                Some(expires) => expires > at,
                None => Self::same_window(index, taken.at, at),
            };
            let amounts = taken.amounts.iter().filter(|(budget, ..)| *budget == index && counts);
            amounts.map(|(_, amount, _)| amount).sum::<u64>()
        });
        let spent = self
            .spent
            .iter()
            .filter(|(budget, when, _)| *budget == index && Self::same_window(index, *when, at));
        open.sum::<u64>() + spent.map(|(.., amount)| amount).sum::<u64>()
    }

    fn fits(&self, amounts: &[(usize, u64, Option<u64>)], at: i64, without: Option<u8>) -> bool {
        amounts.iter().all(|(index, amount, stated)| {
            let used = self.used(*index, at, without);
            let limits = self.limits.get(index).into_iter().chain(stated);
            limits.min().is_none_or(|limit| used < *limit && used + amount <= *limit)
        })
    }

    fn reserve(
        &mut self,
        id: u8,
        amounts: &[(usize, u64, Option<u64>)],
        at: i64,
        expires: Option<i64>,
    ) -> bool {
        let mut budgets: Vec<_> = amounts.iter().map(|(index, ..)| index).collect();
        budgets.sort();
        budgets.dedup();
        if budgets.len() != amounts.len() {
            return false;
        }
        let live = |taken: &&Taken| taken.id == id && taken.expires.is_none_or(|expires| expires > at);
        if let Some(known) = self.taken.iter().find(live) {
            let same = known.amounts == amounts;
            if same && known.expires == expires {
                return true;
            }
            if !same || known.expires.is_none() || expires.is_some() {
                return false;
            }
        } else if !self.fits(amounts, at, Some(id)) {
            return false;
        }
        self.taken.retain(|taken| taken.id != id);
        self.taken.push(Taken { id, amounts: amounts.to_vec(), at, expires });
        true
    }

    fn close(&mut self, id: u8, at: i64) -> Option<Taken> {
        let live = |taken: &Taken| taken.id == id && taken.expires.is_none_or(|expires| expires > at);
        let place = self.taken.iter().position(live)?;
        Some(self.taken.remove(place))
    }

    fn settle(&mut self, id: u8, actual: &[(usize, u64)], at: i64, failed: bool) -> bool {
        if actual.len() == 2 && actual[0].0 == actual[1].0 {
            return false;
        }
        let Some(taken) = self.close(id, at) else { return false };
        for (index, estimate, _) in &taken.amounts {
            let told = actual.iter().find(|(budget, _)| budget == index).map(|(_, amount)| *amount);
            let cost = told.map_or(*estimate, |told| if failed { told.max(*estimate) } else { told });
            if taken.expires.is_some() {
                self.spent.push((*index, at, cost));
            } else if Self::same_window(*index, taken.at, at) {
                self.spent.push((*index, taken.at, cost));
            } else {
                self.spent.push((*index, taken.at, *estimate));
                self.spent.push((*index, at, cost.saturating_sub(*estimate)));
            }
        }
        for (index, cost) in actual {
            if !taken.amounts.iter().any(|(budget, ..)| budget == index) {
                self.spent.push((*index, at, *cost));
            }
        }
        true
    }

    fn attempt(&mut self, attempt: &Try, at: i64) -> bool {
        match attempt {
            Try::Set(index, limit) => {
                self.limits.insert(*index, *limit);
                true
            }
            Try::Hold { id, amounts, seconds } => self.reserve(*id, amounts, at, Some(at + seconds * SECOND)),
            Try::Permit { id, amounts } => self.reserve(*id, amounts, at, None),
            Try::Settle { id, actual, status } => {
                let failed = matches!(status, OutcomeStatus::Failed | OutcomeStatus::Cancelled);
                self.settle(*id, actual, at, failed)
            }
            Try::Release { id, status } => {
                let known = self.taken.iter().find(|taken| taken.id == *id);
                let in_flight = known.is_some_and(|taken| taken.expires.is_none());
                if in_flight && *status != OutcomeStatus::NotStarted {
                    return false;
                }
                self.taken.retain(|taken| taken.id != *id);
                true
            }
        }
    }
}

fn names_rate(attempt: &Try) -> bool {
    match attempt {
        Try::Set(index, _) => *index == 4,
        Try::Hold { amounts, .. } | Try::Permit { amounts, .. } => {
            amounts.iter().any(|(index, ..)| *index == 4)
        }
        Try::Settle { actual, .. } => actual.iter().any(|(index, _)| *index == 4),
        Try::Release { .. } => false,
    }
}

proptest! {
    #![proptest_config(seeded(1_024, 11))]

    /// Row F11: every answer and every balance is the model's, and only settlements pass a limit.
    #[test]
    fn f11_budgets_are_as_the_model_says(tries in tries()) {
        let (mut state, mut model, mut at) = (State::default(), Model::default(), 0);
        for (pause, attempt) in tries.iter().filter(|(_, attempt)| !names_rate(attempt)) {
            at += pause * SECOND;
            let (fact, op) = operation(attempt, at);
            let before: Vec<u64> = (0..4).map(|index| model.used(index, at, None)).collect();
            let expected = model.attempt(attempt, at);
            let admitted = admit(&mut state, at, fact, op);
            prop_assert_eq!(admitted.is_ok(), expected, "{:?} at {}: {:?}", attempt, at, admitted);
            for (index, before) in before.iter().enumerate() {
                let standing = state.budgets.standing(&budget(index), Micros(at));
                let used = standing.map_or(0, |now| now.spent + now.in_flight + now.held);
                prop_assert_eq!(used, model.used(index, at, None), "budget {} at {}", index, at);
                let limit = model.limits.get(&index).copied().unwrap_or(u64::MAX);
                let may_pass = matches!(attempt, Try::Settle { .. } | Try::Set(..));
                prop_assert!(used <= limit.max(*before) || may_pass);
            }
        }
    }

    /// What is admitted one by one is what a replay of the committed records gives; refusals change nothing; no row
    /// changes that was not among the keys of its record.
    #[test]
    fn promise_6_replay_gives_the_state_and_keys_name_every_row(tries in tries()) {
        let (mut state, mut committed, mut at) = (State::default(), Vec::<Record>::new(), 0);
        let mut rows = BTreeMap::new();
        for (pause, attempt) in &tries {
            at += pause * SECOND;
            let (fact, op) = operation(attempt, at);
            let mut record = record(at, fact, vec![op]);
            record.session = Some("s".into());
            let keys = state.keys(&record);
            for key in &keys {
                prop_assert_eq!(rows.get(key).cloned(), state.row(key).body, "{:?} before {:?}", key, attempt);
            }
            let before = state.clone();
            if state.admit(&record).is_err() {
                prop_assert_eq!(&state.budgets, &before.budgets);
                continue;
            }
            for key in keys {
                match state.row(&key).body {
                    Some(body) => drop(rows.insert(key, body)),
                    None => drop(rows.remove(&key)),
                }
            }
            committed.push(record);
        }
        for key in everything() {
            prop_assert_eq!(rows.get(&key).cloned(), state.row(&key).body, "{:?}", key);
        }
        let mut replayed = State::default();
        for record in &committed {
            replayed.replay(record);
        }
        prop_assert_eq!(&replayed.budgets, &state.budgets);
        prop_assert_eq!(&replayed.sessions, &state.sessions);
    }

    /// A rate lets through the burst and what has leaked since, whatever the order, and no more.
    #[test]
    fn f11_rates_hold_over_every_span(limit in 1..9u64, pauses in prop::collection::vec((0..4_000_000i64, 1..4u64), 1..80)) {
        let (mut state, mut at, mut taken) = (State::default(), 0, Vec::<(i64, u64)>::new());
        let rate = budget(4);
        for (number, (pause, amount)) in pauses.into_iter().enumerate() {
            at += pause;
            let op = permit(&number.to_string(), vec![stated(&rate, amount, limit)]);
            if admit(&mut state, at, allow(), op).is_ok() {
                taken.push((at, amount));
            }
        }
        for (index, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (to, amount) in &taken[index..] {
                sum += amount;
                let span = u64::try_from(to - from).unwrap();
                prop_assert!(sum * 10_000_000 <= limit * 10_000_000 + limit * span);
            }
        }
    }
}

fn everything() -> impl Iterator<Item = StateKey> {
    let budgets = (0..5).map(|index| StateKey::Budget(budget(index)));
    budgets.chain((0..8).map(|id| StateKey::Reservation(id.to_string().into())))
}
