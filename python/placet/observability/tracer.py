"""A tracer provider of Placet's own, for programs that set up none."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

METRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""The type under which the text of `placet.metrics()` is served."""

_KEPT = 500

_finished: deque[ReadableSpan] = deque(maxlen=_KEPT)


def setup_tracer(
    service_name: str = "placet",
    testing: bool = False,
    trace_file: str | os.PathLike[str] | None = None,
    otlp_endpoint: str | None = None,
) -> None:
    """Makes spans for gates made from now on, and keeps the last 500 for `get_finished_spans`.

    They also go to `otlp_endpoint` over OTLP/HTTP, else to `trace_file` as JSON lines, else to stderr; and
    nowhere else with `testing`. A program with its own provider sets `telemetry.traces: provider` instead.
    """
    _finished.clear()
    processors = [_keeping()]
    if testing:
        pass
    elif otlp_endpoint is not None:
        processors.append(_tracing.otlp_processor(otlp_endpoint))
    else:
        processors.append(_printing(trace_file))
    _tracing.choose(_tracing.provider_for(service_name, processors))


def get_tracer(name: str = "placet") -> Tracer:
    """A tracer of the provider that gates use: what `setup_tracer` set up, else the program's."""
    from opentelemetry import trace

    provider = _tracing.chosen() or trace.get_tracer_provider()
    return provider.get_tracer(name)


def get_finished_spans() -> list[dict[str, Any]]:
    """The last 500 finished spans, oldest first, once `setup_tracer` was called."""
    _tracing.flush()
    return [_fields(span) for span in list(_finished)]


class _Keeping:
    """An exporter, also where the package is not installed."""

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        _finished.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is open."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _keeping() -> Any:
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    return SimpleSpanProcessor(_Keeping())  # type: ignore[arg-type]


def _printing(trace_file: str | os.PathLike[str] | None) -> Any:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    def line(span: ReadableSpan) -> str:
        return f"{span.to_json(indent=None)}\n"

    if trace_file is None:
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr, formatter=line))
    file = open(trace_file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - it stays open
    return SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=line))


def _fields(span: ReadableSpan) -> dict[str, Any]:
    attributes = span.attributes or {}
    start, end = span.start_time or 0, span.end_time or 0
    context = span.get_span_context()
    return {
        "trace_id": f"{context.trace_id:032x}" if context else None,
        "span_id": f"{context.span_id:016x}" if context else None,
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "name": span.name,
        "start_ms": start / 1e6,
        "end_ms": end / 1e6,
        "duration_ms": (end - start) / 1e6,
        "status": span.status.status_code.name,
        "session_id": attributes.get("placet.session_id"),
        "user_role": attributes.get("placet.user_role"),
        "tool_name": attributes.get("placet.tool_name"),
        "policy_allow": attributes.get("placet.policy.allow"),
        "policy_deny": attributes.get("placet.policy.deny"),
        "policy_hitl": attributes.get("placet.policy.requires_hitl"),
        "risk_tier": attributes.get("placet.policy.risk_tier"),
        # Reasons can quote arguments, so spans hold the code instead.
        "reason": attributes.get("placet.policy.code"),
        "duration_ms_detail": attributes.get("placet.duration_ms"),
    }
