"""An operator with `sqlite3` edits what the ledger caches, from another process: nothing runs on it.

The refusal says so, in the process that runs, in one that waits, in one that starts later and at the command
line.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import placet

POLICY = """
version: 1
rules:
  - { name: pays, when: { action: pay }, then: allow }
  - { name: large, when: { action: pay, args.amount: { gt: 100 } }, then: hitl, reason: ask a person }
"""

# What another process does: the deployment of this folder, one call, and what became of it.
CALLS = """
import sys
from test_operator_edits import Deployment
from pathlib import Path

deployment = Deployment(Path(sys.argv[1]), sys.argv[2])
print(deployment.call(int(sys.argv[3])))
"""

# What an operator does: the module that comes with Python, and no Placet.
EDITS = """
import sqlite3, sys

database = sqlite3.connect(sys.argv[1])
print(database.execute(sys.argv[2]).rowcount)
database.commit()
"""

CLI = "import sys; from placet._cli import main; sys.exit(main())"


@dataclasses.dataclass
class Deployment:
    """A folder with a ledger, and a tool that is governed over it."""

    folder: Path
    token: str = ""
    on_escalate: str = "raise"

    def __post_init__(self) -> None:
        settings: dict[str, object] = {"config": self.folder / "placet.yaml"}
        if self.token:
            settings["credential_broker"] = self.broker()
        if self.on_escalate == "wait":
            settings["on_escalate"] = "wait"
        self.gate = placet.PolicyGate(**settings)  # type: ignore[arg-type]
        context = placet.SessionContext(
            session_id="s1", user_role="agent", session_scopes=["pay"], token_id=self.token or None
        )

        @placet.governed(self.gate, context, action="pay")
        def pay(amount: int) -> int:
            self._acts(amount)
            return amount

        @placet.governed(self.gate, context, action="pay")
        async def pay_async(amount: int) -> int:
            self._acts(amount)
            return amount

        self.pay, self.pay_async = pay, pay_async

    def _acts(self, amount: int) -> None:
        with (self.folder / "effects").open("a") as effects:
            effects.write(f"{amount}\n")

    @property
    def ledger(self) -> Path:
        return self.folder / "placet_audit.db"

    def broker(self) -> placet.PersistentCredentialBroker:
        return placet.PersistentCredentialBroker(self.ledger, keys=self.folder / "keys")

    def queue(self) -> placet.HITLQueue:
        return placet.HITLQueue(self.ledger, keys=self.folder / "keys")

    def effects(self) -> int:
        path = self.folder / "effects"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def call(self, amount: int) -> str:
        return _said(lambda: self.pay(amount))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CLI, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=_environment(), capture_output=True, text=True, check=False
        )

    def edit(self, sql: str) -> None:
        """Edits one row, as an operator would."""
        done = subprocess.run(
            [sys.executable, "-c", EDITS, str(self.ledger), sql], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr

    def nothing_runs(self, amount: int) -> None:
        """By no face and in no process."""
        before = self.effects()
        said = [
            self.call(amount),
            _said(lambda: asyncio.run(self.pay_async(amount))),
            Deployment(self.folder, self.token).call(amount),
            self._in_another_process(amount),
        ]
        assert said == ["state_tampered"] * 4
        assert self.effects() == before

    def _in_another_process(self, amount: int) -> str:
        command = [sys.executable, "-c", CALLS, str(self.folder), self.token, str(amount)]
        done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def log_holds(self) -> None:
        """The edit touched what the log says as little as what runs: a row is only a copy."""
        key = self.command("audit", "key").stdout.strip()
        assert self.command("audit", "verify", "--key", key).returncode == 0
        assert placet.AuditLog(self.ledger).verify(key)["ok"]


def _said(run: Callable[[], object]) -> str:
    try:
        run()
    except placet.GovernanceError as error:
        assert error.code != "state_tampered" or "edited" in str(error), str(error)
        return error.code
    return "ran"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture(autouse=True)
def configured_by_files(own_ledger: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACET_LEDGER")
    monkeypatch.delenv("PLACET_KEYS")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    budgets = "budgets: [{ scope: session, api_calls: 10 }]\n"
    settings = "policies: policy.yaml\nledger: placet_audit.db\nkeys: keys\n"
    (tmp_path / "placet.yaml").write_text(settings + budgets)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path


def approval_of(deployment: Deployment) -> str:
    [action] = asyncio.run(deployment.queue().get_pending())
    return action.id


APPROVED = """UPDATE state SET body = replace(body, '"state":"pending"', '"state":"approved"')
              WHERE kind = 'approval'"""


def test_f16_an_approval_row_set_to_approved_approves_nothing(folder: Path) -> None:
    deployment = Deployment(folder)
    assert deployment.call(500) == "approval_required"
    asked = approval_of(deployment)
    deployment.edit(APPROVED)
    deployment.nothing_runs(500)
    assert deployment.call(50) == "ran", "what does not need the row goes on"
    # Nor can people use what was edited.
    for verb in ("approve", "deny"):
        told = deployment.command("approvals", verb, asked, "--by", "ann")
        assert told.returncode == 1 and "it was edited; put it back" in told.stderr, told
    for vote in (deployment.queue().approve, deployment.queue().deny):
        with pytest.raises(placet.ApprovalError) as caught:
            asyncio.run(vote(asked, "ann"))
        assert caught.value.code == "state_tampered"
    shown = deployment.command("approvals", "show", asked)
    assert shown.stdout.startswith("PENDING"), "the log says so"
    deployment.log_holds()
    deployment.nothing_runs(500)


def test_f16_a_deleted_approval_row_asks_nobody_anew(folder: Path) -> None:
    deployment = Deployment(folder)
    assert deployment.call(500) == "approval_required"
    deployment.edit("DELETE FROM state WHERE kind = 'approval'")
    deployment.nothing_runs(500)
    deployment.log_holds()


def test_f16_the_yes_of_a_person_put_under_another_name_is_not_used(folder: Path) -> None:
    deployment = Deployment(folder)
    assert deployment.call(500) == "approval_required"
    assert asyncio.run(deployment.queue().approve(approval_of(deployment), "ann"))
    deployment.edit("UPDATE state SET body = replace(body, '\"ann\"', '\"eve\"') WHERE kind = 'approval'")
    deployment.nothing_runs(500)


def test_f16_a_call_that_waits_is_not_woken_by_an_edited_row(folder: Path) -> None:
    """The wait goes on; the yes that a person gives then is refused, and so is the call, asked again."""
    deployment = Deployment(folder, on_escalate="wait")

    async def run() -> str:
        call = asyncio.create_task(deployment.pay_async(500))
        while not (actions := await deployment.queue().get_pending()):
            assert not call.done()
            await asyncio.sleep(0.01)
        deployment.edit(APPROVED)
        done, _ = await asyncio.wait([call], timeout=0.5)
        assert not done
        with pytest.raises(placet.ApprovalError) as caught:
            await deployment.queue().approve(actions[0].id, "ann")
        assert caught.value.code == "state_tampered"
        call.cancel()
        await asyncio.wait([call], timeout=20)
        assert call.cancelled()
        return await asyncio.to_thread(Deployment(folder).call, 500)

    assert asyncio.run(run()) == "state_tampered"
    assert deployment.effects() == 0


@pytest.mark.parametrize("limit", ["1", "5000"])
def test_f11_a_budget_row_that_was_lowered_or_raised_pays_for_nothing(folder: Path, limit: str) -> None:
    deployment = Deployment(folder)
    assert deployment.call(50) == "ran"
    deployment.edit(
        f"UPDATE state SET body = json_set(body, '$.spent', 0, '$.limit', {limit}) WHERE kind = 'budget'"
    )
    deployment.nothing_runs(50)
    assert deployment.effects() == 1
    deployment.log_holds()


def test_f11_a_deleted_budget_row_pays_for_nothing(folder: Path) -> None:
    deployment = Deployment(folder)
    assert deployment.call(50) == "ran"
    deployment.edit("DELETE FROM state WHERE kind = 'budget'")
    deployment.nothing_runs(50)


def test_f21_kite_20_6_a_revocation_that_was_deleted_revives_nothing(folder: Path) -> None:
    broker = placet.PersistentCredentialBroker(folder / "placet_audit.db", keys=folder / "keys")
    token = broker.issue("s1", ["pay"]).token_id
    deployment = Deployment(folder, token)
    assert deployment.call(50) == "ran"
    assert broker.revoke(token)
    assert deployment.call(50) == "credential_validation"
    deployment.edit("UPDATE state SET body = json_remove(body, '$.revoked') WHERE kind = 'credential'")
    deployment.nothing_runs(50)
    assert broker.validate(token) is None
    deployment.log_holds()


def test_f21_a_revocation_holds_in_another_process_within_a_second(folder: Path) -> None:
    """The edit comes in the same second as the revocation, before the running process has looked again."""
    broker = placet.PersistentCredentialBroker(folder / "placet_audit.db", keys=folder / "keys")
    token = broker.issue("s1", ["pay"]).token_id
    deployment = Deployment(folder, token)
    assert deployment.call(50) == "ran"
    revokes = f"""
import placet
broker = placet.PersistentCredentialBroker({str(deployment.ledger)!r}, keys={str(folder / "keys")!r})
print(broker.revoke({token!r}))
"""
    done = subprocess.run([sys.executable, "-c", revokes], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
    deployment.edit("UPDATE state SET body = json_remove(body, '$.revoked') WHERE kind = 'credential'")
    time.sleep(1.0)
    deployment.nothing_runs(50)
