//! How a log stands in a database, for those who edit it: a change of the schema is a change here and nowhere else.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;

use placet_audit::verify::{StoredEntry, StoredField};

use crate::audit::Log;

/// A shell on a database, as an operator has one.
pub trait Shell {
    /// Runs statements in order.
    fn run(&mut self, sql: &str) -> Result<(), String>;

    /// Bytes as a literal.
    fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.hex(&hex)
    }

    fn hex(&self, hex: &str) -> String;

    /// Takes the triggers away that keep the log append-only.
    const DROP_TRIGGERS: &'static str;

    /// Puts one record's leaf over another's, the way that triggers do not see where there is one.
    const INSERT_OR_REPLACE: &'static str;
}

/// Text as a literal.
pub fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

const ENTRY: &str = "entry";
const VIEW: &str = "\"view\"";
const PERSONAL: &str = "personal";
const CHECKPOINT: &str = "checkpoint";
const HEAD: &str = "head";

/// Every table that a log stands in.
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only PostgreSQL lists its tables"))]
pub const TABLES: [&str; 6] = [ENTRY, VIEW, PERSONAL, CHECKPOINT, HEAD, "state"];

fn entry(shell: &impl Shell, entry: &StoredEntry) -> String {
    let leaf = text(std::str::from_utf8(&entry.leaf).unwrap());
    let hash = shell.bytes(&entry.hash.unwrap().0);
    format!("INSERT INTO {ENTRY} (seq, leaf, hash) VALUES ({}, {leaf}, {hash});", entry.seq)
}

fn changed_entry(shell: &impl Shell, entry: &StoredEntry) -> String {
    let leaf = text(std::str::from_utf8(&entry.leaf).unwrap());
    let hash = shell.bytes(&entry.hash.unwrap().0);
    format!("UPDATE {ENTRY} SET leaf = {leaf}, hash = {hash} WHERE seq = {};", entry.seq)
}

fn view(seq: u64, body: &str) -> String {
    format!("INSERT INTO {VIEW} (seq, body) VALUES ({seq}, {});", text(body))
}

fn field(shell: &impl Shell, seq: u64, field: &StoredField) -> String {
    let (name, value) = (text(&field.field), text(&field.value));
    let salt = shell.bytes(&field.salt);
    format!("INSERT INTO {PERSONAL} (seq, field, salt, value) VALUES ({seq}, {name}, {salt}, {value});")
}

/// The statements that make a stored log another one.
pub fn statements(shell: &impl Shell, clean: &Log, edited: &Log) -> String {
    let by_seq = |log: &Log| -> BTreeMap<u64, StoredEntry> {
        log.entries.iter().map(|entry| (entry.seq, entry.clone())).collect()
    };
    let (before, after) = (by_seq(clean), by_seq(edited));
    let mut sql = Vec::new();
    for seq in before.keys().filter(|seq| !after.contains_key(seq)) {
        for table in [ENTRY, VIEW, PERSONAL] {
            sql.push(format!("DELETE FROM {table} WHERE seq = {seq};"));
        }
    }
    for (seq, now) in &after {
        let was = before.get(seq);
        if was == Some(now) {
            continue;
        }
        match was {
            None => sql.push(entry(shell, now)),
            Some(was) if (&was.leaf, was.hash) != (&now.leaf, now.hash) => {
                sql.push(changed_entry(shell, now))
            }
            Some(_) => {}
        }
        if was.map(|was| &was.view) != Some(&now.view) {
            sql.push(format!("DELETE FROM {VIEW} WHERE seq = {seq};"));
            sql.extend(now.view.iter().map(|body| view(*seq, body)));
        }
        if was.map(|was| &was.personal) != Some(&now.personal) {
            sql.push(format!("DELETE FROM {PERSONAL} WHERE seq = {seq};"));
            sql.extend(now.personal.iter().flatten().map(|one| field(shell, *seq, one)));
        }
    }
    if clean.checkpoints != edited.checkpoints {
        sql.push(format!("DELETE FROM {CHECKPOINT};"));
        for mark in &edited.checkpoints {
            let note = text(&mark.note);
            sql.push(format!("INSERT INTO {CHECKPOINT} (size, note) VALUES ({}, {note});", mark.size));
        }
    }
    if let Some(head) = edited.head.as_ref().filter(|_| edited.head != clean.head) {
        let chain = shell.bytes(&head.chain.0);
        sql.push(format!("UPDATE {HEAD} SET size = {}, chain = {chain};", head.size));
    }
    sql.join("\n")
}

/// Edits of what no verifier without the log's key can judge; the ledger itself finds them when it is opened.
pub fn seal_edits(shell: &impl Shell) -> Vec<String> {
    let bytes = shell.bytes(&[7; 32]);
    vec![
        format!("UPDATE {HEAD} SET time_us = time_us + 1"),
        format!("UPDATE {HEAD} SET seal = {bytes}"),
        format!("UPDATE {HEAD} SET origin = 'placet.local/another'"),
    ]
}

/// Edits of cached rows, by what they would give who makes them.
pub const STATE_EDITS: [(&str, &str); 5] = [
    (
        "a budget raised",
        "UPDATE state SET body = replace(body, '\"limit\":', '\"limit\":9') WHERE kind = 'budget'",
    ),
    (
        "an approval set to approved",
        "UPDATE state SET body = replace(body, '\"state\":\"pending\"', '\"state\":\"approved\"') WHERE kind = 'approval'",
    ),
    (
        "a vote exchanged",
        "UPDATE state SET body = replace(body, '\"bob\"', '\"eve\"') WHERE kind = 'approval'",
    ),
    (
        "scopes widened",
        "UPDATE state SET body = replace(body, '\"refund\"', '\"refund\",\"admin\"') WHERE kind = 'credential'",
    ),
    ("credentials deleted", "DELETE FROM state WHERE kind = 'credential'"),
];
