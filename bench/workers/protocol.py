"""The worker side of the bench: one process per engine, JSON lines in, JSON lines out.

Every engine runs in a process of its own, so that versions cannot disturb each other and memory can be
read per engine. The driver sends one request at a time; the worker times itself, so that the pipe is never
measured.
An adapter for a further engine is a subclass of `Adapter` and a call of `serve`.
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Adapter(ABC):
    """What an engine must offer. `call` is what is timed; `verdict` is the same path with its answer read."""

    name = "engine"
    surface = "what goes in -> what comes out"
    is_async = False

    @abstractmethod
    def version(self) -> str:
        """The version of the engine, as it says itself."""

    @abstractmethod
    def prepare(self, events: list[Event]) -> None:
        """Puts the inputs into the form the engine takes. Not timed."""

    @abstractmethod
    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Reads the policy files and gets ready to decide. Timed as load time, with the first decision."""

    @abstractmethod
    def call(self, index: int) -> Any:
        """Decides input number `index`; a coroutine function when `is_async`."""

    @abstractmethod
    def verdict(self, answer: Any) -> str:
        """Reads `allow`, `deny` or `escalate` out of what `call` returned."""

    def rss(self) -> int:
        """Resident bytes of the process that holds the engine."""
        return rss_of(os.getpid())

    def close(self) -> None:  # noqa: B027 (most engines have nothing to end)
        """Ends whatever the adapter started."""


def rss_of(pid: int) -> int:
    """Resident bytes of a process, from the kernel."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


class Session:
    """The requests of the driver, answered with one adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.loop = asyncio.new_event_loop()
        self.count = 0

    def hello(self, _: Event) -> Event:
        """Who this is."""
        return {"name": self.adapter.name, "surface": self.adapter.surface, "version": self.adapter.version()}

    def prepare(self, request: Event) -> Event:
        """Takes the inputs."""
        self.adapter.prepare(request["events"])
        self.count = len(request["events"])
        return {}

    def load(self, request: Event) -> Event:
        """Loads the policy and makes the first decision, timed."""
        gc.collect()
        before = self.adapter.rss()
        started = time.perf_counter_ns()
        self.adapter.load(Path(request["folder"]), request.get("options", {}))
        self._answer(0)
        taken = time.perf_counter_ns() - started
        gc.collect()
        return {"ns": taken, "rss_before": before, "rss_after": self.adapter.rss()}

    def verdicts(self, _: Event) -> Event:
        """The verdict for every input, through the path that is timed."""
        return {"verdicts": [self.adapter.verdict(self._answer(i)) for i in range(self.count)]}

    def time(self, request: Event) -> Event:
        """Nanoseconds of each of `calls` calls, going round the inputs."""
        calls: int = request["calls"]
        if self.adapter.is_async:
            return {"samples": self.loop.run_until_complete(self._time_async(calls))}
        call, count, clock = self.adapter.call, self.count, time.perf_counter_ns
        samples = [0] * calls
        for n in range(calls):
            started = clock()
            call(n % count)
            samples[n] = clock() - started
        return {"samples": samples}

    def threads(self, request: Event) -> Event:
        """Wall time of `threads` threads making `calls` calls each."""
        calls, count, call = request["calls"], self.count, self.adapter.call
        gate = threading.Barrier(request["threads"] + 1)

        def work() -> None:
            call(0)
            gate.wait()
            for n in range(calls):
                call(n % count)
            gate.wait()

        workers = [threading.Thread(target=work) for _ in range(request["threads"])]
        for worker in workers:
            worker.start()
        gate.wait()
        started = time.perf_counter_ns()
        gate.wait()
        taken = time.perf_counter_ns() - started
        for worker in workers:
            worker.join()
        return {"ns": taken}

    def _answer(self, index: int) -> Any:
        answer = self.adapter.call(index)
        return self.loop.run_until_complete(answer) if self.adapter.is_async else answer

    async def _time_async(self, calls: int) -> list[int]:
        call, count, clock = self.adapter.call, self.count, time.perf_counter_ns
        samples = [0] * calls
        for n in range(calls):
            started = clock()
            await call(n % count)
            samples[n] = clock() - started
        return samples


def serve(adapter: Adapter) -> None:
    """Answers requests until standard input ends. The engine's own prints go to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = Session(adapter)
    answers: dict[str, Callable[[Event], Event]] = {
        name: getattr(session, name) for name in ("hello", "prepare", "load", "verdicts", "time", "threads")
    }
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = answers[request["op"]](request)
            except Exception as error:  # the driver must hear of it, whatever it is
                traceback.print_exc()
                answer = {"error": f"{type(error).__name__}: {error}"}
            out.write(json.dumps(answer) + "\n")
            out.flush()
    finally:
        adapter.close()
