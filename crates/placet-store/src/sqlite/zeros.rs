//! Zeros in files.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const PIECE: usize = 64 << 10;

static ZEROS: [u8; PIECE] = [0; PIECE];

/// Appends zeros until the file has so many bytes. If there is no room for them, it has as many as before.
pub(super) fn append_zeros(file: &File, end: u64) -> io::Result<()> {
    let before = file.metadata()?.len();
    let appended = pieces(before, end).try_for_each(|(at, piece)| file.write_all_at(piece, at));
    appended.inspect_err(|_| drop(file.set_len(before)))
}

/// Overwrites with zeros what is none, between two places of the file.
pub(super) fn fill_with_zeros(file: &File, from: u64, end: u64) -> io::Result<()> {
    let mut held = vec![0; PIECE];
    for (at, zeros) in pieces(from, end) {
        let held = held.get_mut(..zeros.len()).unwrap_or_default();
        file.read_exact_at(held, at)?;
        if held != zeros {
            file.write_all_at(zeros, at)?;
        }
    }
    Ok(())
}

/// The pieces from one place to another, with where they begin.
fn pieces(from: u64, end: u64) -> impl Iterator<Item = (u64, &'static [u8])> {
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = usize::try_from(end.saturating_sub(at)).unwrap_or(PIECE);
        let piece = ZEROS.get(..rest.min(PIECE)).filter(|piece| !piece.is_empty())?;
        let begin = at;
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Some((begin, piece))
    })
}
