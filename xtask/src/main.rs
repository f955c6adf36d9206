//! Repository chores: `cargo xtask check` holds the structure to its rules, `cargo xtask gen` writes generated pages.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod arrows;
mod sizes;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let problems = match std::env::args().nth(1).as_deref() {
        Some("check") => [arrows::problems()?, sizes::problems()?].concat(),
        Some("gen") => return generate(),
        other => bail!("unknown chore {other:?}; use `check` or `gen`"),
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { bail!("{} problems", problems.len()) }
}

/// Writes generated pages: each is made by the test that otherwise compares it.
fn generate() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = std::process::Command::new(cargo)
        .args(["test", "-q", "-p", "placet-cli", "--test", "reference"])
        .env("PLACET_GENERATE", "1")
        .status()?;
    if status.success() { Ok(()) } else { bail!("the pages were not written") }
}
