"""Rows of the audit log as readers of the second ancestor's log know them (rows 66, 70, 74, 75)."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import placet
from conftest import Open
from placet import AuditLog, GovernanceError, PolicyGate, SessionContext

# In the order of the ancestor's table.
COLUMNS = [
    "id",
    "session_id",
    "timestamp",
    "action_type",
    "action_target",
    "action_params",
    "action_desc",
    "risk_level",
    "approval",
    "matched_rule",
    "human_decision",
    "result_status",
    "result_data",
    "result_error",
    "agent_id",
    "parent_agent_id",
    "chain_id",
    "chain_depth",
]

POLICY = """
version: 1
rules:
  - { name: shows, when: { action: show }, then: allow, risk_tier: INFORMATIONAL }
  - { name: pays, when: { action: pay }, then: allow, risk_tier: TRANSACTIONAL_HIGH }
  - { name: wipes, when: { action: wipe }, then: block, risk_tier: SECURITY_CRITICAL }
"""


def sql(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_aegis_66_the_default_file_is_made_on_first_use_and_has_the_known_columns(
    open_gate: Open, tmp_path: Path, context: SessionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACET_LEDGER")
    monkeypatch.chdir(tmp_path)
    gate = open_gate(POLICY)
    path = tmp_path / "placet_audit.db"
    assert not path.exists()
    assert placet.governed(gate, context, action="pay", target="bank")(lambda amount: amount)(5) == 5
    assert path.exists() and path.stat().st_mode & 0o077 == 0
    [row] = sql(path, f"SELECT {', '.join(COLUMNS)} FROM audit_log")
    found = dict(zip(COLUMNS, row, strict=True))
    assert (found["session_id"], found["action_type"], found["action_target"]) == ("s1", "pay", "bank")
    assert json.loads(found["action_params"]) == {"amount": 5}
    assert (found["risk_level"], found["approval"], found["matched_rule"]) == ("HIGH", "auto", "pays")
    assert (found["human_decision"], found["result_status"], found["result_data"]) == (None, "success", "5")
    assert (found["result_error"], found["chain_depth"]) == (None, 0)
    assert found["timestamp"].endswith("+00:00")
    assert gate.audit.path == path


def test_aegis_70_counts_are_those_of_sql_in_any_case(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    path = tmp_path / "audit.db"
    gate = open_gate(POLICY, ledger=path)
    for action, times in (("pay", 3), ("show", 2), ("wipe", 1)):
        tool = placet.governed(gate, context, action=action)(lambda: None)
        for _ in range(times):
            try:
                tool()
            except GovernanceError:
                assert action == "wipe"
    log = AuditLog(path)
    [(high,)] = sql(path, "SELECT count(*) FROM audit_log WHERE risk_level = 'HIGH'")
    assert (log.count(risk="HIGH"), log.count(risk="high"), log.count(risk="High"), high) == (3, 3, 3, 3)
    assert (log.count(), log.count(status="BLOCKED"), log.count(tool="show")) == (6, 1, 2)
    assert log.count(session_id="nobody") == 0
    assert log.count(risk=["high", "critical"]) == 4
    assert all(log.count(risk=risk) == len(log.query(risk=risk)) for risk in ("low", "high", "critical"))


# A made-up secret of each kind.
AWS = "AKIA" + "Z7Q2M4KX9P1LW5TR"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
TICKET = "TICKET-4711-SECRET"


def test_aegis_74_secrets_are_in_no_file_wherever_they_stood(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    (tmp_path / "own.yaml").write_text(
        "version: 1\npatterns:\n- { label: ticket, kind: secret, pattern: 'TICKET-[0-9]+-SECRET',"
        f" must_match: ['{TICKET}'], must_not_match: ['TICKET'] }}\n"
    )
    (tmp_path / "placet.yaml").write_text("redaction: own.yaml\n")
    gate = open_gate(
        POLICY, ledger=folder / "audit.db", audit_log=folder / "audit.jsonl", config=tmp_path / "placet.yaml"
    )

    @placet.governed(gate, context, action="pay")
    def pay(**args: Any) -> Any:
        if args.get("fails"):
            raise ValueError(f"no such key {AWS}, password=hunter2hunter2, see {TICKET}")
        return {
            "key": GITHUB,
            "nested": [{"passwd": "hunter2hunter2"}],
            "note": f"see {TICKET}",
            "max_tokens": 7,
        }

    given = {
        "password": "hunter2hunter2",
        "deep": ({"api_key": "hunter2hunter2"}, [AWS]),
        "url": "https://me:hunter2hunter2@example.org/",
        "text": f"use {GITHUB}, then {TICKET}",
        "max_tokens": 4096,
    }
    result = pay(**given)
    assert result["key"] == GITHUB, "what the caller gets is untouched"
    with pytest.raises(ValueError, match=AWS):
        pay(fails=True, **given)
    with pytest.raises(GovernanceError):
        placet.governed(gate, context, action="wipe")(lambda password: None)("hunter2hunter2")
    files = list(folder.iterdir())
    stored = b"".join(file.read_bytes() for file in files)
    assert {file.name for file in files} >= {"audit.db", "audit.jsonl"}
    for secret in (AWS, GITHUB, TICKET, "hunter2hunter2"):
        assert secret.encode() not in stored, secret
    rows = gate.audit.query(tool="pay")
    assert [row["result_status"] for row in rows] == ["success", "failed"]
    assert json.loads(rows[0]["action_params"])["max_tokens"] == 4096
    assert json.loads(rows[0]["result_data"])["max_tokens"] == 7
    assert "REDACTED" in rows[1]["result_error"]


def test_aegis_74_the_description_of_a_tool_is_its_docstring_or_what_is_given_and_is_redacted(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    gate = open_gate(POLICY, ledger=tmp_path / "audit.db")

    def pay(amount: int) -> int:
        """Pays a bill,
        and says how much; ask ann@example.org.

        Args: many.
        """
        if amount > 100:
            raise ValueError("too much")
        return amount

    toolbox = placet.GovernedToolbox(gate=gate, context=context)
    toolbox.register("wipe", lambda: None, action="wipe", description=f"Wipes all; password={AWS}")
    toolbox.register("show", lambda: None, action="show", description="x" * 2_000)
    governed = placet.governed(gate, context)(pay)
    governed(5)
    with pytest.raises(ValueError, match="too much"):
        governed(500)
    for name in ("wipe", "show"):
        try:
            toolbox.call_sync(name, {})
        except GovernanceError as error:
            assert name == "wipe", error
    placet.governed(gate, context, action="show")(lambda value: value)(5)
    rows = [row["action_desc"] for row in gate.audit.query()]
    told = "Pays a bill, and says how much; ask [REDACTED:email]."
    assert rows[:2] == [told, told]
    assert rows[2].startswith("Wipes all; password=[REDACTED") and AWS not in rows[2]
    assert rows[3] == "x" * 500 + "…"
    # The view of the database says the same.
    assert [row[0] for row in sql(tmp_path / "audit.db", "SELECT action_desc FROM audit_log")] == rows


LOOP: list[Any] = []
LOOP.append(LOOP)

ODD = {
    "integer and tuple keys": {1: 2, (1, 2): 3},
    "not a number": math.nan,
    "infinity": -math.inf,
    "bytes": b"\xff\x00",
    "lone surrogate": "\ud800x",
    "5 MB": "y" * 5_000_000,
    "contains itself": LOOP,
    "big integer": 10**30,
    "set": {1, 2},
    "object": object(),
    "nothing": None,
    "zero": 0,
    "empty": [],
}


@pytest.mark.parametrize("name", ODD)
def test_aegis_75_odd_results_reach_the_caller_as_they_are_and_have_a_row(
    open_gate: Open, tmp_path: Path, context: SessionContext, name: str
) -> None:
    gate = open_gate(POLICY, ledger=tmp_path / "audit.db", audit_log=tmp_path / "audit.jsonl")
    value = ODD[name]
    got = placet.governed(gate, context, action="show")(lambda: value)()
    if name not in ("contains itself",):
        assert type(got) is type(value)
        assert got == value or (isinstance(got, float) and math.isnan(got))
    [row] = gate.audit.query()
    assert row["result_status"] == "success"
    # Zero, empty and nothing are told apart, and every row is JSON.
    stored = json.loads(row["result_data"])
    assert stored == value if name in ("nothing", "zero", "empty") else isinstance(stored, str)
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) >= 2
    assert len(row["result_data"]) < 70_000


@pytest.mark.parametrize("name", ODD)
def test_aegis_75_odd_arguments_reach_the_tool_as_they_are_or_are_refused_with_a_row(
    open_gate: Open, tmp_path: Path, context: SessionContext, name: str
) -> None:
    gate = open_gate(POLICY, ledger=tmp_path / "audit.db")
    seen: list[Any] = []
    tool = placet.governed(gate, context, action="show")(lambda value: seen.append(value))
    if name == "contains itself":
        with pytest.raises(GovernanceError) as caught:
            tool(LOOP)
        assert (caught.value.code, seen) == ("invalid_request", [])
    else:
        tool(ODD[name])
        assert type(seen[0]) is type(ODD[name])
        assert seen[0] == ODD[name] or math.isnan(seen[0])
    [row] = gate.audit.query()
    assert row["result_status"] == ("blocked" if name == "contains itself" else "success")
    json.loads(row["action_params"])
    assert len(row["action_params"]) < 70_000


def test_aegis_75_a_name_that_is_no_text_is_refused_and_has_a_row(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    gate: PolicyGate = open_gate(POLICY, ledger=tmp_path / "audit.db")
    with pytest.raises(GovernanceError):
        placet.governed(gate, context, action="show")(lambda **args: None)(**{"\ud800": 1})
    [row] = gate.audit.query()
    assert row["code"] == "invalid_request"
