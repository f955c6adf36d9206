//! The cases of `conformance/cases`, put to a gate over files as users have them.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where its own files are missing")]

use std::sync::Arc;

use placet_runtime::{Config, FixedClock, Gate, GateOptions};
use placet_testkit::conformance::{self, CaseSet, NOW, Report};
use placet_types::Event;

fn gate(set: &CaseSet) -> Gate {
    let home = tempfile::tempdir().unwrap();
    let config = Config::read(&set.write(home.path()).unwrap()).unwrap_or_else(|error| panic!("{error}"));
    let clock = Arc::new(FixedClock(NOW.parse().unwrap()));
    let options = GateOptions { config, clock, reload: false, ..GateOptions::default() };
    Gate::open(options).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_case_comes_out_as_stated() {
    let mut report = Report::default();
    for set in conformance::read().unwrap() {
        let gate = gate(&set);
        for case in &set.cases {
            let event = Event::from_json(case.event.to_string().as_bytes());
            let decision = gate.decide(event.unwrap_or_else(|error| panic!("{}: {error}", case.id)));
            report.note(case, &serde_json::to_value(&decision).unwrap());
        }
    }
    println!("{} cases", report.count());
    let problems = report.problems("rust").unwrap();
    assert!(problems.is_empty(), "{} cases fail:\n{}", problems.len(), problems.join("\n"));
    assert!(report.count() >= 2_000, "only {} cases were found", report.count());
}
