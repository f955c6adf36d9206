//! Repository chores: `cargo xtask check` holds the structure to its rules.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod arrows;
mod sizes;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let problems = match std::env::args().nth(1).as_deref() {
        Some("check") => [arrows::problems()?, sizes::problems()?].concat(),
        other => bail!("unknown chore {other:?}; use `check`"),
    };
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() { Ok(()) } else { bail!("{} problems", problems.len()) }
}
