//! `PolicyDecision` and what it is made of.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet::channels::ApprovalId;
use placet::pipeline::Refused;
use placet::{
    Decision, DenyCause, Field, Identity, Request, ReviewerGroup, RiskTier, Tier, TraceStep, Verdict, json,
    refusal,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::thaw::thaw;

/// A decision with its reasons: one verdict, never two flags.
#[pyclass(frozen, module = "placet", from_py_object)]
#[derive(Clone)]
pub(crate) struct PolicyDecision {
    decision: Arc<Decision>,
    request: Option<Arc<Request>>,
    approval: Option<ApprovalId>,
}

impl PolicyDecision {
    pub(crate) fn new(decision: Decision) -> Self {
        Self { decision: Arc::new(decision), request: None, approval: None }
    }

    pub(crate) fn of_request(decision: Decision, request: Request) -> Self {
        Self { request: Some(Arc::new(request)), ..Self::new(decision) }
    }

    /// What the pipeline refused, with the request for approval that stands for it.
    pub(crate) fn of_refused(Refused { decision, request, approval }: Refused) -> Self {
        Self { approval, ..Self::of_request(decision, request) }
    }

    pub(crate) fn decision(&self) -> &Decision {
        &self.decision
    }

    fn text_of(&self, field: Field) -> Option<&str> {
        self.request.as_ref()?.event().get(field).as_str()
    }
}

fn tier(word: &str) -> PyResult<RiskTier> {
    word.parse().map_err(|error: placet::ParseRiskTierError| PyValueError::new_err(error.to_string()))
}

/// A member of one of the enumerations written in Python.
fn member<'py>(
    py: Python<'py>,
    class: &'static PyOnceLock<Py<PyType>>,
    name: &'static str,
    value: &str,
) -> PyResult<Bound<'py, PyAny>> {
    class.import(py, "placet._models", name)?.call1((value,))
}

fn risk_tier(py: Python<'_>, tier: RiskTier) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    member(py, &CLASS, "RiskTier", tier.name())
}

/// One outcome from flags: deny before escalate before allow before nothing said.
fn verdict(allow: bool, deny: bool, requires_hitl: bool, reviewers: Vec<String>) -> Verdict {
    match (deny, requires_hitl, allow) {
        (true, _, _) => Verdict::Deny { hard: true, cause: DenyCause::Rule },
        (false, true, _) => Verdict::Escalate {
            reviewers: reviewers.into_iter().map(|group| ReviewerGroup(group.into())).collect(),
        },
        (false, false, true) => Verdict::Allow,
        (false, false, false) => Verdict::Deny { hard: false, cause: DenyCause::Rule },
    }
}

#[pymethods]
impl PolicyDecision {
    /// Builds a decision from flags, for evaluators of one's own.
    #[new]
    #[pyo3(signature = (*, allow=false, deny=false, requires_hitl=false, risk_tier="OPERATIONAL", reason="", rule_matched=None, resolution_trace=Vec::new(), reviewers=Vec::new(), policy_version=""))]
    #[allow(clippy::too_many_arguments, reason = "one argument per flag of the ancestors' model")]
    fn from_flags(
        allow: bool,
        deny: bool,
        requires_hitl: bool,
        risk_tier: &str,
        reason: &str,
        rule_matched: Option<String>,
        resolution_trace: Vec<ResolutionStep>,
        reviewers: Vec<String>,
        policy_version: &str,
    ) -> PyResult<Self> {
        let rule = rule_matched
            .map(|name| Arc::new(placet::RuleRef { name: name.into(), file: "".into(), line: 0 }));
        Ok(Self::new(Decision {
            decision_id: refusal::new_id(),
            verdict: verdict(allow, deny, requires_hitl, reviewers),
            reason: reason.into(),
            risk_tier: tier(risk_tier)?,
            rules: rule.into_iter().collect(),
            policy_version: policy_version.into(),
            identity: Identity::Asserted,
            trace: resolution_trace.into_iter().map(|step| step.0).collect(),
            inputs: Vec::new(),
        }))
    }

    #[getter]
    fn decision_id(&self) -> &str {
        &self.decision.decision_id.0
    }

    #[getter]
    fn verdict(&self) -> &'static str {
        self.decision.verdict.word()
    }

    #[getter]
    fn hard(&self) -> bool {
        self.decision.verdict.is_hard()
    }

    #[getter]
    fn reason(&self) -> &str {
        &self.decision.reason
    }

    #[getter]
    fn code(&self) -> &'static str {
        self.decision.verdict.code()
    }

    #[getter]
    fn risk_tier<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        risk_tier(py, self.decision.risk_tier)
    }

    #[getter]
    fn rule_matched(&self) -> Option<&str> {
        self.decision.rule_matched().map(|name| &**name)
    }

    #[getter]
    fn rules<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.decision.rules.iter().map(|rule| RuleRef(Arc::clone(rule))).collect::<Vec<_>>())
    }

    #[getter]
    fn reviewers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.decision.reviewers().iter().map(|group| &*group.0))
    }

    #[getter]
    fn policy_version(&self) -> &str {
        &self.decision.policy_version
    }

    #[getter]
    fn identity(&self) -> &'static str {
        match self.decision.identity {
            Identity::Asserted => "asserted",
            Identity::Verified => "verified",
        }
    }

    #[getter]
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.decision.trace.iter().cloned().map(ResolutionStep).collect::<Vec<_>>())
    }

    #[getter]
    fn resolution_trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.trace(py)
    }

    /// The values that the deciding rules looked at, by field: for operators, not for the agent.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let seen = PyDict::new(py);
        for input in &self.decision.inputs {
            seen.set_item(&*input.field, thaw(py, &input.value)?)?;
        }
        Ok(seen)
    }

    #[getter]
    fn allow(&self) -> bool {
        matches!(self.decision.verdict, Verdict::Allow)
    }

    #[getter]
    fn deny(&self) -> bool {
        self.hard()
    }

    #[getter]
    fn requires_hitl(&self) -> bool {
        matches!(self.decision.verdict, Verdict::Escalate { .. })
    }

    /// The id of the request for approval that stands for this call, as `placet approvals` takes it; None when nobody
    /// was asked.
    #[getter]
    fn approval_id(&self) -> Option<&str> {
        self.approval.as_ref().map(|approval| &*approval.0)
    }

    /// Whether the event may happen now. An escalation is not allowed before somebody approved it.
    #[getter]
    fn is_allowed(&self) -> bool {
        self.allow()
    }

    #[getter]
    fn approval<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let word = match self.decision.verdict {
            Verdict::Allow => "auto",
            Verdict::Escalate { .. } => "approve",
            Verdict::Deny { .. } => "block",
        };
        member(py, &CLASS, "Approval", word)
    }

    #[getter]
    fn risk_level<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let level = match self.decision.risk_tier {
            RiskTier::Informational => 1,
            RiskTier::Operational | RiskTier::TransactionalLow => 2,
            RiskTier::TransactionalHigh | RiskTier::Destructive => 3,
            RiskTier::SecurityCritical => 4,
        };
        CLASS.import(py, "placet._models", "RiskLevel")?.call1((level,))
    }

    #[getter]
    fn matched_rule(&self) -> &str {
        self.rule_matched().unwrap_or_default()
    }

    /// What was decided: type, target and arguments; `None` for a decision built from flags.
    #[getter]
    fn action<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let Some(request) = &self.request else { return Ok(None) };
        let params = thaw(py, request.event().get(Field::Args))?;
        let target = self.text_of(Field::Target).unwrap_or_default();
        let class = CLASS.import(py, "placet._models", "Action")?;
        class.call1((self.text_of(Field::Action).unwrap_or_default(), target, params)).map(Some)
    }

    /// The wire form as a dict.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = json::parse(self.to_json()?.as_bytes())
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        thaw(py, &value)
    }

    /// The wire form as JSON text.
    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&*self.decision).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let restore = slf.py().import("placet._core")?.getattr("restore_decision")?;
        Ok((restore, (slf.get().to_json()?,)))
    }

    fn __repr__(&self) -> String {
        let Decision { risk_tier, reason, .. } = &*self.decision;
        let hard = if self.hard() { " (hard)" } else { "" };
        let rule = self.rule_matched().map(|name| format!(" by {name}")).unwrap_or_default();
        format!("<PolicyDecision {}{hard}{rule}, {risk_tier}: {reason}>", self.verdict())
    }
}

/// Which rule: its name and where it stands.
#[pyclass(frozen, eq, hash, module = "placet")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct RuleRef(Arc<placet::RuleRef>);

#[pymethods]
impl RuleRef {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn file(&self) -> &str {
        &self.0.file
    }

    #[getter]
    fn line(&self) -> u32 {
        self.0.line
    }

    fn __repr__(&self) -> String {
        format!("<RuleRef {} {}:{}>", self.0.name, self.0.file, self.0.line)
    }
}

/// What one tier contributed to a decision.
#[pyclass(frozen, eq, module = "placet", from_py_object)]
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ResolutionStep(pub(crate) TraceStep);

#[pymethods]
impl ResolutionStep {
    #[new]
    #[pyo3(signature = (*, tier, allow=false, deny=false, requires_hitl=false, risk_tier="OPERATIONAL", reason="", rule_matched=None))]
    fn from_flags(
        tier: &str,
        allow: bool,
        deny: bool,
        requires_hitl: bool,
        risk_tier: &str,
        reason: &str,
        rule_matched: Option<String>,
    ) -> PyResult<Self> {
        let tiers = [Tier::Core, Tier::Global, Tier::Project];
        let Some(tier) = tiers.into_iter().find(|known| known.name() == tier) else {
            let message = format!("`{tier}` is no policy tier; use core, global or project");
            return Err(PyValueError::new_err(message));
        };
        let verdict = verdict(allow, deny, requires_hitl, Vec::new());
        Ok(Self(TraceStep {
            tier,
            outcome: verdict.word(),
            hard: verdict.is_hard(),
            risk_tier: self::tier(risk_tier)?,
            reason: reason.into(),
            rule_matched: rule_matched.map(Into::into),
        }))
    }

    #[getter]
    fn tier(&self) -> &'static str {
        self.0.tier.name()
    }

    /// `allow`, `deny`, `escalate`, `abstain` or `skipped`.
    #[getter]
    fn outcome(&self) -> &'static str {
        self.0.outcome
    }

    #[getter]
    fn hard(&self) -> bool {
        self.0.hard
    }

    #[getter]
    fn allow(&self) -> bool {
        self.0.outcome == "allow"
    }

    #[getter]
    fn deny(&self) -> bool {
        self.0.hard
    }

    #[getter]
    fn requires_hitl(&self) -> bool {
        self.0.outcome == "escalate"
    }

    #[getter]
    fn risk_tier<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        risk_tier(py, self.0.risk_tier)
    }

    #[getter]
    fn reason(&self) -> &str {
        &self.0.reason
    }

    #[getter]
    fn rule_matched(&self) -> Option<&str> {
        self.0.rule_matched.as_deref()
    }

    fn __repr__(&self) -> String {
        let step = &self.0;
        let hard = if step.hard { " (hard)" } else { "" };
        let rule = self.rule_matched().map(|name| format!(" by {name}")).unwrap_or_default();
        format!("<ResolutionStep {}: {}{hard}{rule}, {}>", step.tier.name(), step.outcome, step.risk_tier)
    }
}
