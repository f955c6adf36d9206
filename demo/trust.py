"""What stands behind a decision: a person's answer, a child that may do less, a log that shows tampering."""

# SPDX-License-Identifier: MIT OR Apache-2.0
from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE / "out" / "trust"
PLACET = str(Path(sys.executable).parent / "placet")
# The keys lie outside the folder of the log; in real life, outside the reach of whoever can edit it.
ENVIRONMENT = {**os.environ, "PLACET_KEYS": str(HERE / "out" / "trust-keys")}
WAIT_SECONDS = 30

POLICY = """\
version: 1
rules:
  - { name: read, when: { action: read_order, scope: read }, then: allow }
  - { name: ask, when: { action: refund, scope: refund }, then: hitl, reason: "A refund needs a person" }
"""

AGENT = """\
from placet import CredentialBroker, GovernanceError, PolicyGate, SessionContext, governed

broker = CredentialBroker()
gate = PolicyGate(policies="policies/", credential_broker=broker, on_escalate="wait",
                  approval_timeout_seconds=30)


def agent(token):
    context = SessionContext(session_id=token.session_id, user_role="agent",
                             session_scopes=list(token.scopes), token_id=token.token_id)

    @governed(gate=gate, context=context)
    def read_order(order: str) -> str:
        return f"order {order}: 2 books, paid with card 4111 1111 1111 1111"

    @governed(gate=gate, context=context)
    def refund(order: str, amount: float) -> str:
        return f"refunded ${amount:.2f} for order {order}"

    return read_order, refund


parent = broker.issue(session_id="shop", scopes=["read", "refund"], ttl_seconds=300)
read_order, refund = agent(parent)
print("agent:  ", read_order("A-17"))
print("agent:   asks for a refund, and waits for a person", flush=True)
print("agent:  ", refund("A-17", 120.0))

child = broker.delegate(parent_token_id=parent.token_id, requested_scopes=["read"], session_id="helper")
read_order, refund = agent(child)
print("child:  ", read_order("A-18"))
for attempt in (lambda: refund("A-18", 5.0),
                lambda: broker.delegate(child.token_id, ["refund"], "grandchild")):
    try:
        print("child:  ", attempt())
    except (GovernanceError, ValueError) as error:
        print("child:   refused:", error)
"""


def show(*command: str) -> subprocess.CompletedProcess[str]:
    """Shows a command as a person would type it in a second terminal, runs it, and shows what it says."""
    print(f"\n  $ {shlex.join(['placet', *command])}", flush=True)
    done = subprocess.run(
        [PLACET, *command], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    for line in (done.stdout + done.stderr).splitlines():
        print(f"  {line}")
    return done


def expect(wanted: int, done: subprocess.CompletedProcess[str]) -> None:
    """The demo is also a test: an unexpected exit code ends it."""
    if done.returncode != wanted:
        sys.exit(f"expected exit code {wanted}, got {done.returncode}")


def pending(deadline: float) -> str:
    """The id of the request that waits, once there is one."""
    while time.monotonic() < deadline:
        done = subprocess.run(
            [PLACET, "approvals", "list", "--format", "json"],
            cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout) if done.returncode == 0 else []
        if found:
            return str(found[0]["id"])
        time.sleep(0.1)
    sys.exit("nothing waits for approval")


def edit_a_record() -> int:
    """What somebody with access to the database may try: a refund that says it was denied."""
    with sqlite3.connect(PROJECT / "placet_audit.db") as database:
        for (trigger,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        query = "SELECT seq, leaf FROM entry WHERE leaf LIKE '%\"refund\"%' AND leaf LIKE '%\"allow\"%'"
        seq, leaf = database.execute(query).fetchone()
        text = leaf.decode() if isinstance(leaf, bytes) else leaf
        database.execute("UPDATE entry SET leaf = ? WHERE seq = ?", (text.replace('"allow"', '"deny"'), seq))
    return int(seq)


def main() -> None:
    """Runs it all in a fresh folder."""
    for folder in (PROJECT, Path(ENVIRONMENT["PLACET_KEYS"])):
        shutil.rmtree(folder, ignore_errors=True)
    (PROJECT / "policies").mkdir(parents=True)
    (PROJECT / "policies" / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (PROJECT / "agent.py").write_text(AGENT, encoding="utf-8")

    print("\n$ python agent.py", flush=True)
    with subprocess.Popen([sys.executable, "agent.py"], cwd=PROJECT, env=ENVIRONMENT) as agent:
        request = pending(time.monotonic() + WAIT_SECONDS)
        print("\nIn a second terminal:")
        expect(0, show("approvals", "show", request))
        expect(0, show("approvals", "approve", request, "--by", "ann", "--reason", "the parcel was lost"))
        print("\nBack in the first:", flush=True)
    if agent.returncode != 0:
        sys.exit(f"the agent ended with {agent.returncode}")

    print("\nWhat was recorded, and whether anybody touched it:")
    key = "../trust.vkey"
    expect(0, show("audit"))
    expect(0, show("audit", "key", "-o", key))
    expect(0, show("audit", "verify", "--key", key))
    seq = edit_a_record()
    print(f"\nSomebody edits record {seq} with sqlite3:")
    expect(1, show("audit", "verify", "--key", key))


if __name__ == "__main__":
    main()
