//! The type that each field of the event document has.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Field;

/// The type of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    List,
    Object,
}

impl Kind {
    /// The type of a field.
    pub(crate) fn of(field: Field) -> Self {
        use Field as F;
        match field {
            F::ToolTags
            | F::Resources
            | F::RequestedCapabilities
            | F::Steps
            | F::SessionScopes
            | F::Scopes
            | F::ToolHistory => Self::List,
            F::Args | F::Attributes => Self::Object,
            F::SandboxVerified => Self::Flag,
            F::DelegationDepth
            | F::ParentDepth
            | F::BudgetTotalTokens
            | F::BudgetUsedTokens
            | F::BudgetTotalApiCalls
            | F::BudgetUsedApiCalls
            | F::BudgetTotalCostCents
            | F::BudgetUsedCostCents
            | F::BudgetTotalComputeSeconds
            | F::BudgetUsedComputeSeconds
            | F::TokensSpent
            | F::ApiCalls
            | F::Cost
            | F::ComputeSeconds => Self::Number,
            F::EventType
            | F::Action
            | F::ToolName
            | F::Transport
            | F::Target
            | F::ResourcePath
            | F::DelegationTarget
            | F::DataClassification
            | F::Now
            | F::SessionId
            | F::UserRole
            | F::TokenId
            | F::ParentTokenId
            | F::ParentSessionId
            | F::TenantId
            | F::SessionSelfId
            | F::AgentId
            | F::AgentRole
            | F::User
            | F::Tenant
            | F::ParentSelfSessionId => Self::Text,
        }
    }
}
