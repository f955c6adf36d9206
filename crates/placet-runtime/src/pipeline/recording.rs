//! From a decision or an outcome to the record and the readable view of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::sync::Arc;

use placet_types::ids::{ApprovalId, CredentialId, Digest, RecordId};
use placet_types::record::{DecisionFact, OutcomeFact, OutcomeStatus};
use placet_types::{Decision, Event, Fact, Field, Record, Value, Verdict};
use serde_json::{Map, Value as Json, json};

use placet_content::Redactor;

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
    let text = |field| event.get(field).as_str().map(Arc::<str>::from);
    let fact = DecisionFact {
        event_type: text(Field::EventType).unwrap_or_default(),
        action: text(Field::Action).unwrap_or_default(),
        tool: text(Field::ToolName),
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

/// The members of the view that hold fields of the event.
pub(super) const SHOWN: [(&str, Field); 15] = [
    ("target", Field::Target),
    ("transport", Field::Transport),
    ("tool_tags", Field::ToolTags),
    ("resource_path", Field::ResourcePath),
    ("resources", Field::Resources),
    ("steps", Field::Steps),
    ("requested_capabilities", Field::RequestedCapabilities),
    ("delegation_target", Field::DelegationTarget),
    ("data_classification", Field::DataClassification),
    ("role", Field::UserRole),
    ("agent_role", Field::AgentRole),
    ("user", Field::User),
    ("scopes", Field::SessionScopes),
    ("parent_session", Field::ParentSessionId),
    ("now", Field::Now),
];

/// The readable view of a decision: what a person needs to understand it, redacted.
pub(super) fn decision_view(event: &Event, decision: &Decision, redact: &Redactor) -> Map<String, Json> {
    let mut view = Map::new();
    for (key, field) in SHOWN {
        let value = event.get(field);
        if !value.is_null() && value.as_array() != Some(&[]) {
            view.insert(key.to_owned(), redact.value(value));
        }
    }
    view.insert("context".to_owned(), context(event, redact).into());
    view.insert("args".to_owned(), redact.value(event.get(Field::Args)));
    hide_resources(event, &mut view);
    view.insert("reason".to_owned(), redact.text(&decision.full_reason()).into());
    view.insert("rules".to_owned(), json!(decision.rules));
    view.insert("trace".to_owned(), json!(decision.trace));
    let inputs = decision.inputs.iter().map(|seen| {
        let mut input = json!({"field": seen.field, "value": redact.value_at(&seen.field, &seen.value)});
        if let (Some(unknown), Some(input)) = (&seen.unknown, input.as_object_mut()) {
            input.insert("unknown".to_owned(), json!(unknown));
        }
        input
    });
    view.insert("inputs".to_owned(), inputs.collect());
    view
}

/// Resources are found in arguments and steps: what is hidden there is hidden here.
fn hide_resources(event: &Event, view: &mut Map<String, Json>) {
    let Some(Json::Array(resources)) = view.get("resources") else { return };
    let mut hidden = Vec::new();
    for (name, field) in [("args", Field::Args), ("steps", Field::Steps)] {
        if let Some(shown) = view.get(name) {
            hidden_texts(event.get(field), shown, &mut hidden);
        }
    }
    if hidden.is_empty() {
        return;
    }
    let hide = |resource: &Json| {
        let mark =
            hidden.iter().find(|(text, _)| resource.as_str() == Some(text)).map(|(_, mark)| (*mark).into());
        mark.unwrap_or_else(|| resource.clone())
    };
    let resources = resources.iter().map(hide).collect();
    view.insert("resources".to_owned(), Json::Array(resources));
}

/// The texts of a value that are not shown as they are, and what is shown instead.
fn hidden_texts<'v>(value: &'v Value, shown: &'v Json, found: &mut Vec<(&'v str, &'v str)>) {
    match (value, shown) {
        (Value::String(text), Json::String(mark)) if text.as_str() != mark => found.push((text, mark)),
        (Value::Array(items), Json::Array(shown)) => {
            items.iter().zip(shown).for_each(|(item, shown)| hidden_texts(item, shown, found));
        }
        (Value::Array(items), Json::String(_)) => {
            items.iter().for_each(|item| hidden_texts(item, shown, found));
        }
        (Value::Object(object), Json::Object(members)) => {
            for (key, value) in object.iter() {
                if let Some(shown) = members.get(key.as_str()) {
                    hidden_texts(value, shown, found);
                }
            }
        }
        (Value::Object(object), Json::String(mark)) => {
            for (key, value) in object.iter() {
                found.push((key, mark));
                hidden_texts(value, shown, found);
            }
        }
        _ => {}
    }
}

/// The members of the context in the view, and their fields.
pub(super) const CONTEXT: [(&str, Field); 15] = [
    ("session_id", Field::SessionId),
    ("user_role", Field::UserRole),
    ("session_scopes", Field::SessionScopes),
    ("sandbox_verified", Field::SandboxVerified),
    ("delegation_depth", Field::DelegationDepth),
    ("tenant_id", Field::TenantId),
    ("budget_total_tokens", Field::BudgetTotalTokens),
    ("budget_used_tokens", Field::BudgetUsedTokens),
    ("budget_total_api_calls", Field::BudgetTotalApiCalls),
    ("budget_used_api_calls", Field::BudgetUsedApiCalls),
    ("budget_total_cost_cents", Field::BudgetTotalCostCents),
    ("budget_used_cost_cents", Field::BudgetUsedCostCents),
    ("budget_total_compute_seconds", Field::BudgetTotalComputeSeconds),
    ("budget_used_compute_seconds", Field::BudgetUsedComputeSeconds),
    ("attributes", Field::Attributes),
];

/// The context as policies saw it, without ids of tokens: what replay decides anew with.
fn context(event: &Event, redact: &Redactor) -> Map<String, Json> {
    let mut context = Map::new();
    for (key, field) in CONTEXT {
        let value = event.get(field);
        if !value.is_null() {
            context.insert(key.to_owned(), redact.value(value));
        }
    }
    context
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

/// The readable view of an outcome, redacted.
pub(super) fn outcome_view(outcome: &Outcome, redact: &Redactor) -> Map<String, Json> {
    let mut view = Map::new();
    if let Some(result) = &outcome.result {
        view.insert("result".to_owned(), redact.value(result));
    }
    if let Some(error) = &outcome.error {
        view.insert("error".to_owned(), redact.text(error).into());
    }
    view
}

/// Each field of the event that a view shows, with what it shows.
pub(super) fn shown(view: &Map<String, Json>) -> impl Iterator<Item = (Field, &Json)> {
    let context = view.get("context").and_then(Json::as_object);
    // Ids of sessions and tenants stand in the record as they are.
    let of_context = CONTEXT
        .iter()
        .filter(|(_, field)| !matches!(field, Field::SessionId | Field::TenantId))
        .filter_map(move |(key, field)| Some((*field, context?.get(*key)?)));
    let twice = |field: Field| CONTEXT.iter().any(|(_, other)| *other == field);
    SHOWN
        .iter()
        .chain(&[("args", Field::Args)])
        .filter(move |(_, field)| !twice(*field))
        .filter_map(|(key, field)| Some((*field, view.get(*key)?)))
        .chain(of_context)
}
