"""`governed`: the gate decides before the body of a function runs, and what it returns is cleaned."""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from . import _core, _tracing
from ._approvals import beginnings
from ._bridge import forget, off_loop
from ._gate import PolicyGate
from ._models import SessionContext
from ._results import Cleaner

P = ParamSpec("P")
R = TypeVar("R")

Begun = tuple[tuple[Any, ...], dict[str, Any], _core.Call | None]


class Options(NamedTuple):
    """What is known of a tool beforehand; the same keywords everywhere."""

    sanitize: bool = True
    tags: Sequence[str] | None = None
    target: str | None = None
    transport: str | None = None
    paths: Sequence[str] | None = None
    classification: str | None = None
    description: str | None = None


def governed(
    gate: PolicyGate,
    context: SessionContext,
    action: str | None = None,
    sanitize: bool = True,
    *,
    tags: Sequence[str] | None = None,
    target: str | None = None,
    transport: str | None = None,
    paths: Sequence[str] | None = None,
    classification: str | None = None,
    description: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a callable so that each call is decided first, and raises `GovernanceError` unless allowed.

    `description` says in the records what the tool is for; without it, the docstring's first paragraph does.

    The body receives the frozen copy of the arguments that was decided. `self` and `cls` are no arguments;
    `**kwargs` are seen under their own names.
    """
    options = Options(sanitize, tags, target, transport, paths, classification, description)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        return typing.cast("Callable[P, R]", govern(function, gate, context, action, options)[0])

    return decorate


def govern(
    function: Callable[..., Any],
    gate: PolicyGate,
    context: SessionContext,
    action: str | None,
    options: Options,
    name: str | None = None,
) -> tuple[Callable[..., Any], _core.Tool]:
    """The governed form of a callable, and its description."""
    if isinstance(function, (staticmethod, classmethod)):
        wrapper, tool = govern(function.__func__, gate, context, action, options, name)
        return typing.cast("Callable[..., Any]", type(function)(wrapper)), tool
    if not callable(function):
        raise TypeError(f"`governed` takes a callable, got {function!r}")
    target, bound, defaults = _unwrap_partial(function)
    called = name or action or action_name(target)
    tool = _core.Tool(
        name=called,
        action=action or called,
        # A tool that is called by name has no object to belong to.
        parameters=_parameters(target, methods=name is None),
        bound=(bound, dict(defaults)),
        context=context,
        engine=gate._engine,
        tags=options.tags,
        target=options.target,
        transport=options.transport,
        paths=options.paths,
        classification=options.classification,
        description=options.description or inspect.getdoc(target),
    )
    wrapper = _wrap(target, gate, context, tool, Cleaner(options.sanitize))
    return _dress(wrapper, function, target), tool


def action_name(function: Callable[..., Any]) -> str:
    """The name of a callable, also of one that is an object with `__call__`."""
    return getattr(function, "__name__", None) or type(function).__name__


def _unwrap_partial(
    function: Callable[..., Any],
) -> tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]:
    """What a partial binds is an argument like any other: the policy must see it."""
    if isinstance(function, functools.partial):
        return function.func, tuple(function.args), function.keywords
    return function, (), {}


def _parameters(function: Callable[..., Any], methods: bool) -> list[tuple[str, int, bool, Any, bool]]:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise TypeError(
            f"{function!r} has no signature to bind to; wrap it in a function that has one"
        ) from None
    table = []
    for position, parameter in enumerate(parameters.values()):
        has_default = parameter.default is not parameter.empty
        default = parameter.default if has_default else None
        receiver = methods and position == 0 and parameter.name in ("self", "cls") and parameter.kind <= 1
        table.append((parameter.name, int(parameter.kind), has_default, default, receiver))
    return table


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004 - its own attributes are looked at, not whether it is callable
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _is(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    return test(function) or test(getattr(function, "__call__", None))  # noqa: B004


def _wrap(
    function: Callable[..., Any],
    gate: PolicyGate,
    context: SessionContext,
    tool: _core.Tool,
    clean: Cleaner,
) -> Callable[..., Any]:
    begin, begin_async = _beginnings(gate, context, tool)
    waits, traces = gate._engine.waits, gate._engine.traces
    if _is(inspect.iscoroutinefunction, function):
        if traces:
            return _wrap_coroutine(*_tracing.coroutine(function, begin_async), clean, waits)
        if gate._engine.is_external or waits or gate._asker is not None:
            return _wrap_coroutine(function, begin_async, clean, waits)
        return _wrap_coroutine_embedded(function, begin, clean)
    if _is(inspect.isasyncgenfunction, function):
        return _wrap_async_generator(function, begin_async, clean, waits)
    if _is(inspect.isgeneratorfunction, function):
        return _wrap_generator(function, begin, clean)
    if traces:
        return _wrap_function(*_tracing.function(function, begin), clean, waits)
    return _wrap_function(function, begin, clean, waits)


def _beginnings(
    gate: PolicyGate, context: SessionContext, tool: _core.Tool
) -> tuple[Callable[..., Begun], Callable[..., typing.Awaitable[Begun]]]:
    """Two ways to begin a call: bind and freeze it, decide and record it, and raise unless it is allowed."""
    waits = gate._engine.waits
    if gate._asker is not None:
        if not gate._engine.is_external:
            return beginnings(tool, gate._asker, None, None)
        return beginnings(
            tool,
            gate._asker,
            lambda event: gate._ask_sync(event, context),
            lambda event: gate._ask_async(event, context),
        )

    def ask(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        call = tool.freeze(args, kwargs)
        event = call.prepare()
        call.conclude(None if event is None else gate._ask_sync(event, context))
        return (*call.start(), call)

    async def ask_async(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        call = tool.freeze(args, kwargs)
        event = await off_loop(waits, call.prepare)
        decision = None if event is None else await gate._ask_async(event, context)
        return await _granted(call, waits, call.conclude, decision)

    async def begin_async(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        if not waits:
            return tool.begin(args, kwargs)
        call = tool.freeze(args, kwargs)
        return await _granted(call, waits, call.begin)

    if gate._engine.is_external:
        return ask, ask_async
    return tool.begin, begin_async


async def _granted(call: _core.Call, waits: bool, commit: Callable[..., None], *decision: Any) -> Begun:
    """Commits the decision; the permit goes back when the caller is cancelled meanwhile."""
    try:
        await off_loop(waits, commit, *decision)
        return (*call.start(), call)
    except asyncio.CancelledError:
        forget(waits, call.abandon)
        raise


def _wrap_function(
    function: Callable[..., Any], begin: Callable[..., Begun], clean: Cleaner, waits: bool
) -> Callable[..., Any]:
    finish = clean.result

    def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords, owed = begin(args, kwargs)
        try:
            result = function(*positional, **keywords)
        except Exception as error:
            shown = clean.exception(error)
            if owed is not None:
                owed.fail(shown)
            raise shown  # noqa: B904 - it is the same exception, or stands in for it
        except BaseException as error:
            if owed is not None:
                owed.fail(error)
            raise
        if owed is None:
            return finish(result)
        return clean.finish(owed, result, waits)

    return call


def _wrap_coroutine(
    function: Callable[..., Any],
    begin: Callable[..., typing.Awaitable[Begun]],
    clean: Cleaner,
    waits: bool,
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords, owed = await begin(args, kwargs)
        return await clean.coroutine(owed, function(*positional, **keywords), waits)

    return call


def _wrap_coroutine_embedded(
    function: Callable[..., Any], begin: Callable[..., Begun], clean: Cleaner
) -> Callable[..., Any]:
    """As `_wrap_coroutine`, without a coroutine of its own for a decision that waits for nothing."""
    finish = clean.result

    async def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords, owed = begin(args, kwargs)
        if owed is not None:
            return await clean.coroutine(owed, function(*positional, **keywords), False)
        try:
            result = await function(*positional, **keywords)
        except Exception as error:
            raise clean.exception(error)  # noqa: B904
        return finish(result)

    return call


def _wrap_generator(
    function: Callable[..., Any], begin: Callable[..., Begun], clean: Cleaner
) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords, owed = begin(args, kwargs)
        return (yield from clean.generator(function(*positional, **keywords), owed))

    return call


def _wrap_async_generator(
    function: Callable[..., Any],
    begin: Callable[..., typing.Awaitable[Begun]],
    clean: Cleaner,
    waits: bool,
) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        positional, keywords, owed = await begin(args, kwargs)
        stream = clean.async_generator(function(*positional, **keywords), owed, waits)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                try:
                    item = await (stream.asend(sent) if thrown is None else stream.athrow(thrown))
                except StopAsyncIteration:
                    return
                sent = thrown = None
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:
                    thrown = error
        finally:
            await stream.aclose()

    return call


def _dress(
    wrapper: Callable[..., Any], function: Callable[..., Any], target: Callable[..., Any]
) -> Callable[..., Any]:
    """Gives the wrapper the looks of the function, and no way to it."""
    for attribute in ("__module__", "__qualname__", "__doc__", "__type_params__"):
        if hasattr(target, attribute):
            setattr(wrapper, attribute, getattr(target, attribute))
    wrapper.__name__ = action_name(target)
    wrapper.__dict__.update(
        {key: value for key, value in getattr(target, "__dict__", {}).items() if _is_harmless(key, target)}
    )
    signature, annotations = _resolved(function, target)
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = annotations
    return wrapper


def _is_harmless(key: str, target: Callable[..., Any]) -> bool:
    # The attributes of a function are copied, those of an object with `__call__` are its state.
    return inspect.isroutine(target) and key not in ("__wrapped__", "__signature__")


def _resolved(
    function: Callable[..., Any], target: Callable[..., Any]
) -> tuple[inspect.Signature, dict[str, Any]]:
    """Signature and annotations, resolved where the function stands, since the wrapper stands here."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception:
        signature = inspect.signature(function)
    source = target if inspect.isroutine(target) or inspect.isclass(target) else type(target).__call__
    if inspect.isclass(target):
        source = target.__init__
    try:
        return signature, typing.get_type_hints(source, include_extras=True)
    except Exception:
        return signature, dict(getattr(source, "__annotations__", {}))
