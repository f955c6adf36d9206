"""Every engine of the bench and how to start it. Ours appear as soon as their adapter file exists."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cases import Case
from harness.provision import BENCH, Tools, cargo_worker
from harness.worker import Engine, WorkerError

_WORKERS = BENCH / "workers"
QUERY = "bench.decision"
EXPORTED_QUERY = "placet.main.decision"


class Engines:
    """Makes engines for one run."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self._rust: str | None = None
        if (BENCH / "ours_rust" / "Cargo.toml").exists():
            self._rust = cargo_worker(BENCH / "ours_rust", "placet-worker")

    def opa_golib(self, query: str = QUERY) -> Engine:
        """OPA in process."""
        engine = self._python("opa-golib", "opa", sys.executable, "opa_golib.py", self.tools.golib, query)
        return replace(engine, form="json")

    def opa_server(self, query: str = QUERY) -> Engine:
        """OPA over HTTP."""
        engine = self._python("opa-server", "opa", sys.executable, "opa_http.py", self.tools.opa, query)
        return replace(engine, form="json")

    def regorus(self, query: str = QUERY) -> Engine:
        """The interpreter."""
        return Engine("regorus", "regorus", [self.tools.regorus, "interpreter", query], form="json")

    def regorus_rvm(self, query: str = QUERY) -> Engine:
        """The virtual machine."""
        return Engine("regorus-rvm", "regorus", [self.tools.regorus, "rvm", query], form="json")

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

    def aegis_log(self, surface: str, synchronous: str, disk: Path) -> Engine:
        """Its log in SQLite on this disk, flushed as SQLite's `synchronous` says."""
        engine = self._python(
            f"agent-aegis-{surface}", "aegis", self.tools.aegis_python, "aegis_log.py", surface, synchronous
        )
        return replace(engine, options={"disk": str(disk)})

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

    def ours_ledger(self, surface: str, disk: Path, *, ours: bool = True) -> list[Engine]:
        """A surface of `bench/ours_rust/src/ledger.rs`; `ours` marks what peers are held against."""
        if self._rust is None:
            return []
        key = "disk" if surface == "flush" else f"placet-rust-{surface}"
        return [Engine(key, "placet", [self._rust, surface], ours=ours, options={"disk": str(disk)})]

    def ours_logged(self, surface: str, ack: str, disk: Path) -> list[Engine]:
        """The Python package with its ledger on this disk."""
        engines = self.ours_python(surface, "rules.yaml", core=True)
        return [replace(one, options=one.options | {"disk": str(disk), "ack": ack}) for one in engines]

    def exported(self, workload: Path, file: str, target: Path) -> Path:
        """Writes the core bundle and one policy file as `placet compile` exports them; their folder."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        self._tool("export", str(workload / file), str(target))
        return target

    def documents(self, cases: Sequence[Case]) -> list[Case]:
        """The same cases with the input that exported policies need: the event and its normal forms."""
        answer = self._tool("documents", input=json.dumps([case.event for case in cases]))
        return [replace(case, event=one) for case, one in zip(cases, json.loads(answer), strict=True)]

    def _tool(self, *arguments: str, input: str = "") -> str:
        if self._rust is None:
            raise WorkerError("exported policies need `bench/ours_rust/`")
        done = subprocess.run([self._rust, *arguments], input=input, capture_output=True, text=True)
        if done.returncode != 0:
            raise WorkerError(f"`placet-worker {arguments[0]}` failed: {done.stderr}")
        return done.stdout

    def kite_bundle(self, workload: Path, target: Path) -> Path:
        """Writes Kite Logik's bundle with the workload's rules as plain Rego files; their folder."""
        script = str(_WORKERS / "kite_bundle.py")
        subprocess.run([self.tools.kite_python, script, str(workload), str(target)], check=True)
        return target

    def _python(self, key: str, family: str, python: str, script: str, *arguments: str) -> Engine:
        return Engine(key, family, [python, str(_WORKERS / script), *arguments])
