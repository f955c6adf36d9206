//! The folder of keys: made on first use, readable by its owner only, and never beside what it protects unless told.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use placet_audit::keys::{SigningKey, VerifierKey};
use placet_audit::seal::LogKey;
use uuid::Uuid;

const LOG_KEY: &str = "log.key";

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file or the folder cannot be used.
    #[error(
        "the key file `{path}` cannot be {action}: {cause}; let this user write to its folder, or name another key folder"
    )]
    Unusable {
        /// Which file.
        path: String,
        /// `read` or `made`.
        action: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// Others can read it.
    #[error("`{path}` has mode {actual:03o} and holds secrets; run `chmod {wanted:03o} {path}`")]
    Open {
        /// Which file or folder.
        path: String,
        /// Its mode.
        actual: u32,
        /// The widest mode it may have.
        wanted: u32,
    },
    /// It is not there, although a log was made with it.
    #[error(
        "the key file `{path}` of an existing log is missing; restore it from a copy, or name the right key folder"
    )]
    Missing {
        /// Which file.
        path: String,
    },
    /// It holds no key.
    #[error("the key file `{path}` holds no key: {cause}; restore it from a copy")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong.
        cause: String,
    },
}

impl KeyFolder {
    /// The keys in this folder, which is made on first use.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that seals heads and gives the tenants' keys; made if there is none and no log needs one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn log_key(&self, make: bool) -> Result<LogKey, KeyError> {
        let path = self.path.join(LOG_KEY);
        let text = self.secret(&path, make, || LogKey::generate().map(|key| key.reveal()))?;
        LogKey::parse(&text).map_err(|error| damaged(&path, &error))
    }

    /// A new log's name, for the origin line of its checkpoints.
    #[must_use]
    pub fn new_origin() -> String {
        format!("placet.local/{}", Uuid::now_v7().simple())
    }

    /// The key that signs the checkpoints of a log; its public half stands beside it as `.vkey`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn signing_key(&self, origin: &str, make: bool) -> Result<SigningKey, KeyError> {
        let path = self.current_path(origin);
        let text = self.secret(&path, make, || SigningKey::generate(origin).map(|key| key.reveal()))?;
        let key = SigningKey::parse(text.trim_end()).map_err(|error| damaged(&path, &error))?;
        let public = self.of(origin, "vkey");
        if !public.exists() {
            let text = format!("{}\n", key.verifier());
            replace(&public, text.as_bytes(), 0o644).map_err(|cause| unusable(&public, "made", cause))?;
        }
        Ok(key)
    }

    /// Where the public key of a log stands.
    #[must_use]
    pub fn verifier_path(&self, origin: &str) -> PathBuf {
        self.of(origin, "vkey")
    }

    /// The public key of what signs now.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn verifier(&self, origin: &str) -> Result<VerifierKey, KeyError> {
        let newest = self.verifiers(origin)?.into_iter().next();
        newest.ok_or_else(|| damaged(&self.verifier_path(origin), &"it is empty"))
    }

    /// The public keys of a log, the newest first: those that sign, and those that did.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn verifiers(&self, origin: &str) -> Result<Vec<VerifierKey>, KeyError> {
        let path = self.verifier_path(origin);
        let text = fs::read_to_string(&path).map_err(|cause| unusable(&path, "read", cause))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(|line| line.parse().map_err(|error| damaged(&path, &error))).collect()
    }

    /// Where the key that signs stands.
    pub(crate) fn current_path(&self, origin: &str) -> PathBuf {
        self.of(origin, "key")
    }

    /// Where the last checkpoint of a log is kept a second time.
    #[must_use]
    pub fn checkpoint_path(&self, origin: &str) -> PathBuf {
        self.of(origin, "checkpoint")
    }

    /// An origin in a file's name: what is no plain character becomes `_`, so that no origin leads out of the folder.
    pub(crate) fn of(&self, origin: &str, extension: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        self.path.join(format!("{}.{extension}", origin.chars().map(plain).collect::<String>()))
    }

    pub(crate) fn secret<E: std::fmt::Display>(
        &self,
        path: &Path,
        make: bool,
        new: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, KeyError> {
        if !path.exists() {
            if !make {
                return Err(KeyError::Missing { path: path.display().to_string() });
            }
            self.make_folder()?;
            let text = new().map_err(|error| damaged(path, &error))?;
            create(path, text.as_bytes()).map_err(|cause| unusable(path, "made", cause))?;
        }
        closed(&self.path, 0o700)?;
        closed(path, 0o600)?;
        fs::read_to_string(path).map_err(|cause| unusable(path, "read", cause))
    }

    fn make_folder(&self) -> Result<(), KeyError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|cause| unusable(&self.path, "made", cause))
    }
}

/// Refuses what others may read or write.
pub(crate) fn closed(path: &Path, wanted: u32) -> Result<(), KeyError> {
    let found = fs::metadata(path).map_err(|cause| unusable(path, "read", cause))?;
    let actual = found.permissions().mode() & 0o777;
    if actual & 0o077 != 0 {
        return Err(KeyError::Open { path: path.display().to_string(), actual, wanted });
    }
    Ok(())
}

pub(crate) fn unusable(path: &Path, action: &'static str, cause: io::Error) -> KeyError {
    KeyError::Unusable { path: path.display().to_string(), action, cause }
}

pub(crate) fn damaged(path: &Path, cause: &dyn std::fmt::Display) -> KeyError {
    KeyError::Damaged { path: path.display().to_string(), cause: cause.to_string() }
}

/// Makes a secret file whole or not at all; if another process was faster, its file stays.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft(path);
    let written = write(&draft, bytes, 0o600).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&draft);
    written.and_then(|()| sync_folder(path))
}

/// Replaces a file in one step, flushed.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(path);
    let written = write(&draft, bytes, mode).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|()| sync_folder(path))
}

fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", Uuid::now_v7().simple()));
    name.into()
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
