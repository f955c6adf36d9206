"""Kite Logik 0.4.0 with its own bundle, OPA either in this process or as a server.

Usage: kite.py SURFACE ENGINE WHERE
SURFACE is gate, governed-async or governed-sync; ENGINE is golib (WHERE: the unpacked wheel) or http
(WHERE: the opa binary).
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kite_bundle import bundle
from kitelogik import GovernanceError, OPAClient, PolicyGate, SessionContext, ToolCallInput, governed
from kitelogik.tether import GovernanceEvent, PolicyDecision, PolicyInput, result_to_decision
from opa_server import OpaServer
from protocol import Adapter, Event, rss_of, serve
from refund_tool import refund, refund_sync


class GolibEvaluator:
    """Kite Logik's evaluator interface over OPA in this process, through the binding's public functions."""

    def __init__(self, wheel: str, files: dict[str, str]) -> None:
        sys.path.append(wheel)
        from opa_bindings import OpaEngine

        self.engine = OpaEngine()
        for name, text in files.items():
            self.engine.add_policy(name, text)

    async def health(self) -> bool:
        """In process: always."""
        return True

    async def evaluate(self, policy_input: PolicyInput) -> PolicyDecision:
        """A tool call."""
        return result_to_decision(self.engine.eval_document("kitelogik.main", policy_input.model_dump()))

    async def evaluate_event(self, event: GovernanceEvent) -> PolicyDecision:
        """Any event."""
        return result_to_decision(self.engine.eval_document("kitelogik.main", event.model_dump()))


class Kite(Adapter):
    """The gate, or a function decorated with `@governed`."""

    def __init__(self, surface: str, engine: str, where: str) -> None:
        self.kind, self.engine, self.where = surface, engine, where
        self.is_async = surface != "governed-sync"
        self.name = f"kitelogik-{engine}"
        self.surface = {
            "gate": "objects -> decision object, await gate.evaluate",
            "governed-async": "@governed, async function, result sanitised",
            "governed-sync": "@governed, plain function, result sanitised",
        }[surface]
        self.inputs: list[tuple[Any, SessionContext]] = []
        self.tools: dict[str, Callable[..., Any]] = {}
        self.server: OpaServer | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="kite-bundle-")

    def version(self) -> str:
        """From the installed package."""
        return version("kitelogik")

    def prepare(self, events: list[Event]) -> None:
        """Kite Logik's own input objects."""
        self.inputs = [_input_of(event) for event in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Compile, load, and decorate."""
        files = bundle(folder)
        self.gate = PolicyGate(opa_client=self._client(files))
        context = self.inputs[0][1]
        self.governed_async = governed(gate=self.gate, context=context)(refund)
        self.governed_sync = governed(gate=self.gate, context=context, action="refund")(refund_sync)

    def _client(self, files: dict[str, str]) -> Any:
        if self.engine == "golib":
            return GolibEvaluator(self.where, files)
        paths = [Path(self.folder.name) / name for name in files]
        for path in paths:
            path.write_text(files[path.name], encoding="utf-8")
        self.server = OpaServer(self.where, paths)
        return OPAClient(base_url=f"http://127.0.0.1:{self.server.port}")

    def call(self, index: int) -> Any:
        """A coroutine for the asynchronous surfaces; the outcome itself for the plain one."""
        subject, context = self.inputs[index]
        if self.kind == "governed-sync":
            return _or_refusal(self.governed_sync, subject.args)
        if self.kind == "governed-async":
            return _or_refusal_async(self.governed_async, subject.args)
        if isinstance(subject, GovernanceEvent):
            return self.gate.evaluate(subject)
        return self.gate.evaluate_tool_call(subject, context)

    def verdict(self, answer: Any) -> str:
        """Kite Logik's flags, read in the order in which its own wrapper reads them."""
        if isinstance(answer, str):
            return "allow"
        decision: PolicyDecision = answer.decision if isinstance(answer, GovernanceError) else answer
        if decision.deny:
            return "deny"
        if decision.allow:
            return "allow"
        return "escalate" if decision.requires_hitl else "deny"

    def rss(self) -> int:
        """The server's memory where there is one."""
        return rss_of(self.server.process.pid) if self.server else super().rss()

    def close(self) -> None:
        """Ends the server."""
        if self.server:
            self.server.close()
        self.folder.cleanup()


def _input_of(event: Event) -> tuple[Any, SessionContext]:
    context = SessionContext(**event["context"])
    if event["event_type"] != "tool_call":
        return GovernanceEvent(**event), context
    fields = ("action", "tool_name", "args", "resource_path")
    return ToolCallInput(**{field: event[field] for field in fields}), context


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
    logging.disable(logging.WARNING)
    serve(Kite(*sys.argv[1:4]))
