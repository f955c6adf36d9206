"""The audit defects of the second ancestor (its D43–D52), each shown not to be ours."""

from __future__ import annotations

import datetime
import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import placet

POLICY = "version: 1\nrules:\n  - { name: show, when: { action: show }, then: allow }\n"
CONTEXT = placet.SessionContext(session_id="s1", user_role="agent", session_scopes=[])


class Recorded:
    """A gate over a ledger in a file, with a mirror, and the command that looks at both."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.database, self.mirror = folder, folder / "audit.db", folder / "audit.jsonl"
        (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        self.gate = placet.PolicyGate(
            policies=folder / "policy.yaml", ledger=self.database, audit_log=self.mirror, keys=folder / "keys"
        )

    def show(self, result: object, **args: object) -> object:
        return placet.governed(self.gate, CONTEXT, action="show")(lambda **_: result)(**args)

    def row(self) -> dict[str, Any]:
        return self.gate.audit.query()[-1]

    def placet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("placet")), *arguments],
            cwd=self.folder,
            env={"PLACET_KEYS": str(self.folder / "keys"), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def log(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


def key_of(log: Recorded) -> str:
    said = log.placet("audit", "key", "--ledger", str(log.database))
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


def test_aegis_d43_integrity_is_checked_and_not_only_printed(log):
    log.show("a")
    log.gate.close()
    key = key_of(log)
    assert placet.AuditLog(log.database).verify(key=key)["ok"]
    edit = sqlite3.connect(log.database)
    for (name,) in edit.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        edit.execute(f'drop trigger "{name}"')
    edit.execute("update view set body = replace(body, '\"a\"', '\"b\"')")
    edit.commit()
    edit.close()
    report = placet.AuditLog(log.database).verify(key=key)
    assert (report["ok"], report["first_bad"]["from"]) == (False, 1)


def test_aegis_d44_an_export_is_checked_against_signatures_and_names_what_it_holds(log):
    for number in range(3):
        log.show(number)
    log.gate.close()
    key = key_of(log)
    exported = log.folder / "export.jsonl"
    said = log.placet("audit", "export", "--ledger", str(log.database), "-o", str(exported))
    assert said.returncode == 0, said.stderr
    assert placet.AuditLog(exported).verify(key=key)["ok"]
    lines = exported.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["tool"] for line in lines if '"event":"tool_call"' in line] == ["show"] * 3
    edited = [line.replace('"code":"allowed"', '"code":"denied_by_rule"') for line in lines]
    exported.write_text("\n".join(edited) + "\n", encoding="utf-8")
    assert not placet.AuditLog(exported).verify(key=key)["ok"]


def test_f31_the_integrity_hash_of_a_session_is_recomputed_from_its_records_without_the_ledger(log, tmp_path):
    for text in ("a", "b"):
        log.show(text)
    key = key_of(log)
    report, check = tmp_path / "s1.json", ("audit", "check", "s1.json", "--key", key)
    export = ("audit", "export", "--session", "s1", "-o", report.name, "--ledger", "audit.db")
    until = time.monotonic() + 20
    while log.placet(*export).returncode != 0 or log.placet(*check).returncode != 0:
        assert time.monotonic() < until, "no checkpoint covers the records"
    log.gate.close()
    for file in tmp_path.glob("audit.*"):
        file.unlink()
    shown = json.loads(report.read_text(encoding="utf-8"))
    chain = bytes(32)
    for record in shown["records"]:
        leaf = hashlib.sha256(b"\0" + record["leaf"].encode()).digest()
        chain = hashlib.sha256(chain + leaf).digest()
    assert len(shown["records"]) == 4 and chain.hex() == shown["integrity"]
    assert log.placet(*check).returncode == 0
    # Left out, doubled, in another order, with another hash: none of them is the report that was made.
    records = shown["records"]
    edits = [{"records": records[1:]}, {"records": [*records, records[0]]}, {"records": records[::-1]}]
    for edit in [*edits, {"integrity": "0" * 64}, {"session": "s2"}]:
        report.write_text(json.dumps({**shown, **edit}), encoding="utf-8")
        assert log.placet(*check).returncode == 1, edit.keys()


def test_aegis_d45_secrets_in_results_errors_and_tuples_are_taken_out_and_max_tokens_stays(log):
    log.show(
        {"reply": "password=hunter2"}, max_tokens=100, pair=("pwd=hunter2", 1), passwd="hunter2", ssn="x1"
    )
    with pytest.raises(ValueError, match="hunter2"):
        placet.governed(log.gate, CONTEXT, action="show")(failing)()
    stored = log.mirror.read_text(encoding="utf-8") + json.dumps(log.gate.audit.query())
    assert "hunter2" not in stored and '"x1"' not in stored
    assert json.loads(log.gate.audit.query()[0]["action_params"])["max_tokens"] == 100


def failing() -> None:
    raise ValueError("postgres://app:hunter2@db/x refused")


def test_aegis_d46_huge_and_odd_values_are_stored_short_and_as_json(log):
    log.show("x" * 5_000_000, note="y" * 5_000_000, ratio=float("nan"))
    assert log.mirror.stat().st_size < 500_000
    for line in log.mirror.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize("result", [0, "", False, [], {}])
def test_aegis_d47_a_falsy_result_is_a_result(log, result):
    log.show(result)
    assert log.row()["result_data"] == json.dumps(result)
    log.show(None)
    assert log.row()["result_data"] != json.dumps(result)


def test_aegis_d48_who_is_told_may_ask_the_log(tmp_path):
    policy = tmp_path / "ask.yaml"
    policy.write_text("version: 1\nrules:\n  - { name: ask, when: { action: show }, then: hitl }\n")
    counts: list[int] = []
    gate = placet.PolicyGate(
        policies=policy,
        ledger=tmp_path / "audit.db",
        notify=[lambda notice: counts.append(gate.audit.count())],
    )
    with pytest.raises(placet.GovernanceError):
        placet.governed(gate, CONTEXT, action="show")(lambda: None)()
    gate.close()
    assert counts == [1]


def test_aegis_d49_filters_know_case_time_zones_and_wrong_words(log):
    with pytest.raises(placet.GovernanceError):
        placet.governed(log.gate, CONTEXT, action="other")(lambda: None)()
    audit = log.gate.audit
    assert audit.count(status="BLOCKED") == audit.count(status="blocked") == 1
    assert audit.count(verdict="DENY") == audit.count(verdict="deny") == 1
    for missing in ("gone.db", "gone.jsonl"):
        with pytest.raises(FileNotFoundError, match=missing):
            placet.AuditLog(log.folder / missing).query()
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    now = datetime.datetime.now(tokyo)
    assert audit.count(since=now - datetime.timedelta(hours=1)) == 1
    assert audit.count(since=now + datetime.timedelta(hours=1)) == 0
    with pytest.raises(ValueError, match="hihg"):
        audit.query(risk="hihg")
    with pytest.raises((ValueError, OverflowError)):
        audit.query(limit=-1)


@pytest.mark.parametrize("place", ["file", "mirror"])
def test_aegis_d50_d51_each_row_is_there_at_once_and_every_backend_takes_every_filter(tmp_path, place):
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    mirror = tmp_path / "audit.jsonl"
    gate = placet.PolicyGate(
        policies=tmp_path / "policy.yaml", ledger=tmp_path / "audit.db", audit_log=mirror
    )
    seen = []
    for _ in range(3):
        placet.governed(gate, CONTEXT, action="show")(lambda handle: None)(object())
        audit = gate.audit if place == "file" else placet.AuditLog(mirror)
        seen.append(
            audit.count(session_id="s1", tool="show", status="success", verdict="allow", risk="medium")
        )
    assert seen == [1, 2, 3]


def test_aegis_d52_only_the_owner_reads_the_file_and_looking_changes_nothing(log):
    log.show(1)
    log.gate.close()
    assert log.database.stat().st_mode & 0o077 == 0
    before = log.database.read_bytes()
    log.database.chmod(0o400)
    assert log.placet("audit", "list", "--ledger", str(log.database)).returncode == 0
    assert placet.AuditLog(log.database).count() == 1
    assert log.database.read_bytes() == before
