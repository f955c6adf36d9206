"""The data that goes in: contexts, calls and events; and the enumerations of what comes out."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from . import _core
from ._core import PolicyDecision


class RiskTier(enum.StrEnum):
    """How much an event can hurt; ordered from the least to the most severe."""

    INFORMATIONAL = "INFORMATIONAL"
    OPERATIONAL = "OPERATIONAL"
    TRANSACTIONAL_LOW = "TRANSACTIONAL_LOW"
    TRANSACTIONAL_HIGH = "TRANSACTIONAL_HIGH"
    DESTRUCTIVE = "DESTRUCTIVE"
    SECURITY_CRITICAL = "SECURITY_CRITICAL"

    @property
    def severity(self) -> int:
        """0 for the least severe tier, 5 for the most severe."""
        return _SEVERITY[self]

    def __lt__(self, other: str) -> bool:
        return self.severity < RiskTier(other).severity

    def __le__(self, other: str) -> bool:
        return self.severity <= RiskTier(other).severity

    def __gt__(self, other: str) -> bool:
        return self.severity > RiskTier(other).severity

    def __ge__(self, other: str) -> bool:
        return self.severity >= RiskTier(other).severity


_SEVERITY = {tier: severity for severity, tier in enumerate(RiskTier)}


class RiskLevel(enum.IntEnum):
    """The four levels of the Match dialect."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Approval(enum.StrEnum):
    """The verdict in the words of the Match dialect."""

    AUTO = "auto"
    APPROVE = "approve"
    BLOCK = "block"


@dataclass(frozen=True)
class Action:
    """What was decided, in the words of the Match dialect."""

    type: str
    target: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, repr=False)
class SessionContext:
    """Who calls, with which scopes and budgets. Immutable: `dataclasses.replace` makes another one."""

    session_id: str
    user_role: str
    session_scopes: Sequence[str]
    sandbox_verified: bool = False
    token_id: str = field(default="", repr=False)
    delegation_depth: int = 0
    parent_token_id: str = ""
    parent_session_id: str = ""
    tenant_id: str | None = None
    agent_id: str | None = None
    user: str | None = None
    budget_total_tokens: float | None = None
    budget_used_tokens: float | None = None
    budget_total_api_calls: float | None = None
    budget_used_api_calls: float | None = None
    budget_total_cost_cents: float | None = None
    budget_used_cost_cents: float | None = None
    budget_total_compute_seconds: float | None = None
    budget_used_compute_seconds: float | None = None
    attributes: Mapping[str, Any] | None = None
    _template: _core.Context = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _CONTEXT_FIELDS}
        object.__setattr__(self, "_template", _core.Context(given))
        object.__setattr__(self, "session_scopes", tuple(self.session_scopes))

    def __repr__(self) -> str:
        shown = (f for f in dataclasses.fields(self) if f.repr and getattr(self, f.name) != f.default)
        return f"SessionContext({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_context, ({name: getattr(self, name) for name in _CONTEXT_FIELDS},)


_CONTEXT_FIELDS = tuple(item.name for item in dataclasses.fields(SessionContext) if item.init)


def _restore_context(fields: dict[str, Any]) -> SessionContext:
    return SessionContext(**fields)


@dataclass(frozen=True, kw_only=True)
class ToolCallInput:
    """A tool call to be decided. `tool_name` is the action unless given."""

    action: str
    tool_name: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    resource_path: str | None = None
    target: str | None = None
    tool_tags: Sequence[str] = ()
    transport: str | None = None
    data_classification: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyInput(ToolCallInput):
    """A tool call with its context, as evaluators receive it. Its arguments are a copy.

    `tool_history` names the tools that the session was allowed to call before, oldest first.
    """

    context: SessionContext
    tool_history: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class GovernanceEvent:
    """Any event to be decided: a tool call, a spawn, a delegation, a plan, a budget draw or a data access."""

    event_type: str
    session_id: str
    context: SessionContext
    action: str | None = None
    tool_name: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    resource_path: str | None = None
    requested_capabilities: Sequence[str] = ()
    delegation_target: str | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    data_classification: str | None = None
    target: str | None = None
    tool_tags: Sequence[str] = ()
    transport: str | None = None
    tool_history: Sequence[str] = ()


@runtime_checkable
class PolicyEvaluator(Protocol):
    """What a gate can ask instead of its own policies. Whatever it raises or gets wrong, the gate denies."""

    async def health(self) -> bool:
        """Whether it could decide now."""
        ...

    async def evaluate(self, policy_input: PolicyInput, /) -> PolicyDecision:
        """Decides a tool call."""
        ...

    async def evaluate_event(self, event: GovernanceEvent, /) -> PolicyDecision:
        """Decides any other event."""
        ...
