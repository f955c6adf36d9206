//! The files of a rotated mirror: `NAME.FIRST.jsonl` for each that is full, by the position of its first entry, and
//! `NAME.jsonl`, which grows. Read in this order they are one log.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use placet_audit::mirror::MirrorSource;

/// How many digits the position in a file's name has at least, so that names sort as positions do.
const DIGITS: usize = 12;

/// How often the files are listed anew at most while somebody rotates them.
const LOOKS: usize = 100;

/// When the file of a mirror is full. It is looked at before each commit is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MirrorRotation {
    /// At so many bytes.
    pub max_bytes: Option<NonZeroU64>,
    /// When its first entry is so many seconds older than the next one.
    pub max_age_seconds: Option<NonZeroU64>,
}

/// A file of a mirror that is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rotated {
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

/// The path of a full file whose first entry has this position.
pub(crate) fn rotated_path(live: &Path, first: u64) -> PathBuf {
    let mut name = live.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{first:0DIGITS$}"));
    if let Some(extension) = live.extension() {
        name.push(".");
        name.push(extension);
    }
    live.with_file_name(name)
}

/// The full files of a mirror, the oldest first.
pub(crate) fn rotated(live: &Path) -> io::Result<Vec<Rotated>> {
    let folder = live.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(first) = first_of(live, &path) {
            found.push(Rotated { first, path });
        }
    }
    found.sort_by_key(|file| file.first);
    Ok(found)
}

/// The position in the name of a full file; `None` for any other file.
fn first_of(live: &Path, path: &Path) -> Option<u64> {
    let (name, stem) = (path.file_name()?.to_str()?, live.file_stem()?.to_str()?);
    let rest = name.strip_prefix(stem)?.strip_prefix('.')?;
    let digits = match live.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => rest.strip_suffix(extension)?.strip_suffix('.')?,
        None => rest,
    };
    let is_position = digits.len() >= DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_position)
}

/// Files read as one.
pub(crate) struct Files {
    open: Option<File>,
    left: VecDeque<PathBuf>,
    /// What is read at the end.
    last: Option<File>,
}

impl Files {
    pub(crate) fn new(left: VecDeque<PathBuf>, last: Option<File>) -> Self {
        Self { open: None, left, last }
    }
}

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.open {
                let read = file.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            self.open = match self.left.pop_front() {
                Some(next) => Some(File::open(next)?),
                None => self.last.take(),
            };
            if self.open.is_none() {
                return Ok(0);
            }
        }
    }
}

/// A mirror with its full files as a log to be verified or read, at one moment.
pub type MirrorLog = MirrorSource<BufReader<Box<dyn Read>>>;

/// Opens a mirror.
///
/// # Errors
/// What the system says; there is no mirror where neither the file nor a full one exists.
pub fn open_mirror(live: &Path) -> io::Result<MirrorLog> {
    for _ in 0..LOOKS {
        let before = rotated(live)?;
        let opened = opened(live, &before)?;
        // Whoever rotated meanwhile may have taken the file away before it was opened.
        if rotated(live)? == before {
            return Ok(opened);
        }
    }
    Err(io::Error::other("its files change all the time"))
}

fn opened(live: &Path, full: &[Rotated]) -> io::Result<MirrorLog> {
    let last = || match File::open(live) {
        // A process that was killed while it rotated leaves no growing file.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !full.is_empty() => Ok(None),
        file => file.map(Some),
    };
    let paths: VecDeque<PathBuf> = full.iter().map(|file| file.path.clone()).collect();
    let reader = || -> io::Result<BufReader<Box<dyn Read>>> {
        Ok(BufReader::new(Box::new(Files::new(paths.clone(), last()?))))
    };
    Ok(MirrorSource::new(reader()?, reader()?))
}

/// Whether there is a mirror, if only its full files.
#[must_use]
pub fn is_mirror_there(live: &Path) -> bool {
    live.is_file() || rotated(live).is_ok_and(|full| !full.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_told_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("a.b.jsonl");
        for name in [
            "a.b.000000000040.jsonl",
            "a.b.000000000007.jsonl",
            "a.b.1000000000000.jsonl",
            "a.b.7.jsonl",
            "a.b.00000000000x.jsonl",
            "a.000000000007.jsonl",
            "a.b.000000000007.jsonl.new",
            "a.b.0-7.jsonl",
            "a.b.jsonl",
        ] {
            File::create(folder.path().join(name)).unwrap();
        }
        let firsts: Vec<u64> = rotated(&live).unwrap().iter().map(|file| file.first).collect();
        assert_eq!(firsts, [7, 40, 1_000_000_000_000]);
        for file in rotated(&live).unwrap() {
            assert_eq!(rotated_path(&live, file.first), file.path);
        }
        assert_eq!(rotated_path(Path::new("log"), 3), Path::new("log.000000000003"));
    }
}
