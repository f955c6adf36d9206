"""What a gate can ask: the embedded engine, an OPA server, two tiers of evaluators, or one's own."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Awaitable
from typing import Any, Protocol, cast, runtime_checkable

from . import _core
from ._bridge import run_coroutine
from ._core import FrozenEvent, PolicyDecision
from ._errors import OPAConnectionError
from ._models import GovernanceEvent, PolicyEvaluator, PolicyInput, SessionContext


@runtime_checkable
class Native(Protocol):
    """An evaluator of ours: it takes the frozen event as it is, and does not raise."""

    def _decide(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision: ...

    async def _decide_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision: ...


def decide_sync(
    evaluator: PolicyEvaluator | Native, event: FrozenEvent | PolicyDecision, context: SessionContext
) -> PolicyDecision:
    """Asks any evaluator about a frozen event. An event that could not be frozen is decided already."""
    if isinstance(event, PolicyDecision):
        return event
    if isinstance(evaluator, Native):
        return evaluator._decide(event, context)
    return run_coroutine(_ask(evaluator, event, context))


async def decide_async(
    evaluator: PolicyEvaluator | Native, event: FrozenEvent | PolicyDecision, context: SessionContext
) -> PolicyDecision:
    """As `decide_sync`, without blocking the event loop."""
    if isinstance(event, PolicyDecision):
        return event
    if isinstance(evaluator, Native):
        return await evaluator._decide_async(event, context)
    return await _ask(evaluator, event, context)


async def _ask(evaluator: PolicyEvaluator, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
    """Asks an evaluator that may fail in any way, or answer with anything. It never sees what will run."""
    name = type(evaluator).__name__
    fields: dict[str, Any] = event.fields()
    # What the credential and the ledger say stands above what the caller said.
    if changed := event.context_changes(context):
        context = dataclasses.replace(context, **changed)
    try:
        if event.is_tool_call:
            answer: object = evaluator.evaluate(PolicyInput(context=context, **fields))
        else:
            session = context.session_id
            answer = evaluator.evaluate_event(GovernanceEvent(session_id=session, context=context, **fields))
        if inspect.isawaitable(answer):
            answer = await cast("Awaitable[object]", answer)
    except OPAConnectionError as error:
        return _core.failure("opa_connection_failure", str(error), event)
    except Exception as error:
        reason = f"the evaluator {name} failed: {type(error).__name__}: {error}"
        return _core.failure("evaluator_failure", reason, event)
    return _core.adopt(answer, name, event)


class OPAClient:
    """Asks an OPA server over HTTP. Every failure is a deny with the code `opa_connection_failure`."""

    def __init__(
        self,
        base_url: str = "http://localhost:8181",
        package: str = "placet/main",
        *,
        timeout_seconds: float = 5.0,
        token: str | None = None,
    ) -> None:
        self._core = _core.Opa(base_url, package, timeout_seconds, token)

    async def evaluate(self, policy_input: PolicyInput, /) -> PolicyDecision:
        """Decides a tool call."""
        context = policy_input.context
        return await decide_async(self, _core.freeze_call(policy_input, context), context)

    async def evaluate_event(self, event: GovernanceEvent, /) -> PolicyDecision:
        """Decides any event."""
        return await decide_async(self, _core.freeze_event(event), event.context)

    async def health(self) -> bool:
        """Whether the server answers `GET /health` with success within two seconds."""
        return await asyncio.to_thread(self._core.health)

    async def aclose(self) -> None:
        """Closes the connections that are kept open. The next question opens new ones."""
        self._core.close()

    async def __aenter__(self) -> OPAClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def _decide(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        return self._core.decide(event)

    async def _decide_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        return await asyncio.to_thread(self._core.decide, event)

    def __repr__(self) -> str:
        return f"OPAClient({self._core.url!r})"


class HierarchicalEvaluator:
    """Asks two evaluators: both must allow, and the strictest answer counts.

    A hard deny of the global one ends the matter: the project one is not asked.
    """

    def __init__(self, global_evaluator: PolicyEvaluator, project_evaluator: PolicyEvaluator) -> None:
        self._global = global_evaluator
        self._project = project_evaluator

    async def evaluate(self, policy_input: PolicyInput, /) -> PolicyDecision:
        """Decides a tool call."""
        context = policy_input.context
        return await decide_async(self, _core.freeze_call(policy_input, context), context)

    async def evaluate_event(self, event: GovernanceEvent, /) -> PolicyDecision:
        """Decides any event."""
        return await decide_async(self, _core.freeze_event(event), event.context)

    async def health(self) -> bool:
        """Whether both could decide now."""
        return await self._global.health() and await self._project.health()

    def _decide(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        first = decide_sync(self._global, event, context)
        second = None if first.hard else decide_sync(self._project, event, context)
        return _core.combine_tiers(first, second, event)

    async def _decide_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        first = await decide_async(self._global, event, context)
        second = None if first.hard else await decide_async(self._project, event, context)
        return _core.combine_tiers(first, second, event)

    def __repr__(self) -> str:
        return f"HierarchicalEvaluator({self._global!r}, {self._project!r})"
