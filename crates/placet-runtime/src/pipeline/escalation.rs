//! An event that a person has to decide: use the approval that there is, or ask for one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_policy::reading::normal_form;
use placet_trust::approvals::display::{Displayed, Shown, display};
use placet_trust::approvals::{ApprovalSubject, Terms};
use placet_trust::{Freshness, Ledger, LedgerError, Refusal, StateKey, TenantKey};
use placet_types::ids::{ApprovalId, Digest, RecordId};
use placet_types::ledger::{
    ApprovalClosing, ApprovalEntry, ApprovalState, BudgetUnit, Consumption, LedgerOp, Quorum, VoteStrength,
};
use placet_types::{Decision, DenyCause, Event, Field, Object, ReviewerGroup, Value, Verdict};
use serde_json::json;

use super::{Begun, Case, Pipeline, Refused, Started, text_of};
use crate::channels::Question;
use crate::config::Approvals;
use crate::digest::digest;
use crate::refusal;

/// The terms on which people are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalTerms {
    /// How long a request lives.
    pub lifetime_seconds: u32,
    /// How many people must say yes.
    pub quorum: u32,
    /// The weakest kind of vote that counts as a yes.
    pub strength: VoteStrength,
    /// After how long reviewers are reminded.
    pub remind_seconds: Option<u32>,
    /// After how long a further group may answer too, and which.
    pub escalate: Option<(u32, ReviewerGroup)>,
    /// After how long an answer is overdue.
    pub due_seconds: Option<u32>,
}

impl Default for ApprovalTerms {
    fn default() -> Self {
        Self {
            lifetime_seconds: 3_600,
            quorum: 1,
            strength: VoteStrength::Asserted,
            remind_seconds: None,
            escalate: None,
            due_seconds: None,
        }
    }
}

impl ApprovalTerms {
    pub(super) fn of_config(config: &Approvals) -> Self {
        let default = Self::default();
        let group = config.escalate_to.as_ref().map(|group| ReviewerGroup(group.as_str().into()));
        Self {
            lifetime_seconds: config.lifetime_seconds.unwrap_or(default.lifetime_seconds),
            quorum: config.quorum.unwrap_or(default.quorum),
            strength: config.strength.unwrap_or(default.strength),
            remind_seconds: config.remind_seconds,
            escalate: config.escalate_seconds.zip(group),
            due_seconds: config.due_seconds,
        }
    }
}

/// Where the approval for a call stands.
enum Standing {
    /// Nobody was asked, or what was asked is over.
    Unasked,
    Pending(ApprovalId),
    Approved(Box<ApprovalEntry>),
    Denied(ApprovalId),
}

impl Pipeline {
    /// Uses an approval of exactly this call, or asks for one. An escalating event never runs otherwise.
    pub(super) fn escalate(self: &Arc<Self>, ledger: &dyn Ledger, case: Case) -> Begun {
        let (subject, displayed) = match self.subject(ledger, &case) {
            Ok(subject) => subject,
            Err(SubjectError::Ledger(error)) => return self.unavailable(case, &error),
            Err(SubjectError::Refused(refusal)) => {
                let decision = super::denied_at_commit(&case.decision, &refusal);
                return self.commit_refusal(ledger, Case { decision, ..case }, None, Vec::new());
            }
        };
        let key = match ledger.tenant_key(text_of(case.request.event(), Field::TenantId)) {
            Ok(key) => key,
            Err(error) => return self.unavailable(case, &error),
        };
        let request_key = subject.request_key(key.bytes());
        let standing = self.standing(ledger, &request_key);
        if let Ok(Standing::Pending(approval) | Standing::Denied(approval)) = &standing {
            match ledger.compare(&mut |_| vec![StateKey::Approval(approval.clone())]) {
                Err(error) => return self.unavailable(case, &error),
                Ok(Err(edited)) => {
                    let decision = super::denied_at_commit(&case.decision, &edited);
                    return self.commit_refusal(ledger, Case { decision, ..case }, None, Vec::new());
                }
                Ok(Ok(())) => {}
            }
        }
        match standing {
            Err(error) => self.unavailable(case, &error),
            Ok(Standing::Pending(approval)) => self.commit_refusal(ledger, case, Some(approval), Vec::new()),
            Ok(Standing::Denied(approval)) => {
                let reason =
                    format!("a person denied the request `{approval}`; change the call, or ask them");
                let refusal = Refusal::new(DenyCause::ApprovalDenied, reason);
                let decision = super::denied_at_commit(&case.decision, &refusal);
                self.commit_refusal(ledger, Case { decision, ..case }, Some(approval), Vec::new())
            }
            Ok(Standing::Approved(entry)) if !subject.is_of(&entry) => {
                let reason = format!("the approval `{}` is for another call; ask anew", entry.id);
                let refusal = Refusal::new(DenyCause::ApprovalInvalid, reason);
                let decision = super::denied_at_commit(&case.decision, &refusal);
                self.commit_refusal(ledger, Case { decision, ..case }, Some(entry.id), Vec::new())
            }
            Ok(Standing::Approved(entry)) => {
                let ApprovalEntry { id: approval, digest, .. } = *entry;
                let decision = Decision { verdict: Verdict::Allow, ..case.decision.clone() };
                let consume = LedgerOp::Consume(Consumption { approval, digest });
                self.commit_allow(ledger, Case { decision, ..case }, Some(consume))
            }
            Ok(Standing::Unasked) => {
                let entry = subject.request(self.terms(&case), key.bytes());
                self.commit_question(ledger, case, entry, &subject, &displayed)
            }
        }
    }

    /// The escalation with its question: what is shown stands in the view, under a digest that the request holds.
    fn commit_question(
        &self,
        ledger: &dyn Ledger,
        case: Case,
        entry: ApprovalEntry,
        subject: &ApprovalSubject,
        displayed: &Displayed,
    ) -> Begun {
        let id = entry.id.clone();
        let question = json!({
            "id": id, "text": displayed.text, "salt": displayed.salt, "subject": subject,
        });
        let ops = vec![LedgerOp::Ask(Box::new(entry))];
        self.commit_refusal_with(ledger, case, Some(id), ops, Some(question))
    }

    fn standing(&self, ledger: &dyn Ledger, request_key: &Digest) -> Result<Standing, LedgerError> {
        let at = self.gate.now();
        let mut standing = Standing::Unasked;
        ledger.read(Freshness::Now, &mut |state| {
            let Some(approval) = state.approvals.latest_by_request_key(request_key) else { return };
            let ApprovalEntry { id, expires_us, .. } = &approval.entry;
            standing = match approval.state_at(at) {
                ApprovalState::Pending => Standing::Pending(id.clone()),
                ApprovalState::Approved => Standing::Approved(Box::new(approval.entry.clone())),
                // A no holds as long as the question would have.
                ApprovalState::Denied if at < *expires_us => Standing::Denied(id.clone()),
                _ => Standing::Unasked,
            };
        })?;
        Ok(standing)
    }

    fn terms(&self, case: &Case) -> Terms {
        let ApprovalTerms { lifetime_seconds, remind_seconds, escalate, due_seconds, .. } =
            &self.options.approvals;
        let asked = self.gate.now();
        Terms {
            id: ApprovalId(refusal::new_id().0),
            decision: RecordId(case.decision.decision_id.0.clone()),
            risk_tier: case.decision.risk_tier,
            asked_us: asked,
            expires_us: asked.plus_seconds(*lifetime_seconds),
            remind_us: remind_seconds.map(|seconds| asked.plus_seconds(seconds)),
            escalate_us: escalate.as_ref().map(|(seconds, _)| asked.plus_seconds(*seconds)),
            due_us: due_seconds.map(|seconds| asked.plus_seconds(seconds)),
        }
    }

    /// Everything that the approval is bound to.
    fn subject(
        &self,
        ledger: &dyn Ledger,
        case: &Case,
    ) -> Result<(ApprovalSubject, Displayed), SubjectError> {
        let (event, decision) = (case.request.event(), &case.decision);
        let text = |field| text_of(event, field).map(Arc::<str>::from);
        let key = ledger.tenant_key(text_of(event, Field::TenantId))?;
        let args = key.mac(&case.call);
        let rules: BTreeSet<Arc<str>> = decision.rules.iter().map(|rule| rule.name.clone()).collect();
        let max_cost = self.max_cost(event);
        let displayed = self.displayed(event, decision, &args, key.bytes())?;
        let terms = &self.options.approvals;
        let (lineage, authority) = match &case.holder {
            Some(holder) => (holder.lineage.clone(), Some(holder.entry.authority)),
            None => (Vec::new(), None),
        };
        let subject = ApprovalSubject {
            tenant: text(Field::TenantId),
            session: text(Field::SessionId),
            agent: text(Field::AgentId),
            lineage,
            authority,
            kind: text(Field::EventType).unwrap_or_default(),
            action: text(Field::Action).unwrap_or_default(),
            tool: text(Field::ToolName),
            tool_definition: None,
            server_identity: None,
            target: text_of(event, Field::Target).map(|target| self.kept(target, &key)),
            args,
            resources: self.resources(event.get(Field::Resources), &key),
            attributes: attributes(case, |value| key.mac(&Digest(digest(value)))),
            policy_version: decision.policy_version.clone(),
            rules,
            quorums: vec![Quorum { any_of: decision.reviewers().to_vec(), count: terms.quorum.max(1) }],
            strength: terms.strength,
            escalates_to: terms.escalate.as_ref().map(|(_, group)| group.clone()),
            requesters: [text(Field::User), text(Field::AgentId)].into_iter().flatten().collect(),
            max_cost: max_cost.iter().copied().collect(),
            displayed: displayed.digest,
        };
        Ok((subject, displayed))
    }

    /// A text as the request may hold it: where something was taken out, with a digest that tells such texts apart.
    fn kept(&self, text: &str, key: &TenantKey) -> Arc<str> {
        match self.redactor.text(text) {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(shown) => {
                format!("{shown} (digest {})", key.mac(&Digest(digest(&Value::from(text))))).into()
            }
        }
    }

    fn resources(&self, value: &Value, key: &TenantKey) -> BTreeSet<Arc<str>> {
        let each = value.as_array().unwrap_or_default().iter();
        let each = each.map(|resource| match resource.as_str() {
            Some(path) => self.kept(&normal_form(path), key),
            None => Arc::from("(unreadable)"),
        });
        each.collect()
    }

    fn max_cost(&self, event: &Event) -> Vec<(BudgetUnit, u64)> {
        let estimate = self.gate.estimate_of(event);
        [BudgetUnit::Tokens, BudgetUnit::CostMicros, BudgetUnit::ComputeMillis]
            .into_iter()
            .map(|unit| (unit, estimate.of(unit)))
            .filter(|(_, amount)| *amount > 0)
            .collect()
    }

    /// What a person sees of the call.
    fn displayed(
        &self,
        event: &Event,
        decision: &Decision,
        args_digest: &Digest,
        key: &[u8; 32],
    ) -> Result<Displayed, SubjectError> {
        let max_cost = self.max_cost(event);
        let no_args = Object::new();
        let args = event.get(Field::Args).as_object().unwrap_or(&no_args);
        if let Some((name, _)) = args.iter().find(|(_, value)| value.has_by_reference()) {
            let reason = format!(
                "the argument `{name}` is passed by reference, so nobody can see what would run; pass a plain value"
            );
            return Err(SubjectError::Refused(Refusal::new(DenyCause::ApprovalInvalid, reason)));
        }
        let shown_args = self.redactor.object(args);
        let resources = event.get(Field::Resources).as_array().unwrap_or_default().iter();
        let resources: Vec<_> =
            resources.filter_map(Value::as_str).map(|path| self.redactor.text(path)).collect();
        let resources: Vec<&str> = resources.iter().map(|path| &**path).collect();
        let target = text_of(event, Field::Target).map(|target| self.redactor.text(target));
        let rules: Vec<&str> = decision.rules.iter().map(|rule| &*rule.name).collect();
        let shown = Shown {
            action: text_of(event, Field::Action).unwrap_or_default(),
            tool: text_of(event, Field::ToolName),
            target: target.as_deref(),
            resources: &resources,
            agent: text_of(event, Field::AgentId),
            session: text_of(event, Field::SessionId),
            tenant: text_of(event, Field::TenantId),
            risk_tier: decision.risk_tier,
            reason: &self.redactor.text(&decision.reason),
            rules: &rules,
            policy_version: &decision.policy_version,
            max_cost: &max_cost,
            args: &shown_args,
            args_digest,
        };
        display(&shown, key).map_err(|error| {
            SubjectError::Refused(Refusal::new(DenyCause::ApprovalInvalid, error.to_string()))
        })
    }

    /// The question that a channel puts to people about a call that waits: exactly what they approve.
    pub(crate) fn question(&self, refused: &Refused, entry: ApprovalEntry) -> Result<Question, Refusal> {
        let (event, decision) = (refused.request.event(), &refused.decision);
        let ledger = self.options.ledger.as_ref();
        let unread = |error: String| Refusal::new(DenyCause::AuditUnavailable, error);
        let ledger = ledger.ok_or_else(|| unread("there is no ledger".to_owned()))?;
        let tenant = text_of(event, Field::TenantId);
        let key = ledger.tenant_key(tenant).map_err(|error| unread(error.to_string()))?;
        let args = key.mac(&Digest(digest(event.get(Field::Args))));
        let displayed = match self.displayed(event, decision, &args, key.bytes()) {
            Ok(displayed) if displayed.digest == entry.displayed => displayed,
            Ok(_) => {
                let reason = format!("the request `{}` is for another call; ask anew", entry.id);
                return Err(Refusal::new(DenyCause::ApprovalInvalid, reason));
            }
            Err(SubjectError::Ledger(error)) => return Err(unread(error.to_string())),
            Err(SubjectError::Refused(refusal)) => return Err(refusal),
        };
        Ok(Question {
            entry,
            text: displayed.text,
            action_type: text_of(event, Field::Action).unwrap_or_default().into(),
            target: text_of(event, Field::Target).map(|target| Arc::from(&*self.redactor.text(target))),
            args: self.redactor.value(event.get(Field::Args)),
            reason: self.redactor.text(&decision.reason).into_owned(),
            rule: decision.rule_matched().cloned(),
        })
    }

    /// Refuses a call for which people were asked, and records that. The request itself ends too when `end` says how.
    pub(crate) fn give_up(
        self: &Arc<Self>,
        refused: Refused,
        refusal: &Refusal,
        end: Option<(ApprovalState, &str)>,
    ) -> Refused {
        let Refused { decision, request, approval } = refused;
        let decision_id = refusal::new_id();
        let decision = Decision { decision_id, ..super::denied_at_commit(&decision, refusal) };
        let Some(ledger) = &self.options.ledger else { return Refused { decision, request, approval } };
        let close = approval.clone().zip(end).map(|(approval, (state, code))| {
            let from = ApprovalState::Pending;
            LedgerOp::Close(ApprovalClosing { approval, from, state, code: code.into() })
        });
        let call = Digest(digest(request.event().get(Field::Args)));
        let ack = self.gate.ack_of(request.event()).unwrap_or(self.options.ack);
        let case = Case { request, decision, holder: None, call, ack, wants_permit: true };
        match self.commit_refusal(ledger.as_ref(), case, approval, close.into_iter().collect()) {
            Begun::Refused(refused) => refused,
            // Dropping the permit says that it was not used; a refusal gives none.
            Begun::Started(Started { decision, request, permit }) => {
                drop(permit);
                Refused { decision, request, approval: None }
            }
        }
    }
}

/// Why a call has no subject that a person could approve.
enum SubjectError {
    Ledger(LedgerError),
    Refused(Refusal),
}

impl From<LedgerError> for SubjectError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// The attributes that the escalating rules read, without what the session has done meanwhile: its spending and the
/// time move while people think, and the policies are asked again anyway.
fn attributes(case: &Case, mac: impl Fn(&Value) -> Digest) -> BTreeMap<Arc<str>, Digest> {
    const MOVING: &[&str] = &["now", "session.tool_history", "session.", "context.budget_used_"];
    case.decision
        .inputs
        .iter()
        .filter(|seen| !MOVING.iter().any(|moving| seen.field.starts_with(moving)))
        .map(|seen| (seen.field.clone(), mac(&seen.value)))
        .collect()
}
