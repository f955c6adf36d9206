"""Every face goes through one pipeline: the same decision, the same sentence, the same record (promise 4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

import placet

CASES = [
    ("pay", {"amount": 5}),
    ("pay", {"amount": 500}),
    ("pay", {"amount": 5000}),
    ("pay", {"amount": "5"}),
    ("pay", {"amount": None}),
    ("pay", {"amount": float("nan")}),
    ("buy", {"item": "tea"}),
    ("read_file", {"path": "/srv/../etc/shadow"}),
    ("execute_shell", {"command": "ls"}),
    ("unheard_of", {}),
]


def tool(name: str, parameters: list[str], *, is_async: bool) -> Callable[..., Any]:
    """A function of that name with those parameters, as an author would have written it."""
    scope: dict[str, Any] = {}
    exec(f"{'async ' if is_async else ''}def {name}({', '.join(parameters)}): pass", scope)
    return scope[name]


def faces(gate: placet.PolicyGate, context: placet.SessionContext, name: str, args: dict[str, Any]) -> Any:
    plain, coroutine = (tool(name, list(args), is_async=is_async) for is_async in (False, True))
    call = placet.ToolCallInput(action=name, args=args)
    event = placet.GovernanceEvent(
        event_type="tool_call", session_id="s1", action=name, args=args, context=context
    )
    box = placet.GovernedToolbox(gate, context).register(name, plain)
    asked = {
        "decide_tool_call": lambda: gate.decide_tool_call(call, context),
        "evaluate_tool_call": lambda: asyncio.run(gate.evaluate_tool_call(call, context)),
        "decide": lambda: gate.decide(event),
    }
    governed = {
        "decorator": lambda: placet.governed(gate, context)(plain)(**args),
        "decorator of a coroutine": lambda: asyncio.run(placet.governed(gate, context)(coroutine)(**args)),
        "toolbox": lambda: box.call_sync(name, args),
        "toolbox, awaited": lambda: asyncio.run(box.call(name, args)),
    }
    return asked, governed


def record(line: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of a decision, without what is new each time: ids, salts, times, spending."""
    fact, view = json.loads(line["leaf"])["fact"]["decision"], json.loads(line["view"])
    view["context"] = {key: held for key, held in view["context"].items() if "budget_used" not in key}
    fresh = {"_salt", "now", "approval"}
    return {
        "fact": {key: held for key, held in fact.items() if key not in ("permit", "approval")},
        "view": {key: held for key, held in view.items() if key not in fresh},
    }


@pytest.mark.parametrize(("name", "args"), CASES, ids=[f"{name}-{args}" for name, args in CASES])
def test_promise_4_every_face_decides_says_and_records_the_same(open_gate, context, tmp_path, name, args):
    mirror = tmp_path / "audit.jsonl"
    gate = open_gate(ledger=tmp_path / "audit.db", audit_log=mirror)
    asked, governed = faces(gate, context, name, args)
    decisions, sentences = {}, {}
    for face, ask in asked.items():
        decisions[face] = ask().to_dict()
    for face, run in governed.items():
        try:
            run()
            sentences[face] = None
        except placet.GovernanceError as error:
            sentences[face] = str(error)
            decisions[face] = error.decision.to_dict()
    shown = {face: held | {"decision_id": ""} for face, held in decisions.items()}
    assert all(held == shown["decide"] for held in shown.values()), shown
    assert len(set(sentences.values())) == 1, sentences
    assert (sentences["toolbox"] is None) == (shown["decide"]["verdict"] == "allow")
    lines = [json.loads(line) for line in mirror.read_text(encoding="utf-8").splitlines()]
    records = [record(line) for line in lines if line["event"] == "tool_call"]
    assert len(records) == len(asked) + len(governed)
    assert all(held == records[0] for held in records), records
