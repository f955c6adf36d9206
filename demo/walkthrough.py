"""The five-minute walkthrough: scaffold a project, write a policy, watch it allow, deny and escalate."""

# SPDX-License-Identifier: MIT OR Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE / "out" / "walkthrough"
PLACET = str(Path(sys.executable).parent / "placet")

POLICY = """\
version: 1

rules:
  - name: allow_small_refund
    when:
      action: approve_refund
      role: support_agent
      scope: approve_refund
      args:
        amount: { gte: 0, lte: 100 }
    then: allow

  - name: ask_for_medium_refund
    when:
      action: approve_refund
      args:
        amount: { gt: 100, lte: 1000 }
    then: hitl
    reviewers: [finance-oncall]
    reason: "Refunds over $100 need a person"

  - name: block_large_refund
    when:
      action: approve_refund
      args:
        amount: { gt: 1000 }
    then: deny
    reason: "Refunds over $1000 require manager approval"
"""

SCRIPT = """\
import asyncio

from placet import GovernanceError, PolicyGate, SessionContext, governed

gate = PolicyGate(policies="policies/")
context = SessionContext(
    session_id="tutorial_001", user_role="support_agent", session_scopes=["approve_refund"]
)


@governed(gate=gate, context=context)
async def approve_refund(customer_id: str, amount: float) -> str:
    return f"Refunded ${amount:.2f} to {customer_id}"


async def main() -> None:
    for amount in (42.0, 500.0, 5000.0):
        try:
            print("ALLOW   ", await approve_refund(customer_id="cust_001", amount=amount))
        except GovernanceError as error:
            word = "ESCALATE" if error.decision.requires_hitl else "DENY    "
            print(word, error)


asyncio.run(main())
"""


def run(*command: str) -> int:
    """Shows a command as a person would type it, runs it in the project and returns its exit code."""
    shown = " ".join(Path(command[0]).name if word == command[0] else word for word in command)
    print(f"\n$ {shown}", flush=True)
    return subprocess.run(command, cwd=PROJECT, check=False).returncode


def expect(wanted: int, got: int) -> None:
    """The walkthrough is also a test: an unexpected exit code ends it."""
    if got != wanted:
        sys.exit(f"expected exit code {wanted}, got {got}")


def event(amount: float) -> str:
    """One refund as an event document."""
    context = {
        "session_id": "tutorial_001",
        "user_role": "support_agent",
        "session_scopes": ["approve_refund"],
        "delegation_depth": 0,
        "sandbox_verified": False,
    }
    args = {"customer_id": "cust_001", "amount": amount}
    return json.dumps({"action": "approve_refund", "args": args, "context": context})


def main() -> None:
    """Runs the walkthrough in a fresh folder."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    PROJECT.mkdir(parents=True)
    expect(0, run(PLACET, "init", "."))
    (PROJECT / "policies" / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (PROJECT / "refund.py").write_text(SCRIPT, encoding="utf-8")
    expect(0, run(PLACET, "compile", "policies/policy.yaml"))
    expect(0, run(PLACET, "validate"))
    expect(0, run(sys.executable, "refund.py"))
    for amount, code in ((42.0, 0), (500.0, 3), (5000.0, 1)):
        expect(code, run(PLACET, "explain", event(amount)))


if __name__ == "__main__":
    main()
