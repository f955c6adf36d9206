//! The cases of `conformance/cases`, put to the command as a user runs it: one `simulate` for each policy set, and for
//! those that are no truth table a `check` of the first event.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::Project;
use placet_testkit::conformance::{self, CaseSet, NOW, Report};
use serde_json::Value;

/// The decisions on all events of a set, in order.
fn decide(set: &CaseSet) -> Vec<Value> {
    let project = Project::new(&[]);
    set.write(project.folder.path()).expect("files");
    let events: String = set.cases.iter().map(|case| format!("{}\n", case.event)).collect();
    project.write("events.jsonl", &events);
    let run = project.run(&["simulate", "events.jsonl", "--now", NOW, "--format", "json"]).exits(0);
    let decisions: Vec<Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("a decision")).collect();
    assert_eq!(decisions.len(), set.cases.len(), "{run:?}");
    if !set.is_truth_table {
        check_first(&project, set, &decisions);
    }
    decisions
}

/// `check` gives the first event the same answer, and says it with its exit code too.
fn check_first(project: &Project, set: &CaseSet, decisions: &[Value]) {
    let case = set.cases.first().expect("a case");
    let first = decisions.first().expect("a decision");
    let check = project.run(&["check", &case.event.to_string(), "--now", NOW, "--format", "json"]);
    let alone = check.json();
    for key in ["verdict", "hard", "code", "reason", "rules", "trace"] {
        assert_eq!(alone.get(key), first.get(key), "{}: {key} of `check` and of `simulate`", case.id);
    }
    let code = match alone.get("verdict").and_then(Value::as_str) {
        Some("allow") => 0,
        Some("deny") => 1,
        Some("escalate") => 3,
        other => panic!("{}: {other:?} is no verdict", case.id),
    };
    assert_eq!(check.code, code, "{}", case.id);
}

#[test]
fn every_case_comes_out_as_stated_on_the_command_line() {
    let sets = conformance::read().expect("cases");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(set) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((set, decide(set)));
        }
        done
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for (set, decisions) in workers.into_iter().flat_map(|worker| worker.join().expect("decided")) {
            set.cases.iter().zip(&decisions).for_each(|(case, decision)| report.note(case, decision));
        }
    });
    println!("{} cases in {} runs", report.count(), sets.len());
    let problems = report.problems("cli").expect("the list");
    assert!(problems.is_empty(), "{} cases fail:\n{}", problems.len(), problems.join("\n"));
    assert!(report.count() >= 2_000, "only {} cases were found", report.count());
}
