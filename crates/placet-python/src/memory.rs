//! What agents remember.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use placet::memory::{Memory, MemoryError, MemorySpace, MemoryStore, NewMemory, TrustTier};
use placet::trust::LedgerError;
use placet_store::PlaceSettings;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::ledger::{self, wait};

/// The memories in a ledger's file.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Memories(MemoryStore);

#[pymethods]
impl Memories {
    #[new]
    fn new(path: PathBuf, keys: Option<PathBuf>) -> PyResult<Self> {
        let settings =
            PlaceSettings { ledger: Some(path.display().to_string()), keys, ..PlaceSettings::default() };
        let folder = env::current_dir()?;
        let invalid = |text: String| PyValueError::new_err(text);
        let opened = ledger::open(&settings, &folder).map_err(|error| invalid(error.to_string()))?;
        let opened = opened.ok_or_else(|| invalid("the memory needs a file, or `memory`".to_owned()))?;
        Ok(Self(MemoryStore::new(opened.store)))
    }

    /// Opens the file and checks all of it.
    fn setup(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |store| store.list(&MemorySpace::default()).map(|_| ()))
    }

    #[pyo3(signature = (tenant, session, key, value, tier, source, agent, decision, ttl_seconds))]
    #[expect(clippy::too_many_arguments, reason = "called by our own Python code, which names them")]
    fn write<'py>(
        &self,
        py: Python<'py>,
        tenant: Option<String>,
        session: Option<String>,
        key: &str,
        value: &str,
        tier: &str,
        source: &str,
        agent: Option<&str>,
        decision: Option<&str>,
        ttl_seconds: Option<u32>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let tier: TrustTier = tier.parse().map_err(|error| PyValueError::new_err(format!("{error}")))?;
        let new = NewMemory { key, value, tier, source, agent, from: decision, ttl_seconds };
        let space = space(tenant, session);
        let memory = self.run(py, |store| store.write(&space, &new))?;
        shown(py, &memory, &space)
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        tenant: Option<String>,
        session: Option<String>,
        key: &str,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let space = space(tenant, session);
        let memory = self.run(py, |store| store.read(&space, key))?;
        memory.map(|memory| shown(py, &memory, &space)).transpose()
    }

    fn list<'py>(
        &self,
        py: Python<'py>,
        tenant: Option<String>,
        session: Option<String>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let space = space(tenant, session);
        let memories = self.run(py, |store| store.list(&space))?;
        memories.iter().map(|memory| shown(py, memory, &space)).collect()
    }

    fn history<'py>(
        &self,
        py: Python<'py>,
        tenant: Option<String>,
        session: Option<String>,
        key: &str,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let space = space(tenant, session);
        let memories = self.run(py, |store| store.history(&space, key))?;
        memories.iter().map(|memory| shown(py, memory, &space)).collect()
    }

    fn erase(
        &self,
        py: Python<'_>,
        tenant: Option<String>,
        session: Option<String>,
        key: &str,
        by: &str,
        basis: &str,
    ) -> PyResult<usize> {
        let space = space(tenant, session);
        self.run(py, |store| store.erase(&space, key, by, basis))
    }
}

impl Memories {
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&MemoryStore) -> Result<T, MemoryError> + Send,
    ) -> PyResult<T> {
        wait(py, || work(&self.0)).map_err(|error| raise(py, &error))
    }
}

fn space(tenant: Option<String>, session: Option<String>) -> MemorySpace {
    MemorySpace { tenant: tenant.map(Into::into), session: session.map(Into::into) }
}

fn shown<'py>(py: Python<'py>, memory: &Memory, space: &MemorySpace) -> PyResult<Bound<'py, PyDict>> {
    let seconds = |at: placet::channels::Micros| Duration::from_micros(at.0.unsigned_abs()).as_secs_f64();
    let dict = PyDict::new(py);
    dict.set_item("key", &memory.key)?;
    dict.set_item("value", memory.value.as_deref())?;
    dict.set_item("trust_tier", memory.tier.name())?;
    dict.set_item("source", memory.source.as_deref())?;
    dict.set_item("session_id", space.session.as_deref())?;
    dict.set_item("tenant_id", space.tenant.as_deref())?;
    dict.set_item("agent_id", memory.agent.as_deref())?;
    dict.set_item("decision_id", memory.from.as_ref().map(|id| &*id.0))?;
    dict.set_item("sanitized", memory.sanitized)?;
    dict.set_item("created_at", seconds(memory.created_us))?;
    dict.set_item("updated_at", seconds(memory.written_us))?;
    dict.set_item("expires_at", memory.expires_us.map(seconds))?;
    dict.set_item("record_id", &*memory.record.0)?;
    Ok(dict)
}

/// Raises `MemoryError` of `placet`, or `ValueError` for what cannot be kept.
fn raise(py: Python<'_>, error: &MemoryError) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let code = match error {
        MemoryError::Refused(_) => "memory_tier",
        MemoryError::Tampered { .. } | MemoryError::Ledger(LedgerError::Tampered { .. }) => "state_tampered",
        MemoryError::Ledger(_) => "audit_unavailable",
        _ => return PyValueError::new_err(error.to_string()),
    };
    let class = CLASS.import(py, "placet._memory", "MemoryStoreError");
    let error = class.and_then(|class| class.call1((error.to_string(), code)));
    error.map_or_else(|error| error, PyErr::from_value)
}
