//! An older copy of the log is put back: it is refused, and goes on only once a person accepts what is lost.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

#[cfg(feature = "postgres")]
#[path = "support/server.rs"]
mod server;
mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use placet_audit::keys::VerifierKey;
use placet_audit::verify::{Code, EntrySource, Report, Truncation, verify};
use placet_store::backend::Backend;
use placet_store::recovery::{Acceptance, Accepted, Rollback, RollbackError};
use placet_store::{KeyFolder, LogLedger, Reader, Settings, Sqlite, SqliteSource};
use placet_trust::{Freshness, Ledger, LedgerError, State};
use placet_types::ledger::{Amount, ApprovalState, BudgetKey, Reservation, Window};
use placet_types::{Ack, ApprovalId, CredentialId, DenyCause, Digest, LedgerOp, Micros};
use support::*;
use tempfile::TempDir;

/// A deployment whose log can be put back to where it was, under the feet of whoever has it open.
trait Site {
    type Backend: Backend;

    fn backend(&self) -> Self::Backend;
    fn folder(&self) -> &TempDir;
    fn source(&self) -> Box<dyn Reader>;
    fn keep(&self);
    fn put_back(&self);
    fn edit(&self, sql: &str);

    fn anchor(&self) -> PathBuf {
        self.folder().path().join("anchor")
    }

    fn settings(&self) -> Settings {
        settings(self.folder().path()).anchor(self.anchor()).mirror(self.folder().path().join("mirror.jsonl"))
    }

    fn open(&self) -> LogLedger<Self::Backend> {
        LogLedger::new(self.backend(), self.settings())
    }

    fn keys(&self) -> Vec<VerifierKey> {
        let origin = self.source().origin().unwrap();
        KeyFolder::new(self.folder().path().join("keys")).verifiers(&origin).unwrap()
    }

    fn verify(&self, from: Option<&str>) -> Report {
        let mut source: Box<dyn Reader> = self.source();
        verify(source.as_mut() as &mut dyn EntrySource, &self.keys(), from).unwrap()
    }
}

const TABLES: [&str; 6] = ["entry", "view", "personal", "checkpoint", "head", "state"];

struct InSqlite(TempDir);

impl InSqlite {
    fn shell(&self) -> rusqlite::Connection {
        let shell = rusqlite::Connection::open(self.0.path().join("placet_audit.db")).unwrap();
        shell
            .execute_batch("DROP TRIGGER IF EXISTS entry_update; DROP TRIGGER IF EXISTS entry_delete")
            .unwrap();
        shell
    }
}

impl Site for InSqlite {
    type Backend = Sqlite;

    fn backend(&self) -> Sqlite {
        Sqlite::new(self.0.path().join("placet_audit.db"))
    }

    fn folder(&self) -> &TempDir {
        &self.0
    }

    fn source(&self) -> Box<dyn Reader> {
        Box::new(SqliteSource::open(&self.0.path().join("placet_audit.db")).unwrap())
    }

    fn keep(&self) {
        let copy = self.0.path().join("copy.db");
        self.shell().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    }

    fn put_back(&self) {
        let shell = self.shell();
        let copy = self.0.path().join("copy.db");
        shell.execute("ATTACH ?1 AS copy", [copy.to_str().unwrap()]).unwrap();
        let step = |table| {
            format!(
                "DELETE FROM main.\"{table}\"; INSERT INTO main.\"{table}\" SELECT * FROM copy.\"{table}\";"
            )
        };
        shell.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT", TABLES.map(step).concat())).unwrap();
    }

    fn edit(&self, sql: &str) {
        self.shell().execute_batch(sql).unwrap();
    }
}

#[cfg(feature = "postgres")]
struct InPostgres {
    folder: TempDir,
    schema: String,
}

#[cfg(feature = "postgres")]
impl InPostgres {
    fn shell(&self) -> postgres::Client {
        let mut client = postgres::Client::connect(server::server(), postgres::NoTls).unwrap();
        client.batch_execute(&format!("SET search_path = {}", self.schema)).unwrap();
        client.batch_execute("ALTER TABLE entry DISABLE TRIGGER USER").unwrap();
        client
    }
}

#[cfg(feature = "postgres")]
impl Site for InPostgres {
    type Backend = placet_store::Postgres;

    fn backend(&self) -> placet_store::Postgres {
        placet_store::Postgres::with_schema(server::server(), &self.schema).unwrap()
    }

    fn folder(&self) -> &TempDir {
        &self.folder
    }

    fn source(&self) -> Box<dyn Reader> {
        Box::new(placet_store::PostgresSource::open(&self.backend()).unwrap())
    }

    fn keep(&self) {
        let step =
            |table| format!("CREATE TABLE {0}_copy.{table} AS SELECT * FROM {0}.{table};", self.schema);
        let steps = TABLES.map(step).concat();
        self.shell().batch_execute(&format!("CREATE SCHEMA {}_copy; {steps}", self.schema)).unwrap();
    }

    fn put_back(&self) {
        let step = |table| {
            format!(
                "DELETE FROM {0}.{table}; INSERT INTO {0}.{table} SELECT * FROM {0}_copy.{table};",
                self.schema
            )
        };
        self.shell().batch_execute(&format!("BEGIN; {} COMMIT", TABLES.map(step).concat())).unwrap();
    }

    fn edit(&self, sql: &str) {
        self.shell().batch_execute(sql).unwrap();
    }
}

fn in_sqlite() -> InSqlite {
    InSqlite(tempfile::tempdir().unwrap())
}

#[cfg(feature = "postgres")]
fn in_postgres() -> InPostgres {
    InPostgres { folder: tempfile::tempdir().unwrap(), schema: fresh("log").replace('-', "_") }
}

fn now() -> Micros {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Micros(i64::try_from(since.as_micros()).unwrap())
}

fn commit(ledger: &dyn Ledger, ops: Vec<LedgerOp>) -> Option<DenyCause> {
    let mut proposal = change(ops);
    proposal.fallback = None;
    ledger.commit(proposal, Ack::Durable).unwrap().refused.map(|refusal| refusal.cause)
}

fn look<T>(ledger: &dyn Ledger, see: impl Fn(&State) -> T) -> T {
    let mut seen = None;
    ledger.read(Freshness::Now, &mut |state| seen = Some(see(state))).unwrap();
    seen.unwrap()
}

/// What was there before the copy, and the credential that only the lost part knew.
struct Before<B: Backend> {
    running: LogLedger<B>,
    lost: placet_types::ledger::CredentialEntry,
    checkpoint: String,
}

/// A log of 4 entries is kept, 4 more are committed and signed, and the copy is put back.
fn rolled_back<S: Site>(site: &S) -> Before<S::Backend> {
    let running = site.open();
    commit(&running, vec![limit(5)]);
    commit(&running, vec![LedgerOp::Issue(credential("known", now()))]);
    commit(&running, vec![ask("asked", Digest([3; 32]))]);
    assert_eq!(running.commit(with(vec![reserve(1)]), Ack::Published).unwrap().seq, 3);
    site.keep();
    let lost = credential("lost", now());
    commit(&running, vec![LedgerOp::Issue(lost.clone())]);
    commit(&running, vec![vote("asked", Digest([3; 32]))]);
    assert_eq!(running.commit(with(vec![reserve(4)]), Ack::Published).unwrap().seq, 6);
    // Seen by the running process and by no checkpoint.
    running.commit(call(), Ack::Durable).unwrap();
    let checkpoint = fs::read_to_string(site.anchor()).unwrap();
    site.put_back();
    Before { running, lost, checkpoint }
}

fn vote(id: &str, digest: Digest) -> LedgerOp {
    LedgerOp::Vote(Box::new(placet_types::ledger::Vote {
        approval: id.into(),
        digest,
        approver: "ann".into(),
        groups: Vec::new(),
        approve: true,
        strength: placet_types::ledger::VoteStrength::Asserted,
        channel: "cli".into(),
        at_us: Micros(1),
        record: "vote".into(),
        signature: None,
        key: None,
    }))
}

fn is_refused(ledger: &dyn Ledger) -> String {
    let error = ledger.commit(call(), Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { .. }), "{error}");
    error.to_string()
}

fn acceptance(rollback: &Rollback, burn_budgets: bool) -> Acceptance {
    let reason = "the disk of db-1 died; the copy of 04:00 is all there is".to_owned();
    Acceptance { size: rollback.size, root: rollback.root, by: "ann".into(), reason, burn_budgets }
}

fn a_rollback_is_accepted_by_one_commit(site: &impl Site) {
    let Before { running, lost, checkpoint } = rolled_back(site);
    let fresh = site.open();
    let said = is_refused(&fresh);
    assert!(
        said.contains("it has 4 entries") && said.contains("covers 7") && said.contains("audit recover"),
        "{said}"
    );
    is_refused(&running);

    let rollback = fresh.rollback().unwrap().unwrap();
    let kept: Vec<_> = rollback.lost.iter().map(|lost| (&*lost.kept, lost.size)).collect();
    assert_eq!((rollback.size, kept), (4, vec![("key_folder", 7), ("anchor", 7)]));
    assert_eq!(rollback.state.approvals.open().count(), 1);
    let other = Acceptance { size: 3, ..acceptance(&rollback, false) };
    assert!(matches!(fresh.accept_rollback(&other), Err(RollbackError::Other { size: 4, .. })));
    is_refused(&site.open());

    let Accepted { receipt, mirror, left } = fresh.accept_rollback(&acceptance(&rollback, false)).unwrap();
    assert_eq!((receipt.seq, left), (4, None));
    let aside = fs::read_to_string(mirror.unwrap()).unwrap();
    assert!(aside.contains("lost"), "the mirror of the lost part is kept");
    assert!(matches!(fresh.accept_rollback(&acceptance(&rollback, false)), Err(RollbackError::None(5))));

    // In the same process, without a restart; the one that had seen more needs one.
    assert_eq!(
        look(&fresh, |state| state.approvals.get(&ApprovalId::from("asked")).unwrap().state),
        ApprovalState::Cancelled
    );
    assert_eq!(commit(&fresh, vec![vote("asked", Digest([3; 32]))]), Some(DenyCause::ApprovalInvalid));
    let live =
        |id: &str| look(&fresh, |state| state.credentials.live(&CredentialId::from(id), now()).is_ok());
    assert!(!live("known"));
    assert_eq!(commit(&fresh, vec![LedgerOp::Issue(lost)]), Some(DenyCause::CredentialValidation));
    assert_eq!(commit(&fresh, vec![LedgerOp::Issue(credential("later", now()))]), None);
    assert!(live("later"));
    assert_eq!(commit(&fresh, vec![reserve(4)]), None, "the balance is as the copy has it");
    is_refused(&running);
    running.close();
    assert!(running.commit(call(), Ack::Published).is_ok(), "started anew");
    // A copy of the old checkpoint that was not written over, for instance on a volume that was away, is known.
    fs::write(site.anchor(), &checkpoint).unwrap();
    let again = site.open();
    again.commit(call(), Ack::Published).unwrap();
    assert_ne!(fs::read_to_string(site.anchor()).unwrap(), checkpoint, "the anchor follows the new history");
    judged(site, &checkpoint);
}

/// Both verifiers accept the log, report the recovery, and do not take it for the log of the old checkpoint.
fn judged(site: &impl Site, checkpoint: &str) {
    let report = site.verify(None);
    assert!(report.ok, "{report:?}");
    let rollback = &report.rollbacks[0];
    assert_eq!((rollback.seq, rollback.fact.size, &*rollback.fact.by), (4, 4, "ann"));
    let report = site.verify(Some(checkpoint));
    assert!(!report.ok);
    let forked = report.findings.iter().find(|found| found.code == Code::Forked).unwrap();
    assert!(
        forked.message.contains("record 4 accepted a rollback to 4 entries, by ann"),
        "{}",
        forked.message
    );

    let mirror = site.folder().path().join("mirror.jsonl");
    for (from, ok) in [(None, true), (Some(checkpoint), false)] {
        let (python, code) = python(site, &mirror, from);
        assert_eq!((python["ok"].as_bool(), code), (Some(ok), i32::from(!ok)), "{python}");
        assert_eq!(python["rollbacks"][0]["size"], 4, "{python}");
        assert_eq!(from.is_some(), python["findings"].to_string().contains("forked"), "{python}");
    }
}

fn python(site: &impl Site, log: &std::path::Path, from: Option<&str>) -> (serde_json::Value, i32) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../verify/placet_verify.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(log);
    for key in site.keys() {
        command.arg("--key").arg(key.to_string());
    }
    if let Some(from) = from {
        let file = site.folder().path().join("outside");
        fs::write(&file, from).unwrap();
        command.arg("--from").arg(file);
    }
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
        output.status.code().unwrap(),
    )
}

fn burned_budgets_count_as_used_up(site: &impl Site) {
    rolled_back(site);
    let ledger = site.open();
    let rollback = ledger.rollback().unwrap().unwrap();
    ledger.accept_rollback(&acceptance(&rollback, true)).unwrap();
    let of = |window: Option<Window>, owner: &str| {
        let key = BudgetKey { window, owner: owner.into(), ..budget() };
        let amounts = vec![Amount { key, amount: 1, limit: Some(1_000) }];
        LedgerOp::Reserve(Reservation {
            id: fresh("burned").into(),
            amounts,
            in_flight: true,
            expires_us: None,
        })
    };
    let day = |owner: &str| of(Some(Window::Fixed(1 << 30)), owner);
    assert_eq!(commit(&ledger, vec![of(None, "session-1")]), Some(DenyCause::BudgetExhausted));
    assert_eq!(
        commit(&ledger, vec![day("anybody")]),
        Some(DenyCause::BudgetExhausted),
        "it may have been used in the lost part"
    );
    let rate = of(Some(Window::Rolling(3_600)), "anybody");
    assert_eq!(commit(&ledger, vec![rate]), Some(DenyCause::BudgetExhausted));
    assert_eq!(commit(&ledger, vec![of(None, "another session")]), None);
    // A new limit says what may be spent from here on.
    assert_eq!(commit(&ledger, vec![limit(9)]), None);
    assert_eq!(commit(&ledger, vec![reserve(1)]), None);
    drop(ledger);
    assert!(!look(&site.open(), |state| state.budgets.standing(&budget(), now()).unwrap().burned));
    assert!(site.verify(None).ok);
}

fn a_log_shorter_than_a_later_checkpoint_is_cut(site: &impl Site) {
    let Before { checkpoint, .. } = rolled_back(site);
    let ledger = site.open();
    let rollback = ledger.rollback().unwrap().unwrap();
    ledger.accept_rollback(&acceptance(&rollback, false)).unwrap();
    drop(ledger);
    let report = site.verify(Some(&checkpoint));
    assert_eq!(report.truncation, Truncation::Found);
    assert!(report.findings[0].message.contains("record 4 accepted a rollback"), "{:?}", report.findings);
}

fn an_edited_log_stays_refused(site: &impl Site, edit: &str) {
    rolled_back(site);
    site.edit(edit);
    let ledger = site.open();
    let error = ledger.rollback().unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { .. }), "`{edit}`: {error}");
    let acceptance = Acceptance {
        size: 4,
        root: Digest([0; 32]),
        by: "ann".into(),
        reason: String::new(),
        burn_budgets: false,
    };
    let error = ledger.accept_rollback(&acceptance).unwrap_err();
    assert!(matches!(error, RollbackError::Ledger(LedgerError::Tampered { .. })), "`{edit}`: {error}");
    is_refused(&site.open());
}

fn an_edited_row_is_found(site: &impl Site) {
    rolled_back(site);
    site.edit("UPDATE state SET body = replace(body, 'pending', 'approved') WHERE kind = 'approval'");
    let ledger = site.open();
    let rollback = ledger.rollback().unwrap().unwrap();
    let error = ledger.accept_rollback(&acceptance(&rollback, false)).unwrap_err();
    assert!(error.to_string().contains("was edited"), "{error}");
    is_refused(&site.open());
}

const EDITS: [&str; 4] = [
    "UPDATE entry SET leaf = replace(leaf, 'allow', 'adopt') WHERE seq = 3",
    "DELETE FROM entry WHERE seq = 3",
    "UPDATE head SET time_us = time_us + 1",
    "UPDATE checkpoint SET note = 'none'",
];

#[test]
fn promise_8_a_rollback_is_accepted_by_one_commit() {
    a_rollback_is_accepted_by_one_commit(&in_sqlite());
    #[cfg(feature = "postgres")]
    a_rollback_is_accepted_by_one_commit(&in_postgres());
}

#[test]
fn promise_8_an_accepted_rollback_does_not_hide_that_the_log_was_cut() {
    a_log_shorter_than_a_later_checkpoint_is_cut(&in_sqlite());
    #[cfg(feature = "postgres")]
    a_log_shorter_than_a_later_checkpoint_is_cut(&in_postgres());
}

#[test]
fn promise_8_an_edited_log_is_no_rollback() {
    for edit in EDITS {
        an_edited_log_stays_refused(&in_sqlite(), edit);
        #[cfg(feature = "postgres")]
        an_edited_log_stays_refused(&in_postgres(), edit);
    }
    an_edited_row_is_found(&in_sqlite());
}

#[test]
fn f27_budgets_can_be_burned_with_a_rollback() {
    burned_budgets_count_as_used_up(&in_sqlite());
    #[cfg(feature = "postgres")]
    burned_budgets_count_as_used_up(&in_postgres());
}

#[test]
fn a_log_that_goes_on_has_nothing_to_recover() {
    let site = in_sqlite();
    let ledger = site.open();
    ledger.commit(call(), Ack::Published).unwrap();
    assert!(ledger.rollback().unwrap().is_none());
    let nothing = Acceptance {
        size: 1,
        root: Digest([0; 32]),
        by: "ann".into(),
        reason: String::new(),
        burn_budgets: false,
    };
    assert!(matches!(ledger.accept_rollback(&nothing), Err(RollbackError::None(1))));
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
}
