"""Spans of the pipeline: where they go, and what has become of them."""

from .._tracing import flush
from .tracer import METRICS_CONTENT_TYPE, get_finished_spans, get_tracer, setup_tracer

__all__ = ["METRICS_CONTENT_TYPE", "flush", "get_finished_spans", "get_tracer", "setup_tracer"]
