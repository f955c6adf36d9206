//! Processes that make governed calls, with budgets and approvals, and are killed at any moment (`kill -9`): no effect
//! without a record, no acknowledged record lost, no budget overspent, no approval used twice, and the log verifies
//! after every restart.
//!
//! `PLACET_CRASHES` says how often (30 on each ledger when absent); `make test-all` does it 200 times.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

#[path = "../../../placet-store/tests/support/server.rs"]
mod server;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use placet_audit::verify::{Truncation, verify};
use placet_runtime::Config;
use placet_store::query::each;
use placet_store::{KeyFolder, Place};
use placet_types::record::OutcomeStatus;
use placet_types::{Fact, LedgerOp};
use tempfile::TempDir;
use worker::Role;

const ROLE: &str = "PLACET_CRASH_TEST_ROLE";
const FOLDER: &str = "PLACET_CRASH_TEST_FOLDER";

/// After so many kills a new log is begun: a log is read whole after each.
const KILLS_PER_LOG: usize = 25;

/// How long a worker may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that a session may spend.
const BUDGET: usize = 10;

const POLICY: &str = "version: 1\nrules:\n\
    - { name: pays, when: { action: pay }, then: allow }\n\
    - { name: buys, when: { action: buy }, then: hitl, reason: a person }\n";

/// What a spawned process does; without a role, nothing.
#[test]
fn acts_in_a_role() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    worker::act(Path::new(&folder), &role);
}

#[derive(Clone, Copy)]
enum Kept {
    Sqlite,
    Postgres,
}

/// A deployment with a ledger of its own, whose workers are killed.
struct Deployment {
    folder: TempDir,
    place: Place,
    acknowledged: BTreeMap<String, Vec<String>>,
    /// The last checkpoint, as somebody else would keep it.
    checkpoint: Option<String>,
}

/// What the log says.
#[derive(Default)]
struct Recorded {
    /// Allowed decisions with the session and the approval that they used.
    allowed: BTreeMap<String, (String, Option<String>)>,
    others: BTreeSet<String>,
    finished: BTreeSet<String>,
    asked: BTreeSet<String>,
    voted: BTreeSet<String>,
    consumed: Vec<String>,
    /// Sessions that were refused because their budget is spent.
    exhausted: BTreeSet<String>,
}

/// A small generator of numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Deployment {
    fn new(kept: Kept, index: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = match kept {
            Kept::Sqlite => folder.path().join("placet_audit.db").display().to_string(),
            Kept::Postgres => format!("{}?schema=crash_{}_{index}", server::server(), std::process::id()),
        };
        let budget = format!("{{ scope: session, api_calls: {BUDGET} }}");
        let config = format!("policies: policy.yaml\nledger: {ledger}\nbudgets: [{budget}]\n");
        std::fs::write(folder.path().join("placet.yaml"), config).unwrap();
        std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
        let config = Config::read(&folder.path().join("placet.yaml")).unwrap();
        let place = worker::settings(folder.path(), &config).place(folder.path()).unwrap();
        Self { folder, place, acknowledged: BTreeMap::new(), checkpoint: None }
    }

    fn spawn(&self, role: Role) -> (Child, Receiver<String>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "acts_in_a_role", "--nocapture", "--test-threads=1"])
            .env(ROLE, role.word())
            .env(FOLDER, self.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, receiver) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // The harness prints the name of the test without a line end before it.
                if let Some((_, ack)) = line.split_once("ack ") {
                    let _ = sender.send(ack.to_owned());
                }
            }
        });
        (child, receiver)
    }

    fn acknowledge(&mut self, ack: &str) {
        let (word, id) = ack.split_once(' ').unwrap();
        self.acknowledged.entry(word.to_owned()).or_default().push(id.to_owned());
    }

    /// Starts a worker and kills it: some while they open the log, most after a number of acknowledgements.
    fn kill_one(&mut self, random: &mut Random) {
        let (mut child, acks) = self.spawn(Role::Works);
        if random.below(5) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(250)));
        } else {
            for _ in 0..1 + random.below(60) {
                let ack = acks.recv_timeout(PATIENCE).unwrap();
                self.acknowledge(&ack);
            }
            std::thread::sleep(Duration::from_micros(random.below(4_000)));
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it ended before it was killed");
        // To the end of what it printed.
        acks.iter().for_each(|ack| self.acknowledge(&ack));
        self.verify();
    }

    /// The log is whole, and extends what it was.
    fn verify(&mut self) {
        let Ok(mut source) = self.place.read() else {
            // Killed before it made the log.
            return assert!(self.acknowledged.is_empty());
        };
        let Ok(origin) = source.origin() else { return assert!(self.acknowledged.is_empty()) };
        let key = KeyFolder::new(self.folder.path().join("keys")).verifier(&origin).unwrap();
        let report = verify(source.as_mut(), &[key], self.checkpoint.as_deref()).unwrap();
        assert!(report.ok, "{report:?}");
        assert!(self.checkpoint.is_none() || report.truncation == Truncation::None, "{report:?}");
        self.checkpoint = report.last_checkpoint.or(self.checkpoint.take());
    }

    fn recorded(&self) -> Recorded {
        let mut recorded = Recorded::default();
        let bad = each(self.place.read().unwrap().as_mut(), |stored| {
            recorded.take(&stored.record);
            true
        });
        assert_eq!(bad.unwrap(), Vec::<u64>::new());
        recorded
    }

    fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(worker::EFFECTS)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Holds effects, acknowledgements and records against each other. Returns how many effects there were.
    fn check(&mut self) -> usize {
        self.verify();
        let (recorded, effects) = (self.recorded(), self.effects());
        let none = Vec::new();
        let told = |word: &str| self.acknowledged.get(word).unwrap_or(&none).iter();
        assert!(
            told("allowed").all(|id| recorded.allowed.contains_key(id)),
            "an allowed call is not on record"
        );
        assert!(told("finished").all(|id| recorded.finished.contains(id)), "an outcome is not on record");
        assert!(told("asked").all(|id| recorded.asked.contains(id)), "a request is not on record");
        assert!(told("voted").all(|id| recorded.voted.contains(id)), "a vote is not on record");
        for refusal in told("budget_exhausted").chain(told("approval_required")) {
            assert!(recorded.others.contains(refusal), "a refusal is not on record");
        }
        self.check_credentials();
        let (mut once, mut of_session, mut approvals) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for effect in &effects {
            assert!(once.insert(effect), "one decision had two effects");
            let (session, approval) = recorded.allowed.get(effect).expect("an effect without a record");
            *of_session.entry(session).or_insert(0) += 1;
            match approval {
                Some(approval) => assert!(approvals.insert(approval), "approval {approval} was used twice"),
                None => assert!(session.starts_with('s'), "bought without an approval"),
            }
        }
        assert!(recorded.finished.iter().all(|id| once.contains(id)), "an outcome without its effect");
        assert!(of_session.values().all(|effects| *effects <= BUDGET), "{of_session:?}");
        let consumed: BTreeSet<_> = recorded.consumed.iter().collect();
        assert_eq!(consumed.len(), recorded.consumed.len(), "an approval was consumed twice");
        for session in &recorded.exhausted {
            let spent = recorded.allowed.values().filter(|(of, _)| of == session).count();
            assert_eq!(spent, BUDGET, "{session} was refused, and its budget is not spent");
        }
        effects.len()
    }
}

impl Deployment {
    /// Every credential that was issued holds, unless it was revoked; none that was revoked does.
    fn check_credentials(&self) {
        let config = Config::read(&self.folder.path().join("placet.yaml")).unwrap();
        let settings = worker::settings(self.folder.path(), &config);
        let registrar = worker::registrar(settings.ledger(self.folder.path(), |_| None).unwrap().unwrap());
        let told = |word: &str| self.acknowledged.get(word).into_iter().flatten();
        let (revoking, revoked) =
            (told("revoking").collect::<BTreeSet<_>>(), told("revoked").collect::<BTreeSet<_>>());
        for bearer in told("issued") {
            let holds = registrar.broker().validate(bearer).unwrap().is_some();
            assert!(!(holds && revoked.contains(bearer)), "a revoked credential holds");
            assert!(holds || revoking.contains(bearer), "a credential was lost");
        }
    }
}

impl Recorded {
    fn take(&mut self, record: &placet_types::Record) {
        for op in &record.ops {
            match op {
                LedgerOp::Ask(entry) => drop(self.asked.insert(entry.id.to_string())),
                LedgerOp::Vote(vote) => drop(self.voted.insert(vote.approval.to_string())),
                LedgerOp::Consume(used) => self.consumed.push(used.approval.to_string()),
                _ => {}
            }
        }
        let session = record.session.as_deref().unwrap_or_default().to_owned();
        match &record.fact {
            Fact::Decision(decision) if decision.permit => {
                let approval = decision.approval.as_ref().map(ToString::to_string);
                assert!(self.allowed.insert(record.id.to_string(), (session, approval)).is_none());
            }
            Fact::Decision(decision) => {
                if &*decision.code == "budget_exhausted" {
                    self.exhausted.insert(session);
                }
                self.others.insert(record.id.to_string());
            }
            Fact::Outcome(outcome) if outcome.status == OutcomeStatus::Succeeded => {
                self.finished.insert(outcome.decision.to_string());
            }
            _ => {}
        }
    }
}

fn kill_often(kept: Kept) {
    let kills = std::env::var("PLACET_CRASHES").ok().and_then(|kills| kills.parse().ok()).unwrap_or(30);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut done, mut effects, mut acknowledged) = (0, 0, 0);
    while done < kills {
        let mut deployment = Deployment::new(kept, done);
        for _ in 0..KILLS_PER_LOG.min(kills - done) {
            deployment.kill_one(&mut random);
            done += 1;
        }
        effects += deployment.check();
        acknowledged += deployment.acknowledged.values().map(Vec::len).sum::<usize>();
    }
    println!("{done} kills, {effects} effects, {acknowledged} acknowledgements");
    assert!(effects >= kills, "the workers did next to nothing");
}

/// A tool that acts and takes its process down spends what it was allowed to.
fn act_and_crash(kept: Kept) {
    let mut deployment = Deployment::new(kept, 1_000);
    for _ in 0..BUDGET {
        let (mut child, acks) = deployment.spawn(Role::ActsAndCrashes);
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        acks.iter().for_each(|ack| deployment.acknowledge(&ack));
    }
    for _ in 0..3 {
        let (mut child, acks) = deployment.spawn(Role::IsRefused);
        assert!(child.wait().unwrap().success());
        acks.iter().for_each(|ack| deployment.acknowledge(&ack));
    }
    assert_eq!(deployment.check(), BUDGET);
    assert_eq!(deployment.acknowledged["budget_exhausted"].len(), 3);
}

#[test]
fn f26_aegis_73_kill_9_of_governed_calls_on_sqlite() {
    kill_often(Kept::Sqlite);
}

#[test]
fn f27_aegis_73_kill_9_of_governed_calls_on_postgresql() {
    kill_often(Kept::Postgres);
}

#[test]
fn f11_ten_calls_that_crash_spend_a_budget_of_ten_on_sqlite() {
    act_and_crash(Kept::Sqlite);
}

#[test]
fn f11_ten_calls_that_crash_spend_a_budget_of_ten_on_postgresql() {
    act_and_crash(Kept::Postgres);
}
