//! The program that is killed: governed calls under a budget, and calls that a person approves, over a ledger on disk.
//!
//! Each effect is one line in an append-only file, written before the call returns; so is each notice that people get.
//! What was acknowledged is printed. Nothing is judged here: that is for whoever reads the log and the files.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use placet_runtime::channels::outbox::{Outbox, Told};
use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions, Refused, Started};
use placet_runtime::{Config, Gate, GateOptions, Registrar, SystemClock, refusal};
use placet_store::PlaceSettings;
use placet_trust::approvals::Approval;
use placet_trust::approvals::notices::Owed;
use placet_trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet_trust::credentials::broker::{BrokerLimits, IssueRequest};
use placet_trust::{Freshness, Ledger};
use placet_types::ledger::ApprovalEvent;
use placet_types::{ApprovalId, ApproverId, Event, Micros};

use crate::faults::{self, Fault, Faulty};

pub(crate) const EFFECTS: &str = "effects";

pub(crate) const TOLD: &str = "told";

/// Which session spends its budget now.
const SESSION: &str = "session";

/// Which item is bought now.
const ITEM: &str = "item";

/// Which item people are asked about now, and nobody answers.
const HIRED: &str = "hired";

/// To whom notices go.
const CHANNEL: &str = "pager";

/// How long a process that was killed while it told somebody is waited for, and some more.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    /// Calls until it is killed.
    Works,
    /// One call whose tool acts, and then the process dies.
    ActsAndCrashes,
    /// One call.
    CallsOnce,
    /// Asks and tells people until it is killed.
    AsksAndTells,
    /// Asks people and dies before they are told.
    AsksAndCrashes,
    /// Tells people and dies before it can say so.
    TellsAndCrashes,
    /// Tells until everybody was told.
    TellsAll,
}

impl Role {
    const ALL: [Self; 7] = [
        Self::Works,
        Self::ActsAndCrashes,
        Self::CallsOnce,
        Self::AsksAndTells,
        Self::AsksAndCrashes,
        Self::TellsAndCrashes,
        Self::TellsAll,
    ];

    pub(crate) fn word(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn kills_itself(self) -> bool {
        matches!(self, Self::ActsAndCrashes | Self::AsksAndCrashes | Self::TellsAndCrashes)
    }
}

struct Deployment {
    pipeline: Arc<Pipeline>,
    ledger: Arc<dyn Ledger>,
    effects: File,
    folder: PathBuf,
    session: AtomicUsize,
    fault: Option<Fault>,
}

pub(crate) fn settings(folder: &Path, config: &Config) -> PlaceSettings {
    let keys = Some(folder.join("keys"));
    PlaceSettings { ledger: config.ledger.clone(), keys, ..PlaceSettings::default() }
}

pub(crate) fn act(folder: &Path, role: &str, fault: Option<Fault>) {
    let deployment = Deployment::open(folder, fault);
    match Role::ALL.into_iter().find(|one| one.word() == role).unwrap() {
        Role::Works => std::thread::scope(|scope| {
            scope.spawn(|| deployment.pay());
            scope.spawn(|| deployment.pay());
            scope.spawn(|| deployment.buy());
            scope.spawn(|| deployment.issue());
        }),
        Role::ActsAndCrashes => deployment.call_once(true),
        Role::CallsOnce => deployment.call_once(false),
        Role::AsksAndTells => std::thread::scope(|scope| {
            scope.spawn(|| deployment.hire());
            scope.spawn(|| deployment.tell());
        }),
        Role::AsksAndCrashes => {
            let item = number(&folder.join(HIRED));
            fs::write(folder.join(HIRED), (item + 1).to_string()).unwrap();
            deployment.ask(item);
            die();
        }
        Role::TellsAndCrashes => {
            let mut outbox = deployment.outbox();
            if fault == Some(Fault::ToldFirst) {
                let task = outbox.take().unwrap().unwrap();
                outbox.settle(&task, &Ok(())).unwrap();
            } else {
                outbox.take().unwrap().unwrap().tell().unwrap();
            }
            die();
        }
        Role::TellsAll => deployment.tell_all(),
    }
}

/// As nobody can prevent it.
fn die() -> ! {
    Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
    loop {
        std::thread::park();
    }
}

/// One write, so that lines of threads do not mix.
fn say(word: &str, id: &str) {
    std::io::stdout().write_all(format!("ack {word} {id}\n").as_bytes()).unwrap();
}

fn number(path: &Path) -> usize {
    fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Deployment {
    fn open(folder: &Path, fault: Option<Fault>) -> Self {
        let config = Config::read(&folder.join("placet.yaml")).unwrap();
        let effects = OpenOptions::new().append(true).create(true).open(folder.join(EFFECTS)).unwrap();
        let settings = settings(folder, &config);
        let mut ledger = settings.ledger(folder, |_| None).unwrap().unwrap();
        if let Some(fault) = fault {
            if fault == Fault::Refunded {
                faults::refund(ledger.as_ref(), &settings, folder);
            }
            ledger = Arc::new(Faulty::new(ledger, fault, effects.try_clone().unwrap()));
        }
        let options = PipelineOptions::of_config(&config, Some(ledger.clone())).unwrap();
        let gate = Gate::open(GateOptions { config, reload: false, ..GateOptions::default() }).unwrap();
        let session = AtomicUsize::new(number(&folder.join(SESSION)));
        Self {
            pipeline: Arc::new(Pipeline::new(gate, options)),
            ledger,
            effects,
            folder: folder.into(),
            session,
            fault,
        }
    }

    fn begin(&self, action: &str, item: usize, session: &str) -> Begun {
        let text = format!(
            r#"{{"action":"{action}","tool_name":"{action}","args":{{"item":{item}}},"context":{{"session_id":"{session}","delegation_depth":0}}}}"#
        );
        self.pipeline.begin(Event::from_json(text.as_bytes()).unwrap())
    }

    /// Runs what was allowed, and says so after each step that is recorded.
    fn run(&self, started: Started, crashes: bool) {
        let id = started.permit.decision().unwrap().to_string();
        say("allowed", &id);
        let call = started.permit.call().unwrap();
        let effect = started.permit.spend(&call).unwrap();
        if self.fault != Some(Fault::EffectFirst) {
            (&self.effects).write_all(format!("{id}\n").as_bytes()).unwrap();
        }
        if crashes {
            die();
        }
        effect.finish(Outcome::succeeded(None)).unwrap();
        say("finished", &id);
    }

    fn refused(&self, refused: &Refused) {
        let (code, id) = (refused.decision.verdict.code(), &refused.decision.decision_id.0);
        assert!(["budget_exhausted", "approval_required"].contains(&code), "{:?}", refused.decision);
        say(code, id);
    }

    fn call_once(&self, crashes: bool) {
        match self.begin("pay", 0, "s0") {
            Begun::Started(started) => self.run(started, crashes),
            Begun::Refused(refused) => self.refused(&refused),
        }
    }

    /// Spends the budget of one session after another.
    fn pay(&self) {
        loop {
            let session = self.session.load(Ordering::SeqCst);
            match self.begin("pay", 0, &format!("s{session}")) {
                Begun::Started(started) => self.run(started, false),
                Begun::Refused(refused) => {
                    self.refused(&refused);
                    let next = session + 1;
                    if self
                        .session
                        .compare_exchange(session, next, Ordering::SeqCst, Ordering::SeqCst)
                        .is_ok()
                    {
                        fs::write(self.folder.join(SESSION), next.to_string()).unwrap();
                    }
                }
            }
        }
    }

    /// Buys one item after another, each with an approval of its own; goes on with the item at which it was killed.
    fn buy(&self) {
        for item in number(&self.folder.join(ITEM)).. {
            fs::write(self.folder.join(ITEM), item.to_string()).unwrap();
            let session = format!("b{item}");
            loop {
                match self.begin("buy", item, &session) {
                    Begun::Started(started) => break self.run(started, false),
                    Begun::Refused(refused) => {
                        self.refused(&refused);
                        self.approve(&refused.approval.unwrap());
                    }
                }
            }
            match self.begin("buy", item, &session) {
                Begun::Started(started) => self.run(started, false),
                Begun::Refused(again) => self.refused(&again),
            }
        }
    }

    /// Asks people about one item, and says so.
    fn ask(&self, item: usize) {
        let Begun::Refused(refused) = self.begin("hire", item, &format!("h{item}")) else {
            panic!("nobody approved it")
        };
        self.refused(&refused);
        say("pending", &refused.approval.unwrap().0);
    }

    /// Asks about one item after another.
    fn hire(&self) {
        for item in number(&self.folder.join(HIRED)).. {
            fs::write(self.folder.join(HIRED), item.to_string()).unwrap();
            self.ask(item);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn outbox(&self) -> Outbox {
        let told = OpenOptions::new().append(true).create(true).open(self.folder.join(TOLD)).unwrap();
        let tell = move |notice: &Owed| {
            (&told).write_all(format!("{}\n", notice.id()).as_bytes()).map_err(|error| error.to_string())
        };
        Outbox::of_pipeline(&self.pipeline, vec![Arc::new(Told::new(CHANNEL, tell))]).unwrap()
    }

    fn tell(&self) {
        let mut outbox = self.outbox();
        loop {
            self.tell_some(&mut outbox);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn tell_some(&self, outbox: &mut Outbox) {
        while let Some(task) = outbox.take().unwrap() {
            if self.fault == Some(Fault::ToldFirst) {
                outbox.settle(&task, &Ok(())).unwrap();
                faults::linger();
                task.tell().unwrap();
            } else {
                let told = task.tell();
                outbox.settle(&task, &told).unwrap();
            }
            say("told", &task.id());
        }
    }

    /// What a killed process was about to tell is told by others after a while.
    fn tell_all(&self) {
        let (mut outbox, until) = (self.outbox(), Instant::now() + PATIENCE);
        let mut left = true;
        while left {
            assert!(Instant::now() < until, "not everybody could be told");
            self.tell_some(&mut outbox);
            let read = self.ledger.read(Freshness::Now, &mut |state| {
                let knows = |approval: &Approval| {
                    approval.told.get(CHANNEL).is_some_and(|told| told.contains(&ApprovalEvent::Asked))
                };
                left = !state.approvals.open().all(knows);
            });
            read.unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Issues credentials and revokes every other one.
    fn issue(&self) {
        let registrar = registrar(self.ledger.clone());
        for revokes in [true, false].into_iter().cycle() {
            let request = IssueRequest::new("credentials", ["pay".to_owned()]);
            let bearer = registrar.broker().issue(&request).unwrap().bearer().secret_text();
            say("issued", &bearer);
            if revokes {
                say("revoking", &bearer);
                assert!(registrar.broker().revoke(&bearer).unwrap());
                say("revoked", &bearer);
            }
        }
    }

    fn approve(&self, id: &ApprovalId) {
        say("asked", &id.0);
        let approver = ApproverId::from("ann");
        let voter = Voter { approver: &approver, proof: Proof::Asserted, channel: "api" };
        match Queue::new(&*self.ledger, &SystemHost).approve(id, &voter, None) {
            Ok(_) => say("voted", &id.0),
            // Voted for before the process was killed.
            Err(QueueError::Approval(error)) if error.is_conflict() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn registrar(ledger: Arc<dyn Ledger>) -> Registrar {
    Registrar::new(ledger, Arc::new(SystemClock::default()), BrokerLimits::default(), "test".into())
}

struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Micros {
        Micros(jiff::Timestamp::now().as_microsecond())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        refusal::new_id().0.to_string()
    }
}
