//! Actions that a program puts before people itself, without a policy that asked.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_content::Redactor;
use placet_trust::approvals::display::{NotShowable, Shown, display, escaped};
use placet_trust::approvals::queue::{Host, QueueError};
use placet_trust::approvals::{ApprovalError, ApprovalSubject, Terms};
use placet_trust::{Freshness, Ledger, Proposal, Refusal};
use placet_types::ledger::{ApprovalEntry, LedgerOp, Quorum, VoteStrength};
use placet_types::record::ChangeFact;
use placet_types::{Ack, ApprovalId, DenyCause, Digest, Fact, Object, Record, RecordId, RiskTier, Value};
use serde_json::{Map, json};

use crate::digest::digest;

/// An action that waits for people.
#[derive(Debug, Clone)]
pub struct QueuedAction {
    /// The id of the request.
    pub id: ApprovalId,
    /// The session that asks.
    pub session: Arc<str>,
    /// The tool that is to run.
    pub tool: Arc<str>,
    /// Its arguments.
    pub args: Object,
    /// How much it can hurt.
    pub risk_tier: RiskTier,
    /// The tenant.
    pub tenant: Option<Arc<str>>,
}

/// Puts an action before people, for so many seconds. Two actions with two ids are two requests, even for the same
/// call. The session that asks cannot answer.
///
/// # Errors
/// [`QueueError`]: nobody was asked.
pub fn enqueue(
    ledger: &dyn Ledger,
    host: &dyn Host,
    redactor: &Redactor,
    action: &QueuedAction,
    lifetime_seconds: u32,
) -> Result<(), QueueError> {
    let refused = |problem: String| QueueError::Refused(Refusal::new(DenyCause::ApprovalInvalid, problem));
    if let Some((name, _)) = action.args.iter().find(|(_, value)| value.has_by_reference()) {
        let argument = escaped(name);
        return Err(refused(NotShowable { argument }.to_string()));
    }
    let key = ledger.tenant_key(action.tenant.as_deref())?;
    let args = key.mac(&Digest(digest(&Value::Object(action.args.clone()))));
    let shown_args = redactor.object(&action.args);
    let shown = display(&shown(action, &shown_args, &args), key.bytes())
        .map_err(|error| QueueError::Refused(Refusal::new(DenyCause::ApprovalInvalid, error.to_string())))?;
    let subject = ApprovalSubject {
        tenant: action.tenant.clone(),
        session: Some(action.session.clone()),
        agent: None,
        lineage: Vec::new(),
        authority: None,
        kind: "tool_call".into(),
        action: action.tool.clone(),
        tool: Some(action.tool.clone()),
        tool_definition: None,
        server_identity: None,
        target: None,
        args,
        resources: BTreeSet::new(),
        attributes: [("id".into(), key.mac(&Digest(digest(&Value::from(&*action.id.0)))))].into(),
        policy_version: "".into(),
        rules: BTreeSet::new(),
        quorums: vec![Quorum { any_of: Vec::new(), count: 1 }],
        strength: VoteStrength::Asserted,
        escalates_to: None,
        requesters: [action.session.clone()].into(),
        max_cost: BTreeMap::new(),
        displayed: shown.digest,
    };
    let record = RecordId::from(host.new_id());
    let asked = host.now();
    let entry = subject.request(
        Terms {
            id: action.id.clone(),
            decision: record.clone(),
            risk_tier: action.risk_tier,
            asked_us: asked,
            expires_us: asked.plus_seconds(lifetime_seconds),
            remind_us: None,
            escalate_us: None,
            due_us: None,
        },
        key.bytes(),
    );
    let question = json!({"id": entry.id, "text": shown.text, "salt": shown.salt, "subject": subject});
    let args = redactor.value(&Value::Object(action.args.clone()));
    let view = Map::from_iter([("args".to_owned(), args), ("approval".to_owned(), question)]);
    ask(ledger, host, record, entry, view)
}

fn ask(
    ledger: &dyn Ledger,
    host: &dyn Host,
    id: RecordId,
    entry: ApprovalEntry,
    view: Map<String, serde_json::Value>,
) -> Result<(), QueueError> {
    let mut record = Record::new(id, Fact::Change(ChangeFact { by: "system".into() }));
    record.tenant.clone_from(&entry.tenant);
    record.session.clone_from(&entry.session);
    record.ops.push(LedgerOp::Ask(Box::new(entry.clone())));
    let proposal = Proposal { record, view: Some(view.into()), personal: Vec::new(), fallback: None };
    let Some(refusal) = ledger.commit(proposal, Ack::Durable)?.refused else { return Ok(()) };
    // The state knows the reason in its own type.
    let mut why: Result<(), ApprovalError> = Ok(());
    let at = host.now();
    ledger.read(Freshness::Now, &mut |state| why = state.approvals.check_ask(&entry, at))?;
    why?;
    Err(refusal.into())
}

fn shown<'a>(action: &'a QueuedAction, args: &'a Object, args_digest: &'a Digest) -> Shown<'a> {
    Shown {
        action: &action.tool,
        tool: Some(&action.tool),
        target: None,
        resources: &[],
        agent: None,
        session: Some(&action.session),
        tenant: action.tenant.as_deref(),
        risk_tier: action.risk_tier,
        reason: "the program asks",
        rules: &[],
        policy_version: "",
        max_cost: &[],
        args,
        args_digest,
    }
}
