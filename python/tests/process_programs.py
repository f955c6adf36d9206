"""What the processes of `test_processes` run: each opens, or inherits, the deployment in a folder."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import Callable, Iterable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import placet

POLICY = """
version: 1
rules:
  - { name: pays, when: { action: [pay, draw] }, then: allow }
"""

FOLDER = "PLACET_PROCESS_TEST"


def effect(folder: Path, what: object) -> str:
    """One line in an append-only file, written before the call returns."""
    with open(folder / "effects", "a", encoding="utf-8") as effects:
        effects.write(f"{what}\n")
    return f"paid by {os.getpid()}"


class Deployment:
    """The gate of a folder, and two tools that it governs."""

    def __init__(self, folder: Path, session: str = "s") -> None:
        self.gate = placet.PolicyGate(config=folder / "placet.yaml")
        context = placet.SessionContext(session_id=session, user_role="r", session_scopes=[])

        @placet.governed(gate=self.gate, context=context, action="pay")
        def pay(what: str) -> str:
            return effect(folder, what)

        @placet.governed(gate=self.gate, context=context, action="pay")
        async def pay_async(what: str) -> str:
            await asyncio.sleep(0)
            return effect(folder, what)

        self.pay = pay
        self.pay_async = pay_async


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What so many threads return, or the exceptions that they raise, all at once."""
    answers: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(index: int) -> None:
        start.wait(60)
        try:
            answers[index] = work(index)
        except Exception as error:
            answers[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return answers


def words(answers: Iterable[Any]) -> list[str]:
    """The answers as words that can be sent to another process."""

    def word(answer: Any) -> str:
        if isinstance(answer, placet.GovernanceError):
            return str(answer.decision.code)
        return repr(answer) if isinstance(answer, Exception) else str(answer)

    return [word(answer) for answer in answers]


def append(folder: Path, start: Barrier, times: int) -> list[str]:
    """A process that appends with threads and on an event loop."""
    deployment = Deployment(folder)
    start.wait(60)
    answers = in_threads(
        2, lambda index: [deployment.pay(f"{os.getpid()}-{index}-{n}") for n in range(times)]
    )

    async def many() -> list[Any]:
        calls = [deployment.pay_async(f"{os.getpid()}-a-{n}") for n in range(times)]
        return await asyncio.gather(*calls, return_exceptions=True)

    return words([*answers, *asyncio.run(many())])


def draw(folder: Path, start: Barrier, threads: int) -> list[str]:
    """A process whose threads each call once on a budget that is too small for all."""
    deployment = Deployment(folder, "few")
    start.wait(60)
    return words(in_threads(threads, lambda index: deployment.pay(f"{os.getpid()}-{index}")))


def decide(ledger: str, keys: Path, id: str, start: Barrier, threads: int) -> list[str]:
    """A process whose threads each answer one request: yes and no in turn."""
    queue = placet.HITLQueue(ledger, keys=keys)
    start.wait(60)

    def answer(index: int) -> bool:
        by = f"{os.getpid()}-{index}"
        return asyncio.run(queue.approve(id, by) if index % 2 else queue.deny(id, by, "no"))

    return words(in_threads(threads, answer))


def call(deployment: Deployment, what: str) -> str:
    """`paid`, or the code of what refused it or withheld its result."""
    try:
        return deployment.pay(what).split()[0]
    except placet.GovernanceError as error:
        return str(error.decision.code)
    except placet.AuditError as error:
        return str(error.code)


def fill_disk(folder: Path, limit_bytes: int) -> list[str]:
    """Calls until the ledger's files may not grow, a few times more, and once when they may again."""
    deployment = Deployment(folder)
    answers = [call(deployment, "first")]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    while answers[-4:] != ["audit_unavailable"] * 4 and len(answers) < 3_000:
        answers.append(call(deployment, f"call-{len(answers)}"))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    answers.append(call(deployment, "last"))
    return answers


def call_as_nobody(folder: Path) -> list[str]:
    """Three calls of a user who may read the ledger, and not write to it."""
    if os.geteuid() == 0:
        os.setuid(65534)
    deployment = Deployment(folder)
    return [call(deployment, f"call-{n}") for n in range(3)]


def preloaded() -> Deployment:
    """The deployment that a server makes, and uses, before it forks its workers."""
    deployment = Deployment(Path(os.environ[FOLDER]))
    deployment.pay("preloaded")
    return deployment
