"""A PostgreSQL server for tests: `PLACET_TEST_POSTGRES`, or one of our own on a Unix socket."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

_schemas = itertools.count()


def program(name: str) -> str:
    """A program of PostgreSQL: distributions keep them out of the path."""
    given, path = os.environ.get("PLACET_POSTGRES_BIN", ""), os.environ.get("PATH", "")
    found = shutil.which(name, path=os.pathsep.join([given, path, *glob.glob("/usr/lib/postgresql/*/bin")]))
    assert found, (
        f"`{name}` of PostgreSQL is not installed; install it, or set PLACET_TEST_POSTGRES to a server"
    )
    return found


class Server:
    """A server, which is reached by a Unix socket and can be stopped and started."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        self.url = url
        self._folder = folder

    def ledger(self) -> str:
        """The address of a ledger that nothing else uses."""
        joint = "&" if "?" in self.url else "?"
        return f"{self.url}{joint}schema=test_{os.getpid()}_{next(_schemas)}"

    def control(self, *arguments: str) -> None:
        assert self._folder is not None, "a server that is not ours cannot be stopped"
        _run("pg_ctl", "-D", str(self._folder / "data"), "-w", *arguments)

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses='' -c max_connections=200"
        self.control("-o", options, "-l", f"{self._folder}/server.log", "start")

    def stop(self, mode: str = "fast") -> None:
        self.control("-m", mode, "stop")


def _user() -> str:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"


def _run(name: str, *arguments: str) -> None:
    command = [program(name), *arguments]
    if os.geteuid() == 0:  # a server refuses to run as root
        command = ["runuser", "-u", _user(), "--", *command]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")


@contextlib.contextmanager
def own_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="placet-pg"))
    if os.geteuid() == 0:
        shutil.chown(folder, _user())
    server = Server(f"postgresql://placet@{quote(str(folder), safe='')}/postgres", folder)
    try:
        _run("initdb", "-D", str(folder / "data"), "-U", "placet", "-A", "trust")
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # it is down
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """The server that the environment names, else one of our own for as long as this lasts."""
    given = os.environ.get("PLACET_TEST_POSTGRES")
    if given:
        yield Server(given)
        return
    with own_server() as own:
        yield own
