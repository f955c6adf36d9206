//! Signed tokens in the hands of their holders: the key stays here, Python sees the public half.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use placet::digest::digest;
use placet::pipeline::SystemRandom;
use placet::record::ids::{Digest, Micros};
use placet::trust::credentials::authority::Tools;
use placet::trust::credentials::broker::{BrokerError, DelegateRequest, HeldChain};
use placet::trust::credentials::keys::{PublicKey, SecretKey};
use placet::trust::credentials::token::{Chain, Claimed, ProofRequest};
use placet::{Clock, SystemClock};
use placet_store::secret_file;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::clock::PyClock;
use crate::error;
use crate::event::as_dict;
use crate::freeze::Freezer;

/// The key pair of a holder.
#[pyclass(frozen, module = "placet")]
pub(crate) struct HolderKey(pub(crate) Arc<SecretKey>);

#[pymethods]
impl HolderKey {
    /// A new key pair, in memory only.
    #[new]
    fn new() -> PyResult<Self> {
        let key = SecretKey::generate(&SystemRandom);
        key.map(|key| Self(Arc::new(key))).map_err(|error| PyOSError::new_err(error.to_string()))
    }

    /// Reads what `save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let text = secret_file::read(&path).map_err(|error| PyOSError::new_err(error.to_string()))?;
        let key = SecretKey::from_secret_text(&text);
        let wrong = |error| error::refused_credential(py, format!("`{}`: {error}", path.display()));
        key.map(|key| Self(Arc::new(key))).map_err(wrong)
    }

    /// Writes the secret into a new file that only its owner may read.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        let text = format!("{}\n", self.0.to_secret_text());
        secret_file::create(&path, &text).map_err(|error| PyOSError::new_err(error.to_string()))
    }

    /// The public half, as whoever issues or delegates to this holder takes it.
    #[getter]
    fn public(&self) -> String {
        self.0.public().to_string()
    }

    fn __repr__(&self) -> String {
        format!("HolderKey(public='{}')", self.0.public())
    }
}

/// A chain of signed tokens, with the key of its holder where that is here.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Signed {
    chain: Chain,
    claimed: Vec<Claimed>,
    held: Option<HeldChain>,
    changes: Vec<String>,
    clock: Arc<dyn Clock>,
}

/// One token as Python's `SignedToken` takes it: public id, session, tenant, agent, role, scopes, depth, times of issue
/// and expiry in microseconds, the holder's public key.
type Hop =
    (String, String, Option<String>, Option<String>, Option<String>, Vec<String>, u32, i64, i64, String);

impl Signed {
    pub(crate) fn of(
        chain: Chain,
        key: Option<Arc<SecretKey>>,
        changes: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BrokerError> {
        let claimed = chain.claimed()?;
        let held = key.map(|key| HeldChain::new(chain.clone(), key)).transpose()?;
        Ok(Self { chain, claimed, held, changes, clock })
    }

    /// The chain in the hands of its holder.
    pub(crate) fn holder(&self) -> PyResult<&HeldChain> {
        self.held.as_ref().ok_or_else(|| {
            PyValueError::new_err(
                "this signed token is without its holder's key; make it with `SignedToken(chain, key)` where the key is",
            )
        })
    }
}

#[pymethods]
impl Signed {
    #[new]
    #[pyo3(signature = (chain, key, clock))]
    fn new(
        py: Python<'_>,
        chain: &str,
        key: Option<PyRef<'_, HolderKey>>,
        clock: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let clock: Arc<dyn Clock> = match clock {
            Some(callable) => Arc::new(PyClock::new(callable)),
            None => Arc::new(SystemClock::default()),
        };
        let key = key.map(|key| key.0.clone());
        let made = Chain::parse(chain).map_err(BrokerError::from);
        let made = made.and_then(|chain| Self::of(chain, key, Vec::new(), clock));
        made.map_err(|error| error::credential(py, &error))
    }

    #[getter]
    fn chain(&self) -> String {
        self.chain.to_text()
    }

    #[getter]
    fn is_held(&self) -> bool {
        self.held.is_some()
    }

    #[getter]
    fn changes(&self) -> Vec<String> {
        self.changes.clone()
    }

    #[getter]
    fn hops(&self) -> Vec<Hop> {
        let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
        let hop = |one: &Claimed| {
            (
                one.id.to_string(),
                one.identity.session.to_string(),
                text(&one.identity.tenant),
                text(&one.identity.agent),
                text(&one.identity.role),
                one.authority.scopes.iter().map(ToString::to_string).collect(),
                one.depth,
                one.issued.0,
                one.authority.expires.0,
                one.holder.to_string(),
            )
        };
        self.claimed.iter().map(hop).collect()
    }

    #[pyo3(signature = (scopes, session_id, holder, ttl_seconds, agent_id, max_depth, tools, calls, budgets))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `delegate`")]
    fn delegate(
        &self,
        py: Python<'_>,
        scopes: Vec<String>,
        session_id: &str,
        holder: &Bound<'_, PyAny>,
        ttl_seconds: Option<i64>,
        agent_id: Option<String>,
        max_depth: Option<u32>,
        tools: Option<Bound<'_, PyAny>>,
        calls: BTreeMap<String, u64>,
        budgets: BTreeMap<String, u64>,
    ) -> PyResult<Self> {
        let (public, key) = public_key(py, holder)?;
        let request = DelegateRequest {
            ttl_seconds,
            agent: agent_id.map(Arc::from),
            max_depth,
            tools: read_tools(py, tools.as_ref(), calls)?,
            budgets: named(budgets),
            ..DelegateRequest::new(session_id, scopes)
        };
        let now = Micros(self.clock.now().as_microsecond());
        let made = self.holder()?.delegate(&request, public, now, &SystemRandom);
        let made = made.and_then(|made| {
            let changes = made.changes.iter().map(ToString::to_string).collect();
            Self::of(made.chain, key, changes, self.clock.clone())
        });
        made.map_err(|error| error::credential(py, &error))
    }

    #[pyo3(signature = (tool, args, audience))]
    fn prove(
        &self,
        py: Python<'_>,
        tool: &str,
        args: &Bound<'_, PyAny>,
        audience: Option<&str>,
    ) -> PyResult<String> {
        let wrong = |reason: String| PyTypeError::new_err(reason);
        let dict = as_dict(args).map_err(|error| wrong(error.reason(py)))?;
        let (value, _) = Freezer::default().freeze(&dict).map_err(|error| wrong(error.reason(py)))?;
        let args = Digest(digest(&value));
        let now = Micros(self.clock.now().as_microsecond());
        let shown = self.holder()?.prove(&ProofRequest { tool, args: &args, audience }, now, &SystemRandom);
        shown.map(|shown| shown.to_text()).map_err(|error| error::credential(py, &error))
    }
}

/// A holder: a key pair, or the text of a public key whose secret half is elsewhere.
pub(crate) fn public_key(
    py: Python<'_>,
    holder: &Bound<'_, PyAny>,
) -> PyResult<(PublicKey, Option<Arc<SecretKey>>)> {
    if let Ok(key) = holder.cast::<HolderKey>() {
        let key = key.get().0.clone();
        return Ok((key.public(), Some(key)));
    }
    let wrong = || PyTypeError::new_err("`holder` must be a HolderKey, or the text of a public key");
    let text = holder.extract::<String>().map_err(|_| wrong())?;
    let key = PublicKey::parse(text.trim());
    key.map(|key| (key, None)).map_err(|error| error::refused_credential(py, format!("`holder`: {error}")))
}

/// Tools with their limits, as a token has them.
pub(crate) fn read_tools(
    py: Python<'_>,
    tools: Option<&Bound<'_, PyAny>>,
    calls: BTreeMap<String, u64>,
) -> PyResult<Option<Tools>> {
    let Some(tools) = tools else {
        if calls.is_empty() {
            return Ok(None);
        }
        return Err(PyValueError::new_err("`calls` limits tools that `tools` does not name"));
    };
    let (value, _) =
        Freezer::default().freeze(tools).map_err(|error| PyTypeError::new_err(error.reason(py)))?;
    let read = Tools::read(&value, &named(calls)).map(Some);
    read.map_err(|error| error::credential(py, &BrokerError::from(error)))
}

pub(crate) fn named(limits: BTreeMap<String, u64>) -> BTreeMap<Arc<str>, u64> {
    limits.into_iter().map(|(name, limit)| (name.into(), limit)).collect()
}
