"""The events of the core bundle + 10 rules workload, with the verdict that every engine must give.

`skip` names engines that are known to answer otherwise, each with the reason; everything else must agree
or the run stops before anything is timed.
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from typing import Any

from harness.cases import Case, event

_KITE_GAP = "kitelogik asks a person whenever nothing matched"
_KITE_TOOL_CALL = "kitelogik's tool-call document carries neither event type nor classification"
_MATCH = "the Match dialect knows no roles, scopes or guards"


def cases() -> list[Case]:
    """Twenty-three events: allow, deny and escalate, by rule, by guard and by silence."""
    found = [
        Case("read with scope", "allow", event("read_customer", {"customer_id": "c-17"})),
        Case("search", "allow", event("search_docs", {"query": "how to reset a password", "limit": 10})),
        Case("small refund", "allow", event("refund", _refund(42))),
        Case("large refund", "escalate", event("refund", _refund(250))),
        Case("huge refund", "deny", event("refund", _refund(5000))),
        Case("mail outside", "deny", event("send_email", _mail("eve@elsewhere.test"))),
        Case("mail inside", "allow", event("send_email", _mail("bob@example.com"))),
        Case("embargoed export", "deny", event("export_report", {"region": "north", "format": "csv"})),
        Case("export", "escalate", event("export_report", {"region": "west", "format": "csv"})),
        Case(
            "write in workspace",
            "allow",
            event("write_file", {"path": "/workspace/notes.txt", "text": "hello"}),
        ),
        Case("unknown tool", "deny", event("launch_rocket", {"target": "moon"}), {"kitelogik": _KITE_GAP}),
    ]
    return found + _guards()


def _guards() -> list[Case]:
    read = {"customer_id": "c-17"}
    steps = [{"tool_name": "read_customer", "args": read}, {"tool_name": "refund", "args": _refund(42)}]
    wipe = [*steps, {"tool_name": "drop_database", "args": {}}]
    no_match = {"aegis": _MATCH}
    not_kite_call = {"aegis": _MATCH, "kitelogik": _KITE_TOOL_CALL}
    return [
        Case(
            "read without scope",
            "deny",
            event("read_customer", read, session_scopes=["refunds"]),
            {"aegis": _MATCH, "kitelogik": _KITE_GAP},
        ),
        Case("secret file", "deny", event("read_file", {"mode": "r"}, resource_path="/app/.env"), no_match),
        Case("other session", "deny", event("read_customer", {**read, "session_id": "s-other"}), no_match),
        Case("shell without sandbox", "deny", event("execute_shell", {"command": "ls"}), no_match),
        Case("too deep", "deny", event("read_customer", read, delegation_depth=3), no_match),
        Case(
            "budget spent",
            "deny",
            event("read_customer", read, budget_total_tokens=1000, budget_used_tokens=1000),
            not_kite_call,
        ),
        Case(
            "restricted data",
            "deny",
            event("read_customer", read, data_classification="restricted"),
            not_kite_call,
        ),
        Case(
            "spawn",
            "allow",
            event("agent.spawn", {}, event_type="agent.spawn", requested_capabilities=["refunds"]),
            no_match,
        ),
        Case(
            "spawn with more than its own",
            "deny",
            event("agent.spawn", {}, event_type="agent.spawn", requested_capabilities=["admin"]),
            no_match,
        ),
        Case("plan", "allow", event("agent.plan", {}, event_type="agent.plan", steps=steps), no_match),
        Case(
            "plan that wipes", "deny", event("agent.plan", {}, event_type="agent.plan", steps=wipe), no_match
        ),
        Case(
            "budget event, spent",
            "deny",
            event(
                "agent.budget",
                {},
                event_type="agent.budget",
                budget_total_api_calls=5,
                budget_used_api_calls=6,
            ),
            no_match,
        ),
    ]


def _refund(amount: int) -> dict[str, Any]:
    return {"order_id": "o-1001", "amount": amount, "note": "customer complaint"}


def _mail(to: str) -> dict[str, Any]:
    return {"to": to, "subject": "your order", "body": "It has been shipped."}
