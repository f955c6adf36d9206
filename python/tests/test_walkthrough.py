"""Seed 000: `docs/walkthrough.md` holds as printed, against a real OPA server and embedded."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from conformance_cases import load

PAGE = Path(__file__).parents[2] / "docs" / "walkthrough.md"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = 8181  # printed on the page: the script and the compose file both name it
PRINTED = [
    "Refunded $42.00 to cust_001",
    "BLOCKED: Tool 'approve_refund' denied by policy: Refunds over $100 require manager approval",
    "  risk_tier   = OPERATIONAL",
    "  rule_matched = block_large_refund",
]
WAIT_SECONDS = 30


def find_opa():
    """The `opa` that `PLACET_OPA` names; without it, whichever is installed."""
    if named := os.environ.get("PLACET_OPA"):
        assert Path(named).is_file(), f"PLACET_OPA names no file: {named}"
        return named
    home = os.environ.get("GOPATH") or str(Path.home() / "go")
    return shutil.which("opa") or shutil.which("opa", path=str(Path(home) / "bin"))


@pytest.fixture
def opa():
    found = find_opa()
    if found is None:
        pytest.skip("no `opa` in PLACET_OPA, the path or Go's folder; `make opa` installs it")
    return found


class Project:
    """A folder in which the page's commands are run as a reader types them."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = contextlib.ExitStack()

    def run(self, *command):
        """Runs a command, `placet` and `python` being those under test."""
        names = {"placet": [Path(sys.executable).parent / "placet"], "python": [sys.executable]}
        return subprocess.run(
            [*names[command[0]], *command[1:]],
            cwd=self.folder,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=WAIT_SECONDS,
            env={**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
            check=False,
        )

    def follow(self, opa, page):
        """Writes the page's files and runs its commands, in order; checks what is printed below a command."""
        printed = None
        for kind, file, text in BLOCK.findall(page):
            if file:
                (self.folder / file).write_text(text, encoding="utf-8")
            elif kind == "bash":
                for line in text.splitlines():
                    printed = self.command(opa, shlex.split(line, comments=True))
            elif kind == "text":
                assert printed == text
        return printed

    def command(self, opa, words):
        match words:
            case ["pip", "install", "placet"]:
                return None  # it is what is tested
            case ["cd", name]:
                self.folder = self.folder / name
                return None
            case ["docker", "compose", "up", "-d"]:
                return self.servers.enter_context(serving(opa, self.compose_command()))
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def compose_command(self):
        """What the compose file has the container run, on the folders that it mounts."""
        service = load(self.folder / "docker-compose.yml")["services"]["opa"]
        assert any(port.endswith(f":{PORT}:{PORT}") for port in service["ports"])
        version = service["image"].removeprefix("openpolicyagent/opa:")
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), "the image has no fixed version"
        mounts = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
        return [str(self.folder / mounts[word]) if word in mounts else word for word in service["command"]]

    def script_until(self, wanted):
        """Runs the script until it prints this: a server looks at changed files when the system tells it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (done := self.run("python", "refund.py")).stdout.splitlines() != wanted:
            assert time.monotonic() < deadline, done.stdout + done.stderr
        assert done.returncode == 0


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    with project.servers:
        yield project


@contextlib.contextmanager
def serving(opa, command):
    """A real OPA server that answers, stopped at the end."""
    with port_to_ourselves(), tempfile.TemporaryFile() as log:
        arguments = [opa, *command, "--disable-telemetry"]
        server = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while not is_healthy():
                running = server.poll() is None and time.monotonic() < deadline
                if not running:
                    log.seek(0)
                    pytest.fail(f"OPA does not answer: {log.read().decode()}")
                time.sleep(0.02)
            yield
        finally:
            server.terminate()
            server.wait()


def is_healthy():
    try:
        with urllib.request.urlopen(f"http://localhost:{PORT}/health", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def port_to_ourselves():
    """The page names a port, so runs of this test on one machine take turns."""
    fcntl = pytest.importorskip("fcntl")
    with (Path(tempfile.gettempdir()) / f"placet-port-{PORT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", PORT))
            except OSError:
                pytest.fail(f"port {PORT} is taken; stop what listens there, since the page names that port")
        yield


def page():
    return PAGE.read_text(encoding="utf-8")


def raise_threshold(project, old, new):
    policy = project.folder / "policies" / "policy.yaml"
    text = policy.read_text(encoding="utf-8")
    assert text.count(f" {old} }}") == 2
    policy.write_text(text.replace(f" {old} }}", f" {new} }}"), encoding="utf-8")


def test_f01_seed_000_the_page_holds_with_a_real_opa_server(project, opa):
    text, change = page().split("## Change the policy")
    printed = project.follow(opa, text)
    assert printed.splitlines() == PRINTED

    raise_threshold(project, 100, 6000)
    compiled, rerun = next(block[2].splitlines() for block in BLOCK.findall(change))
    assert rerun == "python refund.py"
    project.command(opa, shlex.split(compiled))
    project.script_until(PRINTED[:1])
    raise_threshold(project, 6000, 10)
    project.command(opa, shlex.split(compiled))
    wanted = "Tool 'approve_refund' denied by policy: Refunds over $100 require manager approval"
    deadline = time.monotonic() + WAIT_SECONDS
    while wanted not in (done := project.run("python", "refund.py")).stderr:
        assert time.monotonic() < deadline, done.stdout + done.stderr
    assert (done.returncode, done.stdout) == (1, "")


def test_f01_seed_000_a_server_on_the_compiled_folder_alone_decides_the_same(project, opa):
    (project.folder / "policies").mkdir()
    files = {file: text for _, file, text in BLOCK.findall(page()) if file}
    for file, text in files.items():
        (project.folder / file).write_text(text, encoding="utf-8")
    project.command(opa, ["placet", "compile", "policies/policy.yaml"])
    (docker,) = [text for kind, _, text in BLOCK.findall(page()) if kind == "sh"]
    words = shlex.split(docker.replace("\\\n", " "))
    command = words[words.index("openpolicyagent/opa:1.22.0") + 1 :]
    assert command[-1] == "/policies"
    with serving(opa, [*command[:-1], str(project.folder / "policies")]):
        assert project.run("python", "refund.py").stdout.splitlines() == PRINTED
    done = project.run("python", "refund.py")
    assert (done.returncode, done.stdout) == (1, ""), "nothing runs when the server is gone"
    assert "hard blocked by security policy" in done.stderr


def test_f02_seed_000_the_page_holds_without_a_server(project):
    (project.folder / "policies").mkdir()
    embedded = ("PolicyGate(opa_client=OPAClient())", 'PolicyGate(policies="policies/")')
    assert all(f"`{form}`" in page() for form in embedded)
    for _, file, text in BLOCK.findall(page()):
        if file:
            (project.folder / file).write_text(text.replace(*embedded), encoding="utf-8")
    project.script_until(PRINTED)
    raise_threshold(project, 100, 6000)
    project.script_until(PRINTED[:1])
