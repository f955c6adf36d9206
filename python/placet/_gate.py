"""The gate: everything that can decide, behind one way to ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from . import _core
from ._core import Diagnostic, FrozenEvent, PolicyDecision, SanitizedResponse
from ._errors import NotAvailableError
from ._evaluators import Evaluator, decide_async, decide_sync
from ._models import GovernanceEvent, PolicyEvaluator, SessionContext, ToolCallInput

PolicyPath: TypeAlias = str | os.PathLike[str]
PolicyPaths: TypeAlias = PolicyPath | Sequence[PolicyPath]


def _paths(given: PolicyPaths | None) -> list[PolicyPath]:
    if given is None:
        return []
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)


class PolicyGate:
    """Decides events: by its own policies (the embedded engine), or by asking `opa_client`.

    It never allows because something failed: whatever goes wrong is a deny with a reason.
    """

    def __init__(
        self,
        opa_client: PolicyEvaluator | None = None,
        *,
        policies: PolicyPaths | None = None,
        global_policies: PolicyPaths | None = None,
        config: PolicyPath | None = None,
        audit_log: PolicyPath | None = None,
        credential_broker: object | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        for name, value in (("audit_log", audit_log), ("credential_broker", credential_broker)):
            if value is not None:
                raise NotAvailableError(f"`{name}` is not available in this version; leave it out")
        embedded = (policies, global_policies, config, clock)
        if opa_client is not None and any(value is not None for value in embedded):
            raise ValueError(
                "give either `opa_client` or `policies`, `global_policies`, `config` and `clock`, not both"
            )
        self._engine: _core.Engine | None = None
        self._evaluator: Evaluator
        if opa_client is None:
            self._engine = _core.Engine(_paths(policies), _paths(global_policies), config, clock)
            self._evaluator = self._engine
        else:
            self._evaluator = opa_client

    async def evaluate_tool_call(self, call: ToolCallInput, context: SessionContext) -> PolicyDecision:
        """Decides a tool call."""
        return await decide_async(self._evaluator, _core.freeze_call(call, context), context)

    async def evaluate(self, event: GovernanceEvent) -> PolicyDecision:
        """Decides any event."""
        return await decide_async(self._evaluator, _core.freeze_event(event), event.context)

    async def evaluate_plan(
        self, steps: Sequence[Mapping[str, Any]], context: SessionContext
    ) -> PolicyDecision:
        """Decides a plan before any of its steps runs."""
        return await self.evaluate(_plan(steps, context))

    def decide_tool_call(self, call: ToolCallInput, context: SessionContext) -> PolicyDecision:
        """As `evaluate_tool_call`, without an event loop."""
        return decide_sync(self._evaluator, _core.freeze_call(call, context), context)

    def decide(self, event: GovernanceEvent) -> PolicyDecision:
        """As `evaluate`, without an event loop."""
        return decide_sync(self._evaluator, _core.freeze_event(event), event.context)

    def decide_plan(self, steps: Sequence[Mapping[str, Any]], context: SessionContext) -> PolicyDecision:
        """As `evaluate_plan`, without an event loop."""
        return self.decide(_plan(steps, context))

    def decide_document(self, document: str | bytes) -> PolicyDecision:
        """Decides a whole event document given as JSON, as `placet check` does.

        For tests, replays and recorded events: the document may carry any field, its `now` included, and
        whoever wrote it is believed. Only a gate with policies of its own can do so.
        """
        if self._engine is None:
            raise ValueError("`decide_document` needs a gate with `policies`; another evaluator decides here")
        return self._engine.decide_document(document)

    def sanitize_response(self, text: str) -> SanitizedResponse:
        """Looks for prompt injection in a text and takes it out."""
        return _core.sanitize_tool_output(text)

    async def health(self) -> bool:
        """Whether it could decide now."""
        return True if self._engine else await self._evaluator_of_others().health()

    def _evaluator_of_others(self) -> PolicyEvaluator:
        assert not isinstance(self._evaluator, _core.Engine)
        return self._evaluator

    def _decide(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        return decide_sync(self._evaluator, event, context)

    async def _decide_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        return await decide_async(self._evaluator, event, context)

    @property
    def policy_version(self) -> str | None:
        """The digest of exactly the policies in force; None when another evaluator decides."""
        return self._engine.policy_version if self._engine else None

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Warnings and notes about the policies in force."""
        return self._engine.findings if self._engine else ()

    @property
    def reload_failure(self) -> str | None:
        """Why the policy files as they stand now are not in force; None when they are."""
        return self._engine.reload_failure if self._engine else None

    def __repr__(self) -> str:
        by = self.policy_version if self._engine else repr(self._evaluator)
        return f"<PolicyGate {by}>"


def _plan(steps: Sequence[Mapping[str, Any]], context: SessionContext) -> GovernanceEvent:
    return GovernanceEvent(
        event_type="agent.plan",
        session_id=context.session_id,
        action="agent.plan",
        context=context,
        steps=steps,
    )
