//! Finding and reading policy files.
//!
//! A path may name one file or a folder. In a folder every `.yaml`, `.yml` and `.rego` file counts, in subfolders
//! too; `_test.rego` and `*_test.yaml` are tests, names that begin with a dot are left out, and a `.rego` that
//! was exported from a YAML file beside it is skipped, since the YAML is loaded.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::path::{Path, PathBuf};

use placet_policy::SourceFile;

/// Why policy files could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path does not exist or cannot be read.
    #[error("cannot read `{path}`: {source}; check the path and its permissions")]
    Unreadable {
        /// Which path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not UTF-8.
    #[error("`{path}` is not UTF-8 text; save it as UTF-8")]
    NotText {
        /// Which path.
        path: String,
    },
    /// The file is larger than the limit.
    #[error("`{path}` is {actual_bytes} bytes; the limit is {MAX_FILE_BYTES} bytes; split it")]
    TooLarge {
        /// Which path.
        path: String,
        /// Its size in bytes.
        actual_bytes: u64,
    },
    /// There is no policy file below the path.
    #[error("`{path}` holds no policy file (`.yaml`, `.yml` or `.rego`); add one, or name another folder")]
    Empty {
        /// Which path.
        path: String,
    },
}

/// Largest policy file, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// Deepest nesting of folders below a policy path.
const MAX_FOLDER_DEPTH: usize = 16;

/// Reads the policy files below one path, in the order of their paths.
///
/// # Errors
/// [`FileError`] names the path; nothing is skipped silently.
pub fn read_policies(path: &Path) -> Result<Vec<SourceFile>, FileError> {
    let found: Vec<PathBuf> =
        list(path)?.into_iter().filter(|file| is_policy(file) && !is_test(file)).collect();
    let mut files = Vec::with_capacity(found.len());
    for file in &found {
        let source = read(file)?;
        if !(found.contains(&file.with_extension("yaml")) || found.contains(&file.with_extension("yml")))
            || !placet_policy::is_export(&source.text)
        {
            files.push(source);
        }
    }
    if files.is_empty() {
        return Err(FileError::Empty { path: path.display().to_string() });
    }
    Ok(files)
}

/// Reads the policy tests (`_test.rego`, `_test.yaml`) below one path.
///
/// # Errors
/// [`FileError`] names the path.
pub fn read_tests(path: &Path) -> Result<Vec<SourceFile>, FileError> {
    list(path)?.iter().filter(|file| is_test(file)).map(|file| read(file)).collect()
}

/// Reads one file as text.
///
/// # Errors
/// [`FileError`] names the path.
pub fn read(path: &Path) -> Result<SourceFile, FileError> {
    let shown = path.display().to_string();
    let unreadable = |source| FileError::Unreadable { path: shown.clone(), source };
    let actual_bytes = fs::metadata(path).map_err(unreadable)?.len();
    if actual_bytes > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { path: shown, actual_bytes });
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotText { path: shown.clone() })?;
    // A byte order mark is no part of the policy.
    Ok(SourceFile::new(shown, text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

/// Every file below a path, sorted, without names that begin with a dot; a file is itself.
///
/// # Errors
/// [`FileError`] names the path.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut files = Vec::new();
    walk(path, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.display().to_string(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth >= MAX_FOLDER_DEPTH {
        let source = std::io::Error::other(format!("folders are nested deeper than {MAX_FOLDER_DEPTH}"));
        return Err(unreadable(source));
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            walk(&entry.path(), depth + 1, files)?;
        }
    }
    Ok(())
}

fn is_policy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["yaml", "yml", "rego"].iter().any(|known| extension == *known))
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["_test.rego", "_test.yaml", "_test.yml"].iter().any(|end| name.ends_with(end))
}
