//! The program that is killed: governed calls under a budget, and calls that a person approves, over a ledger on disk.
//!
//! Each effect is one line in an append-only file, written before the call returns. What was acknowledged is printed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use placet_runtime::pipeline::{Begun, Outcome, Pipeline, PipelineOptions, Refused, Started};
use placet_runtime::{Config, Gate, GateOptions, Registrar, SystemClock, refusal};
use placet_store::PlaceSettings;
use placet_trust::Ledger;
use placet_trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet_trust::credentials::broker::{BrokerLimits, IssueRequest};
use placet_types::{ApprovalId, ApproverId, Event, Micros};

pub(crate) const EFFECTS: &str = "effects";

/// Which session spends its budget now.
const SESSION: &str = "session";

/// Which item is bought now.
const ITEM: &str = "item";

/// What a worker does.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Calls until it is killed.
    Works,
    /// One call whose tool acts, and then the process dies.
    ActsAndCrashes,
    /// One call that is to be refused.
    IsRefused,
}

impl Role {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::ActsAndCrashes => "acts and crashes",
            Self::IsRefused => "is refused",
        }
    }

    fn of(word: &str) -> Self {
        [Self::Works, Self::ActsAndCrashes, Self::IsRefused]
            .into_iter()
            .find(|role| role.word() == word)
            .unwrap()
    }
}

struct Deployment {
    pipeline: Arc<Pipeline>,
    ledger: Arc<dyn Ledger>,
    effects: File,
    folder: PathBuf,
    session: AtomicUsize,
}

pub(crate) fn settings(folder: &Path, config: &Config) -> PlaceSettings {
    let keys = Some(folder.join("keys"));
    PlaceSettings { ledger: config.ledger.clone(), keys, ..PlaceSettings::default() }
}

pub(crate) fn act(folder: &Path, role: &str) {
    let deployment = Deployment::open(folder);
    match Role::of(role) {
        Role::Works => std::thread::scope(|scope| {
            scope.spawn(|| deployment.pay());
            scope.spawn(|| deployment.pay());
            scope.spawn(|| deployment.buy());
            scope.spawn(|| deployment.issue());
        }),
        Role::ActsAndCrashes => match deployment.begin("pay", 0, "s0") {
            Begun::Started(started) => {
                deployment.run(started, true);
            }
            Begun::Refused(refused) => panic!("{:?}", refused.decision),
        },
        Role::IsRefused => match deployment.begin("pay", 0, "s0") {
            Begun::Started(_) => panic!("the budget is spent"),
            Begun::Refused(refused) => deployment.refused(&refused),
        },
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
    fn open(folder: &Path) -> Self {
        let config = Config::read(&folder.join("placet.yaml")).unwrap();
        let ledger = settings(folder, &config).ledger(folder, |_| None).unwrap().unwrap();
        let options = PipelineOptions::of_config(&config, Some(ledger.clone())).unwrap();
        let gate = Gate::open(GateOptions { config, reload: false, ..GateOptions::default() }).unwrap();
        let effects = OpenOptions::new().append(true).create(true).open(folder.join(EFFECTS)).unwrap();
        let session = AtomicUsize::new(number(&folder.join(SESSION)));
        Self {
            pipeline: Arc::new(Pipeline::new(gate, options)),
            ledger,
            effects,
            folder: folder.into(),
            session,
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
        (&self.effects).write_all(format!("{id}\n").as_bytes()).unwrap();
        if crashes {
            Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
            std::thread::park();
        }
        effect.finish(Outcome::succeeded(None)).unwrap();
        say("finished", &id);
    }

    fn refused(&self, refused: &Refused) {
        let (code, id) = (refused.decision.verdict.code(), &refused.decision.decision_id.0);
        assert!(["budget_exhausted", "approval_required"].contains(&code), "{:?}", refused.decision);
        say(code, id);
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
            let Begun::Refused(again) = self.begin("buy", item, &session) else { panic!("used twice") };
            self.refused(&again);
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
