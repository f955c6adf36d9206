//! What time does to a waiting request.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::approvals::sla::{SlaEvent, SlaFigures, between, figures, percentile, waited_us, waits};
use placet_trust::approvals::{Approvals, Reviewers};
use placet_trust::{Freshness, Ledger};
use placet_types::Micros;
use placet_types::ledger::Escalation;

use super::common::*;

/// A ledger with requests that remind after 1 minute, escalate after 2, are overdue after 3 and dead after 60.
fn asked(names: &[&str]) -> TestLedger {
    let ledger = TestLedger::new(Reviewers::new());
    for (number, name) in names.iter().enumerate() {
        let mut subject = subject();
        subject.args = args(u8::try_from(number).unwrap());
        let mut entry = request(name, &subject);
        entry.remind_us = Some(START.plus_seconds(60));
        entry.escalate = Some(Escalation { at_us: START.plus_seconds(120), group: group("board") });
        entry.due_us = Some(START.plus_seconds(180));
        ledger.queue().ask(entry, None, Vec::new()).unwrap();
    }
    ledger
}

fn look<T>(ledger: &TestLedger, look: impl Fn(&Approvals) -> T) -> T {
    let mut seen = None;
    ledger.read(Freshness::Now, &mut |state| seen = Some(look(&state.approvals))).unwrap();
    seen.unwrap()
}

/// What is told when somebody looks every so many seconds for 70 minutes: second and event.
fn told(ledger: &TestLedger, every: i64) -> Vec<(i64, SlaEvent)> {
    let mut notices = Vec::new();
    let mut after = START;
    while after < START.plus_seconds(4200) {
        let until = Micros(after.0 + every * SECOND);
        notices.extend(look(ledger, |approvals| between(approvals, after, until)));
        after = until;
    }
    notices.into_iter().map(|notice| ((notice.at_us.0 - START.0) / SECOND, notice.event)).collect()
}

#[test]
fn f70_each_thing_is_told_once_at_its_time() {
    let ledger = asked(&["a"]);
    let wanted = [
        (60, SlaEvent::Remind),
        (120, SlaEvent::Escalate(group("board"))),
        (180, SlaEvent::Breach),
        (3600, SlaEvent::Expire),
    ];
    for every in [1, 7, 60, 500, 5000] {
        assert_eq!(told(&ledger, every), wanted, "every {every} s");
    }
}

#[test]
fn f70_a_decided_request_is_left_alone_but_a_late_decision_was_a_breach() {
    let early = asked(&["a"]);
    early.host.advance(59);
    early.queue().deny(&id("a"), &says(&person("alice")), None).unwrap();
    assert_eq!(told(&early, 10), []);
    let late = asked(&["a"]);
    late.host.advance(181);
    let approval = late.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
    assert_eq!(waited_us(&approval), Some(181 * SECOND));
    assert_eq!(told(&late, 600).last(), Some(&(180, SlaEvent::Breach)));
}

#[test]
fn f70_a_swept_expiry_is_told_once_too() {
    let ledger = asked(&["a"]);
    ledger.host.advance(3600);
    assert_eq!(ledger.queue().expire().unwrap(), 1);
    assert_eq!(told(&ledger, 600).last(), Some(&(3600, SlaEvent::Expire)));
    let cancelled = asked(&["a"]);
    cancelled.queue().cancel(&id("a"), "test", "withdrawn").unwrap();
    assert_eq!(told(&cancelled, 600), []);
}

#[test]
fn f70_the_figures_count_what_waits_and_what_is_overdue() {
    let ledger = asked(&["a", "b"]);
    ledger.queue().deny(&id("b"), &says(&person("alice")), None).unwrap();
    let at = |seconds| look(&ledger, |approvals| figures(approvals, START.plus_seconds(seconds)));
    assert_eq!(at(100), SlaFigures { pending: 1, oldest_us: 100 * SECOND, overdue: 0, breached: 0 });
    assert_eq!(at(180), SlaFigures { pending: 1, oldest_us: 180 * SECOND, overdue: 1, breached: 1 });
    assert_eq!(at(3600), SlaFigures { breached: 1, ..SlaFigures::default() });
}

#[test]
fn f70_the_time_to_decision_is_told_by_the_nearest_rank_of_what_was_decided_since() {
    let ids: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    let ledger = asked(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, name) in ids.iter().enumerate() {
        ledger.host.advance(1);
        let (queue, alice) = (ledger.queue(), person("alice"));
        let done = if number % 2 == 0 {
            queue.approve(&id(name), &says(&alice), None)
        } else {
            queue.deny(&id(name), &says(&alice), None)
        };
        done.unwrap();
    }
    let all = look(&ledger, |approvals| waits(approvals, START));
    assert_eq!(all, (1..=20).map(|seconds| seconds * SECOND).collect::<Vec<_>>());
    let seconds = |hundredths| percentile(&all, hundredths).map(|waited| waited / SECOND);
    assert_eq!([0, 1, 50, 95, 96, 100, 500].map(seconds), [1, 1, 10, 19, 20, 20, 20].map(Some));
    assert_eq!(percentile(&[], 50), None);
    assert_eq!(percentile(&[7], 95), Some(7));
    let late = look(&ledger, |approvals| waits(approvals, START.plus_seconds(18)));
    assert_eq!(late, [19 * SECOND, 20 * SECOND]);
}
