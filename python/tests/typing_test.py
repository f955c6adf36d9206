"""Types as users meet them; checked by mypy (and pyright), and run as a test too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

import placet
from placet import (
    GovernedToolbox,
    HierarchicalEvaluator,
    OPAClient,
    PolicyDecision,
    PolicyEvaluator,
    PolicyGate,
    PolicyInput,
    ResolutionStep,
    RiskTier,
    SanitizedResponse,
    SessionContext,
    ToolCallInput,
    governed,
)


def types_of_governed(gate: PolicyGate, context: SessionContext) -> None:
    @governed(gate=gate, context=context)
    def pay(account: str, amount: float = 1.0) -> str:
        return account

    @governed(gate, context, "pay", False, tags=["finance.write"], paths=["where"], transport="local")
    async def pay_later(account: str) -> int:
        return 1

    @governed(gate=gate, context=context)
    def stream(count: int) -> Iterator[str]:
        yield "x"

    @governed(gate=gate, context=context)
    async def astream(count: int) -> AsyncIterator[str]:
        yield "x"

    assert_type(pay("a", 2.0), str)
    later: Coroutine[Any, Any, int] = pay_later("a")
    later.close()
    assert_type(stream(1), Iterator[str])
    assert_type(astream(1), AsyncIterator[str])
    pay(5)  # type: ignore[arg-type]
    pay("a", note="x")  # type: ignore[call-arg]


def types_of_decisions(decision: PolicyDecision) -> None:
    assert_type(decision.allow, bool)
    assert_type(decision.risk_tier, RiskTier)
    assert_type(decision.rule_matched, str | None)
    assert_type(decision.trace, tuple[ResolutionStep, ...])
    assert_type(decision.to_dict(), dict[str, Any])
    decision.allow = True  # type: ignore[misc]
    PolicyDecision(allow="yes")  # type: ignore[arg-type]


class Mine:
    """An evaluator of one's own satisfies the protocol by its shape."""

    async def health(self) -> bool:
        return True

    async def evaluate(self, policy_input: PolicyInput, /) -> PolicyDecision:
        return PolicyDecision(allow=policy_input.action == "pay")

    async def evaluate_event(self, event: placet.GovernanceEvent, /) -> PolicyDecision:
        return PolicyDecision()


async def types_of_gates(context: SessionContext) -> None:
    mine: PolicyEvaluator = Mine()
    gate = PolicyGate(HierarchicalEvaluator(mine, OPAClient("http://localhost:8181", token="t")))
    assert_type(await gate.evaluate_tool_call(ToolCallInput(action="pay"), context), PolicyDecision)
    assert_type(gate.decide_plan([{"tool": "pay"}], context), PolicyDecision)
    assert_type(gate.sanitize_response("x"), SanitizedResponse)
    assert_type(gate.policy_version, str | None)
    PolicyGate(policies=["a.yaml"], clock=None)
    PolicyGate("policies/")  # type: ignore[arg-type]


def types_of_toolboxes(gate: PolicyGate, context: SessionContext, tool: Callable[[int], int]) -> None:
    box = GovernedToolbox(gate, context).register("pay", tool).register("show", tool, tags=["x"])
    assert_type(box, GovernedToolbox)
    assert_type(box.tool_names(), list[str])
    assert_type(box.tool_schemas(), list[dict[str, Any]])


def test_the_evaluator_of_this_file_decides() -> None:
    context = SessionContext(session_id="s", user_role="r", session_scopes=())
    gate = PolicyGate(Mine())
    assert [gate.decide_tool_call(ToolCallInput(action=a), context).allow for a in ("pay", "x")] == [
        True,
        False,
    ]
    assert isinstance(Mine(), PolicyEvaluator)
    assert asyncio.run(gate.health())
