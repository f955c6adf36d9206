"""A governed call waits in one process, `placet serve` is another, and a person answers over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from placet import AuditLog

ROOT = Path(__file__).parents[2]
BINARY = ROOT / "target" / "debug" / "placet"

SETTINGS = """
policies: policy.yaml
ledger: audit.db
keys: keys
approvals:
  groups: { finance: [alice, bob], support: [dave] }
server:
  listen: 127.0.0.1:0
  reviewers:
    - { name: alice, token_env: ALICE_TOKEN }
    - { name: dave, token_env: DAVE_TOKEN }
"""

POLICY = """
version: 1
rules:
  - { name: large, when: { action: pay }, then: hitl, reviewers: [finance], reason: ask a person }
"""

WAITING = """
import placet

gate = placet.PolicyGate(config="placet.yaml", on_escalate="wait", approval_timeout_seconds=60)
context = placet.SessionContext(session_id="s1", user_role="agent", session_scopes=[])
pay = placet.governed(gate=gate, context=context, action="pay")(lambda amount: f"paid {amount}")
try:
    print(pay(900))
except placet.GovernanceError as refused:
    print(refused.code)
gate.close()
"""

TOKENS = {name: f"{name}-token-0123456789abcdef" for name in ("alice", "dave")}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "placet.yaml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    return kept | {f"{name.upper()}_TOKEN": token for name, token in TOKENS.items()}


@pytest.fixture
def service(tmp_path: Path, environment: dict[str, str]) -> Iterator[str]:
    if not BINARY.exists():
        subprocess.run(["cargo", "build", "-q", "--locked", "-p", "placet-cli"], cwd=ROOT, check=True)
    command = [BINARY, "serve", "--format", "json"]
    serving = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    try:
        assert serving.stdout is not None
        yield json.loads(serving.stdout.readline())["listening"]
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(20) == 0
    finally:
        serving.kill()
        serving.communicate()


def ask(url: str, name: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKENS[name]}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def waiting(tmp_path: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", WAITING]
    return subprocess.Popen(program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)


def request_of(service: str) -> str:
    for _ in range(600):
        status, page = ask(f"{service}/v1/approvals?session=s1", "alice")
        assert status == 200, page
        if page["approvals"]:
            return f"{service}/v1/approvals/{page['approvals'][0]['id']}"
        time.sleep(0.05)
    raise AssertionError("nobody was asked")


@pytest.mark.parametrize(("verb", "printed"), [("approve", "paid 900"), ("deny", "approval_denied")])
def test_f69_f71_a_call_of_another_process_waits_for_a_member_of_the_group(
    tmp_path: Path, environment: dict[str, str], service: str, verb: str, printed: str
) -> None:
    call = waiting(tmp_path, environment)
    request = request_of(service)
    status, shown = ask(request, "alice")
    assert status == 200 and "amount = 900" in shown["would_run"]["text"]
    status, refused = ask(f"{request}/{verb}", "dave", {})
    assert (status, refused["needed_groups"]) == (403, ["finance"])
    status, after = ask(f"{request}/{verb}", "alice", {"reason": "looked at it"})
    assert (status, after["decision"]["by"]) == (200, "alice")
    assert (call.communicate(timeout=30)[0].strip(), call.returncode) == (printed, 0)
    status, late = ask(f"{request}/approve", "alice", {})
    assert (status, late["decision"]["by"]) == (409, "alice")
    [key] = (tmp_path / "keys").glob("*.vkey")
    report = AuditLog(tmp_path / "audit.db").verify(key.read_text(encoding="utf-8").split())
    assert report["ok"], report
