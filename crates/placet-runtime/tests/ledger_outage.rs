//! The ledger cannot be written: what is asked for is refused with `audit_unavailable` and nothing runs; once the cause is
//! gone, calls work again in the same process. Nothing here needs a restart.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shop;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use placet_types::Event;
use shop::*;

const FOLDER: &str = "PLACET_TEST_OUTAGE";
const NOBODY: u32 = 65_534;

fn read_in(session: usize) -> Event {
    event(&format!(
        r#"{{"action":"read","context":{{"session_id":"session-{session}","delegation_depth":0}}}}"#
    ))
}

/// A file system of its own; needs the right to mount, which tests in a container have.
struct Volume(tempfile::TempDir);

impl Volume {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status();
        assert!(done.unwrap().success(), "remount {how}");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0.path()).status();
    }
}

#[test]
fn f26_on_a_read_only_volume_nothing_runs_until_it_can_be_written() {
    let Some(volume) = Volume::new() else {
        eprintln!("no right to mount a file system; not run");
        return;
    };
    let (keys, mut effects) = (tempfile::tempdir().unwrap(), 0);
    let before = Shop::open(volume.0.path(), keys.path(), Options::default());
    before.run(read_in(0), &mut effects).unwrap();
    drop(before);
    volume.remount("ro");
    let shop = Shop::open(volume.0.path(), keys.path(), Options::default());
    for session in 1..4 {
        assert_eq!(shop.run(read_in(session), &mut effects), Err("audit_unavailable"));
    }
    assert_eq!(effects, 1, "nothing ran");
    volume.remount("rw");
    assert_eq!(shop.run(read_in(4), &mut effects), Ok(()), "without a restart");
}

#[test]
fn f26_on_a_full_disk_nothing_runs_until_there_is_room() {
    let Some(volume) = Volume::new() else {
        eprintln!("no right to mount a file system; not run");
        return;
    };
    let (keys, mut effects) = (tempfile::tempdir().unwrap(), 0);
    let shop = Shop::open(volume.0.path(), keys.path(), Options::default());
    shop.run(read_in(0), &mut effects).unwrap();
    let ballast = volume.0.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let failed = (1..10_000).map(|session| shop.run(read_in(session), &mut effects)).find(Result::is_err);
    // The disk was full before a decision was recorded, or between it and the outcome, which is then owed.
    assert!(matches!(failed, Some(Err("audit_unavailable" | "withheld"))), "{failed:?}");
    let ran = effects;
    for session in 20_000..20_003 {
        assert_eq!(shop.run(read_in(session), &mut effects), Err("audit_unavailable"));
    }
    assert_eq!(effects, ran, "nothing ran");
    fs::remove_file(ballast).unwrap();
    assert_eq!(shop.run(read_in(30_000), &mut effects), Ok(()), "without a restart");
    let mut calls = 0;
    let mut look = |state: &placet_trust::State| {
        let of =
            |session: usize| placet_trust::sessions::SessionKey::stated(None, &format!("session-{session}"));
        calls = (0..30_001).filter(|session| state.facts(&of(*session)).api_calls > 0).count();
    };
    placet_trust::Ledger::read(shop.ledger.as_ref(), placet_trust::Freshness::Now, &mut look).unwrap();
    assert_eq!(calls, effects as usize, "every effect is on record, and nothing else");
}

const HOLDS_THE_DATABASE: &str = "import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
c.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.readline()
c.execute('ROLLBACK')
";

const HOLDS_THE_LOCK_FILE: &str = "import fcntl, sys
f = open(sys.argv[1] + '.lock')
fcntl.flock(f, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.readline()
";

/// Another program that holds something, until a line is written to it.
fn holder(script: &str, database: &Path) -> Child {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

#[test]
fn f26_while_another_program_holds_the_database_or_its_lock_file_nothing_runs() {
    for script in [HOLDS_THE_DATABASE, HOLDS_THE_LOCK_FILE] {
        let (folder, mut effects) = (tempfile::tempdir().unwrap(), 0);
        let shop = Shop::open(folder.path(), folder.path(), Options::default());
        shop.run(read_in(0), &mut effects).unwrap();
        let mut other = holder(script, &folder.path().join("audit.db"));
        let begun = Instant::now();
        assert_eq!(shop.run(read_in(1), &mut effects), Err("audit_unavailable"));
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_eq!(effects, 1, "nothing ran");
        writeln!(other.stdin.take().unwrap()).unwrap();
        assert!(other.wait().unwrap().success());
        assert_eq!(shop.run(read_in(2), &mut effects), Ok(()), "without a restart");
    }
}

/// What a spawned process does without the right to write; without a folder, nothing.
#[test]
fn acts_without_rights() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let (folder, mut effects) = (Path::new(&folder), 0);
    let shop = Shop::open(&folder.join("ledger"), &folder.join("own"), Options::default());
    for session in 0..2 {
        let code = shop.run(read_in(session), &mut effects).err().unwrap_or("ran");
        println!("CODE<{code}> {effects}");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    }
}

#[test]
fn f26_in_a_folder_without_write_permission_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (ledger, own) = (folder.path().join("ledger"), folder.path().join("own"));
    fs::create_dir(&ledger).unwrap();
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o555)).unwrap();
    // A copy, since nobody may look into the folder of the build.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["--exact", "acts_without_rights", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder.path()).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    let as_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if as_root {
        std::os::unix::fs::chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said = || lines.find(|line| line.contains("CODE<")).expect("an answer");
    assert!(said().contains("CODE<audit_unavailable> 0"));
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o777)).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin).unwrap();
    assert!(said().contains("CODE<ran> 1"), "without a restart");
    writeln!(stdin).unwrap();
    assert!(child.wait().unwrap().success());
}
