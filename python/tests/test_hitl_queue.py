"""The queue of actions that wait for people: states, races, processes, edits in the database."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from placet import ActionStatus, ApprovalError, HITLQueue, PendingAction, RiskTier


@pytest.fixture
def queue(tmp_path: Path) -> HITLQueue:
    return open_queue(tmp_path)


def open_queue(folder: Path) -> HITLQueue:
    return HITLQueue(folder / "hitl.db", keys=folder / "keys")


def refund(amount: int = 150, **fields: object) -> PendingAction:
    args = {"amount": amount, "card": "4111 1111 1111 1111"}
    return PendingAction("s1", "refund", args, RiskTier.TRANSACTIONAL_HIGH, **fields)  # type: ignore[arg-type]


def test_f67_an_action_goes_from_pending_to_one_final_state(queue: HITLQueue) -> None:
    async def run() -> None:
        await queue.setup()
        first, second = await queue.enqueue(refund()), await queue.enqueue(refund(id="r2", tenant_id="acme"))
        assert len(first) == 32 and second == "r2"
        assert [action.id for action in await queue.get_pending()] == [first, "r2"]
        assert await queue.approve(first, decided_by="alice")
        assert await queue.deny("r2", "bob", "too much")
        assert not await queue.approve("r2", "alice") and not await queue.deny(first, "bob")
        assert await queue.get_pending() == []
        yes, no = await queue.get_status(first), await queue.get_status("r2")
        assert yes is not None and no is not None
        assert (yes.status, yes.decided_by, yes.denial_reason) == (ActionStatus.APPROVED, "alice", None)
        assert (no.status, no.decided_by, no.denial_reason) == (ActionStatus.DENIED, "bob", "too much")
        assert (no.tenant_id, no.risk_tier) == ("acme", RiskTier.TRANSACTIONAL_HIGH)
        assert yes.decided_at is not None and yes.created_at <= yes.decided_at
        assert await queue.get_status("nobody") is None and not await queue.approve("nobody")

    asyncio.run(run())


def test_f67_what_is_kept_is_redacted_and_survives_a_restart(queue: HITLQueue, tmp_path: Path) -> None:
    action_id = asyncio.run(queue.enqueue(refund()))
    [action] = asyncio.run(open_queue(tmp_path).get_pending())
    assert (action.id, action.args["amount"]) == (action_id, 150)
    assert "4111" not in str(action.args)
    assert b"4111 1111" not in (tmp_path / "hitl.db").read_bytes()


def test_f67_an_id_is_used_once(queue: HITLQueue) -> None:
    async def run() -> None:
        await queue.enqueue(refund(id="r1"))
        with pytest.raises(sqlite3.IntegrityError):
            await queue.enqueue(refund(id="r1"))

    asyncio.run(run())


def test_f67_of_fifty_deciders_one_wins(tmp_path: Path) -> None:
    async def run() -> None:
        queues = [open_queue(tmp_path) for _ in range(2)]
        await queues[0].enqueue(refund(id="r1"))
        deciders = [
            queues[number % 2].approve("r1", f"p{number}")
            if number % 3
            else queues[number % 2].deny("r1", f"p{number}")
            for number in range(50)
        ]
        won = [number for number, won in enumerate(await asyncio.gather(*deciders)) if won]
        assert len(won) == 1
        action = await queues[1].get_status("r1")
        assert action is not None and action.decided_by == f"p{won[0]}"

    asyncio.run(run())


def decide_elsewhere(folder: str, action_id: str, told: object) -> None:
    """Runs in another process."""
    queue = open_queue(Path(folder))
    asyncio.run(queue.get_pending())
    told.put("ready")  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert asyncio.run(queue.approve(action_id, "alice"))
    told.put(time.monotonic())  # type: ignore[attr-defined]


def test_f67_a_vote_in_another_process_wakes_the_wait_within_200_ms(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    action_id = asyncio.run(queue.enqueue(refund()))
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    other = spawn.Process(target=decide_elsewhere, args=(str(tmp_path), action_id, told))
    other.start()
    assert told.get(timeout=30) == "ready"
    action = asyncio.run(queue.wait_for_decision(action_id, 30))
    woken = time.monotonic()
    assert (action.status, action.decided_by) == (ActionStatus.APPROVED, "alice")
    # The clock is the machine's, the same for both; the vote was committed before it was told.
    assert woken - told.get(timeout=30) < 0.2
    other.join()
    assert other.exitcode == 0


def test_f67_what_nobody_decides_in_time_is_timed_out(queue: HITLQueue) -> None:
    async def run() -> None:
        action_id = await queue.enqueue(refund())
        action = await queue.wait_for_decision(action_id, 0.1)
        assert (action.status, action.decided_by) == (ActionStatus.TIMED_OUT, "system")
        assert action.denial_reason == "Approval timeout exceeded"
        assert not await queue.approve(action_id)
        with pytest.raises(ValueError, match="Action 'nobody' not found in queue"):
            await queue.wait_for_decision("nobody", 0.1)

    asyncio.run(run())


def test_f67_old_actions_are_ended_and_their_waits_woken(queue: HITLQueue) -> None:
    async def run() -> None:
        action_id = await queue.enqueue(refund())
        waiting = asyncio.ensure_future(queue.wait_for_decision(action_id, 30))
        assert await queue.expire_old(300) == 0
        task = queue.start_expiry_task(0.01, 0)
        action = await asyncio.wait_for(waiting, 10)
        assert action.status is ActionStatus.TIMED_OUT
        task.cancel()
        assert await queue.expire_old(0) == 0

    asyncio.run(run())


def test_kite_20_15_what_waited_too_long_cannot_be_approved(tmp_path: Path) -> None:
    queue = HITLQueue(tmp_path / "hitl.db", keys=tmp_path / "keys", lifetime_seconds=0)
    with pytest.raises(ApprovalError, match="expired"):
        asyncio.run(queue.enqueue(refund()))
    queue = HITLQueue(tmp_path / "hitl.db", keys=tmp_path / "keys", lifetime_seconds=1)

    async def run() -> None:
        action_id = await queue.enqueue(refund())
        action = await queue.wait_for_decision(action_id, 30)
        assert action.status is ActionStatus.TIMED_OUT
        assert not await queue.approve(action_id)

    asyncio.run(run())


def test_kite_20_15_who_asks_cannot_answer(queue: HITLQueue) -> None:
    async def run() -> None:
        action_id = await queue.enqueue(refund())
        with pytest.raises(ApprovalError, match="somebody else"):
            await queue.approve(action_id, "s1")
        assert [action.id for action in await queue.get_pending()] == [action_id]

    asyncio.run(run())


def test_kite_20_15_a_cancelled_wait_leaves_the_action(queue: HITLQueue) -> None:
    async def run() -> None:
        action_id = await queue.enqueue(refund())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.wait_for_decision(action_id, 30), 0.1)
        assert await queue.approve(action_id)

    asyncio.run(run())


def edit(folder: Path, sql: str) -> None:
    connection = sqlite3.connect(folder / "hitl.db")
    assert connection.execute(sql).rowcount == 1
    connection.commit()
    connection.close()


def test_kite_20_15_a_row_that_was_edited_approves_nothing(queue: HITLQueue, tmp_path: Path) -> None:
    action_id = asyncio.run(queue.enqueue(refund()))
    edit(tmp_path, "UPDATE state SET body = replace(body, 'pending', 'approved') WHERE kind = 'approval'")
    with pytest.raises(ApprovalError) as caught:
        asyncio.run(queue.approve(action_id))
    assert caught.value.code == "state_tampered"
    action = asyncio.run(queue.get_status(action_id))
    assert action is not None and action.status is ActionStatus.PENDING, "the log says so"


def test_kite_20_15_arguments_that_were_edited_are_not_shown(queue: HITLQueue, tmp_path: Path) -> None:
    asyncio.run(queue.enqueue(refund()))
    edit(tmp_path, """UPDATE "view" SET body = replace(body, '150', '1') WHERE body LIKE '%"amount":150%'""")
    with pytest.raises(ApprovalError, match="edited") as caught:
        asyncio.run(open_queue(tmp_path).get_pending())
    assert caught.value.code == "state_tampered"


def test_kite_20_15_arguments_without_json_form_are_kept_as_unknown(queue: HITLQueue) -> None:
    action = PendingAction("s1", "run", {"blob": b"\x00\xff", "amount": float("nan")})
    action_id = asyncio.run(queue.enqueue(action))
    found = asyncio.run(queue.get_status(action_id))
    assert found is not None and set(found.args) == {"blob", "amount"}
    with pytest.raises(ApprovalError, match="by reference"):
        asyncio.run(queue.enqueue(PendingAction("s1", "run", {"handle": object()})))


def test_f67_a_queue_needs_a_file() -> None:
    for nowhere in (":memory:", "", "memory"):
        with pytest.raises(ValueError, match="file"):
            HITLQueue(nowhere)


def test_f67_the_queue_opens_nothing_before_its_first_use(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from placet import HITLQueue
        folder = Path(sys.argv[1])
        HITLQueue(folder / "hitl.db", keys=folder / "keys")
        assert list(folder.iterdir()) == []
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True)
