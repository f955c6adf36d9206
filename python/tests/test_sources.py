"""Where policies come from, and what they know of the session: in every dialect, also in other processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from test_walkthrough import Project, find_opa, serving

import placet

# A folder of both YAML dialects, one of them in a folder below.
FOLDER = {
    "payments.yaml": """
        version: 1
        rules:
          - { name: small, when: { action: pay, args.amount: { gte: 0, lte: 100 } }, then: allow }
          - { name: large, when: { action: pay, args.amount: { gt: 100, lte: 1000 } }, then: hitl }
          - { name: huge, when: { action: pay, args.amount: { gt: 1000 } }, then: block, reason: too much }
          - { name: read, when: { action: read_file }, then: allow }
        """,
    "team/search.yaml": """
        version: 1
        rules:
          - { name: lookup, when: { action: lookup }, then: allow }
          - { name: search, when: { action: search, args.q: { exists: true } }, then: allow }
          - { name: no_secrets, when: { action: search, args.q: { contains: secret } }, then: deny }
          - { name: after, when: { action: refund, session.tool_history: { contains: lookup } }, then: allow }
        """,
}

EVENTS: list[dict[str, Any]] = [
    {"action": "pay", "args": {"amount": amount}}
    for amount in (0, 50, 100, 100.5, 1000, 1001, -1, "50", None)
] + [
    {"action": "search", "args": {"q": "weather"}},
    {"action": "search", "args": {"q": "the secret"}},
    {"action": "search", "args": {}},
    {"action": "unheard_of", "args": {}},
    {"action": "read_file", "resource_path": "/workspace/a.txt", "args": {}},
    {"action": "read_file", "resource_path": "/etc/passwd", "args": {}},
    {"event_type": "agent.spawn", "action": "agent.spawn", "requested_capabilities": [], "args": {}},
    {"action": "refund", "args": {}, "session": {"tool_history": ["lookup"]}},
    {"action": "refund", "args": {}, "session": {"tool_history": []}},
]


def events() -> list[dict[str, Any]]:
    context = {"session_id": "s1", "user_role": "agent", "session_scopes": [], "delegation_depth": 0}
    events = [
        {"event_type": "tool_call", "tool_name": event["action"], "context": context} | event
        for event in EVENTS
    ]
    return [json.loads(json.dumps(event)) | {"now": "2026-03-01T12:00:00Z"} for event in events]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")


def said(decision: placet.PolicyDecision) -> tuple[str, bool]:
    return decision.verdict, decision.hard


def test_f81_a_folder_decides_alike_embedded_on_the_command_line_and_on_a_real_opa(tmp_path: Path) -> None:
    opa = find_opa()
    if opa is None:
        pytest.skip("no `opa`; `make opa` installs it")
    project = Project(tmp_path)
    done = project.run("placet", "init", "--opa", "app")
    assert done.returncode == 0, done.stderr
    project.folder = tmp_path / "app"
    policies = project.folder / "policies"
    for old in policies.iterdir():
        old.unlink()
    write(policies, FOLDER)
    # Without a ledger, the history that the event states is believed, as on the command line.
    gate = placet.PolicyGate(policies=policies, ledger="off")
    embedded = [said(gate.decide_document(json.dumps(event))) for event in events()]
    verdicts = [verdict for verdict, _ in embedded]
    assert verdicts.count("allow") >= 5 and verdicts.count("deny") >= 5 and verdicts.count("escalate") == 2

    answers = []
    for event in events():
        done = project.run("placet", "check", json.dumps(event), "--policies", "policies", "--format", "json")
        answer = json.loads(done.stdout)
        answers.append((answer["verdict"], answer["hard"]))
    assert answers == embedded

    done = project.run("placet", "compile", "policies")
    assert done.returncode == 0, done.stderr
    assert (policies / "payments.rego").exists() and (policies / "team" / "search.rego").exists()
    # The exported bundle beside its sources is the same folder.
    again = placet.PolicyGate(policies=policies, ledger="off")
    assert [said(again.decide_document(json.dumps(event))) for event in events()] == embedded
    here = asked(placet.PolicyGate(policies=policies))
    assert {verdict for verdict, _ in here} == {"allow", "deny", "escalate"}
    with serving(opa, project.compose_command()):
        assert asked(placet.PolicyGate(placet.OPAClient())) == here


def asked(gate: placet.PolicyGate) -> list[tuple[str, bool]]:
    """What a gate says to the tool calls, a spawn, and a refund before and after the lookup."""
    context = placet.SessionContext(session_id="s1", user_role="agent", session_scopes=[])
    calls = [event for event in events() if event["event_type"] == "tool_call" and "session" not in event]
    answers = [
        said(
            gate.decide_tool_call(
                placet.ToolCallInput(
                    action=call["action"], args=call["args"], resource_path=call.get("resource_path")
                ),
                context,
            )
        )
        for call in calls
    ]
    spawn = placet.GovernanceEvent(
        event_type="agent.spawn", session_id="s1", context=context, action="agent.spawn"
    )
    refund = placet.ToolCallInput(action="refund")
    answers += [said(gate.decide(spawn)), said(gate.decide_tool_call(refund, context))]
    placet.governed(gate, context, action="lookup")(lambda: None)()
    assert said(gate.decide_tool_call(refund, context)) == ("allow", False)
    return answers


def test_f32_a_log_is_replayed_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = (
        "version: 1\nrules: [{ name: pay, when: { action: pay, args.amount: { lte: 100 } }, then: allow }]"
    )
    write(tmp_path, {"policies/policy.yaml": policy, "new/policy.yaml": policy.replace("100", "10")})
    write(tmp_path, {"one.yaml": "budgets: [{ scope: session, unit: api_calls, limit: 1 }]\n"})
    gate = placet.PolicyGate(policies="policies", ledger="log.db")
    context = placet.SessionContext(session_id="s1", user_role="agent", session_scopes=[])
    pay = placet.governed(gate, context, action="pay")(lambda amount: amount)
    for amount in (5, 50, 500):
        gate_allows(gate, context, "nothing")
        with contextlib.suppress(placet.GovernanceError):
            pay(amount)
    log = placet.AuditLog("log.db")
    same = log.replay("policies")
    assert (same["decisions"], same["changed"], same["undecidable"]) == (6, 0, [])
    tighter = log.replay(["new"])
    rows = log.query(tool="pay")
    changes = [(change["id"], change["from"], change["to"]) for change in tighter["changes"]]
    assert changes == [(rows[1]["id"], "allow", "deny")]
    (change,) = log.replay("policies", config="one.yaml")["changes"]
    assert (change["id"], change["code"]) == (rows[1]["id"], "budget_exhausted")
    assert log.replay("policies", session_id="other")["decisions"] == 0
    with pytest.raises(placet.AuditError, match="nowhere"):
        log.replay("nowhere")


# "Refund only after lookup", as each dialect says it.
DIALECTS = {
    "rules": (
        "policy.yaml",
        """
        version: 1
        rules:
          - { name: lookup, when: { action: lookup }, then: allow }
          - { name: after, when: { action: refund, session.tool_history: { contains: lookup } }, then: allow }
        """,
    ),
    "match": (
        "policy.yaml",
        """
        version: "1"
        rules:
          - name: lookup
            match: { type: lookup }
            approval: auto
          - name: refund
            match: { type: refund }
            conditions: { session.tool_history: { contains: lookup } }
            approval: auto
        """,
    ),
    "rego": (
        "policy.rego",
        """
        package placet.main

        allow if input.tool == "lookup"

        allow if {
            input.tool == "refund"
            "lookup" in input.session.tool_history
        }
        """,
    ),
}

WORKER = """
import json, sys
import placet

gate = placet.PolicyGate(policies=sys.argv[1], ledger=sys.argv[2])
context = placet.SessionContext(session_id=sys.argv[3], user_role="agent", session_scopes=[])
for tool in sys.argv[4:]:
    function = placet.governed(gate, context, action=tool)(lambda: None)
    try:
        function()
        print("ran")
    except placet.GovernanceError as error:
        print(error.decision.code)
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_f82_refund_only_after_lookup_holds_after_a_restart_and_in_another_process(
    dialect: str, tmp_path: Path
) -> None:
    name, text = DIALECTS[dialect]
    write(tmp_path / "policies", {name: text})

    def process(session: str, *tools: str) -> list[str]:
        command = [sys.executable, "-c", WORKER, tmp_path / "policies", tmp_path / "log.db", session, *tools]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert process("s1", "refund") != ["ran"], "nothing was looked up"
    assert process("s1", "lookup") == ["ran"]
    assert process("s1", "refund", "refund") == ["ran", "ran"], "another process did"
    assert process("s2", "refund") != ["ran"], "another session did not"
    assert process("s2", "lookup", "refund") == ["ran", "ran"]


class AfterLookup:
    """The same, in Python."""

    async def health(self) -> bool:
        return True

    async def evaluate(self, call: placet.PolicyInput) -> placet.PolicyDecision:
        allow = call.action == "lookup" or (call.action == "refund" and "lookup" in call.tool_history)
        return placet.PolicyDecision(allow=allow, deny=False, requires_hitl=False)

    async def evaluate_event(self, event: placet.GovernanceEvent) -> placet.PolicyDecision:
        raise AssertionError("only tools are called")


def test_f82_an_evaluator_in_python_sees_the_history_of_the_ledger(tmp_path: Path) -> None:
    def attempt(tool: str) -> bool:
        gate = placet.PolicyGate(AfterLookup(), ledger=tmp_path / "log.db")
        context = placet.SessionContext(session_id="s1", user_role="agent", session_scopes=[])
        return gate_allows(gate, context, tool)

    assert [attempt(tool) for tool in ("refund", "lookup", "refund")] == [False, True, True]


def gate_allows(gate: placet.PolicyGate, context: placet.SessionContext, tool: str) -> bool:
    try:
        placet.governed(gate, context, action=tool)(lambda: None)()
    except placet.GovernanceError:
        return False
    return True
