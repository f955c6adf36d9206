//! From a decision or an outcome to the record of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::sync::Arc;

use placet_types::ids::{ApprovalId, CredentialId, Digest, RecordId};
use placet_types::record::{DecisionFact, OutcomeFact, OutcomeStatus};
use placet_types::{Decision, Event, Fact, Field, Record, Value, Verdict};

/// What stands in a decision's record besides the decision and the event.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    pub(super) args: Option<Digest>,
    pub(super) credential: Option<CredentialId>,
    pub(super) approval: Option<ApprovalId>,
    pub(super) permit: bool,
}

/// The record of a decision, without operations.
pub(super) fn decision_record(event: &Event, decision: &Decision, extras: Extras) -> Record {
    let word = |field| match event.get(field) {
        Value::String(word) => Some(word.clone()),
        _ => None,
    };
    let text = |field| word(field).map(Arc::<str>::from);
    let fact = DecisionFact {
        event_type: word(Field::EventType).unwrap_or_default(),
        action: word(Field::Action).unwrap_or_default(),
        tool: word(Field::ToolName),
        verdict: decision.verdict.word().into(),
        hard: decision.verdict.is_hard(),
        code: decision.verdict.code().into(),
        risk_tier: decision.risk_tier,
        rules: decision.rules.iter().map(|rule| rule.name.clone()).collect(),
        reviewers: decision.reviewers().to_vec(),
        policy_version: decision.policy_version.clone(),
        identity: decision.identity,
        args: extras.args,
        credential: extras.credential,
        depth: match event.get(Field::DelegationDepth) {
            Value::Int(depth) => u32::try_from(*depth).ok(),
            _ => None,
        },
        permit: extras.permit,
        approval: extras.approval,
        plan: plan(event, decision),
    };
    let mut record = Record::new(RecordId(decision.decision_id.0.clone()), Fact::Decision(fact));
    record.tenant = text(Field::TenantId);
    record.session = text(Field::SessionId);
    record.agent = text(Field::AgentId);
    record
}

/// The tools that an allowed plan names, each once.
fn plan(event: &Event, decision: &Decision) -> Vec<Arc<str>> {
    if decision.verdict != Verdict::Allow || event.get(Field::EventType).as_str() != Some("agent.plan") {
        return Vec::new();
    }
    let steps = event.get(Field::Steps).as_array().unwrap_or_default();
    let names = steps.iter().filter_map(|step| step.get("tool_name")?.as_str());
    names.collect::<BTreeSet<_>>().into_iter().map(Arc::from).collect()
}

/// What became of an effect, as the enforcement point saw it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// The type of the error, when it failed.
    pub error_type: Option<Arc<str>>,
    /// The text of the error, when it failed.
    pub error: Option<String>,
    /// What it returned, as far as it can be shown.
    pub result: Option<Value>,
    /// How many spans were taken for prompt injection.
    pub injections: u32,
    /// What it used, where the enforcement point knows: amounts by unit.
    pub used: Vec<(placet_types::ledger::BudgetUnit, u64)>,
}

impl Outcome {
    /// An effect that returned.
    #[must_use]
    pub fn succeeded(result: Option<Value>) -> Self {
        Self::ended(OutcomeStatus::Succeeded, result)
    }

    /// An effect that raised.
    #[must_use]
    pub fn failed(error_type: &str, error: &str) -> Self {
        let ended = Self::ended(OutcomeStatus::Failed, None);
        Self { error_type: Some(error_type.into()), error: Some(error.to_owned()), ..ended }
    }

    /// An effect that was cancelled, closed or forgotten.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::ended(OutcomeStatus::Cancelled, None)
    }

    pub(super) fn not_started() -> Self {
        Self::ended(OutcomeStatus::NotStarted, None)
    }

    fn ended(status: OutcomeStatus, result: Option<Value>) -> Self {
        Self { status, error_type: None, error: None, result, injections: 0, used: Vec::new() }
    }
}

/// The fact of an outcome.
pub(super) fn outcome_fact(decision: &RecordId, outcome: &Outcome, elapsed_us: u64) -> Fact {
    Fact::Outcome(OutcomeFact {
        decision: decision.clone(),
        status: outcome.status,
        error: outcome.error_type.clone(),
        elapsed_us,
        injections: outcome.injections,
    })
}
