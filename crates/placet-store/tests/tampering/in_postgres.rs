//! Edits of PostgreSQL ledgers. The second judge reads what `placet audit export` writes of them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::Path;

use placet_audit::verify::{Code, EntrySource, Report, StoredCheckpoint, verify};
use placet_audit::{leaf, mirror};
use placet_store::{LogLedger, Postgres, PostgresSource};
use placet_types::Micros;
use postgres::{Client, NoTls};
use tempfile::TempDir;

use crate::audit::Log;
use crate::audit::edits::Dice;
use crate::in_sqlite::{judge, signing_key};
use crate::judges::Python;
use crate::server::server;
use crate::shop::{ROUND, at_work, fill};
use crate::support::fresh;
use crate::tables::{Shell, TABLES, statements};
use crate::{Case, judge_many};

const ROUNDS: u64 = 3;

impl Shell for Client {
    fn run(&mut self, sql: &str) -> Result<(), String> {
        self.batch_execute(sql)
            .map_err(|error| error.as_db_error().map_or(error.to_string(), ToString::to_string))
    }

    fn hex(&self, hex: &str) -> String {
        format!("'\\x{hex}'::bytea")
    }

    const DROP_TRIGGERS: &'static str = "ALTER TABLE entry DISABLE TRIGGER USER;";

    const INSERT_OR_REPLACE: &'static str =
        "INSERT INTO entry (seq, leaf, hash) SELECT {at}, leaf, hash FROM entry WHERE seq = {of}
         ON CONFLICT (seq) DO UPDATE SET leaf = excluded.leaf, hash = excluded.hash;";
}

/// A finished ledger in a schema of its own, with a copy of its tables to go back to.
struct InPostgres {
    _keys: TempDir,
    place: Postgres,
    shell: Client,
    log: Log,
}

impl InPostgres {
    fn new() -> Self {
        let (keys, schema) = (tempfile::tempdir().unwrap(), fresh("many").replace('-', "_"));
        let place = Postgres::with_schema(server(), &schema).unwrap();
        let ledger = LogLedger::new(place.clone(), at_work(keys.path()));
        fill(&ledger, ROUNDS);
        ledger.close();
        drop(ledger);
        let mut shell = Client::connect(server(), NoTls).unwrap();
        shell.run(&format!("SET search_path = {schema}; SET synchronous_commit = off")).unwrap();
        // As it stood before the last checkpoint was signed, which covers the last round.
        shell.run("DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)").unwrap();
        for table in TABLES {
            let copy = table.trim_matches('"');
            shell.run(&format!("CREATE TABLE clean_{copy} AS TABLE {table}")).unwrap();
        }
        let origin: String = shell.query_one("SELECT origin FROM head", &[]).unwrap().get(0);
        let key = signing_key(keys.path(), &origin);
        let log = Log::read(&mut PostgresSource::open(&place).unwrap(), key);
        assert_eq!(log.entries.len() as u64, ROUND * ROUNDS);
        Self { _keys: keys, place, shell, log }
    }

    fn restore(&mut self) {
        let mut sql = format!("BEGIN; {}", Client::DROP_TRIGGERS);
        for table in TABLES {
            let copy = table.trim_matches('"');
            sql.push_str(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM clean_{copy};"));
        }
        sql.push_str("ALTER TABLE entry ENABLE TRIGGER USER; COMMIT");
        self.shell.run(&sql).unwrap();
    }

    fn verified(&self, from: Option<&str>) -> Report {
        verify(&mut PostgresSource::open(&self.place).unwrap(), &self.log.keys(), from).unwrap()
    }

    /// What `placet audit export` writes: leaf and view of each record, and the checkpoints. `None` where it refuses,
    /// since a leaf is none.
    fn exported(&self, to: &Path) -> Option<()> {
        let mut source = PostgresSource::open(&self.place).unwrap();
        let (mut text, mut last) = (String::new(), Micros::default());
        let mut mark = source.next_checkpoint().ok()?;
        let note = |mark: &StoredCheckpoint, last| {
            mirror::checkpoint_line(mark.size, &mark.note, last).unwrap() + "\n"
        };
        while let Some(entry) = source.next_entry().ok()? {
            while let Some(due) = mark.take_if(|mark| mark.size <= entry.seq) {
                text.push_str(&note(&due, last));
                mark = source.next_checkpoint().ok()?;
            }
            text.push_str(&mirror::entry_line(entry.seq, &entry.leaf, entry.view.as_deref(), None).ok()?);
            text.push('\n');
            last = leaf::decode(&entry.leaf).unwrap().time_us;
        }
        while let Some(due) = mark {
            text.push_str(&note(&due, last));
            mark = source.next_checkpoint().ok()?;
        }
        fs::write(to, text).unwrap();
        Some(())
    }
}

#[test]
fn f27_f28_an_untouched_postgres_ledger_is_clean_to_both() {
    let mut place = InPostgres::new();
    place.restore();
    let path = place._keys.path().join("export.jsonl");
    place.exported(&path).unwrap();
    let mut python = Python::start();
    for from in [None, Some(&*place.log.checkpoints.last().unwrap().note)] {
        let (said, other) = (place.verified(from), python.verify(&path, from, place.log.key.verifier()));
        assert!(said.ok && other.ok, "{said:?}\n{other:?}");
        assert_eq!((said.entries, said.signed), (other.entries, other.signed));
    }
}

#[test]
fn promise_8_f27_aegis_72_no_edit_of_a_postgres_ledger_goes_undetected() {
    let places: Vec<InPostgres> = (0..crate::THREADS).map(|_| InPostgres::new()).collect();
    let logs: Vec<Log> = places.iter().map(|place| place.log.clone()).collect();
    let places: Vec<std::sync::Mutex<InPostgres>> = places.into_iter().map(std::sync::Mutex::new).collect();
    let at = |thread: u64| usize::try_from(thread).unwrap();
    let (made, covered) = judge_many(
        16,
        360,
        |thread| &logs[at(thread)],
        |thread| {
            let mut place = places[at(thread)].lock().unwrap();
            let (folder, mut python) = (tempfile::tempdir().unwrap(), Python::start());
            move |case: &Case<'_>| {
                place.restore();
                let sql = statements(&place.shell, case.clean, &case.edited);
                let sql = format!("BEGIN; {} {sql} COMMIT", Client::DROP_TRIGGERS);
                place.shell.run(&sql).unwrap_or_else(|error| panic!("{}: {error}", case.what));
                let from = case.outside.as_ref().map(|(_, note)| note.as_str());
                let report = place.verified(from);
                let path = folder.path().join("export.jsonl");
                match place.exported(&path) {
                    Some(()) => {
                        let other = python.verify(&path, from, case.clean.key.verifier());
                        judge(case, &report, &other, not_exported);
                    }
                    None => assert!(!report.ok, "{}: not exported, and passed", case.what),
                }
            }
        },
    );
    assert!(made >= 310 && covered >= 160, "{made} edits, {covered} of covered records");
}

/// What an export does not hold: stored hashes, personal fields, the head.
fn not_exported(code: Code) -> bool {
    matches!(code, Code::LeafHash | Code::Field | Code::FieldMissing | Code::Head)
}

#[test]
fn f28_postgres_on_conflict_needs_the_trigger_out_of_the_way_and_is_found() {
    let (mut place, mut dice) = (InPostgres::new(), Dice(17));
    for _ in 0..40 {
        place.restore();
        let count = place.log.entries.len();
        let at = dice.below(count);
        let of = (at + 1 + dice.below(count - 1)) % count;
        let sql = Client::INSERT_OR_REPLACE.replace("{at}", &at.to_string()).replace("{of}", &of.to_string());
        assert!(place.shell.run(&sql).unwrap_err().contains("append-only"));
        place.shell.run(&format!("{} {sql}", Client::DROP_TRIGGERS)).unwrap();
        let said = place.verified(None);
        assert!(!said.ok && said.first_bad.unwrap().from <= at as u64, "{at} over {of}: {said:?}");
    }
}
