"""What people wrote can be erased, and the log says that it was."""

from __future__ import annotations

import datetime
import os
import sqlite3
from pathlib import Path

import pytest

import placet

NAME = "Ann Ångström"


def holds(folder: Path, text: str) -> bool:
    data = text.encode()
    return any(data in path.read_bytes() for path in folder.iterdir() if path.is_file())


@pytest.fixture
def folder(open_gate, context, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    gate = open_gate(audit_log=folder / "audit.jsonl", ledger=folder / "audit.db")

    @placet.governed(gate, context)
    def pay(amount, note):
        return f"paid, says {note}"

    pay(10, note=f"for {NAME}")
    pay(20, note="for Bob")
    return folder, gate


def test_erasing_a_subject_leaves_no_byte_and_verifies(folder):
    folder, gate = folder
    assert holds(folder, NAME)
    erasure = gate.audit.erase(by="dpo", basis="gdpr-17", containing=NAME)
    assert (erasure.records, erasure.left) == ((0, 1), None)
    assert not holds(folder, NAME), "neither in the database nor in its mirror"
    assert holds(folder, "for Bob")
    rows = gate.audit.query()
    assert [row["action_params"] for row in rows] == [None, '{"amount":20,"note":"for Bob"}']
    (key,) = (path.read_text() for path in Path(os.environ["PLACET_KEYS"]).glob("*.vkey"))
    report = gate.audit.verify(key)
    assert report["ok"] and report["erased"] == 2
    (said,) = report["erasures"]
    assert (said["seq"], said["count"], said["by"], said["basis"]) == (*erasure.said_by, 2, "dpo", "gdpr-17")
    assert placet.AuditLog(folder / "audit.jsonl").verify(key)["ok"]
    with sqlite3.connect(folder / "audit.db") as database:
        assert database.execute("SELECT count(*) FROM view").fetchone() == (2,)
    assert gate.audit.erase(by="dpo", basis="gdpr-17", containing=NAME).records == ()


def test_an_erasure_names_what_who_and_why(folder):
    _, gate = folder
    with pytest.raises(ValueError, match="nothing says what"):
        gate.audit.erase(by="dpo", basis="gdpr-17")
    with pytest.raises(ValueError, match="`by` is empty"):
        gate.audit.erase(by="", basis="gdpr-17", records=[0])
    with pytest.raises(ValueError, match="time zone"):
        gate.audit.erase(by="dpo", basis="retention", before=datetime.datetime.now())
    with pytest.raises(OSError):
        placet.AuditLog("nowhere.db").erase(by="dpo", basis="gdpr-17", records=[0])
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    erasure = gate.audit.erase(by="cron", basis="retention", before=later)
    assert erasure.records == (0, 1, 2, 3)
