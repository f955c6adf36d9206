"""Sanitisers: a text in, a cleaned text or a finding out. Policies play no part here.

Usage: sanitise.py ENGINE, where ENGINE is kitelogik or aegis (run by that peer's own interpreter)
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from protocol import Adapter, Event, serve


def _kitelogik() -> Callable[[str], bool]:
    from kitelogik.tether import sanitize_tool_output

    return lambda text: sanitize_tool_output(text).was_modified


def _aegis() -> Callable[[str], bool]:
    from aegis.guardrails.injection import InjectionGuardrail

    guardrail = InjectionGuardrail()
    return lambda text: bool(guardrail.detect(text))


ENGINES = {"kitelogik": (_kitelogik, "kitelogik"), "aegis": (_aegis, "agent-aegis")}


class Sanitiser(Adapter):
    """Every call gets a text of its own: aegis remembers texts it has seen."""

    surface = "text -> injection found or not"

    def __init__(self, engine: str) -> None:
        make, self.package = ENGINES[engine]
        self.finds = make()
        self.name = self.package
        self.texts: list[str] = []
        self.calls = 0

    def version(self) -> str:
        """From the installed package."""
        return version(self.package)

    def prepare(self, events: list[Event]) -> None:
        """The texts as they are."""
        self.texts = [event["text"] for event in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Nothing to load."""

    def call(self, index: int) -> bool:
        """Whether an injection was found."""
        self.calls += 1
        return self.finds(f"{self.texts[index]} {self.calls}")

    def verdict(self, answer: bool) -> str:
        """A finding counts as deny."""
        return "deny" if answer else "allow"


if __name__ == "__main__":
    serve(Sanitiser(sys.argv[1]))
