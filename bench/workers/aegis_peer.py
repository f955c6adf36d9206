"""agent-aegis 1.0.0: `Policy.evaluate`, or `governed_tool` with a log that keeps nothing.

Usage: aegis_peer.py SURFACE, where SURFACE is policy or governed
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aegis import Action, Policy, Runtime
from aegis.adapters.base import BaseExecutor
from aegis.adapters.openai_agents import governed_tool
from aegis.core.result import Result, ResultStatus
from protocol import Adapter, Event, serve
from refund_tool import refund


class NoLog:
    """Stands where the audit log would; the row measures governance without its log."""

    def log(self, *_: Any, **__: Any) -> None:
        """Keeps nothing."""

    def close(self) -> None:
        """Nothing to close."""


class Refuses:
    """An approver who says no, so that an escalation can be told from an allow. Never timed."""

    async def request_approval(self, _: Any) -> bool:
        """No."""
        return False


class NoExecutor(BaseExecutor):
    """`governed_tool` never uses the executor, but the runtime demands one."""

    async def execute(self, action: Action) -> Result:
        """Would do nothing."""
        return Result(action=action, status=ResultStatus.SUCCESS)


class Aegis(Adapter):
    """Either surface."""

    name = "agent-aegis"

    def __init__(self, surface: str) -> None:
        self.is_async = surface == "governed"
        self.surface = {
            "policy": "Action object -> PolicyDecision object",
            "governed": "@governed_tool, async function, without its log",
        }[surface]
        self.inputs: list[Action] = []

    def version(self) -> str:
        """From the installed package."""
        return version("agent-aegis")

    def prepare(self, events: list[Event]) -> None:
        """Aegis' own input objects."""
        self.inputs = [Action(type=e["action"], target=e["action"], params=e["args"]) for e in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """From YAML."""
        self.policy = Policy.from_yaml(folder / "match.yaml")
        runtime = Runtime(
            executor=NoExecutor(), policy=self.policy, audit_logger=NoLog(), approval_handler=Refuses()
        )
        self.tool = governed_tool(runtime=runtime, action_type="refund", action_target="refund")(refund)

    def call(self, index: int) -> Any:
        """A decision, or a coroutine for what the tool says."""
        action = self.inputs[index]
        return self.tool(**action.params) if self.is_async else self.policy.evaluate(action)

    def verdict(self, answer: Any) -> str:
        """Reads the approval, or the text that the model would see."""
        if isinstance(answer, str):
            prefixes = {"[AEGIS BLOCKED]": "deny", "[AEGIS DENIED]": "escalate"}
            return next((word for prefix, word in prefixes.items() if answer.startswith(prefix)), "allow")
        return {"auto": "allow", "approve": "escalate", "block": "deny"}[answer.approval.value]


if __name__ == "__main__":
    serve(Aegis(sys.argv[1]))
