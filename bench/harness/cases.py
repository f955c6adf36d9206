"""One event with the verdict it must get, and the event document that all engines read."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCOPES = ["crm_read", "refunds", "mail_send"]


@dataclass(frozen=True)
class Case:
    """An input shared by all engines; `skip` maps an engine family to the reason it is left out there."""

    note: str
    verdict: str
    event: dict[str, Any]
    skip: dict[str, str] = field(default_factory=dict)


def event(
    action: str,
    args: dict[str, Any],
    *,
    event_type: str = "tool_call",
    resource_path: str | None = None,
    requested_capabilities: list[str] | None = None,
    steps: list[dict[str, Any]] | None = None,
    data_classification: str | None = None,
    **context: Any,
) -> dict[str, Any]:
    """The complete event document: every field present, null without a value (about 650 bytes as JSON)."""
    session: dict[str, Any] = {
        "session_id": "s-1",
        "user_role": "support_agent",
        "session_scopes": SCOPES,
        "sandbox_verified": False,
        "token_id": "",
        "delegation_depth": 0,
        "parent_token_id": "",
        "parent_session_id": "",
        "tenant_id": None,
        "budget_total_tokens": None,
        "budget_used_tokens": None,
        "budget_total_api_calls": None,
        "budget_used_api_calls": None,
        "budget_total_cost_cents": None,
        "budget_used_cost_cents": None,
    }
    return {
        "event_type": event_type,
        "session_id": "s-1",
        "action": action,
        "tool_name": None if event_type.startswith("agent.") else action,
        "args": args,
        "resource_path": resource_path,
        "context": session | context,
        "requested_capabilities": requested_capabilities or [],
        "delegation_target": None,
        "steps": steps or [],
        "data_classification": data_classification,
    }
