//! One event, end to end: verify the credential, add the attributes, decide, commit, and only then let it run.
//!
//! [`Pipeline::begin`] answers with a refusal or with a [`Permit`]; the enforcement point spends the permit on the very
//! arguments that were decided, and finishes it with an outcome. Every path goes through here: decorator, toolbox,
//! adapters, proxies. Nothing runs without a committed record, and what fails on the way is a deny with a cause.
//!
//! It asks nobody and shows nothing: channels of approval and telemetry look on from outside, and cannot change an
//! outcome.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod escalation;
mod facts;
mod identity;
mod kept;
mod outcomes;
mod permit;
mod prepared;
mod recording;
pub mod spending;
mod trouble;
mod viewing;
mod watched;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use placet_content::Redactor;
use placet_policy::Request;
use placet_trust::budgets::BudgetRule;
use placet_trust::{Ledger, LedgerError, Proposal, Refusal};
use placet_types::ids::{ApprovalId, Digest};
use placet_types::ledger::LedgerOp;
use placet_types::{Ack, Decision, DenyCause, Event, Field, Identity, RiskTier, Verdict, process};

use crate::config::{Config, ConfigError};
use crate::digest::digest;
use crate::files;
use crate::gate::Gate;
use crate::refusal;
use crate::registrar::Registrar;
use crate::telemetry::Observer;

pub use escalation::ApprovalTerms;
pub use facts::{SESSION_FACTS, spent};
pub use permit::{Effect, PERMIT_SECONDS, Permit};
pub use prepared::{Prepared, Stated};
pub use recording::Outcome;

use facts::{add_history, count_of, text_of};
use identity::Holder;
use kept::Descriptions;
use outcomes::{Origin, Owed};
use permit::Granted;
use prepared::Settled;
use recording::{Extras, decision_record};

/// What the pipeline of one deployment is made of, besides its policies.
#[derive(Clone, Default)]
pub struct PipelineOptions {
    /// Where decisions and outcomes are recorded. Without one nothing is recorded, counted or approved.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Who issues credentials; with a registrar, every event must show one.
    pub credentials: Option<Arc<Registrar>>,
    /// The budgets of the deployment.
    pub budgets: Vec<BudgetRule>,
    /// Takes secrets and personal data out of what is stored.
    pub redactor: Option<Redactor>,
    /// How safe a record must be before its effect begins, unless the tool says otherwise.
    pub ack: Ack,
    /// The terms on which people are asked.
    pub approvals: ApprovalTerms,
    /// Who looks on. They can change no outcome.
    pub observers: Vec<Arc<dyn Observer>>,
}

impl PipelineOptions {
    /// What `placet.yaml` says of it, over a ledger.
    ///
    /// # Errors
    /// [`ConfigError`] names the file of patterns that cannot be read, or what is wrong in it.
    pub fn of_config(config: &Config, ledger: Option<Arc<dyn Ledger>>) -> Result<Self, ConfigError> {
        let mut packs = Vec::new();
        for path in config.redaction.to_vec() {
            packs.push(files::read(&path)?.text);
        }
        let texts: Vec<&str> = packs.iter().map(|text| &**text).collect();
        let redactor = if texts.is_empty() { Redactor::builtin() } else { Redactor::with(&texts)? };
        Ok(Self {
            ledger,
            credentials: None,
            budgets: config.budgets.clone(),
            redactor: Some(redactor),
            ack: config.ack.unwrap_or_default(),
            approvals: ApprovalTerms::of_config(&config.approvals),
            observers: Vec::new(),
        })
    }
}

/// The policies of a deployment with everything that stands behind them.
pub struct Pipeline {
    gate: Gate,
    options: PipelineOptions,
    redactor: Redactor,
    descriptions: Descriptions,
    /// Outcomes that could not be recorded. While there are any, nothing new begins.
    owed: Mutex<Vec<Owed>>,
    troubles: trouble::Troubles,
}

/// The answer to an event.
pub enum Begun {
    /// It may not happen.
    Refused(Refused),
    /// It may happen, once.
    Started(Started),
}

/// An event that may not happen.
pub struct Refused {
    /// Why.
    pub decision: Decision,
    /// The question that was decided.
    pub request: Request,
    /// The request for approval, when people were asked.
    pub approval: Option<ApprovalId>,
}

/// An event that may happen.
pub struct Started {
    /// Why.
    pub decision: Decision,
    /// The question that was decided.
    pub request: Request,
    /// The proof, to be spent once.
    pub permit: Permit,
}

/// One event on its way, with everything known of it.
#[derive(Clone)]
struct Case {
    request: Request,
    decision: Decision,
    holder: Option<Holder>,
    /// The digest of the frozen arguments.
    call: Digest,
    ack: Ack,
    /// Whether a permit is wanted; otherwise only the decision is recorded.
    wants_permit: bool,
}

impl Pipeline {
    /// A pipeline over a gate.
    #[must_use]
    pub fn new(gate: Gate, options: PipelineOptions) -> Self {
        let redactor = options.redactor.clone().unwrap_or_else(Redactor::builtin);
        let (descriptions, troubles) = (Descriptions::default(), trouble::Troubles::default());
        Self { gate, options, redactor, descriptions, owed: Mutex::default(), troubles }
    }

    /// The policies.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where it records, if anywhere.
    #[must_use]
    pub fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        self.options.ledger.as_ref()
    }

    /// Decides an event of which that much is settled.
    fn judge(&self, event: Event, settled: &Settled) -> (Decision, Request) {
        match &settled.refusal {
            // Policies may deny an off-plan call harder.
            Some(refusal) if refusal.cause != DenyCause::OffPlan => {
                (self.denied(refusal), Request::new(event))
            }
            _ => {
                let history = settled.history.as_ref();
                self.gate.judge_told(event, settled.bad_now, &|event| add_history(event, history))
            }
        }
    }

    fn denied(&self, refusal: &Refusal) -> Decision {
        refusal::precondition(refusal.cause, refusal.reason.clone(), self.gate.policy_version())
    }

    /// The second half of [`Pipeline::begin`]: commits the decision with what it takes, and gives a permit if it is
    /// an allow. A refusal of the first half stands, whatever the decision.
    pub fn conclude(self: &Arc<Self>, prepared: Prepared, decision: Decision, request: Request) -> Begun {
        self.commit_case(self.case(prepared.settled, decision, request, true))
    }

    /// Records a decision that was only asked for.
    pub fn note(self: &Arc<Self>, prepared: Prepared, decision: Decision, request: Request) -> Refused {
        self.commit_note(self.case(prepared.settled, decision, request, false))
    }

    fn commit_note(self: &Arc<Self>, case: Case) -> Refused {
        match self.commit_case(case) {
            Begun::Refused(refused) => refused,
            Begun::Started(Started { decision, request, permit }) => {
                permit.discard();
                Refused { decision, request, approval: None }
            }
        }
    }

    /// From here on the history of the session is not held any more, so that the ledger adds to it in place.
    fn case(&self, settled: Settled, decision: Decision, request: Request, wants_permit: bool) -> Case {
        let mut decision = match &settled.refusal {
            Some(refusal) if !matches!(decision.verdict, Verdict::Deny { .. }) => self.denied(refusal),
            _ => decision,
        };
        decision.identity = if settled.holder.is_some() { Identity::Verified } else { Identity::Asserted };
        let call = Digest(digest(request.event().get(Field::Args)));
        let ack = self.gate.ack_of(request.event()).unwrap_or(self.options.ack);
        Case { request, decision, holder: settled.holder, call, ack, wants_permit }
    }

    fn commit_case(self: &Arc<Self>, case: Case) -> Begun {
        let Some(ledger) = &self.options.ledger else { return self.unrecorded(case) };
        if let Err(error) = self.pay_debts(ledger.as_ref()) {
            return self.unavailable(case, &error);
        }
        match &case.decision.verdict {
            Verdict::Allow => self.commit_allow(ledger.as_ref(), case, None),
            Verdict::Deny { .. } => self.commit_refusal(ledger.as_ref(), case, None, Vec::new()),
            Verdict::Escalate { .. } => self.escalate(ledger.as_ref(), case),
        }
    }

    /// Without a ledger an escalation has nobody to ask.
    fn unrecorded(self: &Arc<Self>, case: Case) -> Begun {
        if case.decision.verdict != Verdict::Allow {
            let Case { decision, request, .. } = case;
            return Begun::Refused(Refused { decision, request, approval: None });
        }
        let origin = Origin::unrecorded(case.ack);
        self.started(case, origin)
    }

    /// Commits an allow with its budgets, and with the approval that it uses, if it needs one.
    fn commit_allow(self: &Arc<Self>, ledger: &dyn Ledger, case: Case, approval: Option<LedgerOp>) -> Begun {
        let approved = match &approval {
            Some(LedgerOp::Consume(consumption)) => Some(consumption.approval.clone()),
            _ => None,
        };
        let reservation = if case.wants_permit { self.reservation(&case) } else { None };
        let extras = match self.extras(ledger, &case, approved) {
            Ok(extras) => Extras { permit: case.wants_permit, ..extras },
            Err(error) => return self.unavailable(case, &error),
        };
        let mut record = decision_record(case.request.event(), &case.decision, extras.clone());
        record.ops.extend(self.presentation(ledger, case.holder.as_ref()));
        record.ops.extend(approval);
        let reserved = reservation.as_ref().map(|taken| taken.amounts.clone()).unwrap_or_default();
        record.ops.extend(reservation.map(LedgerOp::Reserve));
        let origin = Origin::of(&record, reserved, case.ack);
        let (view, besides) = self.view(ledger, &case, None);
        let case = Arc::new(case);
        let fallback = self.fallback(&case, extras, besides);
        let proposal = Proposal { record, view: Some(view), personal: Vec::new(), fallback: Some(fallback) };
        let committed = ledger.commit(proposal, case.ack);
        let case = Arc::unwrap_or_clone(case);
        match committed {
            Err(error) => self.unavailable(case, &error),
            Ok(receipt) => match receipt.refused {
                Some(refusal) => self.refused_at_commit(case, &refusal),
                None => self.started(case, origin),
            },
        }
    }

    fn refused_at_commit(&self, case: Case, refusal: &Refusal) -> Begun {
        let decision = denied_at_commit(&case.decision, refusal);
        Begun::Refused(Refused { decision, request: case.request, approval: None })
    }

    /// Commits a deny or an escalation, with the request for approval that goes with it.
    fn commit_refusal(
        &self,
        ledger: &dyn Ledger,
        case: Case,
        approval: Option<ApprovalId>,
        ops: Vec<LedgerOp>,
    ) -> Begun {
        self.commit_refusal_with(ledger, case, approval, ops, None)
    }

    /// As [`Self::commit_refusal`], with what the approver is shown.
    fn commit_refusal_with(
        &self,
        ledger: &dyn Ledger,
        case: Case,
        approval: Option<ApprovalId>,
        ops: Vec<LedgerOp>,
        question: Option<serde_json::Value>,
    ) -> Begun {
        let extras = match self.extras(ledger, &case, approval.clone()) {
            Ok(extras) => extras,
            Err(error) => return self.unavailable(case, &error),
        };
        let mut record = decision_record(case.request.event(), &case.decision, extras.clone());
        record.ops = ops;
        let (view, besides) = self.view(ledger, &case, question.as_ref());
        let case = Arc::new(case);
        let fallback = (!record.ops.is_empty()).then(|| self.fallback(&case, extras, besides));
        let proposal = Proposal { record, view: Some(view), personal: Vec::new(), fallback };
        let committed = ledger.commit(proposal, case.ack);
        let case = Arc::unwrap_or_clone(case);
        match committed {
            Err(error) => self.unavailable(case, &error),
            Ok(receipt) => match receipt.refused {
                Some(refusal) => self.refused_at_commit(case, &refusal),
                None => {
                    let Case { decision, request, .. } = case;
                    Begun::Refused(Refused { decision, request, approval })
                }
            },
        }
    }

    fn extras(
        &self,
        ledger: &dyn Ledger,
        case: &Case,
        approval: Option<ApprovalId>,
    ) -> Result<Extras, LedgerError> {
        let tenant = case.request.event().get(Field::TenantId).as_str();
        let args = ledger.tenant_key(tenant)?.mac(&case.call);
        let credential = case.holder.as_ref().map(|holder| holder.entry.id.clone());
        Ok(Extras { args: Some(args), credential, approval, permit: false })
    }

    /// The record could not be committed, so nothing may happen.
    fn unavailable(&self, case: Case, error: &LedgerError) -> Begun {
        let cause = match error {
            LedgerError::Tampered { .. } => DenyCause::StateTampered,
            _ => DenyCause::AuditUnavailable,
        };
        tracing::error!(target: "placet::pipeline", %error, "a decision was not recorded, and refused");
        self.refused_at_commit(case, &Refusal::new(cause, error.to_string()))
    }

    fn started(self: &Arc<Self>, case: Case, origin: Origin) -> Begun {
        if let Some(holder) = case.holder.as_ref().filter(|_| case.wants_permit) {
            holder.spend_proof();
        }
        let permit = Permit::new(Granted {
            pipeline: self.clone(),
            origin,
            call: case.call,
            policy_version: self.gate.policy_version(),
            credentials: case.holder.map(|holder| holder.lineage).unwrap_or_default(),
            process: process::id(),
            granted: Instant::now(),
            watched: None,
        });
        Begun::Started(Started { decision: case.decision, request: case.request, permit })
    }
}

/// The decision when a precondition failed: hard where no other request would fare better.
fn denied_at_commit(decision: &Decision, refusal: &Refusal) -> Decision {
    let soft = matches!(
        refusal.cause,
        DenyCause::BudgetExhausted
            | DenyCause::RateLimited
            | DenyCause::ApprovalInvalid
            | DenyCause::ApprovalExpired
            | DenyCause::ApprovalTimeout
            | DenyCause::ApprovalFailed
    );
    Decision {
        verdict: Verdict::Deny { hard: !soft, cause: refusal.cause },
        reason: refusal.reason.clone(),
        risk_tier: if soft { decision.risk_tier } else { RiskTier::SecurityCritical },
        rules: Vec::new(),
        ..decision.clone()
    }
}
