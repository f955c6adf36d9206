//! Secrets in files of their own: made new, readable by their owner only, and refused when others may read them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::keys::{KeyError, closed, unusable};

/// Writes a secret into a new file with mode 0600. One that exists is not overwritten.
///
/// # Errors
/// [`io::Error`], which names the file.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(named)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(named)
}

/// Reads a secret that only its owner may read.
///
/// # Errors
/// [`KeyError`] when it cannot be read, or others may read it.
pub fn read(path: &Path) -> Result<String, KeyError> {
    closed(path, 0o600)?;
    fs::read_to_string(path).map_err(|cause| unusable(path, "read", cause))
}
