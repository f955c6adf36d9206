"""Fetches and builds the peers, once, into a cache outside the repository."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
OPA_VERSION = "1.22.0"


class ProvisionError(RuntimeError):
    """A peer could not be fetched or built."""


@dataclass(frozen=True)
class Tools:
    """Where each peer is found."""

    kite_python: str
    aegis_python: str
    golib: str
    opa: str
    regorus: str
    cedar: str


def provision() -> Tools:
    """Everything a run needs; what is there already is not fetched again."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "placet-bench"
    cache.mkdir(parents=True, exist_ok=True)
    return Tools(
        kite_python=_venv(cache, "kitelogik"),
        aegis_python=_venv(cache, "aegis"),
        golib=_golib(cache),
        opa=_opa(cache),
        regorus=cargo_worker(BENCH / "peers", "regorus-worker", "regorus"),
        cedar=cargo_worker(BENCH / "peers", "cedar-worker", "cedar"),
    )


def cargo_worker(package: Path, binary: str, feature: str | None = None) -> str:
    """Builds one worker in release mode with its committed lock file; the path of the binary."""
    command = ["cargo", "build", "--release", "--locked", "--bin", binary]
    _run([*command, *(["--features", feature] if feature else [])], package)
    target = Path(os.environ.get("CARGO_TARGET_DIR", package / "target"))
    return str(target / "release" / binary)


def _venv(cache: Path, name: str) -> str:
    """A virtual environment made again whenever its requirements change."""
    wanted = (BENCH / f"requirements-{name}.txt").read_text()
    folder = cache / f"venv-{name}"
    stamp = folder / "requirements.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], BENCH)
        _run(
            [str(python), "-m", "pip", "install", "-q", "-r", str(BENCH / f"requirements-{name}.txt")], BENCH
        )
        stamp.write_text(wanted)
    return str(python)


def _golib(cache: Path) -> str:
    """The wheel is tagged for a newer Python than needed: downloaded as for that one, and unpacked."""
    wanted = (BENCH / "requirements-opa.txt").read_text().strip()
    folder = cache / wanted.replace("==", "-")
    if not folder.exists():
        wheels = cache / "wheels"
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--python-version", "3.14"]
        _run([*command, "--only-binary=:all:", wanted, "-d", str(wheels)], BENCH)
        wheel = next(wheels.glob("opa_golib_python_bindings-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return str(folder)


def _opa(cache: Path) -> str:
    """The pinned version, found on the path, where Go installs, or in the cache; else installed there."""
    gopath = subprocess.run(["go", "env", "GOPATH"], capture_output=True, text=True).stdout.strip()
    for place in (shutil.which("opa"), f"{gopath}/bin/opa", str(cache / "opa")):
        if place and Path(place).exists() and _opa_version(place) == OPA_VERSION:
            return place
    module = f"github.com/open-policy-agent/opa@v{OPA_VERSION}"
    _run(["go", "install", module], BENCH, GOBIN=str(cache))
    return str(cache / "opa")


def _opa_version(binary: str) -> str:
    said = subprocess.run([binary, "version"], capture_output=True, text=True).stdout
    return said.splitlines()[0].removeprefix("Version: ") if said else ""


def _run(command: Sequence[str], folder: Path, **environment: str) -> None:
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise ProvisionError(
            f"`{' '.join(command)}` failed with code {done.returncode}:\n{done.stderr[-2000:]}"
        )
