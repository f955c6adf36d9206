"""Placet: a governance runtime for AI agents.

An agent proposes; Placet decides; nothing happens without a placet.
"""

from ._approvals import (
    ActionStatus,
    ApprovalError,
    ApprovalHandler,
    ApprovalRequest,
    AutoApprovalHandler,
    CallbackApprovalHandler,
    CLIApprovalHandler,
    DuplicateActionError,
    HITLQueue,
    PendingAction,
    WebhookApprovalHandler,
)
from ._audit import AuditLog, Erasure
from ._core import (
    Diagnostic,
    HolderKey,
    PolicyDecision,
    ResolutionStep,
    RuleRef,
    SanitizedResponse,
    __version__,
    compile_yaml,
    compile_yaml_string,
    metrics,
    sanitize_tool_output,
    sanitize_tool_schema,
)
from ._credentials import CredentialBroker, PersistentCredentialBroker, SessionToken, SignedToken
from ._errors import (
    AuditError,
    ConfigError,
    CredentialError,
    EventError,
    GovernanceError,
    NotAvailableError,
    OPAConnectionError,
    PlacetError,
    PolicyError,
    ToolError,
)
from ._evaluators import HierarchicalEvaluator, OPAClient
from ._gate import PolicyGate
from ._governed import governed
from ._memory import MemoryStore, TrustTier
from ._models import (
    Action,
    Approval,
    GovernanceEvent,
    PolicyEvaluator,
    PolicyInput,
    RiskLevel,
    RiskTier,
    SessionContext,
    ToolCallInput,
)
from ._notify import ApprovalNotice, WebhookNotifier
from ._toolbox import GovernedToolbox

__all__ = [
    "Action",
    "ActionStatus",
    "Approval",
    "ApprovalError",
    "ApprovalHandler",
    "ApprovalNotice",
    "ApprovalRequest",
    "AuditError",
    "AuditLog",
    "AutoApprovalHandler",
    "CLIApprovalHandler",
    "CallbackApprovalHandler",
    "ConfigError",
    "CredentialBroker",
    "CredentialError",
    "Diagnostic",
    "DuplicateActionError",
    "Erasure",
    "EventError",
    "GovernanceError",
    "GovernanceEvent",
    "GovernedToolbox",
    "HITLQueue",
    "HierarchicalEvaluator",
    "HolderKey",
    "MemoryStore",
    "NotAvailableError",
    "OPAClient",
    "OPAConnectionError",
    "PendingAction",
    "PersistentCredentialBroker",
    "PlacetError",
    "PolicyDecision",
    "PolicyError",
    "PolicyEvaluator",
    "PolicyGate",
    "PolicyInput",
    "ResolutionStep",
    "RiskLevel",
    "RiskTier",
    "RuleRef",
    "SanitizedResponse",
    "SessionContext",
    "SessionToken",
    "SignedToken",
    "ToolCallInput",
    "ToolError",
    "TrustTier",
    "WebhookApprovalHandler",
    "WebhookNotifier",
    "__version__",
    "compile_yaml",
    "compile_yaml_string",
    "governed",
    "metrics",
    "sanitize_tool_output",
    "sanitize_tool_schema",
]
