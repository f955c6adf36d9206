# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs `placet simulate` over events: one process for a whole file, one decision a line, in order."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERDICTS = ("allow", "escalate", "deny")


@dataclass(frozen=True)
class Run:
    """The decisions of one `simulate`, and how long the process took, in seconds."""

    decisions: list[dict[str, Any]]
    seconds: float


def write_events(path: Path, events: Iterable[dict[str, Any]]) -> int:
    """Writes events as JSONL and says how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
            count += 1
    return count


def simulate(placet: Path, events: Path, policies: Path) -> Run:
    """Judges every event of a file. Stops the demo when the engine fails or answers short."""
    command = [str(placet), "simulate", str(events), "--policies", str(policies), "--format", "json"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(command)}` exited with {done.returncode}:\n{done.stderr.strip()}")
    decisions = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    with events.open(encoding="utf-8") as file:
        asked = sum(1 for _ in file)
    if len(decisions) != asked:
        raise SystemExit(f"`{events}` has {asked} events but `simulate` gave {len(decisions)} decisions")
    if strange := {decision["verdict"] for decision in decisions} - set(VERDICTS):
        raise SystemExit(f"`simulate` gave unknown verdicts: {', '.join(sorted(strange))}")
    return Run(decisions, seconds)
