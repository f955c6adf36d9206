//! One decision with what became of it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::record::{DecisionFact, OutcomeFact, OutcomeStatus};
use placet_types::{Micros, RecordId};
use serde_json::{Map, Value, json};

use super::timestamp;
use super::words::{Level, Outcome, Status};

/// One decision with its outcome and the person who answered.
#[derive(Debug, Clone)]
pub struct Row {
    /// The position of the decision.
    pub seq: u64,
    /// Its id.
    pub id: RecordId,
    /// When it was committed.
    pub time_us: Micros,
    /// The tenant.
    pub tenant: Option<Arc<str>>,
    /// The session.
    pub session: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// What was decided.
    pub decision: DecisionFact,
    /// The readable view, unless it was erased.
    pub view: Option<Map<String, Value>>,
    /// What became of it, where that is known.
    pub ended: Option<Ended>,
    /// Who answered the request for approval.
    pub decided_by: Option<Arc<str>>,
}

/// The outcome of a decision.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The position of the outcome.
    pub seq: u64,
    /// What it says.
    pub outcome: OutcomeFact,
    /// Its readable view, unless it was erased.
    pub view: Option<Map<String, Value>>,
}

impl Row {
    /// The tool, or the action where no tool is named.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.decision.tool.as_deref().unwrap_or(&self.decision.action)
    }

    /// What became of the call.
    #[must_use]
    pub fn status(&self) -> Status {
        match (&self.ended, &*self.decision.verdict) {
            (Some(ended), _) => match ended.outcome.status {
                OutcomeStatus::Succeeded => Status::Success,
                OutcomeStatus::Failed => Status::Failed,
                OutcomeStatus::Cancelled => Status::Cancelled,
                OutcomeStatus::NotStarted => Status::NotStarted,
            },
            (None, "allow") if self.decision.permit => Status::Unknown,
            (None, "allow") => Status::NotStarted,
            (None, "escalate") => Status::Pending,
            _ if self.is_refused_by_a_person() => Status::Denied,
            _ => Status::Blocked,
        }
    }

    /// How it was decided.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &*self.decision.verdict {
            "allow" if self.decision.approval.is_some() => Outcome::HitlApproved,
            "allow" => Outcome::Allowed,
            "escalate" => Outcome::HitlQueued,
            _ if self.is_refused_by_a_person() => Outcome::HitlDenied,
            _ if self.decision.hard => Outcome::Blocked,
            _ => Outcome::SoftDenied,
        }
    }

    fn is_refused_by_a_person(&self) -> bool {
        &*self.decision.code == "approval_denied"
    }

    /// A text of the view.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&str> {
        self.view.as_ref()?.get(member)?.as_str()
    }

    /// The row in the columns of older audit logs, as their exports write it.
    #[must_use]
    pub fn columns(&self) -> Map<String, Value> {
        let decision = &self.decision;
        let of_view = |member: &str| self.view.as_ref().and_then(|view| view.get(member)).cloned();
        let as_text = |value: Option<Value>| value.map(|value| value.to_string());
        let ended = self.ended.as_ref();
        let ended_view = |member: &str| ended.and_then(|ended| ended.view.as_ref()?.get(member)).cloned();
        let error = match &*decision.verdict {
            "allow" => ended_view("error")
                .or_else(|| ended.and_then(|one| one.outcome.error.as_deref().map(Value::from))),
            "deny" => of_view("reason"),
            _ => None,
        };
        let human = match self.outcome() {
            Outcome::HitlApproved => Some("approved"),
            Outcome::HitlDenied => Some("denied"),
            _ => None,
        };
        let approval = match &*decision.verdict {
            "allow" if decision.approval.is_none() => "auto",
            "deny" if !self.is_refused_by_a_person() => "block",
            _ => "approve",
        };
        let columns = json!({
            "id": self.id, "seq": self.seq, "session_id": self.session, "timestamp": timestamp(self.time_us),
            "action_type": decision.action, "action_target": of_view("target"),
            "action_params": as_text(of_view("args")), "action_desc": of_view("description"),
            "risk_level": Level::of(decision.risk_tier).word(), "risk_tier": decision.risk_tier,
            "approval": approval, "matched_rule": decision.rules.first(), "human_decision": human,
            "result_status": self.status().word(), "result_data": as_text(ended_view("result")),
            "result_error": error, "agent_id": self.agent, "parent_agent_id": of_view("parent_agent_id"),
            "chain_id": decision.credential, "chain_depth": decision.depth, "event_type": decision.event_type,
            "tool_name": self.tool(), "verdict": decision.verdict, "code": decision.code,
            "reason": of_view("reason"), "policy_version": decision.policy_version,
            "hitl_action_id": decision.approval, "hitl_decided_by": self.decided_by,
            "outcome": self.outcome().word(),
        });
        match columns {
            Value::Object(columns) => columns,
            _ => Map::new(),
        }
    }
}
