//! The credential broker.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use placet::trust::Ledger;
use placet::trust::credentials::broker::{
    BrokerError, BrokerLimits, DelegateRequest, IssueRequest, SessionToken,
};
use placet::trust::credentials::keys::IssuerKeys;
use placet::{Clock, Config, Registrar, SystemClock};
use placet_store::LedgerIssuer;
use pyo3::prelude::*;

use crate::clock::PyClock;
use crate::error;
use crate::gate::{open_ledger, place_name};
use crate::holder::{Signed, named, public_key, read_tools};
use crate::ledger::{Opened, wait};

/// Issues, shows, narrows and revokes the tokens of sessions.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Broker {
    registrar: Arc<Registrar>,
    waits: bool,
    issuer: Arc<LedgerIssuer>,
    clock: Arc<dyn Clock>,
}

/// A token as Python's `SessionToken` takes it: secret, session, scopes, issue and expiry in microseconds, public id of
/// the parent, depth.
type Shown = (String, String, Vec<String>, i64, i64, Option<String>, u32);

fn shown(token: &SessionToken) -> Shown {
    (
        token.bearer().secret_text(),
        token.session().to_owned(),
        token.scopes().iter().map(|scope| scope.to_string()).collect(),
        token.issued().0,
        token.expires().0,
        token.parent().map(|parent| parent.0.to_string()),
        token.depth(),
    )
}

impl Broker {
    pub(crate) fn registrar(&self) -> &Arc<Registrar> {
        &self.registrar
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        question: impl FnOnce(&Registrar) -> Result<T, BrokerError> + Send,
    ) -> PyResult<T> {
        wait(py, || question(&self.registrar)).map_err(|error| error::credential(py, &error))
    }
}

#[pymethods]
impl Broker {
    #[new]
    #[pyo3(signature = (ledger, keys, clock, max_ttl_seconds, max_depth, audience))]
    fn new(
        py: Python<'_>,
        ledger: Option<PathBuf>,
        keys: Option<PathBuf>,
        clock: Option<Py<PyAny>>,
        max_ttl_seconds: Option<u32>,
        max_depth: Option<u32>,
        audience: Option<String>,
    ) -> PyResult<Self> {
        let mut config = Config::default();
        let folder = env::current_dir().unwrap_or_default();
        config.override_from(env::vars_os(), &folder).map_err(|error| error::config(py, &error))?;
        let name = ledger.as_deref().map(place_name).transpose()?;
        let config = Config {
            ledger: Some(name.unwrap_or_else(|| "memory".to_owned())),
            keys: keys.or(config.keys),
            ..Config::default()
        };
        let opened = open_ledger(py, &config)?;
        let Opened { store, waits, .. } = opened.ok_or_else(|| {
            pyo3::exceptions::PyValueError::new_err("credentials need a ledger; name a file, or leave it out")
        })?;
        let clock: Arc<dyn Clock> = match clock {
            Some(callable) => Arc::new(PyClock::new(callable)),
            None => Arc::new(SystemClock::default()),
        };
        let default = BrokerLimits::default();
        let limits = BrokerLimits {
            max_ttl_seconds: max_ttl_seconds.unwrap_or(default.max_ttl_seconds),
            max_depth: max_depth.unwrap_or(default.max_depth),
        };
        let issuer = Arc::new(LedgerIssuer::new(store.clone()));
        let registrar = Registrar::new(store as Arc<dyn Ledger>, clock.clone(), limits, "sdk".into())
            .issuer(issuer.clone())
            .audience(audience.map(Arc::from));
        Ok(Self { registrar: Arc::new(registrar), waits, issuer, clock })
    }

    #[pyo3(signature = (session_id, scopes, ttl_seconds, tenant_id, agent_id, role, tools, calls, budgets))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `issue`")]
    fn issue(
        &self,
        py: Python<'_>,
        session_id: &str,
        scopes: Vec<String>,
        ttl_seconds: i64,
        tenant_id: Option<String>,
        agent_id: Option<String>,
        role: Option<String>,
        tools: Option<Bound<'_, PyAny>>,
        calls: BTreeMap<String, u64>,
        budgets: BTreeMap<String, u64>,
    ) -> PyResult<Shown> {
        let mut request = IssueRequest::new(session_id, scopes);
        request.ttl_seconds = ttl_seconds;
        request.tenant = tenant_id.map(Arc::from);
        request.agent = agent_id.map(Arc::from);
        request.role = role.map(Arc::from);
        request.tools = read_tools(py, tools.as_ref(), calls)?.unwrap_or(request.tools);
        request.budgets = named(budgets);
        self.ask(py, |registrar| registrar.broker().issue(&request)).map(|token| shown(&token))
    }

    #[pyo3(signature = (parent_token_id, requested_scopes, session_id, ttl_seconds, agent_id, max_depth, tools, calls, budgets))]
    #[allow(clippy::too_many_arguments, reason = "one argument per keyword of `delegate`")]
    fn delegate(
        &self,
        py: Python<'_>,
        parent_token_id: &str,
        requested_scopes: Vec<String>,
        session_id: &str,
        ttl_seconds: Option<i64>,
        agent_id: Option<String>,
        max_depth: Option<u32>,
        tools: Option<Bound<'_, PyAny>>,
        calls: BTreeMap<String, u64>,
        budgets: BTreeMap<String, u64>,
    ) -> PyResult<Shown> {
        let mut request = DelegateRequest::new(session_id, requested_scopes);
        request.ttl_seconds = ttl_seconds;
        request.agent = agent_id.map(Arc::from);
        request.max_depth = max_depth;
        request.tools = read_tools(py, tools.as_ref(), calls)?;
        request.budgets = named(budgets);
        let parent = parent_token_id;
        self.ask(py, |registrar| registrar.broker().delegate(parent, &request)).map(|token| shown(&token))
    }

    /// The signed form of a token for a holder.
    fn signed(&self, py: Python<'_>, token_id: &str, holder: &Bound<'_, PyAny>) -> PyResult<Signed> {
        let (public, key) = public_key(py, holder)?;
        let clock = self.clock.clone();
        self.ask(py, move |registrar| {
            let chain = registrar.broker().signed(token_id, &public)?;
            Signed::of(chain, key, Vec::new(), clock)
        })
    }

    /// A handle for a signed token whose holder's key is here.
    fn hold(&self, py: Python<'_>, signed: &Signed) -> PyResult<Shown> {
        let held = signed.holder()?;
        self.ask(py, |registrar| registrar.broker().hold(held)).map(|token| shown(&token))
    }

    /// Verifies the text of a chain, without a proof and without registering anything.
    fn verify(&self, py: Python<'_>, chain: &str) -> PyResult<()> {
        self.ask(py, |registrar| registrar.broker().inspected(chain).map(|_| ()))
    }

    /// The issuer's public keys as text.
    fn issuer_keys(&self, py: Python<'_>) -> PyResult<String> {
        let now = self.registrar.time();
        let keys = wait(py, || self.issuer.trusted(now)).map_err(BrokerError::from);
        keys.map(|keys| keys.to_text()).map_err(|error| error::credential(py, &error))
    }

    fn validate(&self, py: Python<'_>, token_id: &str) -> PyResult<Option<Shown>> {
        let token = self.ask(py, |registrar| registrar.broker().validate(token_id))?;
        Ok(token.as_ref().map(shown))
    }

    fn revoke(&self, py: Python<'_>, token_id: &str) -> PyResult<bool> {
        self.ask(py, |registrar| registrar.broker().revoke(token_id))
    }

    fn revoke_session(&self, py: Python<'_>, session_id: &str) -> PyResult<usize> {
        self.ask(py, |registrar| registrar.broker().revoke_session(session_id))
    }
}
