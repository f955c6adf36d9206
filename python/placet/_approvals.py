"""Asking people: the ways to ask, and the queue of actions that wait for them."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import getpass
import inspect
import logging
import os
import sqlite3
import threading
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from . import _core
from ._bridge import forget, off_loop, run_coroutine
from ._errors import PlacetError
from ._models import Action, RiskTier

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


@dataclass(frozen=True)
class ApprovalRequest:
    """What a person is asked, with secrets taken out: exactly what a yes is bound to."""

    id: str
    action: Action
    risk_tier: RiskTier
    reason: str
    matched_rule: str | None
    digest: str
    text: str
    """The whole request as lines of text, with every control character escaped."""
    expires_at: datetime


class ApprovalHandler:
    """A way to ask people about a call: override `request_approval`.

    It decides no policy and is asked only about calls that a policy escalates. Only `True` approves; anything
    else, and an exception, refuses. A yes counts once the ledger has admitted it as a vote of `approver`.
    """

    approver: str = "callback"

    async def request_approval(self, request: ApprovalRequest) -> bool:
        """Asks, in a thread and on an event loop of its own."""
        raise NotImplementedError(f"{type(self).__name__} must override `request_approval`")

    def _asker(self, timeout_seconds: float) -> _core.Asker:
        return _core.Asker.callback(timeout_seconds, self.approver, self._answer)

    def _answer(self, fields: Mapping[str, Any]) -> object:
        return run_coroutine(self.request_approval(_request(fields)))


class CallbackApprovalHandler(ApprovalHandler):
    """Asks a function, which may be asynchronous. Its answers are recorded as those of `approver`."""

    def __init__(
        self, callback: Callable[[ApprovalRequest], bool | Awaitable[bool]], *, approver: str = "callback"
    ) -> None:
        self._callback = callback
        self.approver = approver

    async def request_approval(self, request: ApprovalRequest) -> bool:
        answer = self._callback(request)
        return await answer if inspect.isawaitable(answer) else answer


class AutoApprovalHandler(ApprovalHandler):
    """Approves everything that asks a person, and says so in the log. For demonstrations and tests."""

    approver = "auto"

    def __init__(self) -> None:
        _log.warning("AutoApprovalHandler approves every call that asks a person; use it in tests only")

    async def request_approval(self, request: ApprovalRequest) -> bool:
        return True


class CLIApprovalHandler(ApprovalHandler):
    """Asks at the terminal that controls this process. Gates that share a terminal share one handler."""

    def __init__(
        self, *, approver: str | None = None, terminal: str | os.PathLike[str] | None = None
    ) -> None:
        self.approver = approver or getpass.getuser()
        self._terminal = terminal

    def _asker(self, timeout_seconds: float) -> _core.Asker:
        return _core.Asker.terminal(timeout_seconds, self.approver, self._terminal)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "terminal"


class WebhookApprovalHandler(ApprovalHandler):
    """Asks a web server, whose answer must be a JSON object with `"approved": true`.

    With a `key` of at least 16 bytes the request is signed, and the answer must be.
    """

    approver = "webhook"

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 300.0,
        method: str = "POST",
        key: bytes | None = None,
    ) -> None:
        self._timeout = timeout
        self._options = (url, method, list((headers or {}).items()), key)

    def _asker(self, timeout_seconds: float) -> _core.Asker:
        url, method, headers, key = self._options
        return _core.Asker.webhook(min(timeout_seconds, self._timeout), url, method, headers, key)


def asker(
    handler: ApprovalHandler | None, on_escalate: Literal["raise", "wait"] | None, timeout_seconds: float
) -> _core.Asker | None:
    """How a gate asks people; None when escalated calls are refused at once."""
    if on_escalate not in (None, "raise", "wait"):
        raise ValueError(f"`on_escalate` must be 'raise' or 'wait', got {on_escalate!r}")
    if handler is not None and not isinstance(handler, ApprovalHandler):
        raise TypeError(f"`approvals` must be an ApprovalHandler, got {handler!r}")
    if on_escalate == "raise" or (handler is None and on_escalate is None):
        return None
    if handler is None:
        return _core.Asker.elsewhere(timeout_seconds)
    return handler._asker(timeout_seconds)


Begun = tuple[tuple[Any, ...], dict[str, Any], _core.Call | None]


def beginnings(
    tool: _core.Tool,
    asked: _core.Asker,
    ask: Callable[[_core.FrozenEvent], _core.PolicyDecision] | None,
    ask_async: Callable[[_core.FrozenEvent], Awaitable[_core.PolicyDecision]] | None,
) -> tuple[Callable[..., Begun], Callable[..., Awaitable[Begun]]]:
    """Two ways to begin a call that may wait for people; `ask` is another evaluator, if one decides."""

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        call, stop = tool.freeze(args, kwargs), _core.Stop()
        if ask is None:
            call.begin_waiting(asked, stop)
            return (*call.start(), call)
        while True:
            event = call.prepare()
            if call.conclude_waiting(None if event is None else ask(event), asked, stop):
                return (*call.start(), call)

    async def begin_async(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        call, stop = tool.freeze(args, kwargs), _core.Stop()
        try:
            if ask_async is None:
                await _in_thread(call.begin_waiting, asked, stop, stop=stop)
                return (*call.start(), call)
            while True:
                event = await off_loop(True, call.prepare)
                decision = None if event is None else await ask_async(event)
                if await _in_thread(call.conclude_waiting, decision, asked, stop, stop=stop):
                    return (*call.start(), call)
                stop = _core.Stop()
        except asyncio.CancelledError:
            forget(True, call.abandon)
            raise

    return begin, begin_async


def _request(fields: Mapping[str, Any]) -> ApprovalRequest:
    return ApprovalRequest(
        id=fields["id"],
        action=Action(fields["type"], fields["target"] or "", fields["params"]),
        risk_tier=RiskTier(fields["risk_tier"]),
        reason=fields["reason"],
        matched_rule=fields["matched_rule"],
        digest=fields["digest"],
        text=fields["text"],
        expires_at=datetime.fromtimestamp(fields["expires_at"], UTC),
    )


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
