"""What a tool returns, cleaned of prompt injection: values, exceptions and streams."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any

from . import _core
from ._bridge import forget, off_loop
from ._errors import PlacetError, ToolError

_MAX_CHAIN = 64


class Cleaner:
    """Cleans results, or passes everything through when cleaning is switched off."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def result(self, value: Any) -> Any:
        """The value to hand on: the same object when nothing was found in it."""
        if not self._enabled:
            return value
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind not in _WHOLE:
            if inspect.isgenerator(value):
                return self.generator(value)
            if inspect.isasyncgen(value):
                return self.async_generator(value)
            if inspect.isawaitable(value):
                return _as_was(value, self._awaited(value))
        return _core.clean(value)

    async def _awaited(self, awaitable: Any) -> Any:
        try:
            value = await awaitable
        except Exception as error:
            raise self.exception(error)  # noqa: B904
        return self.result(value)

    def finish(self, owed: _core.Call, value: Any, waits: bool) -> Any:
        """Records how a function ended and returns what to hand on; a stream ends later."""
        if type(value) not in _WHOLE:
            if inspect.isgenerator(value):
                return self.generator(value, owed)
            if inspect.isasyncgen(value):
                return self.async_generator(value, owed, waits)
            if inspect.isawaitable(value):
                return _as_was(value, self.coroutine(owed, value, waits))
        if not self._enabled or type(value) in _PLAIN:
            owed.succeed(value, 0)
            return value
        shown, injections = _core.clean_counted(value)
        owed.succeed(shown, injections)
        return shown

    async def coroutine(self, owed: _core.Call | None, awaitable: Any, waits: bool) -> Any:
        """Awaits, records how it ended, and returns the value to hand on."""
        if owed is None:
            return await self._awaited(awaitable)
        try:
            value = await awaitable
        except Exception as error:
            shown = self.exception(error)
            await _record(waits, owed.fail, shown)
            raise shown  # noqa: B904
        except BaseException as error:
            # The loop may be on its way down, and the task is to end: nothing is awaited any more.
            forget(waits, owed.fail, error)
            raise
        if type(value) not in _WHOLE:
            if inspect.isgenerator(value):
                return self.generator(value, owed)
            if inspect.isasyncgen(value):
                return self.async_generator(value, owed, waits)
        shown, injections = self._counted(value)
        await _record(waits, owed.succeed, shown, injections)
        return shown

    def _counted(self, value: Any) -> tuple[Any, int]:
        if not self._enabled or type(value) in _PLAIN:
            return value, 0
        return _core.clean_counted(value)

    def exception(self, error: Exception) -> Exception:
        """The exception to raise: the same one with clean texts, or one that stands in for it."""
        if not self._enabled or isinstance(error, PlacetError):
            return error
        try:
            _clean_chain(error, _MAX_CHAIN)
            text = _text(error)
            clean = _core.clean(text)
            if clean == text:
                return error
        except Exception:
            clean = "[REDACTED: what it says cannot be read]"
        stand_in = ToolError(f"{type(error).__name__}: {clean}")
        stand_in.__suppress_context__ = True
        return stand_in

    def generator(
        self, source: Generator[Any, Any, Any], owed: _core.Call | None = None
    ) -> Generator[Any, Any, Any]:
        """Cleans what a generator yields, and records how it ended."""
        if owed is None:
            return (yield from self._generator(source))
        try:
            value = yield from self._generator(source)
        except BaseException as error:
            owed.fail(error)
            raise
        owed.succeed(value, 0)
        return value

    def _generator(self, source: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Text is cleaned as a stream that holds some of it back, other values one by one."""
        if not self._enabled:
            return (yield from source)
        stream = _core.TextStream()
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                try:
                    item = source.send(sent) if thrown is None else source.throw(thrown)
                except StopIteration as stop:
                    if rest := stream.finish():
                        yield rest
                    return self.result(stop.value)
                except Exception as error:
                    raise self.exception(error)  # noqa: B904
                sent = thrown = None
                for ready in _ready(stream, item):
                    try:
                        sent = yield ready
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        thrown = error
        finally:
            source.close()

    async def async_generator(
        self, source: AsyncGenerator[Any, Any], owed: _core.Call | None = None, waits: bool = False
    ) -> AsyncGenerator[Any, Any]:
        """As `generator`, for asynchronous ones."""
        stream = _core.TextStream() if self._enabled else None
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                try:
                    item = await (source.asend(sent) if thrown is None else source.athrow(thrown))
                except StopAsyncIteration:
                    if stream is not None and (rest := stream.finish()):
                        yield rest
                    if owed is not None:
                        await _record(waits, owed.succeed, None, 0)
                    return
                except Exception as error:
                    shown = self.exception(error)
                    if owed is not None:
                        await _record(waits, owed.fail, shown)
                    raise shown  # noqa: B904
                sent = thrown = None
                for ready in [item] if stream is None else _ready(stream, item):
                    try:
                        sent = yield ready
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        thrown = error
        except BaseException as error:
            if owed is not None:
                # What was recorded above stays; only what ended otherwise is still owed.
                forget(waits, owed.fail, error)
            raise
        finally:
            await source.aclose()


def _as_was(awaitable: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """A future stays one, and its end is recorded whether or not anybody awaits it."""
    if not asyncio.isfuture(awaitable) or awaitable.get_loop() is not asyncio._get_running_loop():
        return coroutine
    return asyncio.ensure_future(coroutine)


async def _record(waits: bool, work: Callable[..., None], *args: Any) -> None:
    try:
        await off_loop(waits, work, *args)
    except asyncio.CancelledError:
        # Cancelled before a thread took it up; what was recorded is not recorded twice.
        forget(waits, work, *args)
        raise


_PLAIN = frozenset({type(None), bool, int, float, complex})

# Types of values that are no streams and are awaited by nobody.
_WHOLE = _PLAIN | {str, bytes, list, tuple, dict, set, frozenset}


def _ready(stream: _core.TextStream, item: Any) -> list[Any]:
    """What can be yielded now. A value that is no text ends the text before it."""
    if type(item) is str:
        text = stream.push(item)
        return [text] if text else []
    rest = stream.finish()
    return [rest, _core.clean(item)] if rest else [_core.clean(item)]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _clean_chain(error: BaseException | None, budget: int) -> int:
    """Cleans an exception and those that it names, within a budget; returns what is left of it."""
    while error is not None and budget > 0:
        budget -= 1
        _clean_in_place(error)
        if isinstance(error, BaseExceptionGroup):
            for member in error.exceptions:
                budget = _clean_chain(member, budget)
        error = error.__cause__ or error.__context__
    return budget


def _clean_in_place(error: BaseException) -> None:
    args = _core.clean(error.args)
    if args is not error.args:
        error.args = args
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        clean = _core.clean(notes)
        if clean is not notes:
            notes[:] = clean
