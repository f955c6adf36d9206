"""Placet's Python package as a bench worker.

Usage: ours_python.py SURFACE, where SURFACE is gate, governed-async, governed-sync, governed-async-raw,
governed-sync-written, governed-sync-durable or sanitise. `raw` leaves the result unsanitised, as its peer
does; `written` and `durable` record decision and outcome in a ledger on the disk that the options name.
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from placet import (
    GovernanceError,
    GovernanceEvent,
    PolicyDecision,
    PolicyGate,
    SessionContext,
    ToolCallInput,
    governed,
    sanitize_tool_output,
)

sys.path.insert(0, str(Path(__file__).parent / "workers"))
from protocol import Adapter, Event, serve
from refund_tool import refund, refund_sync

SURFACES = {
    "gate": "objects -> decision object, await gate.evaluate",
    "governed-async": "@governed, async function, result sanitised",
    "governed-sync": "@governed, plain function, result sanitised",
    "governed-async-raw": "@governed, async function, result as it is",
    "governed-sync-written": "@governed, plain function, decision and outcome in the ledger, `written`",
    "governed-sync-durable": "@governed, plain function, decision and outcome in the ledger, `durable`",
    "sanitise": "text -> injection found or not",
}


class Ours(Adapter):
    """The gate, a governed function or the sanitiser. The core bundle is always loaded."""

    name = "placet"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.surface = SURFACES[kind]
        self.is_async = kind in ("gate", "governed-async", "governed-async-raw")
        self.texts: list[str] = []
        self.inputs: list[tuple[ToolCallInput | GovernanceEvent, SessionContext]] = []
        self.calls = 0
        self.folder: Path | None = None

    def version(self) -> str:
        """From the installed package."""
        return version("placet")

    def prepare(self, events: list[Event]) -> None:
        """Input objects, or the texts as they are."""
        if self.kind == "sanitise":
            self.texts = [event["text"] for event in events]
        else:
            self.inputs = [_input_of(event) for event in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Load, and decorate."""
        if self.kind == "sanitise":
            return
        policies = [str(folder / name) for name in options["files"]]
        ledger, keys = self._ledger(options)
        self.gate = PolicyGate(policies=policies, ledger=ledger, keys=keys)
        context = self.inputs[0][1]
        sanitize = self.kind != "governed-async-raw"
        self.asynchronous = governed(gate=self.gate, context=context, sanitize=sanitize)(refund)
        self.plain = governed(gate=self.gate, context=context, action="refund")(refund_sync)

    def _ledger(self, options: dict[str, Any]) -> tuple[str, str | None]:
        """A ledger and its keys on the disk that is measured, or none."""
        if "disk" not in options:
            return "off", None
        Path(options["disk"]).mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=options["disk"]))
        os.environ["PLACET_ACK"] = options["ack"]
        return str(self.folder / "audit.db"), str(self.folder / "keys")

    def call(self, index: int) -> Any:
        """A coroutine for the asynchronous surfaces; the outcome itself for the others."""
        if self.kind == "sanitise":
            self.calls += 1
            return sanitize_tool_output(f"{self.texts[index]} {self.calls}").was_modified
        subject, context = self.inputs[index]
        if self.kind == "gate":
            if isinstance(subject, GovernanceEvent):
                return self.gate.evaluate(subject)
            return self.gate.evaluate_tool_call(subject, context)
        if self.kind.startswith("governed-sync"):
            return _or_refusal(self.plain, subject.args)
        return _or_refusal_async(self.asynchronous, subject.args)

    def verdict(self, answer: Any) -> str:
        """The decision's own word."""
        if isinstance(answer, bool):
            return "deny" if answer else "allow"
        if isinstance(answer, str):
            return "allow"
        decision: PolicyDecision = answer.decision if isinstance(answer, GovernanceError) else answer
        return decision.verdict

    def close(self) -> None:
        """The ledger and its folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _input_of(event: Event) -> tuple[ToolCallInput | GovernanceEvent, SessionContext]:
    context = SessionContext(**event["context"])
    if event["event_type"] != "tool_call" or event.get("data_classification"):
        kept = {key: value for key, value in event.items() if key not in ("context", "now")}
        return GovernanceEvent(context=context, **kept), context
    fields = ("action", "tool_name", "args", "resource_path")
    return ToolCallInput(**{field: event.get(field) for field in fields}), context


def _or_refusal(tool: Callable[..., Any], args: dict[str, Any]) -> Any:
    try:
        return tool(**args)
    except GovernanceError as refusal:
        return refusal


async def _or_refusal_async(tool: Callable[..., Any], args: dict[str, Any]) -> Any:
    try:
        return await tool(**args)
    except GovernanceError as refusal:
        return refusal


if __name__ == "__main__":
    serve(Ours(sys.argv[1]))
