//! Edits of SQLite ledgers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::{Path, PathBuf};

use placet_audit::keys::SigningKey;
use placet_audit::verify::{Code, Finding, Report, Truncation, verify};
use placet_store::{KeyFolder, LogLedger, Sqlite, SqliteSource};
use placet_trust::{Ledger, LedgerError};
use placet_types::{Ack, DenyCause, LedgerOp};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::audit::Log;
use crate::audit::edits::{Answer, Dice, first_difference, rewrite};
use crate::judges::Python;
use crate::shop::{ROUND, at_work, fill};
use crate::tables::{STATE_EDITS, Shell, seal_edits, statements};
use crate::{Case, judge_many};

pub const ROUNDS: u64 = 3;

impl Shell for Connection {
    fn run(&mut self, sql: &str) -> Result<(), String> {
        self.execute_batch(sql).map_err(|error| error.to_string())
    }

    fn hex(&self, hex: &str) -> String {
        format!("x'{hex}'")
    }

    const DROP_TRIGGERS: &'static str = "DROP TRIGGER entry_update; DROP TRIGGER entry_delete;";

    const INSERT_OR_REPLACE: &'static str =
        "INSERT OR REPLACE INTO entry (seq, leaf, hash) SELECT {at}, leaf, hash FROM entry WHERE seq = {of};";
}

/// A finished ledger to copy.
pub struct Template {
    pub folder: TempDir,
    pub log: Log,
}

pub fn file(folder: &Path) -> PathBuf {
    folder.join("placet_audit.db")
}

pub fn shell(path: &Path) -> Connection {
    let shell = Connection::open(path).unwrap();
    shell.pragma_update(None, "synchronous", "OFF").unwrap();
    shell
}

/// The signing key of the only log whose keys lie here.
pub fn signing_key(folder: &Path, origin: &str) -> SigningKey {
    KeyFolder::new(folder.join("keys")).signing_key(origin, false).unwrap()
}

impl Template {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let settings = at_work(folder.path()).mirror(folder.path().join("audit.jsonl"));
        let ledger = LogLedger::new(Sqlite::new(&path), settings);
        fill(&ledger, ROUNDS);
        ledger.close();
        drop(ledger);
        // As it stood before the last checkpoint was signed, which covers the last round.
        let shell = shell(&path);
        shell.execute("DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)", []).unwrap();
        shell.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(shell);
        let mut source = SqliteSource::open(&path).unwrap();
        let key = signing_key(folder.path(), &source.origin().unwrap());
        let log = Log::read(&mut source, key);
        assert_eq!(log.entries.len() as u64, ROUND * ROUNDS);
        assert!(log.signed() < ROUND * ROUNDS && log.signed() >= ROUND * (ROUNDS - 1), "{}", log.signed());
        Self { folder, log }
    }

    /// A copy of the file under a name.
    pub fn copy(&self, to: &Path) {
        fs::copy(file(self.folder.path()), to).unwrap();
    }

    /// A copy of the whole deployment, keys and all.
    pub fn deployment(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.copy(&file(folder.path()));
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([self.folder.path().join("keys"), folder.path().join("keys")])
            .status();
        assert!(copied.unwrap().success());
        folder
    }

    fn verified(&self, path: &Path, from: Option<&str>) -> Report {
        verify(&mut SqliteSource::open(path).unwrap(), &self.log.keys(), from).unwrap()
    }
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(PathBuf::from(name));
    }
}

#[test]
fn f28_an_untouched_ledger_is_clean_to_both() {
    let template = Template::new();
    let path = file(template.folder.path());
    let mut python = Python::start();
    for from in [None, Some(&*template.log.checkpoints.last().unwrap().note)] {
        let said = template.verified(&path, from);
        assert!(said.ok, "{said:?}");
        let other = python.verify(&path, from, template.log.key.verifier());
        assert!(other.ok, "{other:?}");
        assert_eq!((said.entries, said.signed), (other.entries, other.signed));
        assert_eq!(said.unsigned.map(|at| at.to), Some(ROUND * ROUNDS), "the end is not signed");
        assert_eq!(said.truncation == Truncation::None, from.is_some());
    }
}

#[test]
fn promise_8_f28_aegis_72_no_edit_of_a_sqlite_ledger_goes_undetected() {
    let template = Template::new();
    let (made, covered) = judge_many(
        11,
        760,
        |_| &template.log,
        |thread| {
            let path = template.folder.path().join(format!("edited-{thread}.db"));
            let (template, mut python) = (&template, Python::start());
            move |case: &Case<'_>| {
                template.copy(&path);
                let mut edit = shell(&path);
                edit.run(Connection::DROP_TRIGGERS).unwrap();
                let sql = statements(&edit, case.clean, &case.edited);
                edit.run(&format!("BEGIN; {sql} COMMIT"))
                    .unwrap_or_else(|error| panic!("{}: {error}", case.what));
                drop(edit);
                let from = case.outside.as_ref().map(|(_, note)| note.as_str());
                let other = python.verify(&path, from, case.clean.key.verifier());
                judge(case, &template.verified(&path, from), &other, |_| false);
                remove(&path);
            }
        },
    );
    assert!(made >= 650 && covered >= 350, "{made} edits, {covered} of covered records");
}

/// What both said of an edit. Neither may say less than the other, but for what the second does not look at.
pub(crate) fn judge(case: &Case<'_>, report: &Report, other: &Answer, left_out: impl Fn(Code) -> bool) {
    let (what, said) = (&case.what, Answer::of(report));
    if let Some(first) = case.first {
        let outside = case.outside.as_ref().map_or(0, |(size, _)| *size);
        said.judge(&case.edited, first, outside, what);
        if !left_out(Code::Field) || report.findings.iter().any(|finding| !left_out(finding.code)) {
            other.judge(&case.edited, first, outside, &format!("{what} (Python)"));
        }
    }
    let rest = |finding: &Finding| left_out(finding.code);
    assert!(!other.ok || report.findings.iter().all(rest), "{what}\n{report:?}\n{other:?}");
    assert!(other.ok || !said.ok, "{what}\n{report:?}\n{other:?}");
    assert!(!said.ok || said.truncation == other.truncation, "{what}\n{report:?}\n{other:?}");
    let broken = !case.edited.all_hold() || (case.edited.head != case.clean.head && case.first.is_none());
    assert!(!broken || !said.ok, "{what}: a broken checkpoint or head is passed");
}

#[test]
fn f28_insert_or_replace_goes_round_the_triggers_and_is_found() {
    let template = Template::new();
    let (path, mut python, mut dice) = (template.folder.path().join("r.db"), Python::start(), Dice(12));
    for _ in 0..60 {
        template.copy(&path);
        let count = template.log.entries.len();
        let at = dice.below(count);
        let of = (at + 1 + dice.below(count - 1)) % count;
        let sql =
            Connection::INSERT_OR_REPLACE.replace("{at}", &at.to_string()).replace("{of}", &of.to_string());
        shell(&path).run(&sql).unwrap();
        for said in [
            Answer::of(&template.verified(&path, None)),
            python.verify(&path, None, template.log.key.verifier()),
        ] {
            assert!(!said.ok, "{at} over {of}: {said:?}");
            let bad = said.first_bad.unwrap();
            assert!(bad.from <= at as u64, "{said:?}");
        }
        remove(&path);
    }
}

#[test]
fn f28_the_triggers_refuse_plain_edits() {
    let template = Template::new();
    let path = file(template.folder.path());
    for sql in ["UPDATE entry SET leaf = leaf", "DELETE FROM entry WHERE seq = 3"] {
        let refused = shell(&path).run(sql).unwrap_err();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert!(template.verified(&path, None).ok);
}

/// Cut or signed anew by whoever holds the key: without a checkpoint from elsewhere nothing is wrong, and the report says
/// that it could not tell; with one it is found.
#[test]
fn promise_8_f28_a_cut_or_a_fork_is_found_with_a_checkpoint_from_elsewhere_and_only_so() {
    let template = Template::new();
    let clean = &template.log;
    let outside = clean.checkpoints.last().unwrap();
    let (path, mut python, mut dice) = (template.folder.path().join("f.db"), Python::start(), Dice(13));
    for number in 0..80 {
        let mut edited = clean.clone();
        let at = dice.below(usize::try_from(outside.size).unwrap());
        if number % 2 == 0 {
            edited.entries.truncate(at);
            edited.checkpoints.retain(|mark| mark.size <= at as u64);
            edited.refit();
        } else {
            rewrite(&mut edited.entries[at], &mut dice);
            edited.refit();
            edited.sign_again(&clean.key);
        }
        let Some(first) = first_difference(clean, &edited) else { continue };
        template.copy(&path);
        let mut edit = shell(&path);
        let sql = statements(&edit, clean, &edited);
        edit.run(&format!("{} BEGIN; {sql} COMMIT", Connection::DROP_TRIGGERS)).unwrap();
        drop(edit);
        let key = clean.key.verifier();
        let alone = [Answer::of(&template.verified(&path, None)), python.verify(&path, None, key)];
        let held = [
            Answer::of(&template.verified(&path, Some(&outside.note))),
            python.verify(&path, Some(&outside.note), key),
        ];
        for said in alone {
            assert_eq!(said.truncation, "not checkable", "{number}: {said:?}");
        }
        for said in held {
            assert!(!said.ok, "{number}: {said:?}");
            assert!(said.first_bad.unwrap().from <= first, "{number}: {said:?}");
            assert_eq!(said.truncation == "found", number % 2 == 0, "{number}: {said:?}");
        }
        remove(&path);
    }
}

/// What promise 8 does not say is found: taken-out checkpoints leave their records unsigned, and what only the log's key
/// can judge is left to the ledger, which refuses to go on.
#[test]
fn f28_what_verify_does_not_look_at_the_ledger_refuses() {
    let template = Template::new();
    let mut python = Python::start();
    let path = template.folder.path().join("s.db");
    template.copy(&path);
    shell(&path).run("DELETE FROM checkpoint").unwrap();
    for said in
        [Answer::of(&template.verified(&path, None)), python.verify(&path, None, template.log.key.verifier())]
    {
        assert!(said.ok && said.signed == 0 && said.unsigned.unwrap().from == 0, "{said:?}");
    }
    for sql in seal_edits(&shell(&path)) {
        let deployment = template.deployment();
        let path = file(deployment.path());
        shell(&path).run(&sql).unwrap();
        let said = template.verified(&path, None);
        assert!(said.ok, "`{sql}`: {said:?}");
        assert!(python.verify(&path, None, template.log.key.verifier()).ok, "`{sql}`");
        let refused = LogLedger::new(Sqlite::new(&path), at_work(deployment.path())).open().unwrap_err();
        assert!(matches!(refused, LedgerError::Tampered { .. }), "`{sql}`: {refused}");
    }
}

/// Bytes that are no text stop neither verifier: the edit is named like any other.
#[test]
fn f28_what_is_no_text_any_more_is_named() {
    let template = Template::new();
    let mut python = Python::start();
    let outside = template.log.checkpoints.last().unwrap().note.clone();
    let path = template.folder.path().join("t.db");
    for sql in [
        "UPDATE checkpoint SET note = CAST(x'ff' AS TEXT) WHERE size = (SELECT min(size) FROM checkpoint)",
        "UPDATE \"view\" SET body = CAST(x'ff' AS TEXT) WHERE seq = (SELECT min(seq) FROM \"view\")",
        "UPDATE personal SET value = CAST(x'ff' AS TEXT), salt = zeroblob(3)",
        "UPDATE personal SET field = CAST(x'ff' AS TEXT)",
        "DROP TRIGGER entry_update; UPDATE entry SET leaf = CAST(x'ff' AS TEXT) WHERE seq = 3",
    ] {
        template.copy(&path);
        shell(&path).run(sql).unwrap();
        let said = Answer::of(&template.verified(&path, Some(&outside)));
        let other = python.verify(&path, Some(&outside), template.log.key.verifier());
        assert!(!said.ok && said.first_bad.is_some(), "`{sql}`: {said:?}");
        assert!(!other.ok && other.first_bad.is_some(), "`{sql}`: {other:?}");
        remove(&path);
    }
}

#[test]
fn f28_edited_rows_are_no_matter_of_the_log_and_stop_what_needs_them() {
    let template = Template::new();
    let mut python = Python::start();
    for (what, sql) in STATE_EDITS {
        let deployment = template.deployment();
        let path = file(deployment.path());
        let open = || LogLedger::new(Sqlite::new(&path), crate::support::settings(deployment.path()));
        let running = open();
        let pending = crate::support::fresh("approval");
        let token = crate::support::fresh("token");
        let now =
            running.commit(crate::support::change(vec![crate::support::limit(50)]), Ack::Durable).unwrap();
        let issue = LedgerOp::Issue(crate::support::credential(&token, now.time_us));
        let asked = crate::support::ask(&pending, placet_types::Digest([9; 32]));
        let vote = crate::shop::vote(&pending.as_str().into(), placet_types::Digest([9; 32]));
        for op in [issue, asked] {
            assert_eq!(running.commit(crate::support::change(vec![op]), Ack::Durable).unwrap().refused, None);
        }
        if what.contains("vote") {
            let voted = running.commit(crate::support::change(vec![vote]), Ack::Durable).unwrap();
            assert_eq!(voted.refused, None);
        }
        let rows = shell(&path).execute(sql, []).unwrap();
        assert!(rows > 0, "{what}: no row changed");
        let keys = [template.log.key.verifier().clone()];
        assert!(verify(&mut SqliteSource::open(&path).unwrap(), &keys, None).unwrap().ok, "{what}");
        assert!(python.verify(&path, None, &keys[0]).ok, "{what}");
        let needs = || match what {
            "a budget raised" => crate::support::reserve(1),
            "scopes widened" | "credentials deleted" => LedgerOp::Present(vec![token.as_str().into()]),
            _ => LedgerOp::Consume(placet_types::ledger::Consumption {
                approval: pending.as_str().into(),
                digest: placet_types::Digest([9; 32]),
            }),
        };
        // In the running process, in another one beside it, and in one that starts later.
        let beside = open();
        for ledger in [&running, &beside] {
            let refusal = ledger.commit(crate::support::with(vec![needs()]), Ack::Durable).unwrap().refused;
            assert_eq!(refusal.unwrap().cause, DenyCause::StateTampered, "{what}");
        }
        drop((running, beside));
        let later = open();
        let refusal = later.commit(crate::support::with(vec![needs()]), Ack::Durable).unwrap().refused;
        assert_eq!(refusal.unwrap().cause, DenyCause::StateTampered, "{what}, later");
    }
}

#[test]
fn f28_an_edited_ledger_is_not_opened() {
    let template = Template::new();
    let (made, _) = judge_many(
        14,
        88,
        |_| &template.log,
        |_| {
            let template = &template;
            move |case: &Case<'_>| {
                let head = |log: &Log| {
                    (log.entries.iter().map(|entry| entry.leaf.clone()).collect::<Vec<_>>(), log.head.clone())
                };
                if head(case.clean) == head(&case.edited) {
                    return;
                }
                let deployment = template.deployment();
                let path = file(deployment.path());
                let mut edit = shell(&path);
                let sql = statements(&edit, case.clean, &case.edited);
                edit.run(&format!("{} BEGIN; {sql} COMMIT", Connection::DROP_TRIGGERS)).unwrap();
                drop(edit);
                let ledger = LogLedger::new(Sqlite::new(&path), at_work(deployment.path()));
                let refused = ledger.commit(crate::support::call(), Ack::Durable);
                assert!(matches!(refused, Err(LedgerError::Tampered { .. })), "{}: {refused:?}", case.what);
            }
        },
    );
    assert!(made > 70, "{made}");
}
