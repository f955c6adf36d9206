"""Measures Placet beside its peers and writes `bench/out/results.md` and `bench/out/results.json`.

    python bench/run.py [--quick] [--only KEY ...] [--list]

`--quick` is a smoke test whose figures must not be quoted. See bench/README.md.
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import argparse
import sys
import time

from harness import machine, report
from harness.contest import Bench, Effort
from harness.engines import Engines
from harness.ledger_rows import LedgerRows
from harness.provision import BENCH, ProvisionError, provision
from harness.rows import Rows
from harness.worker import WorkerError

OUT = BENCH / "out"


def main() -> int:
    """0 when every row was measured; 2 when a peer could not be had or engines disagree."""
    options = _options()
    OUT.mkdir(exist_ok=True)
    log = OUT / "engines.log"
    log.write_text("")
    effort = Effort(seconds=0.05, rounds=3) if options.quick else Effort(seconds=0.25, rounds=9)
    try:
        _say("fetching and building the peers (minutes the first time)")
        engines = Engines(provision())
        bench = Bench(effort, log)
        rows = Rows(bench, engines, OUT / "policies", quick=options.quick).all()
        rows += LedgerRows(bench, engines, OUT / "disk").all()
        if options.list:
            print("\n".join(f"{row.key:24} {row.title}" for row in rows))
            return 0
        facts = machine.describe(BENCH.parent) | {"quick": options.quick, "rounds": effort.rounds}
        results = []
        for row in rows:
            if options.only and row.key not in options.only:
                continue
            _say(row.title)
            started = time.monotonic()
            head = {name: getattr(row, name) for name in ("key", "title", "kind", "target", "expected")}
            results.append(head | {"results": row.measure(), "seconds": round(time.monotonic() - started, 1)})
            report.write(OUT, facts | {"load_after": machine.load_now()}, results)
    except (ProvisionError, WorkerError) as error:
        _say(f"error: {error}")
        return 2
    print((OUT / "results.md").read_text())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Placet beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a smoke test; its figures must not be quoted")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="rows to measure (see --list)")
    parser.add_argument("--list", action="store_true", help="list the rows")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
