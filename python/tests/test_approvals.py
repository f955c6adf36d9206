"""Governed calls that wait for people: through a function, a web server, a terminal, or another process."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import pty
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import placet
from conftest import Open, refusal
from placet import (
    ApprovalHandler,
    ApprovalRequest,
    AutoApprovalHandler,
    CallbackApprovalHandler,
    CLIApprovalHandler,
    GovernanceError,
    HITLQueue,
    WebhookApprovalHandler,
)

POLICY = """
version: 1
rules:
  - { name: large, when: { action: pay, args.amount: { gt: 100 } }, then: hitl, reason: ask a person }
"""


class Bank:
    """A governed payment, and what was really paid."""

    def __init__(self, open_gate: Open, folder: Path, context: placet.SessionContext, **options: Any) -> None:
        self.folder = folder
        self.paid: list[int] = []
        gate = open_gate(POLICY, ledger=folder / "ledger.db", keys=folder / "keys", **options)
        decorate = placet.governed(gate=gate, context=context, action="pay")

        @decorate
        def pay(amount: int, password: str = "", tags: list[str] | None = None) -> int:
            self.paid.append(amount)
            return amount

        @decorate
        async def pay_async(amount: int, tags: list[str] | None = None) -> list[str] | None:
            self.paid.append(amount)
            return tags

        self.pay, self.pay_async = pay, pay_async

    def queue(self) -> HITLQueue:
        return HITLQueue(self.folder / "ledger.db", keys=self.folder / "keys")

    def codes(self) -> list[str]:
        connection = sqlite3.connect(self.folder / "ledger.db")
        sql = "SELECT leaf ->> '$.fact.decision.code' AS code FROM entry WHERE code IS NOT NULL ORDER BY seq"
        codes = [code for (code,) in connection.execute(sql)]
        connection.close()
        return codes


@pytest.fixture
def bank(open_gate: Open, tmp_path: Path, context: placet.SessionContext) -> Callable[..., Bank]:
    folder = tmp_path / "bank"
    folder.mkdir()
    return lambda **options: Bank(open_gate, folder, context, **options)


def test_f16_a_refused_call_names_its_request_and_runs_once_after_a_yes(bank: Callable[..., Bank]) -> None:
    made = bank()
    asked = refusal(made.pay, 500).decision.approval_id
    assert asked and refusal(made.pay, 500).decision.approval_id == asked
    assert asyncio.run(made.queue().approve(asked, "ann"))
    assert made.pay(500) == 500
    again = refusal(made.pay, 500).decision
    assert again.requires_hitl and again.approval_id not in (None, asked)
    assert made.paid == [500]


def test_f16_without_a_way_to_ask_an_escalated_call_is_refused_at_once(bank: Callable[..., Bank]) -> None:
    made = bank()
    error = refusal(made.pay, 500)
    assert (error.code, made.paid) == ("approval_required", [])


def test_aegis_10_the_handler_is_called_exactly_once_and_before_the_tool(bank: Callable[..., Bank]) -> None:
    paid_when_asked: list[list[int]] = []

    def answer(request: ApprovalRequest) -> bool:
        paid_when_asked.append(list(made.paid))
        return True

    made = bank(approvals=CallbackApprovalHandler(answer))
    assert (made.pay(500), made.paid, paid_when_asked) == (500, [500], [[]])


def test_aegis_60_the_automatic_handler_approves_and_says_so(
    bank: Callable[..., Bank], caplog: pytest.LogCaptureFixture
) -> None:
    made = bank(approvals=AutoApprovalHandler())
    assert "approves every call" in caplog.text
    assert (made.pay(500), asyncio.run(made.pay_async(600)), made.paid) == (500, None, [500, 600])
    assert made.codes() == ["approval_required", "allowed"] * 2


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (True, None),
        (False, "approval_denied"),
        ("true", "approval_failed"),
        ("no", "approval_failed"),
        (1, "approval_failed"),
        (None, "approval_failed"),
        ([True], "approval_failed"),
        (object(), "approval_failed"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_aegis_63_only_true_approves(
    bank: Callable[..., Bank], answer: Any, code: str | None, is_async: bool
) -> None:
    async def ask_async(request: ApprovalRequest) -> Any:
        return answer

    made = bank(approvals=CallbackApprovalHandler(ask_async if is_async else lambda request: answer))
    if code is None:
        assert made.pay(500) == 500
    else:
        assert refusal(made.pay, 500).code == code and made.paid == []
    assert made.codes() == ["approval_required", code or "allowed"]


def test_aegis_63_an_exception_refuses_and_is_recorded(bank: Callable[..., Bank]) -> None:
    class Broken(ApprovalHandler):
        async def request_approval(self, request: ApprovalRequest) -> bool:
            raise RuntimeError("the pager is down")

    made = bank(approvals=Broken())
    error = refusal(made.pay, 500)
    assert error.code == "approval_failed" and "the pager is down" in error.decision.reason
    assert (made.paid, made.codes()) == ([], ["approval_required", "approval_failed"])


def test_aegis_63_what_is_asked_shows_the_call_without_secrets(bank: Callable[..., Bank]) -> None:
    asked: list[ApprovalRequest] = []
    made = bank(approvals=CallbackApprovalHandler(lambda request: asked.append(request) or True))
    made.pay(500, password="hunter2")
    [request] = asked
    assert (request.action.type, request.action.params["amount"]) == ("pay", 500)
    assert (request.matched_rule, request.reason) == ("large", "ask a person")
    assert "amount = 500" in request.text and "hunter2" not in repr(request)


class Server(http.server.BaseHTTPRequestHandler):
    answer: tuple[int, bytes]
    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Callable[[int, bytes], tuple[str, list[dict[str, Any]]]]]:
    running: list[http.server.HTTPServer] = []

    def start(status: int, body: bytes) -> tuple[str, list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []
        handler = type("Answer", (Server,), {"answer": (status, body), "asked": asked})
        running.append(http.server.HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{running[-1].server_port}/", asked

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b'{"approved": true}', None),
        (200, b'{"approved": false}', "approval_denied"),
        (200, b'{"approved": "false"}', "approval_failed"),
        (200, b"<html>yes</html>", "approval_failed"),
        (200, b"[true]", "approval_failed"),
        (500, b'{"approved": true}', "approval_failed"),
    ],
)
def test_aegis_62_only_the_json_value_true_approves(
    bank: Callable[..., Bank], server: Callable[..., Any], status: int, body: bytes, code: str | None
) -> None:
    url, asked = server(status, body)
    made = bank(approvals=WebhookApprovalHandler(url))
    if code is None:
        assert made.pay(500, password="hunter2") == 500
    else:
        assert refusal(made.pay, 500, password="hunter2").code == code and made.paid == []
    assert made.codes() == ["approval_required", code or "allowed"]
    assert (asked[0]["action_type"], asked[0]["action_params"]["amount"]) == ("pay", 500)
    assert "hunter2" not in str(asked)


@pytest.mark.parametrize(
    ("typed", "code"),
    [(b"y\n", None), (b"n\n", "approval_denied"), (b"\x04", "approval_failed")],
)
def test_aegis_61_the_terminal_is_asked_while_the_loop_goes_on(
    bank: Callable[..., Bank], typed: bytes, code: str | None
) -> None:
    keyboard, device = pty.openpty()
    made = bank(approvals=CLIApprovalHandler(terminal=os.ttyname(device)))

    async def run() -> int:
        call = asyncio.ensure_future(made.pay_async(500))
        ticks, screen = 0, b""
        os.set_blocking(keyboard, False)
        while not call.done():
            await asyncio.sleep(0.01)
            ticks += 1
            with contextlib.suppress(BlockingIOError):
                screen += os.read(keyboard, 65536)
            if screen.endswith(b"[y/n]: ") and ticks > 10:
                os.write(keyboard, typed)
            assert ticks < 2000, screen
        if code is None:
            await call
        else:
            with pytest.raises(GovernanceError) as caught:
                await call
            assert caught.value.code == code
        return ticks

    ticks = asyncio.run(run())
    os.close(keyboard)
    os.close(device)
    assert ticks > 0
    assert made.codes() == ["approval_required", code or "allowed"]


def test_aegis_61_nobody_answers_in_time(bank: Callable[..., Bank]) -> None:
    keyboard, device = pty.openpty()
    made = bank(approvals=CLIApprovalHandler(terminal=os.ttyname(device)), approval_timeout_seconds=0.2)
    assert refusal(made.pay, 500).code == "approval_timeout"
    assert (made.paid, made.codes()) == ([], ["approval_required", "approval_timeout"])
    os.close(keyboard)
    os.close(device)


async def the_pending(queue: HITLQueue) -> placet.PendingAction:
    for _ in range(1000):
        if pending := await queue.get_pending():
            return pending[0]
        await asyncio.sleep(0.01)
    raise AssertionError("nobody was asked")


def test_f16_a_call_waits_for_a_vote_made_elsewhere_and_runs_what_was_frozen(
    bank: Callable[..., Bank],
) -> None:
    made = bank(on_escalate="wait")

    async def run() -> list[str] | None:
        tags = ["rent"]
        call = asyncio.ensure_future(made.pay_async(500, tags))
        action = await the_pending(made.queue())
        assert (action.tool_name, action.args["amount"]) == ("pay", 500)
        tags.append("changed meanwhile")
        assert await made.queue().approve(action.id, "alice")
        return await call

    assert asyncio.run(run()) == ["rent"]
    assert made.paid == [500]


def test_kite_20_15_a_cancelled_call_runs_nothing_and_leaves_the_request(bank: Callable[..., Bank]) -> None:
    made = bank(on_escalate="wait")

    async def run() -> None:
        call = asyncio.ensure_future(made.pay_async(500))
        action = await the_pending(made.queue())
        cancelled = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - cancelled < 1
        assert await made.queue().approve(action.id, "alice")
        assert made.paid == []
        assert await made.pay_async(500) is None, "the same call uses the approval"

    asyncio.run(run())
    assert made.paid == [500]


def test_f68_an_approval_is_for_one_call_and_for_once(bank: Callable[..., Bank]) -> None:
    made = bank(on_escalate="wait", approval_timeout_seconds=0.3)

    async def run() -> None:
        call = asyncio.ensure_future(made.pay_async(500))
        action = await the_pending(made.queue())
        await made.queue().approve(action.id, "alice")
        await call
        for amount in (500, 501):
            with pytest.raises(GovernanceError) as caught:
                await made.pay_async(amount)
            assert caught.value.code == "approval_timeout"

    asyncio.run(run())
    assert made.paid == [500]


def test_what_cannot_be_asked_is_refused_when_the_gate_is_made(open_gate: Open) -> None:
    with pytest.raises(TypeError, match="ApprovalHandler"):
        open_gate(POLICY, approvals=lambda request: True)
    with pytest.raises(ValueError, match="on_escalate"):
        open_gate(POLICY, on_escalate="maybe")
    with pytest.raises(ValueError, match="http"):
        open_gate(POLICY, approvals=WebhookApprovalHandler("ftp://example.org"))
