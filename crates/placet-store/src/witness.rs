//! Copies of the last signed checkpoint outside the database: in the key folder, and in an anchor file if one is set.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::{Path, PathBuf};
use std::{fs, io};

use placet_audit::checkpoint::{self, Checkpoint};
use placet_audit::keys::VerifierKey;
use placet_audit::tree::Frontier;
use placet_types::Digest;
use placet_types::record::LostCheckpoint;

use crate::keys::replace;

/// A file with the last checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    pub(crate) path: PathBuf,
    /// What it is called in messages.
    pub(crate) called: &'static str,
    /// What it is called in records.
    pub(crate) kept: &'static str,
}

impl Witness {
    /// What it holds; `None` when there is no file yet.
    pub(crate) fn read(&self, keys: &[VerifierKey]) -> Result<Option<Checkpoint>, WitnessError> {
        let note = match fs::read_to_string(&self.path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.has_folder() => return Ok(None),
            Err(error) => return Err(self.unusable(&error)),
        };
        match checkpoint::verify(&note, keys) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(error) => Err(WitnessError::Foreign(format!("{}: {error}", self.name()))),
        }
    }

    /// Keeps a checkpoint.
    pub(crate) fn keep(&self, note: &str) -> Result<(), WitnessError> {
        replace(&self.path, note.as_bytes(), 0o644).map_err(|error| self.unusable(&error))
    }

    fn has_folder(&self) -> bool {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).is_dir()
    }

    pub(crate) fn name(&self) -> String {
        format!("the {} `{}`", self.called, self.path.display())
    }

    fn unusable(&self, error: &io::Error) -> WitnessError {
        WitnessError::Unusable(format!("{} cannot be used: {error}", self.name()))
    }
}

/// What is wrong with a copy.
#[derive(Debug)]
pub(crate) enum WitnessError {
    /// It cannot be read or written.
    Unusable(String),
    /// It is not of this log.
    Foreign(String),
}

/// Roots that a log must have at certain sizes, held against it while it is read from its beginning.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// The largest first.
    open: Vec<Claim>,
}

/// A checkpoint, and who says so.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) checkpoint: Checkpoint,
    /// In messages.
    pub(crate) by: String,
    /// In records.
    pub(crate) kept: &'static str,
}

impl Claims {
    pub(crate) fn add(&mut self, checkpoint: Checkpoint, by: String, kept: &'static str) {
        self.open.push(Claim { checkpoint, by, kept });
        self.open.sort_by_key(|claim| std::cmp::Reverse(claim.checkpoint.size));
    }

    /// Drops what the log was allowed not to extend.
    pub(crate) fn give_up(&mut self, lost: &[LostCheckpoint]) {
        let given_up = |at: &Checkpoint| lost.iter().any(|lost| lost.size == at.size && lost.root == at.root);
        self.open.retain(|claim| !given_up(&claim.checkpoint));
    }

    /// Holds the claims of this size against the tree.
    pub(crate) fn at(&mut self, frontier: &Frontier) -> Result<(), String> {
        while let Some(Claim { checkpoint: claim, by, .. }) =
            self.open.pop_if(|claim| claim.checkpoint.size <= frontier.size())
        {
            if claim.size == frontier.size() && claim.root != frontier.root() {
                return Err(format!("entries before {} are not those that {by} covers", claim.size));
            }
        }
        Ok(())
    }

    /// What the log must have and has not.
    pub(crate) fn left(&self, size: u64) -> Result<(), String> {
        match self.open.first() {
            Some(Claim { checkpoint, by, .. }) => Err(format!(
                "it has {size} entries, and {by} covers {}: it was cut, or an older copy put back; `placet audit recover` \
                 shows what is lost and how to go on without it",
                checkpoint.size
            )),
            None => Ok(()),
        }
    }

    /// What the log must have and has not, the largest first.
    pub(crate) fn lost(self) -> Vec<Claim> {
        self.open
    }
}

/// The tree at a size that was read, and the leaf hashes since: enough to compare with any later checkpoint.
#[derive(Debug)]
pub(crate) struct Grown {
    pub(crate) base: Frontier,
    pub(crate) since: Vec<Digest>,
}

impl Grown {
    pub(crate) fn from(base: Frontier) -> Self {
        Self { base, since: Vec::new() }
    }

    /// The root at a size; `None` when it is before the base or not reached.
    pub(crate) fn root_at(&self, size: u64) -> Option<Digest> {
        let more = usize::try_from(size.checked_sub(self.base.size())?).ok()?;
        let mut tree = self.base.clone();
        self.since.get(..more)?.iter().for_each(|leaf| tree.push(*leaf));
        Some(tree.root())
    }
}
