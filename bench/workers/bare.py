"""The refund tool without any governance: the floor of the governed rows.

Usage: bare.py SURFACE, where SURFACE is async or sync
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

from protocol import Adapter, Event, serve
from refund_tool import refund, refund_sync


class Bare(Adapter):
    """Calls the function."""

    name = "no governance"

    def __init__(self, surface: str) -> None:
        self.is_async = surface == "async"
        self.surface = f"{surface} function, undecorated"
        self.inputs: list[dict[str, Any]] = []

    def version(self) -> str:
        """The interpreter's."""
        return f"Python {platform.python_version()}"

    def prepare(self, events: list[Event]) -> None:
        """Keyword arguments."""
        self.inputs = [event["args"] for event in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Nothing to load."""

    def call(self, index: int) -> Any:
        """The call itself."""
        return refund(**self.inputs[index]) if self.is_async else refund_sync(**self.inputs[index])

    def verdict(self, answer: Any) -> str:
        """Everything is allowed."""
        return "allow"


if __name__ == "__main__":
    serve(Bare(sys.argv[1]))
