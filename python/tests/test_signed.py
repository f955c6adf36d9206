"""Signed tokens between processes: who it is, what it may do, when it ends (promises 6, 9; F19 to F23)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import multiprocessing
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import signed_programs

import placet
from conftest import refusal
from placet.anchor.credentials import CredentialBroker, HolderKey, PersistentCredentialBroker, SignedToken

POLICY = """
version: 1
rules:
  - { name: pays, when: { action: [pay, wire], scope: pay }, then: allow }
  - { name: reads, when: { action: read, scope: read }, then: allow }
  - { name: asks, when: { action: buy, scope: pay }, then: hitl }
  - { name: only_clerks, when: { action: wire, not: { role: clerk } }, then: deny }
"""


def amounts(most: int) -> dict[str, Any]:
    """Payments up to an amount, to anybody."""
    return {"pay": {"amount": {"constraint_type": "range", "min": 0, "max": most}, "*": WILD}}


WILD = {"constraint_type": "wildcard"}
REFUSED = "credential_validation"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.datetime.now(datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now


class Other:
    """A second interpreter with a key of its own."""

    def __init__(self, folder: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, there = spawn.Pipe()
        self.process = spawn.Process(target=signed_programs.serve, args=(folder, there))
        self.process.start()
        there.close()
        assert self.pipe.poll(60)
        self.public: str = self.pipe.recv()

    def __call__(self, name: str, *args: Any) -> Any:
        self.pipe.send((name, *args))
        assert self.pipe.poll(60), name
        return self.pipe.recv()

    def stop(self) -> None:
        self.pipe.close()
        self.process.join(60)


class Bank:
    """The issuer with its gate, and the ledger that others share."""

    def __init__(self, folder: Path, clock: Callable[[], datetime.datetime] | None = None) -> None:
        self.folder = folder
        (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        self.places: dict[str, Any] = {"ledger": folder / "ledger.db", "keys": folder / "keys"}
        self.broker = PersistentCredentialBroker(self.places["ledger"], keys=self.places["keys"], clock=clock)
        self.gate = placet.PolicyGate(
            policies=folder / "policy.yaml", credential_broker=self.broker, clock=clock, **self.places
        )

    def root(self, **options: Any) -> placet.SessionToken:
        options = {"tenant_id": "acme", "role": "clerk", "ttl_seconds": 300, "tools": amounts(500), **options}
        return self.broker.issue("s0", ["pay", "read"], **options)

    def chain(self, public: str, root: placet.SessionToken, **options: Any) -> SignedToken:
        """A chain of three: the issuer's, one narrowed here, and one for the other process."""
        middle = HolderKey()
        second = root.signed().delegate(["pay"], "s1", middle, agent_id="planner", tools=amounts(100))
        third = second.delegate(
            ["pay"], "s2", public, agent_id="worker", tools=amounts(80), ttl_seconds=120, **options
        )
        assert any("at most 100 -> at least 0 and at most 80" in line for line in third.changes)
        return third

    def shown(self, token: str, session: str = "s2", amount: int = 80, **fields: Any) -> Any:
        """What becomes of a payment for which another process shows a chain with a proof."""
        context = placet.SessionContext(
            session_id=session, user_role="", session_scopes=fields.pop("scopes", ["pay"]), token_id=token
        )
        call = placet.ToolCallInput(action="pay", args={"amount": amount}, **fields)
        toolbox = placet.GovernedToolbox(self.gate, context).register("pay", lambda amount: f"paid {amount}")
        try:
            return toolbox.call_sync(call.action, dict(call.args))
        except placet.GovernanceError as error:
            return error.decision.code, error.decision.reason


@contextlib.contextmanager
def other(folder: Path) -> Iterator[Other]:
    process = Other(folder)
    try:
        yield process
    finally:
        process.stop()


def test_promise_6_a_chain_shown_by_another_process_says_who_it_is_and_only_its_holder_can_show_it(
    tmp_path: Path,
) -> None:
    bank = Bank(tmp_path)
    with other(tmp_path) as agent:
        chain = bank.chain(agent.public, bank.root()).chain
        assert agent("take", chain) == ("pay",)
        args = {"amount": 80}
        proven = agent("prove", "pay", args)
        assert bank.shown(proven) == "paid 80"
        (row,) = placet.AuditLog(bank.places["ledger"]).query(session_id="s2")
        assert (row["session_id"], row["agent_id"], row["chain_depth"]) == ("s2", "worker", 2)
        assert proven not in str(row)

        def code(token: str, **fields: Any) -> tuple[str, str]:
            answer = bank.shown(token, **fields)
            assert isinstance(answer, tuple), answer
            assert answer[0] == REFUSED, answer
            return answer

        assert "used before" in code(proven)[1]
        assert "another call" in code(agent("prove", "pay", args), amount=79)[1]
        assert "another call" in code(agent("prove", "wire", args))[1]
        assert "issued to the session" in code(agent("prove", "pay", args), session="s1")[1]
        assert "'read'" in code(agent("prove", "pay", args), scopes=["pay", "read"])[1]
        assert "without a proof" in code(chain)[1]
        # The chain is no secret: whoever copies it can do nothing with it.
        with pytest.raises(placet.CredentialError, match="not that of the token's holder"):
            SignedToken(chain, HolderKey())
        with pytest.raises(ValueError, match="without its holder's key"):
            SignedToken(chain).prove("pay", args)
        with pytest.raises(ValueError, match="without its holder's key"):
            bank.broker.hold(SignedToken(chain))
        thief = HolderKey()
        stolen = bank.broker.signed(bank.broker.issue("s2", ["pay"]).token_id, thief).prove("pay", args)
        assert "I6" in code(f"{chain}~~{stolen.split('~~')[1]}")[1]


def test_promise_6_identity_of_a_chain_stands_in_the_decision(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    signed = bank.root(tools=None).signed(key).delegate(["pay"], "s1", key, agent_id="worker")
    context = placet.SessionContext(
        session_id="s1", user_role="", session_scopes=["pay"], token_id=signed.prove("wire", {"to": "x"})
    )
    decision = bank.gate.decide_tool_call(placet.ToolCallInput(action="wire", args={"to": "x"}), context)
    assert (decision.verdict, decision.identity) == ("allow", "verified")
    liar = placet.SessionContext(
        session_id="s1", user_role="boss", session_scopes=["pay"], token_id=signed.prove("wire", {"to": "x"})
    )
    decision = bank.gate.decide_tool_call(placet.ToolCallInput(action="wire", args={"to": "x"}), liar)
    assert (decision.code, "another" in decision.reason) == (REFUSED, True)
    assert signed.chain not in repr(context)
    assert "~~" not in repr(context)


def test_promise_9_a_chain_of_three_narrows_real_calls_in_another_process(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    with other(tmp_path) as agent:
        root = bank.root(budgets={"api_calls": 5})
        chain = bank.chain(agent.public, root, budgets={"api_calls": 3})
        agent("take", chain.chain)
        assert agent("hold", "s2") == "s2"
        assert agent("call", 80) == "paid 80"
        code, reason = agent("call", 81)
        assert (code, "must be at least 0 and at most 80" in reason) == (REFUSED, True)
        # What the root may do, its grandchild may not.
        assert agent("ask", "read", ["pay"], "s2")[0] == REFUSED
        assert agent("ask", "pay", ["pay", "read"], "s2")[0] == REFUSED
        assert agent("ask", "pay", ["pay"], "s0")[0] == REFUSED
        assert [agent("call", 1) for _ in range(2)] == ["paid 1"] * 2
        code, reason = agent("call", 1)
        assert (code, reason) == ("budget_exhausted", reason)
        assert (tmp_path / "effects").read_text() == "80\n1\n1\n"
        # All below one root share its budget: two of five are left to it.
        context = placet.SessionContext(
            session_id="s0", user_role="", session_scopes=["pay"], token_id=root.token_id
        )
        pay = placet.governed(gate=bank.gate, context=context, action="pay")(lambda amount: amount)
        assert [pay(1), pay(500)] == [1, 500]
        assert refusal(pay, 1).decision.code == "budget_exhausted"
        assert agent("delegate", ["pay"], "s3", agent.public).count("~") == 3


def test_promise_9_f20_what_exceeds_a_token_is_not_signed_and_shows_a_call_that_it_would_allow(
    tmp_path: Path,
) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    signed = bank.chain(key.public, bank.root())
    held = SignedToken(signed.chain, key)
    with pytest.raises(placet.CredentialError) as caught:
        held.delegate(["pay"], "s3", key, tools=amounts(90))
    assert caught.value.exceeds == (
        "tool `pay`, argument `amount`: at least 0 and at most 80 -> at least 0 and at most 90"
        " (exceeds the parent)",
    )
    assert caught.value.example is not None
    assert caught.value.example.startswith('the call `pay` with {"amount":81}')
    for wrong, match in (
        ({"requested_scopes": ["read"]}, "'read'"),
        ({"max_depth": 4}, "a delegation 4 deep"),
        ({"tools": {"wire": {}}}, "the call `wire`"),
        ({"ttl_seconds": 0}, "ttl_seconds is 0"),
    ):
        asked: dict[str, Any] = {"requested_scopes": ["pay"], "session_id": "s3", "holder": key, **wrong}
        with pytest.raises(placet.CredentialError, match=match):
            held.delegate(**asked)
    # The same for handles.
    with pytest.raises(placet.CredentialError) as caught:
        bank.broker.delegate(bank.root().token_id, ["pay"], "s3", tools=amounts(501))
    assert caught.value.example is not None
    assert '{"amount":501}' in caught.value.example
    longer = held.delegate(["pay"], "s3", key, ttl_seconds=86_400)
    assert longer.expires_at == held.expires_at
    with pytest.raises(placet.CredentialError, match="I2"):
        longer.delegate(["pay"], "s4", key)


def test_promise_9_f21_revoking_the_root_ends_the_chain_at_once_here_and_within_a_second_elsewhere(
    tmp_path: Path,
) -> None:
    bank = Bank(tmp_path)
    with other(tmp_path) as agent:
        root = bank.root()
        chain = bank.chain(agent.public, root).chain
        agent("take", chain)
        agent("hold", "s2")
        assert agent("call", 1) == "paid 1"
        proven = agent("prove", "pay", {"amount": 80})
        assert bank.broker.revoke(root.token_id)
        revoked = time.monotonic()
        code, reason = bank.shown(proven)
        assert (code, "was revoked with" in reason) == (REFUSED, True)
        while agent("call", 1) == "paid 1":
            assert time.monotonic() - revoked < 1.0
        code, reason = agent("call", 1)
        assert (code, "was revoked with" in reason) == (REFUSED, True)
        with pytest.raises(placet.CredentialError, match="was revoked with"):
            bank.broker.verify(chain)


def test_f21_one_link_is_revoked_by_its_chain_before_anybody_saw_it(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    root = bank.root()
    second = root.signed(key).delegate(["pay"], "s1", key, tools=amounts(100))
    third = second.delegate(["pay"], "s2", key)
    assert bank.broker.revoke(second.chain)
    assert bank.shown(third.prove("pay", {"amount": 80}))[0] == REFUSED
    assert root.is_valid()
    sibling = root.signed(key).delegate(["pay"], "s2", key, tools=amounts(100))
    assert bank.shown(sibling.prove("pay", {"amount": 80})) == "paid 80"


def test_promise_9_chains_that_were_altered_are_refused(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    (tmp_path / "their").mkdir()
    their = Bank(tmp_path / "their")
    key = HolderKey()
    signed = SignedToken(bank.chain(key.public, bank.root()).chain, key)
    bank.broker.verify(signed.chain)
    one, two, three = signed.chain.split("~")
    foreign = SignedToken(their.chain(key.public, their.root()).chain, key)
    with pytest.raises(placet.CredentialError, match="signed by nobody who is trusted"):
        bank.broker.verify(foreign.chain)
    for altered in (
        "~".join((one, three, two)),
        "~".join((one, three)),
        "~".join((two, three)),
        "~".join((one, two, three, three)),
        "~".join((foreign.chain.split("~")[0], two, three)),
        signed.chain[:-4],
        signed.chain.replace(three.split(".")[1], two.split(".")[1]),
        "",
    ):
        with pytest.raises(placet.CredentialError):
            bank.broker.verify(altered)
        proof = signed.prove("pay", {"amount": 80}).split("~~")[1]
        assert bank.shown(f"{altered}~~{proof}")[0] == REFUSED
    # Cut off behind a link it is the parent's, whose key the holder has not.
    proof = signed.prove("pay", {"amount": 80}).split("~~")[1]
    assert bank.shown(f"{one}~{two}~~{proof}", session="s1")[0] == REFUSED


def test_f19_a_chain_ends_at_its_time_by_the_clock_given(tmp_path: Path) -> None:
    clock = Clock()
    bank = Bank(tmp_path, clock)
    key = HolderKey()
    chain = bank.root(tools=None).signed(key).delegate(["pay"], "s2", key, ttl_seconds=100).chain
    signed = SignedToken(chain, key, clock=clock)
    held = bank.broker.hold(signed)
    assert signed.expires_at - signed.issued_at <= datetime.timedelta(seconds=100)
    clock.now = signed.expires_at - datetime.timedelta(seconds=1)
    assert bank.shown(signed.prove("pay", {"amount": 80})) == "paid 80"
    assert held.is_valid()
    late = signed.prove("pay", {"amount": 80})
    clock.now += datetime.timedelta(seconds=1)
    code, reason = bank.shown(late)
    assert (code, "not valid at this time" in reason) == (REFUSED, True)
    assert not held.is_valid()
    clock.now += datetime.timedelta(seconds=100)
    old = bank.root(ttl_seconds=300).signed(key)
    proof = SignedToken(old.chain, key, clock=clock).prove("pay", {"amount": 80})
    clock.now += datetime.timedelta(seconds=61)
    assert "not of this minute" in bank.shown(proof, session="s0")[1]


def test_f22_a_proof_names_the_enforcement_point_that_demands_it(tmp_path: Path) -> None:
    broker = CredentialBroker(audience="till-1")
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    gate = placet.PolicyGate(policies=tmp_path / "policy.yaml", credential_broker=broker)
    signed = broker.issue("s1", ["pay"]).signed()

    def verdict(audience: str | None) -> str:
        proof = signed.prove("pay", {}, audience=audience)
        context = placet.SessionContext(session_id="s1", user_role="", session_scopes=["pay"], token_id=proof)
        decision = gate.decide_tool_call(placet.ToolCallInput(action="pay"), context)
        return decision.verdict if decision.allow else decision.code

    assert [verdict(name) for name in ("till-1", "till-2", None)] == ["allow", REFUSED, REFUSED]


def test_f23_chains_hold_after_a_restart_and_keys_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    chain = bank.chain(key.public, bank.root()).chain
    assert bank.shown(SignedToken(chain, key).prove("pay", {"amount": 80})) == "paid 80"
    files = {path.name.split(".", 1)[1]: path for path in bank.places["keys"].iterdir()}
    secret, public = files["issuer.key"], files["issuer.keys"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(bank.places["keys"].stat().st_mode) == 0o700
    assert public.read_text() == bank.broker.issuer_keys
    hidden = secret.read_text().split(":")[1]
    assert hidden not in bank.broker.issuer_keys
    database = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert hidden.encode() not in database
    script = f"""
import placet
from placet.anchor.credentials import PersistentCredentialBroker
broker = PersistentCredentialBroker({str(bank.places["ledger"])!r}, keys={str(bank.places["keys"])!r})
print(broker.verify({chain!r}).session_id, broker.issuer_keys == {bank.broker.issuer_keys!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "s2 True\n", done.stderr
    key.save(tmp_path / "holder.key")
    assert stat.S_IMODE((tmp_path / "holder.key").stat().st_mode) == 0o600
    assert HolderKey.load(tmp_path / "holder.key").public == key.public
    with pytest.raises(OSError, match="exists"):
        key.save(tmp_path / "holder.key")
    os.chmod(tmp_path / "holder.key", 0o644)
    with pytest.raises(OSError, match="chmod 600"):
        HolderKey.load(tmp_path / "holder.key")
    assert key.public in repr(key)
    # A key that is lost or readable by others refuses to sign, and says what to do.
    os.chmod(secret, 0o640)
    with pytest.raises(placet.CredentialError, match="chmod 600"):
        bank.root().signed()
    secret.unlink()
    with pytest.raises(placet.CredentialError, match=r"restore it from a copy.*keys rotate --credentials"):
        bank.root().signed()
    bank.broker.verify(chain)


def test_f23_a_registered_credential_that_was_edited_revives_no_chain(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    root = bank.root()
    signed = SignedToken(bank.chain(key.public, root).chain, key)
    assert bank.shown(signed.prove("pay", {"amount": 80})) == "paid 80"
    bank.broker.revoke(root.token_id)
    script = f"""
import sqlite3
database = sqlite3.connect({str(bank.places["ledger"])!r})
for name, in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
    database.execute(f'drop trigger "{{name}}"')
edit = "update state set body = json_remove(body, '$.revoked') where body like '%revoked%'"
print(database.execute(edit).rowcount)
database.commit()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "3\n", done.stderr
    assert bank.shown(signed.prove("pay", {"amount": 80}))[0] == "state_tampered"


def test_aegis_65_an_approval_asked_with_a_chain_is_used_with_the_next_proof(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    key = HolderKey()
    signed = bank.root(tools=None).signed(key).delegate(["pay"], "s2", key, agent_id="worker")

    def buy() -> Any:
        context = placet.SessionContext(
            session_id="s2", user_role="", session_scopes=["pay"], token_id=signed.prove("buy", {"what": "x"})
        )
        box = placet.GovernedToolbox(bank.gate, context).register("buy", lambda what: f"bought {what}")
        return box.call_sync("buy", {"what": "x"})

    error = refusal(buy)
    assert error.decision.verdict == "escalate"
    queue = placet.HITLQueue(bank.places["ledger"], keys=bank.places["keys"])
    (asked,) = asyncio.run(queue.get_pending())
    assert asyncio.run(queue.approve(asked.id, decided_by="ann"))
    assert buy() == "bought x"
    assert refusal(buy).decision.verdict == "escalate"
