//! A PostgreSQL server of our own that can be stopped and started again.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unreachable_pub, reason = "shared by several test files")]

use std::process::{Command, Stdio};

use tempfile::TempDir;

pub struct Server(TempDir);

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("placet-stop").tempdir().unwrap();
        let _ = Command::new("chown").arg("postgres").arg(folder.path()).status();
        run(&format!("initdb -D {}/data -U placet -A trust", folder.path().display()));
        let server = Self(folder);
        server.again();
        server
    }

    pub fn again(&self) {
        run(&format!(
            "pg_ctl -D {0}/data -w -o \"-k {0} -c listen_addresses=''\" -l {0}/server.log start",
            self.0.path().display()
        ));
    }

    /// Stops it: `fast` ends what is going on, `immediate` is a crash.
    pub fn stop(&self, how: &str) {
        run(&format!("pg_ctl -D {}/data -m {how} -w stop", self.0.path().display()));
    }

    pub fn url(&self) -> String {
        format!("host={} user=placet dbname=postgres", self.0.path().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("immediate");
    }
}

/// Runs a command line as the user who may run a server.
fn run(line: &str) {
    let as_root = std::fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    });
    let mut command = Command::new(if as_root { "runuser" } else { "sh" });
    if as_root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    let done = command.args(["-c", line]).current_dir("/").stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "{line}");
}
