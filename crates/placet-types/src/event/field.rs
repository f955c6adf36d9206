//! The fields of the event document, and how they are grouped.
// SPDX-License-Identifier: MIT OR Apache-2.0

macro_rules! fields {
    ($($(#[doc = $doc:literal])+ $variant:ident = $path:literal,)+) => {
        /// A field of the event document.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(usize)]
        pub enum Field { $($(#[doc = $doc])+ $variant,)+ }

        impl Field {
            /// Every field, in document order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The dotted path of the field in the document.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)+ }
            }

            /// What the field means, in one sentence.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The field at a dotted path.
            #[must_use]
            pub fn at(path: &str) -> Option<Self> {
                match path { $($path => Some(Self::$variant),)+ _ => None }
            }
        }

        /// How many fields there are.
        pub(super) const FIELDS: usize = [$(Field::$variant,)+].len();
    };
}

fields! {
    /// `tool_call`, `agent.spawn`, `agent.delegate`, `agent.plan`, `agent.budget` or `data.access`.
    EventType = "event_type",
    /// What is done.
    Action = "action",
    /// Which tool does it; `tool` is the same field.
    ToolName = "tool_name",
    /// Labels of the tool from its registration.
    ToolTags = "tool_tags",
    /// `local`, `mcp` or `http`.
    Transport = "transport",
    /// The system acted on.
    Target = "target",
    /// The bound arguments of the call.
    Args = "args",
    /// The one resource that the caller named.
    ResourcePath = "resource_path",
    /// Every declared or path-like value, nested and in plan steps too.
    Resources = "resources",
    /// What a spawned or delegated agent asks for.
    RequestedCapabilities = "requested_capabilities",
    /// To whom work is delegated.
    DelegationTarget = "delegation_target",
    /// The steps of a plan; `plan.steps` is the same field.
    Steps = "steps",
    /// The label of the data touched.
    DataClassification = "data_classification",
    /// When the event happens: RFC 3339, from an injected clock.
    Now = "now",
    /// The session; `session_id` at the top is the same field.
    SessionId = "context.session_id",
    /// The role of the caller.
    UserRole = "context.user_role",
    /// The scopes the session holds.
    SessionScopes = "context.session_scopes",
    /// Whether code runs in a verified sandbox.
    SandboxVerified = "context.sandbox_verified",
    /// The id of the credential.
    TokenId = "context.token_id",
    /// How many delegations lie between the first agent and this one; 0 is the first.
    DelegationDepth = "context.delegation_depth",
    /// The credential this one was delegated from.
    ParentTokenId = "context.parent_token_id",
    /// The session this one was delegated from.
    ParentSessionId = "context.parent_session_id",
    /// The tenant.
    TenantId = "context.tenant_id",
    /// Token budget of the session.
    BudgetTotalTokens = "context.budget_total_tokens",
    /// Tokens used.
    BudgetUsedTokens = "context.budget_used_tokens",
    /// API call budget of the session.
    BudgetTotalApiCalls = "context.budget_total_api_calls",
    /// API calls used.
    BudgetUsedApiCalls = "context.budget_used_api_calls",
    /// Cost budget of the session in cents.
    BudgetTotalCostCents = "context.budget_total_cost_cents",
    /// Cost used, in cents.
    BudgetUsedCostCents = "context.budget_used_cost_cents",
    /// Compute budget of the session in seconds.
    BudgetTotalComputeSeconds = "context.budget_total_compute_seconds",
    /// Compute seconds used.
    BudgetUsedComputeSeconds = "context.budget_used_compute_seconds",
    /// Attributes that the deployment adds; an open object.
    Attributes = "context.attributes",
    /// The session again, in the other vocabulary.
    SessionSelfId = "session.id",
    /// The agent.
    AgentId = "session.agent_id",
    /// The role of the agent.
    AgentRole = "session.agent_role",
    /// The person behind the session.
    User = "session.user",
    /// The tenant again, in the other vocabulary.
    Tenant = "session.tenant",
    /// The scopes again, in the other vocabulary.
    Scopes = "session.scopes",
    /// Tokens spent by the session.
    TokensSpent = "session.tokens_spent",
    /// API calls made by the session.
    ApiCalls = "session.api_calls",
    /// Cost of the session so far, in cents.
    Cost = "session.cost",
    /// Compute seconds of the session so far.
    ComputeSeconds = "session.compute_seconds",
    /// The tools called before, oldest first.
    ToolHistory = "session.tool_history",
    /// Depth of the agent that spawns or delegates.
    ParentDepth = "parent.depth",
    /// Session of the agent that spawns or delegates.
    ParentSelfSessionId = "parent.session_id",
}

/// How many fields stand at the top of the document; they come first.
pub(super) const TOP_FIELDS: usize = Field::SessionId as usize;

/// The name of each field within its group.
pub(super) const NAMES: [&str; FIELDS] = names();

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const fn names() -> [&'static str; FIELDS] {
    let mut names = [""; FIELDS];
    let mut index = 0;
    while index < FIELDS {
        names[index] = after_dot(Field::ALL[index].path());
        index += 1;
    }
    names
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const fn after_dot(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'.' {
            return path.split_at(index + 1).1;
        }
        index += 1;
    }
    path
}

/// An object that groups fields, and which fields those are.
pub(super) struct Group {
    pub(super) prefix: &'static str,
    pub(super) first: Field,
    last: Field,
}

/// The objects that group fields.
pub(super) const GROUPS: [Group; 3] = [
    Group { prefix: "context", first: Field::SessionId, last: Field::Attributes },
    Group { prefix: "session", first: Field::SessionSelfId, last: Field::ToolHistory },
    Group { prefix: "parent", first: Field::ParentDepth, last: Field::ParentSelfSessionId },
];

impl Group {
    /// The fields of the group.
    pub(super) fn fields(&self) -> &'static [Field] {
        Field::ALL.get(self.first as usize..=self.last as usize).unwrap_or_default()
    }
}

/// Finds a key among fields; keys mostly come in document order, so the search begins at `expected`.
pub(super) fn find(fields: &'static [Field], expected: usize, key: &str) -> Option<Field> {
    let named = |field: &&Field| NAMES.get(**field as usize) == Some(&key);
    let (before, after) = fields.split_at(expected.min(fields.len()));
    after.iter().find(named).or_else(|| before.iter().find(named)).copied()
}
