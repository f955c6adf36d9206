//! Processes that make governed calls, with budgets and approvals, and are killed at any moment (`kill -9`): no effect
//! without a record, no acknowledged record lost, no budget overspent, no approval used twice, nobody left untold, and
//! the log verifies after every restart. Planted faults prove that the suite would notice.
//!
//! `PLACET_CRASHES` says how often (30 on each ledger when absent); `make test-all` does it 200 times.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod deployment;
mod faults;
#[path = "../../../placet-store/tests/support/server.rs"]
mod server;
mod worker;

use std::path::Path;

use deployment::{BUDGET, Deployment, FAULT, FOLDER, Kept, ROLE, Random};
use faults::Fault;
use worker::Role;

/// After so many kills a new log is begun: a log is read whole after each.
const KILLS_PER_LOG: usize = 25;

/// How many workers are killed at most before a planted fault must have shown.
const KILLS_PER_FAULT: usize = 12;

/// What a spawned process does; without a role, nothing.
#[test]
fn acts_in_a_role() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let fault = std::env::var(FAULT).ok().map(|word| Fault::of(&word));
    worker::act(Path::new(&folder), &role, fault);
}

fn random() -> Random {
    Random(0x9e37_79b9_7f4a_7c15)
}

fn kills() -> usize {
    std::env::var("PLACET_CRASHES").ok().and_then(|kills| kills.parse().ok()).unwrap_or(30)
}

fn holds(deployment: &Deployment) {
    assert!(deployment.findings.is_empty(), "{:#?}", deployment.findings);
}

fn kill_often(kept: Kept) {
    let (kills, mut random) = (kills(), random());
    let (mut done, mut effects, mut acknowledged, mut mapped) = (0, 0, 0, 0);
    while done < kills {
        let mut deployment = Deployment::new(kept, &format!("often_{done}"), None);
        for _ in 0..KILLS_PER_LOG.min(kills - done) {
            deployment.kill_one(Role::Works, &mut random);
            done += 1;
        }
        effects += deployment.check();
        acknowledged += deployment.acknowledgements();
        mapped += deployment.mapped;
        holds(&deployment);
    }
    println!("{done} kills, {effects} effects, {acknowledged} acknowledgements");
    assert!(effects >= kills, "the workers did next to nothing");
    let as_memory = matches!(kept, Kept::SqliteWritten) && cfg!(target_os = "linux");
    assert!(mapped * 2 > kills || !as_memory, "{mapped} of {kills} wrote to the spill file as memory");
}

/// A tool that acts and takes its process down spends what it was allowed to.
fn act_and_crash(kept: Kept, fault: Option<Fault>) -> Deployment {
    let name = format!("acts{}", fault.map(|_| "_faulty").unwrap_or_default());
    let mut deployment = Deployment::new(kept, &name, fault);
    for _ in 0..BUDGET {
        deployment.run(Role::ActsAndCrashes);
    }
    for _ in 0..3 {
        deployment.run(Role::CallsOnce);
    }
    deployment.check();
    deployment
}

fn ten_of_ten(kept: Kept) {
    let deployment = act_and_crash(kept, None);
    holds(&deployment);
    assert_eq!(deployment.told("allowed").count(), BUDGET);
    assert_eq!(deployment.told("budget_exhausted").count(), 3);
}

/// People are asked, and the process dies before they are told, while they are told, or before it could say so.
fn ask_and_crash(kept: Kept, fault: Option<Fault>) -> (Deployment, usize) {
    let name = format!("asks{}", fault.map(|_| "_faulty").unwrap_or_default());
    let (mut deployment, mut random) = (Deployment::new(kept, &name, fault), random());
    for _ in 0..3 {
        deployment.run(Role::AsksAndCrashes);
        deployment.run(Role::TellsAndCrashes);
    }
    let kills = if fault.is_some() { KILLS_PER_FAULT } else { kills().div_ceil(2) };
    for _ in 0..kills {
        deployment.kill_one(Role::AsksAndTells, &mut random);
    }
    deployment.run(Role::TellsAll);
    deployment.check();
    let asked = deployment.check_all_told();
    println!("{} kills, {asked} requests, {} told", kills + 6, deployment.told("told").count());
    (deployment, asked)
}

fn nobody_is_left_untold(kept: Kept) {
    let (deployment, asked) = ask_and_crash(kept, None);
    holds(&deployment);
    assert!(asked > 20 && deployment.told("told").count() > 20, "the workers did next to nothing");
}

#[test]
fn f26_aegis_73_kill_9_of_governed_calls_on_sqlite() {
    kill_often(Kept::Sqlite);
}

#[test]
fn f26_kill_9_of_governed_calls_that_are_only_written_on_sqlite() {
    kill_often(Kept::SqliteWritten);
}

#[test]
fn f27_aegis_73_kill_9_of_governed_calls_on_postgresql() {
    kill_often(Kept::Postgres);
}

#[test]
fn f11_ten_calls_that_crash_spend_a_budget_of_ten_on_sqlite() {
    ten_of_ten(Kept::Sqlite);
}

#[test]
fn f11_ten_calls_that_crash_spend_a_budget_of_ten_on_postgresql() {
    ten_of_ten(Kept::Postgres);
}

#[test]
fn f69_kill_9_between_a_request_and_its_notice_leaves_nobody_untold_on_sqlite() {
    nobody_is_left_untold(Kept::Sqlite);
}

#[test]
fn f69_kill_9_between_a_request_and_its_notice_leaves_nobody_untold_on_postgresql() {
    nobody_is_left_untold(Kept::Postgres);
}

/// Kills workers over a ledger with a fault until it shows.
fn shows(fault: Fault, finding: &str) {
    let (name, mut random) = (fault.word().to_lowercase(), random());
    let mut deployment = Deployment::new(Kept::Sqlite, &name, Some(fault));
    for _ in 0..KILLS_PER_FAULT {
        deployment.kill_one(Role::Works, &mut random);
        deployment.check();
        if deployment.findings.iter().any(|found| found == finding) {
            return;
        }
    }
    panic!("{KILLS_PER_FAULT} kills, and {fault:?} did not show as `{finding}`: {:?}", deployment.findings);
}

#[test]
fn aegis_73_an_effect_before_its_record_is_found() {
    shows(Fault::EffectFirst, "an effect without a record");
}

#[test]
fn aegis_73_a_commit_that_was_acknowledged_and_not_written_is_found() {
    shows(Fault::Unwritten, "an allowed call is not on record");
}

#[test]
fn aegis_73_an_approval_that_can_be_used_twice_is_found() {
    shows(Fault::Reusable, "an approval was used twice");
}

#[test]
fn aegis_73_a_budget_that_is_refunded_after_a_crash_is_found() {
    let deployment = act_and_crash(Kept::Sqlite, Some(Fault::Refunded));
    let finding = format!("a budget of {BUDGET} was overspent");
    assert!(deployment.findings.contains(&finding), "{:?}", deployment.findings);
}

#[test]
fn f69_a_notice_that_is_written_down_before_it_is_told_is_found() {
    let (deployment, _) = ask_and_crash(Kept::Sqlite, Some(Fault::ToldFirst));
    assert!(deployment.findings.contains("a notice was lost"), "{:?}", deployment.findings);
}
