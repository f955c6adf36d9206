//! The ledger and credentials as bench workers: a call is one record, one check or one flush, and decides nothing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bench_worker::{Engine, Failure};
use placet::record::ids::{Micros, RecordId, ReservationId};
use placet::record::ledger::{
    Amount, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, LedgerOp, Reservation, Settlement,
};
use placet::record::{
    Ack, ChangeFact, DecisionFact, Fact, OutcomeFact, OutcomeStatus, Record,
};
use placet::trust::credentials::authority::{ArgumentLimit, Authority, Constraint, Range, ToolLimit, Tools};
use placet::trust::credentials::keys::{KeySet, SecretKey};
use placet::trust::credentials::token::{Chain, Grant, Identity as Holder};
use placet::trust::{Ledger, Proposal, State};
use placet::{Identity, RiskTier};
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite};
use serde_json::{Value, json};

/// How one thread calls.
type Step = Box<dyn FnMut() -> Result<(), Failure> + Send>;

/// Makes the step of a further thread.
type Steps = Arc<dyn Fn() -> Result<Step, Failure> + Send + Sync>;

/// A worker whose calls all do the same.
pub struct Timed {
    kind: Kind,
    steps: Option<Steps>,
    step: Option<Step>,
    folder: Option<Folder>,
}

/// What a call does.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Writes 600 bytes at the end of a file and flushes them.
    Flush,
    /// Commits a record, so safely.
    Commit(Ack),
    /// The same where each decision draws on a budget and each outcome settles it.
    Budget,
    /// Checks a credential that this process holds.
    Handle,
    /// Verifies a signed chain of three.
    Chain,
    /// Finds a verified chain of three again, and asks whether it is still live.
    KnownChain,
}

impl Kind {
    /// By the name of its surface.
    pub fn named(surface: &str) -> Option<Self> {
        Some(match surface {
            "flush" => Self::Flush,
            "durable" => Self::Commit(Ack::Durable),
            "written" => Self::Commit(Ack::Written),
            "durable-budget" => Self::Budget,
            "handle" => Self::Handle,
            "chain" => Self::Chain,
            "chain-known" => Self::KnownChain,
            _ => return None,
        })
    }

    fn surface(self) -> &'static str {
        match self {
            Self::Flush => "600 bytes to the end of a file, fdatasync",
            Self::Commit(Ack::Written) => "a record with its view -> in the log, `written`",
            Self::Commit(_) => "a record with its view -> in the log, `durable`",
            Self::Budget => "the same, drawing on a budget or settling it",
            Self::Handle => "handle of a chain of three -> live or not",
            Self::Chain => "text of a signed chain of three -> verified",
            Self::KnownChain => "text of a chain seen before -> found, and live or not",
        }
    }

    fn steps(self, folder: &Path) -> Result<Steps, Failure> {
        match self {
            Self::Flush => flushes(folder),
            Self::Commit(ack) => commits(folder, ack, false),
            Self::Budget => commits(folder, Ack::Durable, true),
            Self::Handle | Self::Chain | Self::KnownChain => credentials(self),
        }
    }
}

impl Timed {
    pub fn new(kind: Kind) -> Self {
        Self { kind, steps: None, step: None, folder: None }
    }
}

impl Engine for Timed {
    fn hello(&self) -> (&'static str, &'static str, String) {
        let name = if matches!(self.kind, Kind::Flush) { "the disk" } else { "placet" };
        (name, self.kind.surface(), placet::VERSION.to_owned())
    }

    fn prepare(&mut self, _events: &[Value]) -> Result<(), Failure> {
        Ok(())
    }

    fn load(&mut self, _folder: &Path, options: &Value) -> Result<(), Failure> {
        let disk = options["disk"].as_str().ok_or("no folder on the disk that is measured")?;
        let folder = Folder::new(Path::new(disk))?;
        let steps = self.kind.steps(&folder.0)?;
        self.step = Some(steps()?);
        (self.steps, self.folder) = (Some(steps), Some(folder));
        Ok(())
    }

    fn call(&mut self, _index: usize) -> Result<(), Failure> {
        self.step.as_mut().ok_or("nothing was loaded")?()
    }

    fn verdict(&mut self, index: usize) -> Result<String, Failure> {
        self.call(index).map(|()| "allow".to_owned())
    }

    fn fork(&self) -> Self {
        let step = self.steps.as_ref().and_then(|steps| steps().ok());
        Self { kind: self.kind, steps: self.steps.clone(), step, folder: None }
    }
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Result<Self, Failure> {
        let folder = parent.join(format!("worker-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn flushes(folder: &Path) -> Result<Steps, Failure> {
    let path = folder.join("flush");
    Ok(Arc::new(move || {
        let mut file: File = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Box::new(move || {
            file.write_all(&[b'x'; 600])?;
            Ok(file.sync_data()?)
        }))
    }))
}

fn commits(folder: &Path, ack: Ack, budget: bool) -> Result<Steps, Failure> {
    let settings = Settings::new(KeyFolder::new(folder.join("keys")));
    let ledger = Arc::new(LogLedger::new(Sqlite::new(folder.join("audit.db")), settings));
    let mut record = Record::new(RecordId(id()?.into()), Fact::Change(ChangeFact { by: "bench".into() }));
    record.ops = vec![LedgerOp::SetBudget(BudgetLimit { key: key(), limit: 1 << 50 })];
    commit(&ledger, Proposal { record, view: None, personal: Vec::new(), fallback: None }, Ack::Durable)?;
    Ok(Arc::new(move || {
        let (ledger, mut open) = (ledger.clone(), None);
        Ok(Box::new(move || {
            let proposal = match open.take() {
                None => {
                    let reservation = ReservationId(id()?.into());
                    let proposal = decision(&reservation, budget)?;
                    open = Some((proposal.record.id.clone(), reservation));
                    proposal
                }
                Some((decision, reservation)) => outcome(decision, reservation, budget)?,
            };
            commit(&ledger, proposal, ack)
        }))
    }))
}

fn commit(ledger: &LogLedger<Sqlite>, proposal: Proposal, ack: Ack) -> Result<(), Failure> {
    let receipt = ledger.commit(proposal, ack)?;
    receipt.refused.map_or(Ok(()), |refusal| Err(refusal.reason.to_string().into()))
}

fn id() -> Result<String, Failure> {
    Ok(placet::refusal::new_id().0.to_string())
}

fn key() -> BudgetKey {
    BudgetKey { scope: BudgetScope::Session, owner: "s-1".into(), unit: BudgetUnit::ApiCalls, window: None }
}

fn decision(reservation: &ReservationId, budget: bool) -> Result<Proposal, Failure> {
    let fact = DecisionFact {
        event_type: "tool_call".into(),
        action: "refund".into(),
        tool: Some("refund".into()),
        verdict: "allow".into(),
        hard: false,
        code: "allowed".into(),
        risk_tier: RiskTier::TransactionalLow,
        rules: vec!["small_refund".into()],
        reviewers: Vec::new(),
        policy_version: "6f1c0c6f7a0d4f5e6f1c0c6f7a0d4f5e".into(),
        identity: Identity::Asserted,
        args: None,
        credential: None,
        depth: None,
        approval: None,
        permit: true,
        plan: Vec::new(),
    };
    let mut record = record(Fact::Decision(fact))?;
    if budget {
        record.ops = vec![LedgerOp::Reserve(Reservation {
            id: reservation.clone(),
            amounts: vec![Amount { key: key(), amount: 1, limit: None }],
            in_flight: true,
            expires_us: None,
        })];
    }
    let view = json!({
        "args": {"amount": 20, "order_id": "A-1001", "note": "customer asked twice"},
        "target": "payments", "reason": "refunds up to 100 are allowed",
        "context": {"session_id": "s-1", "user_role": "support_agent", "session_scopes": ["refunds", "crm_read"]},
    });
    Ok(proposal(record, &view))
}

fn outcome(decision: RecordId, reservation: ReservationId, budget: bool) -> Result<Proposal, Failure> {
    let status = OutcomeStatus::Succeeded;
    let fact = OutcomeFact { decision, status, error: None, elapsed_us: 250, injections: 0 };
    let mut record = record(Fact::Outcome(fact))?;
    if budget {
        record.ops = vec![LedgerOp::Settle(Settlement { id: reservation, actual: Vec::new() })];
    }
    Ok(proposal(record, &json!({"result": "refunded"})))
}

fn record(fact: Fact) -> Result<Record, Failure> {
    let mut record = Record::new(RecordId(id()?.into()), fact);
    record.session = Some("s-1".into());
    record.agent = Some("support-agent".into());
    Ok(record)
}

fn proposal(record: Record, view: &Value) -> Proposal {
    Proposal { record, view: view.as_object().cloned().map(Into::into), personal: Vec::new(), fallback: None }
}

const NOW: Micros = Micros(1_800_000_000_000_000);
const ISSUER: &str = "https://issuer.example";

/// Three tokens, each narrower than the one before, and the registry that knows them.
fn credentials(kind: Kind) -> Result<Steps, Failure> {
    let key = |seed| SecretKey::from_seed([seed; 32]);
    let keys = KeySet::new(ISSUER, key(0).public(), NOW);
    let chain = Chain::issue(&grant(0, 500.0), ISSUER, &key(0))?;
    let chain = chain.attenuate(&grant(1, 100.0), &key(1))?.attenuate(&grant(2, 80.0), &key(2))?;
    let (text, leaf) = (chain.to_text(), chain.verify(&keys, NOW)?);
    let mut state = State::default();
    for entry in leaf.entries() {
        let mut record = record(Fact::Change(ChangeFact { by: "bench".into() }))?;
        (record.time_us, record.ops) = (NOW, vec![LedgerOp::Issue(entry.clone())]);
        state.admit(&record).map_err(|refusal| refusal.reason.to_string())?;
    }
    let known = HashMap::from([(chain.digest(), leaf.clone())]);
    let last = leaf.chain().last().ok_or("an empty chain")?.clone();
    let shared = Arc::new((keys, text, state, known, last));
    Ok(Arc::new(move || {
        let shared = shared.clone();
        Ok(Box::new(move || {
            let (keys, text, state, known, last) = &*shared;
            match kind {
                Kind::Handle => drop(black_box(state.credentials.live(last, NOW)?)),
                Kind::Chain => drop(black_box(Chain::parse(text)?.verify(keys, NOW)?)),
                _ => {
                    let leaf = known.get(&Chain::parse(text)?.digest()).ok_or("not seen before")?;
                    state.credentials.check_chain(leaf.chain(), NOW)?;
                    black_box(leaf.in_time(NOW));
                }
            }
            Ok(())
        }))
    }))
}

fn grant(depth: u8, most: f64) -> Grant {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let arguments = BTreeMap::from([("amount".into(), amount)]);
    let refund = ToolLimit { arguments, open: false, calls: None };
    let tools = Tools::Only(BTreeMap::from([("refund".into(), refund)]));
    Grant {
        jti: format!("jti-{depth}").into(),
        issued: NOW,
        identity: Holder { session: "s-1".into(), tenant: None, agent: None, role: None },
        authority: Authority { tools, ..Authority::of_scopes(["refunds"], 3, NOW.plus_seconds(300)) },
        holder: SecretKey::from_seed([depth.saturating_add(1); 32]).public(),
    }
}
