//! What is approved: one digest over everything that matters.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_types::decision::{ReviewerGroup, RiskTier};
use placet_types::ledger::{ApprovalEntry, BudgetUnit, Escalation, Quorum, VoteStrength};
use placet_types::{ApprovalId, CredentialId, Digest, Micros, RecordId};
use serde::{Deserialize, Serialize};

use super::encoding::{Fields, mac};

/// Everything that an approval is bound to. If one field differs when the call runs, the approval is for another call.
///
/// Digests of arguments and attributes are HMACs under the tenant's key, since the log keeps what is made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSubject {
    /// The tenant.
    pub tenant: Option<Arc<str>>,
    /// The session.
    pub session: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The credentials from the root to the holder.
    pub lineage: Vec<CredentialId>,
    /// The digest of the holder's authority.
    pub authority: Option<Digest>,
    /// `tool_call`, `agent.spawn`, `agent.delegate`, `agent.plan`, `agent.budget` or `data.access`.
    pub kind: Arc<str>,
    /// What is to be done.
    pub action: Arc<str>,
    /// The id of the tool, with its server where it has one.
    pub tool: Option<Arc<str>>,
    /// The digest of the tool's definition.
    pub tool_definition: Option<Digest>,
    /// The digest of the identity of the server that runs the tool.
    pub server_identity: Option<Digest>,
    /// What it is done to.
    pub target: Option<Arc<str>>,
    /// HMAC of the digest of the frozen arguments.
    pub args: Digest,
    /// The resources, resolved.
    pub resources: BTreeSet<Arc<str>>,
    /// For each attribute that the escalating rules read, the HMAC of its value.
    pub attributes: BTreeMap<Arc<str>, Digest>,
    /// The digest of the policies that decided.
    pub policy_version: Arc<str>,
    /// The escalating rules: exactly those that the approval satisfies.
    pub rules: BTreeSet<Arc<str>>,
    /// Who must say yes.
    pub quorums: Vec<Quorum>,
    /// The weakest kind of vote that counts as a yes.
    pub strength: VoteStrength,
    /// The group to which it goes when nobody answers.
    pub escalates_to: Option<ReviewerGroup>,
    /// Who asks, and so may not answer.
    pub requesters: BTreeSet<Arc<str>>,
    /// The most that it may cost, by unit.
    pub max_cost: BTreeMap<BudgetUnit, u64>,
    /// The digest of what is shown to the approver.
    pub displayed: Digest,
}

/// The terms of one request, beside its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The id of the request.
    pub id: ApprovalId,
    /// The decision that escalated.
    pub decision: RecordId,
    /// The risk tier of that decision.
    pub risk_tier: RiskTier,
    /// When it is asked.
    pub asked_us: Micros,
    /// From when on it is dead.
    pub expires_us: Micros,
    /// When reviewers are reminded.
    pub remind_us: Option<Micros>,
    /// When it goes to the group of [`ApprovalSubject::escalates_to`].
    pub escalate_us: Option<Micros>,
    /// When an answer is overdue.
    pub due_us: Option<Micros>,
}

impl ApprovalSubject {
    /// The digest that is approved: SHA-256 over every field and the expiry.
    #[must_use]
    pub fn digest(&self, expires_us: Micros) -> Digest {
        let mut fields = self.fields("placet.approval.v1");
        fields.moment(expires_us);
        fields.sha256()
    }

    /// The same without the expiry, as an HMAC under the tenant's key: equal for a repeated call.
    #[must_use]
    pub fn request_key(&self, tenant_key: &[u8; 32]) -> Digest {
        mac(tenant_key, self.fields("placet.approval.request.v1").as_bytes())
    }

    /// The request for this subject.
    #[must_use]
    pub fn request(&self, terms: Terms, tenant_key: &[u8; 32]) -> ApprovalEntry {
        self.with_key(terms, self.request_key(tenant_key))
    }

    fn with_key(&self, terms: Terms, request_key: Digest) -> ApprovalEntry {
        let escalate = terms.escalate_us.zip(self.escalates_to.clone());
        ApprovalEntry {
            id: terms.id,
            digest: self.digest(terms.expires_us),
            request_key,
            displayed: self.displayed,
            decision: terms.decision,
            tenant: self.tenant.clone(),
            session: self.session.clone(),
            agent: self.agent.clone(),
            action: self.action.clone(),
            tool: self.tool.clone(),
            risk_tier: terms.risk_tier,
            rules: self.rules.iter().cloned().collect(),
            policy_version: self.policy_version.clone(),
            quorums: self.quorums.clone(),
            strength: self.strength,
            requesters: self.requesters.iter().cloned().collect(),
            asked_us: terms.asked_us,
            expires_us: terms.expires_us,
            remind_us: terms.remind_us,
            escalate: escalate.map(|(at_us, group)| Escalation { at_us, group }),
            due_us: terms.due_us,
        }
    }

    /// Whether a request is the one for this subject: its digest, and every field of it that follows from the subject.
    ///
    /// The pipeline asks this of the call that is to run, before it consumes; a viewer asks it of the subject that it
    /// read beside the request, before it shows it.
    #[must_use]
    pub fn is_of(&self, entry: &ApprovalEntry) -> bool {
        let terms = Terms {
            id: entry.id.clone(),
            decision: entry.decision.clone(),
            risk_tier: entry.risk_tier,
            asked_us: entry.asked_us,
            expires_us: entry.expires_us,
            remind_us: entry.remind_us,
            escalate_us: entry.escalate.as_ref().map(|escalation| escalation.at_us),
            due_us: entry.due_us,
        };
        self.with_key(terms, entry.request_key) == *entry
    }

    fn fields(&self, domain: &str) -> Fields {
        // Taken apart by name, so that a new field does not compile until it is covered.
        let Self {
            tenant,
            session,
            agent,
            lineage,
            authority,
            kind,
            action,
            tool,
            tool_definition,
            server_identity,
            target,
            args,
            resources,
            attributes,
            policy_version,
            rules,
            quorums,
            strength,
            escalates_to,
            requesters,
            max_cost,
            displayed,
        } = self;
        let mut fields = Fields::of(domain);
        for text in [tenant, session, agent] {
            fields.option(text.as_deref(), Fields::text);
        }
        fields.list(lineage.iter(), |fields, id| fields.text(&id.0));
        fields.option(authority.as_ref(), Fields::digest);
        fields.text(kind);
        fields.text(action);
        fields.option(tool.as_deref(), Fields::text);
        fields.option(tool_definition.as_ref(), Fields::digest);
        fields.option(server_identity.as_ref(), Fields::digest);
        fields.option(target.as_deref(), Fields::text);
        fields.digest(args);
        fields.list(resources.iter(), |fields, text| fields.text(text));
        fields.list(attributes.iter(), |fields, (name, value)| {
            fields.text(name);
            fields.digest(value);
        });
        fields.text(policy_version);
        fields.list(rules.iter(), |fields, text| fields.text(text));
        fields.list(quorums.iter(), write_quorum);
        fields.text(&strength.to_string());
        fields.option(escalates_to.as_ref(), |fields, group| fields.text(&group.0));
        fields.list(requesters.iter(), |fields, text| fields.text(text));
        fields.list(max_cost.iter(), |fields, (unit, amount)| {
            fields.text(unit_word(*unit));
            fields.number(*amount);
        });
        fields.digest(displayed);
        fields
    }
}

fn write_quorum(fields: &mut Fields, quorum: &Quorum) {
    let Quorum { any_of, count } = quorum;
    fields.list(any_of.iter(), |fields, group| fields.text(&group.0));
    fields.number(u64::from(*count));
}

/// The word for a unit, as shown and as hashed.
pub(super) fn unit_word(unit: BudgetUnit) -> &'static str {
    match unit {
        BudgetUnit::Tokens => "tokens",
        BudgetUnit::ApiCalls => "api_calls",
        BudgetUnit::CostMicros => "cost_micros",
        BudgetUnit::ComputeMillis => "compute_millis",
    }
}
