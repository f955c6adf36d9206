"""The queue of actions that wait for people, over the ledger."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from . import _core
from ._errors import PlacetError
from ._models import RiskTier

T = TypeVar("T")

_log = logging.getLogger("placet.approvals")

# After so many failures in a row the expiry task reports that nothing is written down as expired.
_FAILURES_BEFORE_ALARM = 5


class ApprovalError(PlacetError):
    """An answer that does not count, or a queue that cannot be used. Nothing changed."""

    code = "approval_invalid"


class DuplicateActionError(ApprovalError, sqlite3.IntegrityError):
    """An action whose id is in the queue already."""

    code = "approval_exists"


class ActionStatus(enum.StrEnum):
    """Where an action stands. All but `PENDING` are final."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    DENIED = "DENIED"
    TIMED_OUT = "TIMED_OUT"


@dataclass
class PendingAction:
    """An action that waits for people, or did. What comes from the queue has its arguments redacted."""

    session_id: str
    tool_name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    risk_tier: RiskTier = RiskTier.OPERATIONAL
    id: str = ""
    status: ActionStatus = ActionStatus.PENDING
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    decided_at: datetime | None = None
    decided_by: str | None = None
    denial_reason: str | None = None
    tenant_id: str | None = None


class HITLQueue:
    """Actions that wait for people, kept in a ledger's SQLite file.

    The first decision wins, across threads and processes. Who asks cannot answer, and what has waited longer
    than `lifetime_seconds` cannot be approved, whether or not somebody wrote that down. Opens nothing before
    its first use.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str] = "hitl.db",
        *,
        keys: str | os.PathLike[str] | None = None,
        lifetime_seconds: int = 3600,
    ) -> None:
        if os.fspath(db_path) in (":memory:", "memory", "off", ""):
            raise ValueError(
                f"HITLQueue needs a file that others can open, got {os.fspath(db_path)!r}; name one"
            )
        self._queue = _core.ApprovalQueue(db_path, keys, lifetime_seconds)

    async def setup(self) -> None:
        """Opens the file, or makes it, and checks all of it. Other methods do so too."""
        await _in_thread(self._queue.setup)

    async def enqueue(self, action: PendingAction) -> str:
        """Puts an action before people and returns its id, a new one unless the action has one."""
        action_id = action.id or uuid.uuid4().hex
        await _in_thread(
            self._queue.enqueue,
            action_id,
            action.session_id,
            action.tool_name,
            dict(action.args),
            str(RiskTier(action.risk_tier)),
            action.tenant_id,
        )
        return action_id

    async def approve(self, action_id: str, decided_by: str = "human") -> bool:
        """Says yes. False when it was decided before, has expired, or is unknown.

        Raises `ApprovalError` for somebody who may not answer.
        """
        return await _in_thread(self._queue.approve, action_id, decided_by)

    async def deny(self, action_id: str, decided_by: str = "human", reason: str = "") -> bool:
        """Says no; otherwise as `approve`."""
        return await _in_thread(self._queue.deny, action_id, decided_by, reason or None)

    async def get_status(self, action_id: str) -> PendingAction | None:
        """The action as it stands; None when it is unknown."""
        row = await _in_thread(self._queue.get, action_id)
        return None if row is None else _action(row)

    async def get_pending(self) -> list[PendingAction]:
        """The actions that wait, oldest first."""
        return [_action(row) for row in await _in_thread(self._queue.pending)]

    async def expire_old(self, timeout_seconds: float = 300) -> int:
        """Ends the actions that have waited for so long; returns how many."""
        return await _in_thread(self._queue.expire, timeout_seconds)

    def start_expiry_task(
        self, check_interval_seconds: float = 30, action_timeout_seconds: float = 300
    ) -> asyncio.Task[None]:
        """Calls `expire_old` at intervals until it is cancelled."""
        expiring = self._expire_at_intervals(check_interval_seconds, action_timeout_seconds)
        return asyncio.get_running_loop().create_task(expiring, name="placet-expiry")

    async def _expire_at_intervals(self, interval_seconds: float, timeout_seconds: float) -> None:
        failures = 0
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.expire_old(timeout_seconds)
                failures = 0
            except PlacetError as error:
                failures += 1
                if failures % _FAILURES_BEFORE_ALARM == 0:
                    _log.critical(
                        "expired actions could not be written down %d times in a row: %s", failures, error
                    )

    async def wait_for_decision(self, action_id: str, timeout_seconds: float = 300) -> PendingAction:
        """Waits until somebody decides, in whatever process; what nobody decides in time is `TIMED_OUT`.

        Raises `ValueError` for an unknown action. Cancelling it leaves the action as it is.
        """
        stop = _core.Stop()
        row = await _in_thread(self._queue.wait, action_id, timeout_seconds, stop, stop=stop)
        if row is None:
            raise ApprovalError(f"the wait for `{action_id}` was ended", "approval_timeout")
        return _action(row)


def _action(row: Mapping[str, Any]) -> PendingAction:
    def moment(name: str) -> datetime | None:
        return None if row[name] is None else datetime.fromtimestamp(row[name], UTC)

    fields = {entry.name: row[entry.name] for entry in dataclasses.fields(PendingAction)}
    fields["risk_tier"] = RiskTier(row["risk_tier"])
    fields["status"] = ActionStatus(row["status"])
    fields["created_at"], fields["decided_at"] = moment("created_at"), moment("decided_at")
    fields["args"] = row["args"] or {}
    return PendingAction(**fields)


async def _in_thread(work: Callable[..., T], *args: Any, stop: _core.Stop | None = None) -> T:
    """Runs what waits in a thread of its own, so that no pool is full of waits; wakes the loop at once."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(setter: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            setter(value)

    def run() -> None:
        try:
            outcome: tuple[Callable[[Any], None], Any] = (future.set_result, work(*args))
        except BaseException as error:
            outcome = (future.set_exception, error)
        try:
            loop.call_soon_threadsafe(deliver, *outcome)
        except RuntimeError:
            _log.debug("the event loop was closed before an answer came")

    threading.Thread(target=run, name="placet-approval", daemon=True).start()
    try:
        return await future
    finally:
        if stop is not None:
            stop.stop()
