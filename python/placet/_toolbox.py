"""Many tools, called by name."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from . import _core
from ._bridge import run_coroutine
from ._core import PolicyDecision
from ._errors import GovernanceError
from ._gate import PolicyGate
from ._governed import Options, govern, is_async
from ._models import SessionContext
from ._schema import input_schema


class _Entry(NamedTuple):
    call: Callable[..., Any]
    tool: _core.Tool
    description: str


class GovernedToolbox:
    """Tools by name, each decided before it runs. Synchronous tools run in worker threads under `call`."""

    def __init__(self, gate: PolicyGate, context: SessionContext, sanitize: bool = True) -> None:
        self._gate = gate
        self._context = context
        self._sanitize = sanitize
        self._tools: dict[str, _Entry] = {}

    def register(
        self,
        name: str,
        fn: Callable[..., Any],
        action: str | None = None,
        *,
        description: str | None = None,
        sanitize: bool | None = None,
        tags: Sequence[str] | None = None,
        target: str | None = None,
        transport: str | None = None,
        paths: Sequence[str] | None = None,
        classification: str | None = None,
    ) -> Self:
        """Adds a tool under a name that no other has, also not after folding. Returns the toolbox."""
        wanted = _core.normal_form(name)
        for known in self._tools:
            if _core.normal_form(known) == wanted:
                raise ValueError(f"Tool '{name}' is already registered in this GovernedToolbox as '{known}'")
        clean = self._sanitize if sanitize is None else sanitize
        options = Options(clean, tags, target, transport, paths, classification, description)
        call, tool = govern(fn, self._gate, self._context, action, options, name)
        first_line = (inspect.getdoc(fn) or "").partition("\n")[0].strip()
        self._tools[name] = _Entry(call, tool, description or first_line or f"Call {name}")
        return self

    def tool_names(self) -> list[str]:
        """The names, in the order of registration."""
        return list(self._tools)

    def tool_schemas(self) -> list[dict[str, Any]]:
        """What a model needs to know, in the form of `{name, description, input_schema}`."""
        return [
            {"name": name, "description": entry.description, "input_schema": input_schema(entry.call)}
            for name, entry in self._tools.items()
        ]

    async def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Calls a tool with arguments by name. Raises `GovernanceError` unless the call is allowed."""
        entry = self._entry(name)
        spread = entry.tool.spread(args)
        if isinstance(spread, _core.Call):
            return await self._gate._refuse_async(spread)
        positional, keywords = spread
        if is_async(entry.call):
            return await entry.call(*positional, **keywords)
        if inspect.isgeneratorfunction(entry.call) or inspect.isasyncgenfunction(entry.call):
            return entry.call(*positional, **keywords)
        result = await asyncio.to_thread(entry.call, *positional, **keywords)
        return await result if inspect.isawaitable(result) else result

    def call_sync(self, name: str, args: Mapping[str, Any]) -> Any:
        """As `call`, without an event loop; asynchronous tools run on a loop of their own."""
        entry = self._entry(name)
        spread = entry.tool.spread(args)
        if isinstance(spread, _core.Call):
            return self._gate._refuse(spread)
        positional, keywords = spread
        result = entry.call(*positional, **keywords)
        return run_coroutine(result) if inspect.iscoroutine(result) else result

    async def evaluate_plan(self, steps: Sequence[Mapping[str, Any]]) -> PolicyDecision:
        """Decides a plan; returns the decision when it is allowed, else raises `GovernanceError`."""
        return _plan_or_raise(await self._gate.evaluate_plan(self._tagged(steps), self._context))

    def decide_plan(self, steps: Sequence[Mapping[str, Any]]) -> PolicyDecision:
        """As `evaluate_plan`, without an event loop."""
        return _plan_or_raise(self._gate.decide_plan(self._tagged(steps), self._context))

    def _tagged(self, steps: Sequence[Mapping[str, Any]]) -> list[Any]:
        tools = [entry.tool for entry in self._tools.values()]
        return [_core.tagged_step(step, tools) for step in steps]

    def _entry(self, name: str) -> _Entry:
        try:
            return self._tools[name]
        except KeyError:
            raise KeyError(f"Tool '{name}' is not registered in this GovernedToolbox") from None


def _plan_or_raise(decision: PolicyDecision) -> PolicyDecision:
    if (message := _core.refusal_of_plan(decision)) is not None:
        raise GovernanceError(message, decision)
    return decision
