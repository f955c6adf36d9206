//! Reading a log: what was decided, what became of it, and whether anybody touched it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet::Config;
use placet::audit::verify::{EntrySource, verify};
use placet::record::ids::Micros;
use placet_store::archive::{Archive, ArchiveSource, Joined};
use placet_store::erase::{EraseError, Erased, Request, Selection, erase};
use placet_store::query::{Level, Query, rows};
use placet_store::{Place, PlaceSettings, Store, open_mirror};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::error;
use crate::gate::open_ledger;
use crate::ledger::{self, wait};

/// A ledger, or a mirror of one.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Log(pub(crate) Place);

impl Log {
    fn open(&self) -> PyResult<Box<dyn EntrySource>> {
        if let Place::Sqlite(path) = &self.0 {
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
                let mirror = open_mirror(path).map_err(|error| named(path, error))?;
                return Ok(Box::new(mirror));
            }
            // A ledger that was never used is no ledger yet.
            std::fs::metadata(path).map_err(|error| named(path, error))?;
        }
        Ok(self.0.read().map_err(|error| PyOSError::new_err(error.to_string()))?)
    }
}

impl Log {
    /// The ledger, to be written to: the one that this process uses already, if it does.
    fn store(&self, py: Python<'_>, keys: Option<PathBuf>) -> PyResult<Arc<dyn Store>> {
        if let Some(store) = ledger::in_use(&self.0) {
            return Ok(store);
        }
        let Place::Sqlite(path) = &self.0 else {
            let text = "this process has no gate on this ledger; open one, or use `placet audit erase`";
            return Err(PyValueError::new_err(text));
        };
        // A ledger that was never used is no ledger yet.
        std::fs::metadata(path).map_err(|error| named(path, error))?;
        let name = path.display().to_string();
        let mut config = Config::default();
        let folder = std::env::current_dir().unwrap_or_default();
        config.override_from(std::env::vars_os(), &folder).map_err(|error| error::config(py, &error))?;
        let (ledger, keys) = (Some(name), keys.or(config.keys));
        let config = Config { ledger, keys, anchor: config.anchor, ..Config::default() };
        let opened = open_ledger(py, &config)?;
        opened.map(|opened| opened.store).ok_or_else(|| PyValueError::new_err("there is no ledger"))
    }
}

/// An error of the system keeps its class in Python, and says of which file it is.
fn named(path: &Path, error: io::Error) -> PyErr {
    let text = format!(
        "there is no log to read at `{}`: {error}; run a governed call first, or name another",
        path.display()
    );
    io::Error::new(error.kind(), text).into()
}

fn refused(py: Python<'_>, error: &EraseError) -> PyErr {
    match error {
        EraseError::Nothing | EraseError::Unsaid(_) | EraseError::Reserved => {
            PyValueError::new_err(error.to_string())
        }
        other => error::audit(py, &other.to_string()),
    }
}

fn words<T: std::str::FromStr<Err: std::fmt::Display>>(given: &[String]) -> PyResult<Vec<T>> {
    given
        .iter()
        .map(|word| word.parse().map_err(|error: T::Err| PyValueError::new_err(error.to_string())))
        .collect()
}

#[pymethods]
impl Log {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        match path.to_str().filter(|text| text.contains("://")) {
            Some(text) => {
                let settings = PlaceSettings { ledger: Some(text.to_owned()), ..PlaceSettings::default() };
                settings.place(Path::new("")).map(Self).map_err(|error| error::place(py, &error))
            }
            None => Ok(Self(Place::Sqlite(std::path::absolute(path)?))),
        }
    }

    /// Its file, where it is one.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        match &self.0 {
            Place::Sqlite(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// How it is called, without passwords.
    #[getter]
    fn name(&self) -> String {
        match &self.0 {
            Place::Sqlite(path) => path.display().to_string(),
            Place::Postgres(address) => address.to_string(),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// The decisions that are asked for, oldest first, each as JSON; and the positions that could not be read.
    #[pyo3(signature = (session, tool, agent, outcomes, verdicts, risks, statuses, since, until, limit))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `query`")]
    fn query(
        &self,
        py: Python<'_>,
        session: Option<String>,
        tool: Option<String>,
        agent: Option<String>,
        outcomes: Vec<String>,
        mut verdicts: Vec<String>,
        risks: Vec<String>,
        statuses: Vec<String>,
        since: Option<i64>,
        until: Option<i64>,
        limit: Option<usize>,
    ) -> PyResult<(Vec<String>, Vec<u64>)> {
        let tiers: Result<Vec<_>, _> = risks.iter().map(|risk| Level::tiers(risk)).collect();
        let tiers = tiers.map_err(|error| PyValueError::new_err(error.to_string()))?;
        verdicts.iter_mut().for_each(|word| word.make_ascii_lowercase());
        if let Some(wrong) =
            verdicts.iter().find(|word| !["allow", "deny", "escalate"].contains(&word.as_str()))
        {
            return Err(PyValueError::new_err(format!("`{wrong}` is none of allow, deny, escalate")));
        }
        let query = Query {
            session,
            tool,
            agent,
            outcomes: words(&outcomes)?,
            verdicts,
            risks: tiers.concat(),
            statuses: words(&statuses)?,
            since: since.map(Micros),
            until: until.map(Micros),
            limit,
            every_step: false,
        };
        wait(py, || {
            let found =
                rows(self.open()?.as_mut(), &query).map_err(|error| PyOSError::new_err(error.to_string()))?;
            let rows = found.rows.iter().map(|row| serde_json::Value::from(row.columns()).to_string());
            Ok((rows.collect(), found.unreadable))
        })
    }

    /// Erases what people wrote; the records, the erasures that say so, and why the text may still stand somewhere.
    #[pyo3(signature = (by, basis, records, session, agent, tenant, user, containing, before, fields, keys, archive))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `erase`")]
    fn erase(
        &self,
        py: Python<'_>,
        by: String,
        basis: String,
        records: Vec<String>,
        session: Option<String>,
        agent: Option<String>,
        tenant: Option<String>,
        user: Option<String>,
        containing: Option<String>,
        before: Option<i64>,
        fields: Vec<String>,
        keys: Option<PathBuf>,
        archive: Option<PathBuf>,
    ) -> PyResult<(Vec<u64>, Vec<u64>, Option<String>)> {
        let fields = fields.into_iter().map(Into::into).collect();
        let before = before.map(Micros);
        let selection = Selection { records, tenant, session, agent, user, containing, before, fields };
        let request = Request { by: by.into(), basis: basis.into() };
        let store = self.store(py, keys)?;
        let erased = wait(py, || {
            let keys = store.view_keys().map_err(|error| EraseError::Ledger(error, 0))?;
            let live = self.0.read()?;
            let found = match &archive {
                None => selection.find(&mut { live }, &keys)?,
                Some(folder) => {
                    let opened = store.view_keys().map_err(|error| EraseError::Ledger(error, 0))?;
                    let archived = ArchiveSource::open(&Archive::of(folder)?, Some(opened))?;
                    selection.find(&mut Joined::new(live, archived), &keys)?
                }
            };
            erase(store.as_ref(), &found, &selection.fields, &request)
        });
        let Erased { records, said_by, left } = erased.map_err(|error| refused(py, &error))?;
        // Closing the ledger may wait.
        py.detach(move || drop(store));
        Ok((records, said_by, left.map(|left| left.to_string())))
    }

    /// Verifies the log with public keys and, if given, a checkpoint kept elsewhere; the report as JSON.
    #[pyo3(signature = (keys, checkpoint))]
    fn verify(&self, py: Python<'_>, keys: Vec<String>, checkpoint: Option<String>) -> PyResult<String> {
        let parsed: Result<Vec<_>, _> =
            keys.iter().flat_map(|text| text.split_whitespace()).map(str::parse).collect();
        let parsed = parsed.map_err(|error| PyValueError::new_err(format!("the key is none: {error}")))?;
        wait(py, || {
            let report = verify(self.open()?.as_mut(), &parsed, checkpoint.as_deref())
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            serde_json::to_string(&report).map_err(|error| PyValueError::new_err(error.to_string()))
        })
    }
}
