//! How fast the ledger is on this disk: `cargo run --release --example ledger_speed -p placet-store [FOLDER]`.
//! With `--features postgres` and an address after the folder, how fast it is in that PostgreSQL.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "postgres")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use placet_store::backend::Backend;
use placet_store::{KeyFolder, LogLedger, Settings, Sqlite};
use placet_trust::{Ledger, Proposal};
use placet_types::ledger::{
    Amount, BudgetKey, BudgetLimit, BudgetScope, BudgetUnit, Reservation, Settlement,
};
use placet_types::record::{ChangeFact, DecisionFact, OutcomeFact, OutcomeStatus};
use placet_types::{Ack, Digest, Fact, Identity, LedgerOp, Record, RecordId, ReservationId, RiskTier};
use serde_json::json;
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

const CALLERS: usize = 64;
const TIME: Duration = Duration::from_secs(3);

fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let folder = Path::new(&parent).join(format!("ledger-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&folder);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path) -> Result<(), Failure> {
    #[cfg(feature = "postgres")]
    if let Some(url) = std::env::args().nth(2) {
        let schema = format!("speed_{}", std::process::id());
        let ledger = open(folder, placet_store::Postgres::with_schema(&url, &schema)?)?;
        show("postgres, durable, one caller", &one_caller(&ledger, Ack::Durable, TIME)?);
        show("postgres, written, one caller", &one_caller(&ledger, Ack::Written, TIME)?);
        show("postgres, written, with an approval", &approvals(&ledger, Ack::Written, TIME)?);
        show("postgres, durable, with an approval", &approvals(&ledger, Ack::Durable, TIME)?);
        let (count, all) = many_callers(&ledger, CALLERS)?;
        show(&format!("postgres, durable, {CALLERS} callers"), &all);
        println!("postgres, durable, {CALLERS} callers: {count:.0} a second");
        return Ok(());
    }
    let ledger = open(folder, Sqlite::new(folder.join("placet_audit.db")))?;
    // Long enough for the ledger to know that it is busy.
    one_caller(&ledger, Ack::Durable, Duration::from_secs(1))?;
    show("flush, over what is there", &flushes(folder, false)?);
    let flush = flushes(folder, true)?;
    show("flush, appended", &flush);
    let durable = one_caller(&ledger, Ack::Durable, TIME)?;
    show("durable, one caller", &durable);
    let again = flushes(folder, true)?;
    show("flush, appended, again", &again);
    let around: Vec<Duration> = flush.into_iter().chain(again).collect();
    let ratio = |at: f64| percentile(&durable, at).as_secs_f64() / percentile(&around, at).as_secs_f64();
    println!("durable, one caller: {:.2} of the flushes around it, p99 {:.2}", ratio(0.5), ratio(0.99));
    show("written, one caller", &one_caller(&ledger, Ack::Written, TIME)?);
    for callers in [8, CALLERS] {
        let (count, all) = many_callers(&ledger, callers)?;
        show(&format!("durable, {callers} callers"), &all);
        println!("durable, {callers} callers: {:.0} a second", count);
    }
    Ok(())
}

fn open<B: Backend>(folder: &Path, place: B) -> Result<Arc<LogLedger<B>>, Failure> {
    let settings = Settings::new(KeyFolder::new(folder.join("keys")));
    let ledger = LogLedger::new(place, settings);
    let fact = Fact::Change(ChangeFact { by: "system".into() });
    let mut record = Record::new(RecordId(id().into()), fact);
    record.ops = vec![LedgerOp::SetBudget(BudgetLimit { key: budget(), limit: 1 << 50 })];
    ledger.commit(Proposal { record, view: None, personal: Vec::new(), fallback: None }, Ack::Durable)?;
    Ok(Arc::new(ledger))
}

fn id() -> String {
    Uuid::now_v7().to_string()
}

fn budget() -> BudgetKey {
    let owner = "018f6d3e-7c1a-7b2e-9d4f-0a1b2c3d4e5f".into();
    BudgetKey { scope: BudgetScope::Session, owner, unit: BudgetUnit::ApiCalls, window: None }
}

/// A call with a realistic view that draws on a budget.
fn call(reservation: &ReservationId) -> Proposal {
    let fact = DecisionFact {
        event_type: "tool_call".into(),
        action: "payments.refund".into(),
        tool: Some("refund".into()),
        verdict: "allow".into(),
        hard: false,
        code: "allowed".into(),
        risk_tier: RiskTier::TransactionalLow,
        rules: vec!["small-refunds".into()],
        reviewers: Vec::new(),
        policy_version: "6f1c0c6f7a0d4f5e6f1c0c6f7a0d4f5e".into(),
        identity: Identity::Verified,
        args: Some(Digest([7; 32])),
        credential: None,
        depth: Some(1),
        approval: None,
        plan: Vec::new(),
        permit: true,
    };
    let mut record = Record::new(RecordId(id().into()), Fact::Decision(fact));
    record.session = Some("018f6d3e-7c1a-7b2e-9d4f-0a1b2c3d4e5f".into());
    record.agent = Some("support-agent".into());
    record.ops = vec![LedgerOp::Reserve(Reservation {
        id: reservation.clone(),
        amounts: vec![Amount { key: budget(), amount: 1, limit: None }],
        in_flight: true,
        expires_us: None,
    })];
    let view = json!({
        "args": {"amount": 120, "currency": "EUR", "order": "A-1001", "note": "customer asked twice"},
        "target": "payments", "reason": "refunds up to 500 are allowed",
        "context": {"session_id": "018f6d3e", "user_role": "support", "session_scopes": ["refund", "read"]},
    });
    Proposal { record, view: view.as_object().cloned().map(Into::into), personal: Vec::new(), fallback: None }
}

/// What became of the call, with what it cost.
fn outcome(decision: RecordId, reservation: ReservationId) -> Proposal {
    let status = OutcomeStatus::Succeeded;
    let fact = Fact::Outcome(OutcomeFact { decision, status, error: None, elapsed_us: 250, injections: 0 });
    let mut record = Record::new(RecordId(id().into()), fact);
    record.session = Some("018f6d3e-7c1a-7b2e-9d4f-0a1b2c3d4e5f".into());
    record.agent = Some("support-agent".into());
    record.ops = vec![LedgerOp::Settle(Settlement { id: reservation, actual: Vec::new() })];
    let view = json!({"result": {"refunded": true, "reference": "R-2048"}});
    Proposal { record, view: view.as_object().cloned().map(Into::into), personal: Vec::new(), fallback: None }
}

fn flushes(folder: &Path, append: bool) -> Result<Vec<Duration>, Failure> {
    let path = folder.join("flush");
    let mut file = OpenOptions::new().append(append).create(true).write(true).open(path)?;
    if !append {
        file.write_all(&vec![0; 1 << 20])?;
        file.sync_all()?;
    }
    let mut times = Vec::new();
    for turn in 0..1_000 {
        let begun = Instant::now();
        match append {
            true => file.write_all(&[b'x'; 600])?,
            false => file.write_all_at(&[b'x'; 600], turn % 256 * 4096)?,
        }
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

fn one_caller<B: Backend>(ledger: &LogLedger<B>, ack: Ack, time: Duration) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let end = Instant::now() + time;
    let mut commit = |proposal: Proposal| -> Result<(), Failure> {
        let begun = Instant::now();
        let receipt = ledger.commit(proposal, ack)?;
        times.push(begun.elapsed());
        receipt.refused.map_or(Ok(()), |refusal| Err(refusal.reason.to_string().into()))
    };
    while Instant::now() < end {
        let reservation = ReservationId(id().into());
        let decided = call(&reservation);
        let decision = decided.record.id.clone();
        commit(decided)?;
        commit(outcome(decision, reservation))?;
    }
    Ok(times)
}

/// Calls that draw on a budget and ask people in the same commit.
#[cfg(feature = "postgres")]
fn approvals<B: Backend>(ledger: &LogLedger<B>, ack: Ack, time: Duration) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let id = id();
        let mut asks = call(&ReservationId(id.clone().into()));
        asks.record.ops.push(support::ask(&id, placet_audit::tree::leaf_hash(id.as_bytes())));
        if let Some(LedgerOp::Ask(entry)) = asks.record.ops.last_mut() {
            entry.session = Some(id.as_str().into());
            entry.requesters = vec![id.as_str().into()];
        }
        let begun = Instant::now();
        let receipt = ledger.commit(asks, ack)?;
        times.push(begun.elapsed());
        receipt.refused.map_or(Ok(()), |refusal| Err(refusal.reason.to_string()))?;
    }
    Ok(times)
}

fn many_callers<B: Backend>(
    ledger: &Arc<LogLedger<B>>,
    callers: usize,
) -> Result<(f64, Vec<Duration>), Failure> {
    let begun = Instant::now();
    let threads: Vec<_> = (0..callers)
        .map(|_| {
            let ledger = ledger.clone();
            std::thread::spawn(move || one_caller(&ledger, Ack::Durable, TIME))
        })
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| "a caller panicked")??);
    }
    Ok((all.len() as f64 / begun.elapsed().as_secs_f64(), all))
}

fn percentile(times: &[Duration], at: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let index = (sorted.len() as f64 * at) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn show(what: &str, times: &[Duration]) {
    let [half, most] = [0.5, 0.99].map(|at| percentile(times, at));
    println!("{what}: p50 {half:.1?}, p99 {most:.1?}, {} times", times.len());
}
