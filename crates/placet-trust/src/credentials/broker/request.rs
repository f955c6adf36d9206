//! What is asked of a broker, and within which limits.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::authority::Tools;
use super::super::token::DEFAULT_MAX_DEPTH;
use super::{DEFAULT_MAX_TTL_SECONDS, DEFAULT_TTL_SECONDS};

/// What the deployment allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerLimits {
    /// The longest life of a token; at most 90 days.
    pub max_ttl_seconds: u32,
    /// The greatest depth of delegation; at most 8.
    pub max_depth: u32,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self { max_ttl_seconds: DEFAULT_MAX_TTL_SECONDS, max_depth: DEFAULT_MAX_DEPTH }
    }
}

/// A new token for a session.
#[derive(Debug, Clone, PartialEq)]
pub struct IssueRequest {
    /// The session.
    pub session: Arc<str>,
    /// The scopes it gets.
    pub scopes: Vec<Arc<str>>,
    /// How long it lives.
    pub ttl_seconds: i64,
    /// The tenant.
    pub tenant: Option<Arc<str>>,
    /// The agent.
    pub agent: Option<Arc<str>>,
    /// The role.
    pub role: Option<Arc<str>>,
    /// The tools it may call; policies alone decide when it is [`Tools::Any`].
    pub tools: Tools,
    /// The most it may spend of each budget.
    pub budgets: BTreeMap<Arc<str>, u64>,
}

impl IssueRequest {
    /// A token of scopes alone, for an hour.
    pub fn new<S: Into<Arc<str>>>(session: impl Into<Arc<str>>, scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            session: session.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            ttl_seconds: DEFAULT_TTL_SECONDS,
            tenant: None,
            agent: None,
            role: None,
            tools: Tools::Any,
            budgets: BTreeMap::new(),
        }
    }
}

/// A narrower token for another session. Tenant and role are the parent's.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegateRequest {
    /// The session of the child.
    pub session: Arc<str>,
    /// The scopes it gets, all of them the parent's.
    pub scopes: Vec<Arc<str>>,
    /// How long it lives, at most as long as the parent; `None` is as long.
    pub ttl_seconds: Option<i64>,
    /// The agent that gets it.
    pub agent: Option<Arc<str>>,
    /// The greatest depth that its own children may have; `None` is the parent's.
    pub max_depth: Option<u32>,
    /// The tools it may call; `None` is the parent's.
    pub tools: Option<Tools>,
    /// The most it may spend of each budget; what is not named is the parent's.
    pub budgets: BTreeMap<Arc<str>, u64>,
}

impl DelegateRequest {
    /// A child of scopes alone, living as long as its parent.
    pub fn new<S: Into<Arc<str>>>(session: impl Into<Arc<str>>, scopes: impl IntoIterator<Item = S>) -> Self {
        Self {
            session: session.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            ttl_seconds: None,
            agent: None,
            max_depth: None,
            tools: None,
            budgets: BTreeMap::new(),
        }
    }
}
