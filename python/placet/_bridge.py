"""Between synchronous and asynchronous code, and around forks."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from . import _core

T = TypeVar("T")

# As many as can usefully share one flush of the disk.
_THREADS = 32

_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    """Threads of our own: the loop's default ones may all be busy with tools that wait for their records."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="placet-record")
    return _pool


async def off_loop(waits: bool, work: Callable[..., T], *args: Any) -> T:
    """Runs what may wait for a disk in a thread, and anything else here."""
    if not waits:
        return work(*args)
    # In the caller's context, as any call: spans of the work stand under the caller's.
    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_threads(), run, work, *args)


def forget(waits: bool, work: Callable[..., object], *args: Any) -> None:
    """As `off_loop`, for work that nobody waits for."""
    if waits:
        _threads().submit(work, *args)
    else:
        work(*args)


def _after_fork_in_child() -> None:
    global _pool
    _pool = None
    _core.after_fork(True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_core.before_fork,
        after_in_parent=lambda: _core.after_fork(False),
        after_in_child=_after_fork_in_child,
    )


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end: here when no loop runs, else on a loop of its own in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return _in_thread(coroutine)


def _in_thread(coroutine: Coroutine[Any, Any, T]) -> T:
    result: list[T] = []
    failure: list[BaseException] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            result.append(context.run(asyncio.run, coroutine))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="placet-bridge", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]
