//! One meaning, four evaluators: the engine, the naive oracle, and the exported Rego on the embedded interpreter and
//! on a real Open Policy Agent decide generated events over generated policy sets alike.
//!
//! `PLACET_DIFFERENTIAL_EVENTS` sets how many events, `PLACET_DIFFERENTIAL_SEED` which. Without the `opa` command
//! that evaluator is left out, unless `PLACET_REQUIRE_OPA` is set.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops where it fails"
)]

use std::env;

use placet_policy::{PolicySet, Request, export};
use placet_testkit::events::event;
use placet_testkit::exported::{Exported, answered, expected, find_opa, on_interpreter, on_opa};
use placet_testkit::oracle;
use placet_testkit::policies::{PolicyCase, policy_case};
use placet_types::{Decision, DecisionId, Tier};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value as Json, json};

/// Events decided on each policy set.
const EVENTS_PER_SET: usize = 10;

/// Policy sets that one run of OPA decides.
const SETS_PER_RUN: usize = 100;

/// Differences that are accepted, each with its reason: none.
///
/// Time zones could differ where the engines carry other editions of the database of zones; the generated zones have
/// had the same rules for years.
const ACCEPTED: &[fn(&Case) -> bool] = &[];

struct Case {
    policies: PolicyCase,
    requests: Vec<Request>,
    decisions: Vec<Decision>,
    exported: Exported,
}

fn number(variable: &str, otherwise: usize) -> usize {
    env::var(variable)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

fn runner() -> TestRunner {
    let mut seed = [7_u8; 32];
    seed[..8].copy_from_slice(&number("PLACET_DIFFERENTIAL_SEED", 1).to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

fn sample<T: std::fmt::Debug>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

fn case(policies: PolicyCase, requests: Vec<Request>) -> Case {
    let sources = policies.sources();
    let (set, _) = PolicySet::load(&sources, &policies.options())
        .unwrap_or_else(|found| panic!("{found}\n{:#?}", policies.files));
    let decisions =
        requests.iter().map(|request| set.decide(request, DecisionId("generated".into()))).collect();
    let modules = export::bundle(&sources, policies.mode()).unwrap_or_else(|found| panic!("{found}"));
    let inputs = requests.iter().map(export::input).collect();
    Case { policies, requests, decisions, exported: Exported { modules, inputs } }
}

fn told(case: &Case, number: usize, evaluator: &str, other: &Json) -> String {
    let files: Vec<String> =
        case.policies.files.iter().map(|(tier, text)| format!("--- {}\n{text}", tier.name())).collect();
    format!(
        "{evaluator} differs from the engine\n{}\ngrant: {}\nevent: {}\nengine: {}\n{evaluator}: {other}\n",
        files.join("\n"),
        case.policies.global_grants,
        serde_json::to_string(case.requests[number].event()).unwrap(),
        expected(&case.decisions[number]),
    )
}

fn compare(case: &Case, evaluator: &str, answers: &[Json], differences: &mut Vec<String>) {
    for (number, answer) in answers.iter().enumerate() {
        if answered(answer) != expected(&case.decisions[number])
            && !ACCEPTED.iter().any(|accepted| accepted(case))
        {
            differences.push(told(case, number, evaluator, answer));
        }
    }
}

fn compare_oracle(case: &Case, differences: &mut Vec<String>) {
    let files: Vec<(Tier, &str)> =
        case.policies.files.iter().map(|(tier, text)| (*tier, text.as_str())).collect();
    for (number, request) in case.requests.iter().enumerate() {
        let outcome = oracle::judge(&files, case.policies.global_grants, request.event()).unwrap();
        let verdict = &case.decisions[number].verdict;
        if (outcome.word, outcome.hard) != (verdict.word(), verdict.is_hard()) {
            differences.push(told(case, number, "oracle", &json!(format!("{outcome:?}"))));
        }
    }
}

#[test]
fn native_oracle_and_exported_rego_agree() {
    let events = number("PLACET_DIFFERENTIAL_EVENTS", 500);
    let sets = events.div_ceil(EVENTS_PER_SET);
    let opa = find_opa();
    assert!(
        opa.is_some() || env::var_os("PLACET_REQUIRE_OPA").is_none(),
        "the `opa` command is not installed"
    );
    let (mut runner, mut differences, mut decided) = (runner(), Vec::new(), [0_usize; 4]);
    let (policies, event) = (policy_case(), event());
    for run in 0..sets.div_ceil(SETS_PER_RUN) {
        let cases: Vec<Case> = (run * SETS_PER_RUN..sets.min((run + 1) * SETS_PER_RUN))
            .map(|_| {
                let policies = sample(&mut runner, &policies);
                let requests =
                    (0..EVENTS_PER_SET).map(|_| Request::new(sample(&mut runner, &event))).collect();
                case(policies, requests)
            })
            .collect();
        for case in &cases {
            case.decisions.iter().for_each(|decision| decided[kind(decision)] += 1);
            compare_oracle(case, &mut differences);
            let answers = on_interpreter(&case.exported)
                .unwrap_or_else(|error| panic!("{error}\n{:#?}", case.policies));
            compare(case, "interpreter", &answers, &mut differences);
        }
        if let Some(opa) = &opa {
            let folder = tempfile::tempdir().unwrap();
            let exported: Vec<Exported> = cases.iter().map(|case| case.exported.clone()).collect();
            let answers = on_opa(opa, folder.path(), &exported).unwrap_or_else(|error| panic!("{error}"));
            for (case, answers) in cases.iter().zip(&answers) {
                compare(case, "opa", answers, &mut differences);
            }
        }
    }
    println!(
        "{} events on {sets} sets: {decided:?} allow, escalate, deny, hard deny; opa: {opa:?}",
        sets * EVENTS_PER_SET
    );
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences[..differences.len().min(3)].join("\n")
    );
    // A generator that says the same of everything would prove nothing.
    assert!(decided.iter().all(|count| *count * 50 > sets * EVENTS_PER_SET), "{decided:?}");
}

fn kind(decision: &Decision) -> usize {
    match (decision.verdict.word(), decision.verdict.is_hard()) {
        ("allow", _) => 0,
        ("escalate", _) => 1,
        (_, false) => 2,
        (_, true) => 3,
    }
}
