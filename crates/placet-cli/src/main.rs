//! The `placet` command.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::process::ExitCode;

fn main() -> ExitCode {
    placet_cli::run_process(std::env::args_os()).into()
}
