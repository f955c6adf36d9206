"""Spans and metrics: names, how they nest, what they never hold, and that they change nothing (F33, F34)."""

from __future__ import annotations

import asyncio
import http.server
import os
import random
import string
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import placet
from conftest import INJECTION, POLICY, refusal
from placet import _tracing
from placet.observability import flush, get_finished_spans, get_tracer, setup_tracer

EXPORTER = InMemorySpanExporter()


class Spans:
    """What the program's own provider received."""

    def all(self) -> list[ReadableSpan]:
        assert flush()
        # An outer span that began at the same moment comes first.
        return sorted(
            EXPORTER.get_finished_spans(), key=lambda span: (span.start_time or 0, -(span.end_time or 0))
        )

    def links(self) -> list[str]:
        """Each span as `parent > name`, in the order of their beginning."""
        spans = self.all()
        names = {span.context.span_id: span.name for span in spans}
        return [
            f"{names.get(span.parent.span_id, '?') if span.parent else '-'} > {span.name}" for span in spans
        ]

    def named(self, name: str) -> ReadableSpan:
        return next(span for span in self.all() if span.name == name)


@pytest.fixture(scope="module")
def program() -> None:
    """A program that has set up a provider of its own, as can be done once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)


@pytest.fixture
def spans(program: None, monkeypatch: pytest.MonkeyPatch) -> Spans:
    monkeypatch.setenv("PLACET_TELEMETRY_TRACES", "provider")
    flush()
    EXPORTER.clear()
    return Spans()


CALL = [
    "caller > placet.adapter.tool_call",
    "placet.adapter.tool_call > policy_gate.evaluate",
    "policy_gate.evaluate > policy_gate.schema_validate",
    "policy_gate.evaluate > policy_gate.opa_evaluate",
    "policy_gate.evaluate > placet.audit.commit",
    "placet.adapter.tool_call > execute_tool pay",
    "execute_tool pay > inner",
    "placet.adapter.tool_call > policy_gate.sanitize_response",
    "placet.adapter.tool_call > placet.audit.commit",
]

TRACER = trace.get_tracer("program")


def test_f33_a_governed_call_is_a_tree_of_spans_under_the_callers_own(spans, open_gate, context):
    @placet.governed(open_gate(), context)
    def pay(amount):
        with TRACER.start_as_current_span("inner"):
            return amount

    with TRACER.start_as_current_span("caller"):
        assert pay(5) == 5
    assert spans.links() == ["- > caller", *CALL]
    decided = spans.named("policy_gate.evaluate").attributes
    assert decided["placet.tool_name"] == decided["gen_ai.tool.name"] == "pay"
    assert (decided["placet.policy.verdict"], decided["placet.policy.allow"]) == ("allow", True)
    assert (decided["placet.session_id"], decided["placet.user_role"]) == ("s1", "agent")
    effect = spans.named("execute_tool pay")
    assert effect.attributes["gen_ai.operation.name"] == "execute_tool"
    assert effect.attributes["gen_ai.tool.name"] == "pay"
    assert effect.status.is_unset
    inner = spans.named("inner")
    assert effect.start_time <= inner.start_time and inner.end_time <= effect.end_time


@pytest.mark.parametrize("ledger", ["memory", "log.db", "off"])
def test_f33_so_is_a_coroutine_also_when_its_records_are_written_by_other_threads(
    spans, open_gate, context, tmp_path, ledger
):
    gate = open_gate(ledger=ledger if ledger in ("memory", "off") else tmp_path / ledger)

    @placet.governed(gate, context)
    async def pay(amount):
        with TRACER.start_as_current_span("inner"):
            await asyncio.sleep(0)
            return amount

    async def main():
        with TRACER.start_as_current_span("caller"):
            return await asyncio.gather(pay(1), pay(2))

    assert asyncio.run(main()) == [1, 2]
    expected = [link for link in CALL if ledger != "off" or "audit" not in link]
    assert sorted(spans.links()) == sorted(["- > caller", *expected, *expected])


def test_f33_streams_and_functions_that_return_coroutines_have_the_same_spans(spans, open_gate, context):
    gate = open_gate()

    @placet.governed(gate, context)
    def stream(count):
        yield from range(count)

    @placet.governed(gate, context, action="stream")
    async def stream_async(count):
        for number in range(count):
            yield number

    async def later():
        await asyncio.sleep(0.02)
        return [0, 1]

    @placet.governed(gate, context, action="stream")
    def starts():
        return later()

    async def collect():
        return [number async for number in stream_async(2)]

    for run in (lambda: list(stream(2)), lambda: asyncio.run(collect()), lambda: asyncio.run(starts())):
        EXPORTER.clear()
        assert run() == [0, 1]
        links = spans.links()
        assert links[0] == "- > placet.adapter.tool_call"
        assert links.count("placet.adapter.tool_call > execute_tool stream") == 1
        assert links.count("placet.adapter.tool_call > placet.audit.commit") == 1
    effect = spans.named("execute_tool stream")
    assert effect.end_time - effect.start_time >= 20_000_000, "it ran until its coroutine had ended"


def test_f33_refusals_questions_plans_and_lifecycle_events_have_their_names(spans, open_gate, context):
    gate = open_gate()
    refusal(placet.governed(gate, context)(_unheard_of))
    tool = placet.ToolCallInput(tool_name="pay", action="pay", args={"amount": 1})
    with TRACER.start_as_current_span("caller"):
        gate.decide_tool_call(tool, context)
        asyncio.run(gate.evaluate_plan([{"tool_name": "pay", "args": {}}], context))
        for kind in ("agent.spawn", "agent.delegate"):
            event = placet.GovernanceEvent(
                event_type=kind, session_id="s1", action=kind, context=context, delegation_target="helper"
            )
            gate.decide(event)
        gate.sanitize_response(f"{INJECTION}, please")
    links = spans.links()
    assert links[:2] == [
        "- > placet.adapter.tool_call",
        "placet.adapter.tool_call > policy_gate.evaluate",
    ]
    assert links.count("caller > policy_gate.evaluate") == 1
    assert links.count("caller > policy_gate.evaluate_event") == 3
    assert links.count("policy_gate.evaluate_event > policy_gate.opa_evaluate_event") == 3
    assert "caller > policy_gate.sanitize_response" in links
    kinds = {
        span.attributes["placet.event_type"]
        for span in spans.all()
        if span.name == "policy_gate.evaluate_event"
    }
    assert kinds == {"agent.plan", "agent.spawn", "agent.delegate"}
    assert spans.named("policy_gate.sanitize_response").attributes["placet.sanitizer.patterns_found"] > 0
    refused = spans.all()[1]
    assert refused.attributes["placet.policy.code"] == "no_rule_matched"
    assert refused.status.is_unset, "a deny is no error"


def _unheard_of() -> None:
    raise AssertionError("it ran")


def test_f33_questions_of_coroutines_stand_under_the_callers_span(spans, open_gate, context, tmp_path):
    gate = open_gate(ledger=tmp_path / "log.db")
    tool = placet.ToolCallInput(tool_name="pay", action="pay", args={"amount": 1})

    async def main():
        with TRACER.start_as_current_span("caller"):
            return await gate.evaluate_tool_call(tool, context)

    assert asyncio.run(main()).allow
    assert "caller > policy_gate.evaluate" in spans.links()


def test_f33_waiting_for_people_is_a_span(spans, open_gate, context):
    policy = POLICY.replace(", reviewers: [buyers]", "")
    bought = placet.governed(open_gate(policy, approvals=placet.AutoApprovalHandler()), context)(_buy)
    assert bought() == "bought"
    links = spans.links()
    assert links.count("placet.adapter.tool_call > policy_gate.evaluate") == 2
    assert links.count("placet.adapter.tool_call > placet.approval.wait") == 1
    assert links.count("- > placet.adapter.tool_call") == 1
    assert spans.named("placet.approval.wait").attributes["placet.approval.result"] == "decided"


def _buy():
    return "bought"


_buy.__name__ = "buy"


def test_f33_another_evaluator_has_the_same_spans(spans, context, tmp_path):
    class Evaluator:
        async def health(self):
            return True

        async def evaluate(self, request):
            return placet.PolicyDecision(allow=True, deny=False, requires_hitl=False)

        async def evaluate_event(self, event):
            return placet.PolicyDecision(allow=True, deny=False, requires_hitl=False)

    @placet.governed(placet.PolicyGate(opa_client=Evaluator()), context)
    def pay(amount):
        with TRACER.start_as_current_span("inner"):
            return amount

    with TRACER.start_as_current_span("caller"):
        assert pay(5) == 5
    assert spans.links() == ["- > caller", *CALL]


def test_f33_a_tool_that_fails_or_is_dropped_ends_its_spans_with_a_type(spans, open_gate, context):
    @placet.governed(open_gate(), context)
    def pay(amount):
        raise OSError("the disk is on fire")

    @placet.governed(open_gate(), context)
    def stream():
        yield 1
        yield 2

    with pytest.raises(OSError):
        pay(1)
    half = stream()
    next(half)
    half.close()
    assert spans.named("execute_tool pay").attributes["error.type"] == "OSError"
    assert not spans.named("execute_tool pay").status.is_ok
    assert spans.named("execute_tool stream").attributes["error.type"] == "cancelled"
    assert spans.links().count("- > placet.adapter.tool_call") == 2


def test_f33_telemetry_is_off_by_default_and_imports_nothing(tmp_path):
    program = """
        import sys, placet
        open("policy.yaml", "w").write("version: 1\\nrules: [{ name: a, when: {action: pay}, then: allow }]")
        gate = placet.PolicyGate(policies="policy.yaml", ledger="memory")
        context = placet.SessionContext(session_id="s", user_role="agent", session_scopes=[])

        @placet.governed(gate, context)
        def pay():
            return 1

        pay()
        assert not [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus"))]
        assert "placet_decisions_total" not in placet.metrics()
    """
    run_program(program, tmp_path)


def run_program(program: str, folder: Path, **variables: str) -> str:
    environment = {**os.environ, "PLACET_KEYS": str(folder / "keys"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("seed", range(20))
def test_f33_no_argument_result_error_or_token_reaches_a_span(spans, open_gate, tmp_path, seed, caplog):
    random_ = random.Random(seed)
    canary = "CANARY" + "".join(random_.choices(string.ascii_letters + string.digits + "-_./=+ ", k=24))
    broker = placet.CredentialBroker(ledger=tmp_path / "credentials.db")
    token = broker.issue("s1", ["pay"])
    gate = open_gate(credential_broker=broker)

    def pay(amount, **more):
        if random_.random() < 0.5:
            raise ValueError(canary)
        return {"said": canary, canary: [canary]}

    nested: Any = canary
    for _ in range(random_.randint(0, 4)):
        nested = random_.choice([lambda value: [value], lambda value: {canary: value}])(nested)
    for bearer in (token.token_id, canary):
        holder = placet.SessionContext(
            session_id="s1", user_role="agent", session_scopes=["pay"], token_id=bearer
        )
        governed = placet.governed(gate, holder)(pay)
        for arguments in ({"amount": nested}, {"amount": 1, canary: 1}, {canary: canary}):
            try:
                governed(**arguments)
            except Exception as error:
                assert not isinstance(error, AssertionError)
    told = "\n".join(span.to_json() for span in spans.all())
    assert "placet.credential.validate" in told and "execute_tool pay" in told
    assert canary not in told and token.token_id not in told
    assert canary not in caplog.text and token.token_id not in caplog.text


class Raising(SpanProcessor):
    """Everything that can go wrong where a span begins and ends."""

    def __init__(self, error: type[BaseException], where: str) -> None:
        self.error, self.where = error, where

    def on_start(self, span, parent_context=None):
        if self.where == "start":
            raise self.error("of a test")

    def on_end(self, span):
        if self.where == "end":
            raise self.error("of a test")


@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, SystemExit, GeneratorExit])
def test_f33_what_a_provider_raises_changes_nothing(open_gate, context, monkeypatch, error, where):
    provider = TracerProvider()
    provider.add_span_processor(Raising(error, where))
    monkeypatch.setattr(_tracing, "_chosen", provider)

    def pay(amount):
        if amount == 13:
            raise KeyError("thirteen")
        return amount

    async def pay_async(amount):
        return pay(amount)

    gate = open_gate()
    governed = placet.governed(gate, context)(pay)
    governed_async = placet.governed(gate, context, action="pay")(pay_async)
    assert gate._engine.traces
    for _ in range(3):
        assert governed(5) == 5
        assert asyncio.run(governed_async(5)) == 5
        with pytest.raises(KeyError):
            governed(13)
        assert "more than 100" in str(refusal(governed, 500))
        assert gate.decide_tool_call(placet.ToolCallInput(tool_name="pay", action="pay"), context).deny
        assert gate.sanitize_response("hello").content == "hello"
    assert flush()


class Blocking(SpanExporter):
    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def export(self, spans):
        self.entered.set()
        self.gate.wait(60)
        return SpanExportResult.SUCCESS


def dropped() -> float:
    return metric("placet_telemetry_spans_dropped_total")


def test_f33_an_exporter_that_blocks_holds_up_no_call(open_gate, context, monkeypatch):
    exporter, provider = Blocking(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(_tracing, "_chosen", provider)
    pay = placet.governed(open_gate(ledger="off"), context)(_pay)
    before = dropped()
    try:
        pay(1)
        assert exporter.entered.wait(10)
        began = time.monotonic()
        # More spans than the queue has room for.
        for _ in range(1000):
            assert pay(1) == 1
        assert time.monotonic() - began < 10
        assert dropped() > before
        assert not flush(0.05)
    finally:
        exporter.gate.set()
    assert flush(20)


def _pay(amount):
    return amount


_pay.__name__ = "pay"


def test_f33_a_dead_collector_holds_up_neither_calls_nor_the_end_of_the_process(tmp_path):
    program = """
        import time, placet
        open("policy.yaml", "w").write("version: 1\\nrules: [{ name: a, when: {action: pay}, then: allow }]")
        gate = placet.PolicyGate(policies="policy.yaml", ledger="off")
        context = placet.SessionContext(session_id="s", user_role="agent", session_scopes=[])
        pay = placet.governed(gate, context, action="pay")(lambda: 1)
        began = time.monotonic()
        for _ in range(200):
            assert pay() == 1
        print(time.monotonic() - began)
    """
    began = time.monotonic()
    # Port 1 of this machine: nobody listens.
    variables = {"PLACET_TELEMETRY_TRACES": "otlp", "PLACET_TELEMETRY_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    spent = run_program(program, tmp_path, OTEL_EXPORTER_OTLP_TIMEOUT="1", **variables)
    assert float(spent) < 5
    assert time.monotonic() - began < 40


class Collector(http.server.BaseHTTPRequestHandler):
    """A receiver of OTLP over HTTP."""

    received: list[tuple[str, str | None, ExportTraceServiceRequest]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        self.received.append((self.path, self.headers.get("x-team"), request))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector():
    Collector.received = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


ONE_CALL = """
    import placet
    open("policy.yaml", "w").write("version: 1\\nrules: [{ name: a, when: {action: pay}, then: allow }]")
    gate = placet.PolicyGate(policies="policy.yaml", ledger="off")
    context = placet.SessionContext(session_id="s", user_role="agent", session_scopes=[])
    placet.governed(gate, context, action="pay")(lambda note: 1)("CANARY")
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"PLACET_TELEMETRY_OTLP_ENDPOINT": "{}/"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "{}", "OTEL_SERVICE_NAME": "till"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{}/v1/traces", "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue"},
    ],
)
def test_f33_a_collector_receives_the_spans_before_the_process_ends(tmp_path, collector, variables):
    variables = {name: value.format(collector) for name, value in variables.items()}
    run_program(ONE_CALL, tmp_path, PLACET_TELEMETRY_TRACES="otlp", **variables)
    (path, team, request), *rest = Collector.received
    assert (path, rest) == ("/v1/traces", [])
    assert team == ("blue" if "OTEL_EXPORTER_OTLP_HEADERS" in variables else None)
    resource = request.resource_spans[0].resource
    names = [pair.value.string_value for pair in resource.attributes if pair.key == "service.name"]
    assert names == [variables.get("OTEL_SERVICE_NAME", "placet")]
    got = {span.name: span for span in request.resource_spans[0].scope_spans[0].spans}
    root = got["placet.adapter.tool_call"]
    assert not root.parent_span_id
    assert got["policy_gate.evaluate"].parent_span_id == root.span_id
    assert got["policy_gate.opa_evaluate"].parent_span_id == got["policy_gate.evaluate"].span_id
    assert got["execute_tool pay"].parent_span_id == root.span_id
    assert "CANARY" not in str(request)


def test_f33_the_standard_switch_turns_it_off(tmp_path, collector):
    variables = {"PLACET_TELEMETRY_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    run_program(ONE_CALL, tmp_path, OTEL_SDK_DISABLED="true", **variables)
    assert Collector.received == []


def test_f33_spans_without_the_package_are_refused_when_the_gate_is_made(open_gate, monkeypatch):
    monkeypatch.setenv("PLACET_TELEMETRY_TRACES", "provider")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(placet.NotAvailableError, match=r"install `placet\[otel\]`"):
        open_gate()


def test_f33_a_forked_child_makes_spans_of_its_own(tmp_path, collector):
    program = textwrap.dedent(ONE_CALL) + textwrap.dedent("""
        import os, sys
        if (child := os.fork()) == 0:
            gate = placet.PolicyGate(policies="policy.yaml", ledger="off")
            placet.governed(gate, context, action="pay")(lambda: 1)()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    variables = {"PLACET_TELEMETRY_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
    run_program(program, tmp_path, **variables)
    spans = [
        span
        for _, _, request in Collector.received
        for scope in request.resource_spans[0].scope_spans
        for span in scope.spans
    ]
    assert len({span.span_id for span in spans}) == len(spans)
    assert len([span for span in spans if span.name == "execute_tool pay"]) == 2


def test_f33_setup_tracer_keeps_spans_as_kite_logik_did(open_gate, context, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(_tracing, "_chosen", None)
    setup_tracer(testing=True)
    pay = placet.governed(open_gate(), context)(_pay)
    with get_tracer("program").start_as_current_span("caller"):
        pay(5)
    spans = get_finished_spans()
    names = {span["span_id"]: span["name"] for span in spans}
    decided = next(span for span in spans if span["name"] == "policy_gate.evaluate")
    assert names[decided["parent_span_id"]] == "placet.adapter.tool_call"
    assert (decided["tool_name"], decided["policy_allow"], decided["session_id"]) == ("pay", True, "s1")
    for _ in range(100):
        pay(5)
    assert len(get_finished_spans()) == 500
    setup_tracer(trace_file=tmp_path / "spans.jsonl")
    placet.governed(open_gate(), context)(_pay)(5)
    assert flush()
    lines = (tmp_path / "spans.jsonl").read_text().splitlines()
    assert len(lines) == 8 and all(line.startswith("{") for line in lines)
    assert capfd.readouterr().err == ""


def metric(line: str) -> float:
    return next(
        float(text.rpartition(" ")[2]) for text in placet.metrics().splitlines() if text.startswith(line)
    )


def samples(parser: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(placet.metrics())
        for sample in family.samples
    }


def test_f34_metrics_are_read_by_the_parsers_of_prometheus(open_gate, context, monkeypatch):
    monkeypatch.setenv("PLACET_TELEMETRY_METRICS", "true")
    monkeypatch.setenv("PLACET_TELEMETRY_TOOL_NAMES", "pay, show")
    gate = open_gate()
    parsers = (prometheus_client.openmetrics.parser, prometheus_client.parser)
    before = [samples(parser) for parser in parsers]

    @placet.governed(gate, context)
    def pay(amount):
        return f"{INJECTION} {amount}"

    for amount in (1, 2, 500):
        if amount > 100:
            refusal(pay, amount)
        else:
            pay(amount)
    refusal(placet.governed(gate, context)(_unheard_of))
    gate.sanitize_response(INJECTION)
    call = {"event_type": "tool_call", "transport": "local"}
    for parser, earlier in zip(parsers, before, strict=True):
        later = samples(parser)

        def grew(name: str, later=later, earlier=earlier, **labels: str) -> float:
            key = (name, frozenset(labels.items()))
            return later[key] - earlier.get(key, 0)

        decisions = "placet_decisions_total"
        assert grew(decisions, verdict="allow", code="allowed", tool="pay", **call) == 2
        assert grew(decisions, verdict="deny", code="denied_by_rule", tool="pay", **call) == 1
        assert grew(decisions, verdict="deny", code="no_rule_matched", tool="", **call) == 1
        assert grew("placet_effects_total", status="succeeded", tool="pay") == 2
        assert grew("placet_sanitizer_hits_total") >= 3
        assert grew("placet_decision_duration_seconds_count", event_type="tool_call") == 4
        assert grew("placet_ledger_commit_duration_seconds_count", record="outcome") == 2
        infinite = grew("placet_decision_duration_seconds_bucket", event_type="tool_call", le="+Inf")
        assert infinite == 4


def test_f34_open_approvals_are_told_and_metrics_are_kept_only_when_asked(open_gate, context, monkeypatch):
    before = placet.metrics()
    refusal(placet.governed(open_gate(), context)(_buy))
    assert placet.metrics() == before
    monkeypatch.setenv("PLACET_TELEMETRY_METRICS", "true")
    gate = open_gate()
    refusal(placet.governed(gate, context)(_buy))
    assert metric("placet_approvals_open ") == 1
    assert metric("placet_approvals_breached ") == 0
    assert metric("placet_approvals_requested_total") >= 1
