"""Spans into the installed `opentelemetry`, which is imported only when a gate is to make spans.

Nothing here raises into a call or waits for an exporter: finished spans go through a bounded queue to a
thread of its own. Only the spans that others stand under, of a governed call and of its effect, begin where
the call runs.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import os
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any

from . import _core
from ._errors import NotAvailableError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_log = logging.getLogger("placet.telemetry")

# As many as OpenTelemetry's own batches hold by default.
_QUEUE_SIZE = 2048

# How long the end of the process waits for spans that are still queued.
_EXIT_PATIENCE_SECONDS = 2.0

Item = tuple[str, int, int, dict[str, Any], str | None, list[Any]]
"""A finished span: name, begin and end in nanoseconds, attributes, type of error, children."""


class _Exporting:
    """The queue of finished spans and the thread that empties it; one of each process."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Callable[[], None]] = queue.Queue(_QUEUE_SIZE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, work: Callable[[], None]) -> None:
        """Queues work; what finds no room is dropped and counted."""
        try:
            self.queue.put_nowait(work)
        except queue.Full:
            _core.spans_dropped(1)
        if self._thread is None:
            self._start()

    def flush(self, timeout_seconds: float) -> bool:
        """Waits until everything queued so far was handed on; False when that takes too long."""
        if self._thread is None:
            return True
        done = threading.Event()
        until = time.monotonic() + timeout_seconds
        try:
            self.queue.put(done.set, timeout=timeout_seconds)
        except queue.Full:
            return False
        return done.wait(max(0.0, until - time.monotonic()))

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="placet-telemetry", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            work = self.queue.get()
            try:
                work()
            except BaseException as error:  # an exporter's, whatever it is
                _log.warning("a span was lost: %s", type(error).__name__)


_exporting = _Exporting()


def _after_fork_in_child() -> None:
    # Threads and the holders of locks stay in the parent; what was queued is the parent's to send.
    global _exporting
    _exporting = _Exporting()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def flush(timeout_seconds: float = 5.0) -> bool:
    """Waits until every finished span was handed to its exporter; False when that takes too long."""
    return _exporting.flush(timeout_seconds)


class GateTracer:
    """Makes the spans of a gate. Rust calls it; it may not raise."""

    def __init__(self, tracer: Tracer) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace import StatusCode

        self.tracer = tracer
        self.context: Any = context
        self.trace: Any = trace
        self.error = StatusCode.ERROR

    def call(
        self, name: str, attributes: dict[str, Any], effect: str, of_effect: dict[str, Any]
    ) -> EventTrace:
        """A governed call: a span under the current one, in which the others stand."""
        current = self.context.get_current()
        try:
            span = self.tracer.start_span(name, current, attributes=attributes)
            inside = self.trace.set_span_in_context(span, current)
        except Exception as error:
            _log.warning("a span was lost: %s", type(error).__name__)
            return EventTrace(self, None, current, effect, of_effect)
        return EventTrace(self, span, inside, effect, of_effect)

    def question(self) -> EventTrace:
        """A question: its spans stand under the current one."""
        return EventTrace(self, None, self.context.get_current(), "", {})

    def emit(self, item: Item, parent: Context) -> None:
        """Makes a finished span and those in it."""
        name, began, ended, attributes, error, children = item
        span = self.tracer.start_span(name, parent, attributes=attributes, start_time=began)
        if children:
            inside = self.trace.set_span_in_context(span, parent)
            for child in children:
                self.emit(child, inside)
        self.finish(span, error, ended)

    def finish(self, span: Span, error: str | None, ended: int) -> None:
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(self.error)
        span.end(ended)


class EventTrace:
    """The spans of one event."""

    def __init__(
        self, gate: GateTracer, span: Span | None, inside: Context, effect: str, of_effect: dict[str, Any]
    ) -> None:
        self._gate, self._span, self._inside = gate, span, inside
        self._effect_name, self._effect_attributes = effect, of_effect
        self._effect: Span | None = None

    def saw(self, items: list[Item]) -> None:
        """Queues finished spans."""
        _exporting.put(functools.partial(self._emit, items))

    def end(self) -> None:
        """Queues the end of the event's own span."""
        if self._span is not None:
            _exporting.put(functools.partial(self._span.end, time.time_ns()))

    def _emit(self, items: list[Item]) -> None:
        for item in items:
            if self._effect is not None and item[0] == self._effect_name:
                self._gate.finish(self._effect, item[4], item[2])
            else:
                self._gate.emit(item, self._inside)

    def enter(self) -> Token[Context] | None:
        """Begins the span of the effect and makes it current, so that spans of the tool stand under it."""
        gate = self._gate
        try:
            span = gate.tracer.start_span(self._effect_name, self._inside, attributes=self._effect_attributes)
            inside = gate.trace.set_span_in_context(span, self._inside)
            token: Token[Context] = gate.context.attach(inside)
        except Exception as error:
            _log.warning("a span was lost: %s", type(error).__name__)
            return None
        self._effect = span
        return token

    def leave(self, token: Token[Context] | None) -> None:
        """The effect's span is current no more; it ends when its outcome is recorded."""
        if token is not None:
            self._gate.context.detach(token)


Begun = tuple[tuple[Any, ...], dict[str, Any], _core.Call | None]


def function(
    target: Callable[..., Any], begin: Callable[..., Begun]
) -> tuple[Callable[..., Any], Callable[..., Begun]]:
    """A function and its beginning, so that it runs inside the span of its effect."""

    def begin_traced(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        positional, keywords, owed = begin(args, kwargs)
        return (owed, *positional), keywords, owed

    def body(owed: _core.Call, /, *args: Any, **kwargs: Any) -> Any:
        trace = owed.trace
        if trace is None:
            return target(*args, **kwargs)
        token = trace.enter()
        streams = False
        try:
            result = target(*args, **kwargs)
            streams = inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result)
            return result
        finally:
            trace.leave(token)
            # What streams is over when its stream is.
            if not streams:
                owed.returned()

    return body, begin_traced


def coroutine(
    target: Callable[..., Any], begin: Callable[..., Awaitable[Begun]]
) -> tuple[Callable[..., Any], Callable[..., Awaitable[Begun]]]:
    """As `function`, for one that makes a coroutine."""

    async def begin_traced(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun:
        positional, keywords, owed = await begin(args, kwargs)
        return (owed, *positional), keywords, owed

    async def body(owed: _core.Call, /, *args: Any, **kwargs: Any) -> Any:
        trace = owed.trace
        if trace is None:
            return await target(*args, **kwargs)
        token = trace.enter()
        try:
            return await target(*args, **kwargs)
        finally:
            trace.leave(token)
            owed.returned()

    return body, begin_traced


_chosen: TracerProvider | None = None
"""What `setup_tracer` set up."""

_own: dict[tuple[int, str | None], TracerProvider] = {}
"""Providers that gates with `traces: otlp` share: of each process, by address."""


def choose(provider: TracerProvider) -> None:
    """Gates made from now on send their spans there, unless they export themselves."""
    global _chosen
    _chosen = provider


def chosen() -> TracerProvider | None:
    """What `setup_tracer` set up, if anything."""
    return _chosen


def for_gate(mode: str, endpoint: str | None) -> GateTracer | None:
    """What makes the spans of a gate whose `telemetry.traces` is `mode`; None when none are made."""
    if mode == "off" and _chosen is None:
        return None
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise _missing("opentelemetry-api", error) from error
    if mode == "otlp":
        tracer = _exporter(endpoint).get_tracer("placet", _core.__version__)
    elif _chosen is not None:
        tracer = _chosen.get_tracer("placet", _core.__version__)
    else:
        # Of the provider that the program sets up, also when it does so later.
        tracer = trace.get_tracer("placet", _core.__version__)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
    return GateTracer(tracer)


def _at_exit() -> None:
    flush(_EXIT_PATIENCE_SECONDS)


def _missing(package: str, error: ImportError) -> NotAvailableError:
    return NotAvailableError(
        f"`telemetry.traces` needs the package `{package}`, which cannot be imported: {error}; "
        "install `placet[otel]`, or set `telemetry.traces` to off"
    )


def _exporter(endpoint: str | None) -> TracerProvider:
    key = (os.getpid(), endpoint)
    if key not in _own:
        _own[key] = provider_for("placet", [otlp_processor(endpoint)])
    return _own[key]


def otlp_processor(endpoint: str | None) -> Any:
    """Exports over OTLP/HTTP, in batches; the variables `OTEL_…` say what is not given."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise _missing("opentelemetry-exporter-otlp-proto-http", error) from error
    address = None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces"
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=address))


def provider_for(service_name: str, processors: list[Any]) -> TracerProvider:
    """A provider of ours; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` stand above the name."""
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError as error:
        raise _missing("opentelemetry-sdk", error) from error
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    attributes: Mapping[str, Any] = {} if named else {"service.name": service_name}
    provider = TracerProvider(resource=Resource.create(dict(attributes)))
    for processor in processors:
        provider.add_span_processor(processor)
    return provider
