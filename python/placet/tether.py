"""The policy engine under the ancestors' import path."""

from . import (
    GovernanceEvent,
    HierarchicalEvaluator,
    OPAClient,
    OPAConnectionError,
    PolicyDecision,
    PolicyEvaluator,
    PolicyGate,
    PolicyInput,
    ResolutionStep,
    RiskTier,
    SanitizedResponse,
    SessionContext,
    ToolCallInput,
    sanitize_tool_output,
    sanitize_tool_schema,
)

__all__ = [
    "GovernanceEvent",
    "HierarchicalEvaluator",
    "OPAClient",
    "OPAConnectionError",
    "PolicyDecision",
    "PolicyEvaluator",
    "PolicyGate",
    "PolicyInput",
    "ResolutionStep",
    "RiskTier",
    "SanitizedResponse",
    "SessionContext",
    "ToolCallInput",
    "sanitize_tool_output",
    "sanitize_tool_schema",
]
