"""Placet: a governance runtime for AI agents.

An agent proposes; Placet decides; nothing happens without a placet.
"""

from ._approvals import ActionStatus, ApprovalError, DuplicateActionError, HITLQueue, PendingAction
from ._core import (
    Diagnostic,
    PolicyDecision,
    ResolutionStep,
    RuleRef,
    SanitizedResponse,
    __version__,
    compile_yaml,
    compile_yaml_string,
    sanitize_tool_output,
    sanitize_tool_schema,
)
from ._errors import (
    ConfigError,
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
from ._toolbox import GovernedToolbox

__all__ = [
    "Action",
    "ActionStatus",
    "Approval",
    "ApprovalError",
    "ConfigError",
    "Diagnostic",
    "DuplicateActionError",
    "EventError",
    "GovernanceError",
    "GovernanceEvent",
    "GovernedToolbox",
    "HITLQueue",
    "HierarchicalEvaluator",
    "NotAvailableError",
    "OPAClient",
    "OPAConnectionError",
    "PendingAction",
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
    "ToolCallInput",
    "ToolError",
    "__version__",
    "compile_yaml",
    "compile_yaml_string",
    "governed",
    "sanitize_tool_output",
    "sanitize_tool_schema",
]
