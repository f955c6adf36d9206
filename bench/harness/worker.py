"""The driver's end of a worker process."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.cases import Case


class WorkerError(RuntimeError):
    """An engine failed or answered what it must not answer."""


@dataclass(frozen=True)
class Engine:
    """How to start one engine. `family` is the key of `Case.skip`; `ours` marks Placet's own.

    `form` is `json` or `object`: an engine is held against ours of the same form where there is one.
    """

    key: str
    family: str
    command: Sequence[str]
    ours: bool = False
    form: str = "object"
    options: dict[str, Any] = field(default_factory=dict)


class Worker:
    """One engine in one process."""

    def __init__(self, engine: Engine, log: Path) -> None:
        self.engine = engine
        self._log = log.open("a", encoding="utf-8")
        self._process = subprocess.Popen(
            list(engine.command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.hello: dict[str, str] = self.ask("hello")
        self.loaded: dict[str, int] = {}

    def ask(self, op: str, **fields: Any) -> Any:
        """One request and its answer; an error in the answer is raised with the engine's name."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(
                f"`{self.engine.key}` ended during `{op}`; its messages are in {self._log.name}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(
                f"`{self.engine.key}` failed during `{op}`: {answer['error']} (see {self._log.name})"
            )
        return answer

    def start(self, cases: Sequence[Case], folder: Path) -> None:
        """Hands over the inputs and loads the policy; the cost stands in `loaded`."""
        self.ask("prepare", events=[case.event for case in cases])
        self.loaded = self.ask("load", folder=str(folder), options=self.engine.options)

    def check(self, cases: Sequence[Case]) -> None:
        """Fails loudly unless every input gets the verdict it must get."""
        answers = self.ask("verdicts")["verdicts"]
        wrong = [
            f"  {case.note}: `{answer}` instead of `{case.verdict}`"
            for case, answer in zip(cases, answers, strict=True)
            if answer != case.verdict
        ]
        if wrong:
            raise WorkerError(f"`{self.engine.key}` decides otherwise than agreed:\n" + "\n".join(wrong))

    def time(self, calls: int) -> list[int]:
        """Nanoseconds of each of `calls` calls."""
        samples: list[int] = self.ask("time", calls=calls)["samples"]
        return samples

    def close(self) -> None:
        """Ends the process by ending its input."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
