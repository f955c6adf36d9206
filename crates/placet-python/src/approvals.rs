//! The queue of actions that wait for people.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use placet::channels::{
    self, ApprovalId, ApprovalState, ApproverId, Channel, Ending, Micros, Question, QueuedAction, Waiting,
    WebhookOptions,
};
use placet::content::Redactor;
use placet::trust::LedgerError;
use placet::trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet::trust::approvals::webhook::WebhookKey;
use placet::trust::approvals::{Approval, ApprovalError};
use placet::{RiskTier, Value, refusal};
use placet_store::{ApprovalViews, PlaceSettings, Store};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};
use serde_json::{Map, Value as Json};

use crate::freeze::{Freezer, describe};
use crate::ledger::{self, Opened, wait};
use crate::thaw::thaw;

/// How often a wait looks whether it was ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Ends a wait in another thread.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Stop(channels::Stop);

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Self {
        Self(channels::Stop::default())
    }

    /// Ends the wait.
    fn stop(&self) {
        self.0.stop();
    }

    /// Whether it was ended.
    #[getter]
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// How people are asked about calls, and how long a call waits for them.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct Asker {
    channel: Option<Arc<dyn Channel>>,
    timeout: Duration,
}

impl Asker {
    pub(crate) fn waiting(&self, stop: &Stop) -> Waiting {
        let now = Instant::now();
        let until = now.checked_add(self.timeout).unwrap_or(now);
        Waiting { until, channel: self.channel.clone(), stop: stop.0.clone() }
    }

    fn new(channel: Arc<dyn Channel>, timeout_seconds: f64) -> PyResult<Self> {
        Ok(Self { channel: Some(channel), timeout: duration(timeout_seconds)? })
    }
}

#[pymethods]
impl Asker {
    /// Waits for votes made elsewhere, with `placet approvals` or by another process.
    #[staticmethod]
    fn elsewhere(timeout_seconds: f64) -> PyResult<Self> {
        Ok(Self { channel: None, timeout: duration(timeout_seconds)? })
    }

    /// Asks at the terminal that controls this process, or at another.
    #[staticmethod]
    fn terminal(timeout_seconds: f64, approver: &str, path: Option<PathBuf>) -> PyResult<Self> {
        let approver = ApproverId::from(approver);
        let path = path.unwrap_or_else(|| PathBuf::from("/dev/tty"));
        Self::new(Arc::new(channels::Terminal::at(path, approver)), timeout_seconds)
    }

    /// Asks a web server.
    #[staticmethod]
    fn webhook(
        timeout_seconds: f64,
        url: String,
        method: String,
        headers: Vec<(String, String)>,
        key: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        let options = WebhookOptions { method, ..webhook_options(timeout_seconds, url, headers, key)? };
        let webhook =
            channels::Webhook::new(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Self::new(Arc::new(webhook), timeout_seconds)
    }

    /// Asks a callable, which gets a dict that describes the request. Only True approves.
    #[staticmethod]
    fn callback(timeout_seconds: f64, approver: &str, callable: Py<PyAny>) -> PyResult<Self> {
        let function = move |question: &Question, _: &Ending| call_back(&callable, question);
        let callback = channels::Callback::new(ApproverId::from(approver), function);
        Self::new(Arc::new(callback), timeout_seconds)
    }
}

/// Asks the callable; its failure in words.
fn call_back(callable: &Py<PyAny>, question: &Question) -> Result<Value, String> {
    Python::attach(|py| {
        let answer = described(py, question).and_then(|asked| callable.bind(py).call1((asked,)));
        let answer = answer.map_err(|error| describe(py, &error))?;
        let frozen = Freezer::default().freeze(&answer);
        frozen.map(|(value, _)| value).map_err(|error| error.reason(py))
    })
}

fn described<'py>(py: Python<'py>, question: &Question) -> PyResult<Bound<'py, PyDict>> {
    let entry = &question.entry;
    let args = placet::json::parse(question.args.to_string().as_bytes())
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let dict = PyDict::new(py);
    dict.set_item("id", &*entry.id.0)?;
    dict.set_item("digest", entry.digest.to_string())?;
    dict.set_item("text", &question.text)?;
    dict.set_item("type", &*question.action_type)?;
    dict.set_item("target", question.target.as_deref().or(entry.tool.as_deref()))?;
    dict.set_item("params", thaw(py, &args)?)?;
    dict.set_item("reason", &question.reason)?;
    dict.set_item("risk_tier", entry.risk_tier.name())?;
    dict.set_item("matched_rule", question.rule.as_deref())?;
    dict.set_item("expires_at", seconds(entry.expires_us))?;
    Ok(dict)
}

/// The clocks of the system.
struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Micros {
        Micros(Timestamp::now().as_microsecond())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        refusal::new_id().0.to_string()
    }
}

/// Actions that wait for people, over a ledger. Every method may wait for the ledger, and lets the
/// interpreter go on meanwhile.
#[pyclass(frozen, module = "placet._core")]
pub(crate) struct ApprovalQueue {
    ledger: Arc<dyn Store>,
    views: Mutex<ApprovalViews>,
    redactor: Redactor,
    lifetime_seconds: u32,
}

/// A request with its arguments, redacted, and the reason of a no.
struct Row {
    approval: Approval,
    args: Json,
    reason: Option<String>,
}

#[pymethods]
impl ApprovalQueue {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, keys: Option<PathBuf>, lifetime_seconds: u32) -> PyResult<Self> {
        let folder = env::current_dir()?;
        let name = path.to_str().ok_or_else(|| PyValueError::new_err("`db_path` is not UTF-8"))?;
        let keys = keys.or_else(|| env::var_os("PLACET_KEYS").map(PathBuf::from));
        let settings = PlaceSettings { ledger: Some(name.to_owned()), keys, ..PlaceSettings::default() };
        let opened = ledger::open(&settings, &folder);
        let opened = opened.map_err(|error| raise(py, &error.to_string(), "config_invalid"))?;
        let opened = opened.ok_or_else(|| PyValueError::new_err("`db_path` must name a file"))?;
        let Opened { store: ledger, place, .. } = opened;
        let views = Mutex::new(ApprovalViews::new(place));
        Ok(Self { ledger, views, redactor: Redactor::builtin(), lifetime_seconds })
    }

    /// Opens the ledger and checks all of it.
    fn setup(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |queue| queue.pending().map(|_| ()))
    }

    /// Puts an action before people.
    #[allow(clippy::too_many_arguments, reason = "one argument per field of `PendingAction`")]
    #[pyo3(signature = (id, session_id, tool_name, args, risk_tier, tenant_id))]
    fn enqueue(
        &self,
        py: Python<'_>,
        id: &str,
        session_id: &str,
        tool_name: &str,
        args: &Bound<'_, PyDict>,
        risk_tier: &str,
        tenant_id: Option<&str>,
    ) -> PyResult<()> {
        let frozen = Freezer::default().freeze(args);
        let (args, _) = frozen.map_err(|error| PyValueError::new_err(error.reason(py)))?;
        let Value::Object(args) = args else {
            return Err(PyValueError::new_err("`args` must be a dict with string keys"));
        };
        let risk_tier: RiskTier = risk_tier
            .parse()
            .map_err(|error: placet::ParseRiskTierError| PyValueError::new_err(error.to_string()))?;
        let action = QueuedAction {
            id: ApprovalId::from(id),
            session: session_id.into(),
            tool: tool_name.into(),
            args,
            risk_tier,
            tenant: tenant_id.map(Arc::from),
        };
        let lifetime = self.lifetime_seconds;
        let done =
            wait(py, || channels::enqueue(&*self.ledger, &SystemHost, &self.redactor, &action, lifetime));
        done.map_err(|error| failed(py, &error))
    }

    /// Says yes; whether that decided it.
    fn approve(&self, py: Python<'_>, id: &str, by: &str) -> PyResult<bool> {
        self.decide(py, id, by, true, None)
    }

    /// Says no; whether that decided it.
    fn deny(&self, py: Python<'_>, id: &str, by: &str, reason: Option<&str>) -> PyResult<bool> {
        self.decide(py, id, by, false, reason)
    }

    /// One request, or None.
    fn get<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let found = self.run(py, |queue| queue.get(&ApprovalId::from(id)))?;
        found.map(|approval| self.show(py, approval)).transpose()
    }

    /// The requests that wait, oldest first.
    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let pending = self.run(py, |queue| queue.pending())?;
        pending.into_iter().map(|approval| self.show(py, approval)).collect()
    }

    /// Ends what has waited for so long; how many.
    fn expire(&self, py: Python<'_>, older_than_seconds: f64) -> PyResult<usize> {
        let age = duration(older_than_seconds)?;
        self.run(py, |queue| Ok(queue.expire()? + queue.expire_older_than(age)?))
    }

    /// Waits for the decision; what nobody decided in time ends then. None when the wait was ended from outside.
    fn wait<'py>(
        &self,
        py: Python<'py>,
        id: &str,
        timeout_seconds: f64,
        stop: &Stop,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let until = Instant::now().checked_add(duration(timeout_seconds)?);
        let until = until.ok_or_else(|| PyValueError::new_err("`timeout_seconds` is too large"))?;
        let (id, mut seen) = (ApprovalId::from(id), None);
        // In steps, so that a fork need not wait for people, and signals are heeded.
        let waited = loop {
            py.check_signals()?;
            if stop.0.is_stopped() {
                break None;
            }
            let now = Instant::now();
            if now >= until {
                break Some(self.run(py, |queue| queue.wait_for_decision(&id, until))?);
            }
            let step = until.min(now + LOOK_EVERY);
            let approval = self.run(py, |queue| queue.wait_on(&id, &mut seen, step))?;
            if approval.state_at(SystemHost.now()) != ApprovalState::Pending {
                break Some(approval);
            }
        };
        waited.map(|approval| self.show(py, approval)).transpose()
    }
}

impl ApprovalQueue {
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Queue<'_>) -> Result<T, QueueError> + Send,
    ) -> PyResult<T> {
        let done = wait(py, || work(&Queue::new(&*self.ledger, &SystemHost)));
        done.map_err(|error| failed(py, &error))
    }

    fn decide(&self, py: Python<'_>, id: &str, by: &str, yes: bool, reason: Option<&str>) -> PyResult<bool> {
        let (id, approver) = (ApprovalId::from(id), ApproverId::from(by));
        let voter = Voter { approver: &approver, proof: Proof::Asserted, channel: "api" };
        self.run(py, |queue| {
            let cast = if yes { queue.approve(&id, &voter, reason) } else { queue.deny(&id, &voter, reason) };
            match cast {
                Ok(approval) => Ok(approval.state != ApprovalState::Pending),
                // Somebody was faster, or there is nothing to decide.
                Err(QueueError::Approval(error))
                    if error.is_conflict() || matches!(error, ApprovalError::Unknown(_)) =>
                {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        })
    }

    fn show<'py>(&self, py: Python<'py>, approval: Approval) -> PyResult<Bound<'py, PyDict>> {
        let row = wait(py, || self.row(approval));
        row.map_err(|error| raise(py, &error, "state_tampered"))?.to_dict(py)
    }

    /// What stands beside the request in the log.
    fn row(&self, approval: Approval) -> Result<Row, String> {
        let mut views = self.views.lock();
        let mut member = |record, name: &str| {
            let view: Option<&Map<String, Json>> = views.get(record).map_err(|error| error.to_string())?;
            Ok::<_, String>(view.and_then(|view| view.get(name)).cloned())
        };
        let args = member(&approval.entry.decision, "args")?.unwrap_or(Json::Null);
        let reason = match (&approval.decided, approval.state) {
            (Some(decided), ApprovalState::Denied) => member(&decided.record, "reason")?,
            _ => None,
        };
        let reason = reason.and_then(|reason| reason.as_str().map(str::to_owned));
        Ok(Row { approval, args, reason })
    }
}

impl Row {
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Self { approval, args, reason } = self;
        let entry = &approval.entry;
        let (status, by, at) =
            match (approval.state_at(SystemHost.now()), &approval.decided, &approval.closed) {
                (ApprovalState::Pending, ..) => ("PENDING", None, None),
                (ApprovalState::Denied, Some(decided), _) => {
                    ("DENIED", Some(&*decided.by.0), Some(decided.at_us))
                }
                (ApprovalState::Approved | ApprovalState::Consumed, Some(decided), _) => {
                    ("APPROVED", Some(&*decided.by.0), Some(decided.at_us))
                }
                (_, _, Some(closed)) => ("TIMED_OUT", Some("system"), Some(closed.at_us)),
                _ => ("TIMED_OUT", None, Some(entry.expires_us)),
            };
        let timed_out = status == "TIMED_OUT" && approval.closed.is_some();
        let reason = reason.as_deref().or(timed_out.then_some("Approval timeout exceeded"));
        let args = placet::json::parse(args.to_string().as_bytes())
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let dict = PyDict::new(py);
        dict.set_item("id", &*entry.id.0)?;
        dict.set_item("session_id", entry.session.as_deref().unwrap_or_default())?;
        dict.set_item("tool_name", entry.tool.as_deref().unwrap_or(&entry.action))?;
        dict.set_item("args", thaw(py, &args)?)?;
        dict.set_item("risk_tier", entry.risk_tier.name())?;
        dict.set_item("status", status)?;
        dict.set_item("created_at", seconds(approval.recorded_us))?;
        dict.set_item("decided_at", at.map(seconds))?;
        dict.set_item("decided_by", by)?;
        dict.set_item("denial_reason", reason)?;
        dict.set_item("tenant_id", entry.tenant.as_deref())?;
        Ok(dict)
    }
}

/// Seconds since 1970, as `datetime.fromtimestamp` takes them.
fn seconds(at: Micros) -> f64 {
    Duration::from_micros(at.0.unsigned_abs()).as_secs_f64()
}

/// How a web server is reached, from Python's arguments.
pub(crate) fn webhook_options(
    timeout_seconds: f64,
    url: String,
    headers: Vec<(String, String)>,
    key: Option<Vec<u8>>,
) -> PyResult<WebhookOptions> {
    let key = key.map(WebhookKey::new).transpose();
    let key = key.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let timeout = duration(timeout_seconds)?;
    Ok(WebhookOptions { headers, timeout, key, ..WebhookOptions::new(url) })
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("a time of {seconds} seconds is not possible; give 0 or more"))
    })
}

pub(crate) fn failed(py: Python<'_>, error: &QueueError) -> PyErr {
    match error {
        QueueError::Approval(ApprovalError::Unknown(id)) => {
            PyValueError::new_err(format!("Action '{id}' not found in queue"))
        }
        QueueError::Approval(ApprovalError::Taken(_)) => raise(py, &error.to_string(), "approval_exists"),
        QueueError::Approval(approval) => raise(py, &error.to_string(), approval.cause().code()),
        QueueError::Ledger(LedgerError::Tampered { .. }) => raise(py, &error.to_string(), "state_tampered"),
        QueueError::Ledger(_) => raise(py, &error.to_string(), "audit_unavailable"),
        QueueError::Refused(refusal) => raise(py, &error.to_string(), refusal.cause.code()),
        other => raise(py, &other.to_string(), "approval_invalid"),
    }
}

/// Raises `ApprovalError`, or `DuplicateActionError` for an id that is taken.
fn raise(py: Python<'_>, message: &str, code: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static DUPLICATE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = match code {
        "approval_exists" => DUPLICATE.import(py, "placet._approvals", "DuplicateActionError"),
        _ => CLASS.import(py, "placet._approvals", "ApprovalError"),
    };
    let error = class.and_then(|class| class.call1((message, code)));
    error.map_or_else(|error| error, PyErr::from_value)
}
