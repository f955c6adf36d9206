"""Telling people that a request waits, is late, or has ended; and keeping the time of requests."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from . import _core
from ._errors import PlacetError
from ._models import RiskTier

_log = logging.getLogger("placet.approvals")

# How long the end of the program waits for notices on their way. What is not told then is owed.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class ApprovalNotice:
    """What happened to a request. It names the call and shows none of its arguments."""

    id: str
    """The same each time the notice is delivered: drop one that you had."""
    event: str
    """`approval.asked`, `.reminded`, `.escalated`, `.breached`, `.decided` or `.ended`."""
    at: datetime
    approval_id: str
    state: str
    action: str
    tool: str | None
    session_id: str | None
    agent_id: str | None
    tenant_id: str | None
    risk_tier: RiskTier
    rules: tuple[str, ...]
    reviewers: tuple[str, ...]
    """The groups that it concerns; none means anyone who may answer."""
    digest: str
    expires_at: datetime
    due_at: datetime | None
    decided_by: str | None


class WebhookNotifier:
    """Tells a web server, which takes a notice by answering with a status of 200 to 299.

    With a `key` of at least 16 bytes the notices are signed.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        key: bytes | None = None,
    ) -> None:
        self._core = _core.Receiver.webhook(timeout, url, list((headers or {}).items()), key)


Notifier: TypeAlias = WebhookNotifier | Callable[[ApprovalNotice], object]


def attend(gate: object, engine: _core.Engine, notify: Sequence[Notifier]) -> Attendant | None:
    """Begins to tell, in a thread, as long as the gate lives; None when there is nobody to tell."""
    receivers = [_receiver(number, notifier) for number, notifier in enumerate(notify)]
    clerk = _core.Clerk.of(engine, receivers)
    if clerk is None:
        if notify:
            raise ValueError("`notify` needs a ledger; nothing is asked or told without one")
        return None
    attendant = Attendant(clerk)
    weakref.finalize(gate, attendant.close)
    return attendant


def _receiver(number: int, notifier: Notifier) -> _core.Receiver:
    if isinstance(notifier, WebhookNotifier):
        return notifier._core
    if not callable(notifier):
        raise TypeError(f"`notify` takes functions and WebhookNotifiers, got {notifier!r}")
    # What a function was told is kept under its name, which must be the same after a restart.
    name = getattr(notifier, "__qualname__", None) or type(notifier).__qualname__
    function: Callable[[ApprovalNotice], object] = notifier

    def tell(body: Mapping[str, Any]) -> None:
        function(_notice(body))

    return _core.Receiver.callback(f"callback {number} {name}", tell)


def _notice(body: Mapping[str, Any]) -> ApprovalNotice:
    return ApprovalNotice(
        id=body["event_id"],
        event=body["event"],
        at=datetime.fromisoformat(body["at"]),
        approval_id=body["approval_id"],
        state=body["state"],
        action=body["action"],
        tool=body["tool"],
        session_id=body["session"],
        agent_id=body["agent"],
        tenant_id=body["tenant"],
        risk_tier=RiskTier(body["risk_level"]),
        rules=tuple(body["rules"]),
        reviewers=tuple(body["reviewers"]),
        digest=body["digest"],
        expires_at=datetime.fromisoformat(body["expires"]),
        due_at=datetime.fromisoformat(body["due"]) if body["due"] else None,
        decided_by=body["decided_by"],
    )


class Attendant:
    """The thread of one gate."""

    def __init__(self, clerk: _core.Clerk) -> None:
        self._clerk = clerk
        self._begin()
        _attendants.add(self)

    def _begin(self) -> None:
        self._stop = _core.Stop()
        self._thread = threading.Thread(
            target=_run, args=(self._clerk, self._stop), name="placet-notify", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Tells what can be told now, and ends."""
        self._stop.stop()
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE_SECONDS)


def _run(clerk: _core.Clerk, stop: _core.Stop) -> None:
    failing = False
    while True:
        # Looked at before the turn, so that the last turn comes after the end was called.
        last = stop.is_stopped
        try:
            clerk.turn()
            failing = False
        except PlacetError as error:
            if not failing:
                _log.error("requests for approval cannot be kept and told, which is tried again: %s", error)
            failing = True
        if last:
            return
        clerk.rest(stop)


_attendants: weakref.WeakSet[Attendant] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for attendant in list(_attendants):
        attendant.close()


def _after_fork_in_child() -> None:
    for attendant in list(_attendants):
        if not attendant._stop.is_stopped:
            attendant._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
