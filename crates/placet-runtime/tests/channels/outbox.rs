//! Telling people: at least once, in order, and not more often than needed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use placet_runtime::Config;
use placet_runtime::channels::outbox::{Notifier, Outbox, TELLING, Told};
use placet_runtime::channels::{Stop, WebhookNotifier, WebhookOptions};
use placet_runtime::pipeline::Pipeline;
use placet_trust::Ledger;
use placet_trust::approvals::Reviewers;
use placet_trust::approvals::queue::{Host, Proof};
use placet_trust::approvals::webhook::{Direction, SIGNATURE_HEADER, WebhookKey};
use placet_types::{Micros, ReviewerGroup};

use crate::common::{Bench, Spy, bench, bench_over, code, pay, pending, vote};
use crate::webhook::{Asked, digest_of, http, now, server};

/// A clock that is moved by hand. It starts with the machine's, which the ledger uses.
struct Moved(AtomicU64, Instant);

impl Moved {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0), Instant::now()))
    }

    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Host for Moved {
    fn now(&self) -> Micros {
        now().plus_seconds(u32::try_from(self.0.load(Ordering::SeqCst)).unwrap())
    }

    fn instant(&self) -> Instant {
        self.1 + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn new_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}

/// A pipeline whose ledger has the clock that is moved by hand.
fn moved() -> (Bench, Arc<Moved>) {
    let host = Moved::new();
    let clock = host.clone();
    (bench_over(Spy::at(move || clock.now()), |_| {}), host)
}

/// A receiver that takes notices as long as it is up, and remembers the ids of all that it was sent.
#[derive(Default)]
struct Receiver {
    sent: Mutex<Vec<String>>,
    down: Mutex<Option<String>>,
}

impl Receiver {
    fn notifier(self: &Arc<Self>) -> Arc<dyn Notifier> {
        let receiver = self.clone();
        Arc::new(Told::new("pager", move |notice| {
            receiver.sent.lock().unwrap().push(notice.event.to_string());
            match &*receiver.down.lock().unwrap() {
                Some(down) if notice.id().contains(down) => Err("the pager is down".to_owned()),
                _ => Ok(()),
            }
        }))
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

fn outbox(bench: &Bench, host: &Arc<Moved>, notifiers: Vec<Arc<dyn Notifier>>) -> Outbox {
    Outbox::new(bench.ledger.clone() as Arc<dyn Ledger>, host.clone(), notifiers)
}

#[test]
fn f69_what_was_asked_is_told_once_and_again_after_a_crash_on_the_way() {
    let ((bench, host), receiver) = (moved(), Arc::new(Receiver::default()));
    assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
    // This process dies after it has told and before it could say so.
    let mut dying = outbox(&bench, &host, vec![receiver.notifier()]);
    let task = dying.take().unwrap().unwrap();
    task.tell().unwrap();
    drop((task, dying));
    let mut next = outbox(&bench, &host, vec![receiver.notifier()]);
    assert!(next.take().unwrap().is_none(), "somebody else may still be telling it");
    assert_eq!(receiver.sent(), ["asked"]);
    assert_eq!(TELLING, Duration::from_secs(30));
    host.advance(30);
    let id = pending(bench.ledger.as_ref()).entry.id;
    assert_eq!(next.turn().unwrap().told, [format!("{id}:asked")], "the same id, so that it can be dropped");
    assert_eq!(receiver.sent(), ["asked"]);
    assert!(outbox(&bench, &host, vec![receiver.notifier()]).turn().unwrap().told.is_empty());
}

#[test]
fn f69_a_receiver_that_is_down_is_tried_again_with_backoff_and_nothing_is_lost() {
    let ((bench, host), receiver) = (moved(), Arc::new(Receiver::default()));
    *receiver.down.lock().unwrap() = Some(String::new());
    assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
    let mut clerk = outbox(&bench, &host, vec![receiver.notifier()]);
    let mut tries = Vec::new();
    for second in 0..400 {
        clerk.turn().unwrap();
        tries.extend(receiver.sent().iter().map(|_| second));
        host.advance(1);
    }
    assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 127, 255]);
    *receiver.down.lock().unwrap() = None;
    host.advance(300);
    assert_eq!(clerk.turn().unwrap().told.len(), 1);
    assert!(clerk.turn().unwrap().told.is_empty());
    assert_eq!(receiver.sent(), ["asked"]);
}

#[test]
fn f69_one_notice_that_cannot_be_delivered_does_not_hold_up_the_others() {
    let ((bench, host), receiver) = (moved(), Arc::new(Receiver::default()));
    assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
    let first = pending(bench.ledger.as_ref()).entry.id;
    *receiver.down.lock().unwrap() = Some(first.to_string());
    assert_eq!(code(bench.pipeline.begin(pay(600))), "approval_required");
    let mut clerk = outbox(&bench, &host, vec![receiver.notifier()]);
    let mut told = clerk.turn().unwrap().told;
    host.advance(2);
    told.extend(clerk.turn().unwrap().told);
    assert_eq!(told.len(), 1);
    assert!(!told[0].starts_with(&*first.0));
}

#[test]
fn f69_what_is_decided_or_ends_is_told_to_who_was_told_of_the_request() {
    let ((bench, host), receiver) = (moved(), Arc::new(Receiver::default()));
    let mut clerk = outbox(&bench, &host, vec![receiver.notifier()]);
    for (amount, told_before) in [(500, true), (600, false)] {
        assert_eq!(code(bench.pipeline.begin(pay(amount))), "approval_required");
        if told_before {
            clerk.turn().unwrap();
        }
        let id = pending(bench.ledger.as_ref()).entry.id;
        vote(bench.ledger.as_ref(), &id, "ann", Proof::Asserted, false).unwrap();
        clerk.turn().unwrap();
        let wanted: &[&str] = if told_before { &["asked", "decided"] } else { &[] };
        assert_eq!(receiver.sent(), wanted);
    }
}

#[test]
fn f70_the_terms_of_the_configuration_remind_escalate_and_breach_at_their_time() {
    let text = "approvals: { remind_seconds: 1, escalate_seconds: 2, escalate_to: board, due_seconds: 3,\
                lifetime_seconds: 4, groups: { board: [carol] } }";
    let config = Config::parse(text, "placet.yaml", std::path::Path::new("")).unwrap();
    let ledger = Spy::memory(config.approvals.reviewers().unwrap());
    let options = placet_runtime::PipelineOptions::of_config(&config, None).unwrap();
    let bench = bench_over(ledger, |made| made.approvals = options.approvals);
    let notices: Arc<Mutex<BTreeMap<String, Micros>>> = Arc::default();
    let groups: Arc<Mutex<Vec<ReviewerGroup>>> = Arc::default();
    let (seen, escalated) = (notices.clone(), groups.clone());
    let pager = Told::new("pager", move |notice: &placet_trust::approvals::notices::Owed| {
        seen.lock().unwrap().insert(notice.event.to_string(), now());
        if notice.event == placet_types::ledger::ApprovalEvent::Escalated {
            *escalated.lock().unwrap() = notice.groups();
        }
        Ok(())
    });
    let stop = Stop::default();
    let ledger = bench.ledger.clone() as Arc<dyn Ledger>;
    let mut clerk = Outbox::new(ledger, Arc::new(crate::common::TestHost), vec![Arc::new(pager)]);
    std::thread::scope(|scope| {
        scope.spawn(|| clerk.run(&stop, |turn| drop(turn.unwrap())));
        assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
        let asked = pending(bench.ledger.as_ref()).entry.asked_us;
        let until = Instant::now() + Duration::from_secs(20);
        while !notices.lock().unwrap().contains_key("ended") {
            assert!(Instant::now() < until, "{notices:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.stop();
        let notices = notices.lock().unwrap();
        let late = |event: &str, seconds: u32| (notices[event].0 - asked.plus_seconds(seconds).0) / 1_000;
        let late: Vec<i64> = vec![
            late("asked", 0),
            late("reminded", 1),
            late("escalated", 2),
            late("breached", 3),
            late("ended", 4),
        ];
        println!("milliseconds after their time: {late:?}");
        assert!(late.iter().all(|late| (0..1_500).contains(late)), "{late:?}");
    });
    assert_eq!(*groups.lock().unwrap(), [ReviewerGroup("board".into())]);
}

#[test]
fn f69_a_notice_is_signed_and_says_who_is_asked_but_no_argument() {
    let bench = bench();
    assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
    let id = pending(bench.ledger.as_ref()).entry.id;
    let key = WebhookKey::new(b"0123456789abcdef".to_vec()).unwrap();
    let (url, asked) = server(|_| http("204 No Content", "", ""));
    let options = WebhookOptions { key: Some(key.clone()), ..WebhookOptions::new(url) };
    let host = Moved::new();
    let mut clerk = outbox(&bench, &host, vec![Arc::new(WebhookNotifier::new(options).unwrap())]);
    assert_eq!(clerk.turn().unwrap().told, [format!("{id}:asked")]);
    let asked = asked.recv().unwrap();
    let signature = asked.header(SIGNATURE_HEADER).expect("it is signed");
    let check = |direction| key.verify(direction, &digest_of(&asked), now(), &signature, &asked.body);
    check(Direction::Notice).unwrap();
    assert!(check(Direction::Request).is_err(), "a notice is no question");
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!((&body["event"], &body["approval_id"]), (&"approval.asked".into(), &(&*id.0).into()));
    assert_eq!((&body["action"], &body["rules"][0]), (&"pay".into(), &"large".into()));
    assert!(!String::from_utf8_lossy(&asked.body).contains("amount"), "{body}");
    for answer in ["500 Internal Server Error", "302 Found", "404 Not Found"] {
        let (url, _asked): (String, std::sync::mpsc::Receiver<Asked>) = server(move |_| http(answer, "", ""));
        let notifier = WebhookNotifier::new(WebhookOptions::new(url)).unwrap();
        let failed = outbox(&bench, &host, vec![Arc::new(notifier)]).turn().unwrap().failed;
        assert_eq!(failed.len(), 1, "{answer}");
    }
}

#[test]
fn f69_nobody_is_told_by_a_web_server_without_an_address_or_with_a_short_key() {
    let config = |text: &str| Config::parse(text, "placet.yaml", std::path::Path::new("/nowhere")).unwrap();
    let wrong = config("approvals: { notify: [{ url: 'ftp://user:secret@host/' }] }");
    let error = wrong.approvals.notifiers().err().expect("refused").to_string();
    assert!(error.contains("`approvals.notify` 1") && !error.contains("secret"), "{error}");
    let missing = config("approvals: { notify: [{ url: 'http://localhost/', key_file: key }] }");
    let error = missing.approvals.notifiers().err().expect("refused").to_string();
    assert!(error.contains("/nowhere/key"), "{error}");
}

#[test]
fn f69_a_pipeline_without_anybody_to_tell_keeps_what_it_owes() {
    let bench = bench_over(Spy::memory(Reviewers::new()), |_| {});
    let _: &Arc<Pipeline> = &bench.pipeline;
    assert_eq!(code(bench.pipeline.begin(pay(500))), "approval_required");
    let host = Moved::new();
    assert!(outbox(&bench, &host, Vec::new()).turn().unwrap().told.is_empty());
    let receiver = Arc::new(Receiver::default());
    outbox(&bench, &host, vec![receiver.notifier()]).turn().unwrap();
    assert_eq!(receiver.sent(), ["asked"]);
}
