//! Files that commands write.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::failure::Failure;

/// What no export replaces, by how it begins: a ledger cannot be made again.
const KEPT: [(&[u8], &str); 2] =
    [(b"SQLite format 3\0", "a database, perhaps the ledger itself"), (b"PRIVATE+KEY+", "a secret key")];

/// An empty file in place of what stands there, unless that is a database or a key.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    let mut begins = Vec::new();
    // What cannot be read is left to the system to refuse.
    let _ = File::open(path).and_then(|file| file.take(16).read_to_end(&mut begins));
    if let Some((_, what)) = KEPT.iter().find(|(magic, _)| begins.starts_with(magic)) {
        return Err(Failure::Exists(format!(
            "`{}` is {what}, and is not overwritten; name another file",
            path.display()
        )));
    }
    File::create(path).map_err(|source| Failure::Write { what: format!("`{}`", path.display()), source })
}

/// As [`create`], with this content.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = create(path)?.write_all(bytes);
    written.map_err(|source| Failure::Write { what: format!("`{}`", path.display()), source })
}
