"""A governed agent without a model: three calls, decided by `policies/` before they run."""

import asyncio

from placet import GovernanceError, GovernedToolbox, PolicyGate, SessionContext

gate = PolicyGate(policies="policies/")
context = SessionContext(
    session_id="session-001",
    user_role="support_agent",
    session_scopes=["read_customer", "approve_refund"],
)


def get_customer(customer_id: str) -> str:
    """Look up a customer."""
    return f"{customer_id}: Ada, customer since 2019"


def approve_refund(customer_id: str, amount: float) -> str:
    """Pay money back to a customer."""
    return f"refunded ${amount:.2f} to {customer_id}"


tools = GovernedToolbox(gate=gate, context=context)
tools.register("get_customer", get_customer)
tools.register("approve_refund", approve_refund)

CALLS = [
    ("get_customer", {"customer_id": "cust_001"}),
    ("approve_refund", {"customer_id": "cust_001", "amount": 50.0}),
    ("approve_refund", {"customer_id": "cust_001", "amount": 500.0}),
]


async def main() -> None:
    for name, args in CALLS:
        try:
            print("ALLOW", name, "->", await tools.call(name, args))
        except GovernanceError as error:
            print("BLOCK", name, "->", error)


asyncio.run(main())
