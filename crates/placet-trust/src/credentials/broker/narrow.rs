//! What a child gets of its parent: the same for handles and for signed tokens.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::sync::Arc;

use placet_types::Micros;

use super::{BrokerError, DelegateRequest};
use crate::credentials::authority::{Authority, excess, witness};

/// Longest scope, in bytes.
const MAX_SCOPE_BYTES: usize = 256;

/// The authority of a child as it was asked for.
///
/// # Errors
/// [`BrokerError`] for what exceeds the parent, named, with an example where there is one.
pub(super) fn narrowed(
    above: &Authority,
    request: &DelegateRequest,
    now: Micros,
    max_ttl_seconds: u32,
) -> Result<Authority, BrokerError> {
    let scopes = checked(&request.session, &request.scopes, BrokerError::NothingDelegated)?;
    let forbidden = extra(scopes.iter(), |scope| above.scopes.contains(scope));
    if !forbidden.is_empty() {
        return Err(BrokerError::Scopes(forbidden));
    }
    let mut authority = Authority { scopes, ..above.clone() };
    if let Some(asked) = request.ttl_seconds {
        authority.expires = authority.expires.min(now.plus_seconds(ttl(asked, max_ttl_seconds)?));
    }
    authority.max_depth = request.max_depth.unwrap_or(above.max_depth);
    authority.budgets.extend(request.budgets.iter().map(|(name, limit)| (name.clone(), *limit)));
    if let Some(tools) = &request.tools {
        authority.tools = tools.clone();
    }
    let lines = excess(above, &authority);
    if lines.is_empty() {
        return Ok(authority);
    }
    Err(BrokerError::Exceeds { lines, found: witness(above, &authority) })
}

pub(super) fn checked(
    session: &str,
    scopes: &[Arc<str>],
    none: BrokerError,
) -> Result<BTreeSet<Arc<str>>, BrokerError> {
    if session.trim().is_empty() {
        return Err(BrokerError::NoSession);
    }
    let wrong = |scope: &&Arc<str>| scope.trim().is_empty() || scope.len() > MAX_SCOPE_BYTES;
    match scopes.iter().find(wrong) {
        Some(scope) => Err(BrokerError::Scope(scope.clone())),
        None if scopes.is_empty() => Err(none),
        None => Ok(scopes.iter().cloned().collect()),
    }
}

pub(super) fn ttl(asked: i64, limit: u32) -> Result<u32, BrokerError> {
    let seconds = u32::try_from(asked).ok().filter(|seconds| (1..=limit).contains(seconds));
    seconds.ok_or(BrokerError::Ttl { asked, limit })
}

pub(super) fn extra<'s>(
    asked: impl Iterator<Item = &'s Arc<str>>,
    is_given: impl Fn(&Arc<str>) -> bool,
) -> Vec<Arc<str>> {
    let extra: BTreeSet<_> = asked.filter(|scope| !is_given(scope)).cloned().collect();
    extra.into_iter().collect()
}
