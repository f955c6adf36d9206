"""The tool that the governed rows wrap: a body that does nothing, so that only governance is measured."""
# SPDX-License-Identifier: MIT OR Apache-2.0


async def refund(order_id: str, amount: float, note: str = "") -> str:
    """Refund an order."""
    return "refunded"


def refund_sync(order_id: str, amount: float, note: str = "") -> str:
    """Refund an order."""
    return "refunded"
