//! Where a deployment keeps its ledger, from its settings.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet_audit::keys::NewKeyError;
use placet_trust::Ledger;
use placet_trust::approvals::Reviewers;

use crate::address::Address;
use crate::keys::KeyFolder;
use crate::ledger::{LogLedger, Store};
use crate::memory::Memory;
use crate::mirrored::MirrorRotation;
use crate::settings::Settings;
use crate::sqlite::Sqlite;

/// The file of the ledger unless the settings say otherwise.
pub const DEFAULT_FILE: &str = "placet_audit.db";

/// Where the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: nothing is recorded, counted or approved.
    Off,
    /// In this process; it ends with it.
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// In a PostgreSQL database.
    Postgres(Address),
}

/// The settings of a ledger, as a deployment writes them.
#[derive(Debug, Clone, Default)]
pub struct PlaceSettings {
    /// `ledger`: a file, a PostgreSQL address, `memory` or `off`; [`DEFAULT_FILE`] when absent, or a file beside
    /// `audit_log`.
    pub ledger: Option<String>,
    /// `audit_log`: a file to which every commit is mirrored.
    pub audit_log: Option<PathBuf>,
    /// `audit_log_rotation`: when that file is full.
    pub audit_log_rotation: MirrorRotation,
    /// `keys`: the folder of the keys.
    pub keys: Option<PathBuf>,
    /// `anchor`: a file on another volume to which checkpoints are copied.
    pub anchor: Option<PathBuf>,
    /// `approvals.groups` and `approvals.keys`: who may answer requests for approval.
    pub reviewers: Arc<Reviewers>,
}

/// Why a ledger cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// A back end that this build does not have.
    #[error("`ledger: {0}` is no ledger; write a file, `postgresql://user@host/database`, `memory` or `off`")]
    Unknown(String),
    /// PostgreSQL, which this build does not have.
    #[error(
        "`ledger: {0}` needs PostgreSQL, which this build lacks; build it with the feature `postgres`, or write a file"
    )]
    NotBuilt(Address),
    /// An address that cannot be used.
    #[error("`ledger: {address}`: {cause}")]
    Address {
        /// The address, without its password.
        address: Address,
        /// What is wrong with it.
        cause: String,
    },
    /// A ledger that no other process can read.
    #[error("`ledger` says that nothing is kept; name a ledger that is")]
    NotKept,
    /// Nobody says where the keys are.
    #[error(
        "there is no folder for the ledger's keys: neither `keys` nor HOME is set; set `keys` (PLACET_KEYS)"
    )]
    NoKeyFolder,
    /// A mirror that cannot be one.
    #[error("`audit_log: {}`: {cause}", .path.display())]
    AuditLog {
        /// The file as it was given.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        cause: &'static str,
    },
    /// The system has no randomness.
    #[error(transparent)]
    Keys(#[from] NewKeyError),
}

impl PlaceSettings {
    /// The place that these settings name; relative files start at `folder`.
    ///
    /// # Errors
    /// [`PlaceError::Unknown`].
    pub fn place(&self, folder: &Path) -> Result<Place, PlaceError> {
        match self.ledger.as_deref() {
            Some("off") => Ok(Place::Off),
            Some("memory") => Ok(Place::Memory),
            Some(text) if text.contains("://") => match Address::parse(text) {
                Some(address) => Ok(Place::Postgres(address)),
                None => Err(PlaceError::Unknown(Address::masked(text))),
            },
            Some(file) => Ok(Place::Sqlite(folder.join(file))),
            None => Ok(Place::Sqlite(match &self.audit_log {
                Some(mirror) => folder.join(mirror).with_extension("db"),
                None => folder.join(DEFAULT_FILE),
            })),
        }
    }

    /// The folder of the keys: as set, else `placet/keys` in the data folder of the user.
    ///
    /// # Errors
    /// [`PlaceError::NoKeyFolder`].
    pub fn key_folder(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<PathBuf, PlaceError> {
        if let Some(keys) = &self.keys {
            return Ok(folder.join(keys));
        }
        let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| variable("HOME").map(|home| home.join(".local").join("share")));
        data.map(|data| data.join("placet").join("keys")).ok_or(PlaceError::NoKeyFolder)
    }

    /// The ledger, which opens nothing before its first use; `None` when it is off.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn ledger(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Option<Arc<dyn Ledger>>, PlaceError> {
        Ok(self.store(folder, variable)?.map(|store| store as Arc<dyn Ledger>))
    }

    /// As [`PlaceSettings::ledger`], for a process that forks or closes it.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn store(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Option<Arc<dyn Store>>, PlaceError> {
        match self.place(folder)? {
            Place::Off => Ok(None),
            Place::Memory => {
                let settings = Settings::with_passing_keys()?.reviewers(self.reviewers.clone());
                Ok(Some(Arc::new(LogLedger::new(Memory::default(), settings))))
            }
            Place::Sqlite(file) => {
                let settings = self.settings(folder, variable)?;
                Ok(Some(Arc::new(LogLedger::new(Sqlite::new(file), settings))))
            }
            #[cfg(feature = "postgres")]
            Place::Postgres(address) => {
                let settings = self.settings(folder, variable)?;
                let backend = address.backend();
                let backend =
                    backend.map_err(|error| PlaceError::Address { address, cause: error.to_string() })?;
                Ok(Some(Arc::new(LogLedger::new(backend, settings))))
            }
            #[cfg(not(feature = "postgres"))]
            Place::Postgres(address) => Err(PlaceError::NotBuilt(address)),
        }
    }

    /// Commits do not wait for a mirror that fails, so what can be known beforehand is said beforehand.
    fn mirror(&self, folder: &Path, path: &Path) -> Result<PathBuf, PlaceError> {
        let refuse = |cause| Err(PlaceError::AuditLog { path: path.to_owned(), cause });
        let mirror = folder.join(path);
        if self.place(folder)? == Place::Sqlite(mirror.clone()) {
            return refuse("it would be the ledger's own file; name another, for instance `audit.jsonl`");
        }
        if mirror.is_dir() {
            return refuse("it is a folder; name a file in it");
        }
        if !mirror.parent().is_none_or(Path::is_dir) {
            return refuse("its folder is not there; make it, or name another file");
        }
        Ok(mirror)
    }

    fn settings(
        &self,
        folder: &Path,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Settings, PlaceError> {
        let keys = KeyFolder::new(self.key_folder(folder, variable)?);
        let mut settings = Settings::new(keys).reviewers(self.reviewers.clone());
        if let Some(mirror) = &self.audit_log {
            settings = settings.mirror(self.mirror(folder, mirror)?).mirror_rotation(self.audit_log_rotation);
        }
        if let Some(anchor) = &self.anchor {
            settings = settings.anchor(folder.join(anchor));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    use super::*;

    fn place(ledger: Option<&str>, audit_log: Option<&str>) -> Place {
        let settings = PlaceSettings {
            ledger: ledger.map(str::to_owned),
            audit_log: audit_log.map(PathBuf::from),
            ..PlaceSettings::default()
        };
        settings.place(Path::new("/x")).unwrap()
    }

    #[test]
    fn a_mirror_that_cannot_be_one_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let told = |audit_log: &str| {
            let settings = PlaceSettings {
                audit_log: Some(audit_log.into()),
                keys: Some("keys".into()),
                ..PlaceSettings::default()
            };
            settings.store(folder.path(), |_| None).err().map(|error| error.to_string())
        };
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        for (audit_log, says) in [
            ("audit.db", "the ledger's own file"),
            ("logs", "it is a folder"),
            ("gone/audit.jsonl", "its folder is not there"),
        ] {
            let told = told(audit_log).unwrap();
            assert!(told.starts_with(&format!("`audit_log: {audit_log}`")) && told.contains(says), "{told}");
        }
        assert_eq!(told("logs/audit.jsonl"), None);
    }

    #[test]
    fn a_ledger_is_kept_where_the_settings_say() {
        assert_eq!(place(None, None), Place::Sqlite("/x/placet_audit.db".into()));
        assert_eq!(place(None, Some("logs/audit.jsonl")), Place::Sqlite("/x/logs/audit.db".into()));
        assert_eq!(place(Some("a.db"), Some("b.jsonl")), Place::Sqlite("/x/a.db".into()));
        assert_eq!((place(Some("off"), None), place(Some("memory"), None)), (Place::Off, Place::Memory));
        let address = "postgresql://ann@db.example/placet";
        assert_eq!(place(Some(address), None), Place::Postgres(Address::parse(address).unwrap()));
    }

    #[test]
    fn a_ledger_of_another_kind_is_refused_without_its_password() {
        let of = |ledger: &str| PlaceSettings { ledger: Some(ledger.to_owned()), ..PlaceSettings::default() };
        let error = of("mysql://ann:hunter2@db/placet").place(Path::new("")).unwrap_err().to_string();
        assert!(error.contains("mysql://ann@db/placet") && !error.contains("hunter2"), "{error}");
        let remote =
            of("postgresql://ann:hunter2@db.example/placet").store(Path::new(""), |_| Some("/x".into()));
        let Err(error) = remote.map(|_| ()) else { panic!("no address of this build") };
        let (error, advice) =
            (error.to_string(), if cfg!(feature = "postgres") { "sslmode=disable" } else { "feature" });
        assert!(error.contains(advice) && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn keys_lie_outside_the_folder_of_the_log() {
        let settings = PlaceSettings::default();
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/ann"));
        let folder = settings.key_folder(Path::new("/x"), home).unwrap();
        assert_eq!(folder, Path::new("/home/ann/.local/share/placet/keys"));
        assert!(settings.key_folder(Path::new("/x"), |_| None).is_err());
    }
}
