//! Budgets: what may be taken, what counts, and what a refusal says.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use common::*;
use placet_trust::State;
use placet_types::DenyCause;
use placet_types::ledger::{BudgetScope, BudgetUnit, MAX_COUNT, Reservation, Window};
use placet_types::record::OutcomeStatus;
use placet_types::{Fact, LedgerOp, Micros};

/// Row F11 and Kite 20.4: with a total of 1, one of 20 calls runs.
#[test]
fn f11_kite_20_4_kite_r3_one_of_twenty_callers_runs() {
    let mut state = State::default();
    let calls = calls("s");
    let ran = (0..20)
        .filter(|caller| {
            let op = permit(&format!("r{caller}"), vec![stated(&calls, 1, 1)]);
            admit(&mut state, 1, allow(), op).is_ok()
        })
        .count();
    assert_eq!(ran, 1);
    assert_eq!(spent(&state, &calls, 1), 1);
}

/// Row F11: a caller that states a higher limit, or none, gets the known one.
#[test]
fn f11_a_caller_cannot_loosen_a_limit() {
    let mut state = State::default();
    let calls = calls("s");
    admit(&mut state, 1, change(), set(&calls, 2)).unwrap();
    admit(&mut state, 1, allow(), permit("a", vec![stated(&calls, 1, 100)])).unwrap();
    let tighter = admit(&mut state, 1, allow(), permit("b", vec![stated(&calls, 1, 1)])).unwrap_err();
    assert_eq!(tighter.cause, DenyCause::BudgetExhausted);
    admit(&mut state, 1, allow(), permit("c", vec![of(&calls, 1)])).unwrap();
    for wanted in [of(&calls, 1), stated(&calls, 1, MAX_COUNT), of(&calls, 0)] {
        let refusal = admit(&mut state, 1, allow(), permit("d", vec![wanted])).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::BudgetExhausted, "{refusal}");
    }
}

/// Row F11: a budget that nobody has heard of is counted, and a limit stated later finds the count.
#[test]
fn f11_what_is_not_limited_is_counted() {
    let mut state = State::default();
    let calls = calls("s");
    for id in ["a", "b", "c"] {
        admit(&mut state, 1, allow(), permit(id, vec![of(&calls, 1)])).unwrap();
        admit(&mut state, 2, succeeded(), settle(id, vec![])).unwrap();
    }
    assert_eq!(spent(&state, &calls, 2), 3);
    assert!(admit(&mut state, 3, allow(), permit("d", vec![stated(&calls, 1, 3)])).is_err());
    assert!(admit(&mut state, 3, allow(), permit("d", vec![stated(&calls, 1, 4)])).is_ok());
}

/// Row F14: two sessions of one organisation share 100 tokens.
#[test]
fn f14_sessions_of_one_organisation_share_its_budget() {
    let mut state = State::default();
    let org = key(BudgetScope::Organisation, "", BudgetUnit::Tokens);
    let session = |name| key(BudgetScope::Session, name, BudgetUnit::Tokens);
    admit(&mut state, 1, change(), set(&org, 100)).unwrap();
    admit(&mut state, 1, allow(), permit("a", vec![of(&session("a"), 100), of(&org, 100)])).unwrap();
    admit(&mut state, 2, succeeded(), settle("a", vec![])).unwrap();
    let op = permit("b", vec![of(&session("b"), 1), of(&org, 1)]);
    let refusal = admit(&mut state, 3, allow(), op).unwrap_err();
    assert_eq!(refusal.cause, DenyCause::BudgetExhausted);
    assert_eq!(spent(&state, &session("b"), 3), 0, "all or none");
    assert!(admit(&mut state, 3, allow(), permit("c", vec![of(&session("b"), 0), of(&org, 0)])).is_err());
}

/// Row F14: a child's spending counts against the root of its lineage, and its own limit is its own.
#[test]
fn f14_a_child_spends_from_its_root() {
    let mut state = State::default();
    let (root, child) = (calls("credential:root"), calls("credential:child"));
    for id in ["a", "b"] {
        let amounts = vec![stated(&root, 1, 3), stated(&child, 1, 2)];
        admit(&mut state, 1, allow(), permit(id, amounts)).unwrap();
    }
    let amounts = vec![stated(&root, 1, 3), stated(&child, 1, 2)];
    assert!(admit(&mut state, 1, allow(), permit("c", amounts)).is_err(), "the child's limit");
    admit(&mut state, 1, allow(), permit("d", vec![stated(&root, 1, 3)])).unwrap();
    assert!(
        admit(&mut state, 1, allow(), permit("e", vec![stated(&root, 1, 3)])).is_err(),
        "the root's limit"
    );
}

/// A crash after the permit leaves the amount spent: it never expires, and nothing gives it back but an outcome
/// that says that the effect never began.
#[test]
fn f11_in_flight_counts_as_spent_until_an_outcome() {
    let mut state = State::default();
    let calls = calls("s");
    admit(&mut state, 1, change(), set(&calls, 2)).unwrap();
    admit(&mut state, 1, allow(), permit("a", vec![of(&calls, 2)])).unwrap();
    let years = 10 * 365 * 86_400 * SECOND;
    assert!(admit(&mut state, years, allow(), permit("b", vec![of(&calls, 1)])).is_err());
    for fact in [change(), succeeded(), outcome(OutcomeStatus::Failed), outcome(OutcomeStatus::Cancelled)] {
        let refusal = admit(&mut state, years, fact, release("a")).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::InvalidRequest);
    }
    admit(&mut state, years, outcome(OutcomeStatus::NotStarted), release("a")).unwrap();
    admit(&mut state, years, outcome(OutcomeStatus::NotStarted), release("a")).unwrap();
    assert_eq!(spent(&state, &calls, years), 0);
    assert!(admit(&mut state, years, allow(), permit("b", vec![of(&calls, 2)])).is_ok());
}

#[test]
fn f11_a_failure_after_the_effect_began_costs_the_estimate() {
    for status in [OutcomeStatus::Failed, OutcomeStatus::Cancelled] {
        let mut state = State::default();
        let (calls, tokens) = (calls("s"), key(BudgetScope::Session, "s", BudgetUnit::Tokens));
        admit(&mut state, 1, allow(), permit("a", vec![of(&calls, 1), of(&tokens, 50)])).unwrap();
        admit(&mut state, 2, outcome(status), settle("a", vec![of(&calls, 0), of(&tokens, 70)])).unwrap();
        assert_eq!((spent(&state, &calls, 2), spent(&state, &tokens, 2)), (1, 70));
    }
    let mut state = State::default();
    let tokens = key(BudgetScope::Session, "s", BudgetUnit::Tokens);
    admit(&mut state, 1, allow(), permit("a", vec![of(&tokens, 50)])).unwrap();
    admit(&mut state, 2, succeeded(), settle("a", vec![of(&tokens, 7)])).unwrap();
    assert_eq!(spent(&state, &tokens, 2), 7);
}

/// What was spent counts even past the limit and even where nothing was reserved; then the budget is exhausted.
#[test]
fn f11_a_settlement_may_overdraw_and_exhausts_the_budget() {
    let mut state = State::default();
    let (cost, tokens) = (
        key(BudgetScope::Session, "s", BudgetUnit::CostMicros),
        key(BudgetScope::Session, "s", BudgetUnit::Tokens),
    );
    admit(&mut state, 1, change(), set(&cost, 100)).unwrap();
    admit(&mut state, 1, allow(), permit("a", vec![of(&cost, 10)])).unwrap();
    admit(&mut state, 2, succeeded(), settle("a", vec![of(&cost, 250), of(&tokens, 9)])).unwrap();
    assert_eq!((spent(&state, &cost, 2), spent(&state, &tokens, 2)), (250, 9));
    let refusal = admit(&mut state, 3, allow(), permit("b", vec![of(&cost, 0)])).unwrap_err();
    assert_eq!(refusal.cause, DenyCause::BudgetExhausted);
    assert_eq!(
        &*refusal.reason,
        "the budget for cost_micros of session `s` has 250 of 100 cost_micros used (0 of them by calls still open), \
         and this asks for 0; it never starts anew: ask for less, or have the limit raised"
    );
}

/// A second settlement of one reservation charges nothing; a repeated reservation takes nothing.
#[test]
fn f11_reservations_count_once() {
    let mut state = State::default();
    let calls = calls("s");
    let op = permit("a", vec![of(&calls, 1)]);
    admit(&mut state, 1, allow(), op.clone()).unwrap();
    admit(&mut state, 2, allow(), op).unwrap();
    assert_eq!(spent(&state, &calls, 2), 1);
    let other = admit(&mut state, 2, allow(), permit("a", vec![of(&calls, 2)])).unwrap_err();
    assert_eq!(other.cause, DenyCause::InvalidRequest);
    admit(&mut state, 3, succeeded(), settle("a", vec![of(&calls, 1)])).unwrap();
    let again = admit(&mut state, 4, succeeded(), settle("a", vec![of(&calls, 1)])).unwrap_err();
    assert_eq!(again.cause, DenyCause::InvalidRequest);
    assert_eq!(spent(&state, &calls, 4), 1);
    assert_eq!(state.budgets.in_flight().count(), 0, "a settled reservation is forgotten");
}

/// Without a permit a reservation falls back by itself; with one it is taken over without being counted twice.
#[test]
fn f11_only_reservations_without_a_permit_expire() {
    let mut state = State::default();
    let calls = calls("s");
    admit(&mut state, 1, change(), set(&calls, 1)).unwrap();
    admit(&mut state, 1, change(), hold("a", vec![of(&calls, 1)], 10)).unwrap();
    assert!(admit(&mut state, 9, allow(), permit("b", vec![of(&calls, 1)])).is_err());
    admit(&mut state, 10, allow(), permit("b", vec![of(&calls, 1)])).unwrap();
    let late = admit(&mut state, 10, allow(), permit("a", vec![of(&calls, 1)])).unwrap_err();
    assert_eq!(late.cause, DenyCause::BudgetExhausted, "an expired hold holds nothing");
    admit(&mut state, 11, outcome(OutcomeStatus::NotStarted), release("b")).unwrap();
    admit(&mut state, 11, change(), hold("c", vec![of(&calls, 1)], 20)).unwrap();
    admit(&mut state, 12, allow(), permit("c", vec![of(&calls, 1)])).unwrap();
    assert_eq!(spent(&state, &calls, 1_000), 1);
}

/// Denied calls cost nothing: such a record cannot take anything.
#[test]
fn f11_denied_calls_cost_nothing() {
    for verdict in ["deny", "escalate"] {
        let mut state = State::default();
        let op = permit("a", vec![of(&calls("s"), 1)]);
        let refusal = admit(&mut state, 1, Fact::Decision(decision(verdict, None)), op).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::InvalidRequest);
    }
}

#[test]
fn f11_sums_past_the_largest_number_are_refused() {
    let mut state = State::default();
    let tokens = key(BudgetScope::Session, "s", BudgetUnit::Tokens);
    let too_large = admit(&mut state, 1, allow(), permit("a", vec![of(&tokens, MAX_COUNT + 1)])).unwrap_err();
    assert_eq!(too_large.cause, DenyCause::InvalidRequest);
    assert!(admit(&mut state, 1, change(), set(&tokens, u64::MAX)).is_err());
    admit(&mut state, 1, allow(), permit("a", vec![of(&tokens, MAX_COUNT - 1)])).unwrap();
    let full = admit(&mut state, 1, allow(), permit("b", vec![of(&tokens, 2)])).unwrap_err();
    assert_eq!(full.cause, DenyCause::BudgetExhausted);
    admit(&mut state, 1, allow(), permit("b", vec![of(&tokens, 1)])).unwrap();
    admit(&mut state, 2, succeeded(), settle("a", vec![of(&tokens, MAX_COUNT)])).unwrap();
    admit(&mut state, 2, succeeded(), settle("b", vec![of(&tokens, MAX_COUNT)])).unwrap();
    assert_eq!(spent(&state, &tokens, 2), MAX_COUNT);
}

#[test]
fn f11_fixed_windows_start_anew_and_keep_what_is_theirs() {
    let mut state = State::default();
    let daily = within(calls("s"), Window::Fixed(86_400));
    let day = 86_400 * SECOND;
    admit(&mut state, 1, change(), set(&daily, 2)).unwrap();
    admit(&mut state, day - 2, allow(), permit("a", vec![of(&daily, 1)])).unwrap();
    admit(&mut state, day - 2, allow(), permit("b", vec![of(&daily, 1)])).unwrap();
    let refusal = admit(&mut state, day - 1, allow(), permit("c", vec![of(&daily, 1)])).unwrap_err();
    assert_eq!(
        &*refusal.reason,
        "the budget for api_calls of session `s` in each 86400 s has 2 of 2 api_calls used (2 of them by calls still \
         open), and this asks for 1; it starts anew at 1970-01-02T00:00:00Z: wait until then, ask for less, or have \
         the limit raised"
    );
    admit(&mut state, day, allow(), permit("c", vec![of(&daily, 1)])).unwrap();
    admit(&mut state, day, succeeded(), settle("a", vec![])).unwrap();
    assert_eq!(spent(&state, &daily, day), 1, "what the day before foresaw stays in it");
    admit(&mut state, day, succeeded(), settle("b", vec![of(&daily, 2)])).unwrap();
    assert_eq!(spent(&state, &daily, day), 2, "what it did not foresee is charged now");
    assert!(admit(&mut state, day + 1, allow(), permit("d", vec![of(&daily, 1)])).is_err());
    assert!(
        admit(&mut state, day - 1, allow(), permit("d", vec![of(&daily, 1)])).is_err(),
        "time does not run back"
    );
}

/// A rate limit of 3 per second: three at once, then one each third of a second, exactly.
#[test]
fn f11_rolling_windows_are_exact_rates() {
    let mut state = State::default();
    let rate = within(calls("s"), Window::Rolling(1));
    let start = 1_000 * SECOND;
    let mut call = |at: i64, id: &str| admit(&mut state, at, allow(), permit(id, vec![stated(&rate, 1, 3)]));
    for id in ["a", "b", "c"] {
        call(start, id).unwrap();
    }
    let refusal = call(start, "d").unwrap_err();
    assert_eq!(refusal.cause, DenyCause::RateLimited);
    assert_eq!(
        &*refusal.reason,
        "the rate limit for api_calls of session `s`, refilled evenly over 1 s, has 3 of 3 api_calls used, and this asks for 1; \
         there is room again at 1970-01-01T00:16:40.333334Z: wait until then, ask for less, or have the limit raised"
    );
    assert!(call(start + 333_333, "d").is_err());
    assert!(call(start + 333_334, "d").is_ok());
    assert!(call(start + 666_666, "e").is_err());
    assert!(call(start + 666_667, "e").is_ok());
    assert!(call(start + 666_667, "f").is_err());
    for id in ["f", "g", "h"] {
        call(start + 10 * SECOND, id).unwrap();
    }
    assert!(call(start + 10 * SECOND, "i").is_err(), "idle time gives no more than the burst");
    assert!(call(start + 9 * SECOND, "i").is_err(), "time does not run back");
}

#[test]
fn f11_rates_are_refused_what_they_never_allow() {
    let mut state = State::default();
    let rate = within(calls("s"), Window::Rolling(60));
    admit(&mut state, 1, change(), set(&rate, 5)).unwrap();
    let refusal = admit(&mut state, 1, allow(), permit("a", vec![of(&rate, 6)])).unwrap_err();
    assert_eq!(refusal.cause, DenyCause::RateLimited);
    assert!(refusal.reason.contains("more than it ever allows at once"), "{refusal}");
    admit(&mut state, 1, change(), set(&rate, 0)).unwrap();
    assert!(admit(&mut state, i64::MAX, allow(), permit("a", vec![of(&rate, 0)])).is_err());
}

#[test]
fn malformed_operations_are_refused() {
    let mut state = State::default();
    let calls = calls("s");
    let twice = permit("a", vec![of(&calls, 1), of(&calls, 1)]);
    let endless = LedgerOp::Reserve(Reservation {
        id: "a".into(),
        amounts: vec![of(&calls, 1)],
        in_flight: false,
        expires_us: None,
    });
    let zero = |window| set(&within(calls.clone(), window), 1);
    for op in [
        twice,
        endless,
        hold("a", vec![of(&calls, 1)], 5),
        zero(Window::Fixed(0)),
        zero(Window::Rolling(0)),
        permit("a", vec![stated(&calls, 1, u64::MAX)]),
        settle("unknown", vec![]),
    ] {
        let refusal = admit(&mut state, 5, change(), op.clone()).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::InvalidRequest, "{op:?}");
    }
    assert_eq!(state.budgets.standing(&calls, Micros(5)), None, "refusals leave nothing");
}
