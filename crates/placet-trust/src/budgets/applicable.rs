//! Which budgets a call draws from.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_types::CredentialId;
use placet_types::ledger::{Amount, BudgetKey, BudgetScope, BudgetUnit};

use super::rule::{BudgetRule, Estimate};
use crate::sessions::{SessionKey, credential_owner, owner};

/// Who spends, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spender<'a> {
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The session as it was stated; looked at only when no credential is shown.
    pub session: Option<&'a str>,
    /// The agent.
    pub agent: Option<&'a str>,
    /// The tool.
    pub tool: Option<&'a str>,
    /// The credentials shown, from the root to the holder, each with the limits that it states.
    pub lineage: &'a [CredentialLimits],
    /// Limits that the session's context states.
    pub stated: &'a [(BudgetUnit, u64)],
}

/// A credential with the limits that it states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialLimits {
    /// Which credential.
    pub id: CredentialId,
    /// The most that it and its descendants may spend together.
    pub limits: BTreeMap<BudgetUnit, u64>,
}

impl Spender<'_> {
    /// Under which name the session's history and budgets are kept.
    #[must_use]
    pub fn session_key(&self) -> Option<SessionKey> {
        match (self.lineage.first(), self.session) {
            (Some(root), _) => Some(SessionKey::lineage(&root.id)),
            (None, Some(session)) => Some(SessionKey::stated(self.tenant, session)),
            (None, None) => None,
        }
    }

    /// The owner of the spender's budget in a scope. A name that is not known is the empty one: those who have none
    /// share a budget, and nobody escapes it.
    fn owner(&self, scope: BudgetScope) -> Arc<str> {
        match scope {
            BudgetScope::Session => self.session_key().map_or_else(|| owner(self.tenant, ""), |key| key.0),
            BudgetScope::Agent => owner(self.tenant, self.agent.unwrap_or_default()),
            BudgetScope::Tool => owner(self.tenant, self.tool.unwrap_or_default()),
            BudgetScope::Tenant => owner(None, self.tenant.unwrap_or_default()),
            BudgetScope::Organisation => Arc::from(""),
        }
    }

    fn name(&self, scope: BudgetScope) -> &str {
        match scope {
            BudgetScope::Session => self.session,
            BudgetScope::Agent => self.agent,
            BudgetScope::Tool => self.tool,
            BudgetScope::Tenant => self.tenant,
            BudgetScope::Organisation => None,
        }
        .unwrap_or_default()
    }
}

/// Every amount that a call takes, in the order of their keys: of the session with all that its lineage states, and of
/// each rule that concerns the spender. A session budget without a limit and of which nothing is expected is left out;
/// what it turns out to cost is charged by the settlement all the same.
#[must_use]
pub fn applicable(spender: &Spender<'_>, rules: &[BudgetRule], estimate: &Estimate) -> Vec<Amount> {
    let mut amounts: Vec<Amount> = Vec::new();
    let mut add = |key: BudgetKey, limit: Option<u64>| {
        amounts.push(Amount { amount: estimate.of(key.unit), key, limit });
    };
    let forever = |owner: &Arc<str>, unit| BudgetKey {
        scope: BudgetScope::Session,
        owner: owner.clone(),
        unit,
        window: None,
    };
    if let Some(SessionKey(owner)) = spender.session_key() {
        for unit in BudgetUnit::ALL {
            if estimate.of(unit) > 0 {
                add(forever(&owner, unit), None);
            }
        }
        for (unit, limit) in spender.stated {
            add(forever(&owner, *unit), Some(*limit));
        }
    }
    for credential in spender.lineage {
        let owner = credential_owner(&credential.id);
        for (unit, limit) in &credential.limits {
            add(forever(&owner, *unit), Some(*limit));
        }
    }
    for rule in rules {
        if rule.of.as_ref().is_none_or(|of| &**of == spender.name(rule.scope)) {
            let owner = spender.owner(rule.scope);
            add(
                BudgetKey { scope: rule.scope, owner, unit: rule.unit, window: rule.window },
                Some(rule.limit),
            );
        }
    }
    amounts.sort_by(|one, other| one.key.cmp(&other.key));
    amounts.dedup_by(|again, first| {
        let same = again.key == first.key;
        if same {
            first.limit = tighter(first.limit, again.limit);
        }
        same
    });
    amounts
}

/// The limit that holds where there are two.
fn tighter(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
