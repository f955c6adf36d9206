"""Secrets that a call carries are never stored, whatever brings them: database, mirror, notices."""

from __future__ import annotations

from pathlib import Path

import pytest

import placet

REGO = """
package placet.tool_call
import rego.v1
decision := {"escalate": true, "reason": sprintf("ask about %v", [input.args.note])} if {
    input.action == "ask"
}
decision := {"deny": sprintf("not for %v", [input.args.note])} if { input.action == "refused" }
"""
YAML = """
version: 1
rules:
  - { name: run, when: { action: [run, read_url, fail] }, then: allow }
  - { name: seen, when: { action: seen, args: { note: { contains: ghp } } }, then: deny }
  - { name: page, when: { action: page }, then: hitl }
"""


def secret(number: int) -> str:
    return f"ghp_{number:04d}" + "abcdefgh" * 4


def test_aegis_74_secrets_reach_neither_database_nor_mirror_nor_notices(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "limits.rego").write_text(REGO, encoding="utf-8")
    (policies / "rules.yaml").write_text(YAML, encoding="utf-8")
    log = tmp_path / "log"
    log.mkdir()
    notices: list[str] = []
    gate = placet.PolicyGate(
        policies=policies,
        ledger=log / "audit.db",
        audit_log=log / "audit.jsonl",
        notify=[lambda notice: notices.append(repr(notice))],
    )
    context = placet.SessionContext(
        session_id="s1",
        user_role="agent",
        session_scopes=[secret(1)],
        attributes={"note": secret(3)},
    )

    def governed(function, **options):
        return placet.governed(gate, context, **options)(function)

    def run(note):
        return {"found": [secret(4)], secret(5): 1, "raw": secret(6).encode(), "password": "swordfish-1"}

    def fail(note):
        try:
            raise KeyError(secret(7))
        except KeyError as error:
            raise ValueError({"key": secret(8)}, secret(9)) from error

    governed(run)({"a": [secret(10)], secret(11): "x", 5: secret(12)})
    with pytest.raises(ValueError):
        governed(fail)(secret(13))
    url = "https://ann:swordfish-2@example.org/x"
    governed(lambda url: None, action="read_url", paths=["url"], target=url)(url)
    for action, code in [("ask", "approval_required"), ("page", "approval_required")]:
        with pytest.raises(placet.GovernanceError) as refused:
            governed(lambda note, url: None, action=action, paths=["url"], target=url)(secret(14), url)
        assert refused.value.code == code
    for action in ["refused", "seen", "unknown"]:
        with pytest.raises(placet.GovernanceError):
            governed(lambda note: None, action=action)(secret(15))
    with pytest.raises(placet.GovernanceError):
        governed(run)(**{secret(16): 1})
    steps = [{"tool": "run", "args": {"note": secret(17)}, "why": secret(18)}]
    other = placet.SessionContext(session_id="s2", user_role="agent", session_scopes=[])
    gate.decide_plan(steps, other)
    gate.close()

    assert [row["reason"] for row in gate.audit.query(tool="ask")] == ["ask about [REDACTED:github_token]"]
    stored = b"".join(path.read_bytes() for path in log.iterdir()) + repr(notices).encode()
    assert b"[REDACTED:url_password]" in stored and notices
    leaked = [number for number in range(19) if secret(number).encode() in stored]
    assert (leaked, b"swordfish-1" in stored, b"swordfish-2" in stored) == ([], False, False)


@pytest.mark.parametrize("way", [placet.CallbackApprovalHandler, None])
def test_aegis_74_who_is_asked_sees_no_secret(open_gate, context, way) -> None:
    policy = "version: 1\nrules:\n  - { name: page, when: { action: page }, then: hitl }\n"
    seen: list[str] = []

    class Own(placet.ApprovalHandler):
        async def request_approval(self, request):
            return bool(seen.append(repr(request)))

    handler = Own() if way is None else way(lambda request: bool(seen.append(repr(request))))
    gate = open_gate(policy, approvals=handler)
    url = "https://ann:swordfish-1@example.org/x"
    tool = placet.governed(gate, context, action="page", target=url, paths=["url"])(lambda url, note: None)
    with pytest.raises(placet.GovernanceError):
        tool(url, secret(1))
    assert len(seen) == 1 and "example.org" in seen[0]
    assert secret(1) not in seen[0] and "swordfish-1" not in seen[0]


def test_aegis_74_requests_that_differ_in_a_hidden_part_are_two(tmp_path: Path, open_gate, context) -> None:
    policy = "version: 1\nrules:\n  - { name: page, when: { action: page }, then: hitl }\n"
    gate = open_gate(policy, ledger=tmp_path / "audit.db")

    def asked(url: str) -> object:
        call = placet.ToolCallInput(action="page", resource_path=url, target=url)
        return gate.decide_tool_call(call, context).approval_id

    first, second = (asked(f"https://ann:{password}@example.org/") for password in ("one-1", "two-2"))
    assert first is not None and first == asked("https://ann:one-1@example.org/") and first != second
