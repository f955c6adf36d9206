//! Who it is: from the credential where there is a registrar, else as asserted.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use placet_trust::budgets::CredentialLimits;
use placet_trust::credentials::authority::{Authority, Call};
use placet_trust::credentials::broker::{BrokerError, Presented};
use placet_trust::credentials::public_id;
use placet_trust::credentials::token::{ProofId, ProofRequest};
use placet_trust::{Freshness, Ledger, LedgerError, Refusal};
use placet_types::ids::CredentialId;
use placet_types::ledger::{CredentialEntry, LedgerOp};
use placet_types::{DenyCause, Digest, Event, Field, Micros, Object, Value};

use super::{Pipeline, count_of, text_of};
use crate::digest::digest;
use crate::registrar::Registrar;

/// The verified holder of a credential.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) entry: CredentialEntry,
    pub(super) authority: Arc<Authority>,
    /// From the root to the holder.
    pub(super) lineage: Vec<CredentialId>,
    /// The same with the limits that each states.
    pub(super) limits: Vec<CredentialLimits>,
    /// The proof of possession that was shown, if one was.
    proof: Option<Arc<ShownProof>>,
}

impl Holder {
    /// The call happens: its proof is used for good.
    pub(super) fn spend_proof(&self) {
        if let Some(proof) = &self.proof {
            proof.spent.store(true, Ordering::Release);
        }
    }
}

/// A proof of possession that was accepted. Unless its call happens it is given back, so that the call may be tried
/// again, for instance when people have approved it.
struct ShownProof {
    registrar: Arc<Registrar>,
    id: ProofId,
    spent: AtomicBool,
}

impl std::fmt::Debug for ShownProof {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ShownProof")
    }
}

impl Drop for ShownProof {
    fn drop(&mut self) {
        if !*self.spent.get_mut() {
            self.registrar.give_back(&self.id);
        }
    }
}

impl Pipeline {
    /// Verifies the credential and writes what it says into the event. Callers may tighten it, never loosen it.
    pub(super) fn identify(&self, event: &mut Event) -> Result<Option<Holder>, Refusal> {
        let Some(registrar) = &self.options.credentials else { return Ok(None) };
        let holder = holder(registrar, event).map_err(|refusal| doubted(registrar, event, refusal))?;
        take_over(event, &holder.entry)?;
        Ok(Some(holder))
    }

    /// Whether the credential's own limits cover the call, whatever policies say.
    pub(super) fn check_authority(&self, event: &Event, holder: Option<&Holder>) -> Result<(), Refusal> {
        let Some(holder) = holder.filter(|_| text_of(event, Field::EventType) == Some("tool_call")) else {
            return Ok(());
        };
        let (tool, no_args) = (text_of(event, Field::ToolName).unwrap_or_default(), Object::new());
        let args = event.get(Field::Args).as_object().unwrap_or(&no_args);
        let history = event.get(Field::ToolHistory).as_array().unwrap_or_default();
        // All calls of the lineage count: too many rather than too few.
        let calls = history.iter().filter(|called| called.as_str() == Some(tool)).count() as u64;
        let call = Call { tool, args, calls, at: moment(event).unwrap_or_else(|| self.gate.now()) };
        let covered = holder.authority.covers(&call);
        covered.map_err(|breach| {
            let refusal = Refusal::new(DenyCause::CredentialValidation, breach.to_string());
            match &self.options.credentials {
                Some(registrar) => doubted(registrar, event, refusal),
                None => refusal,
            }
        })
    }

    /// The operation that shows the lineage to the ledger, where the ledger is its registry.
    pub(super) fn presentation(&self, ledger: &dyn Ledger, holder: Option<&Holder>) -> Option<LedgerOp> {
        let registry = self.options.credentials.as_ref()?.ledger();
        let same = std::ptr::addr_eq(Arc::as_ptr(registry), std::ptr::from_ref(ledger));
        holder.filter(|_| same).map(|holder| LedgerOp::Present(holder.lineage.clone()))
    }

    /// Whether credentials are still live: looked at again when a permit is spent.
    pub(super) fn still_live(&self, credentials: &[CredentialId]) -> Result<(), Refusal> {
        let (Some(registrar), false) = (&self.options.credentials, credentials.is_empty()) else {
            return Ok(());
        };
        let at = self.gate.now();
        let mut answer =
            Err(Refusal::new(DenyCause::CredentialValidation, "the credentials could not be read"));
        let read = registrar.ledger().read(Freshness::Seen, &mut |state| {
            let at = at.max(state.credentials.last_change());
            answer = state.credentials.check_chain(credentials, at).map_err(Refusal::from);
        });
        read.map_err(|error| Refusal::new(DenyCause::CredentialValidation, error.to_string()))?;
        answer
    }
}

/// A refusal by the credential. Where somebody edited its row, an ancestor's or that of a revocation, this is said
/// instead.
fn doubted(registrar: &Registrar, event: &Event, refusal: Refusal) -> Refusal {
    let (Some(token), DenyCause::CredentialValidation) = (text_of(event, Field::TokenId), refusal.cause)
    else {
        return refusal;
    };
    // Once it is verified, the event has its public id.
    let shown = registrar.broker().id_of(token);
    let ids: Vec<CredentialId> =
        [Some(token.into()), Some(public_id(token)), shown].into_iter().flatten().collect();
    let compared = registrar.ledger().compare(&mut |state| {
        let known = ids.iter().filter(|id| state.credentials.entry(id).is_some());
        known.flat_map(|id| state.credentials.rows_of(id)).collect()
    });
    match compared {
        Ok(Err(edited)) => edited,
        // It is refused in any case.
        Ok(Ok(())) | Err(_) => refusal,
    }
}

fn holder(registrar: &Arc<Registrar>, event: &Event) -> Result<Holder, Refusal> {
    let broker = registrar.broker();
    let token = text_of(event, Field::TokenId).unwrap_or_default();
    let session = text_of(event, Field::SessionId).unwrap_or_default();
    let scopes = claimed(event)?;
    let (entry, proof) = if token.contains('.') {
        let presented = present(registrar, event, token, session, &scopes)?;
        let shown =
            ShownProof { registrar: registrar.clone(), id: presented.proof, spent: AtomicBool::new(false) };
        (presented.entry, Some(Arc::new(shown)))
    } else {
        (broker.bind(token, session, &scopes).map_err(refusal)?.entry().clone(), None)
    };
    let authority = broker.authority(&entry).map_err(refusal)?;
    let limits = broker.lineage(&entry.id).map_err(refusal)?;
    let lineage = limits.iter().map(|credential| credential.id.clone()).collect();
    Ok(Holder { entry, authority, lineage, limits, proof })
}

/// A chain that another process shows, with the proof for exactly this call.
fn present(
    registrar: &Registrar,
    event: &Event,
    shown: &str,
    session: &str,
    scopes: &[Arc<str>],
) -> Result<Presented, Refusal> {
    let call = text_of(event, Field::EventType) == Some("tool_call");
    let Some(tool) = text_of(event, Field::ToolName).filter(|_| call) else {
        let reason =
            "a proof of possession covers a tool call; take the chain over with its key for other events";
        return refuse(reason);
    };
    let args = Digest(digest(event.get(Field::Args)));
    let request = ProofRequest { tool, args: &args, audience: registrar.demanded_audience() };
    registrar.broker().present(shown, session, scopes, &request).map_err(refusal)
}

/// A scope that is claimed and not held ends the matter; claiming fewer is a caller's right.
fn claimed(event: &Event) -> Result<Vec<Arc<str>>, Refusal> {
    let unreadable =
        || Refusal::new(DenyCause::CredentialValidation, "the scopes of the session must be a list of texts");
    let scopes = event.get(Field::SessionScopes).as_array().ok_or_else(unreadable)?;
    scopes.iter().map(|scope| scope.as_str().map(Arc::from).ok_or_else(unreadable)).collect()
}

fn refusal(error: BrokerError) -> Refusal {
    let cause = match &error {
        BrokerError::Ledger(LedgerError::Tampered { .. }) => DenyCause::StateTampered,
        BrokerError::Ledger(_) => DenyCause::AuditUnavailable,
        _ => DenyCause::CredentialValidation,
    };
    Refusal::new(cause, error.to_string())
}

fn take_over(event: &mut Event, entry: &CredentialEntry) -> Result<(), Refusal> {
    for (field, held) in
        [(Field::TenantId, &entry.tenant), (Field::AgentId, &entry.agent), (Field::UserRole, &entry.role)]
    {
        // A session needs a role to be stated, and an empty one states nothing.
        let states = |stated: &&str| field != Field::UserRole || !stated.is_empty();
        let stated = text_of(event, field).filter(states);
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
    // The bearer secret goes no further than here.
    event.set(Field::TokenId, &*entry.id.0);
    let parent = entry.parent.as_ref().map_or(Value::Null, |parent| Value::from(&*parent.0));
    event.set(Field::ParentTokenId, parent);
    copy_twins(event);
    Ok(())
}

fn refuse<T>(reason: &str) -> Result<T, Refusal> {
    Err(Refusal::new(DenyCause::CredentialValidation, reason))
}

/// The other vocabulary says the same.
fn copy_twins(event: &mut Event) {
    for (one, other) in [
        (Field::SessionId, Field::SessionSelfId),
        (Field::UserRole, Field::AgentRole),
        (Field::SessionScopes, Field::Scopes),
        (Field::TenantId, Field::Tenant),
        (Field::DelegationDepth, Field::ParentDepth),
    ] {
        let value = event.get(one).clone();
        event.set(other, value);
    }
}

/// The event's own time.
fn moment(event: &Event) -> Option<Micros> {
    let now: jiff::Timestamp = event.get(Field::Now).as_str()?.parse().ok()?;
    Some(Micros(now.as_microsecond()))
}
