"""A real OPA server asked over one keep-alive connection per thread: JSON text in, JSON text out.

The client is a bare socket with a request made beforehand: a general HTTP client would cost more than OPA.
Usage: opa_http.py OPA_BINARY QUERY, where QUERY is such as bench.decision
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from opa_server import OpaServer
from protocol import Adapter, Event, rss_of, serve


class OpaOverHttp(Adapter):
    """`POST /v1/data/…` of the query."""

    name = "opa-server"
    surface = "JSON text -> JSON text, HTTP keep-alive"

    def __init__(self, binary: str, query: str) -> None:
        self.binary = binary
        self.path = query.replace(".", "/")
        self.server: OpaServer | None = None
        self.requests: list[bytes] = []
        self.local = threading.local()

    def version(self) -> str:
        """What the binary says."""
        said = subprocess.run([self.binary, "version"], capture_output=True, text=True, check=True).stdout
        return said.splitlines()[0].removeprefix("Version: ")

    def prepare(self, events: list[Event]) -> None:
        """Complete HTTP requests."""
        bodies = [json.dumps({"input": event}).encode() for event in events]
        head = f"POST /v1/data/{self.path} HTTP/1.1\r\nHost: opa\r\nContent-Type: application/json\r\n"
        self.requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]

    def load(self, folder: Path, options: dict[str, Any]) -> None:
        """Starting the server is part of it."""
        self.server = OpaServer(self.binary, sorted(folder.glob("*.rego")))

    def call(self, index: int) -> bytes:
        """One request, one answer's body."""
        connection: socket.socket | None = getattr(self.local, "connection", None)
        if connection is None:
            assert self.server is not None
            connection = socket.create_connection(("127.0.0.1", self.server.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.local.connection = connection
        connection.sendall(self.requests[index])
        answer = connection.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        return body

    def verdict(self, answer: bytes) -> str:
        """The outcome in `result`."""
        return str(json.loads(answer)["result"]["outcome"])

    def rss(self) -> int:
        """The server's memory; nothing before it runs."""
        return rss_of(self.server.process.pid) if self.server else 0

    def close(self) -> None:
        """Ends the server."""
        if self.server:
            self.server.close()


if __name__ == "__main__":
    serve(OpaOverHttp(*sys.argv[1:3]))
