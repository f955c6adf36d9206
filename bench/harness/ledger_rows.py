"""The rows of the ledger and of credentials: what waits for the disk stands beside a bare flush."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import core10
from harness.cases import Case
from harness.contest import Bench, Entrant
from harness.engines import Engines
from harness.provision import BENCH
from harness.rows import Row
from harness.worker import Engine

CORE10 = BENCH / "policies" / "core10"
CALLERS = (1, 64)


class LedgerRows:
    """Builds the rows over one bench, one set of engines and a folder on the disk that is measured."""

    def __init__(self, bench: Bench, engines: Engines, disk: Path) -> None:
        self.bench, self.engines, self.disk = bench, engines, disk

    def all(self) -> list[Row]:
        """In the order of the report."""
        return [
            self._durable(),
            self._callers(),
            self._budget(),
            self._governed_written(),
            self._governed_durable(),
            self._credentials(),
        ]

    def _durable(self) -> Row:
        e = self.engines
        return self._contest(
            "ledger_durable",
            "One record, flushed, one caller",
            "at most 1.5 times the disk's flush (*times ours* ≥ 0.67), 1.5 times faster than agent-aegis",
            ["placet-rust-durable"],
            lambda: [
                *e.ours_ledger("durable", self.disk),
                *e.ours_ledger("flush", self.disk, ours=False),
                e.aegis_log("log", "FULL", self.disk),
            ],
        )

    def _callers(self) -> Row:
        e = self.engines

        def measure() -> list[dict[str, Any]]:
            engines = [*e.ours_ledger("durable", self.disk), e.aegis_log("log", "FULL", self.disk)]
            return self.bench.threads(self._entrants(engines), CALLERS, spread=True)

        return Row(
            "ledger_callers",
            "Records flushed a second, one caller and 64",
            "threads",
            "64 callers of ours at least 30,000 a second, and 4 times those of agent-aegis",
            ["placet-rust-durable"],
            measure,
        )

    def _budget(self) -> Row:
        e = self.engines
        return self._contest(
            "ledger_budget",
            "One record, flushed, that draws on a budget or settles it, beside one that does not",
            "no further flush: less than half a flush between them",
            ["placet-rust-durable-budget"],
            lambda: [
                *e.ours_ledger("durable-budget", self.disk),
                *e.ours_ledger("durable", self.disk, ours=False),
                *e.ours_ledger("flush", self.disk, ours=False),
            ],
        )

    def _governed_written(self) -> Row:
        e = self.engines
        return self._contest(
            "governed_written",
            "`@governed` in Python with its records, not flushed (`written`)",
            "median at most 30 µs",
            ["placet-python-governed-sync-written"],
            lambda: [
                *e.ours_logged("governed-sync-written", "written", self.disk),
                e.aegis_log("governed-logged", "NORMAL", self.disk),
                e.bare("sync"),
            ],
        )

    def _governed_durable(self) -> Row:
        e = self.engines
        return self._contest(
            "governed_durable",
            "`@governed` in Python with its records, flushed (`durable`): two flushes a call, the peer one",
            "none stated",
            ["placet-python-governed-sync-durable"],
            lambda: [
                *e.ours_logged("governed-sync-durable", "durable", self.disk),
                e.aegis_log("governed-logged", "FULL", self.disk),
                *e.ours_ledger("flush", self.disk, ours=False),
            ],
        )

    def _credentials(self) -> Row:
        e = self.engines
        surfaces = ("handle", "chain", "chain-known")
        return self._contest(
            "credentials",
            "Credentials: a handle, a signed chain of three, and the same chain seen before",
            "handle < 1 µs, chain of three at most 250 µs, seen before at most 5 µs",
            [f"placet-rust-{surface}" for surface in surfaces],
            lambda: [engine for surface in surfaces for engine in e.ours_ledger(surface, self.disk)],
        )

    def _contest(
        self,
        key: str,
        title: str,
        target: str,
        expected: Sequence[str],
        engines: Callable[[], list[Engine]],
    ) -> Row:
        return Row(
            key, title, "contest", target, expected, lambda: self.bench.contest(self._entrants(engines()))
        )

    @staticmethod
    def _entrants(engines: Sequence[Engine]) -> list[Entrant]:
        """Only the allowed refund: what is asked of people would wait for them."""
        allowed: list[Case] = [
            case for case in core10.cases() if case.event["action"] == "refund" and case.verdict == "allow"
        ]
        return [Entrant(engine, allowed, CORE10, timed=allowed) for engine in engines]
