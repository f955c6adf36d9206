"""Who it is comes from the credential, and budgets hold (F11, F14, F19 to F23; Kite 20.4 to 20.6)."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import multiprocessing
import subprocess
import sys
import threading

import pytest

import placet
from conftest import refusal
from placet.anchor.credentials import CredentialBroker, PersistentCredentialBroker

POLICY = """
    version: 1
    rules:
      - { name: by_scope, when: { action: pay, scope: pay, role: agent }, then: allow }
      - { name: deep, when: { action: pay, context.delegation_depth: { gt: 0 } }, then: deny }
"""


def context(token="", session="s1", scopes=("pay",), **fields):
    return placet.SessionContext(
        session_id=session, user_role="agent", session_scopes=scopes, token_id=token, **fields
    )


def verdict(gate, **fields):
    decision = gate.decide_tool_call(placet.ToolCallInput(action="pay"), context(**fields))
    return decision.verdict if decision.allow else decision.code


class Clock:
    def __init__(self):
        self.now = datetime.datetime.now(datetime.UTC)

    def __call__(self):
        return self.now


def test_f19_a_token_ends_at_its_time_by_the_clock_given(open_gate):
    clock = Clock()
    broker = CredentialBroker(clock=clock)
    gate = open_gate(POLICY, credential_broker=broker, clock=clock)
    token = broker.issue("s1", ["pay"], ttl_seconds=300)
    assert token.expires_at - token.issued_at == datetime.timedelta(seconds=300)
    assert (verdict(gate, token=token.token_id), token.is_valid()) == ("allow", True)
    clock.now += datetime.timedelta(seconds=299)
    assert verdict(gate, token=token.token_id) == "allow"
    clock.now += datetime.timedelta(seconds=1)
    assert (verdict(gate, token=token.token_id), token.is_valid()) == ("credential_validation", False)
    assert (broker.validate(token.token_id), broker.get_scopes(token.token_id)) == (None, [])


def test_f20_delegation_narrows_in_everything():
    broker = CredentialBroker(max_depth=2)
    parent = broker.issue("s1", ["read", "write"], ttl_seconds=300)
    child = broker.delegate(parent.token_id, ["read"], "w1", ttl_seconds=60)
    assert (child.scopes, child.delegation_depth, child.has_scope("write")) == (("read",), 1, False)
    assert child.expires_at < parent.expires_at
    assert broker.delegate(parent.token_id, ["read"], "w", ttl_seconds=3600).expires_at == parent.expires_at
    for wrong, match in (([], "at least one"), (["read", "admin", "root"], "'admin', 'root'")):
        with pytest.raises(placet.CredentialError, match=match) as caught:
            broker.delegate(parent.token_id, wrong, "w2")
        assert isinstance(caught.value, (placet.PlacetError, ValueError))
    grandchild = broker.delegate(child.token_id, ["read"], "w3")
    with pytest.raises(placet.CredentialError, match="delegations deep"):
        broker.delegate(grandchild.token_id, ["read"], "w4")


def test_f21_revoking_the_root_ends_all_at_once(open_gate):
    broker = CredentialBroker()
    gate = open_gate(POLICY, credential_broker=broker)
    root = broker.issue("s0", ["pay"])
    child = broker.delegate(root.token_id, ["pay"], "s1")
    assert broker.revoke(root.token_id)
    assert verdict(gate, token=child.token_id) == "credential_validation"
    assert (child.is_valid(), child.revoked) == (False, True)
    with pytest.raises(placet.CredentialError, match="invalid or expired"):
        broker.delegate(child.token_id, ["pay"], "s2")
    assert not broker.revoke("tok_" + "0" * 32)
    assert [broker.issue("s9", ["a"]) and broker.revoke_session("s9") for _ in range(2)] == [1, 1]


def revoke_in_child(path, keys, token):
    PersistentCredentialBroker(path, keys=keys).revoke(token)


def test_f21_f23_tokens_and_revocations_hold_in_every_process_and_after_a_restart(tmp_path):
    path, keys = tmp_path / "credentials.db", tmp_path / "keys"
    broker = PersistentCredentialBroker(path, keys=keys)
    root = broker.issue("s1", ["pay"])
    child = broker.delegate(root.token_id, ["pay"], "w1")
    assert PersistentCredentialBroker(path, keys=keys).validate(child.token_id) == child
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=revoke_in_child, args=(path, keys, root.token_id))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    # Elsewhere it holds within a second.
    deadline = threading.Event()
    for _ in range(25):
        if broker.validate(child.token_id) is None:
            break
        deadline.wait(0.05)
    assert broker.validate(child.token_id) is None
    assert broker.validate(root.token_id) is None


def test_f22_kite_20_5_a_token_is_mandatory_and_bound_to_its_session(open_gate):
    broker = CredentialBroker()
    gate = open_gate(POLICY, credential_broker=broker)
    token = broker.issue("s1", ["pay"], tenant_id="acme")
    reader = broker.issue("s1", ["read"])
    child = broker.delegate(token.token_id, ["pay"], "s1")
    refused = "credential_validation"
    assert verdict(gate, token=token.token_id) == "allow"
    assert verdict(gate) == refused
    assert verdict(gate, token="tok_" + "0" * 32) == refused
    assert verdict(gate, token=token.token_id, session="s2") == refused
    assert verdict(gate, token=reader.token_id) == refused
    assert verdict(gate, token=token.token_id, tenant_id="other") == refused
    assert verdict(gate, token=child.token_id, delegation_depth=0) == "denied_by_rule"
    decision = gate.decide_tool_call(placet.ToolCallInput(action="pay"), context(token.token_id))
    assert decision.identity == "verified"
    with pytest.raises(dataclasses.FrozenInstanceError):
        context().user_role = "manager"  # type: ignore[misc]
    with pytest.raises(TypeError):
        context(delegation_depth=-5)


def test_f22_another_evaluator_sees_what_the_token_says():
    seen = []

    class Recording:
        async def health(self):
            return True

        async def evaluate(self, policy_input):
            seen.append(policy_input.context)
            return placet.PolicyDecision(allow=True)

        evaluate_event = evaluate

    broker = CredentialBroker()
    gate = placet.PolicyGate(Recording(), credential_broker=broker)
    parent = broker.issue("s0", ["pay"], tenant_id="acme")
    child = broker.delegate(parent.token_id, ["pay"], "s1", agent_id="helper")
    assert verdict(gate, token=child.token_id) == "allow"
    (shown,) = seen
    assert (shown.delegation_depth, shown.tenant_id, shown.agent_id) == (1, "acme", "helper")
    assert shown.token_id != child.token_id
    assert verdict(gate) == "credential_validation"
    assert len(seen) == 1


def test_kite_20_6_a_token_in_hand_is_a_picture():
    broker = CredentialBroker()
    token = broker.issue("s1", ["read"])
    assert token.token_id not in repr(token)
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.scopes = ("root",)  # type: ignore[misc]
    object.__setattr__(token, "scopes", ("root",))
    object.__setattr__(token, "expires_at", token.expires_at + datetime.timedelta(days=1))
    assert broker.get_scopes(token.token_id) == ["read"]
    for wrong in ({"ttl_seconds": -1}, {"ttl_seconds": 10**9}, {"scopes": []}, {"session_id": ""}):
        with pytest.raises(placet.CredentialError):
            broker.issue(**{"session_id": "s1", "scopes": ["a"], **wrong})
    with pytest.raises(TypeError):
        broker.issue("s1", "read")


def test_f11_kite_20_4_of_twenty_concurrent_calls_a_budget_of_one_runs_one(open_gate, tmp_path):
    ran = []

    async def pay():
        ran.append(1)

    def sync_pay():
        ran.append(1)

    for tool, folder in ((pay, "a"), (sync_pay, "b")):
        ran.clear()
        ledger = tmp_path / f"{folder}.db"
        box = placet.GovernedToolbox(
            open_gate("{version: 1, rules: [{name: pay, when: {action: pay}, then: allow}]}", ledger=ledger),
            context(budget_total_api_calls=1, budget_used_api_calls=0),
        ).register("pay", tool)

        async def work(box=box):
            calls = [box.call("pay", {}) for _ in range(20)]
            return await asyncio.gather(*calls, return_exceptions=True)

        results = asyncio.run(work())
        codes = sorted(result.decision.code for result in results if result is not None)
        assert (len(ran), len(codes)) == (1, 19)
        assert set(codes) <= {"budget_exhausted", "denied_by_rule"}
        # It survives a restart, and no caller can lower what was used.
        again = open_gate(
            "{version: 1, rules: [{name: pay, when: {action: pay}, then: allow}]}", ledger=ledger
        )
        refusal(placet.governed(again, context(budget_total_api_calls=1), action="pay")(sync_pay))


def test_f14_sessions_of_one_tenant_share_its_budget(open_gate, tmp_path):
    config = tmp_path / "placet.yaml"
    config.write_text("budgets: [{scope: tenant, unit: api_calls, limit: 3}]\n")
    gate = open_gate(
        "{version: 1, rules: [{name: pay, when: {action: pay}, then: allow}]}",
        config=config,
        ledger=tmp_path / "a.db",
    )
    ran = []

    def call(session):
        tool = placet.governed(gate, context(session=session, tenant_id="acme"), action="pay")
        try:
            tool(lambda: ran.append(session))()
        except placet.GovernanceError as error:
            assert error.decision.code == "budget_exhausted"

    threads = [threading.Thread(target=call, args=(f"s{n % 2}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 3
    placet.governed(gate, context(tenant_id="other"), action="pay")(lambda: ran.append("other"))()
    assert ran[3:] == ["other"]


def test_f14_two_sessions_of_an_organisation_share_100_tokens_through_two_ledger_connections(
    open_gate, tmp_path
):
    config = tmp_path / "placet.yaml"
    config.write_text(
        "budgets: [{ scope: organisation, tokens: 100 }]\n"
        "tools: { all: { cost: { tokens: 100 } }, some: { cost: { tokens: 30 } } }\n"
    )
    policy = "{version: 1, rules: [{name: ask, when: {action: ask}, then: allow}]}"

    def asker(ledger, session, tool):
        gate = open_gate(policy, config=config, ledger=ledger)
        box = placet.GovernedToolbox(gate, context(session=session, tenant_id=session))
        return box.register(tool, lambda: ran.append(session), action="ask")

    ran = []
    first, second = (asker(tmp_path / "one.db", session, "all") for session in ("s1", "s2"))
    first.call_sync("all", {})
    assert refusal(second.call_sync, "all", {}).decision.code == "budget_exhausted"
    assert ran == ["s1"]

    ran.clear()
    both = [asker(tmp_path / "two.db", session, "some") for session in ("s1", "s2")]

    def spend(box):
        for _ in range(4):
            try:
                box.call_sync("some", {})
            except placet.GovernanceError as error:
                assert error.decision.code == "budget_exhausted"

    threads = [threading.Thread(target=spend, args=(box,)) for box in both for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 3, "90 of 100 tokens; a fourth would be 120"


def test_kite_20_10_what_was_decided_is_what_runs_while_its_record_is_written(open_gate, tmp_path):
    gate = open_gate(
        "{version: 1, rules: [{name: pay, when: {action: pay, args.request.amount: {lte: 5}}, then: allow}]}",
        ledger=tmp_path / "a.db",
    )
    seen = []

    @placet.governed(gate, context(), action="pay")
    async def pay(request):
        seen.append(request["amount"])

    async def work():
        request = {"amount": 5}
        task = asyncio.create_task(pay(request))
        await asyncio.sleep(0)
        request["amount"] = 999_999
        await task

    asyncio.run(work())
    assert seen == [5]


def test_f23_rows_edited_by_hand_revive_nothing_and_widen_nothing(open_gate, tmp_path):
    path, keys = tmp_path / "credentials.db", tmp_path / "keys"
    broker = PersistentCredentialBroker(path, keys=keys)
    revoked = broker.issue("s1", ["pay"])
    broker.revoke(revoked.token_id)
    reader = broker.issue("s1", ["read"])
    script = f"""
import sqlite3
database = sqlite3.connect({str(path)!r})
for name, in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
    database.execute(f'drop trigger "{{name}}"')
gone = database.execute(
    "update state set body = json_remove(body, '$.revoked') where body like '%revoked%'"
).rowcount
edit = "update state set body = replace(body, '\\"read\\"', '\\"pay\\"') where body like '%\\"read\\"%'"
print(gone, database.execute(edit).rowcount)
database.commit()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 1\n"), done.stderr
    again = PersistentCredentialBroker(path, keys=keys)
    gate = open_gate(POLICY, credential_broker=again, ledger=path, keys=keys)
    assert again.validate(revoked.token_id) is None
    assert verdict(gate, token=revoked.token_id) == "state_tampered"
    assert verdict(gate, token=reader.token_id) == "state_tampered"
