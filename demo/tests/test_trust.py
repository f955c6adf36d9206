"""The demo of people, children and the log, as a newcomer sees it."""

# SPDX-License-Identifier: MIT OR Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parent.parent / "trust.py"


def test_the_demo_shows_a_yes_a_narrower_child_and_an_edited_record() -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)], capture_output=True, text=True, timeout=120, check=False
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    lines = said.splitlines()
    assert "agent:   refunded $120.00 for order A-17" in lines
    assert sum(line.startswith("child:   refused:") for line in lines) == 2
    asked, answered = said.index("waits for a person"), said.index("approvals approve")
    assert asked < answered < said.index("refunded $120.00")
    assert "4111 1111" not in said.partition("What was recorded")[2], "the log holds no card number"
    edited = next(line for line in lines if line.startswith("Somebody edits record ")).split()[3]
    assert f"record {edited}" in said.partition("Somebody edits record")[2].partition("\n")[2]
