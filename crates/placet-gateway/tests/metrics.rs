//! What `/metrics` tells of the time that answers take.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Bench, SETTINGS, metric, token};
use placet::record::ledger::ApprovalEvent;
use placet::trust::Freshness;

/// Requests are due after ten minutes and live for two hours.
fn timed() -> String {
    SETTINGS.replace("approvals:", "approvals:\n  due_seconds: 600\n  lifetime_seconds: 7200")
}

fn page(bench: &Bench) -> String {
    let reply = bench.request("GET", "/metrics", &[], None);
    assert_eq!(reply.status, 200, "{reply:?}");
    let kind = reply.header("content-type").expect("a type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(reply.text.ends_with("# EOF\n"), "{reply:?}");
    reply.text
}

#[test]
fn f70_metrics_tell_breaches_open_requests_the_oldest_and_the_time_to_decision() {
    // Asked eleven minutes and forty seconds ago.
    let bench = Bench::with(&timed(), -700, |_| {});
    let before = page(&bench);
    assert_eq!(metric(&before, "placet_approvals_breaches_total"), Some(0.0), "{before}");
    let old = bench.ask(900);
    assert!(!before.contains("placet_approvals_decision_seconds{"), "nothing was decided: {before}");
    bench.clock.by_seconds(0);
    let (one, two) = (bench.ask(901), bench.ask(902));

    let late = page(&bench);
    assert_eq!(metric(&late, "placet_approvals_open"), Some(3.0));
    assert_eq!(metric(&late, "placet_approvals_breached"), Some(1.0));
    assert_eq!(metric(&late, "placet_approvals_breaches_total"), Some(1.0));
    let oldest = metric(&late, "placet_approvals_oldest_seconds").expect("a figure");
    assert!((700.0..760.0).contains(&oldest), "{oldest}");
    let seen = bench.get(&format!("/v1/approvals/{old}"), "alice").is(200);
    assert!(seen["breached"] == true && seen["due"].is_string(), "{seen}");

    for id in [&one, &two, &old] {
        bench.post(&format!("/v1/approvals/{id}/approve"), "alice", "{}").is(200);
    }
    let decided = page(&bench);
    assert_eq!(metric(&decided, "placet_approvals_open"), Some(0.0));
    assert_eq!(metric(&decided, "placet_approvals_breaches_total"), Some(1.0), "what was late stays late");
    let median = metric(&decided, "placet_approvals_decision_seconds{quantile=\"0.5\"}").expect("a figure");
    let most = metric(&decided, "placet_approvals_decision_seconds{quantile=\"0.95\"}").expect("a figure");
    assert!((0.0..60.0).contains(&median) && (700.0..760.0).contains(&most), "{median} {most}");
}

#[test]
fn f70_the_service_records_a_breach_when_its_time_comes_and_nobody_else_looks() {
    let bench = Bench::with(&timed(), -599, |_| {});
    let id = bench.ask(900);
    bench.clock.by_seconds(2);
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut marked = false;
        bench
            .store
            .read(Freshness::Now, &mut |state| {
                let approval =
                    state.approvals.iter().find(|one| *one.entry.id.0 == *id).expect("the request");
                marked = approval.marks.contains_key(&ApprovalEvent::Breached);
            })
            .expect("read");
        if marked {
            break;
        }
        assert!(Instant::now() < until, "no breach was recorded");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn f70_metrics_can_be_closed_with_a_token_that_opens_nothing_else() {
    let settings = SETTINGS.replace("server:", "server:\n  metrics: { token_env: TOKEN_OF_PROMETHEUS }");
    let bench = Bench::new(&settings);
    let id = bench.ask(900);
    bench.request("GET", "/metrics", &[], None).is_problem(401, "unauthorized");
    bench.get("/metrics", "alice").is_problem(401, "unauthorized");
    let reply = bench.get("/metrics", "prometheus");
    assert_eq!((reply.status, metric(&reply.text, "placet_approvals_open")), (200, Some(1.0)));
    assert!(!reply.text.contains(&id) && !reply.text.contains(&token("prometheus")));
    bench.get("/v1/approvals", "prometheus").is_problem(401, "unauthorized");
}
