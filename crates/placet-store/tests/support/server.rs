//! A PostgreSQL server for tests: `PLACET_TEST_POSTGRES` (a URL without parameters), or one of our own.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unreachable_pub, reason = "shared by several test files")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The address of a server that lives as long as this process.
pub fn server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| std::env::var("PLACET_TEST_POSTGRES").unwrap_or_else(|_| start()))
}

/// Starts a server on a Unix socket. A shell waits for the end of this process and then stops it.
fn start() -> String {
    let folder = tempfile::Builder::new().prefix("placet-pg").tempdir().unwrap().keep();
    let as_root = std::fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    });
    // A server refuses to run as root.
    let user = if Command::new("id").arg("postgres").output().unwrap().status.success() {
        "postgres"
    } else {
        "nobody"
    };
    let run = if as_root { format!("runuser -u {user} --") } else { String::new() };
    if as_root {
        assert!(Command::new("chown").arg(user).arg(&folder).status().unwrap().success());
    }
    let script = format!(
        "cd / && PATH=$PLACET_POSTGRES_BIN:$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':') &&
         {run} initdb -D {0}/data -U placet -A trust >{0}/log 2>&1 &&
         {run} pg_ctl -D {0}/data -w -o \"-k {0} -c listen_addresses='' -c max_connections=200\" -l {0}/server.log start >>{0}/log 2>&1
         echo started $?
         read end
         {run} pg_ctl -D {0}/data -m immediate stop >/dev/null 2>&1
         rm -rf {0}",
        folder.display()
    );
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line)
        .unwrap();
    let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert_eq!(line, "started 0\n", "{}", log());
    std::mem::forget(shell);
    address(&folder)
}

fn address(folder: &Path) -> String {
    format!("postgresql://placet@{}/postgres", folder.display().to_string().replace('/', "%2F"))
}
