//! How long after a vote in one process a call in another one runs:
//! `cargo run --release -p placet-testkit --example wake -- [sqlite|postgresql] [WAITERS] [WAKES] [LOAD]`.
//!
//! One process has WAITERS calls that wait; another votes for one of them at a time, WAKES times in all, while LOAD
//! processes do nothing but keep a core busy. `woken` is from the end of the vote to the moment at which the call
//! knows of it, `runs` to the moment at which it may run: decided anew, its approval used and that recorded durably.
//! `floor` is how late a sleep of 10 ms ends meanwhile: what the machine itself takes to wake a thread.
//! `idle` is what the waiting process uses of a core while nothing happens.
//!
//! PostgreSQL is the server that `PLACET_TEST_POSTGRES` names, else one of our own for as long as this runs.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "an example that measures"
)]

#[path = "../../placet-store/tests/support/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use placet_policy::SourceFile;
use placet_runtime::channels::{Waited, Waiting};
use placet_runtime::pipeline::{Begun, Pipeline, PipelineOptions};
use placet_runtime::{Gate, GateOptions, SystemClock, refusal};
use placet_store::PlaceSettings;
use placet_trust::Ledger;
use placet_trust::approvals::queue::{Host, Proof, Queue, Voter};
use placet_types::{ApprovalId, ApproverId, Event, Micros};

const ROLE: &str = "PLACET_WAKE_ROLE";
const POLICY: &str = "version: 1\nrules:\n- { name: pays, when: { action: pay }, then: hitl }\n";
const FAR: Duration = Duration::from_secs(600);
const IDLE: Duration = Duration::from_secs(5);

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    match std::env::var(ROLE).as_deref() {
        Ok("burns") => burn(),
        Ok("waits") => wait(Path::new(&given[0]), &given[1], given[2].parse().unwrap()),
        _ => measure(&given),
    }
}

fn burn() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn now() -> Micros {
    Micros(jiff::Timestamp::now().as_microsecond())
}

fn ledger(folder: &Path, place: &str) -> Arc<dyn Ledger> {
    let keys = Some(folder.join("keys"));
    let settings = PlaceSettings { ledger: Some(place.to_owned()), keys, ..PlaceSettings::default() };
    settings.ledger(folder, |_| None).unwrap().unwrap()
}

/// Calls of so many threads that each wait for a person, over and over.
fn wait(folder: &Path, place: &str, waiters: usize) {
    let texts = vec![SourceFile::new("wake.yaml", POLICY)];
    let clock = Arc::new(SystemClock::default());
    let gate = Gate::open(GateOptions { texts, clock, reload: false, ..GateOptions::default() }).unwrap();
    let options = PipelineOptions { ledger: Some(ledger(folder, place)), ..PipelineOptions::default() };
    let pipeline = Arc::new(Pipeline::new(gate, options));
    let ask = |waiter: usize| {
        for item in 0.. {
            let event = format!(
                r#"{{"action":"pay","args":{{"item":{item}}},"context":{{"session_id":"s{waiter}","delegation_depth":0}}}}"#
            );
            let event = Event::from_json(event.as_bytes()).unwrap();
            let Begun::Refused(refused) = pipeline.begin(event.clone()) else { panic!("nobody was asked") };
            let id = refused.approval.clone().unwrap();
            let waited = pipeline.wait_for_people(refused, &Waiting::until(Instant::now() + FAR));
            assert!(matches!(waited, Waited::Decided));
            let woken = now().0;
            let Begun::Started(started) = pipeline.begin(event) else { panic!("it was approved") };
            println!("{} {woken} {}", id.0, now().0);
            drop(started);
        }
    };
    std::thread::scope(|scope| {
        for waiter in 0..waiters {
            scope.spawn(move || ask(waiter));
        }
    });
}

/// A process that does one thing until it is dropped.
struct Other(Child);

impl Other {
    fn start(role: &str, arguments: &[String], output: Stdio) -> Self {
        let program = std::env::current_exe().unwrap();
        let started = Command::new(program).args(arguments).env(ROLE, role).stdout(output).spawn();
        Self(started.unwrap())
    }

    /// Milliseconds of processor time that it has used.
    fn used_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(process: &mut Other) -> Receiver<(String, i64, i64)> {
    let (sender, receiver) = channel();
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let mut words = line.split(' ');
            let mut next = || words.next().unwrap();
            let line = (next().to_owned(), next().parse().unwrap(), next().parse().unwrap());
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn measure(given: &[String]) {
    let number = |index: usize, otherwise| given.get(index).map_or(otherwise, |text| text.parse().unwrap());
    let (waiters, wakes, load) = (number(1, 1), number(2, 200), number(3, 0));
    let folder = tempfile::tempdir().unwrap();
    let kind = given.first().map_or("sqlite", String::as_str);
    let place = match kind {
        "sqlite" => folder.path().join("audit.db").display().to_string(),
        "postgresql" => format!("{}?schema=wake_{}", server::server(), std::process::id()),
        other => panic!("`{other}` is no ledger; say sqlite or postgresql"),
    };
    let ledger = ledger(folder.path(), &place);
    let queue = Queue::new(&*ledger, &SystemHost);
    let arguments = [folder.path().display().to_string(), place, waiters.to_string()];
    let mut waiting = Other::start("waits", &arguments, Stdio::piped());
    let runs = lines(&mut waiting);
    let mut pending = all(&queue, &*ledger, waiters);
    let before = waiting.used_ms();
    std::thread::sleep(IDLE);
    let idle = (waiting.used_ms() - before) as f64 / IDLE.as_millis() as f64 * 100.0;
    let _load: Vec<Other> = (0..load).map(|_| Other::start("burns", &[], Stdio::null())).collect();
    let sampled = Arc::new(AtomicBool::new(false));
    let floor = std::thread::spawn({
        let sampled = sampled.clone();
        move || floor(&sampled)
    });
    let mut late = BTreeMap::<_, Vec<i64>>::new();
    for wake in 0..wakes {
        // At no fixed moment of whatever the waiting process does at fixed times.
        std::thread::sleep(Duration::from_micros(2_000 + wake as u64 * 7_919 % 90_000));
        let id = pending.swap_remove(wake * 31 % pending.len());
        let voter = Voter { approver: &ApproverId::from("ann"), proof: Proof::Asserted, channel: "api" };
        queue.approve(&id, &voter, None).unwrap();
        let voted = now().0;
        let (ran, woken, started) = runs.recv_timeout(FAR).unwrap();
        assert_eq!(ran, *id.0);
        late.entry("runs").or_default().push(started - voted);
        late.entry("woken").or_default().push(woken - voted);
        pending = all(&queue, &*ledger, waiters);
    }
    sampled.store(true, Ordering::Relaxed);
    late.insert("floor", floor.join().unwrap());
    println!("{kind}, {waiters} waiting, {load} busy, {wakes} wakes: idle {idle:.1} % of a core");
    for (what, times) in &mut late {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)] as f64 / 1_000.0;
        println!("  {what:5} p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", at(50), at(99), at(100));
    }
}

/// How many microseconds late sleeps of 10 ms end.
fn floor(done: &AtomicBool) -> Vec<i64> {
    let sleep = Duration::from_millis(10);
    let mut late = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let begun = Instant::now();
        std::thread::sleep(sleep);
        late.push(begun.elapsed().saturating_sub(sleep).as_micros() as i64);
    }
    late
}

/// The requests that wait, once there are so many.
fn all(queue: &Queue<'_>, ledger: &dyn Ledger, count: usize) -> Vec<ApprovalId> {
    let until = Instant::now() + FAR;
    loop {
        let seen = ledger.wait(0, Instant::now()).unwrap();
        let pending = queue.pending().unwrap();
        if pending.len() == count {
            return pending.into_iter().map(|approval| approval.entry.id).collect();
        }
        ledger.wait(seen, until).unwrap();
    }
}

struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Micros {
        now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        refusal::new_id().0.to_string()
    }
}
