"""What the numbers were measured on."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def describe(root: Path) -> dict[str, Any]:
    """CPU, cores, memory, kernel, load, interpreter, commit and time of the run."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    memory = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git(root, "rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git(root, "status", "--porcelain")),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": [round(part, 2) for part in os.getloadavg()],
    }


def load_now() -> list[float]:
    """The load averages of 1, 5 and 15 minutes."""
    return [round(part, 2) for part in os.getloadavg()]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "no git"
