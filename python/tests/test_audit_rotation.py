"""A mirror whose files are put aside when they are full (F28, F30); replay of the redacted (F32, row 75)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import placet
from conftest import QUERY, Open, refusal
from placet import AuditLog, SessionContext

VERIFIER = Path(__file__).parents[2] / "verify" / "placet_verify.py"


def _pay(amount: int) -> int:
    return amount


def _key() -> str:
    (key,) = (path.read_text() for path in Path(os.environ["PLACET_KEYS"]).glob("*.vkey"))
    return key.strip()


def test_f28_f30_a_rotated_mirror_is_one_log_and_the_growing_file_is_read_as_ever(
    open_gate: Open,
    tmp_path: Path,
    context: SessionContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    gate = open_gate(
        ledger=folder / "audit.db",
        audit_log=folder / "audit.jsonl",
        audit_log_rotation={"max_bytes": 6_000},
    )
    pay = placet.governed(gate, context, action="pay")(_pay)
    for amount in range(20):
        pay(amount)
        refusal(pay, 500)
    names = sorted(path.name for path in folder.glob("audit*.jsonl"))
    assert len(names) > 5 and names[0] == "audit.000000000000.jsonl" and names[-1] == "audit.jsonl", names
    monkeypatch.chdir(folder)
    exec(compile(QUERY, "query", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert 0 < len(printed) < 20 and printed[-1].endswith(" more than 100")
    mirror = AuditLog(folder / "audit.jsonl")
    assert len(mirror.query()) == 40
    key = _key()
    assert mirror.verify(key)["ok"] and mirror.verify(key)["entries"] == 60
    ran = subprocess.run(
        [sys.executable, VERIFIER, "audit.jsonl", "--key", key], capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout)["entries"] == 60
    # Without one of its files it is no whole log.
    (folder / names[2]).rename(folder / "elsewhere")
    assert not mirror.verify(key)["ok"]


def test_f30_rotation_is_set_in_the_configuration_too_and_read_strictly(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    config = tmp_path / "placet.yaml"
    config.write_text("audit_log: m.jsonl\naudit_log_rotation: { max_bytes: 1 }\n")
    gate = open_gate(config=config, ledger=tmp_path / "m.db")
    pay = placet.governed(gate, context, action="pay")(_pay)
    pay(1)
    pay(2)
    assert len(list(tmp_path.glob("m.0*.jsonl"))) >= 2
    for wrong, says in [
        ({"max_bytes": 0}, "max_bytes"),
        ({"bytes": 5}, "max_age_seconds"),
        ({"max_age_seconds": "1h"}, "int"),
    ]:
        with pytest.raises((ValueError, TypeError), match=says):
            open_gate(audit_log=tmp_path / "n.jsonl", audit_log_rotation=wrong)
    config.write_text("audit_log_rotation: { max_byte: 1 }\n")
    with pytest.raises(placet.PlacetError, match="max_byte"):
        open_gate(config=config)


POLICY = """
version: 1
rules:
  - { name: ours, when: { action: mail, args.to: { ends_with: "@ours.example" } }, then: allow }
"""

OTHER = """
version: 1
rules:
  - { name: ours, when: { action: mail, args.to: { ends_with: "@ours.example" } }, then: hitl }
  - { name: theirs, when: { action: mail, args.to: { contains: "else" } }, then: allow }
"""


def test_f32_aegis_75_redacted_arguments_are_decided_anew_where_their_features_tell(
    open_gate: Open, tmp_path: Path, context: SessionContext
) -> None:
    ledger = tmp_path / "audit.db"
    gate = open_gate(POLICY, ledger=ledger)
    mail = placet.governed(gate, context, action="mail")(lambda to: to)
    mail("ann@ours.example")
    refusal(mail, "eve@else.example")
    assert b"ann@" not in ledger.read_bytes()
    other = tmp_path / "other.yaml"
    other.write_text(OTHER)
    report = AuditLog(ledger).replay(other)
    # The first is known to end so: a person is asked, whatever else it holds. The second is known not to.
    [change], [unclear] = report["changes"], report["undecidable"]
    assert (change["from"], change["to"]) == ("allow", "escalate")
    assert (unclear["from"], unclear["could_be"]) == ("deny", ["allow", "deny"])
