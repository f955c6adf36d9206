//! Finding and reading the ledger that a command works on: never creating, migrating or writing.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use placet::Config;
use placet::audit::keys::VerifierKey;
use placet::audit::verify::{EntrySource, SourceError};
use placet::trust::Ledger;
use placet_store::archive::{Archive, ArchiveError, ArchiveSource, Joined, ViewKeys};
use placet_store::{
    KeyFolder, MirrorRotation, Place, PlaceSettings, Reader, Store, is_mirror_there, open_mirror,
};

use crate::args::Format;
use crate::failure::Failure;
use crate::project::ProjectArgs;

/// Which ledger.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LedgerArgs {
    /// Ledger (a file or `postgresql://…`), or a mirror of one (`.jsonl`) [default: what `placet.yaml` or PLACET_LEDGER says, else `placet_audit.db`]
    #[arg(long, alias = "db", value_name = "PATH", global = true)]
    pub(crate) ledger: Option<PathBuf>,
    /// Configuration file [default: `placet.yaml` where it exists]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
}

/// Which ledger, and how it is shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", global = true)]
    pub(crate) format: Format,
}

impl CommonArgs {
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}

impl LedgerArgs {
    /// The settings of the deployment.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let project = ProjectArgs { config: self.config.clone(), ..ProjectArgs::default() };
        let mut config = project.settings()?;
        if let Some(path) = &self.ledger {
            config.ledger = Some(path.display().to_string());
        }
        Ok(config)
    }

    /// Whether a folder is an archive.
    fn archived(&self, path: &Path) -> bool {
        path.is_dir() && Archive::of(path).is_ok()
    }

    /// The folder of the keys, where the settings name one.
    fn keys(&self) -> Option<KeyFolder> {
        self.config().and_then(|config| key_folder(&config)).ok()
    }

    /// The ledger, which must exist.
    pub(crate) fn log(&self) -> Result<Log, Failure> {
        let place = match &self.ledger {
            Some(path) if !path.to_string_lossy().contains("://") => Place::Sqlite(path.clone()),
            _ => {
                let place = place_settings(&self.config()?).place(Path::new(""));
                place.map_err(|error| Failure::Ledger(error.to_string()))?
            }
        };
        match &place {
            Place::Sqlite(path) => match fs::metadata(path) {
                Ok(file) if file.is_file() || self.archived(path) => Ok(Log { keys: self.keys(), place }),
                Ok(_) => Err(Failure::Ledger(format!(
                    "the ledger `{}` is neither a file nor an archive",
                    path.display()
                ))),
                Err(_) if is_mirror(path) && is_mirror_there(path) => Ok(Log { keys: self.keys(), place }),
                Err(error) => Err(missing(path, &error)),
            },
            Place::Off | Place::Memory => {
                let text =
                    "`ledger` says that nothing is kept on this machine; name a ledger with `--ledger PATH`";
                Err(Failure::Ledger(text.to_owned()))
            }
            _ => match place.read() {
                Ok(_) => Ok(Log { keys: self.keys(), place }),
                Err(error) => Err(unreadable(&error)),
            },
        }
    }
}

/// Whether the name of a file says that it is a mirror.
fn is_mirror(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl"))
}

fn missing(path: &Path, error: &Error) -> Failure {
    let advice = "run a governed call first, change the folder, or name it with `--ledger PATH`";
    Failure::Ledger(format!("there is no ledger `{}` ({error}); {advice}", path.display()))
}

/// What the settings say of the ledger.
pub(crate) fn place_settings(config: &Config) -> PlaceSettings {
    PlaceSettings {
        ledger: config.ledger.clone(),
        audit_log: config.audit_log.clone(),
        audit_log_rotation: MirrorRotation {
            max_bytes: config.audit_log_rotation.max_bytes,
            max_age_seconds: config.audit_log_rotation.max_age_seconds,
        },
        keys: config.keys.clone(),
        anchor: config.anchor.clone(),
        ..PlaceSettings::default()
    }
}

/// The deployment's ledger, for what is written to it. It must exist.
pub(crate) fn ledger(args: &LedgerArgs, config: &Config) -> Result<Arc<dyn Ledger>, Failure> {
    Ok(store(args, config)?)
}

/// As [`ledger`], for what concerns its files.
pub(crate) fn store(args: &LedgerArgs, config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let log = args.log()?;
    if log.is_mirror() {
        return Err(Failure::Usage("a mirror cannot be written to; name the ledger".to_owned()));
    }
    made_or_found(config)
}

/// The deployment's ledger, which is made on first use where there is none.
pub(crate) fn made_or_found(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    let reviewers = Arc::new(config.approvals.reviewers()?);
    let settings = PlaceSettings { reviewers, ..place_settings(config) };
    let variable = |name: &str| env::var_os(name).map(PathBuf::from);
    let ledger = settings.store(Path::new(""), variable);
    let ledger = ledger.map_err(|error| Failure::Ledger(error.to_string()))?;
    ledger.ok_or_else(|| Failure::Ledger("`ledger` is off; there is nothing to write to".to_owned()))
}

/// The folder of a ledger's keys, and the name of its log.
pub(crate) fn keys_of(args: &LedgerArgs) -> Result<(KeyFolder, String), Failure> {
    let log = args.log()?;
    if log.is_mirror() {
        return Err(Failure::Usage("a mirror has no keys of its own; name the ledger".to_owned()));
    }
    let origin = log.ledger()?.origin().map_err(|error| unreadable(&error))?;
    Ok((key_folder(&args.config()?)?, origin))
}

/// The folder of the ledger's keys.
pub(crate) fn key_folder(config: &Config) -> Result<KeyFolder, Failure> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from);
    let folder = place_settings(config).key_folder(Path::new(""), variable);
    folder.map(KeyFolder::new).map_err(|error| Failure::Ledger(error.to_string()))
}

/// A ledger, a mirror, or the folder of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    place: Place,
    keys: Option<KeyFolder>,
}

impl Log {
    /// Its file, where it is one.
    fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Sqlite(path) => Some(path),
            _ => None,
        }
    }

    /// The file of the mirror, if its name says that it is one.
    fn mirror(&self) -> Option<&Path> {
        self.path().filter(|path| is_mirror(path))
    }

    /// The folder of the archive, if it is one.
    fn folder(&self) -> Option<&Path> {
        self.path().filter(|path| path.is_dir())
    }

    /// Whether it is a mirror, by its name, or an archive: then nothing is written to it.
    pub(crate) fn is_mirror(&self) -> bool {
        self.mirror().or(self.folder()).is_some()
    }

    /// One moment of it, from the beginning.
    pub(crate) fn open(&self) -> Result<Box<dyn EntrySource>, Failure> {
        if let Some(folder) = self.folder() {
            return Ok(Box::new(self.archive(folder)?));
        }
        let Some(path) = self.mirror() else { return Ok(self.ledger()?) };
        Ok(Box::new(open_mirror(path).map_err(|error| missing(path, &error))?))
    }

    /// The segments in a folder. Views are opened where the keys of the log are at hand.
    pub(crate) fn archive(&self, folder: &Path) -> Result<ArchiveSource, Failure> {
        let failed = |error: ArchiveError| Failure::Ledger(error.to_string());
        let archive = Archive::of(folder).map_err(failed)?;
        let keys = self.keys.as_ref().map(|keys| ViewKeys::read(keys, archive.name())).transpose();
        let keys = keys.map_err(|error| Failure::Ledger(error.to_string()))?;
        ArchiveSource::open(&archive, keys).map_err(failed)
    }

    /// The keys of archived views.
    pub(crate) fn view_keys(&self) -> Result<ViewKeys, Failure> {
        let Some(keys) = &self.keys else { return Ok(ViewKeys::default()) };
        let origin = self.ledger()?.origin().map_err(|error| unreadable(&error))?;
        ViewKeys::read(keys, &origin).map_err(|error| Failure::Ledger(error.to_string()))
    }

    /// One moment of it, with the views that its archive holds.
    pub(crate) fn open_with(&self, archive: Option<&PathBuf>) -> Result<Box<dyn EntrySource>, Failure> {
        match archive {
            None => self.open(),
            Some(folder) => Ok(Box::new(Joined::new(self.ledger()?, self.archive(folder)?))),
        }
    }

    /// One moment of the ledger, from the beginning.
    pub(crate) fn ledger(&self) -> Result<Box<dyn Reader>, Failure> {
        self.place.read().map_err(|error| unreadable(&error))
    }

    /// The keys that verify the log. None is taken from the folder of the log: whoever can edit the log can put a
    /// key beside it.
    pub(crate) fn keys(&self, given: &[String]) -> Result<Vec<VerifierKey>, Failure> {
        let keys: Result<Vec<_>, _> = given.iter().map(|key| self.key(key)).collect();
        Ok(keys?.concat())
    }

    fn key(&self, given: &str) -> Result<Vec<VerifierKey>, Failure> {
        let folder = |path: &Path| {
            let real = fs::canonicalize(path).ok()?;
            real.parent().map(Path::to_path_buf)
        };
        let file = Path::new(given);
        if file.is_file() && self.path().is_some_and(|path| folder(file) == folder(path)) {
            return Err(Failure::Usage(format!(
                "the key `{given}` lies in the folder of the log, where whoever edits the log can exchange it; keep it elsewhere, and give that copy"
            )));
        }
        public_keys(given)
    }
}

/// A public key as text, or those in a file: it holds one a line, the newest first.
pub(crate) fn public_keys(given: &str) -> Result<Vec<VerifierKey>, Failure> {
    if let Ok(key) = given.trim().parse() {
        return Ok(vec![key]);
    }
    let text = fs::read_to_string(given)
        .map_err(|source| Failure::Read { what: format!("the key `{given}`"), source })?;
    let parse = |line: &str| {
        line.parse().map_err(|error| Failure::Ledger(format!("the key in `{given}` is none: {error}")))
    };
    let keys: Vec<_> = text.split_whitespace().map(parse).collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(Failure::Ledger(format!("`{given}` holds no key")));
    }
    Ok(keys)
}

/// The log cannot be read.
pub(crate) fn unreadable(error: &SourceError) -> Failure {
    Failure::Ledger(error.to_string())
}
