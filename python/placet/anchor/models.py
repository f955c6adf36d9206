"""What waits for people, under the ancestors' import path."""

from .._approvals import ActionStatus, HITLQueue, PendingAction
from .credentials import SessionToken

__all__ = ["ActionStatus", "HITLQueue", "PendingAction", "SessionToken"]
