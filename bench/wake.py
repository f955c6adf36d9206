"""How long after a vote in one process a governed call in another one runs, from Python.

    python bench/wake.py [--ledger sqlite|postgresql] [--kind sync|async] [--waiters 1] [--wakes 200]
                         [--load 0]

One process has so many calls that wait, in threads or on one event loop; this one votes for one of them at
a time, while `load` processes do nothing but keep a core busy. `runs` is from the end of the vote to the
first line of the tool: decided anew, its approval used and that recorded durably. `floor` is how late a
sleep of 10 ms ends meanwhile, which is what the machine itself takes to wake a thread. `idle` is what the
waiting process uses of a core while nothing happens. The Rust figures come from
`cargo run --release -p placet-testkit --example wake`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import placet

sys.path.insert(0, str(Path(__file__).parent.parent / "python" / "tests"))

POLICY = "version: 1\nrules:\n- { name: pays, when: { action: pay }, then: hitl }\n"
IDLE_SECONDS = 5.0
PATIENCE_SECONDS = 120.0


def wait(ledger: str, keys: str, policy: str, kind: str, waiters: int, runs: Any) -> None:
    """Calls that each wait for a person, over and over."""
    gate = placet.PolicyGate(policies=policy, ledger=ledger, keys=keys, on_escalate="wait")

    def context(waiter: int) -> placet.SessionContext:
        return placet.SessionContext(session_id=f"s{waiter}", user_role="agent", session_scopes=[])

    def in_thread(waiter: int) -> None:
        @placet.governed(gate, context(waiter), action="pay")
        def pay(item: int) -> None:
            runs.put((f"s{waiter}", time.monotonic()))

        for item in itertools.count():
            pay(item)

    async def on_loop(waiter: int) -> None:
        @placet.governed(gate, context(waiter), action="pay")
        async def pay(item: int) -> None:
            runs.put((f"s{waiter}", time.monotonic()))

        for item in itertools.count():
            await pay(item)

    async def all_on_loop() -> None:
        await asyncio.gather(*(on_loop(waiter) for waiter in range(waiters)))

    if kind == "async":
        asyncio.run(all_on_loop())
    threads = [threading.Thread(target=in_thread, args=(waiter,)) for waiter in range(waiters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def burn() -> None:
    while True:
        pass


def used_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Floor:
    """How late sleeps of 10 ms end."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._done.is_set():
            begun = time.monotonic()
            time.sleep(0.01)
            self.late.append(time.monotonic() - begun - 0.01)

    def stop(self) -> list[float]:
        self._done.set()
        self._thread.join()
        return self.late


async def pending(queue: placet.HITLQueue, count: int) -> list[placet.PendingAction]:
    """The requests that wait, once there are so many."""
    until = time.monotonic() + PATIENCE_SECONDS
    while len(actions := await queue.get_pending()) != count:
        assert time.monotonic() < until, f"{len(actions)} of {count} calls wait"
        await asyncio.sleep(0.005)
    return actions


async def vote(queue: placet.HITLQueue, waiters: int, wakes: int, runs: Any) -> list[float]:
    late = []
    for wake in range(wakes):
        actions = await pending(queue, waiters)
        # At no fixed moment of whatever the waiting process does at fixed times.
        await asyncio.sleep(0.002 + wake * 0.007919 % 0.09)
        action = actions[wake * 31 % waiters]
        assert await queue.approve(action.id, "ann")
        voted = time.monotonic()
        # The clock is the machine's, the same for both.
        session, ran = runs.get(timeout=PATIENCE_SECONDS)
        assert session == action.session_id
        late.append(ran - voted)
    return late


def show(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    at = [ordered[min(len(ordered) * part // 100, len(ordered) - 1)] * 1000 for part in (50, 99, 100)]
    print(f"  {what:5} p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, max {at[2]:.1f} ms")


@contextlib.contextmanager
def place(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield str(folder / "audit.db")
        return
    import postgres_server

    with postgres_server.server() as server:
        yield server.ledger()


def measure(options: argparse.Namespace, folder: Path, ledger: str) -> None:
    (folder / "policy.yaml").write_text(POLICY)
    keys, policy = str(folder / "keys"), str(folder / "policy.yaml")
    queue = placet.HITLQueue(ledger, keys=keys)
    asyncio.run(queue.setup())
    spawn = multiprocessing.get_context("spawn")
    runs = spawn.Queue()
    given = (ledger, keys, policy, options.kind, options.waiters, runs)
    waiting = spawn.Process(target=wait, args=given, daemon=True)
    waiting.start()
    asyncio.run(pending(queue, options.waiters))
    before = used_seconds(waiting.pid or 0)
    time.sleep(IDLE_SECONDS)
    idle = (used_seconds(waiting.pid or 0) - before) / IDLE_SECONDS * 100
    load = [spawn.Process(target=burn, daemon=True) for _ in range(options.load)]
    for process in load:
        process.start()
    floor = Floor()
    try:
        late = asyncio.run(vote(queue, options.waiters, options.wakes, runs))
    finally:
        slept = floor.stop()
        for process in (*load, waiting):
            process.kill()
            process.join()
    print(
        f"{options.ledger}, {options.kind}, {options.waiters} waiting, {options.load} busy, "
        f"{options.wakes} wakes: idle {idle:.1f} % of a core"
    )
    show("floor", slept)
    show("runs", late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--kind", choices=["sync", "async"], default="sync")
    parser.add_argument("--waiters", type=int, default=1)
    parser.add_argument("--wakes", type=int, default=200)
    parser.add_argument("--load", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, place(options.ledger, Path(folder)) as ledger:
        measure(options, Path(folder), ledger)


if __name__ == "__main__":
    main()
