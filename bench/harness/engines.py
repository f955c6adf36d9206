"""Every engine of the bench and how to start it. Ours appear as soon as their adapter file exists."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.provision import BENCH, Tools, cargo_worker
from harness.worker import Engine

_WORKERS = BENCH / "workers"


class Engines:
    """Makes engines for one run."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self._rust: str | None = None
        if (BENCH / "ours_rust" / "Cargo.toml").exists():
            self._rust = cargo_worker(BENCH / "ours_rust", "placet-worker")

    def opa_golib(self) -> Engine:
        """OPA in process."""
        return replace(
            self._python("opa-golib", "opa", sys.executable, "opa_golib.py", self.tools.golib), form="json"
        )

    def opa_server(self) -> Engine:
        """OPA over HTTP."""
        return replace(
            self._python("opa-server", "opa", sys.executable, "opa_http.py", self.tools.opa), form="json"
        )

    def regorus(self) -> Engine:
        """The interpreter."""
        return Engine("regorus", "regorus", [self.tools.regorus], form="json")

    def regorus_rvm(self) -> Engine:
        """The virtual machine."""
        return Engine("regorus-rvm", "regorus", [self.tools.regorus, "--rvm"], form="json")

    def cedar(self) -> Engine:
        """Requests built beforehand."""
        return Engine("cedar-policy", "cedar", [self.tools.cedar])

    def kite(self, surface: str, engine: str) -> Engine:
        """`surface` and `engine` as in workers/kite.py."""
        where = self.tools.golib if engine == "golib" else self.tools.opa
        return self._python(
            f"kitelogik-{engine}", "kitelogik", self.tools.kite_python, "kite.py", surface, engine, where
        )

    def aegis(self, surface: str) -> Engine:
        """`surface` as in workers/aegis_peer.py."""
        return self._python("agent-aegis", "aegis", self.tools.aegis_python, "aegis_peer.py", surface)

    def bare(self, surface: str) -> Engine:
        """No governance at all."""
        return self._python("no-governance", "bare", sys.executable, "bare.py", surface)

    def sanitiser(self, name: str) -> Engine:
        """A peer's sanitiser in that peer's environment."""
        python = self.tools.kite_python if name == "kitelogik" else self.tools.aegis_python
        return self._python(f"{name}-sanitiser", name, python, "sanitise.py", name)

    def ours_rust(self, surface: str, files: str, *, core: bool) -> list[Engine]:
        """`placet-policy` called from Rust; empty until `bench/ours_rust/` exists."""
        options = {"core": core, "files": [files]}
        if self._rust is None:
            return []
        form = "json" if surface == "json" else "object"
        command = [self._rust, surface]
        return [Engine(f"placet-rust-{surface}", "placet", command, ours=True, form=form, options=options)]

    def ours_python(self, surface: str, files: str = "", *, core: bool = False) -> list[Engine]:
        """The Python package; empty until `bench/ours_python.py` exists."""
        adapter = BENCH / "ours_python.py"
        if not adapter.exists():
            return []
        python = os.environ.get("PLACET_BENCH_PYTHON", sys.executable)
        options: dict[str, Any] = {"core": core, "files": [files] if files else []}
        command = [python, str(adapter), surface]
        return [Engine(f"placet-python-{surface}", "placet", command, ours=True, options=options)]

    def kite_bundle(self, workload: Path, target: Path) -> Path:
        """Writes Kite Logik's bundle with the workload's rules as plain Rego files; their folder."""
        script = str(_WORKERS / "kite_bundle.py")
        subprocess.run([self.tools.kite_python, script, str(workload), str(target)], check=True)
        return target

    def _python(self, key: str, family: str, python: str, script: str, *arguments: str) -> Engine:
        return Engine(key, family, [python, str(_WORKERS / script), *arguments])
