//! Reading a log: what was decided, what became of it, and whether anybody touched it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use placet::audit::mirror::MirrorSource;
use placet::audit::verify::{EntrySource, verify};
use placet::record::ids::Micros;
use placet_store::query::{Level, Query, rows};
use placet_store::{Place, PlaceSettings};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::error;

/// A ledger, or a mirror of one.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Log(pub(crate) Place);

impl Log {
    fn open(&self) -> PyResult<Box<dyn EntrySource>> {
        if let Place::Sqlite(path) = &self.0 {
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl")) {
                let reader = || File::open(path).map(BufReader::new).map_err(PyErr::from);
                return Ok(Box::new(MirrorSource::new(reader()?, reader()?)));
            }
            // A ledger that was never used is no ledger yet.
            std::fs::metadata(path)?;
        }
        Ok(self.0.read().map_err(|error| PyOSError::new_err(error.to_string()))?)
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
        verdicts: Vec<String>,
        risks: Vec<String>,
        statuses: Vec<String>,
        since: Option<i64>,
        until: Option<i64>,
        limit: Option<usize>,
    ) -> PyResult<(Vec<String>, Vec<u64>)> {
        let tiers: Result<Vec<_>, _> = risks.iter().map(|risk| Level::tiers(risk)).collect();
        let tiers = tiers.map_err(|error| PyValueError::new_err(error.to_string()))?;
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
        py.detach(|| {
            let found =
                rows(self.open()?.as_mut(), &query).map_err(|error| PyOSError::new_err(error.to_string()))?;
            let rows = found.rows.iter().map(|row| serde_json::Value::from(row.columns()).to_string());
            Ok((rows.collect(), found.unreadable))
        })
    }

    /// Verifies the log with public keys and, if given, a checkpoint kept elsewhere; the report as JSON.
    #[pyo3(signature = (keys, checkpoint))]
    fn verify(&self, py: Python<'_>, keys: Vec<String>, checkpoint: Option<String>) -> PyResult<String> {
        let parsed: Result<Vec<_>, _> = keys.iter().map(|key| key.trim().parse()).collect();
        let parsed = parsed.map_err(|error| PyValueError::new_err(format!("the key is none: {error}")))?;
        py.detach(|| {
            let report = verify(self.open()?.as_mut(), &parsed, checkpoint.as_deref())
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            serde_json::to_string(&report).map_err(|error| PyValueError::new_err(error.to_string()))
        })
    }
}
