//! Who it is: from the credential where there is a registry, else as asserted.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_trust::budgets::CredentialLimits;
use placet_trust::credentials::public_id;
use placet_trust::{Freshness, Ledger, Refusal};
use placet_types::ids::{CredentialId, Digest};
use placet_types::ledger::{CredentialEntry, LedgerOp};
use placet_types::{DenyCause, Event, Field, Value};

use super::{Pipeline, count_of, text_of};

/// The verified holder of a credential.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) id: CredentialId,
    /// From the root to the holder.
    pub(super) lineage: Vec<CredentialId>,
    /// The same with the limits that each states.
    pub(super) limits: Vec<CredentialLimits>,
    pub(super) authority: Digest,
}

impl Pipeline {
    /// Verifies the credential and writes what it says into the event. Callers may tighten it, never loosen it.
    pub(super) fn identify(&self, event: &mut Event) -> Result<Option<Holder>, Refusal> {
        let Some(registry) = &self.options.credentials else { return Ok(None) };
        let shown = text_of(event, Field::TokenId).unwrap_or_default();
        if shown.is_empty() {
            return refuse("no credential was shown; pass the token that the broker issued as `token_id`");
        }
        let id = public_id(shown);
        let at = self.gate.now();
        let mut found = None;
        registry
            .read(Freshness::Now, &mut |state| {
                found = Some(state.credentials.live(&id, at).map(|entry| {
                    let lineage = state.credentials.lineage(&id);
                    (entry.clone(), lineage)
                }));
            })
            .map_err(|error| Refusal::new(DenyCause::CredentialValidation, error.to_string()))?;
        let Some(found) = found else { return refuse("the credentials could not be read") };
        let (entry, lineage) = found?;
        take_over(event, &entry)?;
        event.set(Field::TokenId, &*entry.id.0);
        let limits =
            lineage.iter().map(|id| CredentialLimits { id: id.clone(), limits: BTreeMap::new() }).collect();
        Ok(Some(Holder { id: entry.id, lineage, limits, authority: entry.authority }))
    }

    /// The operation that shows the lineage to the ledger, where the ledger is its registry.
    pub(super) fn presentation(&self, ledger: &dyn Ledger, holder: Option<&Holder>) -> Option<LedgerOp> {
        let registry = self.options.credentials.as_ref()?;
        let same = std::ptr::addr_eq(Arc::as_ptr(registry), std::ptr::from_ref(ledger));
        holder.filter(|_| same).map(|holder| LedgerOp::Present(holder.lineage.clone()))
    }
}

fn refuse<T>(reason: &str) -> Result<T, Refusal> {
    Err(Refusal::new(DenyCause::CredentialValidation, reason))
}

fn take_over(event: &mut Event, entry: &CredentialEntry) -> Result<(), Refusal> {
    if text_of(event, Field::SessionId) != Some(&entry.session) {
        let shown = text_of(event, Field::SessionId).unwrap_or_default();
        return refuse(&format!(
            "the credential was issued to another session than `{shown}`; use the session's own"
        ));
    }
    check_scopes(event, entry)?;
    for (field, held) in
        [(Field::TenantId, &entry.tenant), (Field::AgentId, &entry.agent), (Field::UserRole, &entry.role)]
    {
        let stated = text_of(event, field);
        match (held, stated) {
            (Some(held), Some(stated)) if &**held != stated => {
                return refuse(&format!("the credential says another `{}` than `{stated}`", field.path()));
            }
            (Some(held), _) => event.set(field, &**held),
            // A tenant that the credential does not know is somebody else's.
            (None, Some(stated)) if field == Field::TenantId => {
                return refuse(&format!("the credential is of no tenant, and not of `{stated}`"));
            }
            (None, _) => {}
        }
    }
    let depth = count_of(event, Field::DelegationDepth).unwrap_or(0).max(u64::from(entry.depth));
    event.set(Field::DelegationDepth, Value::from_i128(i128::from(depth)));
    copy_twins(event);
    Ok(())
}

/// A scope that is claimed and not held ends the matter; claiming fewer is a caller's right.
fn check_scopes(event: &Event, entry: &CredentialEntry) -> Result<(), Refusal> {
    let Some(claimed) = event.get(Field::SessionScopes).as_array() else {
        return refuse("the scopes of the session must be a list of texts");
    };
    for scope in claimed {
        let held = scope.as_str().is_some_and(|scope| entry.scopes.iter().any(|held| &**held == scope));
        if !held {
            let named = scope.as_str().unwrap_or("a scope that is no text");
            return refuse(&format!(
                "the credential does not hold the scope `{named}`; claim only scopes that it holds"
            ));
        }
    }
    Ok(())
}

/// The other vocabulary says the same.
fn copy_twins(event: &mut Event) {
    for (one, other) in [
        (Field::SessionId, Field::SessionSelfId),
        (Field::UserRole, Field::AgentRole),
        (Field::SessionScopes, Field::Scopes),
        (Field::TenantId, Field::Tenant),
    ] {
        let value = event.get(one).clone();
        event.set(other, value);
    }
    let depth = event.get(Field::DelegationDepth).clone();
    event.set(Field::ParentDepth, depth);
}
