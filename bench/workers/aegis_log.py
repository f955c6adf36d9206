"""agent-aegis 1.0.0 with its log in SQLite: one call of `AuditLogger.log`, or `governed_tool` with it.

Usage: aegis_log.py SURFACE SYNCHRONOUS, where SURFACE is log or governed-logged.
SYNCHRONOUS is FULL (each commit is flushed, as SQLite does unless told otherwise, and so as Aegis does) or
NORMAL (a commit survives the process, not a power cut).
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aegis import Action, Policy, Runtime
from aegis.adapters.openai_agents import governed_tool
from aegis.core.result import Result, ResultStatus
from aegis.runtime.audit import AuditLogger
from aegis_peer import NoExecutor, Refuses
from protocol import Adapter, Event, serve
from refund_tool import refund


class Logged(Adapter):
    """Either surface."""

    name = "agent-aegis"

    def __init__(self, surface: str, synchronous: str) -> None:
        self.is_async = surface == "governed-logged"
        self.synchronous = synchronous
        what = "`@governed_tool` with its log" if self.is_async else "`AuditLogger.log`"
        self.surface = f"{what}, SQLite WAL, synchronous={synchronous}"
        self.inputs: list[Action] = []
        self.folder: Path | None = None

    def version(self) -> str:
        """From the installed package."""
        return version("agent-aegis")

    def prepare(self, events: list[Event]) -> None:
        """Aegis' own input objects."""
        self.inputs = [Action(type=e["action"], target=e["action"], params=e["args"]) for e in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """A policy from YAML and an empty log on the disk that is measured."""
        Path(options["disk"]).mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=options["disk"]))
        self.log = AuditLogger(self.folder / "aegis_audit.db")
        self.log._conn.execute(f"PRAGMA synchronous={self.synchronous}")
        said = self.log._conn.execute("PRAGMA synchronous").fetchone()[0]
        if said != {"NORMAL": 1, "FULL": 2}[self.synchronous]:
            raise RuntimeError(f"SQLite has synchronous={said}, not {self.synchronous}")
        self.policy = Policy.from_yaml(folder / "match.yaml")
        runtime = Runtime(
            executor=NoExecutor(), policy=self.policy, audit_logger=self.log, approval_handler=Refuses()
        )
        self.tool = governed_tool(runtime=runtime, action_type="refund", action_target="refund")(refund)
        action = self.inputs[0]
        self.decision = self.policy.evaluate(action)
        self.result = Result(action=action, status=ResultStatus.SUCCESS, data="refunded")

    def call(self, index: int) -> Any:
        """A row in the log, or a coroutine for what the tool says."""
        if self.is_async:
            return self.tool(**self.inputs[index].params)
        return self.log.log("s-1", self.decision, result=self.result)

    def verdict(self, answer: Any) -> str:
        """A row was written, or the text that the model would see."""
        if isinstance(answer, int):
            return "allow"
        prefixes = {"[AEGIS BLOCKED]": "deny", "[AEGIS DENIED]": "escalate"}
        return next((word for prefix, word in prefixes.items() if answer.startswith(prefix)), "allow")

    def close(self) -> None:
        """The log and its folder."""
        if self.folder is not None:
            self.log._conn.close()
            shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == "__main__":
    serve(Logged(sys.argv[1], sys.argv[2]))
