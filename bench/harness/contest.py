"""Engines measured beside each other: checked first, then timed in turns."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from harness.cases import Case
from harness.stats import paired_ratio, summarise
from harness.worker import Engine, Worker


@dataclass(frozen=True)
class Entrant:
    """One engine with what it has to do.

    It is checked on all its cases and timed on `timed`, or else on the cases that all entrants share.
    `factor` multiplies its times where it got a smaller input.
    """

    engine: Engine
    cases: Sequence[Case]
    folder: Path
    label: str = ""
    timed: Sequence[Case] | None = None
    factor: float = 1.0
    note: str = ""

    def fair_cases(self) -> list[Case]:
        """The cases this engine is able to answer as agreed."""
        return [case for case in self.cases if self.engine.family not in case.skip]


@dataclass(frozen=True)
class Effort:
    """How long to measure: seconds a round, and rounds."""

    seconds: float
    rounds: int


class Bench:
    """Runs contests with one effort, logging the engines' own messages into one file."""

    def __init__(self, effort: Effort, log: Path) -> None:
        self.effort = effort
        self.log = log

    def contest(self, entrants: Sequence[Entrant]) -> list[dict[str, Any]]:
        """Checks every entrant, then times all of them in turns, A B A B."""
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker(entrant.engine, self.log)) for entrant in entrants]
            for entrant, worker in zip(entrants, workers, strict=True):
                worker.start(entrant.fair_cases(), entrant.folder)
                worker.check(entrant.fair_cases())
            calls = []
            for worker, cases in zip(workers, _timed_cases(entrants), strict=True):
                worker.ask("prepare", events=[case.event for case in cases])
                calls.append(self._calibrate(worker, len(cases)))
            rounds: list[list[list[int]]] = [[] for _ in workers]
            for _ in range(self.effort.rounds):
                for samples, worker, count in zip(rounds, workers, calls, strict=True):
                    samples.append(worker.time(count))
            return self._results(entrants, workers, rounds)

    def threads(
        self, entrants: Sequence[Entrant], counts: Sequence[int] = (1, 2), *, spread: bool = False
    ) -> list[dict[str, Any]]:
        """Calls per second with so many threads, in turns.

        `spread` divides the calls of four rounds among them.
        """
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker(entrant.engine, self.log)) for entrant in entrants]
            calls = []
            for entrant, worker in zip(entrants, workers, strict=True):
                worker.start(entrant.fair_cases(), entrant.folder)
                worker.check(entrant.fair_cases())
                calls.append(self._calibrate(worker, len(entrant.fair_cases())))
            rates: list[dict[int, list[float]]] = [{count: [] for count in counts} for _ in workers]
            for _ in range(self.effort.rounds):
                for rate, worker, count in zip(rates, workers, calls, strict=True):
                    for threads in counts:
                        each = max(8, 4 * count // threads) if spread and threads > 1 else count
                        taken = worker.ask("threads", calls=each, threads=threads)["ns"]
                        rate[threads].append(threads * each / taken * 1e9)
            return [
                _who(worker)
                | {
                    "per_second": {str(count): median(rate[count]) for count in counts},
                    "scaling": median(
                        many / one for one, many in zip(rate[counts[0]], rate[counts[-1]], strict=True)
                    ),
                }
                for worker, rate in zip(workers, rates, strict=True)
            ]

    def loading(self, entrants: Sequence[Entrant], repetitions: int) -> list[dict[str, Any]]:
        """Load time with the first decision, and what stays in memory; each time in a new process."""
        measured: list[list[dict[str, int]]] = [[] for _ in entrants]
        heads: list[dict[str, Any]] = [{} for _ in entrants]
        for _ in range(repetitions):
            for place, entrant in enumerate(entrants):
                with Worker(entrant.engine, self.log) as worker:
                    worker.start(entrant.fair_cases(), entrant.folder)
                    worker.check(entrant.fair_cases())
                    measured[place].append(worker.loaded)
                    heads[place] = _who(worker) | {"label": entrant.label}
        ours = next((m for e, m in zip(entrants, measured, strict=True) if e.engine.ours), None)
        return [
            head
            | {
                "load_ns": median(one["ns"] for one in loads),
                "load_ns_all": [one["ns"] for one in loads],
                "rss_delta": median(one["rss_after"] - one["rss_before"] for one in loads),
                "ratio": ours and median(p["ns"] / o["ns"] for p, o in zip(loads, ours, strict=True)),
            }
            for head, loads in zip(heads, measured, strict=True)
        ]

    def _calibrate(self, worker: Worker, inputs: int) -> int:
        """Warms up for about a round, then says how many calls fill one: whole passes over the inputs."""
        typical = median(worker.time(inputs))
        warm = worker.time(inputs * self._passes(typical * inputs))
        return inputs * self._passes(median(warm) * inputs)

    def _passes(self, nanoseconds: float) -> int:
        return max(1, min(int(self.effort.seconds * 1e9 / nanoseconds), 2_000))

    def _results(
        self,
        entrants: Sequence[Entrant],
        workers: Sequence[Worker],
        rounds: Sequence[Sequence[Sequence[int]]],
    ) -> list[dict[str, Any]]:
        results = []
        for entrant, worker, samples in zip(entrants, workers, rounds, strict=True):
            summary = summarise(samples)
            ours = _counterpart(entrant, entrants)
            results.append(
                _who(worker)
                | {
                    "label": entrant.label,
                    "note": entrant.note,
                    "min_ns": summary.min * entrant.factor,
                    "median_ns": summary.median * entrant.factor,
                    "p99_ns": summary.p99 * entrant.factor,
                    "calls": summary.calls,
                    "round_medians_ns": [median(one) * entrant.factor for one in samples],
                    "ratio": None if ours is None else paired_ratio(samples, rounds[ours]) * entrant.factor,
                }
            )
        return results


def _timed_cases(entrants: Sequence[Entrant]) -> list[Sequence[Case]]:
    """What each entrant is timed on: its own choice, or what everybody without a choice can answer."""
    notes = [{case.note for case in one.fair_cases()} for one in entrants if one.timed is None]
    shared = set.intersection(*notes) if notes else set()
    return [
        one.timed if one.timed is not None else [case for case in one.cases if case.note in shared]
        for one in entrants
    ]


def _counterpart(entrant: Entrant, entrants: Sequence[Entrant]) -> int | None:
    """The place of our engine with the same label, of the same form where there is a choice."""
    ours = [n for n, other in enumerate(entrants) if other.engine.ours and other.label == entrant.label]
    ours.sort(key=lambda n: entrants[n].engine.form != entrant.engine.form)
    return ours[0] if ours else None


def _who(worker: Worker) -> dict[str, Any]:
    return {"engine": worker.engine.key, "ours": worker.engine.ours} | worker.hello
