//! The beginning of the spill file as memory: what is written there outlives the process as what is written to the file
//! does, and takes no system call.
//!
//! Memory cannot answer that there is no room, or that the file was cut: the system ends the program instead (`SIGBUS`),
//! as it does with the memory that SQLite shares beside a database. So only what was written before is mapped, on file
//! systems that write it over in its place; nobody of Placet makes a mapped file shorter; and it is looked at now and then
//! whether somebody else did. Everywhere else the file is written to.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use super::spill::FULL_BYTES;

/// How many bytes are mapped: all that may wait, with the last batch as far as most are long.
pub(super) const WINDOW_BYTES: u64 = FULL_BYTES + (64 << 10);

/// What `stat` counts room in.
const BLOCK_BYTES: u64 = 512;

/// The first [`WINDOW_BYTES`] of a file.
#[derive(Debug)]
pub(super) struct Window(MmapRegion);

impl Window {
    /// The window of a file, if it is long enough and may be mapped.
    pub(super) fn of(file: &File) -> Option<Self> {
        let found = file.metadata().ok()?;
        // A copy may have holes where there were zeros, which need room when they are written to.
        let held = found.blocks().saturating_mul(BLOCK_BYTES);
        if found.len() < WINDOW_BYTES || held < WINDOW_BYTES || !is_written_in_place(file) {
            return None;
        }
        let size = usize::try_from(WINDOW_BYTES).ok()?;
        MmapRegion::from_file(FileOffset::new(file.try_clone().ok()?, 0), size).ok().map(Self)
    }

    /// Reads all these bytes from there, if the window shows them.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> bool {
        self.slice(at, bytes.len()).map(|slice| slice.copy_to(bytes)).is_some()
    }

    /// Writes all these bytes there, if the window shows the place.
    pub(super) fn write(&self, bytes: &[u8], at: u64) -> bool {
        self.slice(at, bytes.len()).map(|slice| slice.copy_from(bytes)).is_some()
    }

    fn slice(&self, at: u64, count: usize) -> Option<VolatileSlice<'_>> {
        self.0.get_slice(usize::try_from(at).ok()?, count).ok()
    }
}

/// Whether its file system keeps room for what was written once, and writes it over there: ext4 and its forerunners, XFS
/// and tmpfs do, as `statfs(2)` names them.
#[cfg(target_os = "linux")]
fn is_written_in_place(file: &File) -> bool {
    const IN_PLACE: [rustix::fs::FsWord; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
    rustix::fs::fstatfs(file).is_ok_and(|system| IN_PLACE.contains(&system.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_written_in_place(_: &File) -> bool {
    false
}
