"""The reference page of `@governed`, row by row: what happens at call time, parameters, failure modes."""

import asyncio
import inspect

import pytest

import placet
from conftest import INJECTION, refusal


class Recording:
    """An evaluator that notes what it was asked and when."""

    def __init__(self, events, **flags):
        self.events = events
        self.decision = placet.PolicyDecision(**{"allow": True, "reason": "r", **flags})

    async def evaluate(self, asked):
        self.events.append(asked)
        return self.decision


def recorded(context, function, events=None, flags=None, **options):
    events = [] if events is None else events
    gate = placet.PolicyGate(Recording(events, **(flags or {})))
    return placet.governed(gate=gate, context=context, **options)(function), events


def approve_refund(customer_id: str, amount: float = 5.0) -> str:
    return f"Refunded ${amount:.2f} to {customer_id}"


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("c", 42.0), {}), (("c",), {"amount": 42.0}), ((), {"amount": 42.0, "customer_id": "c"})],
)
def test_f51_seed_001_1_arguments_bind_into_one_dict_by_name(context, args, kwargs):
    wrapped, events = recorded(context, approve_refund)
    assert wrapped(*args, **kwargs) == "Refunded $42.00 to c"
    assert [asked.args for asked in events] == [{"customer_id": "c", "amount": 42.0}]


def test_f51_seed_001_1_defaults_are_among_them(context):
    wrapped, events = recorded(context, approve_refund)
    wrapped("c")
    assert events[0].args == {"customer_id": "c", "amount": 5.0}


@pytest.mark.parametrize(
    ("action", "asked"), [(None, "approve_refund"), ("partial_refund", "partial_refund")]
)
def test_f51_seed_001_2_the_action_is_the_functions_name_unless_given(context, action, asked):
    wrapped, events = recorded(context, approve_refund, action=action)
    wrapped("c")
    assert (events[0].action, events[0].tool_name) == (asked, asked)


@pytest.mark.parametrize("is_async", [False, True])
def test_f51_seed_001_3_the_gate_is_asked_before_the_body_runs_and_once(context, is_async):
    events = []

    def note():
        events.append("ran")

    async def anote():
        events.append("ran")

    wrapped, _ = recorded(context, anote if is_async else note, events)
    assert inspect.iscoroutinefunction(wrapped) == is_async
    asyncio.run(wrapped()) if is_async else wrapped()
    assert [type(event) is str for event in events] == [False, True]


@pytest.mark.parametrize(
    ("flags", "message", "view"),
    [
        ({"deny": True}, "Tool 'note' hard blocked by security policy: r", (False, True, False)),
        (
            {"requires_hitl": True, "risk_tier": "DESTRUCTIVE"},
            "Tool 'note' requires human approval (risk tier: DESTRUCTIVE)",
            (False, False, True),
        ),
        ({"allow": False}, "Tool 'note' denied by policy: r", (False, False, False)),
    ],
)
def test_f52_seed_001_4_whatever_is_no_allow_raises_with_the_decision(context, flags, message, view):
    ran = []

    def note():
        ran.append(1)

    wrapped, _ = recorded(context, note, flags=flags)
    error = refusal(wrapped)
    assert (str(error), ran) == (message, [])
    assert (error.decision.allow, error.decision.deny, error.decision.requires_hitl) == view


def test_f51_seed_001_5_texts_are_sanitised_unless_told_otherwise(context):
    def read():
        return f"Balance 12. {INJECTION}."

    clean, _ = recorded(context, read)
    raw, _ = recorded(context, read, sanitize=False)
    assert INJECTION not in clean()
    assert clean().startswith("Balance 12. ")
    assert raw() == read()


def test_f51_seed_001_sync_wrappers_bridge_inside_a_running_loop(context):
    wrapped, events = recorded(context, approve_refund)

    async def notebook_cell():
        return wrapped("c")

    assert asyncio.run(notebook_cell()) == "Refunded $5.00 to c"
    assert len(events) == 1
