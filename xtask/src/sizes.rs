//! Files stay small enough to be read in one go.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Most lines of a source file, its tests not counted.
const MAX_LINES: usize = 500;

/// Files that may be longer, each with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Every file that is too long.
pub(crate) fn problems() -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace has a root")?;
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "python", "bench", "demo"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        if lines > MAX_LINES && !EXCEPTIONS.iter().any(|(known, _)| *known == name) {
            problems.push(format!("{name} has {lines} lines; the limit is {MAX_LINES}; split it"));
        }
    }
    Ok(problems)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_test = name == "tests"
            || name.ends_with("_tests.rs")
            || name.starts_with("test_")
            || name.ends_with("_test.py");
        if path.is_dir() && !is_test && !["target", "out", "__pycache__"].contains(&name.as_str()) {
            collect(&path, files)?;
        } else if !is_test && [".rs", ".py"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}
