"""OPA inside this process (the Go library of `opa-golib-python-bindings`): JSON text in, JSON text out.

The library is called with bytes directly, without the binding's own `json.dumps` and `json.loads`, so that
OPA is charged for OPA's work only.
Usage: opa_golib.py UNPACKED_WHEEL QUERY, where QUERY is such as bench.decision
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import ctypes
import json
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from protocol import Adapter, Event, serve


class OpaInProcess(Adapter):
    """`data.QUERY` in a prepared query of one engine."""

    name = "opa-golib"
    surface = "JSON text -> JSON text, in process"

    def __init__(self, wheel: str, query: str) -> None:
        sys.path.insert(0, wheel)
        self.wheel = wheel
        self.query = query.encode()
        from opa_bindings import OpaEngine

        self.engine = OpaEngine()
        self.inputs: list[bytes] = []

    def version(self) -> str:
        """The wheel's version."""
        return next(d.version for d in distributions(path=[self.wheel]) if d.name.startswith("opa-golib"))

    def prepare(self, events: list[Event]) -> None:
        """JSON bytes."""
        self.inputs = [json.dumps(event).encode() for event in events]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Every module of the folder."""
        for file in sorted(folder.glob("*.rego")):
            self.engine.add_policy(file.name, file.read_text(encoding="utf-8"))

    def call(self, index: int) -> bytes:
        """One evaluation; the answer is the library's JSON envelope."""
        lib = self.engine._lib
        pointer = lib.OpaEvalDocument(self.engine._handle, self.query, self.inputs[index], 0, 0)
        answer = ctypes.string_at(pointer)
        lib.OpaFreeString(pointer)
        return answer

    def verdict(self, answer: bytes) -> str:
        """The outcome in the envelope."""
        envelope = json.loads(answer)
        if envelope.get("error"):
            raise RuntimeError(f"OPA answered {envelope['error']}")
        return str(envelope["result"][0]["expressions"][0]["value"]["outcome"])


if __name__ == "__main__":
    serve(OpaInProcess(*sys.argv[1:3]))
