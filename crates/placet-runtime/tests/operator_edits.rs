//! An operator with `sqlite3` edits what the ledger caches: nothing runs on it, and the refusal says so; in the process
//! that runs, in another one, and in one that starts later.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shop;

use std::path::Path;
use std::process::Command;

use placet_trust::credentials::broker::IssueRequest;
use shop::*;
use tempfile::TempDir;

const FOLDER: &str = "PLACET_TEST_FOLDER";
const EVENT: &str = "PLACET_TEST_EVENT";

struct Scene {
    folder: TempDir,
    options: Options,
    running: Shop,
}

impl Scene {
    fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Shop::open(folder.path(), folder.path(), options);
        Self { folder, options, running }
    }

    fn edit(&self, sql: &str) {
        sqlite3(&self.folder.path().join("audit.db"), sql);
    }

    /// Nothing of these runs anywhere.
    fn nothing_runs(&self, events: &[String]) {
        let mut effects = 0;
        for text in events {
            assert_eq!(self.running.run(event(text), &mut effects), Err("state_tampered"), "running: {text}");
            assert_eq!(
                in_another_process(self.folder.path(), self.options, text),
                "state_tampered",
                "{text}"
            );
            let later = Shop::open(self.folder.path(), self.folder.path(), self.options);
            assert_eq!(later.run(event(text), &mut effects), Err("state_tampered"), "later: {text}");
        }
        assert_eq!(effects, 0);
    }
}

fn in_another_process(folder: &Path, options: Options, text: &str) -> String {
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "acts_in_another_process", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(EVENT, format!("{}|{}|{text}", options.credentials, options.quorum))
        .output()
        .unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    let said = out.split("CODE<").nth(1).and_then(|rest| rest.split('>').next());
    said.unwrap_or_else(|| panic!("{out}{}", String::from_utf8_lossy(&done.stderr))).to_owned()
}

/// What a spawned process does; without a folder, nothing.
#[test]
fn acts_in_another_process() {
    let (Ok(folder), Ok(text)) = (std::env::var(FOLDER), std::env::var(EVENT)) else { return };
    let mut parts = text.splitn(3, '|');
    let mut part = || parts.next().unwrap();
    let options = Options { credentials: part() == "true", quorum: part().parse().unwrap() };
    let shop = Shop::open(Path::new(&folder), Path::new(&folder), options);
    let code = shop.run(event(part()), &mut 0).err().unwrap_or("ran");
    println!("CODE<{code}>");
}

#[test]
fn f16_an_approval_row_set_to_approved_approves_nothing() {
    let scene = Scene::new(Options::default());
    scene.running.asked(pay(500));
    scene.edit(
        "UPDATE state SET body = replace(body, '\"state\":\"pending\"', '\"state\":\"approved\"') WHERE kind = 'approval'",
    );
    scene.nothing_runs(&[pay_text(500)]);
    assert_eq!(scene.running.run(pay(50), &mut 0), Ok(()), "what does not need the row goes on");
}

#[test]
fn f16_a_deleted_approval_row_asks_nobody_anew() {
    let scene = Scene::new(Options::default());
    scene.running.asked(pay(500));
    scene.edit("DELETE FROM state WHERE kind = 'approval'");
    scene.nothing_runs(&[pay_text(500)]);
}

#[test]
fn f16_a_second_vote_written_into_the_row_does_not_count() {
    let scene = Scene::new(Options { quorum: 2, ..Options::default() });
    let approval = scene.running.asked(pay(500));
    assert_eq!(scene.running.vote(&approval, "ann"), None);
    scene.edit(
        "UPDATE state SET body = json_set(json_insert(body, '$.votes[#]', json_extract(body, '$.votes[0]')),
           '$.votes[1].vote.approver', 'bob', '$.state', 'approved') WHERE kind = 'approval'",
    );
    scene.nothing_runs(&[pay_text(500)]);
    assert_eq!(scene.running.vote(&approval, "bob"), Some("state_tampered"), "nor is it voted on any more");
}

#[test]
fn f16_an_edited_vote_of_an_approved_call_is_not_used() {
    let scene = Scene::new(Options::default());
    let approval = scene.running.asked(pay(500));
    assert_eq!(scene.running.vote(&approval, "ann"), None);
    scene.edit("UPDATE state SET body = replace(body, '\"ann\"', '\"eve\"') WHERE kind = 'approval'");
    scene.nothing_runs(&[pay_text(500)]);
}

#[test]
fn f11_a_budget_row_that_was_lowered_or_raised_pays_for_nothing() {
    for limit in ["1", "5000"] {
        let scene = Scene::new(Options::default());
        let mut effects = 0;
        scene.running.run(pay(50), &mut effects).unwrap();
        scene.edit(&format!(
            "UPDATE state SET body = json_set(body, '$.spent', 0, '$.limit', {limit}) WHERE kind = 'budget'"
        ));
        scene.nothing_runs(&[pay_text(50)]);
    }
}

#[test]
fn f11_a_deleted_budget_row_pays_for_nothing() {
    let scene = Scene::new(Options::default());
    let mut effects = 0;
    for _ in 0..4 {
        scene.running.run(pay(50), &mut effects).unwrap();
    }
    scene.edit("DELETE FROM state WHERE kind IN ('budget', 'reservation')");
    scene.nothing_runs(&[pay_text(50)]);
}

fn issued(scene: &Scene, scopes: &[&str]) -> String {
    let broker = scene.running.registrar.broker();
    broker.issue(&IssueRequest::new("s1", scopes.iter().copied())).unwrap().bearer().secret_text()
}

const HELD: Options = Options { credentials: true, quorum: 1 };

#[test]
fn f21_kite_20_6_a_revocation_that_was_deleted_revives_nothing() {
    let scene = Scene::new(HELD);
    let token = issued(&scene, &["pay"]);
    scene.running.run(read_with(&token, r#"["pay"]"#), &mut 0).unwrap();
    assert!(scene.running.registrar.broker().revoke(&token).unwrap());
    assert_eq!(scene.running.run(read_with(&token, "[]"), &mut 0), Err("credential_validation"));
    scene.edit("UPDATE state SET body = json_remove(body, '$.revoked') WHERE kind = 'credential'");
    scene.nothing_runs(&[read_text(&token, r#"["pay"]"#)]);
}

#[test]
fn f21_kite_20_6_a_deleted_revocation_of_a_session_revives_nothing() {
    let scene = Scene::new(HELD);
    let token = issued(&scene, &["pay"]);
    scene.running.registrar.broker().revoke_session("s1").unwrap();
    scene.edit(
        "DELETE FROM state WHERE kind = 'revocation';
         UPDATE state SET body = json_remove(body, '$.revoked') WHERE kind = 'credential'",
    );
    scene.nothing_runs(&[read_text(&token, r#"["pay"]"#)]);
}

#[test]
fn f22_kite_20_6_scopes_that_were_widened_give_nothing() {
    let scene = Scene::new(HELD);
    let token = issued(&scene, &["pay"]);
    scene.running.run(read_with(&token, r#"["pay"]"#), &mut 0).unwrap();
    scene.edit("UPDATE state SET body = json_set(body, '$.scopes', json('[\"pay\",\"root\"]')) WHERE kind = 'credential'");
    // Neither the new scope nor, any more, the old one.
    scene.nothing_runs(&[read_text(&token, r#"["root"]"#), read_text(&token, r#"["pay"]"#)]);
}

#[test]
fn f23_a_credential_written_into_the_database_is_none() {
    let scene = Scene::new(HELD);
    let token = issued(&scene, &["pay"]);
    let forged = "tok_forged-by-hand";
    let id = placet_trust::credentials::public_id(forged);
    scene.edit(&format!(
        "INSERT INTO state SELECT kind, '{id}', replace(body, id, '{id}'), seq FROM state WHERE kind = 'credential'"
    ));
    let mut effects = 0;
    let refused = scene.running.run(read_with(forged, r#"["pay"]"#), &mut effects);
    assert_eq!((refused, effects), (Err("credential_validation"), 0), "no log knows it");
    assert_eq!(scene.running.run(read_with(&token, r#"["pay"]"#), &mut effects), Ok(()));
}
