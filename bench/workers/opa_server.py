"""Starts a real OPA server on a free port of this machine and ends it again."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path


class OpaServer:
    """One `opa run --server` process with its policies given as files. Logs errors only."""

    def __init__(self, binary: str, files: Sequence[Path]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        address = f"127.0.0.1:{self.port}"
        command = [
            binary,
            "run",
            "--server",
            "--addr",
            address,
            "--log-level",
            "error",
            "--skip-version-check",
        ]
        self.process = subprocess.Popen([*command, *map(str, files)])
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"the OPA server ended with code {self.process.returncode} before it listened"
                )
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.002)
        raise RuntimeError(f"the OPA server did not listen on port {self.port} within 60 s")

    def close(self) -> None:
        """Ends the server."""
        self.process.terminate()
        self.process.wait(10)
