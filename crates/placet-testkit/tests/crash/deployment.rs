//! A deployment whose workers are killed, and what must hold of it whatever happened: the oracle.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use placet_audit::verify::{Truncation, verify};
use placet_runtime::Config;
use placet_store::query::each;
use placet_store::{KeyFolder, Place};
use placet_types::record::OutcomeStatus;
use placet_types::{Fact, LedgerOp, Record};
use tempfile::TempDir;

use crate::faults::Fault;
use crate::server;
use crate::worker::{self, Role};

pub(crate) const ROLE: &str = "PLACET_CRASH_TEST_ROLE";
pub(crate) const FOLDER: &str = "PLACET_CRASH_TEST_FOLDER";
pub(crate) const FAULT: &str = "PLACET_CRASH_TEST_FAULT";

/// How long a worker may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that a session may spend.
pub(crate) const BUDGET: usize = 10;

const POLICY: &str = "version: 1\nrules:\n\
    - { name: pays, when: { action: pay }, then: allow }\n\
    - { name: buys, when: { action: [buy, hire] }, then: hitl, reason: a person }\n";

#[derive(Clone, Copy)]
pub(crate) enum Kept {
    Sqlite,
    /// Records survive their process only, in a spill file that is written to as memory.
    SqliteWritten,
    Postgres,
}

/// How long the spill file of a busy ledger is.
const SPILL_BYTES: usize = (1 << 20) + (64 << 10);

/// A small generator of numbers, the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A deployment with a ledger of its own, whose workers are killed.
pub(crate) struct Deployment {
    folder: TempDir,
    place: Place,
    fault: Option<Fault>,
    acknowledged: BTreeMap<String, Vec<String>>,
    /// The last checkpoint, as somebody else would keep it.
    checkpoint: Option<String>,
    kills: usize,
    /// How many of the killed wrote to the spill file as memory.
    pub(crate) mapped: usize,
    /// What does not hold.
    pub(crate) findings: BTreeSet<String>,
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
    /// Notices that are recorded as told.
    told: BTreeSet<String>,
    consumed: Vec<String>,
    /// Sessions that were refused because their budget is spent.
    exhausted: BTreeSet<String>,
    twice: bool,
}

impl Deployment {
    pub(crate) fn new(kept: Kept, name: &str, fault: Option<Fault>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = match kept {
            Kept::Sqlite | Kept::SqliteWritten => folder.path().join("placet_audit.db").display().to_string(),
            Kept::Postgres => format!("{}?schema=crash_{}_{name}", server::server(), std::process::id()),
        };
        let budget = format!("{{ scope: session, api_calls: {BUDGET} }}");
        let mut config = format!("policies: policy.yaml\nledger: {ledger}\nbudgets: [{budget}]\n");
        if matches!(kept, Kept::SqliteWritten) {
            config.push_str("ack: written\n");
            std::fs::write(folder.path().join("placet_audit.db-spill"), vec![0; SPILL_BYTES]).unwrap();
        }
        std::fs::write(folder.path().join("placet.yaml"), config).unwrap();
        std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
        let config = Config::read(&folder.path().join("placet.yaml")).unwrap();
        let place = worker::settings(folder.path(), &config).place(folder.path()).unwrap();
        let (acknowledged, findings) = (BTreeMap::new(), BTreeSet::new());
        Self { folder, place, fault, acknowledged, checkpoint: None, kills: 0, mapped: 0, findings }
    }

    fn spawn(&self, role: Role) -> (Child, Receiver<String>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "acts_in_a_role", "--nocapture", "--test-threads=1"])
            .env(ROLE, role.word())
            .env(FOLDER, self.folder.path())
            .stdout(Stdio::piped());
        if let Some(fault) = self.fault {
            command.env(FAULT, fault.word());
        }
        let mut child = command.spawn().unwrap();
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

    /// What was acknowledged with a word.
    pub(crate) fn told(&self, word: &str) -> impl Iterator<Item = &String> {
        self.acknowledged.get(word).into_iter().flatten()
    }

    pub(crate) fn acknowledgements(&self) -> usize {
        self.acknowledged.values().map(Vec::len).sum()
    }

    /// Starts a worker and kills it: some while they open the log, most after a number of acknowledgements.
    pub(crate) fn kill_one(&mut self, role: Role, random: &mut Random) {
        let (mut child, acks) = self.spawn(role);
        if random.below(5) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(250)));
        } else {
            for _ in 0..1 + random.below(60) {
                let ack = acks.recv_timeout(PATIENCE).unwrap();
                self.acknowledge(&ack);
            }
            std::thread::sleep(Duration::from_micros(random.below(4_000)));
        }
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap_or_default();
        self.mapped += usize::from(maps.contains("placet_audit.db-spill"));
        child.kill().unwrap();
        self.ended(child, &acks, Some(9));
        self.verify();
    }

    /// Lets a worker run to its end, which for some is that it kills itself.
    pub(crate) fn run(&mut self, role: Role) {
        let (child, acks) = self.spawn(role);
        self.ended(child, &acks, role.kills_itself().then_some(9));
    }

    fn ended(&mut self, mut child: Child, acks: &Receiver<String>, signal: Option<i32>) {
        let status = child.wait().unwrap();
        self.kills += usize::from(signal.is_some());
        let as_it_should = status.signal() == signal && (signal.is_some() || status.success());
        self.must(as_it_should, || format!("a worker ended by itself: {status}"));
        // To the end of what it printed.
        acks.iter().for_each(|ack| self.acknowledge(&ack));
    }

    fn must(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.findings.insert(finding());
        }
    }

    /// The log is whole, and extends what it was.
    fn verify(&mut self) {
        let source = self.place.read().and_then(|mut source| source.origin().map(|origin| (source, origin)));
        let Ok((mut source, origin)) = source else {
            // Killed before it made the log.
            return self.must(self.acknowledged.is_empty(), || "the log is gone".to_owned());
        };
        let key = KeyFolder::new(self.folder.path().join("keys")).verifier(&origin).unwrap();
        let report = verify(source.as_mut(), &[key], self.checkpoint.as_deref()).unwrap();
        let extends = self.checkpoint.is_none() || report.truncation == Truncation::None;
        self.must(report.ok && extends, || format!("the log does not verify: {report:?}"));
        self.checkpoint = report.last_checkpoint.or(self.checkpoint.take());
    }

    fn recorded(&mut self) -> Recorded {
        let mut recorded = Recorded::default();
        let bad = each(self.place.read().unwrap().as_mut(), |stored| {
            recorded.take(&stored.record);
            true
        });
        self.must(bad.unwrap().is_empty(), || "the log has entries that are none".to_owned());
        recorded
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Holds effects, acknowledgements and records against each other. Returns how many effects there were.
    pub(crate) fn check(&mut self) -> usize {
        self.verify();
        let (recorded, effects) = (self.recorded(), self.lines(worker::EFFECTS));
        let all = |words: &[&str], known: &dyn Fn(&String) -> bool| {
            words.iter().flat_map(|word| self.told(word)).all(known)
        };
        let kept = [
            (all(&["allowed"], &|id| recorded.allowed.contains_key(id)), "an allowed call is not on record"),
            (all(&["finished"], &|id| recorded.finished.contains(id)), "an outcome is not on record"),
            (all(&["asked", "pending"], &|id| recorded.asked.contains(id)), "a request is not on record"),
            (all(&["voted"], &|id| recorded.voted.contains(id)), "a vote is not on record"),
            (all(&["told"], &|id| recorded.told.contains(id)), "a notice is not on record"),
            (
                all(&["budget_exhausted", "approval_required"], &|id| recorded.others.contains(id)),
                "a refusal is not on record",
            ),
            (!recorded.twice, "two decisions have one id"),
        ];
        for (holds, finding) in kept {
            self.must(holds, || finding.to_owned());
        }
        self.check_credentials();
        self.check_effects(&recorded, &effects);
        self.check_notices(&recorded);
        effects.len()
    }

    fn check_effects(&mut self, recorded: &Recorded, effects: &[String]) {
        let (mut once, mut of_session, mut approvals) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for effect in effects {
            self.must(once.insert(effect), || "one decision had two effects".to_owned());
            let Some((session, approval)) = recorded.allowed.get(effect) else {
                self.must(false, || "an effect without a record".to_owned());
                continue;
            };
            *of_session.entry(session).or_insert(0) += 1;
            match approval {
                Some(approval) => {
                    self.must(approvals.insert(approval), || "an approval was used twice".to_owned());
                }
                None => self.must(session.starts_with('s'), || "bought without an approval".to_owned()),
            }
        }
        let begun = recorded.finished.iter().all(|id| once.contains(id));
        self.must(begun, || "an outcome without its effect".to_owned());
        let most = of_session.values().max().copied().unwrap_or(0);
        self.must(most <= BUDGET, || format!("a budget of {BUDGET} was overspent"));
        let consumed: BTreeSet<_> = recorded.consumed.iter().collect();
        self.must(consumed.len() == recorded.consumed.len(), || "an approval was consumed twice".to_owned());
        let bought = approvals.iter().all(|approval| consumed.contains(approval));
        self.must(bought, || "an approval was used and is not consumed".to_owned());
        for session in &recorded.exhausted {
            let spent = recorded.allowed.values().filter(|(of, _)| of == session).count();
            self.must(spent == BUDGET, || "a session was refused, and its budget is not spent".to_owned());
        }
    }

    /// What is recorded as told was told, and only what was asked. Again only what a killed process may have told.
    fn check_notices(&mut self, recorded: &Recorded) {
        let sent = self.lines(worker::TOLD);
        let once: BTreeSet<_> = sent.iter().collect();
        let lost = recorded.told.iter().any(|notice| !once.contains(notice));
        self.must(!lost, || "a notice was lost".to_owned());
        let known = once
            .iter()
            .all(|notice| notice.split_once(':').is_some_and(|(id, _)| recorded.asked.contains(id)));
        self.must(known, || "a notice of what nobody asked".to_owned());
        let (again, kills) = (sent.len() - once.len(), self.kills);
        self.must(again <= kills, || format!("{again} notices came again after {kills} kills"));
    }

    /// Everything that was asked and that nobody answered was told. Returns how many.
    pub(crate) fn check_all_told(&mut self) -> usize {
        let sent: BTreeSet<_> = self.lines(worker::TOLD).into_iter().collect();
        let asked: BTreeSet<_> = self.told("pending").cloned().collect();
        let lost = asked.iter().filter(|id| !sent.contains(&format!("{id}:asked"))).count();
        self.must(lost == 0, || "a notice was lost".to_owned());
        asked.len()
    }

    /// Every credential that was issued holds, unless it was revoked; none that was revoked does.
    fn check_credentials(&mut self) {
        let config = Config::read(&self.folder.path().join("placet.yaml")).unwrap();
        let settings = worker::settings(self.folder.path(), &config);
        let registrar = worker::registrar(settings.ledger(self.folder.path(), |_| None).unwrap().unwrap());
        let words = |word| self.told(word).cloned().collect::<BTreeSet<_>>();
        let (issued, revoking, revoked) = (words("issued"), words("revoking"), words("revoked"));
        for bearer in &issued {
            let holds = registrar.broker().validate(bearer).unwrap().is_some();
            let ended = revoked.contains(bearer);
            self.must(!(holds && ended), || "a revoked credential holds".to_owned());
            self.must(holds || revoking.contains(bearer), || "a credential was lost".to_owned());
        }
    }
}

impl Recorded {
    fn take(&mut self, record: &Record) {
        for op in &record.ops {
            match op {
                LedgerOp::Ask(entry) => drop(self.asked.insert(entry.id.to_string())),
                LedgerOp::Vote(vote) => drop(self.voted.insert(vote.approval.to_string())),
                LedgerOp::Consume(used) => self.consumed.push(used.approval.to_string()),
                LedgerOp::Told(told) if told.until_us.is_none() => {
                    self.told.insert(format!("{}:{}", told.approval, told.event));
                }
                _ => {}
            }
        }
        let session = record.session.as_deref().unwrap_or_default().to_owned();
        match &record.fact {
            Fact::Decision(decision) if decision.permit => {
                let approval = decision.approval.as_ref().map(ToString::to_string);
                self.twice |= self.allowed.insert(record.id.to_string(), (session, approval)).is_some();
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
